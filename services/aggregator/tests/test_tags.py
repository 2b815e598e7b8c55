"""Tags and their mapping (ocp-pipeline §11)."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kura.aggregator.engine import Engine, Engines, Relation
from kura.aggregator.steps.tags import (
    changed_label_rows,
    changed_tag_values,
    label_maps,
    mapped_labels,
    pod_tags,
)
from kura.aggregator.store import MAPPING_SCHEMA
from kura.aggregator.writer import STORED_LABELS_SCHEMA, STORED_VALUES_SCHEMA

MAPPING = {"stage": "env", "environment": "env", "team_old": "team"}


def mapping_of(engine: Engine, mapping: dict[str, str]) -> Relation:
    pairs = [{"child": child, "parent": parent} for child, parent in mapping.items()]
    return engine.table(pa.Table.from_pylist(pairs, schema=MAPPING_SCHEMA))


def pod_rows(engine: Engine, *texts: str, node: str = "n1") -> Relation:
    count = len(texts)
    return engine.table(
        pa.table(
            {
                "pod_labels": pa.array(texts, pa.string()),
                "namespace": pa.array(["shop"] * count),
                "node": pa.array([node] * count),
            }
        )
    )


def no_storage(engine: Engine) -> Relation:
    return engine.table(pa.table({"volume_labels": pa.array([], pa.string())}))


def mapped(engine: Engine, labels: dict[str, str], mapping: dict[str, str]) -> dict[str, str]:
    text = json.dumps(labels, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    known = mapping_of(engine, mapping)
    maps = label_maps(pod_rows=pod_rows(engine, text), storage_rows=no_storage(engine), tag_mapping=known)
    changed = mapped_labels(maps, known).to_pylist()
    after: dict[str, str] = json.loads(changed[0]["mapped"]) if changed else labels
    return after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"stage": "p", "app": "x"}, {"env": "p", "app": "x"}),
        ({"stage": "p", "env": "q"}, {"env": "q"}),
        ({"stage": "p", "environment": "z"}, {"env": "z"}),
        ({"stage": "p", "env": "q", "team_old": "t"}, {"env": "q", "team": "t"}),
        ({"app": "x"}, {"app": "x"}),
    ],
)
def test_e10_children_are_renamed_unless_their_parent_is_present(
    engine: Engine, before: dict[str, str], after: dict[str, str]
):
    assert mapped(engine, before, MAPPING) == after


def test_of_two_children_of_one_length_the_greater_wins(engine: Engine):
    assert mapped(engine, {"ab": "1", "ac": "2"}, {"ab": "p", "ac": "p"}) == {"p": "2"}


def test_any_map_is_mapped_as_plain_python_does(engines: Engines):
    keys = st.sampled_from(["a", "bb", "cc", "p", "q", 'x"y'])

    with engines.lend() as engine:

        @given(
            labels=st.dictionaries(keys, st.sampled_from(["1", "2", ""]), min_size=1),
            mapping=st.dictionaries(st.sampled_from(["a", "bb", "cc", 'x"y']), st.sampled_from(["p", "q"])),
        )
        def agrees(labels: dict[str, str], mapping: dict[str, str]) -> None:
            expected = {key: value for key, value in labels.items() if key not in mapping}
            for child in sorted(mapping, key=lambda key: (len(key.encode()), key.encode())):
                if child in labels and mapping[child] not in labels:
                    expected[mapping[child]] = labels[child]
            assert mapped(engine, labels, mapping) == expected

        agrees()


def test_only_enabled_keys_become_tags(engine: Engine):
    found = pod_tags(pod_rows(engine, '{"app":"web","vm_kubevirt_io_name":"v"}', "{}"), ["app", "team"]).to_pylist()

    assert found == [{"key": "app", "value": "web", "namespace": "shop", "node": "n1"}]


def tags_of(engine: Engine, *tags: tuple[str, str, str, str | None]) -> Relation:
    names = ("key", "value", "namespace", "node")
    return engine.table(
        pa.table({name: pa.array([tag[place] for tag in tags], pa.string()) for place, name in enumerate(names)})
    )


def test_values_are_united_with_those_stored_and_null_nodes_are_equal(engine: Engine):
    stored = pa.Table.from_pylist(
        [
            {"uuid": "u1", "key": "app", "namespace": "shop", "node": None, "values": ["a", "c"]},
            {"uuid": "u2", "key": "app", "namespace": "shop", "node": "n1", "values": ["a", "b"]},
        ],
        schema=STORED_LABELS_SCHEMA,
    )
    seen = tags_of(engine, ("app", "b", "shop", None), ("app", "a", "shop", "n1"), ("env", "x", "shop", None))

    found = changed_label_rows(tags=seen, stored=engine.table(stored)).to_pylist()

    assert sorted(found, key=lambda row: row["key"]) == [
        {"uuid": "u1", "key": "app", "namespace": "shop", "node": None, "values": ["a", "b", "c"]},
        {"uuid": None, "key": "env", "namespace": "shop", "node": None, "values": ["x"]},
    ]


def test_a_pair_is_written_only_if_something_new_was_seen(engine: Engine):
    known = {
        "key": "app",
        "value": "a",
        "cluster_ids": ["c1"],
        "cluster_aliases": ["C 1"],
        "namespaces": ["shop"],
        "nodes": ["n1"],
    }
    stored = engine.table(pa.Table.from_pylist([known], schema=STORED_VALUES_SCHEMA))

    def changed(*tags: tuple[str, str, str, str | None], cluster_id: str = "c1") -> list[dict[str, object]]:
        return changed_tag_values(
            pod_tags=tags_of(engine, *tags),
            volume_tags=tags_of(engine),
            stored=stored,
            cluster_id=cluster_id,
            cluster_alias="C 1",
        ).to_pylist()

    assert changed(("app", "a", "shop", "n1"), ("app", "a", "shop", None)) == []
    assert changed(("app", "a", "pay", "n1")) == [{"key": "app", "value": "a", "namespaces": ["pay"], "nodes": ["n1"]}]
    assert changed(("app", "a", "shop", "n1"), cluster_id="c2") != []
