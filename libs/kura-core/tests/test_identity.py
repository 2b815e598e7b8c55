import base64
import json

import pytest

from kura.core.errors import BadRequest, Forbidden, Unauthorised
from kura.core.identity import DevelopmentIdentity, HeaderIdentity, encode_header, read_lenient, read_strict


def header(**changes: object) -> str:
    identity = {
        "org_id": "1234567",
        "account_number": "7890123",
        "type": "User",
        "user": {"username": "u", "email": "u@x", "is_org_admin": True},
        **changes,
    }
    content = {"identity": identity, "entitlements": {"cost_management": {"is_entitled": True}}}
    return base64.b64encode(json.dumps(content).encode()).decode()


def test_a_full_header_becomes_an_identity():
    identity = read_strict(header())

    assert (identity.org_id, identity.username, identity.is_org_admin) == ("1234567", "u", True)


def test_what_is_encoded_is_read_back():
    identity = read_strict(header())

    assert read_strict(encode_header(identity)).org_id == identity.org_id


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (None, Unauthorised),
        ("", Unauthorised),
        ("%%%", Forbidden),
        (base64.b64encode(b"no json").decode(), Unauthorised),
        (base64.b64encode(b"[]").decode(), Unauthorised),
        (base64.b64encode(b'{"identity":{}}').decode(), Forbidden),
        (header(org_id="../x"), Unauthorised),
        (header(org_id="'; drop"), Unauthorised),
        (header(org_id=["1"]), Unauthorised),
        (header(org_id="", internal={}), Unauthorised),
        (header(org_id="9" * 10_000), Unauthorised),
        (header(user={"username": "", "email": ""}), Unauthorised),
        (header(user={"username": "u", "email": None}), Unauthorised),
    ],
)
def test_a_bad_header_is_refused_by_the_api(given: str | None, error: type[Exception]):
    with pytest.raises(error):
        read_strict(given)


def test_a_service_account_is_never_an_administrator():
    identity = read_strict(header(type="ServiceAccount", service_account={"username": "s", "is_org_admin": True}))

    assert not identity.is_org_admin


def test_an_upload_needs_only_an_organisation():
    content = {"identity": {"type": "application/gzip", "internal": {"org_id": "42"}}}
    given = base64.b64encode(json.dumps(content).encode()).decode()

    assert read_lenient(given).org_id == "42"


@pytest.mark.parametrize("given", [None, "%%%", base64.b64encode(b"x").decode(), header(org_id="", internal={})])
def test_an_upload_without_an_organisation_is_a_bad_request(given: str | None):
    with pytest.raises(BadRequest, match="Bad Request: "):
        read_lenient(given)


async def test_an_administrator_sees_everything_and_others_what_their_identity_lists():
    admin = await HeaderIdentity().identify({"x-rh-identity": header()}, client="10.0.0.1")
    reader = await HeaderIdentity().identify(
        {
            "x-rh-identity": header(
                user={"username": "u", "email": "", "access": {"openshift.cluster": {"read": ["cl-b"]}, "bogus": {}}}
            )
        },
        client="10.0.0.1",
    )

    assert admin.may("openshift.cluster") == ("*",)
    assert reader.may("openshift.cluster") == ("cl-b",)
    assert reader.may("sources") == ()


async def test_the_development_identity_serves_loopback_only():
    provider = DevelopmentIdentity("1234567")

    assert (await provider.identify({}, client="127.0.0.1")).is_org_admin
    with pytest.raises(Unauthorised):
        await provider.identify({}, client="10.0.0.1")
