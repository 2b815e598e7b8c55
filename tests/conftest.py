"""Fixtures of the tests of the whole product (see kura.testing)."""
