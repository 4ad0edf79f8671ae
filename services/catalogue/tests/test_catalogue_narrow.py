"""Searches that indexes answer alone find what the rows hold: long items, shapes with many corners, shares, counts."""

from __future__ import annotations

import math
import random
import re
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from pypgstac.load import Loader, Methods


def search(client: Any, **asked: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.post("/stac/search", json=asked).raise_for_status().json()
    return found


def ids(client: Any, **asked: Any) -> set[str]:
    return {item["id"] for item in search(client, **asked)["features"]}


def put(client: Any, collection: str, *items: dict[str, Any], upsert: bool = False) -> None:
    method = "?method=upsert" if upsert else ""
    body = {"type": "FeatureCollection", "features": list(items)}
    sent = client.post(f"/stac/collections/{collection}/items{method}", json=body)
    assert sent.status_code in (200, 201), sent.text


def lasting(catalogue: Any, name: str, since: str, until: str) -> dict[str, Any]:
    made: dict[str, Any] = catalogue.item(name, start_datetime=since, end_datetime=until)
    made["properties"]["datetime"] = None
    return made


@pytest.fixture
def scenes(fresh_catalogue: Any) -> Any:
    for name in ("scenes", "syntheses"):
        members = {"bocage:audience": "public"}
        made = fresh_catalogue.researcher.post("/stac/collections", json=fresh_catalogue.collection(name, **members))
        assert made.status_code == 201, made.text
    return fresh_catalogue


def test_what_began_before_a_period_and_lasts_is_found(scenes: Any) -> None:
    public = {"bocage:audience": "public"}
    put(scenes.researcher, "scenes", scenes.item("instant", **public))
    within = "2024-05-20T00:00:00Z/2024-05-21T00:00:00Z"
    assert ids(scenes.researcher, datetime=within) == set()
    month = lasting(scenes, "month", "2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z")
    put(scenes.researcher, "syntheses", month)
    assert ids(scenes.researcher, datetime=within) == {"month"}
    assert ids(scenes.researcher, datetime=within, collections=["syntheses"]) == {"month"}
    assert ids(scenes.researcher, datetime=within, collections=["scenes"]) == set()
    # An item that becomes longer than all before.
    decade = lasting(scenes, "month", "2015-01-01T00:00:00Z", "2025-01-01T00:00:00Z")
    put(scenes.researcher, "syntheses", decade, upsert=True)
    assert ids(scenes.researcher, datetime="2024-12-30T00:00:00Z/..") == {"month"}
    assert ids(scenes.researcher, datetime="2015-01-01T00:00:00Z") == {"month"}
    assert ids(scenes.researcher, datetime="2014-01-01T00:00:00Z/2014-12-31T00:00:00Z") == set()
    assert ids(scenes.researcher, datetime="0001-01-01T00:00:00Z/..") == {"month", "instant"}


def test_what_never_ends_is_found(scenes: Any, admin: psycopg.Connection[Any]) -> None:
    put(scenes.researcher, "syntheses", lasting(scenes, "long", "2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z"))
    admin.execute("update catalogue.finished_item set end_datetime = 'infinity' where id = 'long'")
    assert ids(scenes.researcher, datetime="2400-01-01T00:00:00Z/2400-01-02T00:00:00Z") == {"long"}


def test_a_shape_with_many_corners_is_asked_itself(scenes: Any) -> None:
    """A ring of a hundred corners around a hole: its box holds what it does not."""
    outer = [[2 + math.cos(2 * math.pi * n / 50), 44 + math.sin(2 * math.pi * n / 50)] for n in range(50)]
    inner = [[2 + (x - 2) * 0.8, 44 + (y - 44) * 0.8] for x, y in outer]
    ring = {**scenes.item("ring", **{"bocage:audience": "public"}), "bbox": [1, 43, 3, 45]}
    ring["geometry"] = {"type": "Polygon", "coordinates": [[*outer, outer[0]], [*inner, inner[0]][::-1]]}
    put(scenes.researcher, "scenes", ring)
    middle, edge, corner = [1.9, 43.9, 2.1, 44.1], [2.85, 43.9, 2.95, 44.1], [2.9, 44.9, 2.99, 44.99]
    period = {"datetime": "2024-01-01T00:00:00Z/2025-01-01T00:00:00Z"}
    for more in ({}, period, period | {"collections": ["scenes"]}):
        assert ids(scenes.anonymous, bbox=edge, **more) == {"ring"}
        assert ids(scenes.anonymous, bbox=middle, **more) == set()
        assert ids(scenes.anonymous, bbox=corner, **more) == set()
    filter_ = {"op": "s_within", "args": [{"property": "geometry"}, {"bbox": [0, 40, 4, 48]}]}
    assert ids(scenes.anonymous, filter=filter_) == {"ring"}


def test_what_is_too_long_for_an_index_is_taken_all_the_same(
    scenes: Any, loader: Loader, admin: psycopg.Connection[Any]
) -> None:
    odd = scenes.item("n" * 1200, **{"eo:cloud_cover": 5, "bocage:owner": "o" * 3000})
    loader.load_items(iter([odd | {"collection": "scenes"}]), Methods.insert)
    assert ids(scenes.anonymous, filter={"op": "<", "args": [{"property": "eo:cloud_cover"}, 9]}) == {"n" * 1200}
    admin.execute(
        "update pgstac.items set content = jsonb_set(content, '{properties,eo:cloud_cover}', %s::jsonb)", ["9" * 4000]
    )
    assert ids(scenes.anonymous, bbox=[2.5, 43.2, 2.6, 43.3], collections=["scenes"]) == {"n" * 1200}
    assert ids(scenes.anonymous, bbox=[3.5, 43.2, 3.6, 43.3], collections=["scenes"]) == set()


def test_who_an_item_is_lent_to_finds_it(scenes: Any) -> None:
    put(scenes.researcher, "scenes", scenes.item("lent", **{"bocage:audience": "owner"}))
    assert ids(scenes.stranger) == set()
    shared = {"properties": {"bocage:shared_with": ["person:stranger"]}}
    changed = scenes.researcher.patch("/stac/collections/scenes/items/lent", json=shared)
    assert changed.status_code == 200, changed.text
    for asked in ({}, {"bbox": [2, 43, 3, 44]}, {"datetime": "2024-05-01T00:00:00Z/2024-05-02T00:00:00Z"}):
        assert ids(scenes.stranger, **asked) == {"lent"}
        assert ids(scenes.anonymous, **asked) == set()


def test_many_are_estimated_from_what_the_caller_sees(scenes: Any) -> None:
    audiences = ("public", "public", "owner")
    for start in range(0, 3000, 1000):
        items = [scenes.item(f"s{n}", **{"bocage:audience": audiences[n % 3]}) for n in range(start, start + 1000)]
        put(scenes.researcher, "scenes", *items)
    # By two collections: among the few items of one, all are counted.
    everywhere = {"bbox": [2, 43, 3, 44], "limit": 10, "collections": ["scenes", "others"]}
    for client, number in ((scenes.anonymous, 2000), (scenes.researcher, 3000)):
        found = search(client, **everywhere)
        assert found["bocage:numberMatched"] == "estimate"
        assert 0.6 * number < found["numberMatched"] < 1.5 * number
        assert "bocage:numberMatched" not in search(client, limit=10)
        assert search(client, limit=10)["numberMatched"] == number
    few = search(scenes.anonymous, **everywhere, ids=[f"s{n}" for n in range(300)])
    assert (few["numberMatched"], "bocage:numberMatched" in few) == (200, False)


def test_a_row_holds_of_an_item_its_properties_alone(scenes: Any, admin: psycopg.Connection[Any]) -> None:
    put(scenes.researcher, "scenes", *(scenes.item(f"n{n}", gsd=n) for n in range(1, 13)), scenes.item("alone"))
    rows = admin.execute(
        "select f.content as kept, i.content -> 'properties' as properties from catalogue.finished_item f"
        " join pgstac.items i using (collection, id) where collection = 'scenes'"
    ).fetchall()
    assert len(rows) == 13
    for row in rows:
        assert row["kept"] == {"properties": row["properties"]} and "bocage:owner" in row["properties"]


def _instant(text: str) -> datetime | None:
    """The instant of RFC 3339 that a text is, or the first of a day, to the microsecond."""
    found = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,18}))?([Zz]|[+-]\d\d:\d\d))?", text, re.A
    )
    if found is None:
        return None
    day, time, fraction, offset = found.groups()
    zone = offset if offset and offset not in "Zz" else "+00:00"
    micros = (fraction or "")[:6].ljust(6, "0")
    try:
        return datetime.fromisoformat(f"{day}T{time or '00:00:00'}.{micros}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def test_texts_are_the_instants_that_they_say(scenes: Any, admin: psycopg.Connection[Any]) -> None:
    dice = random.Random(5)
    texts = ["", "Z", "2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "2024-02-28T23:59:59Z", "2024-02-28T24:00:00Z"]
    texts += ["2024-02-28T23:59:60Z", "0000-01-01T00:00:00Z", "20240-2-28T00:00:00Z", "2024-02-28T00:00:00Z "]
    texts += [
        "２０２４-02-28T00:00:00Z",
        "2024-02-28T00:00:00+00:00",
        "2024-02-28",
        "2024-02-30",
        "9999-12-31T23:59:59Z",
    ]
    texts += [
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
        "2024-02-28T00:00:00.1234567Z",
        "infinity",
        "now",
    ]
    for _ in range(3000):
        day = f"{dice.choice([0, 1, 1900, 2000, 2023, 2024, 9999]):04}-{dice.randrange(14):02}-{dice.randrange(33):02}"
        time = f"{dice.randrange(26):02}:{dice.choice([0, 30, 59, 60]):02}:{dice.choice([0, 59, 60]):02}"
        fraction = dice.choice(["", "", ".5", ".123456", ".1234567", ".000000999999"])
        offset = dice.choice(["Z", "Z", "Z", "z", "+00:00", "-12:30", "+23:59", "+24:00", ""])
        texts.append(f"{day}{dice.choice('TTTt ')}{time}{fraction}{offset}")
    told = admin.execute(
        "select catalogue.moment_of(t) as found from unnest(%s::text[]) with ordinality x (t, n) order by n", [texts]
    ).fetchall()
    found = [row["found"] for row in told]
    wrong = [(text, one) for text, one in zip(texts, found, strict=True) if one != _instant(text)]
    assert not wrong and sum(one is not None for one in found) > 300


def test_an_item_with_an_offset_of_nearly_a_day_is_loaded_and_sorted(scenes: Any, loader: Loader) -> None:
    public = {"bocage:audience": "public", "bocage:owner": "ann"}
    for name, updated in (
        ("a", "2024-05-02T00:00:00+23:59"),
        ("b", "2024-05-01T00:02:00Z"),
        ("c", "2024-05-01T00:00:00Z"),
    ):
        made = scenes.item(name, updated=updated, **public) | {"collection": "scenes", "links": []}
        loader.load_items(iter([made]), Methods.insert)
    found = search(scenes.researcher, sortby=[{"field": "updated", "direction": "asc"}])["features"]
    assert [item["id"] for item in found] == ["c", "a", "b"]
