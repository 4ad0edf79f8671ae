"""Whatever is sent is accepted or refused with a reason; what is accepted is stored as PostGIS and pgSTAC read it."""

# ruff: noqa: E501 - tables are read by line
from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
import shapely
import stac_examples
from bocage_catalogue import bodies, documents, storing, wkb
from bocage_catalogue.acceptance import Acceptance
from bocage_catalogue.bodies import Body
from bocage_catalogue.writing import patched
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem
from bocage_kit.store import LocalStore
from hypothesis import given, settings
from hypothesis import strategies as st
from pypgstac.hydration import hydrate_py

WRITER = Identity(subject="a", organisation="o", scopes=frozenset({"catalogue:write"}), public_base="http://h")
COMMON = {"image": {"type": "image/tiff", "roles": ["data"], "bands": [{"name": "red"}]}}
HOLDER = storing.Holder(
    "c", 'pgstac."_items_1"', False, {"type": "Feature", "collection": "c", "assets": COMMON}, 3, True
)
COLLECTION = {"id": "c", "bocage:audience": "public"}
TEXTS = st.text("aZ9:/-+ é\u0000\\\"'", max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
NAMES = st.sampled_from(
    ["bocage:audience", "bocage:licences", "bocage:shared_with", "auth:schemes", "auth:refs", "storage:schemes", "proj:code",
     "storage:refs", "proj:epsg", "bocage:translations", "language", "alternate", "href", "links", "stac_extensions",
     "properties", "assets", "geometry", "bbox", "datetime", "start_datetime", "end_datetime", "keywords", "title",
     "pgstac:base_item", "bocage:terms_accepted", "license", "item_assets", "extent", "bocage:store"]
)  # fmt: skip


def external() -> dict[str, Any]:
    made = stac_examples.item()
    made["assets"]["image"]["bocage:external"] = True
    return made


def test_the_examples_are_accepted() -> None:
    acceptance = Acceptance(WRITER, LocalStore(Path("/nonexistent")))
    made = acceptance.item(COLLECTION, Body(external()))
    assert made["properties"]["bocage:owner"] == "a" and made["properties"]["bocage:audience"] == "public"
    assert storing.as_stored(HOLDER, made).id == "one"
    assert acceptance.collection(Body(stac_examples.collection()))["bocage:organisation"] == "o"


def holders(node: Any) -> list[Any]:
    found = [node] if isinstance(node, dict | list) and node else []
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        found += holders(inner)
    return found


def changed(data: st.DataObject, document: dict[str, Any]) -> Any:
    """The document with up to three of its parts replaced by anything."""
    made = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        node = data.draw(st.sampled_from(holders(made)))
        if isinstance(node, list):
            node[data.draw(st.integers(0, len(node) - 1))] = data.draw(ANYTHING)
        else:
            node[data.draw(NAMES | st.sampled_from(sorted(node)))] = data.draw(ANYTHING)
    return made


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_items_are_accepted_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    acceptance = Acceptance(WRITER, LocalStore(Path("/nonexistent")))
    sent = changed(data, external())
    before = copy.deepcopy(sent)
    try:
        made = acceptance.item(COLLECTION, Body(sent))
        row = storing.as_stored(HOLDER, made)
    except Problem as problem:
        assert problem.status in (400, 403), problem
        return
    finally:
        # What is accepted shares with it what did not change, and it is read again when a transaction is lost.
        assert sent == before
    assert orjson.loads(row.content)["pgstac:base_item"] == 3


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_collections_are_accepted_or_refused(data: st.DataObject) -> None:
    acceptance = Acceptance(WRITER, LocalStore(Path("/nonexistent")))
    try:
        acceptance.collection(Body(changed(data, stac_examples.collection())))
    except Problem as problem:
        assert problem.status in (400, 403), problem


@settings(max_examples=300, deadline=None)
@given(ANYTHING)
def test_patches_apply_or_are_refused(patch: Any) -> None:
    for sent in (
        patch,
        [patch],
        [{"op": "add", "path": "/properties/x/0", "value": patch}, {"op": "copy", "path": patch}],
    ):
        try:
            assert isinstance(patched(stac_examples.item(), sent), dict)
        except Problem as problem:
            assert problem.status in (400, 409)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_storing_takes_out_what_is_common_and_leaves_the_item_as_it_is(data: st.DataObject) -> None:
    item = stac_examples.item() | {"collection": "c"}
    image = item["assets"]["image"]
    others = st.sampled_from(["x", 5, ["data"], {"a": 1}, [{"name": "b"}], {"s3": {"title": "t"}}])
    common = {name: data.draw(st.just(copy.deepcopy(value)) | others) for name, value in image.items()}
    kept = data.draw(st.sets(st.sampled_from(sorted(common))))
    more = data.draw(st.dictionaries(st.sampled_from(["gsd", "unit", "title"]), others))
    base = {"type": "Feature", "collection": "c", "assets": {"image": {n: common[n] for n in kept} | more}}
    holder = storing.Holder("c", "x", False, base, None, True)
    before = copy.deepcopy(item)
    first = storing.as_stored(holder, item)
    assert item == before
    assert storing.as_stored(holder, item) == first
    whole = hydrate_py(base, orjson.loads(first.content))
    whole = {name: value for name, value in whole.items() if name not in ("id", "collection", "geometry")}
    assert documents.without_nulls(whole) == {
        n: v for n, v in before.items() if n not in ("id", "collection", "geometry")
    }


@given(ANYTHING)
def test_nulls_are_left_out_of_objects(value: Any) -> None:
    before = copy.deepcopy(value)
    made = documents.without_nulls(value)
    assert value == before
    assert all(inner is not None for node in holders(made) if isinstance(node, dict) for inner in node.values())
    assert documents.without_nulls(made) is made


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"a": NaN}', b'{"a": Infinity}', b'"\xed\xa0\x80"', b"[" * 65 + b"]" * 65, b'{"a":' * 70 + b"1" + b"}" * 70,
     b"[" * 100_000 + b"]" * 100_000],
)  # fmt: skip
def test_bodies_that_are_no_json_or_too_deep(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        bodies.decoded(body)
    assert refused.value.status == 400


@given(st.integers(1, 90), TEXTS)
def test_depth_is_counted_whatever_texts_hold(depth: int, text: str) -> None:
    inner: Any = {text + "[[{": text + "]]"}
    for _ in range(depth - 1):
        inner = [inner]
    body = orjson.dumps(inner)
    if depth > documents.DEEPEST:
        with pytest.raises(Problem):
            bodies.decoded(body)
    else:
        assert bodies.decoded(body) == inner


NUMBERS = st.floats(-90, 90)
POSITIONS = st.tuples(NUMBERS, NUMBERS).map(list)
HIGH = st.tuples(NUMBERS, NUMBERS, NUMBERS).map(list)


def geometries(positions: st.SearchStrategy[list[float]]) -> st.SearchStrategy[dict[str, Any]]:
    lines = st.lists(positions, min_size=2, max_size=5)
    polygons = st.lists(
        st.lists(positions, min_size=3, max_size=5).map(lambda ring: [*ring, ring[0]]), min_size=1, max_size=2
    )
    kinds = {
        "Point": positions, "LineString": lines, "Polygon": polygons, "MultiPoint": st.lists(positions, min_size=1, max_size=3),
        "MultiLineString": st.lists(lines, min_size=1, max_size=2), "MultiPolygon": st.lists(polygons, min_size=1, max_size=2),
    }  # fmt: skip
    simple = st.one_of(
        [st.fixed_dictionaries({"type": st.just(kind), "coordinates": inner}) for kind, inner in kinds.items()]
    )
    together = st.fixed_dictionaries(
        {"type": st.just("GeometryCollection"), "geometries": st.lists(simple, min_size=1, max_size=3)}
    )
    return simple | together


@given(geometries(POSITIONS) | geometries(HIGH))
def test_geometries_are_read_back(geometry: dict[str, Any]) -> None:
    read = shapely.from_wkb(wkb.ewkb(geometry))
    assert shapely.get_srid(read) == 4326
    expected = shapely.geometry.shape(geometry)
    assert read.has_z == expected.has_z
    assert shapely.to_wkb(read, output_dimension=3) == shapely.to_wkb(expected, output_dimension=3)


def test_rings_that_are_open_are_refused() -> None:
    with pytest.raises(wkb.NotClosed):
        wkb.ewkb({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]})


def test_postgis_reads_them_as_its_own(admin: psycopg.Connection[Any]) -> None:
    for geometry in (
        {"type": "Point", "coordinates": [2.123456789012345, 43, 7]},
        {"type": "GeometryCollection", "geometries": [{"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]}]},
        {"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 0]]]]},
    ):
        same = admin.execute(
            "select st_geomfromgeojson(%s) = %s::geometry as same",
            [orjson.dumps(geometry).decode(), wkb.ewkb(geometry)],
        ).fetchone()
        assert same == {"same": True}


def test_media_types_and_sizes(catalogue: Any) -> None:
    client = catalogue.researcher
    assert client.post("/stac/collections", json=catalogue.collection("types")).status_code == 201
    items, item = "/stac/collections/types/items", orjson.dumps(catalogue.item("a"))
    patch, edit = b'{"title": "x"}', b'[{"op": "add", "path": "/properties/y", "value": 1}]'
    for path, verb, kinds, body, status in (
        (items, "POST", ("text/plain", "application/xml", "application/merge-patch+json"), item, 415),
        (items, "POST", ("application/geo+json; charset=utf-8",), item, 201),
        (f"{items}/a", "PUT", ("text/csv", "application/json-patch+json"), item, 415),
        (f"{items}/a", "PUT", ("application/json", "application/geo+json"), item, 200),
        (f"{items}/a", "PATCH", ("application/geo+json", "text/html"), patch, 415),
        (f"{items}/a", "PATCH", ("application/merge-patch+json", "application/json"), b'{"properties": {"x": 1}}', 200),
        (f"{items}/a", "PATCH", ("application/json-patch+json", "application/json"), edit, 200),
        (f"{items}/a", "PATCH", ("application/json-patch+json",), patch, 400),
        (f"{items}/a", "PATCH", ("application/merge-patch+json",), edit, 400),
        ("/stac/collections/types", "PATCH", ("application/merge-patch+json",), patch, 200),
        ("/stac/collections", "POST", ("text/plain",), b"{}", 415),
    ):
        for kind in kinds:
            answer = client.request(verb, path, content=body, headers={"content-type": kind})
            assert answer.status_code == status, (verb, path, kind, answer.text)
    properties = client.get(f"{items}/a").json()["properties"]
    assert (properties["x"], properties["y"]) == (1, 1)
