"""The access map (write-api §4) and the access service that fails closed (S13, F52)."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from kura.core.access import AccessService, AccessServiceUnavailable, WithAccessService, access_map
from kura.core.identity import Identity, encode_header


def entry(permission: str, *definitions: Mapping[str, Any]) -> dict[str, Any]:
    return {"permission": permission, "resourceDefinitions": [{"attributeFilter": d} for d in definitions]}


def test_an_entry_without_definitions_is_unrestricted() -> None:
    assert access_map([entry("cost-management:aws.account:read")]) == {"aws.account": {"read": ("*",)}}


def test_definitions_name_one_value_a_list_or_a_comma_list_and_other_operations_give_nothing() -> None:
    given = [
        entry("cost-management:azure.subscription_guid:read", {"operation": "equal", "value": "a"}),
        entry("cost-management:azure.subscription_guid:read", {"operation": "in", "value": ["b", "c"]}),
        entry("cost-management:azure.subscription_guid:read", {"operation": "in", "value": "d, e"}),
        entry("cost-management:azure.subscription_guid:read", {"operation": "like", "value": "%"}),
    ]
    assert access_map(given) == {"azure.subscription_guid": {"read": ("a", "b", "c", "d", "e")}}


def test_write_gives_read_too_and_nothing_on_a_type_that_is_only_read() -> None:
    given = [entry("cost-management:cost_model:write"), entry("cost-management:openshift.cluster:write")]
    assert access_map(given) == {"cost_model": {"read": ("*",), "write": ("*",)}}


def test_a_star_verb_is_the_strongest_and_rate_means_cost_model() -> None:
    given = [entry("cost-management:rate:*"), entry("cost-management:gcp.account:*")]
    assert access_map(given) == {"cost_model": {"read": ("*",), "write": ("*",)}, "gcp.account": {"read": ("*",)}}


def test_a_star_type_is_every_type() -> None:
    found = access_map([entry("cost-management:*:*")])
    assert found["sources"] == {"write": ("*",), "read": ("*",)}
    assert found["openshift.project"] == {"read": ("*",)}
    assert len(found) == 11


def test_nodes_and_projects_inherit_only_without_entries_of_their_own() -> None:
    cluster = entry("cost-management:openshift.cluster:read", {"operation": "equal", "value": "cl-a"})
    assert access_map([cluster]) == {
        "openshift.cluster": {"read": ("cl-a",)},
        "openshift.node": {"read": ("*",)},
        "openshift.project": {"read": ("*",)},
    }
    project = entry("cost-management:openshift.project:read", {"operation": "equal", "value": "web"})
    assert access_map([cluster, project])["openshift.project"] == {"read": ("web",)}


def test_a_star_in_a_list_is_the_whole_list() -> None:
    narrow = entry("cost-management:aws.account:read", {"operation": "equal", "value": "1"})
    assert access_map([narrow, entry("cost-management:aws.account:read")]) == {"aws.account": {"read": ("*",)}}


@pytest.mark.parametrize(
    "entries",
    [[], [{}], ["x"], [entry("inventory:hosts:read")], [entry("cost-management:aws.account")], [entry("a:b:c:d")]],
)
def test_entries_of_others_and_malformed_ones_give_nothing(entries: list[Any]) -> None:
    assert access_map(entries) == {}


def test_a_definition_that_matches_nothing_gives_nothing() -> None:
    assert access_map([entry("cost-management:aws.account:read", {"operation": "in", "value": []})]) == {}
    broken = {"permission": "cost-management:aws.account:read", "resourceDefinitions": "all"}
    assert access_map([broken]) == {}


class Caller:
    """Stands for the gateway's identity."""

    def __init__(self, **facts: Any) -> None:
        self.identity = Identity(**{"org_id": "7", "username": "ada", **facts})

    async def identify(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        return self.identity

    async def identify_uploader(self, headers: Mapping[str, str], *, client: str | None) -> Identity:
        return self.identity


class Service:
    """An access service over HTTP."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **settings: Any) -> AccessService:
        transport = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return AccessService(
            url="http://rbac:8080", path="/api/rbac/v1/access/", client=transport, **{"seconds": 30.0, **settings}
        )


def listed(*entries: Any, following: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"data": list(entries), "links": {"next": following}})


async def test_rights_come_from_all_pages_and_the_caller_is_named() -> None:
    service = Service(
        listed(entry("cost-management:aws.account:read"), following="/api/rbac/v1/access/?offset=100"),
        listed(entry("cost-management:gcp.account:read")),
    )
    caller = Identity(org_id="7", username="ada")
    assert set(await service.client().access_of(caller)) == {"aws.account", "gcp.account"}
    assert service.asked[0].url.query == b"application=cost-management&limit=100"
    assert service.asked[1].url.query == b"offset=100"
    assert service.asked[0].headers["x-rh-identity"] == encode_header(caller)


async def test_an_answer_is_believed_for_its_time_by_caller_and_organisation() -> None:
    service = Service(listed(entry("cost-management:aws.account:read")))
    now = [0.0]
    client = service.client(clock=lambda: now[0])
    for org_id in ("7", "7", "8"):
        await client.access_of(Identity(org_id=org_id, username="ada"))
    assert len(service.asked) == 2
    now[0] = 31.0
    await client.access_of(Identity(org_id="7", username="ada"))
    assert len(service.asked) == 3


async def test_an_empty_list_is_no_access_and_is_asked_again() -> None:  # S13
    service = Service(listed())
    client = service.client()
    for _ in range(2):
        assert await client.access_of(Identity(org_id="7", username="ada")) == {}
    assert len(service.asked) == 2


async def test_a_refusal_is_no_access() -> None:
    assert await Service(httpx.Response(403)).client().access_of(Identity(org_id="7")) == {}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(503),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"data": "all"}),
        httpx.Response(200, json={"data": [], "links": "x"}),
        listed(following="http://elsewhere.example.com/all"),
    ],
)
async def test_a_service_that_does_not_answer_properly_closes_the_door(answer: Any) -> None:  # S13, F52
    with pytest.raises(AccessServiceUnavailable) as refused:
        await Service(answer).client().access_of(Identity(org_id="7"))
    assert refused.value.http == 424
    assert str(refused.value).startswith("Rbac unavailable.")


async def test_remembered_rights_hold_until_their_time_is_over_while_the_service_is_away() -> None:  # F52
    now = [0.0]
    service = Service(listed(entry("cost-management:aws.account:read")), httpx.ConnectError("down"))
    client = service.client(clock=lambda: now[0])
    caller = Identity(org_id="7", username="ada")
    await client.access_of(caller)
    now[0] = 29.0
    assert await client.access_of(caller)
    now[0] = 31.0
    with pytest.raises(AccessServiceUnavailable):
        await client.access_of(caller)


async def test_rights_claimed_in_the_identity_do_not_count_beside_an_access_service() -> None:
    claimed = Caller(access={"settings": {"write": ("*",)}})
    provider = WithAccessService(inner=claimed, service=Service(listed()).client())
    assert not (await provider.identify({}, client=None)).has_access


async def test_an_enhanced_administrator_is_not_asked_for() -> None:
    service = Service(httpx.Response(500))
    provider = WithAccessService(inner=Caller(is_org_admin=True), service=service.client(), enhanced_org_admin=True)
    assert (await provider.identify({}, client=None)).may("settings", "write") == ("*",)
    assert service.asked == []


async def test_uploads_do_not_need_the_access_service() -> None:
    provider = WithAccessService(inner=Caller(), service=Service(httpx.Response(500)).client())
    assert (await provider.identify_uploader({}, client=None)).org_id == "7"
