"""What the files of a product line hold: `item_assets` of its collection, and the `renders` that draw them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bocage_theia.product_records import UNKNOWN

Given = Mapping[str, Any]
Document = dict[str, Any]

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_PLAIN = ("data_type", "nodata", "gsd")
_CLEAR = [0, 0, 0, 0]


def item_assets(record: Given, shared: Given) -> dict[str, Document]:
    """The files by name, as STAC describes them; templates with `each` are written out."""
    return {name: _asset(given, shared) for name, given in _written_out(record.get("assets") or {}, shared)}


def _written_out(assets: Given, shared: Given) -> Iterator[tuple[str, Document]]:
    for name, given in assets.items():
        whole = {**shared["encodings"].get(given.get("like"), {}), **given}
        each = given.get("each")
        if each is None:
            yield name, whole
            continue
        for value, gsd in each.items():
            one: Document = {**whole, "title": {k: _filled(text, value) for k, text in whole["title"].items()}}
            if gsd != UNKNOWN:
                one["gsd"] = gsd
            if value in shared["bands"] and "bands" not in one:
                one["bands"] = [shared["bands"][value]]
            yield _filled(name, value), one


def _filled(text: str, value: str) -> str:
    return text.replace("{band}", value).replace("{name}", value)


def _asset(given: Given, shared: Given) -> Document:
    made: Document = {**titled(given["title"]), "type": given.get("type", COG), "roles": list(given["roles"])}
    made |= _values(given, shared)
    if "bands" in given:
        made["bands"] = [_band(band, shared) for band in given["bands"]]
    elif made["type"] == COG:
        made["bands"] = [{"name": "b1"}]
    if "polarisation" in given:
        made["sar:polarizations"] = [given["polarisation"]]
    if "columns" in given:
        made["table:columns"] = [
            {"name": c["name"], "type": c["type"], "description": c["en"], **_french(description=c["fr"])}
            for c in given["columns"]
        ]
    return made


def _band(given: Given, shared: Given) -> Document:
    made: Document = {"name": given["name"]}
    if "title" in given:
        made |= titled(given["title"])
    if "common" in given:
        made["eo:common_name"] = given["common"]
    if "centre" in given:
        made["eo:center_wavelength"] = given["centre"]
    return made | _values(given, shared)


def _values(given: Given, shared: Given) -> Document:
    """How numbers are written, and what they mean."""
    made: Document = {key: given[key] for key in _PLAIN if key in given}
    if given.get("unit", UNKNOWN) != UNKNOWN:
        made["unit"] = given["unit"]
    if "scale" in given:
        made |= {"raster:scale": given["scale"], "raster:offset": given["offset"]}
    if "gsd" in given and given.get("type", COG) == COG:
        made["raster:spatial_resolution"] = given["gsd"]
    if "valid" in given:
        made["bocage:valid_range"] = list(given["valid"])
    if "classes" in given:
        made["classification:classes"] = _classes(named(given["classes"], shared["nomenclatures"]))
    if "bits" in given:
        made["classification:bitfields"] = _bitfields(shared["bitfields"][given["bits"]])
    return made


def named(given: Any, shared: Given) -> Given:
    """A table itself, or the one of that name."""
    found: Given = shared[given] if isinstance(given, str) else given
    return found


def _classes(table: Given) -> list[Document]:
    return [_class(int(value), entry) for value, entry in table.items()]


def _class(value: int, entry: Given) -> Document:
    made: Document = {"value": value, "name": slug(entry["en"]), **titled(entry), "description": entry["en"]}
    if "colour" in entry:
        made["color_hint"] = str(entry["colour"]).upper()
    if entry.get("nodata"):
        made["nodata"] = True
    return made


def _bitfields(table: Given) -> list[Document]:
    return [
        {
            "offset": int(offset),
            "length": 1,
            "name": entry["name"],
            **titled(entry),
            "description": entry["en"],
            "classes": [
                {"value": 0, "name": "no", "description": "No"},
                _class(1, entry) | {"name": entry["name"]},
            ],
        }
        for offset, entry in table.items()
    ]


def renders(record: Given, assets: Mapping[str, Document]) -> dict[str, Document]:
    """The styles by name. Ranges are given in units of the quantity and become those of the stored numbers.

    The first is marked as the default: a database of JSON forgets in which order members stood.
    """
    made = {name: _render(given, assets) for name, given in (record.get("styles") or {}).items()}
    if made:
        next(iter(made.values()))["bocage:default"] = True
    return made


def _render(given: Given, assets: Mapping[str, Document]) -> Document:
    names = list(given["assets"])
    numbers = list(given["bands"]) if "bands" in given else [given["band"]] if "band" in given else []
    made: Document = {**titled(given["title"]), "assets": names}
    if numbers:
        made["bidx"] = numbers
    drawn = [described(assets[name], number) for name in names for number in (numbers or [1])]
    if "range" in given or "ranges" in given:
        pairs = given.get("ranges") or [given["range"]] * len(drawn)
        made["rescale"] = [[stored(v, holder) for v in pair] for pair, holder in zip(pairs, drawn, strict=True)]
    if "ramp" in given:
        made["colormap_name"] = given["ramp"]
    if given.get("classes"):
        made |= {"colormap": _class_colours(drawn[0]["classification:classes"]), "resampling": "nearest"}
    if "bits" in given:
        made |= {"bocage:bits": list(given["bits"]), "resampling": "nearest"}
    if "nodata" in drawn[0]:
        made["nodata"] = drawn[0]["nodata"]
    return made


def described(asset: Document, number: int) -> Document:
    """What is said of one band: its own words, else those of its file."""
    bands: Sequence[Document] = asset.get("bands") or [{}]
    return {**asset, **bands[number - 1]}


def stored(value: float, holder: Given) -> float | int:
    """The number that a file holds for a value."""
    raw = round((value - holder.get("raster:offset", 0)) / holder.get("raster:scale", 1), 9)
    return int(raw) if raw == int(raw) else raw


def _class_colours(classes: Sequence[Document]) -> dict[str, list[int]]:
    return {str(c["value"]): _rgba(c.get("color_hint")) for c in classes}


def _rgba(hint: str | None) -> list[int]:
    return [*bytes.fromhex(hint), 255] if hint else list(_CLEAR)


def titled(text: Given) -> Document:
    """A title in English, with the French one where translations stand."""
    return {"title": text["en"], **_french(title=text["fr"])}


def _french(**words: str) -> Document:
    return {"bocage:translations": {"fr": words}}


def slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
