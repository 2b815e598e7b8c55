"""A Kura that runs on a data directory, as one process or one for every service, driven over HTTP as users do."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
from sqlalchemy import create_engine, make_url, text

API = "/api/cost-management/v1"
UPLOAD = "/api/ingress/v1/upload"
PAYLOAD_TYPE = "application/vnd.redhat.hccm.tar+tgz"
FINAL_STATES = frozenset({"done", "failed"})

START_SECONDS = 120.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1


class NotReady(Exception):
    """The process did not start, or stopped; the end of its log is the message."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A cluster as it was registered."""

    uuid: str
    name: str
    cluster_id: str
    schema: str


class RunningKura:
    """What `kura up` has started, and what a test asks of it. `start` after a `kill` runs on the same data."""

    def __init__(self, data_dir: Path, *, split: bool = False, environ: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self._split = split
        self._environ = dict(environ or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.http = ""
        self.database_url = ""

    # ------------------------------------------------------------------------------------------ process

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        endpoints = self.data_dir / "endpoints.json"
        endpoints.unlink(missing_ok=True)
        arguments = ["--data-dir", str(self.data_dir), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
        if self._split:
            arguments.append("--split")
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "kura.single_pod", "up", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environ},
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(FileNotFoundError, ValueError):
                found = json.loads(endpoints.read_text())
                if found["pid"] == self._process.pid:
                    self.http, self.database_url = found["http"], found["database_url"]
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NotReady(self.log_tail())
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """An orderly stop; what is still there after it is killed."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill_everything()
        self._process = None

    def kill(self) -> None:
        """SIGKILL to the process alone: its database server survives it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_everything(self) -> None:
        """SIGKILL to the process and its database server, as when the power goes."""
        self.kill_database()
        self.kill()

    def kill_service(self, name: str) -> None:
        """SIGKILL to one of the processes that a split Kura keeps running."""
        started = [json.loads(line) for line in self.log_file.read_text().splitlines() if '"child_started"' in line]
        with suppress(ProcessLookupError):
            os.kill([event["pid"] for event in started if event["name"] == name][-1], signal.SIGKILL)

    def kill_database(self) -> None:
        """SIGKILL to the database server alone."""
        for file in self.data_dir.glob("postgres/**/postmaster.pid"):
            with suppress(FileNotFoundError, ProcessLookupError, ValueError):
                os.kill(int(file.read_text().splitlines()[0]), signal.SIGKILL)

    def kill_broker(self) -> None:
        """SIGKILL to the processes of a split Kura's broker, which have its directory for their home."""
        home = str(self.data_dir / "rabbitmq")
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("HOME") == home:
                    process.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log_file(self) -> Path:
        return self.data_dir / "test-run.log"

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    # ------------------------------------------------------------------------------------------ API

    def get(self, path: str, **parameters: str) -> Any:
        """The JSON of a path below the API prefix."""
        return self._request("GET", API + path, params=parameters).json()

    def put(self, path: str, body: object) -> None:
        """Change something below the API prefix."""
        self._request("PUT", API + path, json=body)

    def add_cluster(self, cluster_id: str, *, name: str) -> Source:
        body = {
            "name": name,
            "source_type": "OCP",
            "authentication": {"credentials": {"cluster_id": cluster_id}},
        }
        uuid = self._request("POST", f"{API}/sources/", json=body).json()["uuid"]
        [(schema,)] = self.query(
            "select c.schema_name from public.api_provider p join public.api_customer c on c.id = p.customer_id"
            " where p.uuid = :uuid",
            uuid=uuid,
        )
        return Source(uuid=uuid, name=name, cluster_id=cluster_id, schema=schema)

    def upload(self, content: bytes, *, headers: Mapping[str, str] | None = None) -> str:
        """Send one archive; returns the request id. Anything but 202 raises."""
        part = {"file": ("payload.tar.gz", content, PAYLOAD_TYPE)}
        answer = self._request("POST", UPLOAD, files=part, headers=dict(headers or {}))
        if answer.status_code != 202:
            raise AssertionError(f"the upload was answered with {answer.status_code}: {answer.text}")
        return str(answer.json()["request_id"])

    def upload_state(self, request_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.get(f"/uploads/{request_id}/")
        return answer

    def wait(
        self, request_ids: Sequence[str], *, until: frozenset[str] = FINAL_STATES, seconds: float = 120.0
    ) -> list[dict[str, Any]]:
        """The uploads once each is in one of the states `until`."""
        deadline = time.monotonic() + seconds
        known: dict[str, dict[str, Any]] = {}
        while True:
            for request_id in request_ids:
                if known.get(request_id, {}).get("state") not in until:
                    known[request_id] = self.upload_state(request_id)
            if all(known[request_id]["state"] in until for request_id in request_ids):
                return [known[request_id] for request_id in request_ids]
            if time.monotonic() > deadline:
                states = "\n".join(
                    f"{item['request_id']} {item['state']} {item['reason_code']}: {item['reason']}"
                    for item in known.values()
                )
                raise AssertionError(f"not all {sorted(until)} after {seconds:.0f} s:\n{states}\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def send(self, *archives: bytes, seconds: float = 120.0) -> list[dict[str, Any]]:
        """Upload archives, wait until all are done; a failed one raises with its reason."""
        uploads = self.wait([self.upload(archive) for archive in archives], seconds=seconds)
        failed = [item for item in uploads if item["state"] != "done"]
        if failed:
            raise AssertionError(f"uploads failed: {failed}\n{self.log_tail()}")
        return uploads

    def _request(self, method: str, path: str, **given: Any) -> httpx.Response:
        with httpx.Client(base_url=self.http, timeout=60.0, trust_env=False) as client:
            answer = client.request(method, path, **given)
        if not answer.is_success:
            raise AssertionError(f"{method} {path} was answered with {answer.status_code}: {answer.text}")
        return answer

    # ------------------------------------------------------------------------------------------ database

    def query(self, statement: str, **values: object) -> list[Any]:
        """Rows of a SQL statement (`:name` marks values), run and committed as the owner of the tables."""
        engine = create_engine(make_url(self.database_url).set(drivername="postgresql+psycopg2"))
        try:
            with engine.begin() as connection:
                result = connection.execute(text(statement), values)
                return list(result.all()) if result.returns_rows else []
        finally:
            engine.dispose()

    def rows(self, source: Source, table: str) -> list[dict[str, Any]]:
        """All rows of one source in a table of its tenant."""
        engine = create_engine(make_url(self.database_url).set(drivername="postgresql+psycopg2"))
        try:
            with engine.connect() as connection:
                statement = text(f'select * from "{source.schema}"."{table}" where source_uuid = :uuid')
                return [dict(row) for row in connection.execute(statement, {"uuid": source.uuid}).mappings()]
        finally:
            engine.dispose()

    def enable_tag_keys(self, source: Source, *keys: str) -> None:
        """Enable OpenShift label keys ahead of any data."""
        for key in keys:
            self.query(
                f'insert into "{source.schema}".reporting_enabledtagkeys (uuid, key, enabled, provider_type)'
                " values (gen_random_uuid(), :key, true, 'OCP')"
                " on conflict (key, provider_type) do update set enabled = true",
                key=key,
            )


@contextmanager
def running_kura(*, split: bool = False, environ: Mapping[str, str] | None = None) -> Iterator[RunningKura]:
    """A Kura on an empty data directory, for the time of the block.

    The directory can be passed through by every account: as root the database server runs under another one.
    """
    with tempfile.TemporaryDirectory(prefix="kura-run-") as name:
        Path(name).chmod(0o755)
        kura = RunningKura(Path(name) / "data", split=split, environ=environ)
        try:
            kura.start()
            yield kura
        finally:
            kura.stop()
