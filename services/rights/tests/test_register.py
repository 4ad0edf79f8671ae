"""The register: what really left, for whom, under which text; and the digest that proves a delivered one."""

from __future__ import annotations

import asyncio
import base64
import csv
import hashlib
import io
import json
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from bocage_kit.database import engine
from bocage_kit.identity import Identity
from bocage_rights import register
from bocage_rights.register import Takings
from sqlalchemy.exc import SQLAlchemyError

from services.rights.tests.test_assets import CONTENT, DEMONSTRATION, collection, item, store
from services.rights.tests.test_audit import audit, eventually, subject

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights

SQUARE = {"type": "Polygon", "coordinates": [[[3, 43], [3.01, 43], [3.01, 43.01], [3, 43.01], [3, 43]]]}


@pytest.fixture(scope="module")
def scene(rights: Rights) -> str:
    """A restricted item of about 0.9 km², and an open one."""
    for name, licence in (("restricted-scenes", DEMONSTRATION), ("open-scenes", "CC-BY-4.0")):
        collection(rights, name, **{"bocage:licences": [licence], "bocage:audience": "public"})
        href = store(rights, f"collections/{name}/one/image")
        item(rights, name, "one", {"image": {"href": href, "type": "image/tiff"}})
    with psycopg.connect(rights.database.admin_url, autocommit=True) as connection:
        connection.execute(
            "update pgstac.items set geometry = public.st_geomfromgeojson(%s) where id = 'one'",
            [json.dumps(SQUARE)],
        )
    return "restricted-scenes/one/image"


def entries(rights: Rights, who: str = "admin", licence: str = DEMONSTRATION, **params: str) -> list[dict[str, Any]]:
    answer = rights.call(
        who,
        "GET",
        "/rights/admin/registers",
        params={"licence": licence, **params},
        headers={"Accept": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    return list(answer.json()["register"])


def test_what_left_is_in_it(rights: Rights, scene: str) -> None:
    for headers in ({}, {"Range": "bytes=0-99"}, {"Range": "bytes=100-149"}):
        assert rights.call("researcher", "GET", f"/assets/{scene}", headers=headers).status_code in (200, 206)
    tag = rights.call("researcher", "HEAD", f"/assets/{scene}").headers["etag"]
    assert rights.call("researcher", "GET", f"/assets/{scene}", headers={"If-None-Match": tag}).status_code == 304
    assert rights.call("company", "GET", f"/assets/{scene}").status_code == 403
    assert rights.call(None, "GET", f"/assets/{scene}").status_code == 403
    eventually(lambda: entries(rights) and entries(rights)[0]["count"] == 3)
    (row,) = entries(rights)
    assert row["bytes"] == len(CONTENT) + 150
    assert row["km2"] == pytest.approx(0.905, abs=0.01)
    accepted = rights.call("researcher", "GET", f"/rights/licences/{DEMONSTRATION}").json()
    expected = {
        "licence": DEMONSTRATION, "version": "1.0", "text_sha256": accepted["text_sha256"]["en"], "accepted": True,
        "person": subject(rights, "researcher"), "person_name": "Demonstration researcher", "category": "public",
        "organisation_name": "Demonstration institute", "country": "FR", "purpose": "research", "kind": "download",
        "product": "image", "collection": "restricted-scenes", "item": "one", "asset": "image",
    }  # fmt: skip
    assert expected.items() <= row.items()


def test_a_delivered_register_can_be_proved(rights: Rights, scene: str) -> None:
    rights.call("researcher", "GET", f"/assets/{scene}")
    answer = rights.call("admin", "GET", "/rights/admin/registers", params={"licence": DEMONSTRATION})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    digest = hashlib.sha256(answer.content)
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    sheet = list(csv.DictReader(io.StringIO(answer.text)))
    assert tuple(sheet[0]) == register.COLUMNS
    noted = audit(rights, kind="administration")[-1]
    assert (noted["action"], noted["target"]) == ("register.delivered", f"licence:{DEMONSTRATION}")
    assert noted["detail"]["sha256"] == digest.hexdigest()
    assert noted["detail"]["rows"] == len(sheet)
    assert noted["actor"] == subject(rights, "admin")


def test_managers_get_their_own_organisation_only(rights: Rights, scene: str) -> None:
    assert rights.call("company", "GET", "/assets/open-scenes/one/image").status_code == 200
    assert rights.call(None, "GET", "/assets/open-scenes/one/image").status_code == 200
    assert rights.call("researcher", "GET", "/assets/open-scenes/one/image").status_code == 200
    eventually(lambda: len(entries(rights, licence="CC-BY-4.0")) == 3)
    everybody = entries(rights, licence="CC-BY-4.0")
    assert {x["person"] for x in everybody} == {
        "anonymous",
        subject(rights, "company"),
        subject(rights, "researcher"),
    }
    assert {x["accepted"] for x in everybody} == {False}
    assert {x["version"] for x in everybody} == {"4.0"}
    own = entries(rights, "researcher", "CC-BY-4.0")
    assert [x["person"] for x in own] == [subject(rights, "researcher")]
    for who, status in ((None, 401), ("company", 403)):
        answer = rights.call(who, "GET", "/rights/admin/registers", params={"licence": "CC-BY-4.0"})
        assert answer.status_code == status


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"licence": "a' or 1=1"},
        {"licence": "x", "from": "2026-02-01", "to": "2026-01-01"},
        {"licence": "x", "from": "yesterday"},
        {"licence": "x", "to": "9999-12-31"},
    ],
)
def test_impossible_questions(rights: Rights, params: dict[str, str]) -> None:
    assert rights.call("admin", "GET", "/rights/admin/registers", params=params).status_code == 422


def test_periods_have_both_their_days(rights: Rights, scene: str) -> None:
    with psycopg.connect(rights.database.url("processing"), autocommit=True) as connection:
        rows = [
            {
                "kind": "job", "person": "p", "purpose": "research", "collection": "restricted-scenes", "item": "one",
                "licence": "etalab-2.0", "at": f"2026-0{month}-10T23:59:59.9Z",
            }
            for month in (1, 2, 3)
        ]  # fmt: skip
        connection.execute("select rights.take(%s::jsonb)", [json.dumps(rows + rows[:1])])
    found = entries(rights, licence="etalab-2.0", **{"from": "2026-01-10", "to": "2026-02-10"})
    assert [(x["day"], x["count"]) for x in found] == [("2026-01-10", 2), ("2026-02-10", 1)]
    assert [x["km2"] for x in found] == [pytest.approx(0.905, abs=0.01)] * 2
    assert entries(rights, licence="etalab-2.0", **{"from": "2026-01-11", "to": "2026-02-09"}) == []


def test_an_erased_person_is_an_id(rights: Rights, scene: str) -> None:
    ghost = str(uuid.uuid4())
    caller = Identity(subject=ghost, organisation=str(uuid.uuid4()), purpose="research")
    database = engine(rights.settings.database, name="test")

    async def take() -> None:
        takings = Takings(database)
        takings.add(caller, "sign", ("restricted-scenes", "one", "image"), ["CC0-1.0"], 7)
        takings.add(Identity(subject="service:tiles"), "sign", ("restricted-scenes", "one", "image"), ["CC0-1.0"], 9)
        await takings.flush()
        await takings.flush()
        await database.dispose()

    asyncio.run(take())
    (row,) = entries(rights, licence="CC0-1.0")
    assert (row["person"], row["person_name"], row["organisation_name"]) == (ghost, None, None)
    assert (row["count"], row["bytes"]) == (1, 7)


def test_nothing_is_lost_while_the_database_is_away(rights: Rights, scene: str) -> None:
    caller = Identity(subject="somebody", purpose="research")
    name = ("restricted-scenes", "one", "image")
    away = engine(rights.settings.database.replace(str(rights.database.name), "not_there"), name="test")
    here = engine(rights.settings.database, name="test")

    async def take() -> None:
        takings = Takings(away)
        takings.add(caller, "sign", name, ["CC-BY-SA-4.0"], 5)
        with pytest.raises(SQLAlchemyError):
            await takings.flush()
        takings.add(caller, "sign", name, ["CC-BY-SA-4.0"], 5)
        takings.engine = here
        await takings.flush()
        await away.dispose()
        await here.dispose()

    asyncio.run(take())
    (row,) = entries(rights, licence="CC-BY-SA-4.0")
    assert (row["count"], row["bytes"]) == (2, 10)


def test_what_does_not_fit_is_confessed(rights: Rights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "MAX_KINDS", 2)
    database = engine(rights.settings.database, name="test")

    async def take() -> None:
        takings = Takings(database)
        for number in range(5):
            takings.add(Identity(subject=f"p{number}"), "sign", ("a", "b", "c"), ["CC-BY-NC-4.0"], 1)
        await takings.flush()
        await database.dispose()

    asyncio.run(take())
    assert len(entries(rights, licence="CC-BY-NC-4.0")) == 2
    gap = [x for x in audit(rights) if x["action"] == "register.gap"]
    assert [x["detail"] for x in gap] == [{"requests": 3}]


def test_a_formula_stays_a_text(rights: Rights, scene: str) -> None:
    with psycopg.connect(rights.database.url("rights"), autocommit=True) as connection:
        row = {
            "kind": "sign",
            "person": "=1+1",
            "purpose": "research",
            "collection": "c",
            "item": "i",
            "licence": "L-1",
        }
        connection.execute("select take(%s::jsonb)", [json.dumps([row])])
    answer = rights.call("admin", "GET", "/rights/admin/registers", params={"licence": "L-1"})
    assert "'=1+1" in answer.text
