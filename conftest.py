"""Fixtures of all tests: PostgreSQL, object stores (see kura.testing)."""

pytest_plugins = ["kura.testing.fixtures"]
