"""Which identity provider a process uses, chosen once from its settings."""

from __future__ import annotations

from kura.core.access import AccessService, WithAccessService
from kura.core.config import IdentitySettings
from kura.core.errors import ConfigError
from kura.core.identity import DevelopmentIdentity, HeaderIdentity, IdentityProvider
from kura.core.tokens import KeySet, TokenIdentity


def identity_provider(settings: IdentitySettings) -> IdentityProvider:
    """The provider of KURA_IDENTITY, asking the access service for rights where one is configured."""
    provider = _without_access_service(settings)
    if settings.rbac_url is None:
        return provider
    service = AccessService(url=settings.rbac_url, path=settings.rbac_path, seconds=settings.rbac_cache_seconds)
    return WithAccessService(inner=provider, service=service, enhanced_org_admin=settings.enhanced_org_admin)


def _without_access_service(settings: IdentitySettings) -> IdentityProvider:
    if settings.identity_mode == "development":
        return DevelopmentIdentity(settings.development_org_id)
    if settings.identity_mode == "header":
        secret = settings.gateway_secret
        return HeaderIdentity(secret.get_secret_value() if secret else None)
    if not settings.jwt_issuer or not settings.jwt_jwks_url:
        raise ConfigError("KURA_IDENTITY=jwt needs KURA_JWT_ISSUER and KURA_JWT_JWKS_URL")
    return TokenIdentity(
        issuer=settings.jwt_issuer,
        audiences=_listed(settings.jwt_audiences),
        clients=_listed(settings.jwt_clients),
        keys=KeySet(url=settings.jwt_jwks_url),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)
