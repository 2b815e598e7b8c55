"""Settings of a tenant that have summaries or costs made again, changed over HTTP."""

import time
from collections.abc import Iterator
from datetime import date

from kura.single_pod.client import Kura
from kura.testing.running import RunningKura, Source

CALM_SECONDS = 120
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


def price(kura: RunningKura, source: Source, *, since: date) -> None:
    """Give a cluster prices for CPU, storage, nodes, machines, claims and GPUs, and wait until they are applied."""
    prices = [
        ("cpu_core_usage_per_hour", "Supplementary", 0.03),
        ("storage_gb_request_per_month", "Infrastructure", 0.25),
        ("node_cost_per_month", "Infrastructure", 150),
        ("vm_cost_per_month", "Supplementary", 9),
        ("pvc_cost_per_month", "Supplementary", 2),
    ]
    tiered = [
        {"metric": {"name": name}, "cost_type": kind, "tiered_rates": [{"value": value, "unit": "USD"}]}
        for name, kind, value in prices
    ]
    of_models = [
        {"tag_value": "Foo X 99", "value": 3, "unit": "USD", "default": False},
        {"tag_value": "(any other)", "value": 7, "unit": "USD", "default": True},
    ]
    gpus = {
        "metric": {"name": "gpu_cost_per_month"},
        "tag_rates": {"tag_key": "nvidia", "tag_values": of_models},
    }
    with Kura(kura.http) as client:
        made = client.post(
            "/cost-models/",
            {
                "name": f"prices of {source.name}",
                "description": "",
                "source_type": "OCP",
                "source_uuids": [source.uuid],
                "distribution": "memory",
                "rates": [*tiered, gpus],
            },
        )
        client.put(f"/price-lists/{made['price_lists'][0]['uuid']}/", {"effective_start_date": since.isoformat()})
    wait_until_calm(kura)


def wait_until_calm(kura: RunningKura) -> None:
    """Return when no task is queued or running."""
    deadline, calm = time.monotonic() + CALM_SECONDS, 0
    while calm < LOOKS:
        [(left,)] = kura.query("select count(*) from public.task where state in ('queued', 'running')")
        calm = 0 if left else calm + 1
        if time.monotonic() > deadline:
            raise TimeoutError(f"{left} tasks are still to be done")
        time.sleep(0.1)
