"""Settings of the write gateway."""

from __future__ import annotations

from kura.core.config import (
    AggregatorAddressSettings,
    DatabaseSettings,
    GrpcSettings,
    IdentitySettings,
    ObjectStoreSettings,
    RetentionSettings,
    ServiceSettings,
    SettingsGroup,
    TagSettings,
    TenantSettings,
    setting,
)


class UploadSettings(SettingsGroup):
    """What one upload may take."""

    upload_max_bytes: int = setting(
        100 * 2**20, "KURA_UPLOAD_MAX_BYTES", "Largest file one upload may bring, in bytes.", gt=0
    )
    upload_seconds: float = setting(
        300.0, "KURA_UPLOAD_SECONDS", "Time one upload may take until its last byte arrives.", gt=0
    )
    upload_idle_seconds: float = setting(
        30.0, "KURA_UPLOAD_IDLE_SECONDS", "Time an upload may send nothing before it is given up.", gt=0
    )
    upload_writers: int = setting(
        2,
        "KURA_UPLOAD_WRITERS",
        "Threads that write uploads to the object store at the same time; each may hold 24 MiB for S3.",
        ge=1,
    )


class TenantLimits(RetentionSettings, TagSettings):
    """What organisations may set for themselves."""


class CostModelSettings(SettingsGroup):
    """What follows an edit of a cost model or price list."""

    cost_edit_delay_seconds: float = setting(
        2.0,
        "KURA_COST_EDIT_DELAY_SECONDS",
        "Time between an edit of a cost model and the new costs; edits within it are computed once.",
        ge=0,
    )


class Settings(
    ServiceSettings,
    GrpcSettings,
    DatabaseSettings,
    ObjectStoreSettings,
    IdentitySettings,
    UploadSettings,
    TenantSettings,
    TenantLimits,
    CostModelSettings,
    AggregatorAddressSettings,
):
    """Everything the write gateway reads from its environment."""
