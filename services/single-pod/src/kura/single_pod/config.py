"""Settings of the single pod: its command-line options, and what it reads beside the settings of the services in it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, cast
from urllib.parse import urlsplit

from kura.core.config import GrpcSettings, IdentitySettings, OwnerSettings, ServiceSettings, setting
from kura.single_pod.problems import CommandError

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LogFormat = Literal["json", "console"]


class SinglePodSettings(ServiceSettings):
    """All of Kura in one process."""

    object_store: str | None = setting(
        None,
        "OBJECT_STORE",
        "`file:///directory` or `s3://bucket`; default: a directory of the data directory.",
        pattern=r"^(file:///.+|s3://[A-Za-z0-9.\-_]+.*)$",
    )
    single_pod_connections: int = setting(
        8, "KURA_SINGLE_POD_CONNECTIONS", "Connections each part of the single process keeps to the database.", ge=2
    )
    single_pod_tasks: int = setting(
        3, "KURA_SINGLE_POD_TASKS", "Tasks the single process carries out at the same time, beside an urgent one.", ge=1
    )


class Settings(SinglePodSettings, GrpcSettings, IdentitySettings, OwnerSettings):
    """Everything the single pod itself reads from its environment."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where to listen; port 0 picks a free one."""

    host: str
    port: int

    @classmethod
    def parsed(cls, option: str, text: str) -> Self:
        try:
            split = urlsplit(f"//{text}")
            host, port = split.hostname, split.port
        except ValueError:
            host, port = None, None
        if not host or port is None or split.path or split.username:
            raise CommandError(f"{option} {text}: write it as HOST:PORT, for example 127.0.0.1:8000.", status=2)
        return cls(host=host, port=port)

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """What `kura up` was asked for."""

    data_dir: Path
    http: Address
    grpc: Address
    database_url: str | None
    broker_url: str | None
    object_store: str | None
    worker_groups: Sequence[Sequence[str]]
    log_level: LogLevel
    log_format: LogFormat

    @classmethod
    def checked(
        cls,
        *,
        data_dir: Path,
        http: str,
        grpc: str,
        database_url: str | None,
        broker_url: str | None,
        object_store: str | None,
        worker_groups: Sequence[str],
        log_level: str,
        log_format: str,
    ) -> Self:
        """Options as typed, or CommandError naming the one that is wrong."""
        if log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise CommandError(f"--log-level {log_level}: it is DEBUG, INFO, WARNING or ERROR.", status=2)
        if log_format not in ("json", "console"):
            raise CommandError(f"KURA_LOG_FORMAT={log_format}: it is json or console.", status=2)
        if database_url and not database_url.startswith(("postgresql://", "postgres://")):
            raise CommandError("--database-url: write it as postgresql://USER:PASSWORD@HOST/DATABASE.", status=2)
        if broker_url and not broker_url.startswith(("amqp://", "amqps://")):
            raise CommandError("--broker-url: write it as amqp://USER:PASSWORD@HOST/VHOST.", status=2)
        return cls(
            data_dir=data_dir.expanduser().resolve(),
            http=Address.parsed("--http", http),
            grpc=Address.parsed("--grpc", grpc),
            database_url=database_url or None,
            broker_url=broker_url or None,
            object_store=_store_url(object_store),
            worker_groups=tuple(
                tuple(part.strip() for part in group.split(",") if part.strip()) for group in worker_groups
            ),
            log_level=cast(LogLevel, log_level.upper()),
            log_format=cast(LogFormat, log_format),
        )


def _store_url(text: str | None) -> str | None:
    """`s3://bucket`, `file:///dir`, or a directory as a person types it."""
    if not text:
        return None
    if text.startswith(("s3://", "file:///")):
        return text
    if "://" in text:
        raise CommandError(f"--object-store {text}: write it as s3://BUCKET or file:///DIRECTORY.", status=2)
    return Path(text).expanduser().resolve().as_uri()
