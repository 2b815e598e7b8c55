"""What the process does with memory that a run has freed."""

from __future__ import annotations

import ctypes

import pyarrow as pa

M_MMAP_THRESHOLD = -3
LARGE_BYTES = 128 * 1024


def give_freed_memory_back() -> None:
    """Let large blocks go back to the operating system as soon as they are free; holds for the whole process.

    Arrow's own allocator, and glibc for blocks below a threshold that it raises by itself, keep what they once had: a
    run of 20 million rows then holds half a gigabyte more than it uses.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(M_MMAP_THRESHOLD, LARGE_BYTES)
