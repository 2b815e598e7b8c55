import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kura.core import errors
from kura.core.http import ApiJson, build_app, identity_of, page_links
from kura.core.identity import DevelopmentIdentity


def every_error() -> list[type[errors.KuraError]]:
    """The product's own: tests make errors too, and classes live until they are collected."""
    found, waiting = [], [errors.KuraError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += [each for each in kind.__subclasses__() if each.__module__.startswith("kura.")]
    return found


async def ready() -> dict[str, str | None]:
    return {"database": None}


async def broken() -> dict[str, str | None]:
    return {"database": "connection refused"}


async def parameters(request: Request) -> Response:
    raise errors.ParameterErrors({"filter": {"limit": ["A valid integer is required."]}})


async def fields(request: Request) -> Response:
    raise errors.ValidationErrors([("name", "is required"), ("rates.0", "must not be negative")])


async def crash(request: Request) -> Response:
    raise RuntimeError("secret detail")


async def who(request: Request) -> Response:
    return ApiJson({"org": identity_of(request).org_id})


ROUTES = [
    Route("/parameters", parameters),
    Route("/fields", fields),
    Route("/crash", crash),
    Route("/who", who),
]


def client(**options: object) -> httpx.AsyncClient:
    app = build_app(service="test", routes=ROUTES, ready=ready, **options)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_parameter_errors_are_the_bare_map_and_field_errors_a_list():
    async with client() as http:
        bare, listed = await http.get("/parameters"), await http.get("/fields")

    assert (bare.status_code, bare.json()) == (400, {"filter": {"limit": ["A valid integer is required."]}})
    assert listed.json() == {
        "errors": [
            {"detail": "is required", "source": "name", "status": 400},
            {"detail": "must not be negative", "source": "rates.0", "status": 400},
        ]
    }


async def test_an_unforeseen_error_tells_no_details_but_has_the_request_id():
    async with client() as http:
        answer = await http.get("/crash", headers={"x-rh-insights-request-id": "abc"})

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-rh-insights-request-id"] == "abc"


async def test_an_unknown_route_is_404_in_the_same_form():
    async with client() as http:
        answer = await http.get("/nowhere")

    assert answer.status_code == 404
    assert answer.json()["errors"][0]["status"] == 404


async def test_readiness_tells_what_is_broken():
    app = build_app(service="test", routes=[], ready=broken)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as http:
        answer = await http.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "checks": {"database": "connection refused"}}


async def test_probes_need_no_identity_and_other_paths_do():
    async with client(identity=DevelopmentIdentity("77")) as http:
        assert (await http.get("/livez")).status_code == 200
        assert "kura_http_request_seconds" in (await http.get("/metrics")).text
        assert (await http.get("/who")).json() == {"org": "77"}
        assert (await http.get("/who", headers={"x-rh-identity": "%%%"})).status_code == 403


async def test_every_answer_has_the_security_headers():
    async with client() as http:
        answer = await http.get("/livez")

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_a_status_and_a_sentence(kind: type[errors.KuraError]):
    assert kind.code
    assert 400 <= kind.http < 600
    assert kind.__doc__ and kind.__doc__.strip().endswith(".")


def test_links_are_sorted_encoded_and_lose_a_zero_offset_on_the_way_back():
    query = [("start_date", "2024-06-15"), ("end_date", "2024-06-17"), ("limit", "1"), ("offset", "1")]

    links = page_links("/x/", query, limit=1, offset=1, count=3)

    assert links == {
        "first": "/x/?end_date=2024-06-17&limit=1&offset=0&start_date=2024-06-15",
        "next": "/x/?end_date=2024-06-17&limit=1&offset=2&start_date=2024-06-15",
        "previous": "/x/?end_date=2024-06-17&limit=1&start_date=2024-06-15",
        "last": "/x/?end_date=2024-06-17&limit=1&offset=2&start_date=2024-06-15",
    }


async def test_an_error_that_nobody_foresaw_is_not_told_in_its_own_words():
    async def broken_store(request: Request) -> Response:
        raise errors.InvalidData("label secret=hunter2 is not JSON")

    app = build_app(service="test", routes=[Route("/x", broken_store)], ready=ready)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as http:
        answer = await http.get("/x")

    assert (answer.status_code, "hunter2" in answer.text) == (500, False)
