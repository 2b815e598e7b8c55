"""What a run reads: the line items of its days, with the columns that the steps need (ocp-pipeline §2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from kura.aggregator.engine import Relation, statement
from kura.core.days import DayRange


@dataclass(frozen=True, kw_only=True)
class LineItems:
    """The Parquet tables of one source as they lie in the object store; days outside the range may be among them."""

    pod_usage_hourly: Relation
    pod_usage_daily: Relation
    storage_usage_daily: Relation
    node_labels_daily: Relation
    namespace_labels_daily: Relation
    gpu_usage_daily: Relation


@dataclass(frozen=True, kw_only=True)
class Given:
    """The rows of the range. All but the hourly rows, which are many and are read once, are held by the engine."""

    pod_daily: Relation
    storage_daily: Relation
    node_labels: Relation
    namespace_labels: Relation
    gpu_daily: Relation
    pod_usage_hourly: Relation


def bounds(days: DayRange) -> dict[str, Any]:
    """Values of `$start` (inclusive) and `$after` (exclusive)."""
    start = datetime.combine(days.start, time.min)
    after = datetime.combine(days.end, time.min) + timedelta(days=1)
    return {"start": start, "after": after}


def read_range(items: LineItems, days: DayRange) -> Given:
    """The line items of one range of days.

    In      line items of one source; `interval_start` [UTC]
    Out     the same rows with start ≤ interval_start < end + 1 day and `day`; label rows once per day and label text
    Rule    both ends of the range are included; only columns that some step reads are read
    Errors  InvalidData when a stored column cannot be read as the type it should have
    Source  ocp-pipeline §2
    """
    engine, values = items.pod_usage_daily.engine, bounds(days)
    return Given(
        pod_daily=engine.compute(statement("read_pod_daily"), values, pod_usage_daily=items.pod_usage_daily),
        storage_daily=engine.compute(
            statement("read_storage_daily"), values, storage_usage_daily=items.storage_usage_daily
        ),
        node_labels=engine.compute(statement("read_node_labels"), values, node_labels_daily=items.node_labels_daily),
        namespace_labels=engine.compute(
            statement("read_namespace_labels"), values, namespace_labels_daily=items.namespace_labels_daily
        ),
        gpu_daily=engine.compute(statement("read_gpu_daily"), values, gpu_usage_daily=items.gpu_usage_daily),
        pod_usage_hourly=items.pod_usage_hourly,
    )
