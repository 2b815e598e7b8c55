"""Who is asking: the identity a trusted gateway sends, and what it may see.

Source: write-api §2 (strict, for the API) and ocp-payload §1.2 (lenient, for uploads).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import orjson

from kura.core.errors import BadRequest, Forbidden, Unauthorised

IDENTITY_HEADER = "x-rh-identity"
GATEWAY_HEADER = "x-kura-gateway"
SINGLE_HEADERS = (IDENTITY_HEADER, GATEWAY_HEADER, "authorization")
"""Headers that decide who is asking: a request that carries one of them twice is refused."""

REQUEST_ID_HEADER = "x-rh-insights-request-id"

ORG_ID = re.compile(r"^(?!\.+$)[A-Za-z0-9._-]{1,36}$")
"""What may become a schema name and part of an object key; never just dots."""

RESOURCE_TYPES = (
    "aws.account",
    "aws.organizational_unit",
    "gcp.account",
    "gcp.project",
    "azure.subscription_guid",
    "openshift.cluster",
    "openshift.node",
    "openshift.project",
    "cost_model",
    "settings",
    "sources",
)
WRITABLE_TYPES = ("cost_model", "settings", "sources")

Access = Mapping[str, Mapping[str, tuple[str, ...]]]
"""resource type → verb → ids; `("*",)` is unrestricted."""


def full_access() -> Access:
    return {
        kind: {"read": ("*",), "write": ("*",)} if kind in WRITABLE_TYPES else {"read": ("*",)}
        for kind in RESOURCE_TYPES
    }


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One caller of one organisation."""

    org_id: str
    account_number: str = ""
    username: str = ""
    email: str = ""
    is_org_admin: bool = False
    kind: str = "User"
    access: Access = field(default_factory=dict)
    header: str = ""

    def may(self, kind: str, verb: str = "read") -> tuple[str, ...]:
        """Ids of this resource type the caller may `verb`; `("*",)` for all, empty for none."""
        return tuple(self.access.get(kind, {}).get(verb, ()))

    @property
    def has_access(self) -> bool:
        return any(ids for verbs in self.access.values() for ids in verbs.values())


def require_unrestricted(identity: Identity, kind: str, verb: str) -> None:
    """Forbidden unless the caller may `verb` every object of this resource type."""
    if "*" not in identity.may(kind, verb):
        raise Forbidden


class IdentityProvider(Protocol):
    """Turns the headers of a request into an identity, or raises Unauthorised, Forbidden or DependencyFailed."""

    async def identify(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        """The caller of the API (write-api §2)."""
        ...

    async def identify_uploader(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        """The sender of an upload: an organisation is enough (ocp-payload §1.2). BadRequest when it is not readable."""
        ...


def decode_header(header: str | None) -> dict[str, Any]:
    """The JSON object of an identity header.

    Errors: Unauthorised when missing or not JSON, Forbidden when not base64.
    """
    if not header:
        raise Unauthorised
    try:
        decoded = base64.b64decode(header, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Forbidden("The identity header is not base64.") from error
    try:
        content = orjson.loads(decoded)
    except orjson.JSONDecodeError as error:
        raise Unauthorised("The identity header is not JSON.") from error
    if not isinstance(content, dict) or not isinstance(content.get("identity"), dict):
        raise Unauthorised("The identity header has no identity.")
    return content


def org_id_of(content: Mapping[str, Any]) -> str | None:
    """`identity.org_id`, else `identity.internal.org_id`; None unless it is a well-formed id."""
    identity = content["identity"]
    internal = identity.get("internal")
    found = identity.get("org_id") or (internal.get("org_id") if isinstance(internal, dict) else None)
    return found if isinstance(found, str) and ORG_ID.fullmatch(found) else None


def read_strict(header: str | None) -> Identity:
    """The identity of an API call, without access: write-api §2.1."""
    content = decode_header(header)
    entitlements = content.get("entitlements")
    cost_management = entitlements.get("cost_management") if isinstance(entitlements, dict) else None
    if not (isinstance(cost_management, dict) and cost_management.get("is_entitled") is True):
        raise Forbidden("This account is not entitled to cost management.")
    identity = content["identity"]
    is_user = str(identity.get("type", "")).lower() == "user"
    person = identity.get("user" if is_user else "service_account")
    person = person if isinstance(person, dict) else {}
    username = person.get("username")
    email = person.get("email") if is_user else ""
    org_id = org_id_of(content)
    if not isinstance(username, str) or not username or not isinstance(email, str) or org_id is None:
        raise Unauthorised("The identity header lacks username, e-mail or organisation.")
    return Identity(
        org_id=org_id,
        account_number=str(identity.get("account_number") or ""),
        username=username,
        email=email,
        is_org_admin=is_user and person.get("is_org_admin") is True,
        kind=str(identity.get("type")),
        access=_access(person.get("access")),
        header=header or "",
    )


def read_lenient(header: str | None) -> Identity:
    """The identity of an upload: an organisation is enough. BadRequest with the reason otherwise."""
    if not header:
        raise BadRequest("Bad Request: missing x-rh-identity header")
    try:
        content = decode_header(header)
    except (Unauthorised, Forbidden) as error:
        raise BadRequest(f"Bad Request: unable to read x-rh-identity header: {error}") from error
    org_id = org_id_of(content)
    if org_id is None:
        raise BadRequest("Bad Request: x-rh-identity header has an invalid or missing org_id")
    identity = content["identity"]
    return Identity(
        org_id=org_id,
        account_number=str(identity.get("account_number") or ""),
        kind=str(identity.get("type") or ""),
        header=header,
    )


def _access(given: Any) -> Access:
    """The access map some gateways put into the identity; anything malformed gives no access."""
    if not isinstance(given, dict):
        return {}
    access: dict[str, dict[str, tuple[str, ...]]] = {}
    for kind, verbs in given.items():
        if kind not in RESOURCE_TYPES or not isinstance(verbs, dict):
            continue
        access[kind] = {
            verb: tuple(str(i) for i in ids)
            for verb, ids in verbs.items()
            if verb in ("read", "write") and isinstance(ids, list)
        }
    return access


def encode_header(identity: Identity) -> str:
    """The header a gateway would send for `identity`; for clients, tests and the command line."""
    content = {
        "org_id": identity.org_id,
        "identity": {
            "org_id": identity.org_id,
            "account_number": identity.account_number,
            "type": identity.kind,
            "auth_type": "jwt-auth",
            "user": {
                "username": identity.username,
                "email": identity.email,
                "is_org_admin": identity.is_org_admin,
                "access": {kind: {v: list(ids) for v, ids in verbs.items()} for kind, verbs in identity.access.items()},
            },
            "internal": {"org_id": identity.org_id},
        },
        "entitlements": {"cost_management": {"is_entitled": True}},
    }
    return base64.b64encode(orjson.dumps(content)).decode()


@dataclass(frozen=True)
class DevelopmentIdentity:
    """A fixed organisation administrator for callers on loopback who send no identity of their own."""

    org_id: str

    async def identify(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        if headers.get(IDENTITY_HEADER):
            return with_admin_access(read_strict(headers[IDENTITY_HEADER]))
        return self._developer(client)

    async def identify_uploader(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        if headers.get(IDENTITY_HEADER):
            return read_lenient(headers[IDENTITY_HEADER])
        return self._developer(client)

    def _developer(self, client: str | None) -> Identity:
        if client not in {"127.0.0.1", "::1", None}:
            raise Unauthorised("The development identity serves loopback only.")
        return Identity(
            org_id=self.org_id,
            account_number="10001",
            username="developer",
            email="developer@example.com",
            is_org_admin=True,
            access=full_access(),
        )


@dataclass(frozen=True)
class HeaderIdentity:
    """x-rh-identity of a trusted gateway; organisation administrators may do everything, others what it lists.

    With a `secret`, requests that do not carry it as x-kura-gateway did not come through the gateway.
    """

    secret: str | None = None

    async def identify(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        self._check_gateway(headers)
        return with_admin_access(read_strict(headers.get(IDENTITY_HEADER)))

    async def identify_uploader(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        self._check_gateway(headers)
        return read_lenient(headers.get(IDENTITY_HEADER))

    def _check_gateway(self, headers: Mapping[str, str]) -> None:
        if self.secret is None:
            return
        if not hmac.compare_digest(headers.get(GATEWAY_HEADER, "").encode(), self.secret.encode()):
            raise Unauthorised("The request did not come through the gateway.")


def with_admin_access(identity: Identity) -> Identity:
    """Organisation administrators may do everything."""
    return replace(identity, access=full_access()) if identity.is_org_admin else identity
