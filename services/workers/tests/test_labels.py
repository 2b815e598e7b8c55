"""Label cells (ocp-payload §4.1)."""

import json

import pytest

from kura.workers.ocp.labels import LabelTexts, labels_of


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("", {}),
        ("label_app:web", {"app": "web"}),
        ("label_app:web|label_tier:db", {"app": "web", "tier": "db"}),
        ("label_app:", {"app": ""}),
        ("label_app", {}),
        ("label_url:http://x", {}),
        ("label_a_label_b:x", {"a_b": "x"}),
        ("label_a:1|label_a:2", {"a": "2"}),
        ("label_a:1||:", {"a": "1", "": ""}),
        ('label_a:"x"\\y', {"a": '"x"\\y'}),
        (f"label_a:{'x' * 256}|label_b:{'x' * 257}|label_c:1", {"a": "x" * 256, "c": "1"}),
    ],
)
def test_a_cell_is_read(cell, labels):
    assert labels_of(cell) == labels


def test_the_memory_of_cells_is_bounded_and_forgets_no_key():
    texts = LabelTexts(most_characters=100)
    for number in range(50):
        assert json.loads(texts.read_all([f"label_k{number}:v"], of_tags=True)[0]) == {f"k{number}": "v"}

    assert len(texts.tag_keys) == 50
