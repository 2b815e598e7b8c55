"""Statements that PostgreSQL runs; `$1 …` are bound."""

from functools import cache
from importlib import resources


@cache
def postgresql_statement(name: str) -> str:
    """The text of `<name>.sql` in this folder."""
    return resources.files("kura.aggregator.postgresql").joinpath(f"{name}.sql").read_text(encoding="utf-8")
