"""Organisations that are verified or not, people who are erased, trees of keys, and refusals that say nothing."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from bocage_kit.identity import Level, Verifier

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights

DEMONSTRATION = "LicenseRef-Bocage-Demonstration"


def house(rights: Rights, scopes: list[str], purpose: str = "research", **more: Any) -> tuple[str, dict[str, Any]]:
    """An organisation, a person and a key; the account is known by the first of what is returned."""
    name = f"House {uuid.uuid4().hex[:8]}"
    wanted = {"name": name, "category": "research", **more}
    lab = rights.call("admin", "POST", "/rights/admin/organisations", json=wanted).json()
    person = rights.call(
        "admin", "POST", "/rights/admin/people", json={"name": "Eve", "organisation": name, "role": "representative"}
    ).json()
    key = {"person": person["id"], "name": "first", "scopes": scopes, "purpose": purpose, "project": "Ventoux"}
    made = rights.call("admin", "POST", "/rights/admin/keys", json=key).json()
    rights.keys[name] = made["key"]
    return name, {"organisation": lab, "person": person["id"], "key": made["id"]}


def identity(rights: Rights, who: str) -> Any:
    return Verifier(rights.settings.public_keys).verify(rights.headers(who)["Bocage-Identity"])


def accept(rights: Rights, who: str) -> httpx.Response:
    text = rights.call(None, "GET", f"/rights/licences/{DEMONSTRATION}").json()
    given = {"text_sha256": text["text_sha256"]["fr"], "on_behalf": "organisation"}
    return rights.call(who, "POST", f"/rights/licences/{DEMONSTRATION}/acceptance", json=given)


def test_an_organisation_that_is_not_verified_holds_nothing_to_accept(rights: Rights) -> None:
    who, made = house(rights, ["rights:manage", "jobs:submit"], verified=False, representative="Jeanne Doe")
    lab = made["organisation"]
    assert (lab["verified"], lab["verification"]["state"], lab["representative"]) == (False, "unverified", "Jeanne Doe")
    assert accept(rights, who).status_code == 201
    assert DEMONSTRATION not in identity(rights, who).licences
    assert identity(rights, who).licences["CC-BY-NC-4.0"] is Level.JOB, "open terms are for all"
    (term,) = rights.call(who, "GET", "/rights/required_terms", params={"licence": DEMONSTRATION}).json()[
        "required_terms"
    ]
    assert term["reason"] == "unverified" and not term["acceptance_mends"]
    told = {x["what"]: x for x in rights.call(who, "GET", "/rights/me").json()["missing"]}
    assert {"verification", DEMONSTRATION} <= told.keys()
    assert rights.call(who, "GET", "/rights/organisation").json()["managed_by"][0]["name"] == "Eve"

    path = f"/rights/admin/organisations/{lab['slug']}/verification"
    assert rights.call(who, "POST", path, json={"state": "verified", "reason": "me"}).status_code == 403
    verified = rights.call("admin", "POST", path, json={"state": "verified", "reason": "statutes read"}).json()
    assert verified["verified"] and verified["verification"]["reason"] == "statutes read"
    assert identity(rights, who).licences[DEMONSTRATION] is Level.JOB
    rights.call("admin", "POST", path, json={"state": "refused", "reason": "it was another one"})
    assert DEMONSTRATION not in identity(rights, who).licences
    again = {"name": who, "category": "research", "verified": True}
    assert rights.call("admin", "POST", "/rights/admin/organisations", json=again).status_code == 409

    grant = {"organisation": lab["id"], "amount": 10, "reason": "test"}
    assert rights.call("admin", "POST", "/rights/admin/credits", json=grant).status_code == 201
    reserve = "select rights.credit_reserve(%s::uuid, gen_random_uuid(), %s, 'p')"
    with psycopg.connect(rights.database.url("rights"), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DatabaseError) as caught:
            connection.execute(reserve, [lab["id"], 1])
        assert caught.value.sqlstate == "P0404"
        assert connection.execute(reserve, [lab["id"], 0]).fetchone() == ("reserved",), "what costs nothing may run"


def test_the_signers_role_is_kept_and_erasing_a_person_keeps_what_they_did(rights: Rights) -> None:
    who, made = house(rights, ["rights:manage", "jobs:submit"])
    assert accept(rights, who).status_code == 201
    colleague = rights.call(who, "POST", "/rights/admin/people", json={"name": "Bob", "email": "bob@x.fr"}).json()
    key = rights.call(who, "POST", "/rights/admin/keys", json={"person": colleague["id"], "name": "k"}).json()
    other, _ = house(rights, ["rights:manage"])
    assert rights.call(other, "DELETE", f"/rights/admin/people/{colleague['id']}").status_code == 404
    assert rights.call(who, "DELETE", f"/rights/admin/people/{colleague['id']}").status_code == 204
    assert rights.exchange(api_key=key["key"]).status_code == 401
    assert rights.call("admin", "DELETE", f"/rights/admin/people/{made['person']}").status_code == 204
    assert rights.exchange(api_key=rights.keys[who]).status_code == 401
    with psycopg.connect(rights.database.url("rights")) as connection:
        rows = connection.execute(
            "select person::text, evidence->>'role' from rights.acceptance where organisation = %s::uuid",
            [made["organisation"]["id"]],
        ).fetchall()
        left = connection.execute("select count(*) from rights.person where name = 'Bob'").fetchone()
        with pytest.raises(psycopg.errors.DatabaseError):
            connection.execute(
                "update rights.api_key set person = %s::uuid where id = %s", [str(uuid.uuid4()), key["id"]]
            )
    assert rows == [(made["person"], "representative")] and left == (0,)


def test_a_service_account_has_keys_only(rights: Rights) -> None:
    who, _ = house(rights, ["rights:manage", "jobs:submit"])
    robot = rights.call(who, "POST", "/rights/admin/people", json={"name": "CI", "kind": "service"}).json()
    assert robot["kind"] == "service"
    for wrong in ({"email": "ci@lab.fr"}, {"role": "referent"}):
        body = {"name": "CI 2", "kind": "service", **wrong}
        assert rights.call(who, "POST", "/rights/admin/people", json=body).status_code == 422
        assert rights.call(who, "PATCH", f"/rights/admin/people/{robot['id']}", json=wrong).status_code == 422
    key = {"person": robot["id"], "name": "k", "scopes": ["jobs:submit"], "purpose": "research"}
    made = rights.call(who, "POST", "/rights/admin/keys", json=key).json()
    rights.keys["robot"] = made["key"]
    assert identity(rights, "robot").subject == robot["id"]


def test_a_key_takes_down_what_it_made(rights: Rights) -> None:
    who, made = house(rights, ["rights:manage", "jobs:submit"])
    assert identity(rights, who).project == "Ventoux"
    keys = {"root": rights.call(who, "POST", "/rights/keys", json={"name": "root", "project": "Other"}).json()}
    assert keys["root"]["project"] == "Other"
    for parent, child in (("root", "child"), ("child", "grandchild")):
        rights.keys[parent] = keys[parent]["key"]
        keys[child] = rights.call(parent, "POST", "/rights/keys", json={"name": child}).json()
        assert keys[child]["project"] == "Other"
    bob = rights.call(who, "POST", "/rights/admin/people", json={"name": "Bob"}).json()["id"]
    keys["bob"] = rights.call("child", "POST", "/rights/admin/keys", json={"person": bob, "name": "k"}).json()
    listed = {row["id"]: row["made_by"] for row in rights.call(who, "GET", "/rights/keys").json()["keys"]}
    assert listed[keys["grandchild"]["id"]] == keys["child"]["id"] and listed[keys["root"]["id"]] == made["key"]
    # the one in the middle ended before, what it made lives on until the root goes
    rights.call(who, "DELETE", f"/rights/keys/{keys['child']['id']}")
    assert rights.exchange(api_key=keys["grandchild"]["key"]).status_code == 200
    path = f"/rights/keys/{keys['root']['id']}"
    assert rights.call(who, "DELETE", path, params={"descendants": "true"}).status_code == 204
    assert all(rights.exchange(api_key=key["key"]).status_code == 401 for key in keys.values())
    assert rights.exchange(api_key=rights.keys[who]).status_code == 200, "what made it stays"


def test_no_key_escapes_a_revocation_by_being_made_meanwhile(rights: Rights) -> None:
    who, _ = house(rights, ["jobs:submit"])
    for _ in range(5):
        root = rights.call(who, "POST", "/rights/keys", json={"name": "root"}).json()
        headers = {"Bocage-Identity": rights.exchange(api_key=root["key"]).json()["token"]}
        with ThreadPoolExecutor(8) as pool:
            making = [
                pool.submit(rights.http.post, "/rights/keys", headers=headers, json={"name": "c"}) for _ in range(6)
            ]
            pool.submit(rights.call, who, "DELETE", f"/rights/keys/{root['id']}?descendants=true")
        answers = [future.result() for future in making]
        assert {answer.status_code for answer in answers} <= {201, 401}
        for answer in answers:
            if answer.status_code == 201:
                assert rights.exchange(api_key=answer.json()["key"]).status_code == 401


def test_keys_are_refused_in_one_way(rights: Rights) -> None:
    who, made = house(rights, [])
    good = rights.call(who, "POST", "/rights/keys", json={"name": "revoked"}).json()
    rights.call(who, "DELETE", f"/rights/keys/{good['id']}")
    expired = rights.call(who, "POST", "/rights/keys", json={"name": "expired"}).json()
    with psycopg.connect(rights.database.url("rights"), autocommit=True) as connection:
        connection.execute("update rights.api_key set expires_at = now() where id = %s", [expired["id"]])
    wrong = [
        good["key"], expired["key"], f"{made['key']}.wrong", "bk0123456789abcdef.secret", "", ".", "no dot", "a.b.c",
        "\0.\0", "é.è", "x" * 50_000, f"{made['key']}.{'s' * 600}", "' or 1=1 --.x",
    ]  # fmt: skip
    answers = [
        rights.http.post("/identity", json={"api_key": key}, headers={"X-Request-Id": "one-and-the-same"})
        for key in wrong
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    hidden = {"date"}
    assert len({tuple((k, v) for k, v in answer.headers.items() if k not in hidden) for answer in answers}) == 1
    lone = rights.http.post("/identity", content=b'{"api_key": "\\ud800.\\ud800"}')
    assert lone.status_code in (401, 422)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("fr", "fr"), ("fr-FR,fr;q=0.9,en;q=0.8", "fr"), ("en;q=0.9, fr;q=0.1", "en"), ("de", "en"), ("", "en"),
     ("fr;q=0", "en"), ("fr;q=x", "en"), ("de, fr;q=0.5", "fr")],
)  # fmt: skip
def test_me_in_the_readers_language(rights: Rights, accepted: str, language: str) -> None:
    who = "company"
    answer = rights.call(who, "GET", "/rights/me", headers={"Accept-Language": accepted})
    assert answer.headers["content-language"] == language
    words = answer.json()["may"] + [x["why"] for x in answer.json()["missing"]]
    assert any("catalogue" in x for x in words)
    assert any("Chercher" in x for x in words) is (language == "fr")


def test_me_says_what_a_bare_key_lacks_and_every_link_opens(rights: Rights) -> None:
    who, _ = house(rights, [], purpose="undeclared")
    me = rights.call(who, "GET", "/rights/me").json()
    told = {x["what"]: x for x in me["missing"]}
    assert {"purpose", "jobs:submit"} <= told.keys() and "verification" not in told
    for entry in me["missing"]:
        opened = rights.call(who, "GET", entry["link"].removeprefix("http://bocage.test"))
        assert opened.status_code == 200, entry
