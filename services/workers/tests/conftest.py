"""Fixtures of the workers' tests."""
