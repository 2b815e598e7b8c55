"""Settings of the scheduler."""

from __future__ import annotations

from kura.core.config import (
    BrokerSettings,
    DatabaseSettings,
    GrpcIdentitySettings,
    GrpcSettings,
    ServiceSettings,
    SettingsGroup,
    setting,
)


class ScheduleSettings(SettingsGroup):
    """When periodic work is done, as a fresh installation begins; later changes are made in the schedule itself."""

    remove_expired_on_day: int = setting(
        1,
        "REMOVE_EXPIRED_REPORT_DATA_ON_DAY",
        "Day of the month on which old data goes; 0 switches it off.",
        ge=0,
        le=28,
    )
    remove_expired_at: str = setting(
        "00:00", "REMOVE_EXPIRED_REPORT_UTC_TIME", "Time of that day, UTC.", pattern=r"^([01]\d|2[0-3]):[0-5]\d$"
    )
    vacuum_on_weekday: str | None = setting(
        None,
        "VACUUM_DATA_DAY_OF_WEEK",
        "Weekday on which autovacuum is tuned, `0` to `6` from Sunday or `sun` to `sat`; unset: every day.",
        pattern=r"^(?i:[0-6]|sun|mon|tue|wed|thu|fri|sat)$",
    )
    vacuum_at: str = setting(
        "00:00", "VACUUM_DATA_UTC_TIME", "Time of that day, UTC.", pattern=r"^([01]\d|2[0-3]):[0-5]\d$"
    )


class ReconcilerSettings(SettingsGroup):
    """How often and after what time things are put right."""

    status_seconds: float = setting(
        5.0, "KURA_STATUS_SECONDS", "Pause between two looks at tasks and uploads whose worker is gone.", gt=0
    )
    drift_seconds: float = setting(
        300.0, "KURA_DRIFT_SECONDS", "Pause between two looks for summaries older than their data.", gt=0
    )
    drift_after_seconds: float = setting(
        900.0, "KURA_DRIFT_AFTER_SECONDS", "Age from which work that nobody does counts as forgotten.", gt=0
    )
    partial_after_seconds: float = setting(
        3600.0,
        "KURA_PARTIAL_AFTER_SECONDS",
        "Age from which an upload whose other files never came is called partial.",
        gt=0,
    )
    partial_summary_seconds: float = setting(
        86400.0,
        "KURA_PARTIAL_SUMMARY_SECONDS",
        "Age from which the received days of a partial upload are summarised.",
        gt=0,
    )
    validation_days: int = setting(
        5,
        "VALIDATION_RANGE",
        "Days whose totals in Parquet and PostgreSQL are compared once a day; 0: none.",
        ge=0,
        le=31,
    )


class Settings(
    ServiceSettings,
    GrpcSettings,
    GrpcIdentitySettings,
    DatabaseSettings,
    BrokerSettings,
    ScheduleSettings,
    ReconcilerSettings,
):
    """Everything the scheduler reads from its environment."""
