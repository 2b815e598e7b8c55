"""The upload address: every row of ocp-payload §1.3, in process. Slow and huge uploads: see test_upload_socket."""

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kura.api_writes.app import build_app
from kura.api_writes.config import UploadSettings
from kura.core.identity import DevelopmentIdentity, HeaderIdentity
from kura.core.tokens import KeySet, TokenIdentity
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.testing.gateways import ORG_ID, PAYLOAD_TYPE, UPLOAD_PATH, Stored, identity_header, payload


async def test_an_upload_is_stored_recorded_queued_and_answered_202(http: httpx.AsyncClient, stored: Stored) -> None:
    answer = await http.post(UPLOAD_PATH, files=payload(b"the archive"))

    assert answer.status_code == 202
    request_id = answer.headers["x-rh-insights-request-id"]
    assert answer.json() == {
        "request_id": request_id,
        "upload": {"account_number": "7890123", "org_id": ORG_ID},
    }
    (row,) = stored.uploads()
    assert row["request_id"] == request_id
    assert (row["org_id"], row["account_id"], row["state"]) == (ORG_ID, "7890123", "accepted")
    assert (row["size"], row["sha256"]) == (11, hashlib.sha256(b"the archive").hexdigest())
    assert row["content_type"] == PAYLOAD_TYPE
    assert stored.objects.read(row["object_key"]) == b"the archive"
    assert stored.objects_stored() == [row["object_key"]]
    assert stored.tasks() == [("IngestPayload", {"uploadId": str(row["id"])})]


async def test_the_other_prefix_works_too(http: httpx.AsyncClient) -> None:
    answer = await http.post("/r/insights/platform/ingress/v1/upload", files=payload())
    assert answer.status_code == 202


async def test_the_request_id_of_the_client_is_kept(http: httpx.AsyncClient, stored: Stored) -> None:
    answer = await http.post(UPLOAD_PATH, files=payload(), headers={"x-rh-insights-request-id": "abc-1"})
    assert answer.json()["request_id"] == answer.headers["x-rh-insights-request-id"] == "abc-1"
    assert stored.uploads()[0]["request_id"] == "abc-1"


@pytest.mark.parametrize("bad", ["../x", "a b", "x" * 200, "a/b", ""])
async def test_a_request_id_that_is_none_is_replaced(http: httpx.AsyncClient, bad: str) -> None:
    answer = await http.post(UPLOAD_PATH, files=payload(), headers={"x-rh-insights-request-id": bad})
    assert len(answer.json()["request_id"]) == 32


async def test_empty_account_numbers_are_left_out_of_the_answer(http: httpx.AsyncClient, stored: Stored) -> None:
    header = base64.b64encode(json.dumps({"identity": {"internal": {"org_id": "77"}}}).encode()).decode()
    answer = await http.post(UPLOAD_PATH, files=payload(), headers={"x-rh-identity": header})
    assert answer.status_code == 202
    assert answer.json()["upload"] == {"org_id": "77"}
    assert stored.uploads()[0]["account_id"] is None


async def test_the_field_may_be_named_upload(http: httpx.AsyncClient, stored: Stored) -> None:
    assert (await http.post(UPLOAD_PATH, files=payload(field="upload"))).status_code == 202
    assert stored.objects.read(stored.objects_stored()[0]) == b"archive"


@pytest.mark.parametrize("order", [("upload", "file"), ("file", "upload")])
async def test_the_field_file_wins_over_upload(http: httpx.AsyncClient, stored: Stored, order: tuple[str, str]) -> None:
    files = [(field, ("a.tar.gz", field.encode(), PAYLOAD_TYPE)) for field in order]
    assert (await http.post(UPLOAD_PATH, files=files)).status_code == 202
    assert [stored.objects.read(key) for key in stored.objects_stored()] == [b"file"]


@pytest.mark.parametrize("metadata", ['{"reporter": "x"}', "not json", "x" * 100_000])
async def test_metadata_is_accepted_and_not_needed(http: httpx.AsyncClient, metadata: str) -> None:
    assert (await http.post(UPLOAD_PATH, files=payload(), data={"metadata": metadata})).status_code == 202


@pytest.mark.parametrize(
    "content_type",
    [
        "application/vnd.redhat.hccm.tar+tgz",
        "application/vnd.redhat.hccm.filename+tgz",
        "application/vnd.redhat.hccm.x-1",
    ],
)
async def test_content_types_of_cost_management_are_accepted(http: httpx.AsyncClient, content_type: str) -> None:
    assert (await http.post(UPLOAD_PATH, files=payload(content_type=content_type))).status_code == 202


@pytest.mark.parametrize(
    "content_type",
    ["application/gzip", "application/vnd.redhat.advisor.tar+tgz", "application/vnd.redhat.hccm", "text/html"],
)
async def test_other_content_types_are_answered_415_without_a_body(
    http: httpx.AsyncClient, stored: Stored, content_type: str
) -> None:
    answer = await http.post(UPLOAD_PATH, files=payload(content_type=content_type))
    assert (answer.status_code, answer.content) == (415, b"")
    assert stored.is_empty()


@pytest.mark.parametrize(
    "request_body",
    [
        {"files": {"other": ("a.tar.gz", b"x", PAYLOAD_TYPE)}},
        {"data": {"file": "just a value"}},
        {"content": b"archive"},
        {"content": b"archive", "headers": {"content-type": PAYLOAD_TYPE}},
        {"json": {"test": "no"}},
        {"data": {"test": "no"}},
        {"content": b"&a=1" * 10_000, "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"content": b"{", "headers": {"content-type": "application/json"}},
        {"content": b"[" * 100_000, "headers": {"content-type": "application/json"}},
    ],
    ids=[
        "other field",
        "a value",
        "no form",
        "the bare archive",
        "JSON",
        "another form",
        "a large form",
        "broken JSON",
        "a JSON bomb",
    ],
)
async def test_a_request_without_the_field_is_answered_400(
    http: httpx.AsyncClient, stored: Stored, request_body: dict[str, Any]
) -> None:
    answer = await http.post(UPLOAD_PATH, **request_body)
    assert (answer.status_code, answer.text) == (400, "File or upload field not found")
    assert answer.headers["content-type"].startswith("text/plain")
    assert stored.is_empty()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
        b"Content-Type: application/vnd.redhat.hccm.tar+tgz\r\n\r\n" + b"x" * 2_000_000,
    ],
    ids=["nothing", "nonsense", "no end"],
)
async def test_an_unreadable_form_is_answered_400(http: httpx.AsyncClient, stored: Stored, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await http.post(UPLOAD_PATH, content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert stored.is_empty()


async def test_an_empty_file_is_answered_400(http: httpx.AsyncClient, stored: Stored) -> None:
    answer = await http.post(UPLOAD_PATH, files=payload(b""))
    assert (answer.status_code, answer.text) == (400, "The uploaded file is empty.")
    assert stored.is_empty()


@pytest.mark.parametrize(
    "request_body",
    [
        {"files": payload(), "data": {"test": "test"}},
        {"files": payload(content_type="text/plain"), "data": {"test": "test"}},
        {"data": {"test": "test"}, "files": {"other": b""}},
        {"json": {"test": "test"}},
        {"data": {"test": "test"}},
    ],
    ids=["with a file", "with a wrong file", "alone", "JSON", "a form without files"],
)
async def test_a_test_request_is_answered_200_and_stores_nothing(
    http: httpx.AsyncClient, stored: Stored, request_body: dict[str, Any]
) -> None:
    answer = await http.post(UPLOAD_PATH, **request_body)
    assert answer.status_code == 200
    assert answer.json() == {
        "request_id": answer.headers["x-rh-insights-request-id"],
        "upload": {"account_number": "7890123", "org_id": ORG_ID},
    }
    assert stored.is_empty()


def encoded(content: Any) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "%%%",
        base64.b64encode(b"not json").decode(),
        encoded([]),
        encoded({"org_id": "1"}),
        encoded({"identity": {}}),
        encoded({"identity": {"org_id": ""}}),
        encoded({"identity": {"org_id": "../x"}}),
        encoded({"identity": {"org_id": "'; drop table upload"}}),
        encoded({"identity": {"org_id": ".."}}),
        encoded({"identity": {"org_id": ["1"]}}),
        encoded({"identity": {"org_id": "x" * 10_000}}),
    ],
)
async def test_an_identity_without_an_organisation_is_answered_400(
    app: Any, stored: Stored, header: str | None
) -> None:  # S07
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kura") as http:
        headers = {} if header is None else {"x-rh-identity": header}
        answer = await http.post(UPLOAD_PATH, files=payload(), headers=headers)
    assert answer.status_code == 400
    assert answer.text.startswith("Bad Request: ")
    assert answer.headers["content-type"].startswith("text/plain")
    assert stored.is_empty()


@pytest.mark.parametrize("kind", ["User", "System", "application/json", "x"])
async def test_any_type_of_identity_may_upload(http: httpx.AsyncClient, kind: str) -> None:
    header = encoded({"identity": {"org_id": "77", "account_number": "1", "type": kind}})
    answer = await http.post(UPLOAD_PATH, files=payload(), headers={"x-rh-identity": header})
    assert answer.status_code == 202


async def test_an_identity_sent_twice_is_refused(app: Any, stored: Stored) -> None:  # S09
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://kura") as http:
        headers = [("x-rh-identity", identity_header()["x-rh-identity"])] * 2
        answer = await http.post(UPLOAD_PATH, files=payload(), headers=headers)
    assert answer.status_code == 400
    assert stored.is_empty()


async def test_an_identity_under_a_name_with_underscores_is_none(app: Any) -> None:  # S09
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kura") as http:
        headers = {"x_rh_identity": identity_header()["x-rh-identity"]}
        assert (await http.post(UPLOAD_PATH, files=payload(), headers=headers)).status_code == 400


async def test_with_a_gateway_secret_only_the_gateway_may_say_who_is_asking(
    database: Database, object_store: ObjectStore, stored: Stored
) -> None:  # S10
    app = build_app(database=database, objects=object_store, identity=HeaderIdentity("the secret"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://kura", headers=identity_header()) as http:
        for secret in (None, "", "wrong", "the secret "):
            headers = {} if secret is None else {"x-kura-gateway": secret}
            answer = await http.post(UPLOAD_PATH, files=payload(), headers=headers)
            assert answer.status_code == 401
            listed = await http.post("/api/cost-management/v1/sources/", json={}, headers=headers)
            assert listed.status_code == 401
        assert stored.is_empty()
        trusted = {"x-kura-gateway": "the secret"}
        assert (await http.post(UPLOAD_PATH, files=payload(), headers=trusted)).status_code == 202


async def test_in_development_a_caller_on_loopback_needs_no_identity(
    database: Database, object_store: ObjectStore
) -> None:
    app = build_app(database=database, objects=object_store, identity=DevelopmentIdentity("42"))
    for client, status in (("127.0.0.1", 202), ("10.0.0.1", 401)):
        transport = httpx.ASGITransport(app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://kura") as http:
            answer = await http.post(UPLOAD_PATH, files=payload())
            assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/", "/api/ingress/ready", "/api/ingress/v1/ready"])
async def test_the_heartbeat_needs_no_identity(app: Any, path: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kura") as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.text) == (200, "lubdub")


async def test_the_greeting_needs_an_identity(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/ingress/v1/")).text == "lubdub"
    assert (await http.get("/api/ingress/v1/", headers={"x-rh-identity": "%"})).status_code == 400


async def test_version_and_description_are_served(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/ingress/v1/version")).json()["version"] == "0.1.0"
    described = (await http.get("/api/ingress/v1/openapi.json")).json()
    assert "202" in described["paths"]["/upload"]["post"]["responses"]


async def test_a_get_of_the_upload_address_is_not_allowed(http: httpx.AsyncClient) -> None:
    assert (await http.get(UPLOAD_PATH)).status_code == 405


@pytest.fixture
def small_uploads() -> UploadSettings:
    return UploadSettings.from_env({"KURA_UPLOAD_MAX_BYTES": "1000"})


class TestSizeLimit:
    """413 names limit and size."""

    @pytest.fixture
    def upload_settings(self, small_uploads: UploadSettings) -> UploadSettings:
        return small_uploads

    async def test_a_file_of_exactly_the_limit_is_accepted(self, http: httpx.AsyncClient) -> None:
        assert (await http.post(UPLOAD_PATH, files=payload(b"x" * 1000))).status_code == 202

    @pytest.mark.parametrize("size", [1001, 500_000, 5_000_000])
    async def test_a_larger_file_is_answered_413(self, http: httpx.AsyncClient, stored: Stored, size: int) -> None:
        answer = await http.post(UPLOAD_PATH, files=payload(b"x" * size))
        assert answer.status_code == 413
        assert "limit 1000 bytes" in answer.text
        assert str(size)[:3] in answer.text
        assert stored.is_empty()

    async def test_other_fields_do_not_count_as_the_file(self, http: httpx.AsyncClient) -> None:
        answer = await http.post(UPLOAD_PATH, files=payload(b"x" * 900), data={"metadata": "y" * 5000})
        assert answer.status_code == 202


async def test_a_failing_object_store_is_answered_500_and_nothing_is_recorded(
    http: httpx.AsyncClient, stored: Stored, tmp_path: Path
) -> None:
    unfinished = tmp_path / "objects" / ".kura" / "unfinished"
    unfinished.rmdir()
    unfinished.write_text("in the way")

    answer = await http.post(UPLOAD_PATH, files=payload())

    assert (answer.status_code, answer.content) == (500, b"")
    assert stored.uploads() == []
    assert stored.tasks() == []


async def test_when_the_task_cannot_be_recorded_the_upload_is_refused_and_its_object_removed(
    http: httpx.AsyncClient, stored: Stored, database_urls: Any
) -> None:  # F07
    def rename(old: str, new: str) -> None:
        with Database(database_urls.owner, pool_size=1) as owner, owner.begin() as connection:
            connection.exec_driver_sql(f"alter table public.{old} rename to {new}")

    rename("task", "task_away")
    try:
        answer = await http.post(UPLOAD_PATH, files=payload())
    finally:
        rename("task_away", "task")

    assert (answer.status_code, answer.content) == (503, b"")
    assert int(answer.headers["retry-after"]) > 0
    assert stored.uploads() == []
    assert stored.objects_stored() == []


async def test_without_a_free_connection_the_upload_is_refused_after_the_waiting_time(
    database_urls: Any, object_store: ObjectStore
) -> None:  # F24
    with Database(database_urls.writer, pool_size=1, wait_seconds=0.3) as database:
        app = build_app(database=database, objects=object_store, identity=HeaderIdentity())
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://kura", headers=identity_header()) as http:
            with database.begin():
                answer = await http.post(UPLOAD_PATH, files=payload())
                ready = await http.get("/readyz")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert ready.status_code == 503
            assert list(object_store.keys()) == []
            assert (await http.post(UPLOAD_PATH, files=payload())).status_code == 202
            assert (await http.get("/readyz")).status_code == 200


async def test_readiness_names_the_dependency_that_fails(http: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "objects" / ".kura" / "unfinished").rmdir()
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "ok"
    assert answer.json()["checks"]["object_store"] != "ok"


async def test_with_tokens_only_a_valid_one_may_upload(
    database: Database, object_store: ObjectStore, stored: Stored
) -> None:  # S01, S09, S11
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "k", "use": "sig"}
    keys = httpx.AsyncClient(transport=httpx.MockTransport(lambda r: httpx.Response(200, json={"keys": [public]})))
    tokens = TokenIdentity(issuer="i", audiences=("account",), keys=KeySet(url="https://sso/certs", client=keys))
    claims = {"iss": "i", "aud": "account", "exp": time.time() + 60, "org_id": "77", "account_number": "5"}
    token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k"})
    app = build_app(database=database, objects=object_store, identity=tokens)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kura") as http:
        for headers in ({}, {"authorization": "Bearer x.y.z"}, identity_header(), {"authorization": "Basic YTpi"}):
            answer = await http.post(UPLOAD_PATH, files=payload(), headers=headers)
            assert answer.status_code == 401
            assert answer.headers["content-type"].startswith("text/plain")
        assert (await http.post(f"{UPLOAD_PATH}?access_token={token}", files=payload())).status_code == 401
        assert stored.is_empty()
        headers = {"authorization": f"Bearer {token}", **identity_header("666")}
        answer = await http.post(UPLOAD_PATH, files=payload(), headers=headers)
    assert answer.status_code == 202
    assert answer.json()["upload"] == {"account_number": "5", "org_id": "77"}
    assert stored.uploads()[0]["org_id"] == "77"
