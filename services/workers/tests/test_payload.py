"""Archives: what is taken, what is refused, with the bytes themselves (ocp-payload §3.1, §7; reliability S33–S35)."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import time
import zlib
from pathlib import Path

import pytest

from kura.core.errors import PayloadRefused
from kura.testing.archives import Member, payload_bytes
from kura.workers.ocp.payload import Limits, Payload, open_payload

MANIFEST = {"uuid": "x"}
BIG_FILE = {"a.csv": b"x" * 5000}
FILES = {"a.csv": b"one\n", "b.csv": b"two\n"}


def opened(content: bytes, tmp_path: Path, limits: Limits | None = None) -> Payload:
    return open_payload(io.BytesIO(content), tmp_path, limits)


def refusal(content: bytes, tmp_path: Path, limits: Limits | None = None) -> PayloadRefused:
    with pytest.raises(PayloadRefused) as refused:
        opened(content, tmp_path, limits)
    return refused.value


def with_member(*members: Member) -> bytes:
    return payload_bytes(manifest=MANIFEST, files=FILES, members=members)


def test_members_are_read_where_they_lie(tmp_path):
    payload = opened(payload_bytes(manifest=MANIFEST, files=FILES), tmp_path)

    assert payload.manifest == b'{"uuid":"x"}'
    assert {name: payload.open(name).read() for name in payload.members} == FILES
    assert [p.name for p in tmp_path.iterdir()] == ["payload.tar"]


def test_a_member_can_be_read_in_pieces_and_by_two_readers_at_once(tmp_path):
    payload = opened(payload_bytes(manifest=MANIFEST, files={"a.csv": b"abcdef"}), tmp_path)
    one, two = payload.open("a.csv"), payload.open("a.csv")

    assert [one.read(4), two.read(3), one.read(4), two.read(), one.read(1)] == [b"abcd", b"abc", b"ef", b"def", b""]


def test_a_directory_with_an_empty_name_is_accepted(tmp_path):
    payload = opened(payload_bytes(manifest=MANIFEST, files=FILES, directory_member=True), tmp_path)

    assert set(payload.members) == {"a.csv", "b.csv"}


def test_files_in_directories_and_links_within_are_left_alone(tmp_path):
    payload = opened(
        with_member(
            Member(name="sub", type=tarfile.DIRTYPE),
            Member(name="sub/c.csv", content=b"three"),
            Member(name="./d.csv", content=b"four"),
            Member(name="link.csv", type=tarfile.SYMTYPE, linkname="a.csv"),
        ),
        tmp_path,
    )

    assert set(payload.members) == {"a.csv", "b.csv"}


def test_gzip_in_several_members_and_padding_behind_it_are_read(tmp_path):
    tar = payload_bytes(manifest=MANIFEST, files=FILES, gzipped=False)
    packed = gzip.compress(tar[:700]) + b"\0" * 10 + gzip.compress(tar[700:]) + b"\0" * 600_000

    assert set(opened(packed, tmp_path).members) == {"a.csv", "b.csv"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello, this is no archive at all", "not a gzip'd tar"),
        (payload_bytes(manifest=MANIFEST, gzipped=False), "not a gzip'd tar"),
        (payload_bytes(manifest=MANIFEST, files=FILES)[:-30], "cut short"),
        (payload_bytes(manifest=MANIFEST, files=FILES)[:5], "cut short"),
        (payload_bytes(manifest=MANIFEST, files=FILES)[:-8] + b"\x01" * 8, "is damaged"),
        (payload_bytes(manifest=MANIFEST, files=FILES) + b"garbage", "is damaged"),
        (gzip.compress(b"no tar inside" * 100, mtime=0), "not a readable tar"),
        (gzip.compress(b"", mtime=0), "not a readable tar"),
        (gzip.compress(payload_bytes(manifest=MANIFEST, files=BIG_FILE, gzipped=False)[:3000], mtime=0), "tar"),
    ],
)
def test_what_is_no_whole_archive_is_refused_in_words(tmp_path, content, words):
    refused = refusal(content, tmp_path)

    assert refused.reason_code == "not_an_archive"
    assert words in str(refused)


def test_damage_between_two_members_is_refused(tmp_path):
    tar = bytearray(payload_bytes(manifest=MANIFEST, files=FILES, gzipped=False))
    tar[1024:1536] = random.Random(1).randbytes(512)

    assert refusal(gzip.compress(bytes(tar)), tmp_path).reason_code == "not_an_archive"


@pytest.mark.parametrize(
    "member",
    [
        Member(name="../outside.csv", content=b"x"),
        Member(name="sub/../../outside.csv", content=b"x"),
        Member(name="/etc/outside.csv", content=b"x"),
        Member(name="link.csv", type=tarfile.SYMTYPE, linkname="../outside"),
        Member(name="link.csv", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        Member(name="link.csv", type=tarfile.LNKTYPE, linkname="../outside"),
        Member(name="device", type=tarfile.CHRTYPE),
        Member(name="device", type=tarfile.BLKTYPE),
        Member(name="pipe", type=tarfile.FIFOTYPE),
        Member(name="a.csv", content=b"again"),
        Member(name="manifest.json", content=b"{}"),
        Member(name="x" * 2_000_000, content=b"long name"),
        Member(name="y.csv", content=b"x", pax_headers={"comment": "z" * 2_000_000}),
    ],
)
def test_a_hostile_member_refuses_the_whole_and_nothing_is_written(tmp_path, member):
    work = tmp_path / "work"
    work.mkdir()

    assert refusal(with_member(member), work).reason_code == "hostile_archive"
    assert [path.name for path in tmp_path.rglob("*")] == ["work", "payload.tar"]


def tar_of(*blocks: bytes) -> bytes:
    """An archive of raw headers and contents, each filled up to whole blocks."""
    return gzip.compress(b"".join(block + bytes(-len(block) % 512) for block in blocks) + bytes(1024), 1)


def header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def extended(text: bytes, kind: bytes = tarfile.XHDTYPE) -> tuple[bytes, bytes]:
    return header("extended", kind, len(text)), text


def record(keyword: str, value: str) -> bytes:
    rest = f" {keyword}={value}\n".encode()
    size = len(rest) + next(n for n in range(1, 9) if len(str(len(rest) + n)) == n)
    return str(size).encode() + rest


def test_names_and_sizes_come_from_the_headers_in_front_of_an_entry(tmp_path):
    payload = opened(
        tar_of(
            *extended(record("comment", "of all"), tarfile.XGLTYPE),
            *extended(record("path", "grün.csv") + record("size", "3") + record("mtime", "1")),
            header("short", size=0),
            b"one",
            *extended(b"manifest.json\0", tarfile.GNUTYPE_LONGNAME),
            header("short", size=2),
            b"{}",
        ),
        tmp_path,
    )

    assert (payload.manifest, payload.open("grün.csv").read()) == (b"{}", b"one")


@pytest.mark.parametrize(
    "text",
    [
        b"9" * 1_000_000,  # hours, for Python before 3.11.10
        b"".join(b"5 aa\n" for _ in range(200_000)) + b"=",  # gigabytes
        b"0 path=x\n",
        b"11 path=x\n",
        b"8 path=x\n",
        b"-9 path=x\n",
        b"path=x\n",
        "٩ path=x\n".encode(),
        record("size", "-5"),
        record("size", "9" * 1000),
        record("size", "1_0"),
    ],
    ids=range(11),
)
def test_an_extended_header_that_makes_no_sense_is_refused_at_once(tmp_path, text):
    began = time.process_time()

    assert refusal(tar_of(*extended(text), header("a.csv")), tmp_path).reason_code == "not_an_archive"
    assert time.process_time() - began < 1


def test_an_extended_header_with_nothing_behind_it_is_refused(tmp_path):
    assert refusal(tar_of(*extended(record("path", "x"))), tmp_path).reason_code == "not_an_archive"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (tar_of(*extended(record("comment", "c" * 900_000)) * 30, header("a.csv")), "hostile_archive"),
        (tar_of(*extended(record("GNU.sparse.major", "1"), tarfile.XHDTYPE), header("a.csv")), "hostile_archive"),
        (tar_of(*extended(record("GNU.sparse.map", "0,1"), tarfile.XHDTYPE), header("a.csv")), "hostile_archive"),
        (tar_of(*extended(record("path", "../a.csv")), header("a.csv")), "hostile_archive"),
        (tar_of(*extended(b"/etc/a.csv\0", tarfile.GNUTYPE_LONGNAME), header("a.csv")), "hostile_archive"),
        (tar_of(*extended(b"../a\0", tarfile.GNUTYPE_LONGLINK), header("a", tarfile.SYMTYPE)), "hostile_archive"),
        (tar_of(header("a.csv", size=10**9)), "not_an_archive"),
    ],
    ids=range(7),
)
def test_what_headers_say_is_checked_like_what_entries_say(tmp_path, content, code):
    assert refusal(content, tmp_path).reason_code == code


def test_headers_without_end_are_refused(tmp_path):
    comment = b"".join(extended(record("comment", "c"), tarfile.XGLTYPE)).ljust(1024, b"\0")

    assert "oversized headers" in str(refusal(tar_of(comment * 50_000), tmp_path, Limits(ratio=10**6)))


def test_too_many_members_are_refused(tmp_path):
    many = {f"{n}.csv": b"" for n in range(30)}

    assert "more than 20 entries" in str(
        refusal(payload_bytes(manifest=MANIFEST, files=many), tmp_path, Limits(members=20))
    )


def test_setuid_bits_and_long_names_have_no_effect(tmp_path):
    payload = opened(with_member(Member(name="s" * 4000, mode=0o4777, content=b"x")), tmp_path)

    assert payload.path.stat().st_mode & 0o777 == 0o600


def test_an_archive_that_grows_beyond_the_limit_is_stopped(tmp_path):
    bomb = payload_bytes(manifest=MANIFEST, files={"a.csv": b"0" * 20_000_000})
    limits = Limits(total_bytes=5_000_000, ratio_from_bytes=10**12)

    assert refusal(bomb, tmp_path, limits).reason_code == "too_large"
    assert (tmp_path / "payload.tar").stat().st_size <= 5_000_000


def test_an_archive_that_grows_too_steeply_is_stopped(tmp_path):
    bomb = payload_bytes(manifest=MANIFEST, files={"a.csv": b"0" * 20_000_000})

    assert "100-fold" in str(refusal(bomb, tmp_path, Limits(ratio_from_bytes=3_000_000)))


def test_an_archive_without_a_manifest_is_refused(tmp_path):
    for content in (
        payload_bytes(manifest=None, files=FILES),
        payload_bytes(manifest=MANIFEST, manifest_name="./manifest.json"),
        payload_bytes(manifest=MANIFEST, manifest_name="sub/manifest.json"),
    ):
        (tmp_path / "payload.tar").unlink(missing_ok=True)
        assert refusal(content, tmp_path).reason_code == "no_manifest"


def test_a_manifest_over_ten_mebibytes_is_refused(tmp_path):
    noise = random.Random(2).randbytes(6_000_000).hex().encode()

    assert refusal(payload_bytes(manifest=noise), tmp_path).reason_code == "invalid_manifest"


def test_flipped_bits_never_crash(tmp_path):
    good = payload_bytes(manifest=MANIFEST, files={"a.csv": b"1,2\n" * 1000, **FILES})
    tar = payload_bytes(manifest=MANIFEST, files=FILES, gzipped=False)
    chance = random.Random(3)
    for number in range(300):
        broken = bytearray(good if number % 2 else tar)
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        content = bytes(broken) if number % 2 else zlib.compress(bytes(broken), wbits=31)
        (tmp_path / "payload.tar").unlink(missing_ok=True)
        try:
            opened(content, tmp_path)
        except PayloadRefused as refused:
            assert str(refused)
