"""One value for the content of all summary tables, equal for equal content whatever was done to get there.

Left out is what may differ between two runs over the same uploads: random and running numbers, references to them,
and the time of writing. Measures are compared to nine decimals, because sums of floats depend on their order.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, create_engine, make_url, text

from kura.store.tenancy import schema_name_checked

DECIMALS = 9

_TABLES = text("""
    select c.relname
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = :schema
      and c.relkind in ('r', 'p')
      and not c.relispartition
      and (c.relname like 'reporting\\_%' or c.relname = 'rates_to_usage')
      and c.relname <> 'reporting_tenant_api_provider'
    order by c.relname
""")

_ALL_TABLES = text("""
    select c.relname
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = :schema and c.relkind in ('r', 'p') and not c.relispartition
    order by c.relname
""")

_COLUMNS = text("""
    select a.attname, format_type(a.atttypid, null)
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = :schema and c.relname = :table and a.attnum > 0 and not a.attisdropped
    order by a.attname
""")

# How a run cut the days of a line that explains costs is left out too: every day of it is a row.
_LINES = """(
    select line.* from {table} as line where line.days is null
    union all
    select of_day.*
    from {table} as line
    cross join lateral unnest(line.days, line.quantities, line.costs, line.pool_costs) as part (
        day, quantity, cost, pool_cost
    )
    cross join lateral jsonb_populate_record(line, jsonb_build_object(
        'usage_start', part.day,
        'usage_end', part.day,
        'quantity', part.quantity,
        'calculated_cost', case when line.calculated_cost is not null then part.cost end,
        'pool_cost', part.pool_cost,
        'share', case when line.distributed_cost is not null then part.cost / nullif(part.pool_cost, 0) end,
        'distributed_cost', case when line.distributed_cost is not null then part.cost end,
        'days', null,
        'quantities', null,
        'costs', null,
        'pool_costs', null
    )) as of_day
    where line.days is not null
)"""

_RUNNING_NUMBERS = frozenset({"id", "report_period_id", "parent_id", "child_id"})
_UNCOMPARED_TYPES = frozenset({"uuid", "timestamp with time zone", "timestamp without time zone"})


@dataclass(frozen=True)
class Digest:
    """Rows and hash of every table."""

    tables: Mapping[str, tuple[int, str]]

    @property
    def value(self) -> str:
        return hashlib.sha256(repr(sorted(self.tables.items())).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and dict(self.tables) == dict(other.tables)

    def __hash__(self) -> int:
        return hash(self.value)

    def differences(self, other: "Digest") -> list[str]:
        """Tables that differ, with their numbers of rows."""
        names = sorted({*self.tables, *other.tables})
        missing = (0, "")
        return [
            f"{name}: {self.tables.get(name, missing)[0]} and {other.tables.get(name, missing)[0]} rows"
            for name in names
            if self.tables.get(name, missing) != other.tables.get(name, missing)
        ]


def digest_of(database_url: str, schema: str) -> Digest:
    """The digest of one tenant's summary tables; all read in one snapshot."""
    url = make_url(database_url).set(drivername="postgresql+psycopg2")
    engine = create_engine(url, isolation_level="REPEATABLE READ")
    try:
        with engine.connect() as connection:
            return digest_on(connection, schema)
    finally:
        engine.dispose()


def digest_on(connection: Connection, schema: str) -> Digest:
    """The digest as this connection sees the tables."""
    schema = schema_name_checked(schema)
    names = connection.execute(_TABLES, {"schema": schema}).scalars().all()
    return Digest({name: _table_digest(connection, schema, name) for name in names})


def exact_digest_of(database_url: str, schema: str) -> Digest:
    """The digest of every table of a tenant with ids and times: only what was not touched at all is equal."""
    schema = schema_name_checked(schema)
    engine = create_engine(
        make_url(database_url).set(drivername="postgresql+psycopg2"), isolation_level="REPEATABLE READ"
    )
    try:
        with engine.connect() as connection:
            names = connection.execute(_ALL_TABLES, {"schema": schema}).scalars().all()
            return Digest({name: _exact_digest(connection, f'"{schema}"."{name}"') for name in names})
    finally:
        engine.dispose()


def _exact_digest(connection: Connection, table: str) -> tuple[int, str]:
    hashes = f"select md5(t::text) as line from {table} t"
    statement = text(f"select count(*), coalesce(md5(string_agg(line, '' order by line)), '') from ({hashes}) lines")
    count, line = connection.execute(statement).one()
    return int(count), str(line)


def _table_digest(connection: Connection, schema: str, table: str) -> tuple[int, str]:
    columns = connection.execute(_COLUMNS, {"schema": schema, "table": table}).all()
    compared = [
        _comparable(name, kind)
        for name, kind in columns
        if name not in _RUNNING_NUMBERS and kind not in _UNCOMPARED_TYPES
    ]
    row = f"md5(row({', '.join(compared)})::text)"
    source = f'"{schema}"."{table}"'
    if table == "rates_to_usage":
        source = _LINES.format(table=source)
    statement = text(
        f"select count(*), coalesce(md5(string_agg(line, '' order by line)), '')"
        f" from (select {row} as line from {source} as compared) lines"
    )
    count, line = connection.execute(statement).one()
    return int(count), str(line)


def _comparable(name: str, kind: str) -> str:
    column = '"' + name.replace('"', '""') + '"'
    if kind == "numeric":
        return f"trim_scale(round({column}, {DECIMALS}))"
    if kind.endswith("[]"):
        return f"array(select unnest({column}) order by 1)"
    return column
