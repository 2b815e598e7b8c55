"""Random CSVs of every report type: the product's hourly and daily rows are those of the plain reference.

`KURA_FUZZ_EXAMPLES` sets how many; the default is brief.
"""

import csv
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from product_payload import Product, assert_read_alike, outcome, product

from kura.testing.archives import go_time
from kura.testing.report_columns import COLUMNS

COST_REPORTS = ("pod_usage", "storage_usage", "node_labels", "namespace_labels", "vm_usage", "gpu_usage")
DATES = ("report_period_start", "report_period_end", "interval_start", "interval_end")
FIRST = datetime(2025, 1, 30, 22, tzinfo=UTC)
MANY = int(os.environ.get("KURA_FUZZ_EXAMPLES", "60"))

NAMES = st.sampled_from(["", "a", "b", "null", "x,y", 'q"q', "two\nlines", "Ünï", " "])
LABEL_CELLS = st.sampled_from(
    ["", "label_a:1", "label_a:1|label_b:2", "label_b:2|label_a:1", "label_u:http://x", "junk", "label_a:1|label_a:2"]
)
NUMBERS = st.sampled_from(["", "0", "1.500000", "-2", "3e3", "n/a", "inf", "NaN", "0.1", " 7 "])
TOO_LARGE = st.sampled_from(["1e18", "1.1e18", "1e300"])
MODELS = st.sampled_from(["NVIDIA A100-SXM4-40GB", "Tesla-T4", "A30", "NVIDIA RTX PRO 6000 (Blackwell)", "Foo X"])
PROFILES = st.sampled_from(["1g.5gb", " 2G.10GB ", "1g.10gb+me", "half", "3g.20gb"])
SLICES = st.sampled_from(["", "7.000000", "4"])
HOURS = st.integers(0, 5).map(lambda hours: FIRST + timedelta(hours=hours))


def cell(column: str) -> st.SearchStrategy[str]:
    """Values of one column. GPU rows are slices: whole GPUs keep what was sent, which the reference leaves open."""
    special = {
        "gpu_model_name": MODELS,
        "mig_profile": PROFILES,
        "gpu_max_slices": SLICES,
        "gpu_vendor_name": st.sampled_from(["nvidia_com_gpu", "nvidia0"]),
    }
    if column in special:
        return special[column]
    if column.endswith("_labels"):
        return LABEL_CELLS
    measures = ("seconds", "bytes", "cores", "sockets", "threads", "uptime", "capacity_mib")
    return st.one_of(NUMBERS, TOO_LARGE) if column.endswith(measures) else NAMES


@st.composite
def reports(draw: st.DrawFn) -> bytes:
    """The text of one CSV: columns in any order, optional ones missing, rows too long and too short."""
    report = draw(st.sampled_from(COST_REPORTS))
    optional = {"node_role", "csi_driver", "csi_volume_handle"} | ({"node"} if report == "storage_usage" else set())
    dropped = draw(st.sets(st.sampled_from(sorted(optional))))
    columns = draw(st.permutations([name for name in COLUMNS[report] if name not in dropped]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    writer.writerow(columns)
    for _ in range(draw(st.integers(0, 12))):
        hour = draw(HOURS)
        dates = dict(zip(DATES, (FIRST, FIRST, hour, hour + timedelta(minutes=59)), strict=True))
        row = [go_time(dates[name]) if name in dates else draw(cell(name)) for name in columns]
        if columns[-1] not in DATES and draw(st.integers(0, 9)) == 0:
            row = row[:-1]
        if draw(st.integers(0, 9)) == 0:
            row.append("one too many")
        writer.writerow(row)
    return text.getvalue().encode()


@pytest.fixture(scope="module")
def ingestion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("product")) as made:
        yield made


@given(reports())
@settings(max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck))
def test_product_and_reference_agree_on_every_report(ingestion, content):
    assert_read_alike(ingestion, content)


@given(st.data())
@settings(max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck))
def test_damaged_text_never_crashes(ingestion, data):
    content = bytearray(data.draw(reports()))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, max(len(content) - 1, 0)))
        junk = data.draw(st.sampled_from([b'"', b"\n", b"\0", b"\xff", b",", b"\r", b"", b'""', b"\xef\xbb\xbf"]))
        content[position : position + data.draw(st.integers(0, 3))] = junk

    outcome(ingestion, bytes(content))
