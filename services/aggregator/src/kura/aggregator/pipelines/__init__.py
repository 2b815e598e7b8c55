"""Pipelines: one read, a list of steps, one write."""
