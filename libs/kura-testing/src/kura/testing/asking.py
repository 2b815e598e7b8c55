"""Ask an HTTP application as a client would, in process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx
from starlette.types import ASGIApp

from kura.core.identity import Identity, encode_header

API: Final = "/api/cost-management/v1/"

ADMIN: Final = Identity(
    org_id="1234567", account_number="7890123", username="ada", email="ada@example.org", is_org_admin=True
)


def restricted(ids: Mapping[str, Sequence[str]]) -> Identity:
    """A caller who is no administrator and may read these ids: `restricted({"openshift.cluster": ["cl-b"]})`."""
    access = {kind: {"read": tuple(values)} for kind, values in ids.items()}
    return replace(ADMIN, username="bob", is_org_admin=False, access=access)


@dataclass(frozen=True)
class Asker:
    """GET requests to one application, as one caller."""

    app: ASGIApp
    identity: Identity = ADMIN
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_(self, identity: Identity) -> Asker:
        return replace(self, identity=identity)

    async def response(self, address: str, *, method: str = "GET", **headers: str) -> httpx.Response:
        """The answer to an address below the API prefix, or to an absolute path."""
        path = address if address.startswith("/") else API + address
        sent = {"x-rh-identity": encode_header(self.identity), **self.headers, **headers}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://kura") as client:
            return await client.request(method, path, headers=sent)

    async def __call__(self, address: str) -> Any:
        """The JSON of a good answer."""
        response = await self.response(address)
        assert response.status_code == 200, response.text
        return response.json()

    async def refused(self, address: str) -> tuple[int, Any]:
        """Status and JSON of a bad answer."""
        response = await self.response(address)
        assert response.status_code >= 400, response.text
        return response.status_code, response.json()

    async def csv(self, address: str) -> str:
        response = await self.response(address, accept="text/csv")
        assert response.status_code == 200, response.text
        return response.text
