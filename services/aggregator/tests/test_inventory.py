"""What a cluster is made of (ocp-payload §6.13, decision D4)."""

from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from kura.aggregator.engine import Engine, Relation
from kura.aggregator.steps.inventory import found_nodes, found_volumes, node_changes, node_roles
from kura.aggregator.store import NODES_SCHEMA

DAY, NEXT_DAY = date(2025, 1, 10), date(2025, 1, 11)


def pods(engine: Engine, *given: dict[str, object]) -> Relation:
    columns = {
        "day": pa.date32(),
        "namespace": pa.string(),
        "node": pa.string(),
        "resource_id": pa.string(),
        "node_role": pa.string(),
        "node_capacity_cpu_cores": pa.float64(),
    }
    defaults: dict[str, object] = {
        "day": DAY,
        "namespace": "shop",
        "node": "n1",
        "resource_id": "i-1",
        "node_role": None,
        "node_capacity_cpu_cores": 4.0,
    }
    filled = [defaults | row for row in given]
    return engine.table(
        pa.table({name: pa.array([row[name] for row in filled], kind) for name, kind in columns.items()})
    )


def labels(engine: Engine, *texts: str) -> Relation:
    return engine.table(pa.table({"node": pa.array(["n1"] * len(texts)), "node_labels": pa.array(texts, pa.string())}))


def role_of(engine: Engine, given: list[dict[str, object]], *texts: str) -> object:
    found = found_nodes(pod_daily=pods(engine, *given), node_labels=labels(engine, *texts)).to_pylist()
    assert len(found) == 1
    return found[0]["node_role"]


def test_the_reported_role_counts(engine: Engine):
    assert role_of(engine, [{"node_role": "infra"}]) == "infra"


def test_an_empty_role_is_none(engine: Engine):
    assert role_of(engine, [{"node_role": ""}]) == "worker"


def test_of_several_roles_that_of_the_latest_day_counts(engine: Engine):
    assert role_of(engine, [{"node_role": "worker"}, {"day": NEXT_DAY, "node_role": "infra"}]) == "infra"


def test_a_node_that_ran_the_api_server_is_a_master(engine: Engine):
    assert role_of(engine, [{}, {"namespace": "openshift-kube-apiserver"}], '{"node_role_kubernetes_io":"infra"}') == (
        "master"
    )


def test_a_label_makes_a_node_infra(engine: Engine):
    assert role_of(engine, [{}], "{}", '{"node_role_kubernetes_io":"infra"}') == "infra"


def test_a_node_without_label_row_is_in_the_inventory(engine: Engine):
    assert role_of(engine, [{}]) == "worker"


def test_a_pod_without_node_names_none(engine: Engine):
    assert found_nodes(pod_daily=pods(engine, {"node": ""}, {"node": None}), node_labels=labels(engine)).count() == 0


def test_the_architecture_is_that_of_the_greatest_label_text_in_lower_case(engine: Engine):
    found = found_nodes(
        pod_daily=pods(engine, {}),
        node_labels=labels(engine, '{"a":"1"}', '{"kubernetes_io_arch":"AMD64"}'),
    )

    assert found.to_pylist()[0]["architecture"] == "amd64"


def stored(engine: Engine, **changed: object) -> Relation:
    row = {
        "uuid": "u-1",
        "node": "n1",
        "resource_id": "i-1",
        "node_capacity_cpu_cores": Decimal("4.00"),
        "node_role": "worker",
        "architecture": "amd64",
        "of_this_cluster": True,
    }
    return engine.table(pa.Table.from_pylist([row | changed], schema=NODES_SCHEMA))


def changes(engine: Engine, known: Relation, *given: dict[str, object], newest: bool = True) -> list[dict[str, object]]:
    found = found_nodes(pod_daily=pods(engine, *given), node_labels=labels(engine, '{"kubernetes_io_arch":"arm64"}'))
    made = node_changes(found_nodes=found, stored_nodes=known, newest=newest)
    return made.to_pylist()


def test_a_known_node_is_left_as_it_is(engine: Engine):
    assert changes(engine, stored(engine), {}) == []


def test_another_capacity_is_another_row(engine: Engine):
    made = changes(engine, stored(engine), {"node_capacity_cpu_cores": 8.0})

    assert [(row["uuid"], row["node_capacity_cpu_cores"]) for row in made] == [(None, Decimal("8.00"))]


@pytest.mark.parametrize(
    "empty", [{"node_role": ""}, {"node_role": None}, {"architecture": None}, {"architecture": ""}]
)
def test_an_empty_role_or_architecture_is_filled_in_both_together(engine: Engine, empty: dict[str, object]):
    made = changes(engine, stored(engine, **empty), {})

    assert [(row["uuid"], row["node_role"], row["architecture"]) for row in made] == [("u-1", "worker", "arm64")]


def test_the_newest_day_replaces_the_role(engine: Engine):
    made = changes(engine, stored(engine), {"node_role": "infra"})

    assert [(row["uuid"], row["node_role"], row["architecture"]) for row in made] == [("u-1", "infra", "amd64")]


def test_an_older_day_does_not_replace_the_role(engine: Engine):
    assert changes(engine, stored(engine), {"node_role": "infra"}, newest=False) == []


def test_a_derived_role_never_replaces_a_stored_one(engine: Engine):
    assert changes(engine, stored(engine, node_role="infra"), {}) == []


def test_a_node_of_another_cluster_is_another_node(engine: Engine):
    made = changes(engine, stored(engine, of_this_cluster=False), {})

    assert [row["uuid"] for row in made] == [None]


def test_a_node_without_resource_id_is_found_again(engine: Engine):
    assert changes(engine, stored(engine, resource_id=None), {"resource_id": None}) == []


def test_roles_are_those_after_the_changes(engine: Engine):
    known = stored(engine, node_role="")
    found = found_nodes(pod_daily=pods(engine, {"node_role": "infra"}), node_labels=labels(engine))
    made = node_changes(found_nodes=found, stored_nodes=known, newest=True)

    assert node_roles(stored_nodes=known, node_changes=made).to_pylist() == [
        {"node": "n1", "resource_id": "i-1", "node_role": "infra"}
    ]


def test_a_volume_has_the_handle_that_was_reported(engine: Engine):
    storage = engine.table(
        pa.table(
            {
                "persistentvolume": ["pv1", "pv1", "pv2"],
                "persistentvolumeclaim": ["data", "data", None],
                "csi_volume_handle": pa.array(["", "vol-1", None]),
            }
        )
    )

    found = sorted(found_volumes(storage).to_pylist(), key=lambda row: row["persistent_volume"])

    assert found == [
        {"persistent_volume": "pv1", "persistent_volume_claim": "data", "csi_volume_handle": "vol-1"},
        {"persistent_volume": "pv2", "persistent_volume_claim": "", "csi_volume_handle": None},
    ]
