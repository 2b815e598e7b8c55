"""Random bytes as archives and reports: whatever they are, refused in words or read.

`KURA_FUZZ_EXAMPLES` sets how many (`tox -e fuzz`); the default is brief.
"""

import gzip
import io
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from product_payload import Product, assert_read_alike, outcome, product
from test_ocp_payload_random import reports

from kura.core.errors import PayloadRefused
from kura.testing.archives import manifest_of
from kura.workers.ocp.manifest import read_manifest
from kura.workers.ocp.payload import Limits, open_payload

SOME = int(os.environ.get("KURA_FUZZ_EXAMPLES", "60"))
FUZZ = settings(max_examples=SOME, deadline=None, suppress_health_check=list(HealthCheck), derandomize=SOME == 60)
LIMITS = Limits(total_bytes=4 * 2**20, ratio_from_bytes=2**20, members=50)
LONGEST_SECONDS = 5  # of one example, on a machine with other things to do

KINDS = [getattr(tarfile, name) for name in dir(tarfile) if name.endswith("TYPE") and name != "GNUTYPE_SPARSE"]
NAMES = st.sampled_from(["pods.csv", "manifest.json", "../x", "/x", "a/../../x", "a/b.csv", "", "n" * 300, "ü\udcff"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def ingestion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("product")) as made:
        yield made


def manifests() -> st.SearchStrategy[bytes]:
    """Manifests with some fields that are something else, and some that are no JSON any more."""
    good = manifest_of(cluster_id="c", uuid="8f9ad0c5-7d1c-4c5b-9d0f-0d1f9a3f6a55", files=["pods.csv"])
    moments = st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2025-01-31T24:00:00Z", "2025-02-30"])
    changes = st.dictionaries(st.sampled_from(sorted(good)), JSON | moments, max_size=3)
    texts = changes.map(lambda found: orjson.dumps(good | found))
    return texts | st.tuples(texts, st.integers(0, 400), st.binary(max_size=3)).map(
        lambda found: found[0][: found[1]] + found[2] + found[0][found[1] + 1 :]
    )


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """Entries of every kind, then a few bytes changed: in the tar, in the gzip, or in neither."""
    text = io.BytesIO()
    kind = draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    with tarfile.open(fileobj=text, mode="w", format=kind) as tar:
        for name, content in (("manifest.json", draw(manifests())), ("pods.csv", draw(reports()))):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for _ in range(draw(st.integers(0, 3))):
            entry = tarfile.TarInfo(draw(NAMES))
            entry.type, entry.linkname = draw(st.sampled_from(KINDS)), draw(NAMES)
            entry.size = draw(st.sampled_from([0, 0, 1, 513, 2**33]))
            text.write(entry.tobuf(kind, "utf-8", "surrogateescape"))
            text.write(draw(st.binary(max_size=20)).ljust(512, b"\0"))
    packed = changed(draw, text.getvalue())
    return changed(draw, gzip.compress(packed, 1, mtime=0))


def changed(draw: st.DrawFn, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        position = draw(st.integers(0, len(damaged)))
        damaged[position : position + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(damaged)


@given(content=archives())
@FUZZ
def test_F35_S33_an_archive_of_any_bytes_is_refused_in_words_or_read(ingestion: Product, content: bytes):
    began = time.process_time()
    with TemporaryDirectory() as directory:
        try:
            payload = open_payload(io.BytesIO(content), Path(directory), LIMITS)
            manifest = read_manifest(payload.manifest)
        except PayloadRefused as refused:
            assert refused.reason_code in (
                "not_an_archive",
                "hostile_archive",
                "too_large",
                "no_manifest",
                "invalid_manifest",
            )
            assert 10 < len(str(refused)) < 500
        else:
            for name in set(manifest.files) & set(payload.members):
                with payload.open(name) as member:
                    outcome(ingestion, member.read())
        assert [file.name for file in Path(directory).iterdir()] == ["payload.tar"]
    assert time.process_time() - began < LONGEST_SECONDS


SHREDS = st.sampled_from(
    [
        '"',
        '""',
        ",",
        "\n",
        "\r\n",
        "\r",
        " ",
        "a",
        "1",
        "-1e400",
        "é",
        "\ufeff",
        "\0",
        "label_a:1|",
        "nan",
        "2025-01-30 22:00:00 +0000 UTC",
    ]
)


@given(content=reports(), data=st.data())
@FUZZ
def test_F36_F37_text_in_shreds_is_read_as_by_the_plain_rules(ingestion: Product, content: bytes, data: st.DataObject):
    text = content.decode()
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(text)))
        shred = data.draw(SHREDS) * data.draw(st.sampled_from([1, 1, 2, 40]))
        text = text[:position] + shred + text[position + data.draw(st.sampled_from([0, 0, 1, 5])) :]
    assert_read_alike(ingestion, text.encode())
