"""What is written as GeoParquet is read back as it was, whatever kinds of values meet in one column."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bocage_catalogue.geoparquet as geoparquet
import orjson
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import shapely
import stac_geoparquet.arrow
from bocage_catalogue.arrow_shape import MOST_MEMBERS
from bocage_catalogue.geoparquet import MAGIC, Columns, Writer
from bocage_client.geoparquet import documents
from bocage_kit.problems import Problem
from hypothesis import given, settings
from hypothesis import strategies as st

POINT = {"type": "Point", "coordinates": [2.0, 43.0]}


def item(name: str, geometry: Any = None, /, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.1.0", "stac_extensions": [], "id": name, "collection": "scenes",
        "geometry": geometry or POINT, "bbox": [2.0, 43.0, 2.0, 43.0], "links": [], "assets": {},
        "properties": {"datetime": "2024-05-01T10:30:00Z", **properties},
    }  # fmt: skip


def written(items: list[dict[str, Any]], batch: int = 2, sent: int = 0) -> bytes:
    def batches() -> Iterator[tuple[list[bytes], list[bytes]]]:
        for first in range(0, len(items), batch):
            some = items[first : first + batch]
            shapes = [bytes(shapely.to_wkb(shapely.geometry.shape(x["geometry"]), flavor="iso")) for x in some]
            yield [orjson.dumps(x) for x in some], shapes

    columns = Columns()
    for some in batches():
        columns.learn(*some)
    writer = Writer(columns, {"scenes": {"id": "scenes", "type": "Collection"}}, sent)
    before = (MAGIC + bytes(sent))[:sent]
    return before + b"".join(writer.add(*some) for some in batches()) + writer.finish()


def read_back(content: bytes, folder: Path) -> list[dict[str, Any]]:
    path = folder / "x.parquet"
    path.write_bytes(content)
    collection, *items = documents(path)
    assert collection["id"] == "scenes"
    return orjson.loads(orjson.dumps(items))  # type: ignore[no-any-return]


def bare(value: Any) -> Any:
    """Without members that are null, which a column does not tell from absent ones."""
    if isinstance(value, dict):
        return {name: bare(inner) for name, inner in value.items() if inner is not None}
    return [bare(inner) for inner in value] if isinstance(value, list) else value


def test_kinds_that_meet(tmp_path: Path) -> None:
    items = [
        item("a", mixed=1, whole=1, lists=[1, "two", None, {"three": 3}], deep={"x": {"y": [1.5]}}, large=2**60),
        item("b", mixed="one", whole=2.5, lists=[], deep={"x": {"z": "text"}}, large=0.5, empty={}, truth=True),
        item("c", mixed={"a": [1]}, lists=[[1], ["a"]], deep={}, huge=2**63, empty={}, nothing=None, truth=False),
        item("d", id="own", links="own too", bbox=[1]),
        item("e", created="2024-01-01T00:00:00.25Z", updated="yesterday", expires="2024-01-01T02:00:00+02:00"),
    ]
    found = read_back(written(items), tmp_path)
    items[4]["properties"]["expires"] = "2024-01-01T00:00:00Z"  # the same instant
    items[4]["properties"]["created"] = "2024-01-01T00:00:00.250000Z"
    assert [bare(x) for x in found] == [bare(x) for x in items]


def test_geometries_boxes_and_what_they_are_called(tmp_path: Path) -> None:
    ring = [[179.0, -10.0], [180.0, -10.0], [180.0, 10.0], [179.0, 10.0], [179.0, -10.0]]
    items = [
        item("polygon", {"type": "Polygon", "coordinates": [ring]}) | {"bbox": [179.0, -10.0, -179.0, 10.0]},
        item("high", {"type": "Point", "coordinates": [1.0, 2.0, 300.5]}) | {"bbox": [1.0, 2.0, 300.5] * 2},
        item("many", {"type": "MultiLineString", "coordinates": [[[0.0, 1.0], [1.0, 1.0]]]}),
        item("all", {"type": "GeometryCollection", "geometries": [POINT]}),
    ]  # fmt: skip
    del items[3]["bbox"]
    content = written(items)
    assert read_back(content, tmp_path) == items
    about = orjson.loads(parquet.read_metadata(io.BytesIO(content)).metadata[b"geo"])
    geometry = about["columns"]["geometry"]
    assert about["version"] == "1.1.0" and about["primary_column"] == "geometry"
    assert geometry["geometry_types"] == ["GeometryCollection", "MultiLineString", "Point Z", "Polygon"]
    assert geometry["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]


def test_projected_geometries_are_binary(tmp_path: Path) -> None:
    square = {"type": "Polygon", "coordinates": [[[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 0.0]]]}
    items = [
        item("a", **{"proj:geometry": square}) | {"assets": {"x": {"href": "https://a.org", "proj:geometry": square}}},
        item("b"),
    ]
    content = written(items)
    schema = parquet.read_schema(io.BytesIO(content))
    assert schema.field("proj:geometry").type == pa.binary()
    assert read_back(content, tmp_path) == items
    items[1]["properties"]["proj:geometry"] = {"type": "Blob"}
    assert read_back(written(items), tmp_path) == items, "what is no geometry is kept as it is"


def test_other_readers_understand_it() -> None:
    """stac-geoparquet gives the items back, and finds the types that the specification asks for."""
    assets = {"image": {"href": "https://a.org/x.tif", "roles": ["data"], "raster:bands": [{"nodata": 0}]}}
    moment = "2024-05-01T10:30:00.000000Z"  # as that library writes it
    items = [item(f"i{n}", datetime=moment, gsd=n + 0.5, keywords=["a"]) | {"assets": assets} for n in range(5)]
    table = parquet.read_table(io.BytesIO(written(items)))
    assert table.schema.field("datetime").type == pa.timestamp("us", tz="UTC")
    assert table.schema.field("bbox").type == pa.struct([(x, pa.float64()) for x in ("xmin", "ymin", "xmax", "ymax")])
    assert table.schema.field("stac_extensions").type.value_type == pa.string()
    found = list(stac_geoparquet.arrow.stac_table_to_items(table))
    assert orjson.loads(orjson.dumps(found, default=list)) == items


def test_nothing_found_is_a_file_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    path.write_bytes(written([]))
    assert [x["id"] for x in documents(path)] == ["scenes"]
    table = parquet.read_table(path)
    assert table.num_rows == 0
    assert {"id", "geometry", "bbox", "datetime", "links", "stac_extensions", "collection"} <= set(table.column_names)


@pytest.mark.parametrize("sent", [4, 5, 40])
def test_what_fills_the_time_of_learning_is_passed_over(sent: int, tmp_path: Path) -> None:
    items = [item(f"i{n}") for n in range(3)]
    content = written(items, sent=sent)
    assert content[:sent] == MAGIC + bytes(sent - 4)
    assert read_back(content, tmp_path) == items


def test_a_file_has_an_end_of_columns(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="different properties"):
        written([item(f"i{n}", **{f"p{n}-{m}": m for m in range(100)}) for n in range(12)])
    # names that never repeat, of assets for instance, are kept as one text
    items = [item(f"i{n}") | {"assets": {f"a{n}": {"href": "https://a.org"}}} for n in range(MOST_MEMBERS + 5)]
    content = written(items, batch=100)
    assert parquet.read_schema(io.BytesIO(content)).field("assets").type != pa.struct([])
    assert read_back(content, tmp_path) == items
    with pytest.raises(Problem, match="NDJSON"):
        Columns().learn([b'{"properties": {"x": 1' + b"0" * 400 + b"}}"], [b""])


def test_groups_of_rows_are_written_as_they_fill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(geoparquet, "_ROWS", 3)
    items = [item(f"i{n}", n=n) for n in range(10)]
    content = written(items, batch=2)
    assert parquet.read_metadata(io.BytesIO(content)).num_row_groups == 3
    assert read_back(content, tmp_path) == items


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5) | st.floats(
    allow_nan=False, allow_infinity=False
)  # fmt: skip
NAMES = st.text(alphabet="ab.:é ", max_size=3)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(NAMES | st.sampled_from(["id", "bbox", "updated"]), VALUES, max_size=4), max_size=5))
def test_any_properties_are_read_back(tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]]) -> None:
    items = [item(f"i{n}") | {"properties": {"datetime": None, **own}} for n, own in enumerate(found)]
    back = read_back(written(items), tmp_path_factory.mktemp("any"))
    assert [bare(x) for x in back] == [bare(x) for x in items]
