"""The public interface under /rights, over HTTP, with the demonstration's accounts."""

from __future__ import annotations

import csv
import hashlib
import io
import time
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from bocage_kit.access import declarations, undeclared_routes
from bocage_kit.identity import Level, Verifier
from bocage_rights.app import create_app
from fastapi import APIRouter
from openapi_spec_validator import validate

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights

DEMONSTRATION = "LicenseRef-Bocage-Demonstration"


def account(rights: Rights, category: str, scopes: list[str], purpose: str = "research") -> tuple[str, dict[str, Any]]:
    """A new organisation with one person and a key, all made by the administrator's interface."""
    name = f"Institute {uuid.uuid4().hex[:8]}"
    made = rights.call("admin", "POST", "/rights/admin/organisations", json={"name": name, "category": category})
    assert made.status_code == 201, made.text
    person = rights.call(
        "admin", "POST", "/rights/admin/people", json={"name": "Claude Martin", "organisation": made.json()["slug"]}
    )
    assert person.status_code == 201, person.text
    key = rights.call(
        "admin",
        "POST",
        "/rights/admin/keys",
        json={"person": person.json()["id"], "name": "first", "scopes": scopes, "purpose": purpose},
    )
    assert key.status_code == 201, key.text
    assert key.headers["cache-control"] == "no-store"
    rights.keys[name] = key.json()["key"]
    return name, {"organisation": made.json(), "person": person.json(), "key": key.json()}


def terms(rights: Rights, who: str | None, *licences: str, level: str = "asset") -> list[dict[str, Any]]:
    answer = rights.call(who, "GET", "/rights/required_terms", params={"licence": licences, "level": level})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["required_terms"])


def test_every_route_says_who_may_call_it(rights: Rights) -> None:
    bare = APIRouter()
    bare.add_api_route("/bare", lambda: None)
    app = create_app(rights.settings)
    assert undeclared_routes(app) == []
    app.include_router(bare)
    assert undeclared_routes(app) == ["['GET'] /bare"], "the walk sees a route that says nothing"
    app = create_app(rights.settings)
    found = declarations(app)
    assert len(found) > 35, "the routes of included routers count"
    assert sorted(name for name, access in found.items() if access is not None and access.open) == [
        "['GET'] /healthz",
        "['GET'] /identity/revocations",
        "['POST'] /identity",
        "['POST'] /usage",
    ]
    assert app.openapi()["paths"].keys().isdisjoint({"/identity", "/healthz"})


def test_document_of_the_interface_is_valid(rights: Rights) -> None:
    document = create_app(rights.settings).openapi()
    validate(document)
    operations = [x["operationId"] for path in document["paths"].values() for x in path.values()]
    assert len(operations) == len(set(operations))


def test_nothing_without_an_identity(rights: Rights) -> None:
    for path in ("/rights/me", "/rights/licences", "/assets/c/i/a", "/rights/nothing"):
        answer = rights.http.get(path)
        assert answer.status_code == 401 and answer.headers["content-type"] == "application/problem+json"
    for path in ("/rights/keys", "/rights/ledger", "/rights/tile_tokens", "/rights/quotas", "/rights/usage"):
        assert rights.call(None, "GET", path).status_code == 401
    for path in ("/rights/admin/organisations", "/rights/admin/keys"):
        assert rights.call("company", "GET", path).status_code == 403
        assert rights.call(None, "GET", path).status_code == 401


def test_me_in_plain_words(rights: Rights) -> None:
    anonymous = rights.call(None, "GET", "/rights/me").json()
    assert anonymous["subject"] == "anonymous"
    assert {x["what"] for x in anonymous["missing"]} >= {"account", "CC-BY-NC-4.0", DEMONSTRATION}
    company = rights.call("company", "GET", "/rights/me").json()
    assert company["organisation"]["name"] == "Demonstration company"
    why = {x["what"]: x["why"] for x in company["missing"]}
    assert "category" in why[DEMONSTRATION] and "purpose" in why["CC-BY-NC-4.0"]
    researcher = rights.call("researcher", "GET", "/rights/me").json()
    assert researcher["missing"] == [] and any("Submit jobs" in x for x in researcher["may"])
    for who, told in ((None, anonymous), ("company", company)):
        for entry in told["missing"]:
            assert entry["link"].startswith("http://bocage.test/rights/")
            opened = rights.call(who, "GET", entry["link"].removeprefix("http://bocage.test"))
            assert opened.status_code == 200, entry["link"]


def test_why_the_company_is_refused(rights: Rights) -> None:
    (term,) = terms(rights, "company", DEMONSTRATION, "etalab-2.0")
    assert (term["licence"], term["reason"]) == (DEMONSTRATION, "category")
    assert not term["acceptance_mends"], "accepting would not help"
    (term,) = terms(rights, "company", "CC-BY-NC-4.0", level="tile")
    assert term["reason"] == "purpose"
    assert terms(rights, "company", "CC-BY-NC-4.0", level="preview") == []
    (term,) = terms(rights, None, DEMONSTRATION)
    assert term["reason"] == "missing" and term["accept_url"].endswith(f"/rights/licences/{DEMONSTRATION}/acceptance")
    (term,) = terms(rights, "researcher", "LicenseRef-undeclared")
    assert term["reason"] == "unknown"
    assert terms(rights, "researcher", DEMONSTRATION, "CC-BY-NC-4.0", "etalab-2.0", level="job") == []
    text = rights.call(None, "GET", f"/rights/licences/{DEMONSTRATION}").json()
    entry = {"text_sha256": text["text_sha256"]["fr"], "on_behalf": "organisation"}
    answer = rights.call("company", "POST", f"/rights/licences/{DEMONSTRATION}/acceptance", json=entry)
    assert answer.status_code == 403, "without rights:manage"


def test_licence_is_accepted_read_and_withdrawn(rights: Rights) -> None:
    who, made = account(rights, "research", ["rights:manage", "jobs:submit"])
    (term,) = terms(rights, who, DEMONSTRATION)
    assert term["reason"] == "missing"
    path = term["url"].removeprefix("http://bocage.test")
    french = rights.call(who, "GET", path, params={"lang": "fr"})
    assert french.headers["content-language"] == "fr" and "DÉMONSTRATION" in french.text
    digest = hashlib.sha256(french.content).hexdigest()
    accept = term["accept_url"].removeprefix("http://bocage.test")
    wrong = rights.call(who, "POST", accept, json={"text_sha256": "0" * 64, "on_behalf": "organisation"})
    assert wrong.status_code == 409 and wrong.json()["required_terms"][0]["version"] == "1.0"
    alone = rights.call(who, "POST", accept, json={"text_sha256": digest})
    assert alone.status_code == 422
    commercial = {"text_sha256": digest, "on_behalf": "organisation", "purpose": "commercial"}
    assert rights.call(who, "POST", accept, json=commercial).status_code == 403
    given = {"text_sha256": digest, "on_behalf": "organisation"}
    accepted = rights.call(who, "POST", accept, json=given)
    assert accepted.status_code == 201 and accepted.json()["organisation"] == made["organisation"]["id"]
    assert rights.call(who, "POST", accept, json=given).status_code == 200
    identity = Verifier(rights.settings.public_keys).verify(rights.headers(who)["Bocage-Identity"])
    assert identity.licences[DEMONSTRATION] is Level.JOB
    listed = rights.call(who, "GET", "/rights/admin/acceptances").json()["acceptances"]
    assert [x["action"] for x in listed] == ["accept"]
    own = made["organisation"]["slug"]
    assert rights.call(who, "DELETE", f"/rights/admin/acceptances/{own}/{DEMONSTRATION}").status_code == 204
    assert terms(rights, who, DEMONSTRATION)[0]["reason"] == "missing"
    other = rights.call(who, "DELETE", f"/rights/admin/acceptances/demonstration-institute/{DEMONSTRATION}")
    assert other.status_code == 404


def test_a_new_version_must_be_accepted_anew(rights: Rights) -> None:
    licence = f"LicenseRef-Test-{uuid.uuid4().hex[:6]}"
    who, made = account(rights, "public", ["rights:manage"])
    insert = """insert into rights.licence_version (licence, version, text_en, text_fr, needs_acceptance, purposes,
                    categories, valid_from)
                values (%s, %s, %s, %s, 'organisation', '{research}', '{public}', now() - interval '1 s')"""
    with psycopg.connect(rights.database.url("rights"), autocommit=True) as connection:
        connection.execute("insert into licence values (%s, 'T', 'T', 'restricted', false)", [licence])
        connection.execute(insert, [licence, "1", "one", "un"])
        paper = {"organisation": made["organisation"]["id"], "licence": licence, "evidence": "folder 12"}
        assert rights.call("admin", "POST", "/rights/admin/acceptances", json=paper).status_code == 201
        assert rights.call("admin", "POST", "/rights/admin/acceptances", json=paper).status_code == 200
        assert terms(rights, who, licence) == []
        connection.execute(insert, [licence, "2", "two", "deux"])
        (term,) = terms(rights, who, licence)
        assert (term["reason"], term["version"]) == ("outdated", "2")
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute("update licence_version set text_en = 'x' where licence = %s", [licence])
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute("delete from acceptance")


def test_own_keys_do_no_more_than_their_maker(rights: Rights) -> None:
    beyond = rights.call("company", "POST", "/rights/keys", json={"name": "x", "scopes": ["rights:manage"]})
    assert beyond.status_code == 403 and beyond.json()["required_scope"] == "rights:manage"
    wider = rights.call("company", "POST", "/rights/keys", json={"name": "x", "purpose": "research"})
    assert wider.status_code == 403
    assert rights.call("company", "POST", "/rights/keys", json={"name": "x", "scopes": ["no"]}).status_code == 422
    made = rights.call("company", "POST", "/rights/keys", json={"name": "second"}).json()
    assert made["scopes"] == ["jobs:submit"] and made["purpose"] == "commercial"
    rights.keys["second"] = made["key"]
    listed = rights.call("second", "GET", "/rights/keys").json()["keys"]
    assert made["key"].partition(".")[2] not in str(listed)
    assert [x["name"] for x in listed if x["current"]] == ["second"]
    assert rights.call("researcher", "DELETE", f"/rights/keys/{made['id']}").status_code == 404
    assert rights.call("second", "DELETE", f"/rights/keys/{made['id']}").status_code == 204
    assert rights.exchange(api_key=made["key"]).status_code == 401


def test_tile_token_gives_less_and_dies_with_its_maker(rights: Rights) -> None:
    who, made = account(rights, "public", ["jobs:submit", "catalogue:write"])
    asked = {"items": ["scenes/a"], "ttl": 3600, "assets": ["dsm"]}
    answer = rights.call(who, "POST", "/rights/tile_tokens", json=asked)
    assert answer.status_code == 201, answer.text
    token = answer.json()
    base = "http://bocage.test/tiles/collections/scenes/items/a"
    query = f"?assets=dsm&token={token['token']}"
    assert token["tilejson"] == f"{base}/WebMercatorQuad/tilejson.json{query}"
    assert token["wmts"] == f"{base}/WebMercatorQuad/WMTSCapabilities.xml{query}"
    assert token["xyz"] == f"{base}/tiles/WebMercatorQuad/{{z}}/{{x}}/{{y}}.png{query}"
    exchanged = rights.exchange(tile_token=token["token"]).json()
    identity = Verifier(rights.settings.public_keys).verify(exchanged["token"])
    assert identity.subject == made["person"]["id"] and identity.scopes == frozenset()
    assert identity.tiles is not None and identity.tiles.covers("scenes", "a")
    assert not identity.tiles.covers("scenes", "b")
    headers = {"Bocage-Identity": exchanged["token"]}
    for path in ("/rights/me", "/rights/keys", "/rights/ledger", "/rights/tile_tokens"):
        assert rights.http.get(path, headers=headers).status_code == 403
    assert rights.http.post("/rights/tile_tokens", json=asked, headers=headers).status_code == 403
    assert rights.http.get("/assets/a/b/c", headers=headers).status_code == 403
    (listed,) = rights.call(who, "GET", "/rights/tile_tokens").json()["tile_tokens"]
    assert listed["id"] == token["id"]
    assert rights.call("company", "DELETE", f"/rights/tile_tokens/{token['id']}").status_code == 404
    assert rights.call(who, "DELETE", f"/rights/tile_tokens/{token['id']}").status_code == 204
    assert rights.exchange(tile_token=token["token"]).status_code == 401
    second = rights.call(who, "POST", "/rights/tile_tokens", json={"search": "abc"}).json()
    assert "/tiles/searches/abc/WebMercatorQuad/tilejson.json?token=" in second["tilejson"]
    suspend = {"state": "suspended"}
    rights.call("admin", "PATCH", f"/rights/admin/people/{made['person']['id']}", json=suspend)
    assert rights.exchange(tile_token=second["token"]).status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [{}, {"items": ["a"]}, {"items": ["../a"]}, {"collections": ["a/b"]}, {"search": "x", "ttl": 31 * 86400}, {"x": 1}],
)
def test_senseless_tile_tokens(rights: Rights, wrong: dict[str, Any]) -> None:
    assert rights.call("researcher", "POST", "/rights/tile_tokens", json=wrong).status_code == 422


def test_credits_and_ledger(rights: Rights) -> None:
    who, made = account(rights, "public", ["jobs:submit"])
    grant = {"organisation": who, "amount": "50", "reason": "=start", "idempotency_key": "k1"}
    for outcome in ("granted", "replay"):
        answer = rights.call("admin", "POST", "/rights/admin/credits", json=grant)
        assert (answer.json()["outcome"], answer.json()["balance"]["available"]) == (outcome, 50)
    assert rights.call("admin", "POST", "/rights/admin/credits", json=grant | {"amount": 51}).status_code == 409
    taken = {"organisation": who, "amount": -60, "reason": "mistake"}
    answer = rights.call("admin", "POST", "/rights/admin/credits", json=taken)
    assert answer.status_code == 402 and answer.json()["code"] == "insufficient-credits"
    assert rights.call("admin", "POST", "/rights/admin/credits", json=grant | {"amount": 0}).status_code == 422
    assert rights.call(who, "POST", "/rights/admin/credits", json=grant).status_code == 403
    job = str(uuid.uuid4())
    with psycopg.connect(rights.database.url("processing"), autocommit=True) as connection:
        connection.execute("select rights.credit_reserve(%s, %s, 20, 'p')", [made["organisation"]["id"], job])
        connection.execute("select rights.credit_settle(%s, 12.5)", [job])
    ledger = rights.call(who, "GET", "/rights/ledger").json()
    assert ledger["balance"] == {"available": 37.5, "reserved": 0, "settled": 12.5}
    assert [(x["kind"], x["amount"], x["reserved"]) for x in ledger["entries"]] == [
        ("settle", 12.5, 20),
        ("reserve", 20, 20),
        ("grant", 50, None),
    ]
    page = rights.call(who, "GET", "/rights/ledger", params={"limit": 2}).json()
    (link,) = page["links"]
    rest = rights.call(who, "GET", link["href"].removeprefix("http://bocage.test")).json()
    assert [x["kind"] for x in rest["entries"]] == ["grant"]
    assert len(rights.call(who, "GET", "/rights/ledger", params={"job": job}).json()["entries"]) == 2
    sheet = rights.call(who, "GET", "/rights/ledger", headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(sheet.text)))
    assert sheet.headers["content-type"].startswith("text/csv") and rows[-1]["reason"] == "'=start"
    usage = rights.call(who, "GET", "/rights/usage").json()
    assert usage["months"][0] | {"month": ""} == {"month": "", "credits": 12.5, "jobs": 1}
    prices = {
        (x["process"], x["unit"]): x["price"] for x in rights.call(None, "GET", "/rights/tariffs").json()["tariffs"]
    }
    assert prices["dsm", "megapixels"] == 10 and prices["echo", "job"] == 0.01
    assert {x["name"] for x in rights.call(who, "GET", "/rights/quotas").json()["quotas"]} >= {"stored bytes", "keys"}


def test_administration_is_idempotent_by_name(rights: Rights) -> None:
    name = f"Agency {uuid.uuid4().hex[:8]}"
    body = {"name": name, "category": "public", "country": "FR"}
    first = rights.call("admin", "POST", "/rights/admin/organisations", json=body)
    again = rights.call("admin", "POST", "/rights/admin/organisations", json=body)
    assert (first.status_code, again.status_code) == (201, 200) and first.json() == again.json()
    other = rights.call("admin", "POST", "/rights/admin/organisations", json=body | {"category": "private"})
    assert other.status_code == 409
    slug = {"name": name + " two", "category": "public", "slug": first.json()["slug"]}
    assert rights.call("admin", "POST", "/rights/admin/organisations", json=slug).status_code == 409
    bad = rights.call("admin", "POST", "/rights/admin/organisations", json=body | {"category": "secret"})
    assert bad.status_code == 422 and bad.json()["code"] == "invalid-request"
    for expected in (201, 200):
        answer = rights.call("admin", "POST", "/rights/admin/service_accounts", json={"name": "mirror"})
        assert answer.status_code == expected
    key = {"service": "mirror", "name": "k", "scopes": ["service:read"]}
    assert rights.call("admin", "POST", "/rights/admin/keys", json=key).status_code == 201
    assert rights.call("admin", "POST", "/rights/admin/keys", json=key | {"scopes": ["admin"]}).status_code == 422
    assert rights.call("admin", "POST", "/rights/admin/keys", json=key | {"service": "none"}).status_code == 404


def test_managers_stay_within_their_organisation(rights: Rights) -> None:
    who, made = account(rights, "public", ["rights:manage", "jobs:submit"])
    other, foreign = account(rights, "public", ["jobs:submit"])
    assert rights.call(who, "POST", "/rights/admin/people", json={"name": "Second"}).status_code == 201
    outside = {"name": "Spy", "organisation": other}
    assert rights.call(who, "POST", "/rights/admin/people", json=outside).status_code == 404
    key = {"person": made["person"]["id"], "name": "k", "scopes": ["admin"]}
    assert rights.call(who, "POST", "/rights/admin/keys", json=key).status_code == 403
    key = {"person": foreign["person"]["id"], "name": "k"}
    assert rights.call(who, "POST", "/rights/admin/keys", json=key).status_code == 404
    assert rights.call(who, "DELETE", f"/rights/admin/keys/{foreign['key']['id']}").status_code == 404
    suspend = {"state": "suspended"}
    path = f"/rights/admin/people/{foreign['person']['id']}"
    assert rights.call(who, "PATCH", path, json=suspend).status_code == 404
    organisations = rights.call(who, "GET", "/rights/admin/organisations").json()["organisations"]
    assert [x["name"] for x in organisations] == [who]
    assert {x["organisation"] for x in rights.call(who, "GET", "/rights/admin/keys").json()["keys"]} == {
        made["organisation"]["id"]
    }
    admin = rights.call("admin", "PATCH", f"/rights/admin/organisations/{foreign['organisation']['id']}", json=suspend)
    assert admin.json()["state"] == "suspended"
    assert rights.exchange(api_key=rights.keys[other]).status_code == 401


def test_timing_of_unknown_and_known_keys_is_alike(rights: Rights) -> None:
    """A coarse check that no expensive step depends on whether the id exists."""
    known = rights.keys["researcher"].partition(".")[0] + ".wrong"

    def median(credential: str) -> float:
        times = []
        for _ in range(15):
            started = time.perf_counter()
            rights.exchange(api_key=credential)
            times.append(time.perf_counter() - started)
        return sorted(times)[7]

    assert abs(median(known) - median("bk0000000000000000.wrong")) < 0.02


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/rights/admin/organisations/%00", {}, 422),
        ("GET", "/rights/admin/organisations/none", {}, 404),
        ("DELETE", "/rights/admin/acceptances/demonstration-institute/%00", {}, 422),
        ("DELETE", "/rights/admin/keys/none", {}, 404),
        ("PATCH", "/rights/admin/people/none", {"json": {}}, 404),
        ("GET", "/rights/ledger?job=------------------------------------", {}, 422),
        ("GET", "/rights/ledger?before=99999999999999999999", {}, 422),
        ("GET", "/rights/licences/none", {}, 404),
        ("GET", "/rights/licences/etalab-2.0/versions/%00/text", {}, 404),
        ("POST", "/rights/keys", {"json": {"name": "a\u0000b"}}, 422),
        ("POST", "/rights/keys", {"content": b"{"}, 422),
        ("POST", "/rights/admin/credits", {"json": {"organisation": "x", "amount": "NaN", "reason": "r"}}, 422),
        (
            "POST",
            "/rights/admin/credits",
            {"json": {"organisation": "demonstration-company", "amount": "9e12", "reason": "r"}},
            422,
        ),
    ],
)
def test_senseless_requests_are_problems(
    rights: Rights, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    answer = rights.call("admin", method, path, **more)
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "request_id", "code", "description"} <= document.keys()
    assert not any(word in answer.text for word in ("Traceback", "select", "psycopg", "sqlalchemy"))
