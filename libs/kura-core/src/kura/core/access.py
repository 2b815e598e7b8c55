"""What a caller may do: the access service (RBAC), asked per caller and believed for a short time (write-api §4).

Closed when in doubt: an unreachable, slow or malformed access service gives an error, an empty list gives no access.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from kura.core.errors import DependencyFailed
from kura.core.identity import (
    RESOURCE_TYPES,
    WRITABLE_TYPES,
    Access,
    Identity,
    IdentityProvider,
    encode_header,
    full_access,
)
from kura.core.telemetry import get_logger

log = get_logger(__name__)

APPLICATION = "cost-management"
MOST_PAGES = 100
MOST_REMEMBERED = 10_000
ANSWER_SECONDS = 5.0
EVERYTHING = "*"


class AccessServiceUnavailable(DependencyFailed):
    """Rbac unavailable. The access service does not answer as it should; try again later."""

    code = "access_service_unavailable"


def access_map(entries: Iterable[Any]) -> Access:
    """Rights by resource type and verb from an access list.

    In      entries {"permission": "cost-management:<type>:<verb>", "resourceDefinitions": [...]}
    Out     type → verb → ids; empty when the list gives no right
    Rule    write implies read; `*` stands for every type, or for the strongest verb; a type without an entry of its
            own inherits: nodes from clusters, projects from nodes; a list with `*` is just `*`
    Errors  none; entries that cannot be read give nothing
    Source  write-api §4, rules 1–6
    """
    found: dict[str, dict[str, list[str]]] = {}
    for entry in entries:
        parts = str(entry.get("permission", "")).split(":") if isinstance(entry, dict) else []
        if len(parts) != 3 or parts[0] != APPLICATION:
            continue
        _, named, verb = parts
        named = "cost_model" if named == "rate" else named
        ids = _ids(entry.get("resourceDefinitions"))
        for kind in RESOURCE_TYPES if named == EVERYTHING else (named,):
            for granted in _verbs(kind, verb):
                found.setdefault(kind, {}).setdefault(granted, []).extend(ids)

    if not any(ids for verbs in found.values() for ids in verbs.values()):
        return {}
    for parent, child in (("openshift.cluster", "openshift.node"), ("openshift.node", "openshift.project")):
        if found.get(parent, {}).get("read") and child not in found:
            found[child] = {"read": [EVERYTHING]}
    return {kind: {verb: _collapsed(ids) for verb, ids in verbs.items()} for kind, verbs in found.items()}


def _verbs(kind: str, verb: str) -> tuple[str, ...]:
    if kind not in RESOURCE_TYPES or verb not in ("read", "write", EVERYTHING):
        return ()
    if kind in WRITABLE_TYPES:
        return ("read",) if verb == "read" else ("read", "write")
    return () if verb == "write" else ("read",)


def _ids(definitions: Any) -> list[str]:
    if not isinstance(definitions, list) or not definitions:
        return [EVERYTHING] if definitions in (None, []) else []
    ids: list[str] = []
    for definition in definitions:
        condition = definition.get("attributeFilter") if isinstance(definition, dict) else None
        if not isinstance(condition, dict):
            continue
        value = condition.get("value")
        if condition.get("operation") == "equal" and isinstance(value, str):
            ids.append(value)
        elif condition.get("operation") == "in":
            listed = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
            ids += [str(item).strip() for item in listed]
    return [found for found in ids if found]


def _collapsed(ids: list[str]) -> tuple[str, ...]:
    return (EVERYTHING,) if EVERYTHING in ids else tuple(dict.fromkeys(ids))


@dataclass(kw_only=True)
class AccessService:
    """Client of the access service. An answer is believed for `seconds`; an empty one is asked again each time."""

    url: str
    path: str
    seconds: float
    client: httpx.AsyncClient | None = None
    clock: Callable[[], float] = time.monotonic
    _known: OrderedDict[tuple[str, str], tuple[float, Access]] = field(default_factory=OrderedDict)

    async def access_of(self, identity: Identity) -> Access:
        """Rights of one caller. AccessServiceUnavailable when they cannot be learnt."""
        caller = (identity.org_id, identity.username)
        remembered = self._known.get(caller)
        if remembered is not None and self.clock() - remembered[0] < self.seconds:
            return remembered[1]
        self._known.pop(caller, None)
        access = access_map(await self._entries(identity))
        if access:
            self._known[caller] = (self.clock(), access)
            while len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)
        return access

    def forget(self) -> None:
        self._known.clear()

    async def _entries(self, identity: Identity) -> list[Any]:
        first = urljoin(self.url, self.path)
        url = f"{first}?application={APPLICATION}&limit=100"
        headers = {"x-rh-identity": identity.header or encode_header(identity)}
        entries: list[Any] = []
        for _ in range(MOST_PAGES):
            content = await self._page(url, headers)
            if content is None:
                return []
            entries += content["data"]
            following = content.get("links", {}).get("next")
            if not following:
                return entries
            url = urljoin(first, str(following))
            if urlsplit(url)[:2] != urlsplit(first)[:2]:
                raise AccessServiceUnavailable("Rbac unavailable. Its next page is on another host.")
        raise AccessServiceUnavailable("Rbac unavailable. Its list has no end.")

    async def _page(self, url: str, headers: Mapping[str, str]) -> dict[str, Any] | None:
        """One page, or None when the service gives the caller nothing (any other status below 500)."""
        if self.client is None:
            self.client = httpx.AsyncClient(timeout=ANSWER_SECONDS, follow_redirects=False)
        try:
            response = await self.client.get(url, headers=headers)
        except httpx.HTTPError as error:
            log.warning("access_service_unreachable", error=type(error).__name__)
            raise AccessServiceUnavailable from error
        if response.status_code >= 500:
            raise AccessServiceUnavailable
        if response.status_code != 200:
            log.warning("access_service_refused", status=response.status_code)
            return None
        try:
            content = response.json()
        except ValueError as error:
            raise AccessServiceUnavailable from error
        links = content.get("links", {}) if isinstance(content, dict) else None
        if not isinstance(links, dict) or not isinstance(content.get("data"), list):
            raise AccessServiceUnavailable
        return dict(content)


@dataclass(frozen=True, kw_only=True)
class WithAccessService:
    """An identity provider whose callers' rights come from the access service, whatever the identity claims."""

    inner: IdentityProvider
    service: AccessService
    enhanced_org_admin: bool = False

    async def identify(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        identity = await self.inner.identify(headers, client=client)
        if identity.is_org_admin and self.enhanced_org_admin:
            return replace(identity, access=full_access())
        return replace(identity, access=await self.service.access_of(identity))

    async def identify_uploader(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        return await self.inner.identify_uploader(headers, client=client)
