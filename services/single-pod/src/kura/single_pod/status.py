"""`kura status`: whether everything behind the API works, and what waits."""

from __future__ import annotations

from typing import Any

from kura.single_pod.client import Kura
from kura.single_pod.tables import out, print_json

BACKLOG = ("ready", "delayed", "running", "dead")


def show_status(kura: Kura, *, as_json: bool) -> bool:
    """Print the readiness checks and the backlog; True when all is well."""
    answer = kura.readiness()
    ready = bool(answer.get("ready"))
    facts: dict[str, Any] = {"url": kura.url, "ready": ready, "checks": answer.get("checks", {})}
    facts["queues"] = kura.queues()
    if as_json:
        print_json(facts)
        return ready
    console = out()
    console.print(f"Kura at {kura.url} is {'ready' if ready else 'not ready'}.")
    for name, text in facts["checks"].items():
        console.print(f"  {name:<18} {text}")
    for queue in facts["queues"]:
        words = ", ".join(f"{queue[name]} {name}" for name in BACKLOG if queue.get(name))
        if words:
            console.print(f"  queue {queue['queue']:<12} {words}")
    return ready
