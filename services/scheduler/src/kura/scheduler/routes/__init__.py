"""HTTP routes of the scheduler."""
