"""GPU names and MIG partitions. Source: ocp-payload §5.7, example 8.5, decision D7."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_SLICES = {
    "A30": 4,
    "A100": 7,
    "H100": 7,
    "H200": 7,
    "B200": 7,
    "RTX PRO 6000": 4,
    "RTX PRO 5000": 2,
}
"""MIG slices a whole card can be cut into, by a part of its model name."""

_NOT_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]+")
_PROFILE = re.compile(r"(\d{1,3})g\.(\d{1,6})gb(\+.*)?")
MIB_PER_PROFILE_GB = 1024


def vendor_name(vendor: str) -> str:
    return "nvidia" if vendor == "nvidia_com_gpu" else vendor


def model_name(model: str) -> str:
    return _NOT_ALPHANUMERIC.sub(" ", model).strip()


def max_slices(model: str) -> int | None:
    """Slices of a card by its normalised model name; None when the model is not known."""
    upper = model.upper()
    exact = MAX_SLICES.get(upper)
    if exact is not None:
        return exact
    return next((slices for part, slices in MAX_SLICES.items() if part in upper), None)


@dataclass(frozen=True)
class Partition:
    """MIG facts of one row; all of them null when the row counts as a whole GPU."""

    known: bool
    slice_count: int | None = None
    memory_capacity_mib: int | None = None
    max_slices: int | None = None


WHOLE_GPU = Partition(known=False)


def partition(profile: str, *, model: str, sent_max_slices: float | None) -> Partition:
    """What a non-empty MIG profile means on a card of this (normalised) model.

    Rule    `<n>g.<m>gb`, any case, blanks around ignored, optionally followed by `+<suffix>`: n slices, m GiB; another
            form leaves both unknown. Slices of the whole card as sent, else by model; an unknown model makes it a
            whole GPU
    Errors  none
    Source  ocp-payload §5.7 (3, 4), D7
    """
    slices = max_slices(model) if sent_max_slices is None else int(sent_max_slices)
    if slices is None:
        return WHOLE_GPU
    parsed = _PROFILE.fullmatch(profile.strip().lower())
    if parsed is None:
        return Partition(known=True, max_slices=slices)
    return Partition(
        known=True,
        slice_count=int(parsed[1]),
        memory_capacity_mib=int(parsed[2]) * MIB_PER_PROFILE_GB,
        max_slices=slices,
    )
