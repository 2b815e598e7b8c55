"""The thirteen queue classes and how a task finds its own (tasks-and-queues §1)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from kura.core.errors import BadRequest

QUEUES: Final = (
    "default",
    "priority",
    "priority_xl",
    "priority_penalty",
    "refresh",
    "refresh_xl",
    "refresh_penalty",
    "summary",
    "summary_xl",
    "summary_penalty",
    "hcs",
    "subs_extraction",
    "subs_transmission",
)

FORMER_NAMES: Final = {
    "celery": "default",
    "download": "default",
    "download_xl": "default",
    "download_penalty": "default",
    **{f"{former}{suffix}": f"summary{suffix}" for former in ("ocp",) for suffix in ("", "_xl", "_penalty")},
    **{f"cost_model{suffix}": f"refresh{suffix}" for suffix in ("", "_xl", "_penalty")},
}
"""Queue names of Koku that clients of the admin API may still use, and the class that does their work."""

PENALTY: Final = "penalty"
LARGE: Final = "large"
RATE_LIMITED: Final = "rate_limited"
"""Flags of a tenant, kept in `api_tenant.flags`."""


def queue_checked(name: str) -> str:
    """The queue class a name means; BadRequest if it means none."""
    found = FORMER_NAMES.get(name, name)
    if found not in QUEUES:
        raise BadRequest(f"{name!r} is not a queue; there are {', '.join(QUEUES)}.", field="queue")
    return found


def routed(base: str, *, flags: Collection[str], xl: bool) -> str:
    """The queue of one tenant's task: penalty beats XL; a class without such a variant takes all (§1.3)."""
    suffix = "_penalty" if PENALTY in flags else "_xl" if xl or LARGE in flags else ""
    return f"{base}{suffix}" if f"{base}{suffix}" in QUEUES else base


def base_of(queue: str) -> str:
    """The class a queue is a variant of: summary_xl → summary."""
    return queue.removesuffix("_xl").removesuffix("_penalty")
