"""Which rows a caller may see (read-api §10). `query.py` ANDs these conditions last; nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kura.core.errors import Forbidden
from kura.core.identity import Identity

EVERYTHING = "*"
OPENSHIFT_KEYS = {"cluster": "openshift.cluster", "node": "openshift.node", "project": "openshift.project"}


@dataclass(frozen=True)
class Limits:
    """Ids the caller is restricted to, by key; a key that is missing is unrestricted."""

    allowed: Mapping[str, tuple[str, ...]]

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(self.allowed)

    def refuse_others(self, named: Mapping[str, frozenset[str]]) -> None:
        """Forbidden when the request names a value that is not literally in the caller's list."""
        for key, values in named.items():
            if key in self.allowed and not values <= set(self.allowed[key]):
                raise Forbidden


def openshift_limits(identity: Identity) -> Limits:
    """What the caller may see of OpenShift; Forbidden without any cluster.

    A type without an entry of its own inherits: nodes from clusters, projects from nodes.
    """
    if not identity.may("openshift.cluster"):
        raise Forbidden
    allowed: dict[str, tuple[str, ...]] = {}
    for key, kind in OPENSHIFT_KEYS.items():
        ids = identity.may(kind) if kind in identity.access else (EVERYTHING,)
        if EVERYTHING not in ids:
            allowed[key] = ids
    return Limits(allowed)


def require(identity: Identity, *kinds: str) -> None:
    """Forbidden unless the caller may read something of one of these types."""
    if not any(identity.may(kind) for kind in kinds):
        raise Forbidden


def require_any_access(identity: Identity) -> None:
    """Forbidden for callers without any right at all."""
    if not identity.is_org_admin and not identity.has_access:
        raise Forbidden


def scope_key(identity: Identity) -> str:
    """A text that differs whenever two callers may see different things; part of every cache key."""
    parts = [
        f"{kind}:{verb}={','.join(sorted(ids))!r}"
        for kind, verbs in sorted(identity.access.items())
        for verb, ids in sorted(verbs.items())
    ]
    return f"{identity.org_id}|{identity.is_org_admin}|{';'.join(parts)}"
