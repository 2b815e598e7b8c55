"""The read gateway: reports, tags, lists; GET only, read replica."""
