"""Payloads of made-up clusters, for trials, demonstrations and load."""

from __future__ import annotations

import io
import json
import tarfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from kura.single_pod.problems import CommandError
from kura.single_pod.tables import err, out, print_json, took

if TYPE_CHECKING:
    from kura.testing.operator_payload import Payload
    from kura.testing.profiles import ClusterProfile


def sized(
    profile: str,
    *,
    clusters: int | None,
    nodes: int | None,
    projects: int | None,
    pods_per_node: int | None,
    volumes: int | None,
) -> ClusterProfile:
    """A named profile with some of its counts replaced."""
    from kura.testing.profiles import PROFILES

    if profile not in PROFILES:
        raise CommandError(f"--profile {profile} is not known; it is one of {', '.join(PROFILES)}.", status=2)
    changes = {
        "clusters": clusters,
        "nodes": nodes,
        "namespaces": projects,
        "pods_per_node": pods_per_node,
        "pvcs": volumes,
    }
    return replace(PROFILES[profile], **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]


def recent_payloads(profile: ClusterProfile, *, days: int, end: date | None, seed: int) -> Iterator[Payload]:
    """Payloads up to `end`, or up to the last full hour; one per cluster and day."""
    from kura.testing.operator_payload import make_payloads

    now = datetime.now(UTC)
    if end is None and now.hour == 0:
        end = now.date() - timedelta(days=1)
    if end is not None and end < now.date():
        return make_payloads(profile, end=end, days=days, seed=seed)
    return make_payloads(profile, end=end or now.date(), days=days, seed=seed, end_hour=max(now.hour, 1))


def as_new_manifest(archive: bytes) -> bytes:
    """The same payload under a manifest id of its own, as an operator sends it that packs the same days again.

    A payload whose manifest is known already is a duplicate and changes nothing; a new manifest replaces the days.
    """
    renewed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as old,
        tarfile.open(fileobj=renewed, mode="w:gz", compresslevel=1) as new,
    ):
        for member in old:
            handle = old.extractfile(member)
            content = handle.read() if handle else b""
            if member.name == "manifest.json":
                content = json.dumps(json.loads(content) | {"uuid": str(uuid.uuid4())}).encode()
                member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return renewed.getvalue()


def generate_payloads(
    profile: ClusterProfile, *, out_dir: Path, days: int, end: date | None, seed: int, as_json: bool
) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    out_dir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    made = []
    with Progress(
        TextColumn("making payloads"), BarColumn(), MofNCompleteColumn(), console=err(), transient=True
    ) as progress:
        bar = progress.add_task("", total=profile.clusters * days)
        for payload in recent_payloads(profile, days=days, end=end, seed=seed):
            target = out_dir / f"{payload.cluster_name}-{payload.name}"
            target.write_bytes(payload.content)
            made.append((target, payload))
            progress.advance(bar)
    rows = sum(sum(payload.rows.values()) for _, payload in made)
    size = sum(len(payload.content) for _, payload in made)
    clusters = {payload.cluster_id: payload.cluster_name for _, payload in made}
    if as_json:
        print_json(
            {
                "rows": rows,
                "bytes": size,
                "clusters": [{"cluster_id": cluster_id, "name": name} for cluster_id, name in clusters.items()],
                "files": [
                    {"path": str(path), "cluster_id": p.cluster_id, "manifest_id": p.manifest_id, "rows": dict(p.rows)}
                    for path, p in made
                ],
            }
        )
        return
    out().print(
        f"{len(made)} payloads, {rows:,} rows, {size / 1e6:.1f} MB in {out_dir}/ ({took(time.monotonic() - started)})."
    )
    for cluster_id, name in clusters.items():
        out().print(f"  cluster {name}: kura source add {name} --cluster-id {cluster_id}")
    out().print(f"Send them: kura upload {out_dir} --add-source --wait")
