"""All of Kura in one process, and the command line."""
