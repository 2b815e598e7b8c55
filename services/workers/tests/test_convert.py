"""Conversion of one CSV: what comes out for every shape of input (ocp-payload §4–§7)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kura.testing.archives import csv_bytes, report_row
from kura.workers.ocp.cells import DayWindow
from kura.workers.ocp.convert import Converted, Converter
from kura.workers.ocp.refusal import FileRefused

HOUR = datetime(2025, 1, 10, 5, tzinfo=UTC)
WINDOW = DayWindow(first=date(2024, 12, 1), last=date(2025, 1, 31))


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converter]:
    with Converter(tmp_path_factory.getbasetemp(), threads=2) as made:
        yield made


@pytest.fixture
def convert(converter: Converter, tmp_path: Path):
    def call(csv: bytes, window: DayWindow = WINDOW) -> Converted:
        return converter.convert(io.BytesIO(csv), tmp_path, window)

    return call


def hourly(converted: Converted) -> list[dict[str, object]]:
    return [row for part in converted.days for row in pq.read_table(part.hourly).to_pylist()]


def daily(converted: Converted) -> list[dict[str, object]]:
    return [row for part in converted.days for row in pq.read_table(list(part.daily)).to_pylist()]


def node(hour: datetime = HOUR, **values: object) -> dict[str, object]:
    return report_row("node_labels", hour, **{"node": "n1", "node_labels": "label_a:b", **values})


def pod(hour: datetime = HOUR, **values: object) -> dict[str, object]:
    return report_row("pod_usage", hour, **{"node": "n1", "namespace": "shop", "pod": "p1", **values})


def without(column: str, row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != column}


# ── shapes of the file ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_of_no_bytes_is_done_without_days(convert):
    assert convert(b"") == Converted(report_type=None, note="empty")


def test_a_file_with_only_a_header_brings_no_days(convert):
    done = convert(csv_bytes([node()]).splitlines(keepends=True)[0])

    assert (done.report_type.name, done.rows, done.days) == ("node_labels", 0, ())


def test_unknown_columns_are_done_with_a_note(convert):
    assert convert(b"interval_start,colour\n2025-01-10 00:00:00 +0000 UTC,red\n").note == "unknown_type"


def test_a_file_without_interval_start_is_refused(convert):
    with pytest.raises(FileRefused, match="no column interval_start"):
        convert(b"node,node_labels\nn1,\n")


def test_a_file_with_a_known_column_twice_is_refused_and_with_an_unknown_one_read(convert):
    plain = csv_bytes([node()]).splitlines()
    twice = plain[0] + b",node\n" + plain[1] + b",n2\n"
    unknown = plain[0] + b",colour,colour\n" + plain[1] + b",red,blue\n"

    with pytest.raises(FileRefused, match="the column node is there twice"):
        convert(twice)
    assert (hourly(convert(unknown))[0]["colour"], hourly(convert(unknown))[0]["colour_2"]) == ("red", "blue")


def test_a_byte_order_mark_carriage_returns_and_empty_lines_do_not_matter(convert):
    plain = csv_bytes([node(), node(node="n2")])
    dressed = b"\xef\xbb\xbf\r\n" + plain.replace(b"\n", b"\r\n").replace(b"n1", b"n1") + b"\r\n\r\n"

    assert hourly(convert(dressed)) == hourly(convert(plain))


def test_the_last_line_may_lack_its_end(convert):
    assert convert(csv_bytes([node(), node(node="n2")]).rstrip(b"\n")).rows == 2


def test_columns_may_come_in_any_order(convert):
    row = node()
    shuffled = csv_bytes([row], columns=sorted(row, reverse=True))

    assert hourly(convert(shuffled)) == hourly(convert(csv_bytes([row])))


def test_an_unknown_column_stays_as_text_in_hourly_data_and_is_gone_from_daily(convert):
    done = convert(csv_bytes([node() | {"My Column-1": "007"}]))

    assert hourly(done)[0]["my_column_1"] == "007"
    assert "my_column_1" not in daily(done)[0]


def test_a_column_of_almost_a_known_name_does_not_stand_for_it(convert):
    done = convert(csv_bytes([without("node_role", pod()) | {"Node_Role": "infra", "node role": "x"}]))

    assert hourly(done)[0]["node_role"] is None
    assert hourly(done)[0]["node_role_2"] == "infra"
    assert hourly(done)[0]["node_role_3"] == "x"


def test_nul_characters_are_removed(convert):
    assert hourly(convert(csv_bytes([node()]).replace(b"n1", b"n\x001\x00")))[0]["node"] == "n1"


def test_line_breaks_commas_and_quotes_inside_quoted_cells_belong_to_the_cell(convert):
    names = ['a,"b"', "two\nlines", "two\r\nlines", '""', '"', "\n"]

    assert [row["node"] for row in hourly(convert(csv_bytes([node(node=name) for name in names])))] == names


def test_a_quote_in_the_middle_of_a_cell_is_a_character(convert):
    done = convert(csv_bytes([node(node="QQ"), node(node="n2")]).replace(b"QQ", b'5" disk'))

    assert [row["node"] for row in hourly(done)] == ['5" disk', "n2"]


def test_a_quoted_cell_that_never_ends_refuses_the_file(convert):
    with pytest.raises(FileRefused, match="line 3: a quoted cell"):
        convert(csv_bytes([node(), node(node="QQ"), node()]).replace(b"QQ", b'"open'))


def test_text_that_is_not_utf8_refuses_the_file_and_names_the_line(convert):
    with pytest.raises(FileRefused, match="line 3: the text is not UTF-8"):
        convert(csv_bytes([node(), node(node="QQ")]).replace(b"QQ", "Köln".encode("latin-1")))


def test_a_row_with_too_many_fields_is_dropped_and_counted(convert):
    csv = csv_bytes([node(), node(node="n2")])
    done = convert(csv.replace(b"n2,", b"n2,,,"))

    assert ([row["node"] for row in hourly(done)], dict(done.dropped)) == (["n1"], {"too_many_fields": 1})


def test_a_row_with_too_few_fields_is_filled_with_empty_text(convert):
    first, second = csv_bytes([node(), node(node="n2")]).splitlines()[1:]
    csv = csv_bytes([node()]).splitlines()[0] + b"\n" + first + b"\n" + second.rpartition(b",")[0] + b"\n"

    assert [(row["node"], row["node_labels"]) for row in hourly(convert(csv))] == [("n1", '{"a": "b"}'), ("n2", "{}")]


def test_a_text_that_nothing_can_be_called_drops_its_row(convert):
    done = convert(csv_bytes([pod(pod="x" * 10_000_000), pod(pod="y" * 65_537), pod(pod="z" * 65_536)]))

    assert [row["pod"][0] for row in hourly(done)] == ["z"]
    assert (dict(done.dropped), dict(done.cells)) == ({"name_too_long": 2}, {"too_long": 1})


def test_a_label_cell_that_no_object_can_have_holds_no_labels_and_is_counted(convert):
    cells = ["label_a:" + "|label_b:" * 20_000, "label_a:" + "|label_b:" * 40_000]
    done = convert(csv_bytes([pod(pod_labels=cell) for cell in cells]))

    assert [row["pod_labels"] for row in hourly(done)] == ['{"a": "", "b": ""}', "{}"]
    assert (dict(done.dropped), dict(done.cells)) == ({}, {"too_long": 1})


def test_a_file_that_is_refused_while_rows_of_it_are_written_ends_nothing_else(tmp_path):
    rows = [pod(HOUR + timedelta(hours=n % 48), pod=f"p{n}") for n in range(400)]
    csv = csv_bytes([*rows, pod(interval_start="soon")])
    with Converter(tmp_path, threads=2, block_bytes=2000, chunk_rows=7) as in_pieces:
        for attempt in range(30):
            with pytest.raises(FileRefused, match="soon"):
                in_pieces.convert(io.BytesIO(csv), _made(tmp_path / f"{attempt}"), WINDOW)


def test_no_more_tag_keys_are_remembered_than_people_give(convert):
    cells = ["|".join(f"label_{number}_{key}:" for key in range(1000)) for number in range(50)]

    assert len(convert(csv_bytes([pod(pod_labels=cell) for cell in cells])).tag_keys) == 20_000


def test_a_file_whose_lines_end_with_carriage_returns_alone_is_read(convert):
    plain = csv_bytes([node(node=f"n{number}") for number in range(5)])

    assert hourly(convert(plain.replace(b"\n", b"\r"))) == hourly(convert(plain))


# ── cells ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-10 05:00:00 +0000 UTC",
        "2025-01-10 05:00:00.000999 +0000 UTC",
        "2025-01-10T05:00:00Z",
        "2025-01-10T05:00:00.000Z",
        "2025-01-10T07:00:00+02:00",
        "2025-01-10 05:00:00",
    ],
)
def test_dates_are_read_in_gos_form_and_as_iso(convert, text):
    done = convert(csv_bytes([node(interval_start=text)]))

    assert [row["interval_start"] for row in hourly(done)] == [datetime(2025, 1, 10, 5)]


@pytest.mark.parametrize(
    "text", ["", "2025-01-10 05:00:00 +0200 CEST", "tomorrow", "2025-01-10", "2025-02-30T00:00:00Z"]
)
@pytest.mark.parametrize("column", ["interval_start", "interval_end", "report_period_start", "report_period_end"])
def test_any_other_date_refuses_the_file_and_names_line_column_and_value(convert, column, text):
    csv = csv_bytes([node(), node(node="two\nlines"), node(**{column: text}), node()])

    with pytest.raises(FileRefused) as refused:
        convert(csv)

    assert str(refused.value).startswith(f'line 5, column {column}: "{text}"')


def test_a_number_that_is_none_is_zero_and_counted_an_empty_one_only_zero(convert):
    values = ["", " ", "n/a", "null", "0x10", "1_000", "1.500000", " 2 ", "+3", "1e3"]
    done = convert(csv_bytes([pod(pod_usage_cpu_core_seconds=value) for value in values]))

    assert [row["pod_usage_cpu_core_seconds"] for row in hourly(done)] == [0, 0, 0, 0, 0, 0, 1.5, 2, 3, 1000]
    assert done.cells["not_numeric"] == 4


def test_values_that_cannot_be_are_dropped_and_counted(convert):
    done = convert(
        csv_bytes(
            [
                pod(pod_usage_cpu_core_seconds=1e18),
                pod(pod_usage_cpu_core_seconds=1.1e18),
                pod(pod_usage_cpu_core_seconds="inf"),
                pod(pod_usage_cpu_core_seconds="1e400"),
                pod(pod_usage_cpu_core_seconds="NaN"),
                pod(pod_usage_cpu_core_seconds="-inf"),
                pod(node_capacity_cpu_cores="inf"),
                pod(node_capacity_cpu_cores="nan", pod_usage_cpu_core_seconds="nan"),
                pod(node_capacity_cpu_cores=1e16),
                pod(pod_usage_cpu_core_seconds=-1.1e18),
            ]
        )
    )

    assert [row["pod_usage_cpu_core_seconds"] for row in hourly(done)] == [1e18]
    assert dict(done.dropped) == {"implausible_value": 6, "not_a_finite_number": 3}


def test_a_machine_that_asks_for_more_cores_than_its_table_holds_per_day_is_dropped(convert):
    done = convert(csv_bytes([report_row("vm_usage", HOUR, vm_cpu_request_cores=cores) for cores in (1e15, 1.1e15)]))

    assert (done.rows, dict(done.dropped)) == (1, {"implausible_value": 1})


def test_a_name_that_the_summary_tables_cannot_hold_drops_its_row(convert):
    done = convert(csv_bytes([node(node="n" * 253), node(node="n" * 254), node(node="ü" * 253)]))

    assert (done.rows, dict(done.dropped)) == (2, {"name_too_long": 1})


def test_a_text_longer_than_usual_that_no_summary_table_limits_is_kept_and_counted(convert):
    done = convert(csv_bytes([pod(pod="p" * 253), pod(pod="p" * 254), pod(pod="q" * 2000)]))

    assert (done.rows, dict(done.dropped), dict(done.cells)) == (3, {}, {"too_long": 2})
    assert sorted(len(row["pod"]) for row in daily(done)) == [253, 254, 2000]


def test_negative_values_are_kept_and_counted(convert):
    done = convert(csv_bytes([pod(pod_usage_cpu_core_seconds=-5), pod(pod_usage_cpu_core_seconds=3)]))

    assert daily(done)[0]["pod_usage_cpu_core_seconds"] == -5 + 3
    assert dict(done.cells) == {"negative": 1}


@pytest.mark.parametrize("name", ["null", "nan", "None", "N/A", "<NA>", "=1+1", "a&b <c>"])
def test_words_that_other_readers_take_for_missing_are_names(convert, name):
    assert hourly(convert(csv_bytes([node(node=name)])))[0]["node"] == name


def test_missing_text_is_empty_and_a_missing_optional_column_is_null(convert):
    row = hourly(convert(csv_bytes([without("node_role", pod(node=""))])))[0]

    assert (row["node"], row["resource_id"], row["node_role"]) == ("", "", None)


def test_tag_keys_come_from_rows_that_stay(convert):
    done = convert(
        csv_bytes(
            [
                pod(pod_labels="label_app:web|label_tier:db"),
                pod(pod_labels="label_lost:x", pod_usage_cpu_core_seconds="inf"),
                pod(pod_labels=f"label_{'k' * 513}:too-long|label_:empty"),
            ]
        )
    )

    assert done.tag_keys == {"app", "tier"}


def test_labels_of_virtual_machines_give_no_tag_keys(convert):
    assert convert(csv_bytes([report_row("vm_usage", HOUR, vm_labels="label_app:web")])).tag_keys == frozenset()


# ── days ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_go_to_their_own_day_and_hours_are_counted(convert):
    hours = [HOUR + timedelta(hours=n) for n in (0, 30, 1, 31, 1)]
    done = convert(csv_bytes([node(hour, node=str(n)) for n, hour in enumerate(hours)]))

    assert [(part.day, part.rows, part.distinct_hours) for part in done.days] == [
        (date(2025, 1, 10), 3, 2),
        (date(2025, 1, 11), 2, 2),
    ]
    assert [row["node"] for row in hourly(done)] == ["0", "2", "4", "1", "3"]


def test_rows_of_days_outside_the_window_are_dropped_and_counted(convert):
    days = [WINDOW.first - timedelta(days=1), WINDOW.first, WINDOW.last, WINDOW.last + timedelta(days=1)]
    done = convert(csv_bytes([node(datetime(d.year, d.month, d.day, 23, tzinfo=UTC)) for d in days]))

    assert [part.day for part in done.days] == [WINDOW.first, WINDOW.last]
    assert dict(done.dropped) == {"before_retention": 1, "after_tomorrow": 1}


def test_a_time_with_an_offset_belongs_to_its_utc_day(convert):
    done = convert(csv_bytes([node(interval_start="2025-01-10T00:30:00+01:00")]))

    assert [part.day for part in done.days] == [date(2025, 1, 9)]


def test_an_interval_over_midnight_belongs_to_the_day_it_starts_in(convert):
    done = convert(csv_bytes([node(interval_start="2025-01-10T23:30:00Z", interval_end="2025-01-11T00:29:59Z")]))

    assert [part.day for part in done.days] == [date(2025, 1, 10)]


def test_a_leap_second_stays_in_its_day(convert):
    done = convert(csv_bytes([node(interval_start="2024-12-31T23:59:60Z")]))

    assert [part.day for part in done.days] == [date(2024, 12, 31)]


# ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "report", ["pod_usage", "storage_usage", "node_labels", "namespace_labels", "vm_usage", "gpu_usage"]
)
def test_physical_types_are_double_timestamp_and_string(convert, report):
    done = convert(csv_bytes([report_row(report, HOUR)]))

    for path in (done.days[0].hourly, *done.days[0].daily):
        for field in pq.read_schema(path):
            is_time = field.name in ("interval_start", "interval_end", "report_period_start", "report_period_end")
            assert field.type in ((pa.timestamp("ms"),) if is_time else (pa.float64(), pa.string())), field


def test_equal_input_gives_equal_bytes(converter, tmp_path):
    csv = csv_bytes([pod(HOUR + timedelta(hours=n % 48), pod=f"p{n}") for n in range(500)])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (converter.convert(io.BytesIO(csv), tmp_path / d, WINDOW) for d in "ab")

    assert [(p.hourly.read_bytes(), [path.read_bytes() for path in p.daily]) for p in one.days] == [
        (p.hourly.read_bytes(), [path.read_bytes() for path in p.daily]) for p in two.days
    ]


def test_blocks_and_chunks_of_any_size_give_the_same_rows(converter, tmp_path):
    rows = [pod(HOUR + timedelta(hours=n % 48), pod=f"p{n}", node="two\nlines" if n % 7 else "n") for n in range(300)]
    whole = hourly(converter.convert(io.BytesIO(csv_bytes(rows)), _made(tmp_path / "whole"), WINDOW))
    with Converter(tmp_path, threads=2, block_bytes=700, chunk_rows=11) as in_pieces:
        parts = hourly(in_pieces.convert(io.BytesIO(csv_bytes(rows)), _made(tmp_path / "parts"), WINDOW))

    assert parts == whole


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def test_daily_rows_of_a_file_are_merged_whatever_the_order_of_its_rows(convert):
    rows = [pod(HOUR + timedelta(hours=n % 3), pod=f"p{n % 5}", pod_usage_cpu_core_seconds=1) for n in range(15)]

    assert [row["pod_usage_cpu_core_seconds"] for row in daily(convert(csv_bytes(rows)))] == [3] * 5


def twenty_labels(number: int) -> str:
    return "|".join(f"label_a{key}:{number:0250d}" for key in range(20))


@pytest.mark.slow
def test_F39_a_day_with_more_groups_than_fit_into_memory_is_grouped_in_parts(tmp_path):
    twice = [*range(8_000), *range(500)]
    rows = [pod(pod=f"p{n}", pod_labels=twenty_labels(n), pod_usage_cpu_core_seconds=1.0) for n in twice]
    with Converter(tmp_path, threads=1, engine_memory_bytes=40 * 2**20) as small:
        done = small.convert(io.BytesIO(csv_bytes(rows)), tmp_path, WINDOW)

    [part] = done.days
    usages = {
        row["pod"]: row["pod_usage_cpu_core_seconds"]
        for path in part.daily
        for row in pq.read_table(path, columns=["pod", "pod_usage_cpu_core_seconds"]).to_pylist()
    }
    assert len(part.daily) > 1
    assert usages == {f"p{n}": 2.0 if n < 500 else 1.0 for n in range(8_000)}
