"""The registry of licences, withdrawals, derivations, releases and recalls, over HTTP."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from bocage_kit.identity import Level, Verifier

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights

DEMONSTRATION = "LicenseRef-Bocage-Demonstration"
ANYBODY = ["commercial", "research", "public_service", "education", "undeclared"]
OUTPUTS = {"dsm": "elevation", "ortho": "pixels", "report": "none"}


@pytest.fixture(scope="module", autouse=True)
def service_key(rights: Rights) -> None:
    rights.keys["processing"] = (rights.settings.home / "secrets" / "processing.key").read_text().strip()


def licence(rights: Rights, **version: Any) -> str:
    """A new licence with one version."""
    name = f"LicenseRef-{uuid.uuid4().hex[:10]}"
    body = {"id": name, "title": {"fr": "Essai", "en": "Trial"}, "kind": "restricted"}
    made = rights.call("admin", "POST", "/rights/admin/licences", json=body)
    assert made.status_code == 201, made.text
    add(rights, name, version="1", **version)
    return name


def add(rights: Rights, name: str, **version: Any) -> dict[str, Any]:
    body = {"text": {"fr": "Texte.", "en": "Text."}, "purposes": ANYBODY} | version
    answer = rights.call("admin", "POST", f"/rights/admin/licences/{name}/versions", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def accept(rights: Rights, name: str, who: str = "researcher", **more: Any) -> httpx.Response:
    digest = rights.call(who, "GET", f"/rights/licences/{name}").json()["text_sha256"]["fr"]
    return rights.call(who, "POST", f"/rights/licences/{name}/acceptance", json={"text_sha256": digest} | more)


def level(rights: Rights, who: str | None, name: str) -> Level:
    token = rights.headers(who)["Bocage-Identity"]
    return Verifier(rights.settings.public_keys).verify(token).licences.get(name, Level.METADATA)


def derivations(rights: Rights, *inputs: dict[str, Any], **more: Any) -> httpx.Response:
    body = {"inputs": list(inputs), "outputs": OUTPUTS, "process_licence": "CC-BY-NC-4.0"} | more
    return rights.call("processing", "POST", "/rights/derivations", json=body)


def release(rights: Rights, inputs: list[str], licences: list[str], **more: Any) -> httpx.Response:
    me = rights.call("researcher", "GET", "/rights/me").json()
    body = {
        "job": str(uuid.uuid4()), "process": "dsm", "organisation": me["organisation"]["id"], "owner": me["subject"],
        "purpose": "research", "inputs": inputs, "licences": licences, "public_base": "http://bocage.test",
    }  # fmt: skip
    return rights.call("processing", "POST", "/rights/releases", json=body | more)


def load(rights: Rights, name: str, **properties: Any) -> str:
    """An item with a stored file, in an open collection."""
    content = b"pixels of " + name.encode()
    path = rights.settings.store_root / "collections" / "images" / name / "data"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.with_name(".data.sha256").write_text(hashlib.sha256(content).hexdigest() + "\n")
    collection = {
        "type": "Collection", "stac_version": "1.1.0", "id": "images", "description": "Images", "license": "CC-BY-4.0",
        "links": [], "bocage:licences": ["CC-BY-4.0"],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
    }  # fmt: skip
    item = {
        "type": "Feature", "stac_version": "1.1.0", "id": name, "collection": "images", "links": [],
        "geometry": {"type": "Point", "coordinates": [0, 0]}, "bbox": [0, 0, 0, 0],
        "properties": {"datetime": "2025-01-01T00:00:00Z", **properties},
        "assets": {"data": {"href": f"store:collections/images/{name}/data", "type": "image/tiff"}},
    }  # fmt: skip
    with psycopg.connect(rights.database.admin_url, autocommit=True) as connection:
        connection.execute("set search_path to pgstac, public")
        connection.execute("select pgstac.upsert_collection(%s::jsonb)", [json.dumps(collection)])
        connection.execute("select pgstac.upsert_item(%s::jsonb)", [json.dumps(item)])
    return f"images/{name}"


def test_a_licence_is_registered_under_its_spdx_id_and_its_versions_never_change(rights: Rights) -> None:
    body = {"id": "CC BY-NC-SA 4.0", "title": {"fr": "Titre", "en": "Title"}, "kind": "non-commercial"}
    made = [rights.call("admin", "POST", "/rights/admin/licences", json=body) for _ in range(2)]
    assert [(answer.status_code, answer.json()["id"]) for answer in made] == [
        (201, "CC-BY-NC-SA-4.0"), (200, "CC-BY-NC-SA-4.0"),
    ]  # fmt: skip
    other = rights.call("admin", "POST", "/rights/admin/licences", json=body | {"kind": "open"})
    assert (other.status_code, other.json()["code"]) == (409, "exists-otherwise")
    for wrong in ("Nonesuch-1.0", "LicenseRef-a b", "CC-BY-4.0 AND MIT", "LicenseRef-"):
        answer = rights.call("admin", "POST", "/rights/admin/licences", json=body | {"id": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown-licence-id"), wrong
    version = {
        "share_alike": True, "attribution": {"fr": "Source : X", "en": "Source: X"}, "url": "https://example.org/text",
        "attribution_derived": {"fr": "Contient X", "en": "Contains X"}, "fallback": "preview",
        "purposes": ["research", "education"],
    }  # fmt: skip
    added = add(rights, "CC-BY-NC-SA-4.0", version="4.0", **version)
    assert added["text_sha256"]["en"] == hashlib.sha256(b"Text.").hexdigest()
    shown = rights.call(None, "GET", "/rights/licences/CC-BY-NC-SA-4.0").json()
    assert shown["attribution_derived"] == version["attribution_derived"] and shown["share_alike"] is True
    assert (level(rights, "researcher", shown["id"]), level(rights, None, shown["id"])) == (Level.JOB, Level.PREVIEW)
    again = rights.call(
        "admin", "POST", "/rights/admin/licences/CC-BY-NC-SA-4.0/versions",
        json={"version": "4.0", "text": {"fr": "Autre.", "en": "Other."}, "purposes": ANYBODY},
    )  # fmt: skip
    assert (again.status_code, again.json()["code"]) == (409, "version-exists")
    listed = {x["id"]: x for x in rights.call("admin", "GET", "/rights/admin/licences").json()["licences"]}
    assert listed["CC-BY-NC-SA-4.0"]["versions"] == ["4.0"]
    for who in ("researcher", None):
        assert rights.call(who, "POST", "/rights/admin/licences", json=body).status_code in (401, 403)


def test_an_embargo_of_a_licence_begins_and_ends(rights: Rights) -> None:
    now = datetime.now(UTC)
    day = timedelta(days=1)

    def window(start: timedelta | None, end: timedelta) -> dict[str, str]:
        begins = {} if start is None else {"embargo_from": (now + start).isoformat()}
        return begins | {"embargo_until": (now + end).isoformat()}

    running, past = licence(rights, **window(-day, day)), licence(rights, **window(-2 * day, -day))
    coming, endless = licence(rights, **window(day, 2 * day)), licence(rights, **window(None, day))
    assert [level(rights, "researcher", x) is Level.JOB for x in (running, past, coming, endless)] == [
        False, True, True, False,
    ]  # fmt: skip
    (term,) = rights.call(
        "researcher", "GET", "/rights/required_terms", params={"licence": running, "level": "asset"}
    ).json()["required_terms"]
    assert (term["reason"], "embargo_until" in term) == ("embargo", True)
    body = {"version": "2", "text": {"fr": "x", "en": "x"}, "purposes": ANYBODY, **window(day, -day)}
    answer = rights.call("admin", "POST", f"/rights/admin/licences/{running}/versions", json=body)
    assert answer.status_code == 422


def test_an_acceptance_names_its_project_and_is_withdrawn_at_once(rights: Rights) -> None:
    name = licence(rights, needs_acceptance="user")
    assert level(rights, "researcher", name) is Level.METADATA
    accepted = accept(rights, name, project="Glaciers 2026")
    assert (accepted.status_code, accepted.json()["project"]) == (201, "Glaciers 2026")
    assert level(rights, "researcher", name) is Level.JOB
    path = f"/rights/licences/{name}/acceptance"
    assert rights.call("company", "DELETE", path).status_code == 404, "one's own only"
    assert rights.call("researcher", "DELETE", path, params={"on_behalf": "organisation"}).status_code == 404
    assert rights.call("company", "DELETE", path, params={"on_behalf": "organisation"}).status_code == 403
    assert rights.call(None, "DELETE", path).status_code == 401
    for _ in range(2):
        assert rights.call("researcher", "DELETE", path).status_code == 204
    assert level(rights, "researcher", name) is Level.METADATA
    with psycopg.connect(rights.database.admin_url) as connection:
        rows = connection.execute(
            "select action, project from rights.acceptance where licence = %s order by id", [name]
        ).fetchall()
        assert rows == [("accept", "Glaciers 2026"), ("withdraw", "Glaciers 2026")]
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute("update rights.acceptance set project = 'x'")
    assert accept(rights, name).status_code == 201, "accepted anew"


def test_a_withdrawal_is_announced_to_the_gateway(rights: Rights) -> None:
    name = licence(rights, needs_acceptance="organisation")
    assert accept(rights, name, on_behalf="organisation").status_code == 201
    credential = rights.keys["researcher"].partition(".")[0]
    with rights.client() as listener, listener.stream("GET", "/identity/revocations") as stream:
        lines = stream.iter_lines()
        next(lines)
        started = time.monotonic()
        answer = rights.call(
            "researcher", "DELETE", f"/rights/licences/{name}/acceptance", params={"on_behalf": "organisation"}
        )
        assert answer.status_code == 204
        assert any(json.loads(line).get("credential") == credential for line in lines)
        assert time.monotonic() - started < 1


def test_what_results_inherit_is_told_before_the_job(rights: Rights) -> None:
    one = {"reference": "images/a", "licences": ["CC BY 4.0", "etalab"], "attribution": "IGN"}
    found = derivations(rights, one).json()
    assert found["licences"] == {name: ["CC-BY-NC-4.0"] for name in OUTPUTS}
    assert (found["attribution"], found["notes"], found["embargo_until"]) == ("IGN", [], None)
    restricted = {"reference": "images/b", "licences": [DEMONSTRATION], "audience": "organisation",
                  "organisation": "them", "embargo_until": "2030-01-01T00:00:00Z"}  # fmt: skip
    found = derivations(rights, one, restricted, audience="public", organisation="us").json()
    assert DEMONSTRATION in found["licences"]["dsm"] and DEMONSTRATION in found["licences"]["ortho"]
    assert (found["audience"]["asked"], found["audience"]["given"]) == ("public", "organisation")
    assert found["audience"]["widest"] == "organisation"
    assert found["audience"]["why"] and "assumed" in found["notes"][0]
    assert found["embargo_until"].startswith("2030-01-01")
    assert found["attribution"] == "Contains Bocage, demonstration data; IGN"
    assert found["outputs"]["dsm"]["notes"] and not found["outputs"]["report"]["notes"]
    clash = derivations(rights, one, restricted, one | {"reference": "images/sa", "licences": ["CC-BY-SA-4.0"]})
    assert (clash.status_code, clash.json()["code"]) == (409, "licence-conflict")
    assert set(clash.json()["licences"]) == {"CC-BY-SA-4.0", "CC-BY-NC-4.0", DEMONSTRATION}
    assert clash.json()["inputs"] == ["images/b", "images/sa"]
    for who in (None, "researcher", "admin"):
        assert rights.call(who, "POST", "/rights/derivations", json={}).status_code in (401, 403)
        assert rights.call(who, "POST", "/rights/releases", json={}).status_code in (401, 403)


def test_a_confirmed_rule_frees_and_rests_on_a_source_of_its_own(rights: Rights) -> None:
    name = licence(rights)
    one = {"reference": "images/a", "licences": [name]}
    assert name in derivations(rights, one).json()["licences"]["dsm"], "unknown: the terms stay"
    rule = {"licence": name, "effect": "elevation", "outcome": "release", "status": "assumed",
            "source": "Reading of article 3", "date": "2026-11-02"}  # fmt: skip
    path = "/rights/admin/derivation_rules"
    assert rights.call("researcher", "POST", path, json=rule).status_code == 403
    first = rights.call("admin", "POST", path, json=rule).json()
    assert (first["version"], first["acts_as"]) == (1, "keep")
    assert name in derivations(rights, one).json()["licences"]["dsm"]
    confirmed = rule | {"status": "confirmed"}
    for unfounded in (confirmed, confirmed | {"source": "A letter of the owner", "date": "2026-10-01"}):
        answer = rights.call("admin", "POST", path, json=unfounded)
        assert (answer.status_code, answer.json()["code"]) == (422, "unfounded-rule")
    for field in ("source", "date"):
        assert rights.call("admin", "POST", path, json={k: v for k, v in rule.items() if k != field}).status_code == 422
    second = rights.call("admin", "POST", path, json=confirmed | {"source": "A letter of the owner"})
    assert second.json()["version"] == 2
    found = derivations(rights, one).json()
    assert found["licences"]["dsm"] == ["CC-BY-NC-4.0"] and name in found["licences"]["ortho"]
    shown = rights.call(None, "GET", "/rights/derivation_rules").json()["rules"]
    assert [r["version"] for r in shown if r["licence"] == name] == [2]
    assert {"licence", "effect", "outcome", "status", "source", "date", "version"} <= set(shown[0])
    with psycopg.connect(rights.database.admin_url) as connection, pytest.raises(psycopg.Error, match="append-only"):
        connection.execute("delete from rights.derivation_rule")


def test_results_are_held_while_an_input_may_not_be_used(rights: Rights) -> None:
    name = licence(rights, needs_acceptance="user")
    one = load(rights, "held", **{"bocage:licences": [name]})

    def held() -> str:
        answer = release(rights, [one], [name])
        assert (answer.status_code, answer.json()["code"]) == (409, "held"), answer.text
        return str(answer.json()["detail"])

    assert f"/rights/licences/{name}/acceptance" in held()
    accept(rights, name)
    assert release(rights, [one], [name]).json()["outcome"] == "released"
    rights.call("researcher", "DELETE", f"/rights/licences/{name}/acceptance")
    assert "accept it" in held()
    accept(rights, name)
    add(rights, name, version="2", needs_acceptance="user", text={"fr": "Neuf.", "en": "New."})
    assert "accept it anew" in held()
    accept(rights, name)
    assert release(rights, [one], [name]).status_code == 200
    end = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    load(rights, "held", **{"bocage:licences": [name], "bocage:embargo_until": end, "bocage:organisation": "them"})
    assert "under embargo until" in held()
    load(rights, "held", **{"bocage:licences": [DEMONSTRATION]})
    assert release(rights, [one], [name], purpose="commercial").status_code == 409, "licences are those of now as well"
    assert release(rights, [one], [name]).status_code == 200
    me = rights.call("researcher", "GET", "/rights/me").json()["organisation"]["id"]
    for state, status in (("suspended", 409), ("active", 200)):
        body = {"organisation": me, "owner": str(uuid.uuid4())}
        rights.call("admin", "PATCH", f"/rights/admin/organisations/{me}", json={"state": state})
        answer = rights.call(
            "processing", "POST", "/rights/releases",
            json={"job": str(uuid.uuid4()), "process": "dsm", "purpose": "research", "inputs": [], "licences": [],
                  "public_base": "http://bocage.test"} | body,
        )  # fmt: skip
        assert answer.status_code == status, answer.text


def test_a_recall_blocks_the_image_and_all_that_was_made_of_it(rights: Rights) -> None:
    image, other = load(rights, "recalled"), load(rights, "innocent")
    child, grandchild, cousin = load(rights, "child"), load(rights, "grandchild"), load(rights, "cousin")
    for result, inputs in ((child, [image, other]), (grandchild, [child]), (cousin, [other])):
        with psycopg.connect(rights.database.admin_url) as connection:
            for source in inputs:
                connection.execute(
                    "insert into rights.lineage values ('images', %s, 'images', %s, 'job', '{CC-BY-4.0}')",
                    [result.split("/")[1], source.split("/")[1]],
                )
    paths = {name: f"/assets/{name}/data" for name in (image, child, grandchild, other, cousin)}
    assert {rights.call(None, "GET", path).status_code for path in paths.values()} == {200}
    recall = {"item": image, "reason": "The orbit was wrong"}
    assert rights.call("researcher", "POST", "/rights/admin/recalls", json=recall).status_code == 403
    made = rights.call("admin", "POST", "/rights/admin/recalls", json=recall)
    assert made.status_code == 201, made.text
    assert made.json()["descendants"] == [child, grandchild]
    for name, path in paths.items():
        blocked = name in (image, child, grandchild)
        for who in (None, "researcher", "admin"):
            answer = rights.call(who, "GET", path)
            assert answer.status_code == (403 if blocked else 200), (name, who)
            if blocked:
                assert answer.json()["code"] == "recalled" and "The orbit was wrong" in answer.json()["detail"]
    refused = derivations(rights, {"reference": grandchild, "licences": ["CC-BY-4.0"]})
    assert (refused.status_code, refused.json()["code"], refused.json()["origin"]) == (403, "recalled", image)
    waiting = release(rights, [child], ["CC-BY-4.0"])
    assert waiting.status_code == 409 and waiting.json()["recalled"][0]["origin"] == image
    with psycopg.connect(rights.database.url("tiles")) as tiles:
        found = tiles.execute("select collection || '/' || item from rights.blocked_item order by 1").fetchall()
        assert [row[0] for row in found] == [child, grandchild, image]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tiles.execute("select * from rights.recall")
    assert rights.call("admin", "POST", "/rights/admin/recalls", json=recall).status_code == 409
    absent = rights.call("admin", "POST", "/rights/admin/recalls", json=recall | {"item": "images/never"})
    assert absent.status_code == 404
    path = f"/rights/admin/recalls/{made.json()['id']}"
    lineage = rights.call("admin", "GET", path).json()["lineage"]
    assert [(x["item"], x["of"]) for x in lineage] == [(child, image), (grandchild, child)]
    assert rights.call("admin", "DELETE", path).status_code == 204
    assert rights.call("admin", "DELETE", path).status_code == 404
    assert {rights.call(None, "GET", path).status_code for path in paths.values()} == {200}
    assert release(rights, [child], ["CC-BY-4.0"]).status_code == 200
    listed = rights.call("admin", "GET", "/rights/admin/recalls").json()["recalls"]
    assert listed[0]["item"] == image and listed[0]["lifted_at"]
    assert rights.call("admin", "POST", "/rights/admin/recalls", json=recall).status_code == 201, "recalled anew"


def test_an_embargo_of_an_item_keeps_it_for_its_organisation(rights: Rights) -> None:
    me = rights.call("researcher", "GET", "/rights/me").json()["organisation"]["id"]
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    load(rights, "embargoed", **{"bocage:embargo_until": soon, "bocage:organisation": me})
    path = "/assets/images/embargoed/data"
    refused = rights.call("company", "GET", path)
    assert (refused.status_code, refused.json()["code"]) == (403, "embargo")
    assert refused.json()["required_terms"][0]["reason"] == "embargo"
    own = rights.call("researcher", "GET", path)
    assert own.status_code == 200 and "public" not in own.headers["cache-control"]
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline and rights.call(None, "GET", path).status_code != 200:
        time.sleep(0.2)
    assert rights.call(None, "GET", path).status_code == 200
