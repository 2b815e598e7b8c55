"""Fakes, table builders, private servers, and the generators of operator payloads."""
