"""Small collections and items, loaded as an operator loads them: past the API."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
from bocage_catalogue import present
from bocage_kit.identity import Identity
from pypgstac.load import Loader, Methods

BASE = "https://hub.example.org/bocage"
ADMINISTRATOR = Identity(subject="admin", scopes=frozenset({"admin"}), public_base=BASE)


def collection(name: str, **members: Any) -> dict[str, Any]:
    return {
        "type": "Collection", "stac_version": "1.1.0", "id": name, "description": "For a test.", "links": [],
        "license": "other", "bocage:licences": ["LicenseRef-Test"],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        **members,
    }  # fmt: skip


def item(name: str, moment: str = "2024-05-01T10:30:00Z", holder: str = "scenes", **members: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.1.0", "stac_extensions": [present.PROJECTION], "id": name,
        "collection": holder, "geometry": {"type": "Point", "coordinates": [2.123456789012345, 43]},
        "bbox": [2, 43, 2, 43], "links": [], "assets": {},
        **members,
        "properties": {"datetime": moment, **members.get("properties", {})},
    }  # fmt: skip


def load(loader: Loader, items: list[dict[str, Any]], mode: Methods) -> None:
    loader.load_items(iter(orjson.loads(orjson.dumps(items))), mode)


PUT = """
select catalogue.put(format('pgstac.%I', '_items_' || c.key)::regclass, c.id, array_agg(p.id order by p.id),
    array_agg(p.datetime::text order by p.id), array_agg(p.end_datetime::text order by p.id),
    array_agg(st_asewkb(p.geometry) order by p.id), array_agg(convert_to(p.content::text, 'UTF8') order by p.id))
from {} p join pgstac.collections c on c.id = p.collection group by c.key, c.id
"""


def put_rows(connection: psycopg.Connection[Any], table: str) -> None:
    """What a table has of pgSTAC's items, by one statement for each collection, as the service writes many."""
    connection.execute(PUT.format(table).encode())


def put(connection: psycopg.Connection[Any], holder: str, items: list[dict[str, Any]], *, over: bool = False) -> None:
    """Items of a collection, in a transaction of their own; `over` those that are there."""
    rows = "create temp table put on commit drop as select (pgstac.content_dehydrate(i)).* from unnest(%s::jsonb[]) i"
    names = [one["id"] for one in items]
    with connection.transaction():
        connection.execute(rows, [[orjson.dumps(one | {"collection": holder}).decode() for one in items]])
        connection.execute(
            "select catalogue.make_room(%s, array_agg(datetime), array_agg(end_datetime)) from put", [holder]
        )
        if over:
            connection.execute("delete from pgstac.items where collection = %s and id = any(%s)", [holder, names])
        put_rows(connection, "put")
