"""Tokens of an OpenID Connect provider: a provider of the test's own, over HTTP, that may misbehave."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from bocage_kit.identity import Verifier
from bocage_rights.bearer import InvalidToken
from bocage_rights.providers import Providers, ProviderUnavailable, check_issuer
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights

AUDIENCE = "bocage-test"


class Provider:
    """Publishes what the test wants it to, and counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: list[Any] = [RSAKey.generate_key(2048, parameters={"kid": "first"}, private=True)]
        self.asked: list[str] = []
        self.down = self.endless = False
        self.seconds = 0.0
        self.issuer_told: str | None = None
        self.userinfo: dict[str, Any] | None = None
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                time.sleep(provider.seconds)
                document = provider.document(self.path)
                self.send_response(503 if provider.down else 200 if document is not None else 404)
                self.end_headers()
                if provider.endless:
                    self.wfile.write(b" " * 1_000_000)
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def document(self, path: str) -> Any:
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.issuer_told or self.issuer,
                "jwks_uri": f"{self.issuer}/jwks",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
            }
        if path == "/jwks":
            public = [key.as_dict(private=False) for key in self.keys]
            return {"keys": [key | ({"use": "enc"} if key["kid"] == "enc" else {}) for key in public]}
        return self.userinfo if path == "/userinfo" else None

    def token(self, key: Any = None, header: dict[str, Any] | None = None, /, **claims: Any) -> str:
        key = key or self.keys[0]
        header = {"alg": "RS256", "kid": key.kid, "typ": "at+jwt"} | (header or {})
        now = int(time.time())
        body = {"iss": self.issuer, "aud": AUDIENCE, "sub": "s", "iat": now, "exp": now + 300} | claims
        body = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(header, body, key, algorithms=[header["alg"]])


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.server.shutdown()
    made.server.server_close()


def raw(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None = None) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(x).encode()).rstrip(b"=") for x in (header, claims)]
    signature = b"" if secret is None else hmac.digest(secret, b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


async def refused(providers: Providers, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        await providers.claims(token)
    return str(caught.value)


async def test_what_is_believed_and_what_is_not(provider: Provider) -> None:
    known = Providers([provider.issuer], AUDIENCE)
    claims = await known.claims(
        provider.token(sub="ada", scope="openid jobs:submit", email="Ada@Lab.FR", email_verified=True, name="Ada")
    )
    assert (claims.subject, claims.email, claims.name) == ("ada", "Ada@lab.fr", "Ada")
    assert "jobs:submit" in claims.scopes
    assert (await known.claims(provider.token(email="a@b.fr", email_verified="true"))).email is None
    assert (await known.claims(provider.token(aud=["other", AUDIENCE]))).subject == "s"
    now = int(time.time())
    assert (await known.claims(provider.token(exp=now - 30, nbf=now + 30))).subject == "s", "clocks differ a little"

    public = provider.keys[0].as_pem(private=False)
    body = {"iss": provider.issuer, "aud": AUDIENCE, "sub": "s", "exp": now + 300}
    for algorithm in ("none", "None", "HS256"):
        assert "algorithm" in await refused(known, raw({"alg": algorithm, "kid": "first"}, body, public))
    stranger = RSAKey.generate_key(2048, parameters={"kid": "first"}, private=True)
    assert "signature" in await refused(known, provider.token(stranger))
    embedded = {"jwk": stranger.as_dict(private=False), "jku": f"{provider.issuer}/mine", "x5u": provider.issuer}
    assert "signature" in await refused(known, provider.token(stranger, embedded))
    assert "/mine" not in provider.asked
    for wrong, claim in {
        "issuer": {"iss": "https://elsewhere.example"}, "audience": {"aud": "others"},
        "expired": {"exp": now - 3600}, "yet": {"nbf": now + 3600}, "subject": {"sub": ""},
        "bound": {"cnf": {"jkt": "x"}}, "instant": {"exp": True}, "issuer ": {"iss": provider.issuer + "/"},
    }.items():  # fmt: skip
        assert wrong.strip() in await refused(known, provider.token(**claim)), wrong  # type: ignore[arg-type]
    assert "expired" in await refused(known, provider.token(exp=None))
    assert "audience" in await refused(known, provider.token(aud=None))
    for header in ({"typ": "logout+jwt"}, {"crit": ["exp"]}, {"kid": 7}, {"kid": "k" * 300}, {"kid": ""}):
        assert await refused(known, raw({"alg": "RS256", **header}, body, b"x"))
    for nonsense in ("", "a.b", "a.b.c", "..", "é.é.é", "e30.e30.e30", "x" * 9000, "[" * 4000 + ".x.y"):
        assert await refused(known, nonsense)
    infinite = raw({"alg": "RS256", "kid": "first"}, body | {"exp": float("nan")}, b"x")
    assert "JSON" in await refused(known, infinite)
    assert "long" in await refused(known, provider.token(junk="x" * 9000))
    with pytest.raises(InvalidToken):
        await Providers([], AUDIENCE).claims(provider.token())


@pytest.mark.parametrize("kid", ["../../etc/passwd", "first' or '1'='1", "/dev/null", "first\0", "FIRST"])
async def test_a_key_id_is_a_name_and_nothing_else(provider: Provider, kid: str) -> None:
    known = Providers([provider.issuer], AUDIENCE)
    assert "no such key" in await refused(known, provider.token(None, {"kid": kid}))
    assert set(provider.asked) == {"/.well-known/openid-configuration", "/jwks"}


async def test_the_algorithms(provider: Provider) -> None:
    small = RSAKey.generate_key(2048, parameters={"kid": "enc"}, private=True)
    provider.keys += [
        small, ECKey.generate_key("P-256", parameters={"kid": "e2"}, private=True),
        ECKey.generate_key("P-384", parameters={"kid": "e3"}, private=True),
        OKPKey.generate_key("Ed25519", parameters={"kid": "ed"}, private=True),
    ]  # fmt: skip
    known = Providers([provider.issuer], AUDIENCE)
    by = {key.kid: key for key in provider.keys}
    for kid, algorithm in (
        ("first", "RS256"), ("first", "RS384"), ("first", "RS512"), ("first", "PS256"),
        ("e2", "ES256"), ("e3", "ES384"), ("ed", "Ed25519"),
    ):  # fmt: skip
        assert (await known.claims(provider.token(by[kid], {"alg": algorithm}))).subject == "s", algorithm
    assert "no such key" in await refused(known, provider.token(by["enc"]))
    assert "algorithm" in await refused(known, provider.token(by["first"], {"alg": "PS512"}))


async def test_keys_change_and_old_ones_are_dropped(provider: Provider) -> None:
    known = Providers([provider.issuer], AUDIENCE, refetch_seconds=0.3)
    former = provider.keys[0]
    assert await known.claims(provider.token())
    fresh = RSAKey.generate_key(2048, parameters={"kid": "second"}, private=True)
    provider.keys = [fresh]
    assert "no such key" in await refused(known, provider.token(fresh)), "asked again, but not that soon"
    await asyncio.sleep(0.35)
    assert await known.claims(provider.token(fresh))
    assert "no such key" in await refused(known, provider.token(former))
    asked = len(provider.asked)
    for _ in range(50):
        await refused(known, provider.token(None, {"kid": uuid.uuid4().hex}))
    assert len(provider.asked) == asked, "made-up key ids make nobody ask"


async def test_made_up_keys_hold_nobody_up(provider: Provider) -> None:
    """While a slow provider is asked for a key that nobody has, whoever shows a good token goes in."""
    providers = Providers([provider.issuer], AUDIENCE, refetch_seconds=0.0)
    good = provider.token()
    assert (await providers.claims(good)).subject == "s"
    provider.seconds = 1.0
    asking = asyncio.create_task(providers.claims(provider.token(None, {"kid": "made-up"})))
    await asyncio.sleep(0.2)
    started = time.monotonic()
    assert (await providers.claims(good)).subject == "s"
    assert time.monotonic() - started < 0.5 and not asking.done()
    with pytest.raises(InvalidToken):
        await asking


async def test_a_provider_that_fails_says_nothing_of_a_token(provider: Provider) -> None:
    def fresh() -> Providers:
        return Providers([provider.issuer], AUDIENCE, retry_seconds=0.2)

    provider.down = True
    known = fresh()
    for _ in range(5):
        with pytest.raises(ProviderUnavailable):
            await known.claims(provider.token())
    assert len(provider.asked) == 1, "it is left in peace for a moment"
    provider.down = False
    await asyncio.sleep(0.25)
    assert await known.claims(provider.token())
    provider.endless = True
    with pytest.raises(ProviderUnavailable):
        await fresh().claims(provider.token())
    provider.endless, provider.issuer_told = False, "https://elsewhere.example"
    with pytest.raises(ProviderUnavailable):
        await fresh().claims(provider.token())


@pytest.mark.parametrize("wrong", ["http://login.example.org", "ftp://x", "login", "https://", "https://a.b/?x=1"])
def test_what_can_be_no_issuer(wrong: str) -> None:
    with pytest.raises(ValueError, match="no issuer"):
        check_issuer(wrong)


# -- who a bearer is, in the running service


@pytest.fixture(scope="module")
def login(rights: Rights) -> Iterator[Provider]:
    made = Provider()
    rights.stop()
    rights.environment = {"BOCAGE_OIDC_ISSUERS": made.issuer, "BOCAGE_OIDC_AUDIENCE": AUDIENCE}
    rights.start()
    yield made
    made.server.shutdown()


def bearer(rights: Rights, token: str) -> httpx.Response:
    return rights.exchange(bearer=token)


def organisation(rights: Rights, **more: Any) -> dict[str, Any]:
    wanted = {"name": f"Lab {uuid.uuid4().hex[:8]}", "category": "research", **more}
    made = rights.call("admin", "POST", "/rights/admin/organisations", json=wanted)
    assert made.status_code == 201, made.text
    return dict(made.json())


def test_a_person_of_the_domain_waits_for_activation(rights: Rights, login: Provider) -> None:
    domain = f"{uuid.uuid4().hex[:8]}.example.fr"
    lab = organisation(rights, email_domains=[domain.upper()])
    assert lab["email_domains"] == [domain]
    sub = uuid.uuid4().hex
    person = {"sub": sub, "email": f"Ada@{domain}", "email_verified": True, "name": "Ada L."}
    assert bearer(rights, login.token(**person | {"email_verified": False})).json()["code"] == "account-unknown"
    for _ in range(2):
        answer = bearer(rights, login.token(**person))
        assert (answer.status_code, answer.json()["code"]) == (403, "account-pending")
        assert lab["name"] in answer.json()["detail"]
    people = rights.call("admin", "GET", "/rights/admin/people", params={"organisation": lab["id"]}).json()["people"]
    assert [(x["name"], x["state"], x["email"]) for x in people] == [("Ada L.", "pending", f"Ada@{domain}")]
    path = f"/rights/admin/people/{people[0]['id']}"
    change = {"state": "active", "purpose": "research"}
    assert rights.call("admin", "PATCH", path, json=change).status_code == 200

    answer = bearer(rights, login.token(sub=sub, exp=int(time.time()) - 40))
    assert answer.status_code == 200, answer.text
    assert answer.json()["expires"] <= time.time() + 21, "no longer than the token that is behind it"
    identity = Verifier(rights.settings.public_keys).verify(bearer(rights, login.token(sub=sub)).json()["token"])
    assert identity.subject == people[0]["id"] and identity.purpose == "research"
    assert identity.scopes == {"jobs:submit", "catalogue:write"} and identity.category == "research"
    assert identity.credential == f"login-{identity.subject}"
    asked = login.token(sub=sub, scope="openid jobs:submit rights:manage admin")
    assert Verifier(rights.settings.public_keys).verify(bearer(rights, asked).json()["token"]).scopes == {"jobs:submit"}

    headers = {"Bocage-Identity": bearer(rights, login.token(sub=sub)).json()["token"]}
    made = rights.http.post("/rights/keys", headers=headers, json={"name": "laptop"})
    assert made.status_code == 201, "a login makes the first key"
    assert rights.exchange(api_key=made.json()["key"]).status_code == 200
    tile = rights.http.post("/rights/tile_tokens", headers=headers, json={"collections": ["c"], "ttl": 60})
    assert tile.status_code == 403 and "/rights/keys" in tile.json()["detail"]

    rights.call("admin", "PATCH", path, json={"state": "suspended"})
    assert bearer(rights, login.token(sub=sub)).json()["code"] == "account-suspended"
    rights.call("admin", "PATCH", path, json={"state": "active"})
    assert rights.call("admin", "DELETE", path).status_code == 204
    assert rights.exchange(api_key=made.json()["key"]).status_code == 401
    assert bearer(rights, login.token(sub=sub)).json()["code"] == "account-unknown", "the login went with the person"


def test_a_person_with_the_address_is_linked(rights: Rights, login: Provider) -> None:
    domain = f"{uuid.uuid4().hex[:8]}.example.fr"
    lab = organisation(rights)
    email = f"bo@{domain}"
    wanted = {"name": "Bo", "organisation": lab["id"], "email": email, "role": "referent", "purpose": "education"}
    person = rights.call("admin", "POST", "/rights/admin/people", json=wanted).json()
    sub = uuid.uuid4().hex
    login.userinfo = {"sub": "another", "email": email, "email_verified": True}
    assert bearer(rights, login.token(sub=sub)).status_code == 403, "userinfo of another subject"
    login.userinfo["sub"] = sub
    answer = bearer(rights, login.token(sub=sub))
    assert answer.json()["subject"] == person["id"]
    identity = Verifier(rights.settings.public_keys).verify(answer.json()["token"])
    assert "rights:manage" in identity.scopes and identity.purpose == "education"

    # another organisation writes the address of somebody whose domain is not its own
    email = f"cy@{domain}"
    thief = organisation(rights)
    rights.call(
        "admin", "POST", "/rights/admin/people", json={"name": "C", "organisation": thief["id"], "email": email}
    )
    rights.call("admin", "PATCH", f"/rights/admin/organisations/{lab['id']}", json={"email_domains": [domain]})
    answer = bearer(rights, login.token(sub=uuid.uuid4().hex, email=email, email_verified=True))
    assert answer.json()["code"] == "account-pending" and lab["name"] in answer.json()["detail"]
    taken = rights.call(
        "admin", "PATCH", f"/rights/admin/organisations/{thief['id']}", json={"email_domains": [domain]}
    )
    assert (taken.status_code, taken.json()["code"]) == (409, "domain-taken")


def test_an_address_given_to_somebody_else_brings_no_account(rights: Rights, login: Provider) -> None:
    """Who leaves keeps the account; who gets the address later waits, until the managers say that it is the same."""
    lab = organisation(rights, email_domains=[f"{uuid.uuid4().hex[:8]}.example.fr"])
    email = f"contact@{lab['email_domains'][0]}"
    wanted = {"name": "First", "organisation": lab["id"], "email": email}
    person = rights.call("admin", "POST", "/rights/admin/people", json=wanted).json()["id"]
    first, later = (
        login.token(sub=uuid.uuid4().hex, email=email, email_verified=True, name=name) for name in ("First", "Later")
    )
    assert bearer(rights, first).json()["subject"] == person
    assert bearer(rights, later).json()["code"] == "account-pending"
    assert bearer(rights, first).json()["subject"] == person
    rows = rights.call("admin", "GET", "/rights/admin/people", params={"organisation": lab["id"]}).json()["people"]
    assert sorted((row["name"], row["state"]) for row in rows) == [("First", "active"), ("Later", "pending")]
    waiting = next(row["id"] for row in rows if row["state"] == "pending")
    assert rights.call("admin", "DELETE", f"/rights/admin/people/{waiting}").status_code == 204
    path = f"/rights/admin/people/{person}"
    assert rights.call("admin", "PATCH", path, json={"email": email}).status_code == 200
    assert bearer(rights, later).json()["subject"] == person, "the managers gave the account to whoever has the address"
    assert bearer(rights, first).json()["code"] == "account-pending"


def test_many_first_logins_make_one_person(rights: Rights, login: Provider) -> None:
    domain = f"{uuid.uuid4().hex[:8]}.example.fr"
    lab = organisation(rights, email_domains=[domain])
    token = login.token(sub=uuid.uuid4().hex, email=f"d@{domain}", email_verified=True)
    threads = [threading.Thread(target=bearer, args=(rights, token)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    people = rights.call("admin", "GET", "/rights/admin/people", params={"organisation": lab["id"]}).json()["people"]
    assert len(people) == 1


def test_refusals_and_a_provider_that_is_down(rights: Rights, login: Provider) -> None:
    answer = bearer(rights, login.token(aud="others"))
    assert answer.status_code == 401 and "audience" in answer.json()["detail"]
    assert bearer(rights, "x" * 9000).status_code in (401, 422)
    login.down = True
    rights.stop()
    rights.start()
    answer = bearer(rights, login.token())
    assert answer.status_code == 503 and answer.headers["retry-after"]
    login.down = False
