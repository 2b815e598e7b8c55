"""How services of one installation recognise each other: a shared secret, mutual TLS, or both. Fails closed."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import grpc

from kura.core.config import AggregatorAddressSettings, GrpcIdentitySettings
from kura.core.errors import ConfigError, Unauthorised

TOKEN = "x-kura-token"  # noqa: S105 — the name of the metadata key, not a secret


@dataclass(frozen=True, kw_only=True)
class Security:
    """The secrets of one server, or of a client of it. Give every server a token of its own."""

    token: str | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    ca: bytes | None = None

    @classmethod
    def from_settings(cls, settings: GrpcIdentitySettings) -> Self:
        token = settings.grpc_token.get_secret_value() if settings.grpc_token else None
        if token is not None and len(token) < 16:
            raise ConfigError("KURA_GRPC_TOKEN: needs at least 16 characters")
        paths = (settings.grpc_tls_cert, settings.grpc_tls_key)
        if any(paths) and not all(paths):
            raise ConfigError("KURA_GRPC_TLS_CERT and KURA_GRPC_TLS_KEY belong together")
        return cls(
            token=token,
            certificate=read(settings.grpc_tls_cert),
            key=read(settings.grpc_tls_key),
            ca=read(settings.grpc_tls_ca),
        )

    @classmethod
    def of_aggregator(cls, settings: AggregatorAddressSettings) -> Self:
        """What a client of the aggregator presents."""
        own = cls.from_settings(settings)
        token = settings.aggregator_token
        return own if token is None else replace(own, token=token.get_secret_value())

    def check_listening(self, host: str) -> None:
        """Refuse to listen where others can call without proving who they are."""
        mutual_tls = self.certificate is not None and self.ca is not None
        if self.token is None and not mutual_tls and not is_loopback(host):
            raise ConfigError(
                f"KURA_GRPC_TOKEN: required, or KURA_GRPC_TLS_CERT, _KEY and _CA, because {host} is not loopback"
            )

    def check_caller(self, metadata: dict[str, str]) -> None:
        if self.token is None:
            return
        if not hmac.compare_digest(metadata.get(TOKEN, "").encode(), self.token.encode()):
            raise Unauthorised("this service does not know the caller")

    def server_credentials(self) -> Any:
        """grpc.ServerCredentials, or None for a server without TLS."""
        if self.certificate is None or self.key is None:
            return None
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], root_certificates=self.ca, require_client_auth=self.ca is not None
        )

    def channel_credentials(self) -> Any:
        """grpc.ChannelCredentials, or None for a client without TLS."""
        if self.ca is None and self.certificate is None:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca, private_key=self.key, certificate_chain=self.certificate
        )


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.startswith("unix:"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
