"""Settings of the read gateway."""

from __future__ import annotations

from kura.core.config import (
    DatabaseSettings,
    GrpcIdentitySettings,
    GrpcSettings,
    IdentitySettings,
    ReplicaSettings,
    RetentionSettings,
    ServiceSettings,
    TagSettings,
    TenantSettings,
    setting,
)


class ReportSettings(RetentionSettings, TagSettings):
    """What reports may ask and how long they may take."""

    report_max_groups: int = setting(
        3, "KURA_REPORT_MAX_GROUPS", "Most group_by keys one report may have; the reference allows 2.", ge=1, le=4
    )
    report_seconds: float = setting(
        60.0, "KURA_REPORT_SECONDS", "Time one database statement of a report may take before 504.", gt=0
    )
    report_work_megabytes: int = setting(
        64, "KURA_REPORT_WORK_MEGABYTES", "Memory one step of a report's statement may use in the database.", ge=1
    )
    report_cache_bytes: int = setting(
        64 * 2**20, "KURA_REPORT_CACHE_BYTES", "Memory for finished answers in one process; 0 keeps none.", ge=0
    )


class Settings(
    ServiceSettings,
    GrpcSettings,
    GrpcIdentitySettings,
    DatabaseSettings,
    ReplicaSettings,
    IdentitySettings,
    ReportSettings,
    TenantSettings,
):
    """Everything the read gateway reads from its environment."""
