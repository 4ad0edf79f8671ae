"""Collections are kept as they are found, whoever wrote them and however."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
import pytest
from bocage_kit.database import migrate
from catalogue_loading import collection, item, load
from psycopg.types.json import Jsonb
from pypgstac.load import Loader, Methods

ASTRAY = """
select c.id from pgstac.collections c cross join lateral catalogue.entered(c) e
left join catalogue.finished_collection f on f.id = c.id
where c.content ->> 'type' = 'Collection' and to_jsonb(e) - 'revision' is distinct from to_jsonb(f) - 'revision'
union all
select id from catalogue.finished_collection where id not in (
    select id from pgstac.collections where content ->> 'type' = 'Collection'
)
"""


def kept(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """The collections by id; none may be astray, nor any be left over."""
    assert connection.execute(ASTRAY).fetchall() == []
    return {
        row["id"]: row
        for row in connection.execute("select id, revision, title, audience, body from catalogue.finished_collection")
    }


def test_every_way_of_writing(admin: psycopg.Connection[Any], loader: Loader) -> None:
    loader.load_collections(iter([collection("a"), collection("b", title="B")]), Methods.insert)
    first = kept(admin)
    assert first.keys() == {"a", "b"} and first["a"]["revision"] != first["b"]["revision"]
    assert orjson.loads(first["b"]["body"]) == collection("b", title="B")
    loader.load_collections(iter([collection("a"), collection("b", title="Bee")]), Methods.upsert)
    second = kept(admin)
    assert second["a"] == first["a"], "nothing changed"
    assert second["b"]["title"] == "Bee" and second["b"]["revision"] > first["b"]["revision"]
    # What changes of a collection but its own words is no revision of it.
    load(loader, [item("i", holder="a")], Methods.insert)
    admin.execute("update pgstac.collections set partition_trunc = 'month' where id = 'a'")
    assert kept(admin) == second
    changed = Jsonb({**collection("c", title="was b")})
    admin.execute("update pgstac.collections set content = %s where id = 'b'", [changed])
    assert kept(admin)["c"]["title"] == "was b"
    admin.execute("update pgstac.collections set content = content || '{\"type\": \"Catalog\"}' where id = 'c'")
    assert kept(admin).keys() == {"a"}
    admin.execute("select pgstac.delete_collection('a')")
    assert kept(admin) == {}


def test_what_is_not_as_it_should_be_is_kept_too(admin: psycopg.Connection[Any], loader: Loader) -> None:
    """A collection that nothing checked hinders nobody."""
    odd = collection("odd")
    odd["extent"] = {"spatial": {"bbox": [[170, -10, 5, -170, 10, 9]]}, "temporal": {"interval": [[None, None]]}}
    loader.load_collections(
        iter(
            [
                odd,
                collection(
                    "far", extent={"spatial": {"bbox": [[0, 0, 1, 1e308]]}, "temporal": {"interval": [[None, None]]}}
                ),
                collection("long", description="long " * 100_000, keywords=["x" * 5000], **{"bocage:audience": 7}),
            ]
        ),
        Methods.insert,
    )
    found = kept(admin)
    assert found["long"]["audience"] == "owner"
    wide = admin.execute(
        "select public.st_intersects(geometry, public.st_makeenvelope(-175, 0, -174, 1, 4326)) as west,"
        " public.st_intersects(geometry, public.st_makeenvelope(0, 0, 1, 1, 4326)) as middle"
        " from catalogue.finished_collection where id = 'odd'"
    ).fetchone()
    assert wide == {"west": True, "middle": False}


def test_collections_from_before_are_entered(admin: psycopg.Connection[Any], loader: Loader, database: Any) -> None:
    admin.execute("drop schema catalogue cascade")
    admin.execute("create schema catalogue authorization bocage_catalogue")
    loader.load_collections(iter([collection("scenes"), collection("others")]), Methods.insert)
    migrate(database.url("catalogue"), "bocage_catalogue", "catalogue")
    assert kept(admin).keys() == {"scenes", "others"}


@pytest.mark.parametrize("role", ["tiles", "rights"])
def test_only_the_catalogue_reads_them(database: Any, role: str) -> None:
    with psycopg.connect(database.url(role)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select id from catalogue.finished_collection")
