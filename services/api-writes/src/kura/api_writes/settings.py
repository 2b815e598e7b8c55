"""Change settings: tag keys, tag mappings, cost groups, the account's currency and cost type (write-api §8).

A change that alters what is summarised asks for the summaries it touches in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert

from kura.core.currencies import CURRENCIES
from kura.core.days import Month
from kura.core.errors import ValidationErrors
from kura.core.telemetry import get_logger
from kura.queue import enqueue
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.exchange_rates import lock_settings
from kura.store.sources import OPENSHIFT
from kura.store.tables.shared import CUSTOMER, INGESTED_FILE_DAY, PROVIDER
from kura.store.tables.tenant import (
    CLUSTERS,
    COST_CATEGORY,
    COST_CATEGORY_NAMESPACE,
    COST_MODEL_RATE,
    ENABLED_CURRENCY,
    ENABLED_TAG_KEYS,
    PRICE_LIST_COST_MODEL_MAP,
    PROJECTS,
    TAG_MAPPING,
    TENANT_SETTINGS,
)

log = get_logger(__name__)

UNALLOCATED = frozenset({"Platform unallocated", "Worker unallocated"})
"""Projects of every tenant that no cluster reports; the system decides about them."""
COST_TYPES = ("unblended_cost", "calculated_amortized_cost", "blended_cost")
MONTHS_OF_KEYS = 2
"""Enabling a key summarises this month and the one before, so that a window of some weeks shows it whole."""


class Refused(Exception):
    """A change the present state does not allow; status and body are part of the contract."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


def problem(field: str, message: str) -> ValidationErrors:
    return ValidationErrors([(field, message)])


def ids_of(body: Any, name: str = "ids", *, field: str = "id_list") -> list[UUID]:
    """The ids of a request; ValidationErrors when there are none or one is not a UUID."""
    given = body.get(name) if isinstance(body, dict) else None
    if not isinstance(given, list) or not given:
        raise problem(field, f"`{name}` must be a list of ids that is not empty.")
    try:
        return list(dict.fromkeys(UUID(text) for text in given))
    except (ValueError, TypeError, AttributeError):
        raise problem(field, f"`{name}` holds something that is not a UUID.") from None


def id_of(body: Any, name: str) -> UUID:
    """One id of a request; ValidationErrors when it is missing or not a UUID."""
    try:
        return UUID(body[name])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise problem(name, f"`{name}` must be a UUID.") from None


# ----------------------------------------------------------------------------------------------------- summarise again


def summarise_again(
    connection: Connection, *, schema: str, providers: Iterable[UUID] | None, today: date, months: int, cause: str
) -> int:
    """Ask for the summaries of the latest `months` of these clusters (None: of all), as far as there is data."""
    first = Month.of(today).plus(1 - months).first
    files = INGESTED_FILE_DAY.c
    found = (
        select(
            files.provider_uuid,
            func.date_trunc("month", files.day).label("month"),
            func.min(files.day).label("start"),
            func.max(files.day).label("end"),
        )
        .join(PROVIDER, PROVIDER.c.uuid == files.provider_uuid)
        .join(CUSTOMER, CUSTOMER.c.id == PROVIDER.c.customer_id)
        .where(
            CUSTOMER.c.schema_name == schema,
            PROVIDER.c.type == OPENSHIFT.code,
            PROVIDER.c.active,
            files.day >= first,
        )
        .group_by(files.provider_uuid, "month")
    )
    if providers is not None:
        found = found.where(files.provider_uuid.in_(list(providers)))
    tasks = 0
    for row in connection.execute(found):
        task = tasks_pb2.SummariseRange(
            schema_name=schema,
            provider_uuid=str(row.provider_uuid),
            start_date=row.start.isoformat(),
            end_date=row.end.isoformat(),
            cause=cause,
        )
        enqueue(connection, task, schema=schema)
        tasks += 1
    return tasks


# ------------------------------------------------------------------------------------------------------------ tag keys


def enable_keys(connection: Connection, ids: Sequence[UUID], *, schema: str, limit: int, today: date) -> None:
    """Enable tag keys, unknown ids aside; Refused with 412 when there would be more than `limit` (0: no limit)."""
    keys = ENABLED_TAG_KEYS.c
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"tag-keys:{schema}", 0))))
    enabled = connection.scalar(select(func.count()).where(keys.enabled)) or 0
    new = connection.scalar(select(func.count()).where(keys.uuid.in_(ids), ~keys.enabled)) or 0
    if limit > 0 and enabled + new > limit:
        text = f"{enabled} keys are enabled and {new} more would exceed the limit of {limit}. Disable some first."
        raise Refused(412, {"error": text, "enabled": enabled, "limit": limit})
    _set_enabled(connection, ids, enabled=True, schema=schema, today=today)


def disable_keys(connection: Connection, ids: Sequence[UUID], *, schema: str, today: date) -> None:
    """Disable tag keys; Refused with 412 when one of them takes part in a mapping."""
    mapped = TAG_MAPPING.c
    used = connection.execute(
        select(ENABLED_TAG_KEYS.c.uuid).where(
            ENABLED_TAG_KEYS.c.uuid.in_(ids),
            exists().where(
                or_(mapped.parent_id == ENABLED_TAG_KEYS.c.uuid, mapped.child_id == ENABLED_TAG_KEYS.c.uuid)
            ),
        )
    ).scalars()
    if in_mapping := sorted(str(key) for key in used):
        text = "These keys take part in a tag mapping. Remove them from it first."
        raise Refused(412, {"error": text, "ids": in_mapping})
    _set_enabled(connection, ids, enabled=False, schema=schema, today=today)


def _set_enabled(connection: Connection, ids: Sequence[UUID], *, enabled: bool, schema: str, today: date) -> None:
    keys = ENABLED_TAG_KEYS
    changed = connection.execute(
        update(keys)
        .where(keys.c.uuid.in_(ids), keys.c.enabled.is_not(enabled))
        .values(enabled=enabled)
        .returning(keys.c.provider_type)
    ).scalars()
    types = list(changed)
    if OPENSHIFT.code in types:
        cause = "tag_keys"
        summarise_again(connection, schema=schema, providers=None, today=today, months=MONTHS_OF_KEYS, cause=cause)
    log.info("tag_keys_changed", schema=schema, enabled=enabled, keys=len(types))


# --------------------------------------------------------------------------------------------------------- tag mapping


def add_children(connection: Connection, *, parent: UUID, children: Sequence[UUID], schema: str, today: date) -> None:
    """Report the values of `children` under the key `parent` (§8.2)."""
    keys, mapped = ENABLED_TAG_KEYS.c, TAG_MAPPING.c
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"tag-keys:{schema}", 0))))
    asked = [parent, *children]
    rows = connection.execute(select(keys.uuid, keys.key, keys.provider_type).where(keys.uuid.in_(asked), keys.enabled))
    known = {row.uuid: row for row in rows}
    if missing := sorted(str(key) for key in asked if key not in known):
        raise problem("children", f"These keys are unknown or not enabled: {', '.join(missing)}.")
    if parent in children:
        raise problem("children", f"{known[parent].key} cannot be its own parent.")
    if connection.scalar(select(mapped.id).where(mapped.child_id == parent)) is not None:
        raise problem("parent", f"{known[parent].key} is a child of another key.")
    parents = connection.scalars(select(mapped.parent_id).distinct().where(mapped.parent_id.in_(children)))
    if names := _names(known, parents):
        raise problem("children", f"These keys are parents themselves: {names}.")
    owned = connection.scalars(select(mapped.child_id).where(mapped.child_id.in_(children)))
    if names := _names(known, owned):
        raise problem("children", f"These keys already belong to a parent: {names}.")
    if names := ", ".join(_priced_keys(connection, [known[child].key for child in children])):
        raise problem("children", f"These keys are used in rates of a cost model: {names}.")
    connection.execute(insert(TAG_MAPPING), [{"parent_id": parent, "child_id": child} for child in children])
    summarise_again(connection, schema=schema, providers=None, today=today, months=1, cause="tag_mapping")


def remove_children(connection: Connection, ids: Sequence[UUID], *, schema: str, today: date) -> None:
    """Report these keys under their own names again."""
    _unmap(connection, TAG_MAPPING.c.child_id.in_(ids), schema=schema, today=today)


def remove_parents(connection: Connection, ids: Sequence[UUID], *, schema: str, today: date) -> None:
    """The same for all children of these keys."""
    _unmap(connection, TAG_MAPPING.c.parent_id.in_(ids), schema=schema, today=today)


def _unmap(connection: Connection, condition: Any, *, schema: str, today: date) -> None:
    removed = connection.execute(delete(TAG_MAPPING).where(condition).returning(TAG_MAPPING.c.id)).all()
    if not removed:
        raise Refused(400, {"detail": "None of these keys takes part in a mapping in this role."})
    summarise_again(connection, schema=schema, providers=None, today=today, months=1, cause="tag_mapping")


def _names(known: Mapping[UUID, Any], ids: Iterable[UUID]) -> str:
    return ", ".join(sorted(known[key].key for key in ids))


def _priced_keys(connection: Connection, names: Sequence[str]) -> list[str]:
    """Which of these keys a rate of a cost model is tagged with; price lists that no model uses do not count."""
    rates, linked = COST_MODEL_RATE.c, PRICE_LIST_COST_MODEL_MAP.c
    priced = select(rates.tag_key).distinct()
    return sorted(
        connection.scalars(priced.where(rates.tag_key.in_(names), rates.price_list_id == linked.price_list_id))
    )


# --------------------------------------------------------------------------------------------------------- cost groups


@dataclass(frozen=True, kw_only=True)
class Grouped:
    """One project and the cost group it is put into or taken from."""

    project: str
    group: str


def grouped_of(body: Any) -> list[Grouped]:
    """The projects of a request; ValidationErrors names what is wrong."""
    if not isinstance(body, list) or not body:
        raise problem("projects", "The body must be a list of {project, group} that is not empty.")
    found = []
    for number, item in enumerate(body):
        match item:
            case {"project": str(project), "group": str(group)} if project and group:
                found.append(Grouped(project=project, group=group))
            case _:
                raise problem(f"projects.{number}", "Each item needs a project and a group.")
    return found


def add_to_groups(connection: Connection, asked: Sequence[Grouped], *, schema: str, today: date) -> None:
    """Put projects into cost groups; a project leaves the group it was in (§8.4)."""
    groups, own = _checked_groups(connection, asked)
    for item in own:
        group_id = groups[item.group]
        rows = COST_CATEGORY_NAMESPACE
        moved = postgresql_insert(rows).values(namespace=item.project, system_default=False, cost_category_id=group_id)
        connection.execute(
            moved.on_conflict_do_update(
                index_elements=[rows.c.namespace], set_={"cost_category_id": group_id}, where=~rows.c.system_default
            )
        )
    _regrouped(connection, own, schema=schema, today=today)


def remove_from_groups(connection: Connection, asked: Sequence[Grouped], *, schema: str, today: date) -> None:
    """Take projects out of cost groups; what the system groups by default stays."""
    groups, own = _checked_groups(connection, asked)
    rows = COST_CATEGORY_NAMESPACE.c
    for item in own:
        connection.execute(
            delete(COST_CATEGORY_NAMESPACE).where(
                rows.namespace == item.project, rows.cost_category_id == groups[item.group], ~rows.system_default
            )
        )
    _regrouped(connection, own, schema=schema, today=today)


def _checked_groups(connection: Connection, asked: Sequence[Grouped]) -> tuple[dict[str, int], list[Grouped]]:
    """The cost groups by name, and what of the request is not grouped by the system itself."""
    groups = {row.name: row.id for row in connection.execute(select(COST_CATEGORY.c.name, COST_CATEGORY.c.id))}
    if unknown := sorted({item.group for item in asked} - groups.keys()):
        raise problem("group", f"Unknown: {', '.join(unknown)}. Cost groups: {', '.join(sorted(groups))}.")
    wanted = {item.project for item in asked}
    projects = set(connection.scalars(select(PROJECTS.c.project).distinct().where(PROJECTS.c.project.in_(wanted))))
    if unknown := sorted(wanted - projects - UNALLOCATED):
        few = connection.scalars(select(PROJECTS.c.project).distinct().order_by(PROJECTS.c.project).limit(20))
        raise problem("project", f"Unknown: {', '.join(unknown)}. Projects: {', '.join(few)} …")
    patterns = COST_CATEGORY_NAMESPACE.c
    by_system = set(
        connection.scalars(
            select(PROJECTS.c.project)
            .distinct()
            .where(
                PROJECTS.c.project.in_(wanted),
                exists().where(patterns.system_default, PROJECTS.c.project.like(patterns.namespace)),
            )
        )
    )
    return groups, [item for item in asked if item.project not in by_system | UNALLOCATED]


def _regrouped(connection: Connection, changed: Sequence[Grouped], *, schema: str, today: date) -> None:
    if not changed:
        return
    names = [item.project for item in changed]
    clusters = (
        select(CLUSTERS.c.provider_id)
        .distinct()
        .join(PROJECTS, PROJECTS.c.cluster_id == CLUSTERS.c.uuid)
        .where(PROJECTS.c.project.in_(names))
    )
    providers = list(connection.scalars(clusters))
    summarise_again(connection, schema=schema, providers=providers, today=today, months=1, cause="cost_groups")


# ----------------------------------------------------------------------------------------------------- account settings


def set_account(connection: Connection, name: str, body: Any) -> None:
    """Set the currency or the cost type of the organisation (§8.5)."""
    field = name.replace("-", "_")
    value = body.get(field) if isinstance(body, dict) else None
    if field == "currency":
        lock_settings(connection)
        value = value.upper() if isinstance(value, str) else value
        enabled = set(connection.scalars(select(ENABLED_CURRENCY.c.currency_code)))
        if value not in CURRENCIES or value not in enabled:
            raise problem("currency", f"Must be an enabled currency: {', '.join(sorted(enabled))}.")
    elif value not in COST_TYPES:
        raise problem("cost_type", f"Must be one of {', '.join(COST_TYPES)}.")
    connection.execute(update(TENANT_SETTINGS).values({field: value, "updated_timestamp": func.now()}))


def set_retention(connection: Connection, body: Any) -> None:
    """Set how many months of data are kept."""
    months = body.get("data_retention_months") if isinstance(body, dict) else None
    if not isinstance(months, int) or isinstance(months, bool) or not 3 <= months <= 120:
        raise problem("data_retention_months", "Must be a whole number from 3 to 120.")
    connection.execute(update(TENANT_SETTINGS).values(data_retention_months=months, updated_timestamp=func.now()))
