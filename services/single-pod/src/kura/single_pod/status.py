"""`kura status`: whether everything behind the API works."""

from __future__ import annotations

from typing import Any

from kura.single_pod.client import Kura
from kura.single_pod.tables import out, print_json


def show_status(kura: Kura, *, as_json: bool) -> bool:
    """Print the readiness checks and backlog; True when all is well."""
    answer = kura.readiness()
    ready = bool(answer.get("ready"))
    facts: dict[str, Any] = {"url": kura.url, "ready": ready, "checks": answer.get("checks", {})}
    if as_json:
        print_json(facts)
        return ready
    console = out()
    console.print(f"Kura at {kura.url} is {'ready' if ready else 'not ready'}.")
    for name, text in facts["checks"].items():
        console.print(f"  {name:<14} {text}")
    return ready
