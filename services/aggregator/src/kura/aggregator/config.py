"""Settings of the aggregator."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kura.aggregator.engine import SMALLEST_MEMORY, EngineLimits, container_cpus, container_memory_bytes
from kura.core.config import (
    DatabaseSettings,
    GrpcIdentitySettings,
    GrpcSettings,
    ObjectStoreSettings,
    ServiceSettings,
    SettingsGroup,
    setting,
)
from kura.core.units import MEBIBYTE

ENGINE_SHARE = 0.4
"""Of the container's memory; the rest is for Arrow buffers, gRPC and the interpreter."""
MOST_ENGINE_MIB = 4096


class AggregatorSettings(SettingsGroup):
    """How much a run may use and how many run at once."""

    runs_at_once: int = setting(2, "KURA_AGGREGATOR_RUNS", "Runs that are computed at the same time.", ge=1, le=64)
    runs_waiting: int = setting(
        100, "KURA_AGGREGATOR_RUNS_WAITING", "Runs that may wait for a place; more are refused and tried again.", ge=0
    )
    engine_memory_mib: int = setting(
        0, "KURA_ENGINE_MEMORY_MIB", "Memory of all runs together [MiB]; 0 takes 40 % of the container's limit.", ge=0
    )
    engine_threads: int = setting(0, "KURA_ENGINE_THREADS", "Threads of one run; 0 takes one per usable CPU.", ge=0)
    spill_directory: Path | None = setting(
        None,
        "KURA_SPILL_DIRECTORY",
        "Where runs spill what does not fit into memory; default is the temporary directory.",
    )
    spill_mib: int = setting(
        0, "KURA_SPILL_MIB", "Disk space one run may spill to [MiB]; 0 means most of what is free.", ge=0
    )

    def engine_limits(self) -> EngineLimits:
        """The share of one run."""
        memory = self.engine_memory_mib * MEBIBYTE
        if not memory:
            memory = min(int(container_memory_bytes() * ENGINE_SHARE), MOST_ENGINE_MIB * MEBIBYTE)
        return EngineLimits(
            memory_bytes=max(memory // self.runs_at_once, SMALLEST_MEMORY),
            threads=self.engine_threads or container_cpus(),
            spill_directory=self.spill_directory or Path(tempfile.gettempdir()),
            spill_bytes=self.spill_mib * MEBIBYTE or None,
        )


class Settings(
    ServiceSettings,
    GrpcSettings,
    GrpcIdentitySettings,
    DatabaseSettings,
    ObjectStoreSettings,
    AggregatorSettings,
):
    """Everything the aggregator reads from its environment."""
