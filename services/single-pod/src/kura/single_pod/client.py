"""The HTTP API as the command line uses it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import httpx

from kura.single_pod.problems import CommandError

API = "/api/cost-management/v1"
UPLOAD = "/api/ingress/v1/upload"
PAYLOAD_TYPE = "application/vnd.redhat.hccm.tar+tgz"
FINAL_STATES = ("done", "failed")
NOT_ENABLED = re.compile(r"""['"]([A-Z]{3})['"] is not an enabled currency""")

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who the command line says it is; nothing is needed towards a Kura on this machine."""

    token: str | None = None
    org_id: str | None = None

    def headers(self) -> dict[str, str]:
        if self.token:
            return {"authorization": f"Bearer {self.token}"}
        if self.org_id:
            from kura.core.identity import Identity, encode_header, full_access

            identity = Identity(
                org_id=self.org_id,
                account_number="10001",
                username="kura-cli",
                email="kura-cli@example.com",
                is_org_admin=True,
                access=full_access(),
            )
            return {"x-rh-identity": encode_header(identity)}
        return {}


class Refused(CommandError):
    """The API said no; `parameters` is what it said about single ones, in its own form."""

    def __init__(self, message: str, *, hint: str | None, parameters: Mapping[str, Any]) -> None:
        super().__init__(message, hint=hint)
        self.parameters = parameters


class Told(io.RawIOBase):
    """A file that tells how much of it has been read."""

    def __init__(self, handle: BinaryIO, tell: Callable[[int], None]) -> None:
        self._handle = handle
        self._tell = tell

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._handle.fileno()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._handle.seek(offset, whence)

    def tell(self) -> int:
        return self._handle.tell()

    def read(self, size: int = -1) -> bytes:
        chunk = self._handle.read(size)
        self._tell(len(chunk))
        return chunk


class Kura:
    """One running Kura, seen over HTTP."""

    def __init__(self, url: str, caller: Caller | None = None, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"user-agent": "kura-cli", **(caller or Caller()).headers()},
            timeout=httpx.Timeout(120.0, connect=5.0),
            trust_env=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, query: Query = ()) -> Any:
        """The JSON answer of one API path (below the API prefix)."""
        return self._request("GET", API + path, params=list(query)).json()

    def get_csv(self, path: str, query: Query = ()) -> str:
        return self._request("GET", API + path, params=list(query), headers={"accept": "text/csv"}).text

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._request("POST", API + path, json=dict(body)).json()

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something; its new state where the API tells it."""
        answer = self._request("PUT", API + path, json=dict(body))
        return answer.json() if answer.content else None

    def add_cluster(self, *, name: str, cluster_id: str) -> Any:
        """Register an OpenShift source."""
        credentials = {"credentials": {"cluster_id": cluster_id}}
        return self.post("/sources/", {"name": name, "source_type": "OCP", "authentication": credentials})

    def delete(self, path: str) -> None:
        self._request("DELETE", API + path)

    def pages(self, path: str, query: Query = (), *, size: int = 100) -> Iterator[Mapping[str, Any]]:
        """Every item of a paged list."""
        offset = 0
        while True:
            answer = self.get(path, [*query, ("limit", str(size)), ("offset", str(offset))])
            yield from answer["data"]
            offset += size
            if offset >= answer["meta"]["count"] or not answer["data"]:
                return

    def ready(self) -> bool:
        """Whether everything behind the API works."""
        try:
            return self._http.get("/readyz", timeout=5.0).status_code == 200
        except httpx.HTTPError:
            return False

    def readiness(self) -> dict[str, Any]:
        """What /readyz says; it answers also when something is broken."""
        try:
            answer: dict[str, Any] = self._http.get("/readyz", timeout=10.0).json()
        except httpx.HTTPError as error:
            raise CommandError(f"No Kura answers at {self.url}.", hint="Start one with `kura up`.") from error
        return answer

    def queues(self) -> list[dict[str, Any]]:
        """Backlog of every queue; empty where the administrators' routes are not reachable."""
        try:
            answer = self._http.get("/admin/v1/queues/", timeout=10.0)
            content = answer.json() if answer.status_code == 200 else []
        except (httpx.HTTPError, ValueError):
            return []
        found = content.get("data", []) if isinstance(content, dict) else content
        return [item for item in found if isinstance(item, dict)]

    def upload(self, path: Path, *, tell: Callable[[int], None] = lambda size: None) -> str:
        """Send one payload; returns its request id. Only a 202 counts as accepted."""
        with path.open("rb") as handle:
            part = (path.name, Told(handle, tell), PAYLOAD_TYPE)
            answer = self._request("POST", UPLOAD, files={"file": part})
        if answer.status_code != 202:
            raise CommandError(f"{path.name}: the upload was answered with {answer.status_code}, not 202.")
        return str(answer.json()["request_id"])

    def upload_state(self, request_id: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.get(f"/uploads/{request_id}/")
        inner = answer.get("data")
        return inner if isinstance(inner, Mapping) else answer

    def _request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **kwargs)
        except httpx.ConnectError as error:
            raise CommandError(f"No Kura answers at {self.url}.", hint="Start one with `kura up`.") from error
        except httpx.TimeoutException as error:
            raise CommandError(f"{self.url} did not answer in time.", hint="See `kura status`.") from error
        except httpx.HTTPError as error:
            raise CommandError(f"The connection to {self.url} failed: {error}.") from error
        if answer.is_success:
            return answer
        raise Refused(refusal(answer), hint=advice(answer), parameters=_refused_parameters(answer))


def refusal(answer: httpx.Response) -> str:
    """An error answer in one or a few lines, whatever its form."""
    where = f"{answer.request.method} {answer.request.url.path}"
    words = "\n".join(f"  {line}" for line in _error_lines(answer))
    return f"{where} was answered with {answer.status_code} {answer.reason_phrase}." + (f"\n{words}" if words else "")


def advice(answer: httpx.Response) -> str | None:
    if answer.status_code == 401:
        return "Say who you are: --org-id for a gateway that trusts this machine, or --token with a bearer token."
    if answer.status_code in (502, 503, 424):
        return "A part of Kura is away; `kura status` shows which. Try again in a moment."
    if answer.status_code == 400 and (found := NOT_ENABLED.search("\n".join(_error_lines(answer)))):
        return f"`kura currency enable {found[1]}` enables it; `kura currency list` shows those that are."
    return None


def _refused_parameters(answer: httpx.Response) -> Mapping[str, Any]:
    """The map of parameters in the body of a report's 400; empty for any other answer."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if answer.status_code == 400 and isinstance(body, dict) and "errors" not in body else {}


def _error_lines(answer: httpx.Response) -> list[str]:
    try:
        body = answer.json()
    except ValueError:
        kind = answer.headers.get("content-type", "")
        return [answer.text.strip()[:500]] if answer.text.strip() and "html" not in kind else []
    if isinstance(body, dict) and isinstance(body.get("errors"), list):
        return [
            f"{item.get('source', 'error')}: {item.get('detail', '')}" if isinstance(item, dict) else str(item)
            for item in body["errors"]
        ]
    return list(_flat_errors(body, ""))


def _flat_errors(found: Any, name: str) -> Iterator[str]:
    """Parameter errors: nested maps of lists of texts."""
    if isinstance(found, dict):
        for key, inner in found.items():
            yield from _flat_errors(inner, f"{name}[{key}]" if name else str(key))
    elif isinstance(found, list):
        yield f"{name}: {' '.join(str(text) for text in found)}"
    else:
        yield f"{name}: {found if isinstance(found, str) else json.dumps(found)}"
