"""Items from GeoParquet files, as the specification stac-geoparquet lays them out, row group by row group."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from bocage_client.errors import InputError, JsonObject, UsageError

_ROWS = 200
_TOP = frozenset(
    ("type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "links", "assets", "collection", "properties")
)
_GEOMETRIES = frozenset({"geometry", "proj:geometry"})
_CORNERS = ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax")
Reader = Callable[[Any], Any]


def check_installed() -> None:
    """Raises UsageError that names what to install."""
    if any(importlib.util.find_spec(name) is None for name in ("pyarrow", "shapely")):
        raise UsageError(
            "Reading GeoParquet needs more than is installed: pip install 'bocage-client[geoparquet]'.",
            "missing-extra",
        )


def count(path: Path) -> int:
    return int(_opened(path).metadata.num_rows)


def documents(path: Path) -> Iterator[JsonObject]:
    """The collections that the file holds, then its items. Raises InputError."""
    pa: Any = import_module("pyarrow")

    file = _opened(path)
    schema = file.schema_arrow
    missing = {"id", "geometry"} - set(schema.names)
    if missing:
        raise InputError("not-stac", f"{path} holds no STAC items: it has no column {sorted(missing)[0]}.")
    yield from _collections(file.metadata.metadata or {})
    readers = {field.name: _reader(field.name, field.type) for field in schema}
    coarse = [
        field.with_type(pa.timestamp("us", field.type.tz)) if pa.types.is_timestamp(field.type) else field
        for field in schema
    ]
    try:
        for batch in file.iter_batches(_ROWS):
            rows = pa.Table.from_batches([batch]).cast(pa.schema(coarse), safe=False).to_pylist()
            for row in rows:
                yield _item(_present({name: _read(readers[name], value) for name, value in row.items()}))
    except pa.ArrowException as error:
        raise InputError("bad-parquet", f"{path} is damaged: {error}") from error


def _opened(path: Path) -> Any:
    check_installed()
    pa: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")

    try:
        return parquet.ParquetFile(path)
    except pa.ArrowException as error:
        raise InputError("bad-parquet", f"{path} is no Parquet file, or is damaged: {error}") from error


def _collections(metadata: Mapping[bytes, bytes]) -> Iterator[JsonObject]:
    try:
        about = json.loads(metadata.get(b"stac-geoparquet", b"{}"))
    except ValueError:
        return
    found = about.get("collections") if isinstance(about, dict) else None
    for collection in found.values() if isinstance(found, dict) else ():
        if isinstance(collection, dict) and collection.get("type") == "Collection":
            yield collection


def _item(row: JsonObject) -> JsonObject:
    made: JsonObject = {"type": "Feature", "stac_version": "1.1.0", "stac_extensions": [], "links": [], "assets": {}}
    made |= {name: value for name, value in row.items() if name in _TOP and name != "properties"}
    made["properties"] = {"datetime": None} | {name: value for name, value in row.items() if name not in _TOP}
    # properties that are named as members of the item can't be columns
    made["properties"] |= row.get("properties") or {}
    if isinstance(made.get("bbox"), dict):
        made["bbox"] = [made["bbox"][corner] for corner in _CORNERS if corner in made["bbox"]]
    return made


def _reader(name: str, type_: Any) -> Reader:
    """How values of an Arrow type become JSON. What is null is absent."""
    pa: Any = import_module("pyarrow")

    types = pa.types
    if isinstance(type_, pa.BaseExtensionType):
        return json.loads if type_.extension_name == "arrow.json" else _reader(name, type_.storage_type)
    if types.is_struct(type_):
        members = {
            type_.field(n).name: _reader(type_.field(n).name, type_.field(n).type) for n in range(type_.num_fields)
        }
        return lambda value: _present({key: _read(members[key], inner) for key, inner in value.items()})
    if types.is_map(type_):
        inner_reader = _reader(name, type_.item_type)
        return lambda value: _present({key: _read(inner_reader, inner) for key, inner in value})
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        element = _reader(name, type_.value_type)
        return lambda value: [_read(element, inner) for inner in value]
    if types.is_timestamp(type_):
        return _moment
    if types.is_date(type_):
        return lambda value: value.isoformat()
    if types.is_binary(type_) or types.is_large_binary(type_) or types.is_binary_view(type_):
        return _geometry if name in _GEOMETRIES else lambda value: None
    if types.is_floating(type_):
        return lambda value: value if value - value == 0 else None  # JSON has no infinity
    if types.is_decimal(type_):
        return float
    return lambda value: value


def _read(reader: Reader, value: Any) -> Any:
    return None if value is None else reader(value)


def _present(members: JsonObject) -> JsonObject:
    return {name: value for name, value in members.items() if value is not None}


def _moment(value: datetime) -> str:
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _geometry(value: bytes) -> Any:
    shapely: Any = import_module("shapely")

    try:
        return import_module("shapely.geometry").mapping(shapely.from_wkb(value))
    except shapely.errors.ShapelyError:
        return None
