"""Items as GeoParquet, by the specification stac-geoparquet: read through once to learn the columns, then written.

Only what is in hand is held: a batch of items, and the columns of one group of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from struct import unpack_from
from typing import Any

import orjson
from bocage_kit.problems import Problem

from bocage_catalogue.arrow_shape import MOST_MEMBERS, Budget, Shape, arrow_field, repairs
from bocage_catalogue.present import Document

MAGIC = b"PAR1"
_MOMENTS = frozenset(
    ("datetime", "start_datetime", "end_datetime", "created", "updated", "expires", "published", "unpublished")
)
_PROJECTED = "proj:geometry"
_CORNERS = {
    4: ("xmin", "ymin", "xmax", "ymax"),
    6: ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax"),
}
_GEOMETRIES = (
    *("", "Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection"),
)
# What stands at the top of every file, whether its items have it or not.
_ALWAYS: tuple[tuple[str, Any], ...] = (
    ("id", ""),
    ("stac_extensions", [""]),
    ("links", [{"href": "", "rel": "", "type": "", "title": ""}]),
    ("collection", ""),
)
_ROWS, _BYTES = 5000, 16 << 20


class Columns:
    """The columns of a file, learnt from the items that it will hold."""

    def __init__(self) -> None:
        self._budget = Budget()
        self.top: dict[str, Shape] = {}
        self.properties: dict[str, Shape] = {}
        self.collections: set[str] = set()
        self.geometry_types: set[str] = set()
        self.extent: list[float] | None = None
        self.corners: set[int] = set()
        """How many numbers the bounding boxes have; 0 stands for something else."""
        self._no_moments: set[str] = set()
        for name, example in _ALWAYS:
            self._see(self.top, name, example)

    def learn(self, texts: Iterable[bytes], geometries: Iterable[bytes]) -> None:
        """Raises Problem 400 for more names of properties than a file can have columns."""
        for text, geometry in zip(texts, geometries, strict=True):
            self._learn(_decoded(text))
            self.geometry_types.add(geometry_type(geometry))

    def _learn(self, item: Document) -> None:
        properties = item.pop("properties", None) or {}
        item.pop("geometry", None)
        self._learn_bbox(item.pop("bbox", None))
        self.collections.add(str(item.get("collection")))
        for name in _MOMENTS & properties.keys():
            if properties[name] is not None and moment(properties[name]) is None:
                self._no_moments.add(name)
        for holder in (properties, *_objects(item.get("assets"))):
            if holder.get(_PROJECTED) is not None:
                holder[_PROJECTED] = wkb(holder[_PROJECTED]) or holder[_PROJECTED]
        for name, value in item.items():
            self._see(self.top, name, value)
        for name, value in properties.items():
            self._see(self.properties, name, value)
        if len(self.properties) + len(self.top) > MOST_MEMBERS:
            raise Problem(
                400,
                "too-many-columns",
                f"These items have more than {MOST_MEMBERS} different properties; export fewer collections at once,"
                " or as NDJSON.",
            )

    def _see(self, known: dict[str, Shape], name: str, value: Any) -> None:
        shape = known.get(name)
        if shape is None:
            shape = known[name] = Shape()
            self._budget.places -= 1
        shape.learn(value, self._budget)

    def _learn_bbox(self, bbox: Any) -> None:
        if bbox is None:
            return
        if not isinstance(bbox, list) or len(bbox) not in _CORNERS or not all(type(x) in (int, float) for x in bbox):
            self.corners.add(0)
            return
        self.corners.add(len(bbox))
        half = len(bbox) // 2
        west, south, east, north = bbox[0], bbox[1], bbox[half], bbox[half + 1]
        if self.extent is None:
            self.extent = [west, south, east, north]
        else:
            old = self.extent
            self.extent = [min(old[0], west), min(old[1], south), max(old[2], east), max(old[3], north)]

    def is_moment(self, name: str) -> bool:
        """Whether a property is kept as an instant: a known one whose every value is one."""
        return name in _MOMENTS and name not in self._no_moments


class Writer:
    """Writes items whose columns are known; what has been made of the file is taken away piece by piece."""

    def __init__(self, columns: Columns, collections: Mapping[str, Document], sent: int = 0) -> None:
        """`sent`: how many bytes of the file its reader has already, the magic number and what fills up."""
        pa: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")

        self._columns = columns
        self._names = ("id", "stac_extensions", *(x for x in columns.top if x not in ("id", "stac_extensions")))
        promoted = [name for name in columns.properties if name not in _taken(columns)]
        self._promoted = frozenset(promoted)
        self._kept_under = {n: s for n, s in columns.properties.items() if n not in self._promoted}
        self._moments = frozenset(name for name in promoted if columns.is_moment(name))
        self._repairs = repairs(columns.top.items())
        self._property_repairs = repairs((n, s) for n, s in columns.properties.items() if n not in self._moments)
        self._projected = _binary(columns.properties)
        assets = columns.top.get("assets")
        self._projected_assets = tuple(
            name for name, shape in (assets.members if assets is not None else {}).items() if _binary(shape.members)
        )
        self._schema = self._make_schema(collections)
        self._sink = Sink(swallow=sent)
        self._file = pa.PythonFile(self._sink, mode="w")
        self._writer = parquet.ParquetWriter(self._file, self._schema, compression="zstd", version="2.6")
        # Readers find the columns by their place; what lies between them and the magic number is passed over.
        self._file.write(bytes(max(0, sent - len(MAGIC))))
        self._batches: list[Any] = []

    def _make_schema(self, collections: Mapping[str, Document]) -> Any:
        pa: Any = import_module("pyarrow")

        columns = self._columns
        fields = []
        for name in self._names:
            if columns.top[name].is_json() and name == "assets" and not columns.top[name].whole:
                continue  # no item has an asset; readers put the empty object back
            fields.append(arrow_field(name, columns.top[name]))
        crs84 = {b"ARROW:extension:name": b"geoarrow.wkb", b"ARROW:extension:metadata": b'{"crs":"OGC:CRS84"}'}
        fields.append(pa.field("geometry", pa.binary(), metadata=crs84))
        fields.append(self._bbox_field())
        for name, shape in columns.properties.items():
            if name in self._moments:
                fields.append(pa.field(name, pa.timestamp("us", tz="UTC")))
            elif name in self._promoted:
                fields.append(arrow_field(name, shape))
        if "datetime" not in columns.properties:
            fields.append(pa.field("datetime", pa.timestamp("us", tz="UTC")))
        if self._kept_under:
            under = [arrow_field(name, shape) for name, shape in self._kept_under.items()]
            fields.append(pa.field("properties", pa.struct(under)))
        made = {b"geo": self._geo(), b"stac-geoparquet": orjson.dumps({"version": "1.1.0", "collections": collections})}
        return pa.schema(fields, metadata=made)

    def _bbox_field(self) -> Any:
        pa: Any = import_module("pyarrow")

        if 0 in self._columns.corners:
            whole = Shape()
            whole.keep_whole()
            return arrow_field("bbox", whole)
        corners = _CORNERS[max(self._columns.corners, default=4)]
        return pa.field("bbox", pa.struct([pa.field(corner, pa.float64()) for corner in corners]))

    def _geo(self) -> bytes:
        columns = self._columns
        geometry: Document = {"encoding": "WKB", "geometry_types": sorted(columns.geometry_types), "edges": "planar"}
        if columns.extent is not None:
            geometry["bbox"] = columns.extent
        if 0 not in columns.corners:
            geometry["covering"] = {"bbox": {corner: ["bbox", corner] for corner in _CORNERS[4]}}
        found: Document = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
        if self._projected:
            # Each item has its own projection: null says that the column has none.
            found["columns"][_PROJECTED] = {"encoding": "WKB", "geometry_types": [], "crs": None}
        return orjson.dumps(found)

    def add(self, texts: Sequence[bytes], geometries: Sequence[bytes]) -> bytes:
        """What of the file is ready with these items."""
        pa: Any = import_module("pyarrow")

        rows = [self._row(orjson.loads(text), geometry) for text, geometry in zip(texts, geometries, strict=True)]
        made = pa.array(rows, type=pa.struct(list(self._schema)))
        self._batches.append(pa.RecordBatch.from_struct_array(made))
        if sum(x.num_rows for x in self._batches) >= _ROWS or sum(x.nbytes for x in self._batches) >= _BYTES:
            self._write_group()
        return self._sink.taken()

    def finish(self) -> bytes:
        """The end of the file."""
        self._write_group()
        self._writer.close()
        return self._sink.taken()

    def _write_group(self) -> None:
        pa: Any = import_module("pyarrow")

        if self._batches:
            table = pa.Table.from_batches(self._batches).cast(self._schema)
            self._batches.clear()
            self._writer.write_table(table, row_group_size=table.num_rows)

    def _row(self, item: Document, geometry: bytes) -> Document:
        properties = item.pop("properties", None) or {}
        if self._projected and properties.get(_PROJECTED) is not None:
            properties[_PROJECTED] = wkb(properties[_PROJECTED])
        assets = item.get("assets") or {}
        for name in self._projected_assets:
            asset = assets.get(name)
            if asset is not None and asset.get(_PROJECTED) is not None:
                asset[_PROJECTED] = wkb(asset[_PROJECTED])
        for holder, needed in ((item, self._repairs), (properties, self._property_repairs)):
            for name, repair in needed:
                if holder.get(name) is not None:
                    holder[name] = repair.apply(holder[name])
        for name in self._moments:
            if properties.get(name) is not None:
                properties[name] = moment(properties[name])
        if self._kept_under:
            under = {name: properties.pop(name) for name in self._kept_under if name in properties}
            item["properties"] = under or None
        item["geometry"] = geometry
        item["bbox"] = self._bbox(item.get("bbox"))
        return properties | item

    def _bbox(self, bbox: Any) -> Any:
        if bbox is None:
            return None
        if 0 in self._columns.corners:
            return orjson.dumps(bbox).decode()
        return dict(zip(_CORNERS[len(bbox)], bbox, strict=True))


class Sink:
    """Where the writer writes: bytes wait here until they are taken. The first `swallow` were sent before."""

    closed = False

    def __init__(self, swallow: int = 0) -> None:
        self._waiting = bytearray()
        self._swallow = swallow

    def write(self, data: Any) -> int:
        piece = memoryview(data)
        passed = min(self._swallow, len(piece))
        self._swallow -= passed
        self._waiting += piece[passed:]
        return len(piece)

    def taken(self) -> bytes:
        found = bytes(self._waiting)
        self._waiting.clear()
        return found

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """There is nothing to close."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


def _decoded(text: bytes) -> Document:
    """Raises Problem 400."""
    try:
        found: Document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Problem(
            400, "number-too-large", "An item holds a number that no column can hold; export as NDJSON."
        ) from error
    return found


def _taken(columns: Columns) -> set[str]:
    """Names of columns that no property may have."""
    return {*columns.top, "assets", "bbox", "geometry", "properties", "type", "stac_version"}


def _binary(members: Mapping[str, Shape]) -> bool:
    shape = members.get(_PROJECTED)
    return shape is not None and shape.binary


def _objects(assets: Any) -> list[Document]:
    return [asset for asset in assets.values() if isinstance(asset, dict)] if isinstance(assets, dict) else []


def moment(text: Any) -> datetime | None:
    """An RFC 3339 instant, to the microsecond; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def wkb(geometry: Any) -> bytes | None:
    """A GeoJSON geometry as well-known binary; None for what is no geometry."""
    shapely, geometries = import_module("shapely"), import_module("shapely.geometry")

    try:
        return bytes(shapely.to_wkb(geometries.shape(geometry), flavor="iso"))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, shapely.errors.ShapelyError):
        return None


def geometry_type(found: bytes) -> str:
    """The GeoParquet name of the type of a geometry in ISO well-known binary."""
    (code,) = unpack_from("<I" if found[0] else ">I", found, 1)
    name = _GEOMETRIES[code % 1000] if code % 1000 < len(_GEOMETRIES) else "GeometryCollection"
    return name + (" Z" if code // 1000 == 1 else "")
