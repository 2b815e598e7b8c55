"""The state of uploads, with the read-only role of the gateway."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import delete, insert, update
from starlette.applications import Starlette

from kura.api_reads.app import build_app, build_gateway
from kura.core.identity import HeaderIdentity
from kura.queue import enqueue
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.database import Database
from kura.store.tables.shared import SOURCES, TASK, UPLOAD
from kura.testing.gateways import ORG_ID, identity_header
from kura.testing.postgres import DatabaseUrls

PATH = "/api/cost-management/v1/uploads/"
START = datetime(2025, 1, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def database(module_database_urls: DatabaseUrls) -> Iterator[Database]:
    with Database(module_database_urls.writer) as opened:
        yield opened
        with opened.begin() as connection:
            for table in (UPLOAD, TASK, SOURCES):
                connection.execute(delete(table))


@pytest.fixture
def app(database: Database, module_database_urls: DatabaseUrls) -> Iterator[Starlette]:
    with Database(module_database_urls.reader, read_only=True) as reader:
        yield build_app(gateway=build_gateway(reader=reader), identity=HeaderIdentity())


@pytest.fixture
async def http(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kura", headers=identity_header()) as client:
        yield client


def add_upload(database: Database, request_id: str, *, org_id: str = ORG_ID, **facts: Any) -> int:
    row = {"request_id": request_id, "org_id": org_id, "object_key": f"payloads/{request_id}", "size": 11, **facts}
    with database.begin() as connection:
        return int(connection.execute(insert(UPLOAD).values(row).returning(UPLOAD.c.id)).scalar_one())


def add_source(database: Database, name: str, number: int) -> UUID:
    key = uuid4()
    row = {"source_id": number, "source_uuid": key, "name": name, "source_type": "OCP", "org_id": ORG_ID}
    with database.begin() as connection:
        connection.execute(insert(SOURCES).values(row))
    return key


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["request_id"] for item in answer.json()["data"]]


async def test_an_upload_that_is_done_tells_files_times_and_source(http: httpx.AsyncClient, database: Database) -> None:
    source = add_source(database, "prod", 4)
    files = [
        {
            "name": "a.csv",
            "report_type": "pod_usage",
            "state": "done",
            "rows": 24,
            "dropped": 1,
            "days": ["2025-01-10"],
        },
        {"name": "b.csv", "report_type": None, "state": "failed", "rows": None, "reason": "not UTF-8"},
    ]
    moments = {
        name: START + timedelta(seconds=seconds)
        for name, seconds in (
            ("accepted_at", 0),
            ("started_at", 0.5),
            ("parsed_at", 3),
            ("summarised_at", 9),
            ("finished_at", 10),
        )
    }
    add_upload(
        database, "r1", state="done", cluster_id="c1", provider_uuid=source, manifest_id=7, files=files, **moments
    )

    found = (await http.get(f"{PATH}r1/")).json()

    assert (found["request_id"], found["state"], found["reason"]) == ("r1", "done", None)
    assert (found["cluster_id"], found["source_uuid"], found["source_name"]) == ("c1", str(source), "prod")
    assert found["rows"] == 24
    assert found["files"][0]["dropped"] == 1
    assert found["files"][1] == {
        "name": "b.csv",
        "report_type": None,
        "state": "failed",
        "rows": None,
        "dropped": None,
        "days": None,
        "reason": "not UTF-8",
    }
    assert found["accepted_at"] == "2025-01-10T12:00:00Z"
    assert found["finished_at"] == "2025-01-10T12:00:10Z"
    assert found["seconds"] == {
        "waiting": 0.5,
        "parsing": 2.5,
        "summarising": 6.0,
        "finishing": 1.0,
        "total": 10.0,
    }
    assert found["tasks"] == []


async def test_an_upload_that_waits_says_why(http: httpx.AsyncClient, database: Database) -> None:
    reason = "No source has the cluster c1. Register it."
    add_upload(database, "r1", state="waiting", cluster_id="c1", reason_code="unknown_cluster", reason=reason)
    found = (await http.get(f"{PATH}r1/")).json()
    assert (found["state"], found["reason_code"], found["reason"]) == ("waiting", "unknown_cluster", reason)
    assert found["seconds"]["total"] is None


async def test_an_upload_underway_shows_its_tasks(http: httpx.AsyncClient, database: Database) -> None:
    upload_id = add_upload(database, "r1", state="processing")
    with database.begin() as connection:
        ingest = enqueue(connection, tasks_pb2.IngestPayload(upload_id=upload_id))
        summarise = tasks_pb2.SummariseRange(
            schema_name="org1234567", provider_uuid=str(uuid4()), start_date="2025-01-01", end_date="2025-01-02"
        )
        child = enqueue(connection, summarise, parent=ingest)
        enqueue(connection, tasks_pb2.IngestPayload(upload_id=upload_id + 1))
        connection.execute(update(TASK).where(TASK.c.id == ingest).values(state="running", progress={"files": 3}))
        connection.execute(update(TASK).where(TASK.c.id == child).values(created_at=START + timedelta(days=36500)))

    tasks = (await http.get(f"{PATH}r1/")).json()["tasks"]

    assert [(task["type"], task["state"], task["progress"]) for task in tasks] == [
        ("IngestPayload", "running", {"files": 3}),
        ("SummariseRange", "queued", None),
    ]


async def test_of_uploads_with_the_same_request_id_the_newest_is_shown(
    http: httpx.AsyncClient, database: Database
) -> None:
    for size in (1, 2):
        add_upload(database, "r1", size=size)
    assert (await http.get(f"{PATH}r1/")).json()["size"] == 2


async def test_uploads_are_listed_newest_first_in_pages(http: httpx.AsyncClient, database: Database) -> None:
    for number in range(12):
        add_upload(database, f"r{number}")
    answer = await http.get(PATH)
    assert ids(answer) == [f"r{number}" for number in range(11, 1, -1)]
    assert answer.json()["meta"] == {"count": 12, "limit": 10, "offset": 0}
    assert ids(await http.get(answer.json()["links"]["next"])) == ["r1", "r0"]
    assert ids(await http.get(PATH.removesuffix("/"))) == ids(answer)
    assert (await http.get(f"{PATH}r3")).json()["request_id"] == "r3"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=failed", ["r2"]),
        ("filter[state]=failed,waiting", ["r3", "r2"]),
        ("state=done&state=failed", ["r2", "r1"]),
        ("cluster_id=c1", ["r3", "r1"]),
        ("filter[cluster_id]=c1&state=waiting", ["r3"]),
        ("source=prod", ["r1"]),
        ("source=4", ["r1"]),
        ("source={uuid}", ["r1"]),
        ("source=pro", []),
        ("source=' or 1=1--", []),
    ],
)
async def test_filters(http: httpx.AsyncClient, database: Database, query: str, found: list[str]) -> None:
    source = add_source(database, "prod", 4)
    add_upload(database, "r1", state="done", cluster_id="c1", provider_uuid=source)
    add_upload(database, "r2", state="failed", cluster_id="c2")
    add_upload(database, "r3", state="waiting", cluster_id="c1")
    assert ids(await http.get(f"{PATH}?{query.replace('{uuid}', str(source))}")) == found


async def test_an_unknown_state_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{PATH}?state=lost")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["source"] == "state"


@pytest.mark.parametrize("request_id", ["none", "%00", "..%2f", "' or 1=1--", "x" * 300])
async def test_an_unknown_upload_is_answered_404(http: httpx.AsyncClient, database: Database, request_id: str) -> None:
    add_upload(database, "r1")
    answer = await http.get(f"{PATH}{request_id}/")
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["status"] == 404


async def test_uploads_of_another_organisation_do_not_exist(http: httpx.AsyncClient, database: Database) -> None:
    add_upload(database, "r1", org_id="7654321")
    add_upload(database, "mine")
    assert (await http.get(f"{PATH}r1/")).status_code == 404  # S15
    assert ids(await http.get(PATH)) == ["mine"]


@pytest.mark.parametrize(
    ("access", "status", "found"),
    [
        ({"settings": {"read": ("*",)}}, 403, []),
        ({"openshift.cluster": {"read": ("c1",)}}, 200, ["r1"]),
        ({"openshift.cluster": {"read": ("*",)}}, 200, ["r2", "r1"]),
        ({"sources": {"read": ("*",)}}, 200, ["r2", "r1"]),
    ],
)
async def test_with_a_list_of_clusters_only_their_uploads_are_shown(
    http: httpx.AsyncClient, database: Database, access: Any, status: int, found: list[str]
) -> None:  # S16
    add_upload(database, "r1", cluster_id="c1")
    add_upload(database, "r2", cluster_id="c2")
    headers = identity_header(admin=False, access=access)
    answer = await http.get(PATH, headers=headers)
    assert answer.status_code == status
    if status == 200:
        assert ids(answer) == found
        assert (await http.get(f"{PATH}r2/", headers=headers)).status_code == (200 if "r2" in found else 404)
