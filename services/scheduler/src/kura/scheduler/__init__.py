"""Periodic schedule, task admin, reconcilers; leader by database lease."""
