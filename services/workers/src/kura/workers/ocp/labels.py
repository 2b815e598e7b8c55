"""Label cells: `label_<key>:<value>` items joined with `|`. Source: ocp-payload §4.1."""

from __future__ import annotations

import json

from kura.workers.ocp.report_types import LONGEST_LABELS

LONGEST_TAG_KEY_BYTES = 512
MOST_TAG_KEYS = 20_000  # of one file; more are names that nobody gave
LONGEST_VALUE = 256
"""Characters. Kubernetes allows 63; key and value together must fit into an index of PostgreSQL."""


def labels_of(cell: str) -> dict[str, str]:
    """Labels of one cell.

    Rule    an item without exactly one `:` is skipped, and so is one whose value no label can have; every `label_` is
            taken out of the key; later duplicates win. A cell that no labels of one object can fill holds none
    Errors  none: what cannot be read as a label is not one
    Source  ocp-payload §4.1, example 8.2
    """
    labels: dict[str, str] = {}
    if len(cell) > LONGEST_LABELS:
        return labels
    for item in cell.split("|"):
        key, colon, value = item.partition(":")
        if colon and ":" not in value and len(value) <= LONGEST_VALUE:
            labels[key.replace("label_", "")] = value
    return labels


class LabelTexts:
    """Reads every distinct label cell of a file once: cells repeat from hour to hour."""

    def __init__(self, *, most_characters: int = 8 * 2**20) -> None:
        self.tag_keys: set[str] = set()
        self._json: dict[str, str] = {}
        self._characters = 0
        self._most_characters = most_characters

    def read_all(self, cells: list[str], *, of_tags: bool) -> list[str]:
        """JSON texts of distinct cells; with `of_tags` their keys are remembered, as far as `tag_keys` may grow."""
        if self._characters > self._most_characters:  # bounded, whatever the file holds
            self._json, self._characters = {}, 0
        for cell in cells:
            if cell not in self._json:
                self._read(cell, of_tags=of_tags)
        return [self._json[cell] for cell in cells]

    def _read(self, cell: str, *, of_tags: bool) -> None:
        labels = labels_of(cell)
        text = json.dumps(labels, ensure_ascii=False)
        if of_tags and len(self.tag_keys) < MOST_TAG_KEYS:
            self.tag_keys.update(key for key in labels if 0 < len(key.encode()) <= LONGEST_TAG_KEY_BYTES)
        self._json[cell] = text
        self._characters += len(cell) + len(text)
