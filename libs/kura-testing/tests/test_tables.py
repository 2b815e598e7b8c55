from datetime import date, datetime

import pytest
from hypothesis import given, settings

from kura.testing.archives import csv_bytes
from kura.testing.strategies import OcpTables, ocp_tables, report_rows
from kura.testing.tables import line_items, rows


def test_a_table_written_as_text_has_typed_columns():
    table = rows("""
        interval_start   | day        | node | cores | done
        2025-01-10 01:00 | 2025-01-10 | n1   | 1.5   | true
        2025-01-10 02:00 | null       |      | null  | false
    """)

    assert table.to_pylist() == [
        {
            "interval_start": datetime(2025, 1, 10, 1),
            "day": date(2025, 1, 10),
            "node": "n1",
            "cores": 1.5,
            "done": True,
        },
        {"interval_start": datetime(2025, 1, 10, 2), "day": None, "node": "", "cores": None, "done": False},
    ]


def test_a_row_of_another_width_is_refused():
    with pytest.raises(ValueError, match="2 columns, but a row of 1"):
        rows("""
            a | b
            1
        """)


def test_line_items_have_all_columns_and_refuse_others():
    table = line_items("node_labels", [{"node": "n1", "node_labels": "{}"}], daily=True)

    assert table.column_names == ["report_period_start", "report_period_end", "interval_start", "node", "node_labels"]
    with pytest.raises(ValueError, match="no column"):
        line_items("node_labels", [{"pod": "p"}], daily=True)


@settings(max_examples=20, deadline=None)
@given(ocp_tables())
def test_random_tables_have_the_stored_shape(tables: OcpTables):
    for name, table in tables.arrow().items():
        assert "interval_start" in table.column_names, name


@settings(max_examples=20, deadline=None)
@given(report_rows("gpu_usage"))
def test_random_reports_can_be_written(given_rows: list[dict[str, object]]):
    assert csv_bytes(given_rows) is not None
