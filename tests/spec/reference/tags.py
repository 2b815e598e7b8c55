"""Tag tables and tag mapping (ocp-pipeline §11)."""

from collections.abc import Iterable, Mapping, Set

from reference.csv_reports import Row
from reference.labels import Labels, jsonb_order

LABEL_COLUMNS = {"Pod": "pod_labels", "Storage": "volume_labels"}

TagTuple = tuple[str, str, object, object, object]
"""key, value, report_period_id, namespace, node"""


def tag_tuples(summary: Iterable[Row], *, data_source: str, enabled_keys: Set[str]) -> set[TagTuple]:
    """§11.1: exploded label maps of the rows without cloud cost that hold at least one enabled key."""
    column = LABEL_COLUMNS[data_source]
    tuples: set[TagTuple] = set()
    for row in summary:
        labels = row[column]
        if row["data_source"] != data_source or not labels:
            continue
        if row.get("infrastructure_raw_cost") or row.get("infrastructure_project_raw_cost"):
            continue
        assert isinstance(labels, dict)
        if not enabled_keys & set(labels):
            continue
        for key, value in labels.items():
            tuples.add((key, value, row["report_period_id"], row["namespace"], row["node"]))
    return tuples


def label_summary(
    tuples: Iterable[TagTuple], *, enabled_keys: Set[str], stored: Mapping[tuple[object, ...], set[str]] | None = None
) -> dict[tuple[object, ...], list[str]]:
    """§11.2: (key, report_period_id, namespace, node) → sorted distinct values, united with what is stored."""
    values = {key: set(known) for key, known in (stored or {}).items() if key[0] in enabled_keys}
    for key, value, period, namespace, node in tuples:
        if key in enabled_keys:
            values.setdefault((key, period, namespace, node), set()).add(value)
    return {key: sorted(found) for key, found in values.items()}


def tag_values(summary_rows: Iterable[Row], *, enabled_keys: Set[str]) -> dict[tuple[str, str], dict[str, set[object]]]:
    """§11.3: (key, value) → where it occurs, of both sources, united over runs and clusters (P8a)."""
    rows = list(summary_rows)
    found: dict[tuple[str, str], dict[str, set[object]]] = {}
    for row in rows:
        for data_source in LABEL_COLUMNS:
            for key, value, _, namespace, node in tag_tuples([row], data_source=data_source, enabled_keys=enabled_keys):
                if key not in enabled_keys:
                    continue
                places = found.setdefault(
                    (key, value), {"cluster_ids": set(), "cluster_aliases": set(), "namespaces": set(), "nodes": set()}
                )
                places["cluster_ids"].add(row["cluster_id"])
                places["cluster_aliases"].add(row["cluster_alias"])
                places["namespaces"].add(namespace)
                places["nodes"].add(node)
    return found


def map_tags(labels: Labels, parents: Mapping[str, str]) -> Labels:
    """§11.4 with P8: a child whose parent is present goes, another is renamed; of two children of one parent
    the value of the later in the order of jsonb keys wins."""
    mapped = {key: value for key, value in labels.items() if key not in parents}
    for child in sorted((key for key in labels if key in parents), key=jsonb_order):
        parent = parents[child]
        if parent not in labels:
            mapped[parent] = labels[child]
    return mapped


def map_tags_as_reference(labels: Labels, parents: Mapping[str, str]) -> Labels:
    """§11.4 as the reference implementation does it: one child beside its parent removes all children."""
    children = [key for key in labels if key in parents]
    if any(parents[child] in labels for child in children):
        return {key: value for key, value in labels.items() if key not in children}
    return map_tags(labels, parents)
