"""Ways up that must not exist: over an administrator in one's own organisation, and past a key's end."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights


@pytest.fixture
def house(rights: Rights) -> dict[str, Any]:
    """An organisation with a manager, a colleague and, of the whole platform, an administrator."""
    name = f"House {uuid.uuid4().hex[:8]}"
    rights.call("admin", "POST", "/rights/admin/organisations", json={"name": name, "category": "public"})
    made: dict[str, Any] = {"organisation": name}
    for who, scopes in (
        ("manager", ["rights:manage", "jobs:submit"]), ("colleague", ["catalogue:write"]),
        ("boss", ["admin"]), ("curator", ["catalogue:admin"]),
    ):  # fmt: skip
        person = rights.call("admin", "POST", "/rights/admin/people", json={"name": who, "organisation": name}).json()
        wanted = {"person": person["id"], "name": "first", "scopes": scopes}
        key = rights.call("admin", "POST", "/rights/admin/keys", json=wanted).json()
        rights.keys[f"{who} of {name}"] = key["key"]
        made[who] = {"person": person["id"], "key": key["id"], "account": f"{who} of {name}"}
    return made


@pytest.mark.parametrize("above", ["boss", "curator"])
def test_a_manager_is_not_above_the_platforms_administrators(rights: Rights, house: dict[str, Any], above: str) -> None:
    who, person = house["manager"]["account"], house[above]["person"]
    key = {"person": person, "name": "in their name", "scopes": []}
    answers = [
        rights.call(who, "POST", "/rights/admin/keys", json=key),
        rights.call(who, "DELETE", f"/rights/admin/keys/{house[above]['key']}"),
        rights.call(who, "PATCH", f"/rights/admin/people/{person}", json={"state": "suspended"}),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert rights.call(house[above]["account"], "GET", "/rights/me").status_code == 200


def test_a_manager_manages_colleagues_still(rights: Rights, house: dict[str, Any]) -> None:
    who, colleague = house["manager"]["account"], house["colleague"]
    key = {"person": colleague["person"], "name": "second", "scopes": ["jobs:submit"]}
    assert rights.call(who, "POST", "/rights/admin/keys", json=key).status_code == 201
    assert rights.call(who, "DELETE", f"/rights/admin/keys/{colleague['key']}").status_code == 204
    assert rights.call("admin", "DELETE", f"/rights/admin/keys/{house['boss']['key']}").status_code == 204


def test_a_key_that_ends_makes_none_that_outlives_it(rights: Rights, house: dict[str, Any]) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    wanted = {"name": "short", "expires": end.isoformat()}
    short = rights.call(house["colleague"]["account"], "POST", "/rights/keys", json=wanted).json()
    rights.keys["short"] = short["key"]
    for asked in ({}, {"expires": (end + timedelta(days=300)).isoformat()}):
        child = rights.call("short", "POST", "/rights/keys", json={"name": "child", **asked}).json()
        assert datetime.fromisoformat(child["expires"]) == end
    sooner = end - timedelta(minutes=30)
    child = rights.call("short", "POST", "/rights/keys", json={"name": "child", "expires": sooner.isoformat()}).json()
    assert datetime.fromisoformat(child["expires"]) == sooner


@pytest.mark.parametrize("length", [241, 250, 255])
def test_names_too_long_for_a_file_system_are_refused(rights: Rights, house: dict[str, Any], length: int) -> None:
    answer = rights.call(house["colleague"]["account"], "PUT", f"/assets/c/i/{'a' * length}", content=b"x")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-name")


def test_a_manager_takes_down_no_keys_of_other_organisations(rights: Rights, house: dict[str, Any]) -> None:
    """Somebody who was the platform's administrator made keys everywhere; now only a colleague is left of that."""
    other = f"Other {uuid.uuid4().hex[:8]}"
    rights.call("admin", "POST", "/rights/admin/organisations", json={"name": other, "category": "public"})
    stranger = rights.call("admin", "POST", "/rights/admin/people", json={"name": "S", "organisation": other}).json()
    boss, made = house["boss"], {}
    for who, person in (("stranger", stranger["id"]), ("near", house["colleague"]["person"])):
        key = {"person": person, "name": "by the boss", "scopes": []}
        made[who] = rights.call(boss["account"], "POST", "/rights/admin/keys", json=key).json()
    service = {"service": "tiles", "name": "by the boss", "scopes": ["service:read"]}
    made["service"] = rights.call(boss["account"], "POST", "/rights/admin/keys", json=service).json()
    assert rights.call("admin", "DELETE", f"/rights/admin/keys/{boss['key']}").status_code == 204
    path = f"/rights/admin/keys/{boss['key']}?descendants=true"
    assert rights.call(house["manager"]["account"], "DELETE", path).status_code == 204
    told = {who: rights.exchange(api_key=key["key"]).status_code for who, key in made.items()}
    assert told == {"stranger": 200, "near": 401, "service": 200}
    assert rights.call("admin", "DELETE", path).status_code == 204
    assert {rights.exchange(api_key=key["key"]).status_code for key in made.values()} == {401}
