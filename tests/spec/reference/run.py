"""From archives to every table of one source: what a whole run must give."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from reference import inventory
from reference.csv_reports import Row
from reference.daily import DAILY_RULES, daily_rows
from reference.manifests import FileDay, hourly_rows, ingest_archive, visible
from reference.summary import DEFAULT_PATTERNS, Inputs, Run, daily_summary, day_of


@dataclass(frozen=True, kw_only=True)
class LineItems:
    """Hourly and daily rows of one source by report type; what counts of everything that was sent."""

    hourly: dict[str, list[Row]]
    daily: dict[str, list[Row]]

    @property
    def days(self) -> list[date]:
        return sorted({day_of(row) for rows in self.daily.values() for row in rows})


def line_items(archives: Sequence[bytes]) -> LineItems:
    """Line items of the archives, accepted in this order."""
    orders: dict[str, int] = {}
    file_days: list[FileDay] = []
    for content in archives:
        manifest, found = ingest_archive(content, order=len(orders) + 1)
        order = orders.setdefault(manifest.uuid, len(orders) + 1)
        file_days += [FileDay(**{**vars(file_day), "order": order}) for file_day in found]
    counted = visible(file_days)
    hourly = {report_type: hourly_rows(counted, report_type) for report_type in DAILY_RULES}
    return LineItems(hourly=hourly, daily={name: daily_rows(name, rows) for name, rows in hourly.items()})


def summarise_inputs(inputs: Inputs, run: Run) -> list[Row]:
    """The daily summary after the node table was brought up to date, as every run does first."""
    found = inventory.nodes(inputs.pods_daily, inputs.node_labels)
    return daily_summary(replace(inputs, nodes=inventory.updated(inputs.nodes, found)), run)


def summary_of(
    items: LineItems,
    *,
    enabled_keys: frozenset[str] = frozenset(),
    patterns: Sequence[tuple[str, int]] = DEFAULT_PATTERNS,
    other_nodes: Sequence[Row] = (),
) -> list[Row]:
    """The daily summary over all days; `other_nodes` are those of other clusters of the tenant."""
    if not items.days:
        return []
    inputs = Inputs(
        pods_hourly=items.hourly["pod_usage"],
        pods_daily=items.daily["pod_usage"],
        storage_daily=items.daily["storage_usage"],
        node_labels=items.daily["node_labels"],
        namespace_labels=items.daily["namespace_labels"],
        enabled_keys=enabled_keys,
        patterns=patterns,
        nodes=other_nodes,
    )
    return summarise_inputs(inputs, Run(start=items.days[0], end=items.days[-1]))
