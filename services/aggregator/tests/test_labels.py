"""Label filtering, precedence, fan-out (ocp-pipeline §3)."""

import pyarrow as pa
import pytest

from kura.aggregator.engine import Engine, Statement
from kura.aggregator.steps.labels import counted_keys, fan_outs, filter_labels, node_label_sets
from kura.aggregator.steps.reading import Given
from kura.core.errors import InvalidData
from kura.testing.tables import rows


def given_of(engine: Engine, *, pod_labels: list[str | None], node_labels: list[str | None] = ()) -> Given:  # type: ignore[assignment]
    nothing = engine.table(pa.table({"persistentvolume_labels": pa.array([], pa.string())}))
    storage = engine.compute(
        Statement(
            "storage", "SELECT persistentvolume_labels, persistentvolume_labels AS persistentvolumeclaim_labels FROM x"
        ),
        x=nothing,
    )
    return Given(
        pod_daily=engine.table(pa.table({"pod_labels": pa.array(pod_labels, pa.string())})),
        storage_daily=storage,
        node_labels=engine.table(
            pa.table(
                {
                    "day": pa.array(["2025-01-10"] * len(node_labels)),
                    "node": pa.array(["n1"] * len(node_labels)),
                    "node_labels": pa.array(list(node_labels), pa.string()),
                }
            )
        ),
        namespace_labels=engine.table(pa.table({"namespace_labels": pa.array([], pa.string())})),
        gpu_daily=nothing,
        pod_usage_hourly=nothing,
    )


def filtered(engine: Engine, texts: list[str | None], *keys: str) -> dict[str, str]:
    given = given_of(engine, pod_labels=texts)
    return {row["label_text"]: row["labels"] for row in filter_labels(given, counted_keys(keys)).to_pylist()}


def test_only_enabled_keys_and_the_name_of_a_virtual_machine_count(engine: Engine):
    text = '{"app": "web", "secret": "x", "vm_kubevirt_io_name": "v1"}'

    assert filtered(engine, [text], "app", "team") == {text: '{"app":"web","vm_kubevirt_io_name":"v1"}'}


def test_without_any_enabled_key_the_name_of_a_virtual_machine_still_counts(engine: Engine):
    text = '{"app":"web","vm_kubevirt_io_name":"v1"}'

    assert filtered(engine, [text]) == {text: '{"vm_kubevirt_io_name":"v1"}'}


def test_equal_maps_have_equal_texts_whatever_the_order_of_their_keys(engine: Engine):
    found = filtered(engine, ['{"b":"1","a":"2"}', '{"a":"2", "b":"1"}'], "a", "b")

    assert set(found.values()) == {'{"a":"2","b":"1"}'}


@pytest.mark.parametrize("value", ['quo\\"te', "back\\\\slash", "ümlaut", "日本", "a b", "", "{}"])
def test_values_keep_every_character(engine: Engine, value: str):
    text = f'{{"a":"{value}"}}'

    assert filtered(engine, [text], "a") == {text: text}


@pytest.mark.parametrize("key", ["a'b", 'q"k', "$.x", "k]", "; DROP TABLE x"])
def test_keys_are_never_sql_nor_paths(engine: Engine, key: str):
    text = '{"%s":"v"}' % key.replace('"', '\\"')  # noqa: UP031  braces on both sides

    assert filtered(engine, [text], key) == {text: text}


@pytest.mark.parametrize("text", ["", None])
def test_an_absent_label_text_is_no_text(engine: Engine, text: str | None):
    assert filtered(engine, [text], "a") == {}


def test_a_label_text_that_is_not_json_is_refused(engine: Engine):
    with pytest.raises(InvalidData):
        filtered(engine, ["{broken"], "a")


def test_sets_that_differ_in_disabled_keys_alone_collapse_to_one(engine: Engine):
    given = given_of(engine, pod_labels=[], node_labels=['{"env":"b"}', '{"env":"b","zone":"z"}', '{"env":"a"}', ""])

    sets = node_label_sets(given.node_labels, filter_labels(given, counted_keys(["env"])))

    assert sorted(row["labels"] for row in sets.to_pylist()) == ['{"env":"a"}', '{"env":"b"}', "{}"]


def test_fan_outs_are_counted(engine: Engine):
    nodes = engine.table(
        rows("""
            day        | node | labels
            2025-01-10 | n1   | {}
            2025-01-10 | n1   | {"env":"a"}
            2025-01-11 | n1   | {}
        """)
    )
    namespaces = engine.table(
        rows("""
            day        | namespace | labels
            2025-01-10 | shop      | {}
        """)
    )

    found = fan_outs(node_label_sets=nodes, namespace_label_sets=namespaces).to_pylist()

    assert {row["kind"]: row["changed"] for row in found} == {"node": 1, "namespace": 0}


def test_the_later_of_merged_maps_wins(engine: Engine):
    merged = Statement("merged", """SELECT merged_labels(['{"a":"1","b":"1"}', '{}', '{"b":"2"}']) AS labels""")

    assert engine.compute(merged).to_pylist() == [{"labels": '{"a":"1","b":"2"}'}]
