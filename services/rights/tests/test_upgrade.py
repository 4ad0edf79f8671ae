"""A database from before people, derivation, quotas, signing and audit, brought up to date with its rows."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from bocage_kit.database import migrate, sqlalchemy_url

if TYPE_CHECKING:
    from conftest import TestDatabase

JOB, OPEN, RESULT = str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4())
WORLD = [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]


def _collection(name: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "Collection", "stac_version": "1.1.0", "id": name, "description": name, "license": "other", "links": [],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}, **more,
    }  # fmt: skip


def _item(collection: str, name: str, links: list[dict[str, str]], **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.1.0", "id": name, "collection": collection, "links": links,
        "bbox": [-180, -90, 180, 90], "geometry": {"type": "Polygon", "coordinates": WORLD},
        "properties": {"datetime": "2024-05-01T10:00:00Z", **properties}, "assets": {},
    }  # fmt: skip


def _at(database: TestDatabase, revision: str) -> None:
    """Rights' schema as it was at a revision."""
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute("drop schema rights cascade")
        connection.execute("create schema rights authorization bocage_rights")
    config = Config()
    config.set_main_option("script_location", "bocage_rights:migrations")
    config.attributes |= {"url": sqlalchemy_url(database.url("rights")), "schema": "rights"}
    command.upgrade(config, revision)


@pytest.fixture
def old(database: TestDatabase) -> TestDatabase:
    """With rows of that time."""
    _at(database, "0002")
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("set search_path to rights, pgstac, public")
        connection.execute(
            "insert into organisation (name, slug, category) values ('Institute', 'institute', 'public')"
        )
        connection.execute(
            "insert into person (organisation, name, email) select id, 'Ada', 'a@b.org' from organisation"
        )
        connection.execute(
            "insert into api_key (id, hmac, name, person) select 'bk00000000', sha256('x'), 'key', id from person"
        )
        connection.execute(
            """insert into acceptance (licence, version, on_behalf, organisation, recorded_by, purpose, text_sha256)
               select licence, version, 'organisation', (select id from organisation), 'paper', 'research', sha256_fr
                 from licence_version where licence = 'LicenseRef-Bocage-Demonstration'"""
        )
        connection.execute("select credit_grant(id, 10, 'start', 'first') from organisation")
        for job in (JOB, OPEN):
            connection.execute("select credit_reserve(id, %s, 3, 'Ada') from organisation", [job])
        connection.execute("select credit_settle(%s, 2)", [JOB])
        for made in (_collection("scenes"), _collection("dsm", **{"bocage:write_scope": "service"})):
            connection.execute("select create_collection(%s::jsonb)", [json.dumps(made)])
        link = {"rel": "derived_from", "href": "/stac/collections/scenes/items/a", "title": "scenes/a"}
        licences = {"bocage:licences": ["LicenseRef-Bocage-Demonstration"]}
        for item in (_item("scenes", "a", []), _item("dsm", RESULT, [link], **licences)):
            connection.execute("select create_item(%s::jsonb)", [json.dumps(item)])
    return database


def test_everything_goes_on(old: TestDatabase) -> None:
    for _ in range(2):  # the second time nothing is left to do
        migrate(old.url("rights"), "bocage_rights", "rights")
    with psycopg.connect(old.url("rights")) as connection:

        def one(query: str, *values: Any) -> Any:
            row = connection.execute(query, values).fetchone()
            return None if row is None else row[0] if len(row) == 1 else row

        owner = one("select id from organisation")
        assert one("select balance(%s)::text", owner) == "(5.0000,3.0000,2.0000)"
        assert one("select verification from organisation") == "verified"
        assert one("select array_agg(state || ' ' || credits::text order by state) from counted_job") == [
            "open 3.0000", "settled 2.0000",
        ]  # fmt: skip
        # What was reserved under the old functions ends under the new ones, as its repetition does.
        assert one("select job_settle(%s, 3, 1)", OPEN) == "settled"
        assert one("select job_settle(%s, 2, 1)", JOB) == "replay"
        assert one("select credit_refund(%s, 2, 'fault', 'r')", JOB) == "refunded"
        assert one("select credit_grant(%s, 10, 'start', 'first')", owner) == "replay"
        assert one("select share_alike from licence_version where licence = 'CC-BY-SA-4.0'") is True
        # Results of before are found by a recall of what they were made of.
        connection.execute(
            "insert into recall (collection, item, reason, recalled_by) values ('scenes', 'a', 'r', 'x')"
        )
        assert one("select collection || '/' || item from blocked_item where collection = 'dsm'") == f"dsm/{RESULT}"
        connection.execute("delete from person")
        assert one("select count(*) from api_key") == 1
        assert one("select count(*) > 0 from audit where action = 'person.deleted'") is True
    with psycopg.connect(old.url("processing")) as connection:
        for call in ("rights.price('dsm', '{\"megapixels\": 1}', 'public', '{}', now())", "rights.take('[]')"):
            connection.execute(f"select {call}")


def test_an_outline_without_an_area_stops_no_register(database: TestDatabase) -> None:
    """The whole world is an outline that the sphere knows no area of."""
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("set search_path to rights, pgstac, public")
        connection.execute("select create_collection(%s::jsonb)", [json.dumps(_collection("scenes"))])
        connection.execute("select create_item(%s::jsonb)", [json.dumps(_item("scenes", "a", []))])
        same = {"kind": "download", "person": "p", "purpose": "research", "licence": "etalab-2.0", "asset": "b"}
        rows = [{**same, "collection": "scenes", "item": item} for item in ("a", "gone")]
        connection.execute("select take(%s::jsonb)", [json.dumps(rows)])
        assert connection.execute("select item, km2 from taking order by item").fetchall() == [
            ("a", None),
            ("gone", None),
        ]
