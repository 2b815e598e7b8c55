"""One program, 13 queue classes."""
