"""Fixtures of all tests (see kura.testing)."""

pytest_plugins = ["kura.testing.fixtures"]
