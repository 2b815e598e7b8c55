"""Compare every table of a running Kura with the plain reference, for scenarios of nise that were never tried before.

    python tests/e2e/check_scenario.py my.yml [more.yml …] [--history again --history late …] [--start 2025-01-30]

A scenario is a static report file of nise in which `$start`, `$middle` and `$end` stand for times. It is sent in every
way that HISTORIES names, each to a cluster of its own. Exit code 1 when anything differs.
"""

import csv
import io
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[1] / "spec"))

import typer
from openshift_tables import Expected, all_differences, cost_differences, other_nodes, settings_of
from reference.run import line_items
from settings_changes import change_settings, price, wait_until_calm

from kura.testing.nise import NisePayload, nise_payloads
from kura.testing.running import RunningKura, running_kura

MOST_SHOWN = 5
TAG_KEYS = ("app", "env", "team", "tier", "zone", "version", "accelerator", "Tier", "storage_com_x")

Steps = list[list[bytes]]
"""Archives that are sent at once, one list after the other."""
Keep = Callable[[datetime, int], bool]
"""Whether a row counts, by its hour and its number in the file."""


def part_of(payload: NisePayload, keep: Keep, *, factor: float = 1.0) -> NisePayload:
    """Another manifest with the rows that `keep` takes; what was used is multiplied."""
    files, hours = {}, set()
    for name, content in payload.files.items():
        reader = csv.DictReader(io.StringIO(content.decode()))
        out = io.StringIO()
        writer = csv.DictWriter(out, reader.fieldnames or (), lineterminator="\n")
        writer.writeheader()
        for number, row in enumerate(reader):
            hour = datetime.fromisoformat(row["interval_start"].removesuffix(" +0000 UTC")).replace(tzinfo=UTC)
            if not keep(hour, number):
                continue
            hours.add(hour)
            for column in row:
                if "usage" in column and column.endswith("seconds"):
                    row[column] = str(float(row[column] or 0) * factor)
            writer.writerow(row)
        files[name] = out.getvalue().encode()
    if not hours:
        raise ValueError("nothing is left of the payload")
    end = max(hours) + timedelta(minutes=59, seconds=59)
    times = {"start": min(hours).isoformat(), "end": end.isoformat()}
    return replace(payload, files=files, manifest={**payload.manifest, **times, "uuid": str(uuid4())})


def days_of(payload: NisePayload) -> list[NisePayload]:
    """A payload for each day."""
    found: dict[object, None] = {}

    def note(hour: datetime, _: int) -> bool:
        found[hour.date()] = None
        return True

    part_of(payload, note)
    return [part_of(payload, lambda hour, _, day=day: hour.date() == day) for day in sorted(found)]  # type: ignore[misc]


def once(payloads: Sequence[NisePayload]) -> Steps:
    return [[payload.archive() for payload in payloads]]


def per_file(payloads: Sequence[NisePayload]) -> Steps:
    return [[archive for payload in payloads for archive in payload.archive_per_file()]]


def again(payloads: Sequence[NisePayload]) -> Steps:
    """The same archives, then the same rows under new manifests."""
    fresh = [payload.with_manifest(uuid=str(uuid4())) for payload in payloads]
    return [*once(payloads), *once(payloads), *per_file(fresh)]


def hourly(payloads: Sequence[NisePayload]) -> Steps:
    """Payloads that add: as operators before 3.0 sent them, each with hours of its own."""
    adding = [payload.with_manifest(daily_reports=False) for payload in payloads]
    parts = [part_of(payload, lambda hour, _, n=n: hour.hour % 3 == n) for payload in adding for n in range(3)]  # type: ignore[misc]
    return [[part.archive()] for part in parts]


def growing(payloads: Sequence[NisePayload]) -> Steps:
    """Each day again and again, with more hours each time; the last but one time arrives last."""
    days = [day for payload in payloads for day in days_of(payload)]
    steps = []
    for until in (6, 13, 24, 19):
        steps.append([part_of(day, lambda hour, _, until=until: hour.hour < until).archive() for day in days])  # type: ignore[misc]
    return steps


def late(payloads: Sequence[NisePayload]) -> Steps:
    """Newer days first."""
    days = [day for payload in payloads for day in days_of(payload)]
    return [[day.archive()] for day in reversed(days)]


def corrected(payloads: Sequence[NisePayload]) -> Steps:
    """The same hours with other amounts, and then without some of the rows."""
    doubled = [part_of(payload, lambda hour, _: True, factor=2.0) for payload in payloads]
    fewer = [part_of(payload, lambda hour, number: number % 5 != 0) for payload in payloads]
    return [*once(payloads), *once(doubled), *once(fewer)]


HISTORIES: dict[str, Callable[[Sequence[NisePayload]], Steps]] = {
    f.__name__: f for f in (once, per_file, again, hourly, growing, late, corrected)
}


Found = Iterator[tuple[str, dict[str, list[str]]]]
"""What was done, and what differs then."""


def check(
    kura: RunningKura, scenario: Path, history: str, start: datetime, end: datetime, *, settings: bool, prices: bool
) -> Found:
    """What differs after the last step, after every change of settings, and with prices."""
    cluster_id = str(uuid4())
    middle = start + timedelta(days=1, hours=12)
    payloads = nise_payloads(scenario, cluster_id=cluster_id, start=start, end=end, middle=middle)
    source = kura.add_cluster(cluster_id, name=f"{scenario.stem}-{cluster_id[:8]}")
    kura.enable_tag_keys(source, *TAG_KEYS)
    steps = HISTORIES[history](payloads)
    for archives in steps:
        kura.send(*archives)
    items = line_items([archive for archives in steps for archive in archives])

    def expected() -> Expected:
        nodes = other_nodes(kura, source)
        return Expected(items=items, source=source, settings=settings_of(kura, source), other_nodes=nodes)

    yield history, all_differences(kura, expected(), grown=len(steps) > 1)
    if settings:
        project = next(str(row["namespace"]) for row in items.daily["pod_usage"])
        for change in change_settings(kura, source, project=project):
            yield f"{history}, {change}", all_differences(kura, expected(), grown=len(steps) > 1)
    if prices:
        price(kura, source, since=items.days[0].replace(day=1))
        yield f"{history}, with prices", cost_differences(kura, expected(), distribution="memory")
        [archives] = once([payload.with_manifest(uuid=str(uuid4())) for payload in payloads])
        kura.send(*archives)
        wait_until_calm(kura)
        items = line_items([archive for sent in [*steps, archives] for archive in sent])
        yield f"{history}, with prices and sent again", cost_differences(kura, expected(), distribution="memory")


def tell(what: str, differences: dict[str, list[str]]) -> None:
    print(f"{'DIFFERS' if differences else 'equal  '} {what}", flush=True)
    for table, found in differences.items():
        print(f"  {table}: {len(found)}")
        for difference in found[:MOST_SHOWN]:
            print(f"    {difference}", flush=True)


def main(
    scenarios: list[Path],
    history: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(HISTORIES)}; all by default.")] = None,
    start: Annotated[datetime | None, typer.Option(help="First day; by default four days ago.")] = None,
    days: Annotated[int, typer.Option(help="How many days.")] = 3,
    settings: Annotated[bool, typer.Option(help="Change tag keys, mappings and cost groups, too.")] = False,
    prices: Annotated[bool, typer.Option(help="Give the cluster prices, too.")] = False,
    split: Annotated[bool, typer.Option(help="One process for each service.")] = False,
) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = start.replace(tzinfo=UTC) if start else today - timedelta(days=days + 1)
    if (settings or prices) and first < today.replace(day=1):
        raise typer.BadParameter(
            "Settings and prices change this month alone: choose days of it.", param_hint="--start"
        )
    failed = 0
    with running_kura(split=split) as kura:
        for scenario in scenarios:
            for name in history or HISTORIES:
                until = first + timedelta(days=days)
                try:
                    for done, told in check(kura, scenario, name, first, until, settings=settings, prices=prices):
                        failed += bool(told)
                        tell(f"{scenario.stem}: {done}", told)
                except Exception:
                    failed += 1
                    tell(f"{scenario.stem}: {name}", {"error": traceback.format_exc().splitlines()[-MOST_SHOWN:]})
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(main)
