"""Both object stores keep the same promises."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from kura.core.errors import BadRequest, ConfigError, ObjectMissing, ObjectStoreUnavailable
from kura.store import object_directory, object_s3
from kura.store.objects import ObjectStore, key_checked
from kura.testing.objects import ACCESS_KEY, SECRET_KEY


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    name = {"directory": "directory_store", "s3": "s3_store"}[request.param]
    found: ObjectStore = request.getfixturevalue(name)
    return found


class TestEveryStore:
    def test_what_was_written_is_read(self, store: ObjectStore) -> None:
        assert store.write("data/a b/ä=1.bin", b"content") == 7

        assert store.read("data/a b/ä=1.bin") == b"content"
        assert store.size("data/a b/ä=1.bin") == 7
        assert store.exists("data/a b/ä=1.bin")

    def test_an_object_may_be_empty(self, store: ObjectStore) -> None:
        store.write("empty", b"")

        assert store.read("empty") == b""

    def test_chunks_become_one_object(self, store: ObjectStore) -> None:
        assert store.write("chunks", (bytes([n]) * 1000 for n in range(3))) == 3000

        assert store.read("chunks") == b"\0" * 1000 + b"\1" * 1000 + b"\2" * 1000

    def test_a_large_object_goes_through_in_pieces(self, store: ObjectStore) -> None:
        chunk = bytes(range(256)) * 4096  # 1 MiB
        store.write("large", (chunk for _ in range(20)))

        assert store.size("large") == 20 * len(chunk)
        assert all(piece == chunk for piece in store.read_chunks("large", size=len(chunk)))
        with store.open_read("large") as reader:
            reader.seek(-10, io.SEEK_END)
            assert reader.read() == chunk[-10:]
            reader.seek(5 * len(chunk) + 7)
            assert reader.read(3) == bytes([7, 8, 9])

    def test_a_missing_object_is_missing(self, store: ObjectStore) -> None:
        assert not store.exists("none")
        for call in (store.read, store.size, store.metadata, store.open_read):
            with pytest.raises(ObjectMissing):
                call("none")

    def test_metadata_comes_back_in_lower_case(self, store: ObjectStore) -> None:
        store.write("with", b"x", {"ManifestId": "12", "reportdatestart": "2025-01-10"})
        store.write("without", b"x")

        assert store.metadata("with") == {"manifestid": "12", "reportdatestart": "2025-01-10"}
        assert store.metadata("without") == {}

    def test_metadata_goes_with_its_object(self, store: ObjectStore) -> None:
        store.write("key", b"1", {"manifestid": "12"})
        store.write("key", b"2")
        assert store.metadata("key") == {}

        store.write("key", b"3", {"manifestid": "13"})
        store.delete(["key"])
        store.write("key", b"4")
        assert store.metadata("key") == {}

    def test_a_large_object_has_metadata_too(self, store: ObjectStore) -> None:
        store.write("large", (b"x" * 2**20 for _ in range(9)), {"manifestid": "12"})

        assert store.metadata("large") == {"manifestid": "12"}

    def test_nothing_is_seen_before_close(self, store: ObjectStore) -> None:
        store.write("key", b"old")

        with store.open_write("key") as writer:
            writer.write(b"new" * 4_000_000)
            assert store.read("key") == b"old"
            assert [found.key for found in store.list()] == ["key"]

        assert store.size("key") == 12_000_000

    def test_an_error_while_writing_leaves_the_old_object(self, store: ObjectStore) -> None:
        store.write("key", b"old")

        with pytest.raises(ZeroDivisionError), store.open_write("key") as writer:
            writer.write(b"new" * 4_000_000)
            raise ZeroDivisionError

        assert store.read("key") == b"old"
        assert store.remove_unfinished(older_than=timedelta(0)) == 0

    def test_a_writer_that_is_only_forgotten_publishes_nothing(self, store: ObjectStore) -> None:
        writer = store.open_write("key")
        writer.write(b"x" * 9_000_000)
        del writer

        assert not store.exists("key")

    def test_a_closed_writer_writes_no_more(self, store: ObjectStore) -> None:
        writer = store.open_write("key")
        writer.write(b"x")
        writer.close()
        writer.close()
        writer.abort()

        with pytest.raises(ValueError, match="closed"):
            writer.write(b"y")
        assert store.read("key") == b"x"

    def test_keys_are_listed_in_the_order_of_their_bytes(self, store: ObjectStore) -> None:
        keys = ["a/b", "a-b", "a/b/c-is-no-parent".replace("b/", "d/"), "a.b", "ab", "b/1", "Z"]
        for key in keys:
            store.write(key, b"1")

        assert list(store.keys()) == sorted(keys)
        assert list(store.keys("a/")) == ["a/b", "a/d/c-is-no-parent"]
        assert list(store.keys("a")) == ["a-b", "a.b", "a/b", "a/d/c-is-no-parent", "ab"]
        assert list(store.keys("a/d")) == ["a/d/c-is-no-parent"]
        assert list(store.keys("none/")) == []

    def test_a_list_tells_sizes(self, store: ObjectStore) -> None:
        store.write("key", b"12345")

        (found,) = store.list("k")

        assert (found.key, found.size) == ("key", 5)
        assert found.modified.tzinfo is not None

    def test_long_lists_come_in_pages(self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(object_s3, "PAGE", 3)
        for number in range(8):
            store.write(f"data/{number}", b"")

        assert list(store.keys("data/")) == [f"data/{number}" for number in range(8)]

    def test_deleting_is_repeatable(self, store: ObjectStore) -> None:
        for key in ("a/1", "a/2", "b"):
            store.write(key, b"")

        assert store.delete(["a/1", "a/2", "never"]) == 3
        assert store.delete(["a/1"]) == 1
        assert list(store.keys()) == ["b"]

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            "a/..",
            "./a",
            "a\\b",
            "a\0b",
            "a\nb",
            ".kura/x",
            "x" * 256,
            "a/" * 600 + "a",
        ],
    )
    def test_keys_stay_inside(self, store: ObjectStore, key: str) -> None:
        for call in (store.read, store.exists, store.open_write, lambda key: store.delete([key])):
            with pytest.raises(BadRequest):
                call(key)

    @pytest.mark.parametrize("prefix", ["/", "../", "a/../", "//", "a//", ".kura/"])
    def test_prefixes_stay_inside(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(BadRequest):
            list(store.list(prefix))

    def test_an_escaped_slash_is_an_ordinary_name(self, store: ObjectStore) -> None:
        store.write("a/%2e%2e%2fb", b"x")

        assert list(store.keys()) == ["a/%2e%2e%2fb"]

    def test_metadata_cannot_smuggle_headers(self, store: ObjectStore) -> None:
        with pytest.raises(BadRequest):
            store.write("key", b"", {"name": "a\r\nx-amz-acl: public-read"})

    def test_arrow_writes_into_a_writer_and_reads_the_dataset(self, store: ObjectStore) -> None:
        for month in ("01", "02"):
            table = pa.table({"node": ["n1", "n2"], "hours": [1.0, float(month)]})
            with store.open_write(f"data/year=2025/month={month}/f.parquet") as writer:
                pq.write_table(table, writer)

        filesystem, base = store.arrow_filesystem()
        partitions = ds.partitioning(pa.schema([("year", pa.string()), ("month", pa.string())]), flavor="hive")
        found = ds.dataset(f"{base}/data", filesystem=filesystem, partitioning=partitions, format="parquet")

        assert found.to_table(filter=ds.field("month") == "02").column("hours").to_pylist() == [1.0, 2.0]
        path = store.arrow_path("data/year=2025/month=01/f.parquet")
        assert pq.read_table(path, filesystem=filesystem, partitioning=None).num_rows == 2
        with store.open_read("data/year=2025/month=01/f.parquet") as reader:
            assert pq.ParquetFile(reader).metadata.num_rows == 2

    def test_tar_archives_stream_in_and_out(self, store: ObjectStore) -> None:
        with store.open_write("a.tar.gz") as writer, tarfile.open(fileobj=writer, mode="w|gz") as archive:  # type: ignore[call-overload]
            member = tarfile.TarInfo("manifest.json")
            member.size = 2
            archive.addfile(member, io.BytesIO(b"{}"))

        with store.open_read("a.tar.gz") as reader, tarfile.open(fileobj=reader, mode="r|gz") as archive:
            assert [member.name for member in archive] == ["manifest.json"]

    def test_objects_written_together_are_there_after_the_block(self, store: ObjectStore) -> None:
        with store.together() as objects, ThreadPoolExecutor(4) as threads:
            for day in range(8):
                threads.submit(objects.write, f"data/year=2025/day={day}", bytes([day]), {"day": str(day)})

        assert [store.read(key) for key in store.keys("data/")] == [bytes([day]) for day in range(8)]
        assert store.metadata("data/year=2025/day=7") == {"day": "7"}

    def test_it_answers(self, store: ObjectStore) -> None:
        store.ping()


class TestDirectory:
    def test_files_are_private(self, tmp_path: Path) -> None:
        store = ObjectStore.open(f"file://{tmp_path}/store")
        store.write("data/key", b"secret", {"manifestid": "1"})

        for path in (tmp_path / "store").rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path

    def test_a_killed_writer_leaves_nothing_visible_and_is_cleaned_up_after_a_while(self, tmp_path: Path) -> None:
        """F34."""
        store = ObjectStore.open(f"file://{tmp_path}/store")
        program = (
            "import os, signal\n"
            "from kura.store.objects import ObjectStore\n"
            f"writer = ObjectStore.open('file://{tmp_path}/store').open_write('key')\n"
            "writer.write(b'x' * 5_000_000)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
        (leftover,) = (tmp_path / "store" / ".kura" / "unfinished").iterdir()

        assert list(store.keys()) == []
        assert store.remove_unfinished(older_than=timedelta(hours=1)) == 0
        two_hours_ago = time.time() - 7200
        os.utime(leftover, (two_hours_ago, two_hours_ago))
        assert store.remove_unfinished(older_than=timedelta(hours=1)) == 1
        assert not leftover.exists()

    def test_every_name_on_the_way_to_an_object_is_brought_to_the_disk_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, synced = ObjectStore.open(f"file://{tmp_path}/store"), []
        monkeypatch.setattr(object_directory, "_sync_directory", lambda path: synced.append(path.name))

        with store.together() as objects:
            objects.write("a/b/1", b"", {"manifestid": "1"})
            objects.write("a/c/1", b"")
            store.write("a/c/2", b"")
            assert synced == ["store", "a", "c"]  # of the directories that the others made
            synced.clear()
        assert synced == ["store", "a", "b", "c"]
        synced.clear()
        store.write("a/b/2", b"")
        assert synced == ["b"]

    def test_metadata_that_was_lost_with_the_power_is_none(self, tmp_path: Path) -> None:
        store = ObjectStore.open(f"file://{tmp_path}/store")
        store.write("key", b"x", {"manifestid": "1"})
        (tmp_path / "store" / ".kura" / "metadata" / "key").write_bytes(b"")

        assert store.metadata("key") == {}

    def test_emptied_directories_go(self, tmp_path: Path) -> None:
        store = ObjectStore.open(f"file://{tmp_path}/store")
        store.write("a/b/c", b"", {"manifestid": "1"})
        store.delete(["a/b/c"])

        assert not (tmp_path / "store" / "a").exists()
        assert list((tmp_path / "store" / ".kura" / "metadata").iterdir()) == []

    def test_a_full_disk_is_unavailable(self, tmp_path: Path) -> None:
        store = ObjectStore.open(f"file://{tmp_path}/store")
        (tmp_path / "store" / "data").write_bytes(b"a file where a directory should be")

        with pytest.raises(ObjectStoreUnavailable):
            store.write("data/key", b"")
        assert store.remove_unfinished(older_than=timedelta(0)) == 0


@pytest.mark.s3
class TestS3:
    def test_a_prefix_separates_two_stores_of_one_bucket(self, s3_store: ObjectStore, s3_endpoint: str) -> None:
        bucket = s3_store.bucket  # type: ignore[attr-defined]
        keys = {"endpoint": s3_endpoint, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        inner = ObjectStore.open(f"s3://{bucket}/team/one", **keys)  # type: ignore[arg-type]
        inner.write("data/key", b"x")

        assert list(s3_store.keys()) == ["team/one/data/key"]
        assert list(inner.keys()) == ["data/key"]
        filesystem, base = inner.arrow_filesystem()
        assert filesystem.get_file_info(f"{base}/data/key").size == 1
        inner.close()

    def test_an_object_replaced_while_it_is_read_is_not_mixed(self, s3_store: ObjectStore) -> None:
        s3_store.write("key", b"a" * (object_s3.RANGE_BYTES + 10))
        with s3_store.open_read("key") as reader:
            reader.read(10)
            s3_store.write("key", b"b" * (object_s3.RANGE_BYTES + 10))
            with pytest.raises(ObjectStoreUnavailable):
                reader.read()

    def test_a_bucket_that_is_not_there_is_unavailable(self, s3_endpoint: str) -> None:
        with (
            ObjectStore.open("s3://no-such-bucket", endpoint=s3_endpoint, access_key="a", secret_key="b") as store,
            pytest.raises(ObjectStoreUnavailable),
        ):
            store.ping()

    def test_other_clients_see_ordinary_objects(self, s3_store: ObjectStore) -> None:
        s3_store.write("key", b"content", {"ManifestId": "7"})

        filesystem, base = s3_store.arrow_filesystem()

        with filesystem.open_input_stream(f"{base}/key") as stream:
            assert stream.read() == b"content"

    def test_parts_of_a_killed_writer_are_aborted(self, s3_store: ObjectStore) -> None:
        """F34. The S3 of the tests says that every upload began long ago."""
        writer = s3_store.open_write("key")
        writer.write(b"x" * 9_000_000)

        assert list(s3_store.keys()) == []
        assert s3_store.remove_unfinished(older_than=timedelta(hours=1)) == 1
        assert s3_store.remove_unfinished(older_than=timedelta(hours=1)) == 0
        writer.abort()


@pytest.mark.parametrize("url", ["ftp://x/y", "file://host/dir", "file:///", "s3://", "s3://bucket?region=x", "/dir"])
def test_an_address_of_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        ObjectStore.open(url)


def test_a_key_is_given_back_as_it_is() -> None:
    assert key_checked("data/x=1/Ä.parquet") == "data/x=1/Ä.parquet"
