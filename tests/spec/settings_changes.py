"""Settings of a tenant that have summaries made again, changed over HTTP."""

import time
from collections.abc import Iterator

from kura.testing.running import RunningKura, Source

CALM_SECONDS = 60
LOOKS = 3
"""So often nothing is to be done when all is done: a task may be asking for the next one."""


def change_settings(kura: RunningKura, source: Source, *, project: str) -> Iterator[str]:
    """Change every setting that has summaries made again, and back, in a few steps. After each step, once nothing is
    left to do, what was changed. The tag keys app, env, team, tier and zone are enabled before and after."""
    rows = kura.query(f'select key, uuid from "{source.schema}".reporting_enabledtagkeys')
    ids = {row.key: str(row.uuid) for row in rows}
    group = [{"project": project, "group": "Platform"}]
    steps: dict[str, list[tuple[str, object]]] = {
        "less": [("settings/tags/disable/", {"ids": [ids["team"], ids["zone"]]})],
        "other": [
            ("settings/tags/mappings/child/add/", {"parent": ids["env"], "children": [ids["app"], ids["tier"]]}),
            ("settings/cost-groups/add/", group),
        ],
        "partly back": [
            ("settings/tags/enable/", {"ids": [ids["team"]]}),
            ("settings/tags/mappings/child/remove/", {"ids": [ids["tier"]]}),
        ],
        "back": [
            ("settings/cost-groups/remove/", group),
            ("settings/tags/mappings/parent/remove/", {"ids": [ids["env"]]}),
            ("settings/tags/enable/", {"ids": [ids["zone"]]}),
        ],
    }
    for name, changes in steps.items():
        for path, body in changes:
            kura.put(f"/{path}", body)
        wait_until_calm(kura)
        yield name


def wait_until_calm(kura: RunningKura) -> None:
    """Return when no task is queued or running."""
    deadline, calm = time.monotonic() + CALM_SECONDS, 0
    while calm < LOOKS:
        [(left,)] = kura.query("select count(*) from public.task where state in ('queued', 'running')")
        calm = 0 if left else calm + 1
        if time.monotonic() > deadline:
            raise TimeoutError(f"{left} tasks are still to be done")
        time.sleep(0.1)
