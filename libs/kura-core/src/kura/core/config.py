"""Settings. Each variable is declared once, in one of the groups below or in a service's own `config.py`.

A service composes its `Settings` from groups and calls `Settings.from_env(os.environ)` once, in `main.py`.
All bad variables are reported together. Nothing else in Kura reads the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from kura.core.errors import ConfigError

Port = Annotated[int, Field(ge=0, le=65535)]


def setting(default: Any, names: str, description: str, **kwargs: Any) -> Any:
    """Declare one variable. `names` are its environment names, the first being the documented one."""
    first, *others = names.split()
    alias: Any = AliasChoices(first, *others) if others else first
    return Field(default, validation_alias=alias, description=description, **kwargs)


class SettingsGroup(BaseSettings):
    """Base of every group: frozen, made from an explicit mapping, all errors at once."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, case_sensitive=True, validate_default=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values come from `from_env` alone."""
        return (init_settings,)

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **overrides: Any) -> Self:
        """Settings from `environ`; `overrides` (by field name) win. ConfigError lists every bad variable."""
        known = cls.variables()
        values: dict[str, Any] = {}
        for field, names in known.items():
            present = next((environ[name] for name in names if environ.get(name, "") != ""), None)
            if present is not None:
                values[field] = present
        values.update({field: value for field, value in overrides.items() if value is not None})
        try:
            return cls(**values)
        except ValidationError as error:
            lines = []
            for problem in error.errors():
                field = str(problem["loc"][0]) if problem["loc"] else ""
                names = known.get(field) or next((n for n in known.values() if field in n), [field])
                lines.append(f"{names[0] or 'settings'}: {problem['msg']}")
            raise ConfigError("invalid settings\n  " + "\n  ".join(lines)) from None

    @classmethod
    def variables(cls) -> dict[str, list[str]]:
        """Environment names of every field."""
        names: dict[str, list[str]] = {}
        for field, info in cls.model_fields.items():
            alias = info.validation_alias
            if isinstance(alias, AliasChoices):
                names[field] = [str(choice) for choice in alias.choices]
            elif alias is not None:
                names[field] = [str(alias)]
        return names


class ServiceSettings(SettingsGroup):
    """What every service has: where it listens, how it logs, where it reports traces and errors."""

    http_host: str = setting("127.0.0.1", "KURA_HTTP_HOST", "Address the HTTP server listens on.")
    http_port: Port = setting(0, "KURA_HTTP_PORT", "Port of the HTTP server; 0 picks a free one.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        "INFO", "KURA_LOG_LEVEL KOKU_LOG_LEVEL", "Least severe event that is logged."
    )
    log_format: Literal["json", "console"] = setting(
        "json", "KURA_LOG_FORMAT", "`json` for machines, `console` for people."
    )
    development: bool = setting(
        False, "DEVELOPMENT", "Development conveniences: gRPC reflection, verbose errors. Never in production."
    )
    otlp_endpoint: str | None = setting(
        None, "OTEL_EXPORTER_OTLP_ENDPOINT", "OTLP gRPC endpoint for traces; without it no trace leaves the process."
    )
    sentry_dsn: SecretStr | None = setting(
        None, "KOKU_SENTRY_DSN", "Where unexpected errors are reported, if the optional sentry-sdk is installed."
    )
    shutdown_seconds: float = setting(
        30.0, "KURA_SHUTDOWN_SECONDS", "Time a service may take to finish running work after SIGTERM.", gt=0
    )


class GrpcSettings(SettingsGroup):
    """A gRPC server."""

    grpc_host: str = setting("127.0.0.1", "KURA_GRPC_HOST", "Address the gRPC server listens on.")
    grpc_port: Port = setting(0, "KURA_GRPC_PORT", "Port of the gRPC server; 0 picks a free one.")
    grpc_max_message_bytes: int = setting(
        16 * 2**20, "KURA_GRPC_MAX_MESSAGE_BYTES", "Largest gRPC message accepted or sent, in bytes.", gt=0
    )


class GrpcIdentitySettings(SettingsGroup):
    """How services of one installation recognise each other."""

    grpc_token: SecretStr | None = setting(
        None,
        "KURA_GRPC_TOKEN",
        "Shared secret that callers of inner gRPC services present. Required unless the server listens on loopback.",
    )
    grpc_tls_cert: Path | None = setting(None, "KURA_GRPC_TLS_CERT", "Certificate file of this service (PEM).")
    grpc_tls_key: Path | None = setting(None, "KURA_GRPC_TLS_KEY", "Key file of this service (PEM).")
    grpc_tls_ca: Path | None = setting(None, "KURA_GRPC_TLS_CA", "CA file that verifies other services (PEM).")


class AggregatorAddressSettings(GrpcIdentitySettings):
    """Where the aggregator listens."""

    aggregator_address: str = setting("", "KURA_AGGREGATOR_ADDRESS", "host:port of the aggregator's gRPC server.")
    aggregator_token: SecretStr | None = setting(
        None, "KURA_AGGREGATOR_TOKEN", "KURA_GRPC_TOKEN of the aggregator, where it differs from that of this service."
    )


class DatabaseSettings(SettingsGroup):
    """The primary database, with the account of the service's role."""

    database_url: SecretStr = setting(
        ..., "DATABASE_URL", "PostgreSQL URL of the primary, with an account of the least role the service needs."
    )
    database_pool_size: int = setting(
        10, "KURA_DATABASE_POOL_SIZE", "Connections one process keeps to one database.", ge=1
    )
    database_wait_seconds: float = setting(
        10.0, "KURA_DATABASE_WAIT_SECONDS", "Longest wait for a free connection before 503.", gt=0
    )


class ReplicaSettings(SettingsGroup):
    """The read replica."""

    replica_url: SecretStr | None = setting(
        None,
        "DATABASE_REPLICA_URL",
        "PostgreSQL URL of a read replica, with a read-only account; without it reads use DATABASE_URL.",
    )


class OwnerSettings(SettingsGroup):
    """The account that owns the tables; only migrations use it."""

    owner_url: SecretStr | None = setting(
        None,
        "DATABASE_OWNER_URL DATABASE_URL",
        "PostgreSQL URL of the account that owns the tables; default: the database of the data directory.",
    )
    writer_password: SecretStr | None = setting(
        None,
        "KURA_WRITER_PASSWORD",
        "Password a migration gives the role kura_writer; without it that of the role stays.",
    )
    reader_password: SecretStr | None = setting(
        None,
        "KURA_READER_PASSWORD",
        "Password a migration gives the role kura_reader; without it that of the role stays.",
    )


class BrokerSettings(SettingsGroup):
    """The message broker. Without a broker the task table itself is the queue."""

    broker_url: SecretStr | None = setting(
        None, "BROKER_URL", "amqp(s):// URL of RabbitMQ; without it the database is the queue."
    )
    broker_queue_type: Literal["classic", "quorum"] = setting(
        "classic", "KURA_BROKER_QUEUE_TYPE", "`classic` (priorities) on a single broker, `quorum` on a cluster."
    )


class ObjectStoreSettings(SettingsGroup):
    """Where payloads and Parquet are kept."""

    object_store: str = setting(
        ..., "OBJECT_STORE", "`file:///directory` or `s3://bucket`.", pattern=r"^(file:///.+|s3://[A-Za-z0-9.\-_]+.*)$"
    )
    s3_endpoint: str | None = setting(None, "S3_ENDPOINT", "URL of an S3 compatible service; default is AWS.")
    s3_region: str = setting("us-east-1", "S3_REGION", "Region of the bucket.")
    s3_access_key: SecretStr | None = setting(None, "S3_ACCESS_KEY AWS_ACCESS_KEY_ID", "S3 access key id.")
    s3_secret_key: SecretStr | None = setting(None, "S3_SECRET_KEY AWS_SECRET_ACCESS_KEY", "S3 secret access key.")
    s3_ca_bundle: Path | None = setting(None, "S3_CA_BUNDLE AWS_CA_BUNDLE", "CA file for the S3 endpoint (PEM).")


class IdentitySettings(SettingsGroup):
    """Who is asking."""

    identity_mode: Literal["header", "jwt", "development"] = setting(
        "header",
        "KURA_IDENTITY",
        "`header`: x-rh-identity from a trusted gateway; `jwt`: bearer tokens verified here; "
        "`development`: a fixed organisation administrator, on loopback only.",
    )
    gateway_secret: SecretStr | None = setting(
        None,
        "KURA_GATEWAY_SECRET",
        "Secret the gateway sends as x-kura-gateway; when set, identity headers without it are refused.",
    )
    development_org_id: str = setting("1234567", "KURA_DEVELOPMENT_ORG_ID", "Organisation of the development identity.")
    jwt_issuer: str | None = setting(None, "KURA_JWT_ISSUER", "Issuer of accepted tokens (realm URL).")
    jwt_jwks_url: str | None = setting(None, "KURA_JWT_JWKS_URL", "Where the issuer publishes its keys.")
    jwt_audiences: str = setting(
        "account,cost-management-operator", "KURA_JWT_AUDIENCES", "Accepted audiences, comma separated."
    )
    jwt_clients: str = setting(
        "", "KURA_JWT_CLIENTS", "Clients whose tokens are accepted (claim azp), comma separated; empty means any."
    )
    rbac_url: str | None = setting(
        None, "RBAC_SERVICE_URL", "Base URL of the access service; without it access comes with the identity."
    )
    rbac_path: str = setting("/api/rbac/v1/access/", "RBAC_SERVICE_PATH", "Path of the access list.")
    rbac_cache_seconds: float = setting(30.0, "RBAC_CACHE_TTL", "How long an access list is believed.", ge=0)
    enhanced_org_admin: bool = setting(
        False, "ENHANCED_ORG_ADMIN", "Organisation administrators may do everything without asking the access service."
    )


class TenantSettings(SettingsGroup):
    """How the schema of a tenant is named."""

    schema_suffix: str = setting(
        "",
        "SCHEMA_SUFFIX",
        "Appended to the organisation id when its schema is named.",
        pattern=r"^[A-Za-z0-9_]{0,20}$",
    )


DEFAULT_RETAIN_MONTHS = 4


class RetentionSettings(SettingsGroup):
    """How long data is kept."""

    retain_months: int = setting(
        DEFAULT_RETAIN_MONTHS,
        "RETAIN_NUM_MONTHS",
        "Months of data that are kept and can be asked for. Any value but 4 overrides the setting of every tenant.",
        ge=1,
        le=120,
    )

    @property
    def retain_override(self) -> int | None:
        """Months for every tenant; None where each tenant has its own setting."""
        return None if self.retain_months == DEFAULT_RETAIN_MONTHS else self.retain_months


class TagSettings(SettingsGroup):
    """How many tag keys reports may know."""

    tag_enabled_limit: int = setting(
        200, "TAG_ENABLED_LIMIT", "Tag keys an organisation may have enabled at a time; 0 is no limit.", ge=0
    )
