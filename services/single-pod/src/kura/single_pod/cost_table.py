"""Cost by project with its parts apart, and whether the parts add up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kura.single_pod.client import Kura, Query
from kura.single_pod.explaining import Explanation, explain_costs
from kura.single_pod.problems import CommandError
from kura.single_pod.tables import amount, plain_table

if TYPE_CHECKING:
    from rich.table import Table

PARTS = ("infrastructure", "supplementary", "platform", "worker", "other", "total")
HEADINGS = ("infrastructure", "supplementary", "of the platform", "of idle workers", "other, handed on", "total")
SAME = 1e-6


@dataclass(frozen=True, kw_only=True)
class ProjectCosts:
    """Costs of every project, dearest first, and of all of them, by `PARTS`; the lines that explain them."""

    projects: Sequence[tuple[str, Mapping[str, float]]]
    total: Mapping[str, float]
    explained: Explanation
    currency: str

    def facts(self) -> dict[str, Any]:
        return {
            "currency": self.currency,
            "total": dict(self.total),
            "projects": [{"project": name, **parts} for name, parts in self.projects],
            "lines": len(self.explained.lines),
        }


def project_costs(kura: Kura, query: Query) -> ProjectCosts:
    """The costs of a time. CommandError when parts, projects, report and explanation do not agree."""
    answer = kura.get("/reports/openshift/costs/", [*query, ("group_by[project]", "*"), ("limit", "0")])
    found: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(PARTS, 0.0))
    for bucket in answer["data"]:
        for project in bucket["projects"]:
            for row in project["values"]:
                for name, value in _parts(row).items():
                    found[project["project"]][name] += value
    costs = ProjectCosts(
        projects=sorted(found.items(), key=lambda item: -item[1]["total"]),
        total=_parts(answer["meta"]["total"]),
        explained=explain_costs(kura, query),
        currency=answer["meta"]["currency"],
    )
    _check(costs)
    return costs


def _parts(row: Mapping[str, Any]) -> dict[str, float]:
    cost = {name: float(member["value"]) for name, member in row["cost"].items()}
    return {
        "infrastructure": float(row["infrastructure"]["total"]["value"]),
        "supplementary": float(row["supplementary"]["total"]["value"]),
        "platform": cost["platform_distributed"],
        "worker": cost["worker_unallocated_distributed"],
        "other": sum(cost[f"{name}_distributed"] for name in OTHERS),
        "total": cost["distributed"],
    }


OTHERS = ("network_unattributed", "storage_unattributed", "gpu_unallocated")


def _check(costs: ProjectCosts) -> None:
    total = costs.total["total"]
    tolerance = SAME * max(1.0, abs(total))
    sums = {
        "The parts": sum(costs.total[name] for name in PARTS[:-1]),
        "The projects": sum(parts["total"] for _, parts in costs.projects),
        "The explained lines": sum(line["cost"]["value"] for line in costs.explained.lines),
    }
    for what, found in sums.items():
        if abs(found - total) > tolerance:
            raise CommandError(f"{what} add up to {found:,.6f} {costs.currency}, the report says {total:,.6f}.")


def cost_table(costs: ProjectCosts, *, title: str, most: int) -> Table:
    table = plain_table(title=title, footer=True)
    table.add_column("project", footer="total", overflow="fold")
    for name, heading in zip(PARTS, HEADINGS, strict=True):
        total = amount(_shown(costs.total[name]))
        table.add_column(f"{heading} [{costs.currency}]", footer=total, justify="right", no_wrap=True)
    for project, parts in costs.projects[:most]:
        table.add_row(project, *(amount(_shown(parts[name])) for name in PARTS))
    return table


def _shown(value: float) -> float:
    """What is left of sums that cancel out is nothing."""
    return 0.0 if abs(value) < SAME else value


def reconciled(costs: ProjectCosts) -> str:
    """One line that says what was added up."""
    total = costs.total
    handed_on = sum(total[name] for name in ("platform", "worker", "other"))
    lines = len(costs.explained.lines)
    return (
        f"{amount(total['infrastructure'])} infrastructure + {amount(total['supplementary'])} supplementary "
        f"+ {amount(_shown(handed_on))} handed on = {amount(total['total'])} {costs.currency}; "
        f"{lines} explained lines add up to the same."
    )
