"""Settings of tables that follow from their size. Source: tasks-and-queues §3.2 (autovacuum)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from kura.store.tenancy import quoted

SCALE_FACTORS = ((10_000_000, 0.01), (1_000_000, 0.02), (100_000, 0.05))
"""Share of dead rows at which a table of at least so many rows is vacuumed."""

_TABLES = """
select c.relname as name, s.n_live_tup as rows, pg_has_role(c.relowner, 'usage') as permitted,
       (select o.option_value::float from pg_options_to_table(c.reloptions) o
        where o.option_name = 'autovacuum_vacuum_scale_factor') as scale_factor
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_stat_all_tables s on s.relid = c.oid
where n.nspname = :schema and c.relkind = 'r'
order by c.relname
"""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """Tables that were changed, and tables that should be but belong to another role."""

    changed: int = 0
    not_permitted: int = 0

    def __add__(self, other: Tuned) -> Tuned:
        return Tuned(changed=self.changed + other.changed, not_permitted=self.not_permitted + other.not_permitted)


def scale_factor_of(rows: int) -> float | None:
    """None: the server's own setting is right."""
    return next((factor for least, factor in SCALE_FACTORS if rows >= least), None)


def tune_autovacuum(connection: Connection, schema: str) -> Tuned:
    """Set or reset the scale factor of every table of a tenant that has another one than its size asks for."""
    tuned = Tuned()
    for table in connection.execute(text(_TABLES), {"schema": schema}).all():
        wanted = scale_factor_of(table.rows)
        if wanted == table.scale_factor:
            continue
        if not table.permitted:
            tuned += Tuned(not_permitted=1)
            continue
        change = (
            f"set (autovacuum_vacuum_scale_factor = {wanted})" if wanted else "reset (autovacuum_vacuum_scale_factor)"
        )
        connection.execute(text(f"alter table {quoted(schema)}.{quoted(table.name)} {change}"))
        tuned += Tuned(changed=1)
    return tuned
