"""Random small tables: everything a run of the product computes equals the plain reference.

`KURA_FUZZ_EXAMPLES` sets how many; the default is brief.
"""

import json
import os
from collections.abc import Iterator

import product
import pytest
from hypothesis import given, settings
from reference import inventory
from reference.comparison import differences
from reference.run import summarise_inputs
from reference.summary import Inputs, Run
from reference.tags import map_tags, tag_tuples
from reference.ui_tables import NETWORK_TABLES, UI_TABLES, gpu_table, ui_table

from kura.aggregator import ui_tables
from kura.aggregator.engine import Engine
from kura.testing.strategies import DAYS, OcpTables, Row, ocp_tables, summary_rows

RUN = Run(start=DAYS[0], end=DAYS[-1])
SEVERAL = int(os.environ.get("KURA_FUZZ_EXAMPLES", "30"))
EXAMPLES = settings(max_examples=SEVERAL, deadline=None)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with product.engine(tmp_path_factory.mktemp("spill")) as opened:
        yield opened


@EXAMPLES
@given(tables=ocp_tables())
def test_the_daily_summary_of_any_tables_equals_the_reference(engine: Engine, tables: OcpTables):
    inputs = Inputs(**vars(tables))

    expected = summarise_inputs(inputs, RUN)
    found = product.summarise(engine, inputs, RUN)

    assert differences(expected, found) == []


@EXAMPLES
@given(tables=ocp_tables())
def test_tags_inventory_and_gpus_of_any_tables_equal_the_reference(engine: Engine, tables: OcpTables):
    inputs = Inputs(**vars(tables))
    summary = summarise_inputs(inputs, RUN)

    found = product.compute_all(engine, inputs, RUN)

    for data_source, tags in (("Pod", found.pod_tags), ("Storage", found.volume_tags)):
        tuples = tag_tuples(summary, data_source=data_source, enabled_keys=inputs.enabled_keys)
        expected = {
            (key, value, namespace, node) for key, value, _, namespace, node in tuples if key in inputs.enabled_keys
        }
        assert {(tag["key"], tag["value"], tag["namespace"], tag["node"]) for tag in tags} == expected

    nodes = inventory.nodes(inputs.pods_daily, inputs.node_labels)
    assert _nodes(found.node_changes) == _nodes(nodes)
    assert {row["project"] for row in found.projects} == inventory.projects(inputs.pods_daily)
    assert {(row["persistent_volume"], row["persistent_volume_claim"]) for row in found.volumes} == set(
        inventory.claims(inputs.storage_daily)
    )
    keys = (
        *("usage_start", "namespace", "node", "vendor_name", "model_name", "gpu_uuid", "gpu_mode"),
        *("mig_profile", "mig_instance_id", "mig_strategy", "cost_category_id"),
    )
    measures = ("memory_capacity_gb", "mig_memory_capacity_gb", "mig_slice_count", "gpu_max_slices")
    expected_gpus = gpu_table(inputs.gpu_daily, patterns=inputs.patterns)
    assert differences(expected_gpus, found.gpus, keys=keys, measures=measures) == []


def _nodes(rows: list[Row]) -> set[tuple[object, ...]]:
    return {(row["node"], row["resource_id"], float(row["node_capacity_cpu_cores"]), row["node_role"]) for row in rows}


@EXAMPLES
@given(tables=ocp_tables())
def test_mapped_labels_of_any_tables_equal_the_reference(engine: Engine, tables: OcpTables):
    inputs = Inputs(**vars(tables))
    summary = summarise_inputs(inputs, RUN)

    found = {
        json.dumps(json.loads(labels), sort_keys=True): json.loads(mapped)
        for labels, mapped in product.compute_all(engine, inputs, RUN).mapped_labels.items()
    }

    for row in summary:
        for column in ("pod_labels", "volume_labels"):
            labels = row[column]
            if labels is not None:
                expected = map_tags(labels, inputs.tag_mapping)
                assert found.get(json.dumps(labels, sort_keys=True), labels) == expected


@EXAMPLES
@given(rows=summary_rows())
def test_the_ui_tables_of_any_summary_equal_the_reference(engine: Engine, rows: list[Row]):
    """The expressions run in the engine; PostgreSQL runs the same ones."""
    named = [
        {**row, "cluster_id": RUN.cluster_id, "cluster_alias": RUN.cluster_alias, "source_uuid": RUN.source_uuid}
        for row in rows
    ]
    given_rows = engine.table(product.summary_table(named))

    for table in ui_tables.UI_TABLES:
        name = table.table.name
        found = engine.compute(table.select, reporting_ocpusagelineitem_daily_summary=given_rows).to_pylist()
        expected = ui_table(name, named)

        assert differences(expected, found, keys=_keys(name), measures=_measures(name)) == [], name
    assert {table.table.name for table in ui_tables.UI_TABLES} == {*UI_TABLES, *NETWORK_TABLES}


def _keys(table: str) -> list[str]:
    extra = NETWORK_TABLES.get(table) or (UI_TABLES[table].keys if table in UI_TABLES else ())
    resources = table in NETWORK_TABLES or UI_TABLES[table].resources
    keys = ["usage_start", "usage_end", "cluster_id", "cluster_alias", "cost_model_rate_type"]
    return [
        *keys,
        *("cost_category_id", "raw_currency"),
        *extra,
        *(("resource_ids", "resource_count", "data_source") if resources else ()),
    ]


def _measures(table: str) -> list[str]:
    if table in NETWORK_TABLES:
        sums = UI_TABLES["reporting_ocp_cost_summary_p"].sums
        return [*sums, "infrastructure_data_in_gigabytes", "infrastructure_data_out_gigabytes"]
    definition = UI_TABLES[table]
    largest = [name for name in definition.largest if name not in ("cost_category_id", "raw_currency")]
    return [*definition.sums, *largest]
