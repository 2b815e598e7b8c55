"""Settings of the write gateway."""

from __future__ import annotations

from kura.core.config import (
    DatabaseSettings,
    IdentitySettings,
    ObjectStoreSettings,
    ServiceSettings,
    SettingsGroup,
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


class SourceSettings(SettingsGroup):
    """How tenants come to be."""

    schema_suffix: str = setting(
        "",
        "SCHEMA_SUFFIX",
        "Appended to the organisation id when its schema is named.",
        pattern=r"^[A-Za-z0-9_]{0,20}$",
    )


class Settings(
    ServiceSettings, DatabaseSettings, ObjectStoreSettings, IdentitySettings, UploadSettings, SourceSettings
):
    """Everything the write gateway reads from its environment."""
