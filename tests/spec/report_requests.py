"""Random valid requests for OpenShift reports: every parameter of read-api §2, in any combination."""

import random
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from urllib.parse import quote

from kura.testing.summary_rows import TODAY

VALUES: Mapping[str, tuple[str, ...]] = {
    "cluster": ("alpha", "ALPH", "cl-b", "cl-", "gamma", "nobody", "*"),
    "project": ("web", "db", "kube", "S", "openshift-dns", "other", "unattributed", "_", "%", "*"),
    "node": ("n1", "n2", "m1", "1", "c"),
    "persistentvolumeclaim": ("pvc-1", "pvc", "2"),
    "storageclass": ("gp2", "slow", "o"),
    "category": ("Plat", "Apps", "p"),
    "infrastructures": ("aws", "gcp"),
    "tag:app": ("shop", "Shop", "db", "50%_a", "ü ", "a&b", "*"),
    "tag:env": ("prod", "dev", "*"),
    "tag:disk": ("fast", "*"),
    "tag:odd/key.x-1": ("=1+1", "*"),
    "tag:usage": ("x", "*"),
    "gpu_vendor": ("nvidia", "NVI", "amd"),
    "gpu_model": ("A100", "L4", "T"),
    "gpu_mode": ("MIG", "dedicated"),
    "mig_profile": ("1g", "2g.20gb"),
    "vm_name": ("vm-1", "vm", "3"),
}
TAGS = tuple(key for key in VALUES if key.startswith("tag:"))
PLACES = ("cluster", "project", "node", "persistentvolumeclaim", "storageclass")
GPU_KEYS = ("cluster", "project", "gpu_vendor", "gpu_model", "gpu_mode", "mig_profile")
VM_KEYS = ("project", "cluster", "node", "vm_name")
SCOPES = (
    "",
    "filter[time_scope_value]=-1",
    "filter[time_scope_value]=-2",
    "filter[time_scope_value]=-3",
    "filter[time_scope_value]=-10",
    "filter[time_scope_value]=-30",
    "filter[time_scope_value]=-90",
    "filter[time_scope_units]=month",
    "filter[resolution]=monthly",
    "filter[resolution]=daily&filter[time_scope_units]=month&filter[time_scope_value]=-1",
    "filter[resolution]=daily&filter[time_scope_units]=month&filter[time_scope_value]=-2",
    "filter[resolution]=monthly&filter[time_scope_value]=-90",
)
COSTS = ("cost", "infrastructure", "supplementary")
INVENTORY = ("usage", "request", "limit", "usage_efficiency", "wasted_cost")
ORDERS: Mapping[str, tuple[str, ...]] = {
    "openshift/costs": COSTS,
    "openshift/compute": (*COSTS, *INVENTORY),
    "openshift/memory": (*COSTS, *INVENTORY),
    "openshift/volumes": (*COSTS, "usage", "request"),
    "openshift/network": (*COSTS, "usage"),
    "openshift/gpu": (*COSTS, "gpu_memory", "gpu_count", "gpu_vendor", "gpu_model", "gpu_mode", "node"),
    "openshift/resources/virtual-machines": (*COSTS, "distributed_cost", *VM_KEYS, "request_cpu", "request_memory"),
}
DELTAS: Mapping[str, tuple[str, ...]] = {
    "openshift/costs": ("cost", "cost_total"),
    "openshift/compute": ("cost", "usage", "request", "usage__request", "request__capacity", "limit__usage"),
    "openshift/memory": ("cost_total", "usage", "request", "usage__limit", "usage__capacity"),
    "openshift/volumes": ("cost", "usage", "request", "usage__request", "request__capacity"),
    "openshift/network": ("cost", "usage"),
}
REPORTS = tuple(ORDERS)


def random_request(dice: random.Random, path: str, *, today: date = TODAY) -> str:
    """One query string, percent-encoded; parameters in any order."""
    if path == "openshift/resources/virtual-machines":
        parameters = list(machine_parameters(dice))
    else:
        parameters = list(report_parameters(dice, path, today))
    dice.shuffle(parameters)
    return "&".join("=".join(quote(part, safe="") for part in pair) for pair in parameters)


Pairs = Iterator[tuple[str, str]]


def machine_parameters(dice: random.Random) -> Pairs:
    yield from dice.choice(([], [("filter[time_scope_value]", dice.choice(("-1", "-2", "-3")))]))
    yield from conditions(dice, "filter", (*VM_KEYS, *TAGS), most=2)
    yield from conditions(dice, "exclude", (*VM_KEYS, *TAGS), most=1)
    yield from further(dice)
    if dice.random() < 0.5:
        yield f"order_by[{dice.choice(ORDERS['openshift/resources/virtual-machines'])}]", direction(dice)


def report_parameters(dice: random.Random, path: str, today: date) -> Pairs:
    by_gpu = path == "openshift/gpu"
    explicit = dice.random() < 0.3
    yield from dates(dice, today) if explicit else scope(dice)
    groups = group_keys(dice, by_gpu=by_gpu)
    for key in groups:
        operator = dice.choice(("", "", "", "", "or:", "and:", "exact:"))
        yield f"group_by[{operator}{key}]", dice.choice(("*", "*", "*", dice.choice(values_of(key))))
    if groups and dice.random() < 0.6:
        yield "filter[limit]", str(dice.randrange(5))
    if groups and dice.random() < 0.25:
        yield "filter[offset]", str(dice.randrange(4))
    filters = (*GPU_KEYS, "node") if by_gpu else (*PLACES, "category", "infrastructures", *TAGS)
    excludes = filters if by_gpu else tuple(key for key in filters if key != "storageclass")
    yield from conditions(dice, "filter", filters, most=2)
    yield from conditions(dice, "exclude", tuple(key for key in excludes if key != "infrastructures"), most=1)
    if "project" in groups and dice.random() < 0.25:
        yield "category", dice.choice(("Platform", "Apps", "Platform,Apps"))
    compared = not explicit and path in DELTAS and dice.random() < 0.35
    if compared:
        by_project = ("distributed_cost",) if "project" in groups and path not in WITHOUT_DISTRIBUTION else ()
        yield "delta", dice.choice((*DELTAS[path], *by_project))
    yield from orders(dice, path, groups, today, compared=compared)
    yield from further(dice)


WITHOUT_DISTRIBUTION = ("openshift/volumes", "openshift/network")


def scope(dice: random.Random) -> Pairs:
    for part in filter(None, dice.choice(SCOPES).split("&")):
        name, value = part.split("=")
        yield name, value


def dates(dice: random.Random, today: date) -> Pairs:
    start = today - timedelta(days=dice.randrange(60))
    end = min(today + timedelta(days=1), start + timedelta(days=dice.randrange(40)))
    yield "start_date", start.isoformat()
    yield "end_date", end.isoformat()
    if dice.random() < 0.5:
        yield "filter[resolution]", dice.choice(("daily", "monthly"))


def group_keys(dice: random.Random, *, by_gpu: bool) -> list[str]:
    keys = (*GPU_KEYS, "gpu_name") if by_gpu else (*PLACES, *TAGS)
    weights = [1] * len(keys) if by_gpu else [4, 5, 3, 2, 1, *(1 for _ in TAGS)]
    wanted = dice.choice((0, 1, 1, 1, 2, 2, 3))
    return list(dict.fromkeys(dice.choices(keys, weights, k=wanted)))


def values_of(key: str) -> tuple[str, ...]:
    return VALUES.get(key, ("nvidia_L4", "t4_M"))


def conditions(dice: random.Random, parameter: str, keys: tuple[str, ...], *, most: int) -> Pairs:
    for key in dice.sample(keys, dice.choice((0, 0, 0, *range(1, most + 1)))):
        single = key == "infrastructures"
        operator = "" if single else dice.choice(("", "", "exact:", "or:", "and:"))
        for value in dice.choices(values_of(key), k=1 if single else dice.choice((1, 1, 2))):
            yield f"{parameter}[{operator}{key}]", value


def orders(dice: random.Random, path: str, groups: list[str], today: date, *, compared: bool) -> Pairs:
    fields = [*ORDERS[path], *(("delta",) if compared else ())]
    if path != "openshift/gpu":
        fields += [key for key in groups if key in ("cluster", "project", "node", "persistentvolumeclaim")]
        if {"storageclass", "persistentvolumeclaim"} & set(groups):
            fields.append("storage_class")
        if "project" in groups and path not in WITHOUT_DISTRIBUTION:
            fields.append("distributed_cost")
    if dice.random() < 0.1:
        yield "order_by[date]", (today - timedelta(days=dice.randrange(12))).isoformat()
    elif dice.random() < 0.55:
        yield f"order_by[{dice.choice(fields)}]", direction(dice)


def direction(dice: random.Random) -> str:
    return dice.choice(("asc", "desc"))


def further(dice: random.Random) -> Pairs:
    if dice.random() < 0.3:
        yield "currency", dice.choice(("EUR", "eur", "GBP", "USD", "CHF", "JPY", "SEK"))
    if dice.random() < 0.3:
        yield "limit", dice.choice(("0", "1", "3", "50"))
    if dice.random() < 0.2:
        yield "offset", dice.choice(("0", "1", "2", "70"))
