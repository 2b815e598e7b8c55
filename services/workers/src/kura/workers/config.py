"""Settings of a worker."""

from __future__ import annotations

import math
import os
from pathlib import Path

from pydantic import SecretStr, field_validator

from kura.core.config import (
    AggregatorAddressSettings,
    BrokerSettings,
    DatabaseSettings,
    ObjectStoreSettings,
    RetentionSettings,
    ServiceSettings,
    SettingsGroup,
    setting,
)


def usable_cpus() -> int:
    """CPUs this process may use: those it may run on, or the quota of its container if that is less."""
    available = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(available, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no control group, or no quota
        return available


class CurrencySettings(SettingsGroup):
    """Where exchange rates come from."""

    currency_url: SecretStr | None = setting(
        None,
        "CURRENCY_URL",
        "Address of exchange rates, fetched daily: JSON with `base_code` and `rates`; unset: rates are set by hand.",
    )

    @field_validator("currency_url")
    @classmethod
    def _is_fetched_over_http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url


class IngestSettings(RetentionSettings, CurrencySettings):
    """How payloads are taken in and how long things are kept."""

    work_directory: Path = setting(
        Path("/tmp"),  # noqa: S108 - each worker makes a private directory in it
        "KURA_WORK_DIRECTORY TMP_DIR",
        "Directory in which each worker makes one of its own, for payloads being taken in.",
    )
    convert_threads: int = setting(
        0, "KURA_CONVERT_THREADS", "Threads that convert one payload; 0 takes one per usable CPU.", ge=0
    )
    convert_memory_mib: int = setting(
        96, "KURA_CONVERT_MEMORY_MIB", "Memory of each daily aggregation before it spills to disk [MiB].", ge=32
    )
    payload_limit_mib: int = setting(
        2000, "KURA_PAYLOAD_LIMIT_MIB", "Largest payload once unpacked [MiB]; 20 times the upload limit.", ge=1
    )
    payload_limit_ratio: int = setting(
        100, "KURA_PAYLOAD_LIMIT_RATIO", "Largest growth when unpacked, looked at beyond 100 MiB.", ge=2
    )
    keep_failed_days: float = setting(
        7.0, "KURA_KEEP_FAILED_DAYS", "Days a payload that failed or waits is kept for a look at it.", ge=0
    )
    keep_done_hours: float = setting(
        24.0, "KURA_KEEP_DONE_HOURS", "Hours a payload is kept after it was taken in; 0 removes it at once.", ge=0
    )
    operator_releases: Path | None = setting(
        None, "KURA_OPERATOR_RELEASES", "JSON file that maps git commits of the metrics operator to release names."
    )

    @property
    def threads(self) -> int:
        return self.convert_threads or usable_cpus()


class WorkerSettings(SettingsGroup):
    """The worker loop."""

    queue_classes: str = setting(
        "default", "KURA_QUEUE_CLASS", "Queues this worker serves, of the thirteen; comma separated."
    )
    worker_slots: int = setting(1, "KURA_WORKER_SLOTS", "Tasks carried out at a time.", ge=1)
    worker_max_tasks: int = setting(
        0, "MAX_CELERY_TASKS_PER_WORKER", "Tasks after which the worker ends to be started anew; 0 means never.", ge=0
    )
    worker_lease_seconds: float = setting(
        30.0, "KURA_WORKER_LEASE_SECONDS", "Time after which the task of a silent worker goes to another one.", gt=0
    )
    worker_name: str = setting(
        "", "KURA_WORKER_NAME HOSTNAME", "Name of this worker in task rows; default is its host."
    )


class Settings(
    ServiceSettings,
    DatabaseSettings,
    BrokerSettings,
    ObjectStoreSettings,
    AggregatorAddressSettings,
    IngestSettings,
    WorkerSettings,
):
    """All of them."""
