"""Uploading from the command line: send, wait, tell how it went."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kura.single_pod.client import FINAL_STATES, Kura
from kura.single_pod.problems import CommandError
from kura.single_pod.tables import err, list_table, moment, out, print_json, took

if TYPE_CHECKING:
    from rich.table import Table

POLL_SECONDS = 0.2
QUIET_SECONDS = 10.0
"""After this long without any change, uploads that wait for something else are left waiting."""
LONGEST_LIST = 200
NEEDS_A_PERSON = ("unknown_cluster",)
"""Reasons of waiting that do not go away by themselves."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One payload that was accepted."""

    file: str
    request_id: str


def payload_files(paths: Sequence[Path]) -> list[Path]:
    """The payloads named, directories replaced by the archives in them, in order of name."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.name.endswith((".tar.gz", ".tgz")))
            if not inside:
                raise CommandError(f"{path} holds no .tar.gz file.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise CommandError(f"{path}: no such file.")
    return found


def cluster_of(path: Path) -> str:
    """The cluster id in a payload's manifest."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if member.name == "manifest.json":
                    content = archive.extractfile(member)
                    cluster_id = json.load(content)["cluster_id"] if content else None
                    if isinstance(cluster_id, str) and cluster_id:
                        return cluster_id
                    break
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path}: not a payload of the metrics operator ({error}).") from error
    raise CommandError(f"{path}: not a payload of the metrics operator (no manifest.json with a cluster_id).")


def add_missing_sources(kura: Kura, clusters: Mapping[str, str]) -> int:
    """Register clusters (id → name) that no source has; how many were new."""
    known = {str(source.get("source_ref")) for source in kura.pages("/sources/")}
    missing = [(cluster_id, name) for cluster_id, name in clusters.items() if cluster_id not in known]
    for cluster_id, name in missing:
        kura.add_cluster(name=name, cluster_id=cluster_id)
    return len(missing)


def send(kura: Kura, files: Sequence[Path]) -> list[Sent]:
    """Upload in order, with a progress bar."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    sent: list[Sent] = []
    with Progress(*columns, console=err(), transient=True) as progress:
        bar = progress.add_task("uploading", total=sum(path.stat().st_size for path in files))
        for path in files:
            progress.update(bar, description=f"uploading {path.name}")
            request_id = kura.upload(path, tell=lambda size: progress.advance(bar, size))
            sent.append(Sent(file=path.name, request_id=request_id))
    return sent


def wait_until_visible(
    kura: Kura,
    request_ids: Sequence[str],
    *,
    timeout: float,
    tell: Callable[[Mapping[str, int]], None] = lambda counts: None,
    poll: float = POLL_SECONDS,
    quiet: float = QUIET_SECONDS,
) -> list[Mapping[str, Any]]:
    """Ask for the states until nothing moves any more; the last answers, in the order of `request_ids`."""
    known: dict[str, Mapping[str, Any]] = {}
    moved = time.monotonic()
    deadline = moved + timeout
    while True:
        before = [known.get(request_id, {}).get("state") for request_id in request_ids]
        open_ids = [r for r in request_ids if known.get(r, {}).get("state") not in FINAL_STATES]
        known |= states_of(kura, open_ids)
        states = [str(known[request_id]["state"]) for request_id in request_ids]
        if states != before:
            moved = time.monotonic()
        tell({state: states.count(state) for state in dict.fromkeys(states)})
        open_ones = [known[r] for r in request_ids if known[r]["state"] not in FINAL_STATES]
        if not open_ones or all(_needs_a_person(upload) for upload in open_ones):
            break
        all_wait = all(upload["state"] == "waiting" for upload in open_ones)
        if time.monotonic() > deadline or (all_wait and time.monotonic() - moved > quiet):
            break
        time.sleep(poll)
    return [known[request_id] for request_id in request_ids]


def states_of(kura: Kura, request_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Uploads by request id: many are asked for with one question, those that it does not answer one by one."""
    found: dict[str, Mapping[str, Any]] = {}
    if len(request_ids) > 1:
        newest = kura.get("/uploads/", [("limit", str(LONGEST_LIST))])["data"]
        found = {upload["request_id"]: upload for upload in newest}
    return {r: found[r] if r in found else kura.upload_state(r) for r in request_ids}


def _needs_a_person(upload: Mapping[str, Any]) -> bool:
    return upload["state"] == "waiting" and upload.get("reason_code") in NEEDS_A_PERSON


def upload_files(
    kura: Kura, paths: Sequence[Path], *, wait: bool, add_source: bool, timeout: float, as_json: bool
) -> None:
    files = payload_files(paths)
    if add_source:
        clusters = [cluster_of(path) for path in files]
        add_missing_sources(kura, {cluster_id: cluster_id for cluster_id in clusters})
    started = time.monotonic()
    sent = send(kura, files)
    if not wait:
        if as_json:
            print_json([{"file": item.file, "request_id": item.request_id} for item in sent])
        else:
            columns = {"file": "file", "request_id": "request id"}
            out().print(list_table([{"file": s.file, "request_id": s.request_id} for s in sent], columns))
            out().print("Accepted. `kura uploads` shows what becomes of them.")
        return

    with err().status("waiting …") as line:

        def tell(counts: Mapping[str, int]) -> None:
            words = ", ".join(f"{count} {state}" for state, count in counts.items())
            line.update(f"{words} … {took(time.monotonic() - started)}")

        results = wait_until_visible(kura, [item.request_id for item in sent], timeout=timeout, tell=tell)
    seconds = time.monotonic() - started
    if as_json:
        files_and_results = [{"file": s.file, **result} for s, result in zip(sent, results, strict=True)]
        print_json({"seconds": round(seconds, 3), "uploads": files_and_results})
    else:
        out().print(uploads_table(results))
    undone = [result for result in results if result["state"] != "done"]
    if not undone:
        if not as_json:
            out().print(f"All visible after {took(seconds)}. Look: `kura report openshift compute --group-by project`.")
        return
    unknown = any(result.get("reason_code") == "unknown_cluster" for result in undone)
    raise CommandError(
        f"{len(undone)} of {len(results)} uploads are not visible.",
        hint="Register the cluster: `kura source add NAME --cluster-id ID`; the upload is taken in then."
        if unknown
        else "The reasons are in the table; `kura uploads` shows later states.",
    )


def rows_of(upload: Mapping[str, Any]) -> int:
    """Rows taken in from all files of an upload."""
    return int(upload.get("rows") or 0)


def seconds_to_visible(upload: Mapping[str, Any]) -> float | None:
    """From accepted to visible in reports; None until then."""
    seconds = (upload.get("seconds") or {}).get("total")
    return float(seconds) if seconds is not None and upload["state"] == "done" else None


def uploads_table(uploads: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        {
            **upload,
            "source": upload.get("source_name") or upload.get("cluster_id"),
            "accepted": moment(upload.get("accepted_at")),
            "rows": f"{rows_of(upload):,}" if upload.get("files") else "",
            "took": took(seconds_to_visible(upload)),
        }
        for upload in uploads
    ]
    columns = {
        "request_id": "request id",
        "source": "source",
        "state": "state",
        "rows": "rows",
        "accepted": "accepted",
        "took": "visible after",
        "reason": "reason",
    }
    return list_table(rows, columns)
