"""Tags of the summary rows and the mapping of child keys to parents (ocp-pipeline §11)."""

from __future__ import annotations

import pyarrow as pa

from kura.aggregator.engine import Relation, statement

MAPPED_SCHEMA = pa.schema([("labels", pa.string()), ("mapped", pa.string())])


def pod_tags(pod_rows: Relation, enabled_keys: list[str]) -> Relation:
    """T(pod): where which label value was seen.

    In      Pod rows of the range; the enabled OpenShift keys
    Out     distinct key, value, namespace, node
    Rule    of a map, the enabled keys: the tables hold no others, so that the virtual machine's name, unless it is
            enabled, need not be taken apart only to be deleted again
    Errors  none
    Source  ocp-pipeline §11.1
    """
    return pod_rows.engine.compute(statement("pod_tags"), {"enabled": enabled_keys}, pod_rows=pod_rows)


def volume_tags(storage_rows: Relation, enabled_keys: list[str]) -> Relation:
    """T(volume): the same for volumes.

    In      Storage rows of the range; the enabled OpenShift keys
    Out     distinct key, value, namespace, node; node is null where no pod used the volume
    Rule    as for pods
    Errors  none
    Source  ocp-pipeline §11.1
    """
    return storage_rows.engine.compute(statement("volume_tags"), {"enabled": enabled_keys}, storage_rows=storage_rows)


def label_maps(*, pod_rows: Relation, storage_rows: Relation, tag_mapping: Relation) -> Relation:
    """The label maps that may hold a child key.

    In      Pod rows, Storage rows; child, parent
    Out     labels (JSON text), distinct
    Rule    by text, so that nothing is taken apart where no key is mapped
    Errors  none
    Source  ocp-pipeline §11.4
    """
    return pod_rows.engine.compute(
        statement("label_maps"), pod_rows=pod_rows, storage_rows=storage_rows, tag_mapping=tag_mapping
    )


def mapped_labels(label_maps: Relation, tag_mapping: Relation) -> Relation:
    """Label maps under the names of their parent keys.

    In      distinct labels (JSON text); child, parent
    Out     labels, mapped; one row per map that holds a child key
    Rule    a child whose parent is present is removed, any other is renamed (P8); of two children of one parent the
            longer key wins, among equally long ones the greater
    Errors  none
    Source  ocp-pipeline §11.4, decision P8; example E10
    """
    return label_maps.engine.compute(statement("mapped_labels"), label_maps=label_maps, tag_mapping=tag_mapping)


def changed_label_rows(*, tags: Relation, stored: Relation) -> Relation:
    """The rows of a label summary that the range adds something to.

    In      T of one kind; rows stored for the period (uuid, key, namespace, node, values)
    Out     uuid of the row to replace (null: none), key, namespace, node, values: sorted, distinct
    Rule    values are united with those stored; null nodes are equal (P7)
    Errors  none
    Source  ocp-pipeline §11.2, decision P7
    """
    return tags.engine.compute(statement("changed_label_rows"), tags=tags, stored=stored)


def changed_tag_values(
    *, pod_tags: Relation, volume_tags: Relation, stored: Relation, cluster_id: str, cluster_alias: str | None
) -> Relation:
    """The pairs of key and value that the range adds something to.

    In      T(pod), T(volume); pairs stored of all clusters; the cluster
    Out     key, value, namespaces, nodes of this cluster: sorted, distinct
    Rule    a pair that is stored with everything seen now is left out
    Errors  none
    Source  ocp-pipeline §11.3, decision P8a
    """
    return pod_tags.engine.compute(
        statement("changed_tag_values"),
        {"cluster_id": cluster_id, "cluster_alias": cluster_alias},
        pod_tags=pod_tags,
        volume_tags=volume_tags,
        stored=stored,
    )
