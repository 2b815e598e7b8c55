"""Label cells and label maps (ocp-payload §4.1, ocp-pipeline §3)."""

import json
from collections.abc import Iterable, Mapping

VM_LABEL = "vm_kubevirt_io_name"

Labels = dict[str, str]
LabelMap = tuple[tuple[str, str], ...]
"""A label map as a group key: sorted pairs."""


def parse_label_cell(cell: str) -> Labels:
    """`label_app:web|label_tier:db` → {"app": "web", "tier": "db"}."""
    labels: Labels = {}
    if cell == "":
        return labels
    for item in cell.split("|"):
        if item.count(":") != 1:
            continue
        key, value = item.split(":")
        labels[key.replace("label_", "")] = value
    return labels


def label_json(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(labels), ensure_ascii=False)


def read_label_json(text: str | None) -> Labels:
    return json.loads(text) if text else {}


def keep_keys(labels: Mapping[str, str], enabled_keys: Iterable[str]) -> Labels:
    """f(L) = L restricted to the enabled keys and the name of a virtual machine."""
    kept = {VM_LABEL, *enabled_keys}
    return {key: value for key, value in labels.items() if key in kept}


def merge(*maps: Mapping[str, str]) -> Labels:
    """Later maps win."""
    merged: Labels = {}
    for labels in maps:
        merged.update(labels)
    return merged


def as_key(labels: Mapping[str, str]) -> LabelMap:
    return tuple(sorted(labels.items()))


def jsonb_order(key: str) -> tuple[int, bytes]:
    """The order of keys in jsonb: shorter first, then by bytes."""
    encoded = key.encode()
    return (len(encoded), encoded)
