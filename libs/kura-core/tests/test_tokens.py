"""Security cases S01–S07 on tokens verified here."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kura.core.errors import Unauthorised
from kura.core.tokens import KeySet, KeysUnavailable, TokenIdentity

ISSUER = "https://sso.example.com/realms/kura"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def described(key: Any, key_id: str) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    public: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return {**public, "kid": key_id, "use": "sig"}


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    given = {
        "iss": ISSUER,
        "aud": ["account"],
        "sub": "9f0c",
        "iat": now,
        "exp": now + 300,
        "typ": "Bearer",
        "org_id": "1234567",
        "account_number": "7890123",
        "preferred_username": "ada",
        "email": "ada@example.org",
        "realm_access": {"roles": ["org-admin"]},
        **changed,
    }
    return {name: value for name, value in given.items() if value is not None}


def signed(given: Mapping[str, Any], *, key: Any = RSA_KEY, algorithm: str = "RS256", **header: Any) -> str:
    return jwt.encode(dict(given), key, algorithm=algorithm, headers={"kid": "rsa", **header})


class Issuer:
    """The key address of an OpenID provider."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [described(RSA_KEY, "rsa"), described(EC_KEY, "ec")]
        self.up = True
        self.asked: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        return httpx.Response(200, json={"keys": self.keys}) if self.up else httpx.Response(503)


def provider(issuer: Issuer, *, clock: Callable[[], float] = time.monotonic, **settings: Any) -> TokenIdentity:
    client = httpx.AsyncClient(transport=httpx.MockTransport(issuer.answer))
    keys = KeySet(url=f"{ISSUER}/certs", client=client, clock=clock)
    return TokenIdentity(issuer=ISSUER, audiences=("account", "cost-management-operator"), keys=keys, **settings)


async def identified(token: str, issuer: Issuer | None = None, **settings: Any) -> Any:
    headers = {"authorization": f"Bearer {token}"}
    return await provider(issuer or Issuer(), **settings).identify(headers, client="10.0.0.9")


async def test_a_valid_token_becomes_an_identity() -> None:
    identity = await identified(signed(claims()))

    assert (identity.org_id, identity.account_number, identity.username) == ("1234567", "7890123", "ada")
    assert identity.email == "ada@example.org"
    assert identity.is_org_admin
    assert identity.may("sources", "write") == ("*",)


async def test_a_token_signed_with_an_elliptic_curve_is_accepted() -> None:
    assert (await identified(signed(claims(), key=EC_KEY, algorithm="ES256", kid="ec"))).org_id == "1234567"


async def test_a_user_without_the_role_is_no_administrator_and_has_no_rights() -> None:
    identity = await identified(signed(claims(realm_access={"roles": ["viewer"]})))

    assert not identity.is_org_admin
    assert not identity.has_access


async def test_names_fall_back_from_preferred_username_to_sub_to_user() -> None:
    assert (await identified(signed(claims(preferred_username=None)))).username == "9f0c"
    nameless = await identified(signed(claims(preferred_username=None, sub=None, email=None)))
    assert (nameless.username, nameless.email) == ("user", "user@example.com")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer  ", "Bearer x", "Bearer a.b.c", "Basic YTpi"])
async def test_a_missing_or_malformed_token_is_refused(authorization: str) -> None:  # S01
    with pytest.raises(Unauthorised):
        await provider(Issuer()).identify({"authorization": authorization}, client=None)


def raw(header: Mapping[str, Any], given: Mapping[str, Any], signature: bytes = b"") -> str:
    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    return ".".join([part(json.dumps(header).encode()), part(json.dumps(given).encode()), part(signature)])


async def test_an_unsigned_token_is_refused() -> None:  # S02
    with pytest.raises(Unauthorised):
        await identified(raw({"alg": "none", "kid": "rsa"}, claims()))


async def test_a_token_signed_with_the_public_key_as_shared_secret_is_refused() -> None:  # S02
    import hashlib
    import hmac

    public = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    unsigned = raw({"alg": "HS256", "kid": "rsa"}, claims()).rpartition(".")[0]
    signature = hmac.new(public, unsigned.encode(), hashlib.sha256).digest()
    forged = raw({"alg": "HS256", "kid": "rsa"}, claims(), signature)
    with pytest.raises(Unauthorised):
        await identified(forged)


async def test_an_algorithm_that_is_not_the_key_s_own_is_refused() -> None:
    with pytest.raises(Unauthorised):
        await identified(signed(claims(), key=EC_KEY, algorithm="ES256", kid="rsa"))


async def test_a_bad_signature_is_refused() -> None:  # S03
    with pytest.raises(Unauthorised):
        await identified(signed(claims(), key=OTHER_KEY))


@pytest.mark.parametrize("key_id", ["unknown", "../../rsa", "' or 1=1--", "x" * 5000, ""])
async def test_an_unknown_key_id_is_refused(key_id: str) -> None:  # S03, S04
    with pytest.raises(Unauthorised):
        await identified(signed(claims(), kid=key_id))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
async def test_a_token_that_brings_its_own_key_is_refused_and_nothing_it_names_is_fetched(name: str) -> None:  # S03
    issuer = Issuer()
    with pytest.raises(Unauthorised):
        await identified(signed(claims(), key=OTHER_KEY, **{name: "https://evil.example.com/keys"}), issuer)
    assert all("evil" not in url for url in issuer.asked)


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": -90},
        {"nbf": 90},
        {"exp": 10 * 365 * 86400},
        {"exp": None},
        {"exp": "tomorrow"},
    ],
)
async def test_a_token_outside_its_time_is_refused(changed: dict[str, Any]) -> None:  # S05
    now = int(time.time())
    moments = {name: now + value if isinstance(value, int) else value for name, value in changed.items()}
    with pytest.raises(Unauthorised):
        await identified(signed(claims(**moments)))


async def test_clocks_may_differ_by_a_minute() -> None:  # S05
    now = int(time.time())
    assert await identified(signed(claims(exp=now - 30, nbf=now + 30)))


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://sso.example.com/realms/other"},
        {"iss": None},
        {"aud": "someone-else"},
        {"aud": ["a", "b"]},
        {"aud": None},
        {"typ": "ID"},
        {"typ": "Refresh"},
    ],
)
async def test_a_token_for_somebody_else_is_refused(changed: dict[str, Any]) -> None:  # S06
    with pytest.raises(Unauthorised):
        await identified(signed(claims(**changed)))


async def test_only_tokens_of_listed_clients_are_accepted_when_there_is_a_list() -> None:  # S06
    assert await identified(signed(claims(azp="kura-ui")), clients=("kura-ui",))
    with pytest.raises(Unauthorised):
        await identified(signed(claims(azp="other")), clients=("kura-ui",))


@pytest.mark.parametrize("name", ["org_id", "account_number"])
@pytest.mark.parametrize(
    "value", [None, "", "x" * 10_000, "../x", "'; drop table x", "..", "１２３", ["1234567"], 1234567, "a\nb"]
)
async def test_a_malformed_organisation_or_account_is_refused(name: str, value: Any) -> None:  # S07
    with pytest.raises(Unauthorised):
        await identified(signed(claims(**{name: value})))


async def test_an_identity_header_beside_a_token_means_nothing() -> None:  # S09
    forged = base64.b64encode(json.dumps({"identity": {"org_id": "666", "user": {"is_org_admin": True}}}).encode())
    headers = {"authorization": f"Bearer {signed(claims())}", "x-rh-identity": forged.decode()}
    assert (await provider(Issuer()).identify(headers, client=None)).org_id == "1234567"
    with pytest.raises(Unauthorised):
        await provider(Issuer()).identify({"x-rh-identity": forged.decode()}, client=None)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_keys_are_fetched_once_and_again_after_five_minutes() -> None:
    issuer, clock = Issuer(), Clock()
    asked = provider(issuer, clock=clock)
    headers = {"authorization": f"Bearer {signed(claims())}"}
    for moment in (0, 100, 200, 301):
        clock.now = 1000.0 + moment
        await asked.identify(headers, client=None)
    assert len(issuer.asked) == 2


async def test_a_new_key_is_accepted_after_one_refresh() -> None:  # F53
    issuer, clock = Issuer(), Clock()
    asked = provider(issuer, clock=clock)
    await asked.identify({"authorization": f"Bearer {signed(claims())}"}, client=None)
    issuer.keys.append(described(OTHER_KEY, "new"))
    clock.now += 11
    rotated = {"authorization": f"Bearer {signed(claims(), key=OTHER_KEY, kid='new')}"}
    assert await asked.identify(rotated, client=None)
    assert len(issuer.asked) == 2


async def test_unknown_key_ids_cannot_make_kura_ask_for_keys_all_the_time() -> None:
    issuer, clock = Issuer(), Clock()
    asked = provider(issuer, clock=clock)
    for number in range(20):
        with pytest.raises(Unauthorised):
            await asked.identify({"authorization": f"Bearer {signed(claims(), kid=f'k{number}')}"}, client=None)
    assert len(issuer.asked) == 1


async def test_known_keys_are_believed_while_the_issuer_is_away_and_no_longer_than_five_minutes() -> None:  # F53
    issuer, clock = Issuer(), Clock()
    asked = provider(issuer, clock=clock)
    headers = {"authorization": f"Bearer {signed(claims())}"}
    await asked.identify(headers, client=None)
    issuer.up = False
    clock.now += 299
    assert await asked.identify(headers, client=None)
    clock.now += 2
    with pytest.raises(KeysUnavailable):
        await asked.identify(headers, client=None)


async def test_while_the_issuer_is_away_requests_do_not_queue_up_for_it() -> None:  # F53
    issuer, clock = Issuer(), Clock()
    issuer.up = False
    asked = provider(issuer, clock=clock)
    headers = {"authorization": f"Bearer {signed(claims())}"}
    for _ in range(5):
        with pytest.raises(KeysUnavailable):
            await asked.identify(headers, client=None)
    assert len(issuer.asked) == 1
    issuer.up = True
    clock.now += 10
    assert await asked.identify(headers, client=None)


@pytest.mark.parametrize("document", ["x", [], {}, {"keys": "x"}, {"keys": [1, {"kty": "oct", "k": "eA", "kid": "a"}]}])
async def test_a_malformed_key_set_gives_no_identity(document: Any) -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(200, json=document)))
    asked = TokenIdentity(issuer=ISSUER, audiences=("account",), keys=KeySet(url=ISSUER, client=client))
    with pytest.raises(KeysUnavailable):
        await asked.identify({"authorization": f"Bearer {signed(claims())}"}, client=None)
