"""Bearer tokens of an OpenID provider, verified here: write-api §2.2.

Only the algorithms of the allow-list count, only keys of the configured JWKS, and nothing a token says is ever fetched.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt

from kura.core.errors import Unauthorised, Unavailable
from kura.core.identity import ORG_ID, Identity, with_admin_access
from kura.core.telemetry import get_logger

log = get_logger(__name__)

ALGORITHMS = ("RS256", "ES256")
LEEWAY_SECONDS = 60
LONGEST_LIFE_SECONDS = 24 * 3600  # a token valid for longer is a mistake of its issuer, or forged
LONGEST_TOKEN = 16 * 1024
KEYS_SECONDS = 300.0  # how long fetched keys are believed
PAUSE_SECONDS = 10.0  # between two fetches, whatever unknown key ids come and however long the issuer is away
FOREIGN_KEY_HEADERS = ("jwk", "jku", "x5u", "x5c", "crit")
ORG_ADMIN_ROLE = "org-admin"

_ACCOUNT = re.compile(r"^(?!\.+$)[A-Za-z0-9._-]{1,128}$")


class KeysUnavailable(Unavailable):
    """The keys of the identity provider cannot be fetched."""

    code = "identity_keys_unavailable"


@dataclass(kw_only=True)
class KeySet:
    """Public keys of the issuer by key id: fetched when first needed, again when old or when a key id is new."""

    url: str
    clock: Callable[[], float] = time.monotonic
    client: httpx.AsyncClient | None = None
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    _fetched: float | None = None
    _tried: float | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """The key with this id, or None. KeysUnavailable when no valid key set can be had."""
        async with self._lock:
            now = self.clock()
            believed = self._fetched is not None and now - self._fetched < KEYS_SECONDS
            just_tried = self._tried is not None and now - self._tried < PAUSE_SECONDS
            if not just_tried and not (believed and key_id in self._keys):
                await self._fetch()
            elif not believed:
                raise KeysUnavailable
            return self._keys.get(key_id)

    async def _fetch(self) -> None:
        self._tried = self.clock()
        try:
            document = await self._document()
            keys = _usable_keys(document)
        except (httpx.HTTPError, ValueError, TypeError, AttributeError, jwt.PyJWTError) as error:
            log.warning("identity_keys_unreachable", url=self.url, error=type(error).__name__)
            if self._fetched is None or self.clock() - self._fetched >= KEYS_SECONDS:
                raise KeysUnavailable from error
            return
        self._keys = keys
        self._fetched = self.clock()

    async def _document(self) -> Any:
        if self.client is None:
            self.client = httpx.AsyncClient(timeout=5.0, follow_redirects=False)
        response = await self.client.get(self.url)
        response.raise_for_status()
        return response.json()


def _usable_keys(document: Any) -> dict[str, jwt.PyJWK]:
    """Signing keys with an id and an allowed algorithm; the others of the set are passed over."""
    usable: dict[str, jwt.PyJWK] = {}
    for described in document["keys"] if isinstance(document, dict) and "keys" in document else []:
        if not isinstance(described, dict) or described.get("use", "sig") != "sig" or not described.get("kid"):
            continue
        if described.get("kty") not in ("RSA", "EC"):
            continue
        algorithm = described.get("alg") or ("RS256" if described["kty"] == "RSA" else "ES256")
        if algorithm in ALGORITHMS:
            usable[str(described["kid"])] = jwt.PyJWK(described, algorithm=algorithm)
    if not usable:
        raise ValueError("the key set holds no usable key")
    return usable


@dataclass(frozen=True, kw_only=True)
class TokenIdentity:
    """Identity from `Authorization: Bearer`; an identity header that a client sends along is ignored."""

    issuer: str
    audiences: tuple[str, ...]
    keys: KeySet
    clients: tuple[str, ...] = ()
    wall_clock: Callable[[], float] = time.time

    async def identify(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        return with_admin_access(identity_of_claims(await self._claims(headers.get("authorization", ""))))

    async def identify_uploader(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        return await self.identify(headers, client=client)

    async def _claims(self, authorization: str) -> dict[str, Any]:
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST_TOKEN:
            raise Unauthorised("A bearer token is needed.")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise Unauthorised("The token is malformed.") from error
        key_id = header.get("kid")
        if header.get("alg") not in ALGORITHMS or any(name in header for name in FOREIGN_KEY_HEADERS):
            raise Unauthorised("The token's header is not accepted.")
        if not isinstance(key_id, str) or not 0 < len(key_id) <= 256:
            raise Unauthorised("The token names no key.")
        key = await self.keys.key(key_id)
        if key is None or key.algorithm_name != header["alg"]:
            raise Unauthorised("The token's key is not known.")
        return self._verified(token, key)

    def _verified(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self.issuer,
                audience=list(self.audiences),
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise Unauthorised(f"The token is not valid: {type(error).__name__}.") from error
        if claims["exp"] > self.wall_clock() + LONGEST_LIFE_SECONDS + LEEWAY_SECONDS:
            raise Unauthorised("The token is valid for too long.")
        if claims.get("typ") not in (None, "Bearer"):
            raise Unauthorised("The token is not an access token.")
        if self.clients and claims.get("azp", claims.get("client_id")) not in self.clients:
            raise Unauthorised("The token was issued to another client.")
        return claims


def identity_of_claims(claims: Mapping[str, Any]) -> Identity:
    """The caller a verified token describes. Unauthorised when organisation or account are missing or malformed."""
    org_id, account = claims.get("org_id"), claims.get("account_number")
    if not isinstance(org_id, str) or not ORG_ID.fullmatch(org_id):
        raise Unauthorised("The token has no well-formed org_id.")
    if not isinstance(account, str) or not _ACCOUNT.fullmatch(account):
        raise Unauthorised("The token has no well-formed account_number.")
    username = _text(claims.get("preferred_username")) or _text(claims.get("sub")) or "user"
    email = _text(claims.get("email")) or f"{username}@example.com"
    realm_access = claims.get("realm_access")
    roles = realm_access.get("roles") if isinstance(realm_access, dict) else None
    return Identity(
        org_id=org_id,
        account_number=account,
        username=username,
        email=email,
        is_org_admin=isinstance(roles, list) and ORG_ADMIN_ROLE in roles,
    )


def _text(value: Any) -> str:
    return value[:255] if isinstance(value, str) else ""
