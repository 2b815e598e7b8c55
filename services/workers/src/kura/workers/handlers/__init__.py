"""What carries out each task. A handler reads, calls pure steps, writes; running it twice changes nothing."""
