"""How the command line shows lists: a table for people, JSON for programs. Answers go to stdout, all else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from kura.single_pod.reports import FlatReport

WIDE = 240
"""Columns assumed when the output is not a terminal, so that nothing is cut."""

SMALLEST = 1e-9
"""Below this an amount is what adding up has left of nought."""


def out() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, markup=False)


def err() -> Console:
    from rich.console import Console

    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDE, highlight=False)


def say(text: str = "") -> None:
    """One line for the person at the terminal."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def print_json(content: Any) -> None:
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def amount(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) < SMALLEST:
        return "0.00"
    return f"{value:,.2f}" if abs(value) >= 0.005 else f"{value:.2g}"


def moment(text: str | None) -> str:
    """A timestamp in the machine's own time zone, without fractions."""
    if not text:
        return ""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return text


def took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def plain_table(*, title: str | None = None, footer: bool = False) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_footer=footer, pad_edge=False
    )


def list_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Table:
    """Rows of a list; `columns` maps field → heading."""
    table = plain_table()
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*("" if row.get(name) is None else str(row[name]) for name in columns))
    return table


def report_table(report: FlatReport, *, title: str | None = None) -> Table:
    table = plain_table(title=title, footer=True)
    keys = report.keys or ["total"]
    for index, key in enumerate(keys):
        table.add_column(key, footer="total" if index == 0 and report.keys else "", overflow="fold")
    for measure, total in zip(report.measures, report.total, strict=True):
        heading = f"{measure.heading} [{measure.units}]" if measure.units else measure.heading
        table.add_column(heading, footer=amount(total), justify="right", no_wrap=True)
    if report.keys:
        for place, amounts in report.rows:
            table.add_row(*place, *(amount(value) for value in amounts))
    return table
