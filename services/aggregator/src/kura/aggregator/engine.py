"""The SQL engine of a run: DuckDB in memory, with limits, spilling to a directory, and no way out.

The engine sees only what it is given: Arrow tables and data sets that are registered under a name. It can open no file,
load no extension and change none of its limits. Values are bound as parameters; SQL text comes from this package alone.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from kura.core.errors import (
    Cancelled,
    InvalidData,
    KuraError,
    ObjectMissing,
    ObjectStoreUnavailable,
    TransientError,
    Unavailable,
)

MEBIBYTE = 2**20
SMALLEST_MEMORY = 128 * MEBIBYTE
BATCH_ROWS = 65_536
KEPT_ENGINES = 4
KEPT_BYTES = 32 * MEBIBYTE
"""An engine that holds more at the end of a run is not kept."""
KEPT_STATEMENTS = 500

OF_A_STREAM = re.compile(r"Invalid Input Error: reading the stream registered as '\w+' failed: ")
"""How DuckDB begins to tell of an error that Arrow met while it read objects."""
OBJECT_KEY = re.compile(r"data/parquet/[^'\"]+\.parquet")

MACROS = (
    # A JSON object as a list of (key, value).
    """CREATE MACRO label_entries(labels VARCHAR) AS CAST(
        list_zip(json_keys(labels), json_extract_string(labels, '$.*')) AS STRUCT(key VARCHAR, value VARCHAR)[]
    )""",
    # The same as JSON text without spaces and with sorted keys: equal maps have equal texts.
    """CREATE MACRO labels_text(entries STRUCT(key VARCHAR, value VARCHAR)[]) AS
        CAST(to_json(map_from_entries(list_sort(entries))) AS VARCHAR)""",
    # Several maps in one, the later wins.
    """CREATE MACRO merged_labels(maps VARCHAR[]) AS labels_text(map_entries(list_reduce(
        list_transform(maps, lambda labels: map_from_entries(label_entries(labels))),
        lambda weak, strong: map_concat(weak, strong)
    )))""",
    # A sum of core-seconds or byte-seconds that does not depend on the order of rows, and so not on threads: of whole
    # multiples of 2^-40, far below the last digit that is stored. `sum(x ORDER BY x)` says the same but keeps every x.
    """CREATE MACRO exact_sum(seconds DOUBLE) AS
        CAST(sum(CAST(seconds * 1099511627776 AS HUGEINT)) AS DOUBLE) / 1099511627776""",
    # numeric(33,15): the shortest text that reads back as the same double, rounded half away from zero.
    "CREATE MACRO postgresql_numeric(x DOUBLE) AS CAST(CAST(x AS VARCHAR) AS DECIMAL(33, 15))",
    # Binary jsonb: the version byte 1, then the JSON text.
    "CREATE MACRO postgresql_jsonb(json VARCHAR) AS encode(chr(1) || json)",
)


class OutOfSpace(TransientError):
    """The engine has neither memory nor spill space left for this run."""

    code = "engine_out_of_space"


@dataclass(frozen=True, kw_only=True)
class EngineLimits:
    """What one run may use."""

    memory_bytes: int
    threads: int
    spill_directory: Path
    spill_bytes: int | None = None


@dataclass(frozen=True)
class Relation:
    """Rows inside one engine, under the name the engine gave them."""

    engine: Engine
    name: str

    def to_arrow(self) -> pa.Table:
        return self.to_reader().read_all()

    def to_reader(self) -> pa.RecordBatchReader:
        return self.engine.reader(self.name)

    def to_pylist(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.to_arrow().to_pylist()
        return rows

    def count(self) -> int:
        counted = self.engine.query(f'SELECT count(*) FROM "{self.name}"')  # noqa: S608  our own name
        return int(counted.fetchall()[0][0])

    def drop(self) -> None:
        """Give the memory back. The relation must not be used afterwards."""
        self.engine.query(f'DROP TABLE "{self.name}"')


@dataclass(frozen=True)
class Statement:
    """One named SQL statement. Its inputs are the table names it reads, its `$names` are bound values."""

    name: str
    text: str


@cache
def statement(name: str) -> Statement:
    """The statement of the file `<name>.sql` beside the steps."""
    text = resources.files("kura.aggregator.steps").joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return Statement(name, text.strip().removesuffix(";"))


class Engine:
    """The relations of one run in DuckDB. Not for several threads at once, except `interrupt` and `reader_beside`."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, parsed: dict[str, duckdb.Statement] | None = None
    ) -> None:
        self._connection = connection
        self._parsed = {} if parsed is None else parsed
        self._relations = 0
        self._interrupted = False
        self._shared: list[str] = []
        self._beside: list[duckdb.DuckDBPyConnection] = []

    @classmethod
    @contextmanager
    def open(cls, limits: EngineLimits) -> Iterator[Engine]:
        """An empty engine within `limits`; its spill files are gone afterwards."""
        with Engines(limits) as engines, engines.lend() as engine:
            yield engine

    def table(self, rows: pa.Table) -> Relation:
        """Make an Arrow table readable."""
        return self._registered(rows)

    def dataset(self, dataset: ds.Dataset) -> Relation:
        """Make a data set readable; only the columns and row groups a statement needs are read."""
        return self._registered(dataset)

    def compute(self, step: Statement, params: Mapping[str, Any] | None = None, **inputs: Relation) -> Relation:
        """Run one statement and keep its rows. `inputs`: what its table names stand for."""
        name = self._new_name(step.name)
        self._run(f'CREATE TEMP TABLE "{name}" AS {self._bound(step, inputs)}', params)
        return Relation(self, name)

    def compute_shared(self, step: Statement, **inputs: Relation) -> Relation:
        """The same, of rows that another thread reads too, by `reader_beside`."""
        name = self._new_name(step.name)
        self._shared.append(name)
        self._run(f'CREATE TABLE "{name}" AS {self._bound(step, inputs)}', None)
        return Relation(self, name)

    def view(self, step: Statement, **inputs: Relation) -> Relation:
        """The same without keeping the rows: the statement runs when the relation is read."""
        name = self._new_name(step.name)
        self._run(f'CREATE TEMP VIEW "{name}" AS {self._bound(step, inputs)}', None)
        return Relation(self, name)

    def query(self, text: str, params: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
        return self._run(text, params)

    def reader(self, name: str) -> pa.RecordBatchReader:
        """The rows of a relation, computed while they are read."""
        if self._interrupted:
            raise Cancelled
        try:
            return self._connection.sql(f'FROM "{name}"').to_arrow_reader(BATCH_ROWS)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise translated(error) from error

    @contextmanager
    def reader_beside(self, rows: Relation) -> Iterator[pa.RecordBatchReader]:
        """The rows of a shared relation, for another thread, while this engine goes on computing."""
        with self._connection.cursor() as connection:
            self._beside.append(connection)
            if self._interrupted:
                raise Cancelled
            yield Engine(connection).reader(rows.name)
            self._beside.remove(connection)

    def drop_shared(self) -> None:
        """Shared relations do not end with the connection that made them."""
        while self._shared:
            self._connection.execute(f'DROP TABLE IF EXISTS "{self._shared.pop()}"')

    def interrupt(self) -> None:
        """Stop the statements that run now and every later one; for another thread."""
        self._interrupted = True
        for connection in (self._connection, *self._beside):
            with suppress(duckdb.ConnectionException):  # closed: nothing runs any more
                connection.interrupt()

    def _registered(self, source: Any) -> Relation:
        name = self._new_name("given")
        self._connection.register(name, source)
        return Relation(self, name)

    def _new_name(self, base: str) -> str:
        self._relations += 1
        return f"{base}_{self._relations}"

    @staticmethod
    def _bound(step: Statement, inputs: Mapping[str, Relation]) -> str:
        if not inputs:
            return step.text
        given = ", ".join(f'"{name}" AS NOT MATERIALIZED (FROM "{rel.name}")' for name, rel in inputs.items())
        return f"WITH {given} SELECT * FROM (\n{step.text}\n)"  # noqa: S608  our own text and names

    def _run(self, text: str, params: Mapping[str, Any] | None) -> duckdb.DuckDBPyConnection:
        if self._interrupted:
            raise Cancelled
        try:
            found = self._statement(text)
            return self._connection.execute(found, dict(params)) if params else self._connection.execute(found)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise translated(error) from error

    def _statement(self, text: str) -> duckdb.Statement:
        """The parsed text: runs of one kind have the same texts, and a small run takes long to parse them."""
        found = self._parsed.get(text)
        if found is None:
            (found,) = self._connection.extract_statements(text)
            if len(self._parsed) >= KEPT_STATEMENTS:
                self._parsed.clear()
            self._parsed[text] = found
        return found


class Engines:
    """Makes engines. One that served a small run is kept for the next: making it takes as long as such a run.

    One that grew is closed, since DuckDB gives its memory back only then. What a run made is gone with its engine.
    """

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self._idle: list[_Instance] = []

    @contextmanager
    def lend(self) -> Iterator[Engine]:
        """An engine without any rows, for one run."""
        instance = self._taken() or _Instance.start(self._limits)
        try:
            with instance.connection.cursor() as connection:
                engine = Engine(connection, instance.parsed)
                yield engine
                engine.drop_shared()
                is_small = _memory_in_use(connection) <= KEPT_BYTES
        except BaseException:
            instance.stop()
            raise
        if is_small and len(self._idle) < KEPT_ENGINES:
            self._idle.append(instance)
        else:
            instance.stop()

    def close(self) -> None:
        while instance := self._taken():
            instance.stop()

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _taken(self) -> _Instance | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


@dataclass(frozen=True)
class _Instance:
    """One DuckDB database in memory and the directory it spills to."""

    connection: duckdb.DuckDBPyConnection
    spill: tempfile.TemporaryDirectory[str]
    parsed: dict[str, duckdb.Statement] = field(default_factory=dict)

    @classmethod
    def start(cls, limits: EngineLimits) -> _Instance:
        spill = tempfile.TemporaryDirectory(prefix="kura-engine-", dir=limits.spill_directory)
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{max(limits.memory_bytes, SMALLEST_MEMORY)}B",
            "threads": limits.threads,
            "temp_directory": spill.name,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        }
        if limits.spill_bytes is not None:
            config["max_temp_directory_size"] = f"{limits.spill_bytes}B"
        connection = duckdb.connect(":memory:", config=config)
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        for macro in MACROS:
            connection.execute(macro)
        connection.execute("SET GLOBAL python_enable_replacements = false")
        connection.execute("SET GLOBAL enable_external_access = false")
        connection.execute("SET GLOBAL lock_configuration = true")
        return cls(connection, spill)

    def stop(self) -> None:
        self.connection.close()
        self.spill.cleanup()


def _memory_in_use(connection: duckdb.DuckDBPyConnection) -> int:
    found = connection.execute("SELECT coalesce(sum(memory_usage_bytes), 0) FROM duckdb_memory()").fetchall()
    return int(found[0][0])


def translated(error: Exception) -> KuraError:
    """The KuraError that says what a DuckDB or Arrow error means here."""
    match error:
        case duckdb.InterruptException():
            return Cancelled()
        case duckdb.OutOfMemoryException():
            return OutOfSpace(str(error))
        case FileNotFoundError():
            return _unreadable(f"No such file: '{error}'")
        case duckdb.InvalidInputException() if OF_A_STREAM.match(str(error)):
            return _unreadable(OF_A_STREAM.sub("", str(error)))
        case (
            duckdb.ConversionException()
            | duckdb.OutOfRangeException()
            | duckdb.InvalidInputException()
            | pa.ArrowInvalid()
            | pa.ArrowTypeError()
        ):
            return InvalidData(str(error))
        case duckdb.IOException() | OSError():
            return Unavailable(str(error))
        case _:
            return KuraError(str(error))


def _unreadable(what: str) -> KuraError:
    """What Arrow says of objects that it could not read: gone, not to be had now, or not what their schema says."""
    named = OBJECT_KEY.search(what)
    key = named[0] if named else "an object"
    if "No such file" in what:
        return ObjectMissing(f"{key} is not in the object store: restore it, or send the payloads of those days again.")
    if "AWS Error" in what:
        return ObjectStoreUnavailable(f"The object store failed at {key}: {what}")
    if "Could not open Parquet" in what or what.startswith("IOError"):
        # Cut short on its way, or damaged where it lies: only trying again tells.
        return TransientError(f"{key} cannot be read: {what}")
    return InvalidData(what)


def container_memory_bytes(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory this container may use: the cgroup's limit, else that of the machine."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _text(root / name)
        if text.isdigit():
            return min(int(text), machine)
    return machine


def container_cpus(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Whole processors this container may use, at least one."""
    available = len(os.sched_getaffinity(0))
    quota, period = [*_text(root / "cpu.max").split(), "", ""][:2]
    if not quota:
        quota, period = _text(root / "cpu/cpu.cfs_quota_us"), _text(root / "cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        return max(1, min(available, int(quota) // int(period)))
    return max(1, available)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
