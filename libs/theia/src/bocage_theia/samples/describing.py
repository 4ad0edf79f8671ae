"""The STAC item of a sample: its assets as the product's record has them, and plainly marked as made up."""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bocage_theia.samples import encoding
from bocage_theia.samples.grids import Grid, mgrs_tile
from bocage_theia.samples.recipe import Recipe

Document = dict[str, Any]
LICENCE = "CC0-1.0"
WEB_MAP_LINKS = "https://stac-extensions.github.io/web-map-links/v1.2.0/schema.json"
_OWN_EXTENSIONS = {
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "grid": "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
}
# Members of an asset whose prefix is not the name of the extension.
_NAMES = {"sci": "scientific", "proj": "projection", "pc": "pointcloud"}
_MONTHS = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December"),
    "fr": ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre",
           "novembre", "décembre"),
}  # fmt: skip


def item_id(recipe: Recipe) -> str:
    plain = unicodedata.normalize("NFKD", recipe.place.name).encode("ascii", "ignore").decode().lower()
    place = re.sub(r"[^a-z]+", "-", plain).strip("-")
    return f"synthetic-{place}-{recipe.first.replace('-', '')}"


def item(recipe: Recipe, collection: Mapping[str, Any], files: Mapping[str, tuple[Path, Grid | None]]) -> Document:
    """`files`: by asset, the file and the grid that it is on, None for what is no raster."""
    grid = recipe.grid
    offered = collection.get("item_assets", {})
    assets = {name: _asset(offered[name], path, its_grid, grid) for name, (path, its_grid) in files.items()}
    properties: Document = {
        **_texts(recipe, collection),
        **_when(recipe),
        "license": LICENCE,
        "providers": [{"name": "Bocage", "roles": ["producer"], "description": "Made up; no measurement."}],
        "bocage:synthetic": True,
        "bocage:licences": [LICENCE],
        "bocage:audience": "public",
    }
    drawn = any(its_grid is not None for _, its_grid in files.values())
    if drawn:
        properties |= {
            "proj:code": f"EPSG:{grid.epsg}",
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.transform)[:6],
            "gsd": grid.cell if not grid.geographic else round(grid.metres, 2),
        }
        if grid.epsg // 100 in (326, 327) and grid.cell >= 10:
            properties["grid:code"] = f"MGRS-{mgrs_tile(grid)}"
    links = _map_links(recipe) if drawn and collection.get("renders") else []
    west, south, east, north = grid.footprint().bounds
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [*_extensions(properties, assets.values(), collection), *([WEB_MAP_LINKS] if links else [])],
        "id": item_id(recipe),
        "collection": recipe.collection,
        "geometry": grid.geometry(),
        "bbox": [west, south, east, north],
        "properties": properties,
        "assets": assets,
        "links": links,
    }


def _map_links(recipe: Recipe) -> list[Document]:
    """Paths of the platform: it shows links of its own with the address by which it was reached."""
    collection, name = recipe.collection, item_id(recipe)
    own = f"/tiles/collections/{collection}/items/{name}"
    return [
        {"rel": "tilejson", "href": f"{own}/WebMercatorQuad/tilejson.json", "type": "application/json"},
        {
            "rel": "wmts",
            "href": f"{own}/WMTSCapabilities.xml",
            "type": "application/xml",
            "wmts:layer": f"{collection}_{name}",
        },
        {"rel": "legend", "href": f"{own}/legend.png", "type": "image/png"},
    ]


def _asset(record: Mapping[str, Any], path: Path, own: Grid | None, of_item: Grid) -> Document:
    made: Document = {**record, "href": path.name}
    made.setdefault("roles", ["data"])
    if own is not None:
        made["type"] = encoding.COG
        if own != of_item:
            made |= {"proj:shape": list(own.shape), "proj:transform": list(own.transform)[:6]}
            if not own.geographic:
                made["gsd"] = own.cell
    made["file:size"] = path.stat().st_size
    made["file:checksum"] = encoding.checksum(path)
    return made


def _when(recipe: Recipe) -> Document:
    first = f"{recipe.first}T10:50:00Z"
    if recipe.last is None:
        return {"datetime": first}
    return {
        "datetime": None,
        "start_datetime": f"{recipe.first}T00:00:00Z",
        "end_datetime": f"{recipe.last}T23:59:59Z",
    }


def _texts(recipe: Recipe, collection: Mapping[str, Any]) -> Document:
    of_collection = collection.get("bocage:translations", {}).get("fr", {})
    titles = {"en": collection.get("title", recipe.collection)}
    titles["fr"] = of_collection.get("title", titles["en"])
    place = recipe.place.name
    english = {
        "title": f"Synthetic sample: {titles['en']}, {place}, {_time_named(recipe, 'en')}",
        "description": (
            f"Made up by a program, over {place}: no measurement, and nothing to draw conclusions from. "
            "The files are encoded exactly as those of the product, on a cut of its grid, to try tools on."
        ),
    }
    french = {
        "title": f"Échantillon synthétique : {titles['fr']}, {place}, {_time_named(recipe, 'fr')}",
        "description": (
            f"Inventé par un programme, sur {place} : aucune mesure, et rien à en conclure. Les fichiers sont codés "
            "exactement comme ceux du produit, sur une découpe de sa grille, pour essayer des outils."
        ),
    }
    return {**english, "bocage:translations": {"fr": french}}


def _time_named(recipe: Recipe, language: str) -> str:
    first = datetime.date.fromisoformat(recipe.first)
    if recipe.last is not None and recipe.last[:4] != recipe.first[:4]:
        return f"{recipe.first[:4]}–{recipe.last[:4]}"
    if recipe.last is not None and recipe.last[:7] != recipe.first[:7]:
        return recipe.first[:4]
    return f"{_MONTHS[language][first.month - 1]} {first.year}"


def _extensions(properties: Document, assets: Iterable[Document], collection: Mapping[str, Any]) -> list[str]:
    """Those whose members the item has, in the versions that its collection declares."""
    declared = {url.split("/")[-3]: url for url in collection.get("stac_extensions", []) if url.endswith("schema.json")}
    prefixes = set(_prefixes(properties)) | {prefix for asset in assets for prefix in _prefixes(asset)}
    chosen = dict(_OWN_EXTENSIONS)
    for prefix in prefixes:
        name = _NAMES.get(prefix, prefix)
        if name in declared:
            chosen[prefix] = declared[name]
    return sorted(url for prefix, url in chosen.items() if prefix in prefixes)


def _prefixes(document: Mapping[str, Any]) -> Iterable[str]:
    for name, value in document.items():
        if ":" in name:
            yield name.split(":")[0]
        if name == "bands":
            for band in value:
                yield from _prefixes(band)
