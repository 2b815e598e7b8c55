"""The HTTP layer of the read gateway: methods, slashes, media types, headers, tenants without data (read-api §1)."""

import re
from dataclasses import replace

import httpx
import pytest
import schemathesis

from kura.api_reads.app import build_app, build_gateway
from kura.core.identity import HeaderIdentity
from kura.store.database import Database
from kura.testing.asking import ADMIN, API, Asker

COSTS = "reports/openshift/costs/"
FORBIDDEN = {
    "errors": [{"detail": "You do not have permission to perform this action.", "source": "detail", "status": 403}]
}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_unsafe_methods_are_forbidden(ask: Asker, method: str):
    response = await ask.response(COSTS, method=method)

    assert (response.status_code, response.json()) == (403, FORBIDDEN)


async def test_head_and_options_answer(ask: Asker):
    head = await ask.response(COSTS, method="HEAD")
    options = await ask.response(COSTS, method="OPTIONS")

    assert head.status_code == 200
    assert options.status_code == 200
    assert options.json()["renders"] == ["application/json", "text/csv"]


async def test_a_missing_slash_is_added_and_the_query_kept(ask: Asker):
    response = await ask.response("reports/openshift/costs?limit=3")

    assert response.status_code == 301
    assert response.headers["location"] == f"{API}reports/openshift/costs/?limit=3"


@pytest.mark.parametrize(
    ("address", "location"),
    [("status", "status/"), ("settings", "settings/tags/"), ("settings/", "settings/tags/"), ("metrics", "metrics/")],
)
async def test_small_addresses_send_clients_on_too(ask: Asker, address: str, location: str):
    response = await ask.response(address)

    assert (response.status_code, response.headers["location"]) == (301, API + location)
    assert response.content == b""


async def test_unknown_addresses_are_not_found(ask: Asker):
    assert (await ask.response("reports/openshift/bogus/")).status_code == 404


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/csv", "text/csv"),
        ("text/html;q=0.9, text/csv;q=0.8", "text/csv"),
    ],
)
async def test_the_best_offered_media_type_is_used(ask: Asker, accept: str, media: str):
    response = await ask.response(COSTS, accept=accept)

    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] == media


async def test_other_media_types_are_not_acceptable(ask: Asker):
    response = await ask.response(COSTS, accept="text/html")

    assert response.status_code == 406
    assert response.json()["errors"][0]["detail"] == "Could not satisfy the request Accept header."


async def test_a_refused_csv_has_no_body(ask: Asker):
    response = await ask.response(COSTS + "?bogus=1", accept="text/csv")

    assert (response.status_code, response.content) == (400, b"")


async def test_reports_may_be_kept_for_an_hour(ask: Asker):
    headers = (await ask.response(COSTS)).headers

    assert headers["cache-control"] == "max-age=3600"
    assert headers["vary"] == "X_RH_IDENTITY, Accept, origin"
    assert "expires" in headers


async def test_lists_that_change_are_never_kept(ask: Asker):
    headers = (await ask.response("cost-type/")).headers

    assert headers["cache-control"] == "max-age=0, no-cache, no-store, must-revalidate, private"


async def test_without_identity_nothing_is_told(app):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://kura") as client:
        assert (await client.get(API + COSTS)).status_code == 401
        assert (await client.get(API + "status/")).json() == {"status": "OK"}


async def test_without_a_database_the_dependency_is_named(tmp_path):
    with Database(f"postgresql://nobody@/kura?host={tmp_path}") as nowhere:
        ask = Asker(build_app(gateway=build_gateway(reader=nowhere), identity=HeaderIdentity()))
        status, body = await ask.refused(COSTS)

    assert status == 424
    assert body == {
        "errors": [{"detail": "Database unavailable. Try again later.", "status": 424, "title": "Failed Dependency"}]
    }


async def test_an_organisation_without_data_gets_an_empty_page(ask: Asker):
    nobody = ask.as_(replace(ADMIN, org_id="7654321"))

    assert await nobody(COSTS + "?bogus=1") == {
        "meta": {"count": 0},
        "links": {
            "first": f"{API}{COSTS}?limit=0&offset=0",
            "next": None,
            "previous": None,
            "last": f"{API}{COSTS}?limit=0&offset=0",
        },
        "data": [],
    }


async def test_the_openapi_document_lists_every_declared_address(ask: Asker):
    document = await ask("openapi.json")

    assert "/reports/openshift/costs/" in document["paths"]
    assert "/tags/openshift/{key}/" in document["paths"]
    assert "/sources/{key}/" in document["paths"]
    parameters = {
        parameter["name"]: parameter
        for parameter in document["paths"]["/reports/openshift/costs/"]["get"]["parameters"]
    }
    assert "cluster" in parameters["group_by"]["schema"]["properties"]


async def test_the_openapi_document_is_valid(ask: Asker):
    schemathesis.openapi.from_dict(await ask("openapi.json")).validate()


async def test_every_address_of_the_openapi_document_answers(ask: Asker):
    document = await ask("openapi.json")

    unknown = {"errors": [{"detail": "Not Found", "source": "detail", "status": 404}]}
    for address in document["paths"]:
        response = await ask.response(re.sub("{.*?}", "x", address.removeprefix("/")))
        assert response.status_code in (200, 400, 404), address
        assert response.json() != unknown, address


async def test_the_openapi_document_tells_the_parameters_of_lists(ask: Asker):
    paths = (await ask("openapi.json"))["paths"]

    def told(address: str, name: str) -> list[str]:
        found = {parameter["name"]: parameter for parameter in paths[address]["get"]["parameters"]}
        return sorted(found[name]["schema"].get("properties", {}))

    assert told("/settings/tags/", "filter") == ["enabled", "key", "provider_type", "source_type", "uuid"]
    assert told("/settings/tags/", "order_by") == ["enabled", "key", "source_type"]
    assert told("/settings/cost-groups/", "exclude") == ["cluster", "default", "group", "project"]
    assert told("/sources/", "source_ref") == told("/uploads/", "state") == []
