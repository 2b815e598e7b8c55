"""The rows that rates and distribution start from (cost-models §2)."""

from __future__ import annotations

import pyarrow as pa

from kura.aggregator.engine import Relation, statement
from kura.aggregator.steps import tags
from kura.core.days import DayRange


def mapped_labels(summary: Relation, tag_mapping: pa.Table, days: DayRange) -> Relation:
    """The label maps that tag mapping changes; none where no key is mapped.

    In      summary rows; child, parent
    Out     labels, mapped
    Rule    as the summary does, so that rates match the labels as they are stored
    Errors  none
    Source  ocp-pipeline §11.4, cost-models §7
    """
    engine = summary.engine
    if not tag_mapping.num_rows:
        return engine.table(tags.MAPPED_SCHEMA.empty_table())
    mapping = engine.table(tag_mapping)
    values = {"first": days.start, "last": days.end}
    maps = engine.compute(statement("costs/base_label_maps"), values, summary=summary, tag_mapping=mapping)
    return tags.mapped_labels(maps, mapping)


def base_rows(
    *, summary: Relation, cloud: Relation, mapped: Relation, days: DayRange, weight: str, markup: float | None
) -> Relation:
    """The base rows of some days.

    In      summary rows with doubles; cloud rows; labels, mapped; `weight`: cpu or memory; `markup`: factor or None
    Out     both, with labels as stored, markup, and the measures of distribution: weight, node_weight, cluster_weight,
            node_size (effective usage, capacity of node and cluster, size of the node)
    Rule    a summary row has no raw cost; without a factor the markup that is stored stays (Q8)
    Errors  none
    Source  cost-models §2, §9
    """
    return summary.engine.compute(
        statement("costs/base_rows"),
        {"first": days.start, "last": days.end, "weight": weight, "markup": markup},
        summary=summary,
        cloud=cloud,
        mapped=mapped,
    )
