"""What the command line says when the API refuses, and how it uploads."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from kura.single_pod.client import Caller, Kura
from kura.single_pod.problems import CommandError
from kura.single_pod.uploads import cluster_of, payload_files, wait_until_visible


def kura(answer: Callable[[httpx.Request], httpx.Response], caller: Caller | None = None) -> Kura:
    return Kura("http://kura", caller, transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"errors": [{"detail": "No source has this id.", "source": "detail", "status": 404}]},
            "No source has this id.",
        ),
        ({"filter": {"limit": ["A valid integer is required."]}}, "filter[limit]: A valid integer is required."),
        ({"delta": {"a__b__c": "Only two fields may be compared"}}, "delta[a__b__c]: Only two fields"),
    ],
)
def test_every_form_of_error_is_told_in_words(body, words):
    with pytest.raises(CommandError) as told:
        kura(lambda request: httpx.Response(400, json=body)).get("/reports/x/")

    assert "GET /api/cost-management/v1/reports/x/ was answered with 400" in str(told.value)
    assert words in str(told.value)


@pytest.mark.parametrize(
    "body",
    [
        {"errors": [{"detail": "'EUR' is not an enabled currency; enabled: USD.", "source": "currency"}]},
        {"currency": ['"EUR" is not an enabled currency.']},
    ],
)
def test_a_currency_that_is_not_enabled_says_how_to_enable_it(body):
    with pytest.raises(CommandError) as told:
        kura(lambda request: httpx.Response(400, json=body)).post("/cost-models/", {})

    assert "`kura currency enable EUR`" in (told.value.hint or "")


def test_nobody_there_says_how_to_start():
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(CommandError, match="No Kura answers at http://kura") as told:
        kura(refuse).get("/status/")
    assert told.value.hint == "Start one with `kura up`."


def test_a_401_says_how_to_tell_who_one_is():
    with pytest.raises(CommandError) as told:
        kura(lambda request: httpx.Response(401)).get("/status/")
    assert "--token" in (told.value.hint or "")


def test_an_organisation_becomes_an_identity_header_and_a_token_a_bearer():
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json={})

    kura(answer, Caller(org_id="42")).get("/x/")
    kura(answer, Caller(token="abc")).get("/x/")
    kura(answer).get("/x/")

    assert json.loads(base64.b64decode(seen[0]["x-rh-identity"]))["identity"]["org_id"] == "42"
    assert seen[1]["authorization"] == "Bearer abc"
    assert "x-rh-identity" not in seen[2]
    assert "authorization" not in seen[2]


def test_a_list_is_read_to_its_last_page():
    def answer(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        return httpx.Response(200, json={"meta": {"count": 5}, "data": list(range(offset, min(offset + 2, 5)))})

    assert list(kura(answer).pages("/sources/", size=2)) == [0, 1, 2, 3, 4]


def payload(folder: Path, manifest: dict | None) -> Path:
    path = folder / "payload.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        if manifest is not None:
            content = json.dumps(manifest).encode()
            member = tarfile.TarInfo("manifest.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_an_upload_sends_the_operators_content_type_and_tells_its_progress(tmp_path: Path):
    path = payload(tmp_path, {"cluster_id": "c1"})
    seen = []
    told = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.read())
        return httpx.Response(202, json={"request_id": "r1", "upload": {}})

    assert kura(answer).upload(path, tell=told.append) == "r1"
    assert b"Content-Type: application/vnd.redhat.hccm.tar+tgz" in seen[0]
    assert path.read_bytes() in seen[0]
    assert sum(told) == path.stat().st_size


def test_only_a_202_counts_as_accepted(tmp_path: Path):
    path = payload(tmp_path, {"cluster_id": "c1"})

    with pytest.raises(CommandError, match="answered with 200, not 202"):
        kura(lambda request: httpx.Response(200, json={"request_id": "r"})).upload(path)


def test_the_cluster_is_read_from_the_manifest(tmp_path: Path):
    assert cluster_of(payload(tmp_path, {"cluster_id": "c1"})) == "c1"


@pytest.mark.parametrize("manifest", [None, {}, {"cluster_id": ""}, {"cluster_id": 3}])
def test_what_is_no_payload_is_said_to_be_none(tmp_path: Path, manifest):
    with pytest.raises(CommandError, match="not a payload of the metrics operator"):
        cluster_of(payload(tmp_path, manifest))


def test_a_directory_stands_for_the_archives_in_it(tmp_path: Path):
    for name in ("b.tar.gz", "a.tgz", "notes.txt"):
        (tmp_path / name).write_bytes(b"")

    assert [path.name for path in payload_files([tmp_path])] == ["a.tgz", "b.tar.gz"]
    with pytest.raises(CommandError, match="no such file"):
        payload_files([tmp_path / "missing"])


def states(*rounds: dict) -> Callable[[httpx.Request], httpx.Response]:
    """An API that answers the given states in turn, the last one for ever."""
    left = list(rounds)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=left.pop(0) if len(left) > 1 else left[0])

    return answer


def test_waiting_ends_when_all_are_done():
    api = kura(states({"state": "accepted"}, {"state": "processing"}, {"state": "done"}))

    assert [upload["state"] for upload in wait_until_visible(api, ["r"], timeout=5, poll=0)] == ["done"]


def test_waiting_ends_at_once_when_a_person_is_needed():
    api = kura(states({"state": "waiting", "reason_code": "unknown_cluster"}))

    assert wait_until_visible(api, ["r"], timeout=60, poll=0)[0]["state"] == "waiting"


def test_an_upload_that_waits_for_its_other_half_is_left_waiting_after_a_while():
    api = kura(states({"state": "waiting", "reason_code": "incomplete_manifest"}))

    assert wait_until_visible(api, ["r"], timeout=60, poll=0.01, quiet=0.05)[0]["state"] == "waiting"


def test_waiting_ends_when_time_is_up():
    api = kura(states({"state": "processing"}))

    assert wait_until_visible(api, ["r"], timeout=0.05, poll=0.01)[0]["state"] == "processing"
