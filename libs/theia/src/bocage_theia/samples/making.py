"""Files and items of samples, one after the other. Once more into the same folder makes the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import scipy

from bocage_theia.samples import describing, encoding
from bocage_theia.samples.grids import Grid
from bocage_theia.samples.landscape import Landscape, landscape
from bocage_theia.samples.recipe import Layer, Recipe
from bocage_theia.samples.recipes import recipes

_MADE = "sample.json"


@dataclass(frozen=True)
class Sample:
    item: dict[str, Any]
    """Hrefs of its assets are names of files in the folder of the item."""
    files: Mapping[str, Path]


def samples(folder: Path, collections: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    """The samples of those of `collections` that have a recipe, each made when it is asked for.

    What `folder` holds already, of the same program and record, is not made again. Raises NotEncodable where the
    record of an asset and the values differ.
    """
    recipes_of: dict[str, list[Recipe]] = {}
    for recipe in recipes():
        recipes_of.setdefault(recipe.collection, []).append(recipe)
    for record in collections:
        for recipe in recipes_of.get(str(record["id"]), ()):
            yield make(recipe, record, folder)


def make(recipe: Recipe, collection: Mapping[str, Any], folder: Path) -> Sample:
    target = folder / recipe.collection / describing.item_id(recipe)
    digest = _digest(recipe, collection)
    if (held := _held(target, digest)) is not None:
        return held
    target.mkdir(parents=True, exist_ok=True)
    (target / _MADE).unlink(missing_ok=True)
    land = landscape(recipe.place, recipe.grid, recipe.scale)
    offered = collection.get("item_assets", {})
    if unknown := (set(recipe.assets) | set(recipe.tables)) - set(offered):
        raise encoding.NotEncodable(f"{recipe.collection} has no assets {', '.join(sorted(unknown))}")
    made: dict[str, tuple[Path, Grid | None]] = {}
    for asset in recipe.assets:
        path = target / f"{asset}.tif"
        name = f"{recipe.collection}/{asset}"
        made[asset] = path, _write(recipe.layer(asset), land, recipe.day_of_year, offered[asset], path, name)
    for asset, table in recipe.tables.items():
        path = target / f"{asset}{table.suffix}"
        table.write(land, recipe.day_of_year, path)
        made[asset] = path, None
    sample = Sample(describing.item(recipe, collection, made), {asset: path for asset, (path, _) in made.items()})
    # Last, and in one step: a folder without it is made again.
    fresh = target / f"{_MADE}.new"
    fresh.write_text(json.dumps({"digest": digest, "item": sample.item}))
    fresh.replace(target / _MADE)
    return sample


def _held(target: Path, digest: str) -> Sample | None:
    try:
        found = json.loads((target / _MADE).read_text())
    except (OSError, ValueError):
        return None
    if found.get("digest") != digest:
        return None
    files = {name: target / asset["href"] for name, asset in found["item"]["assets"].items()}
    whole = all(
        path.is_file() and path.stat().st_size == found["item"]["assets"][name]["file:size"]
        for name, path in files.items()
    )
    return Sample(found["item"], files) if whole else None


def _digest(recipe: Recipe, collection: Mapping[str, Any]) -> str:
    """Of everything that the sample follows from."""
    told = {name: collection.get(name) for name in ("title", "bocage:translations", "item_assets", "stac_extensions")}
    parts = [_program(), repr((recipe.place, recipe.first, recipe.grid)), json.dumps(told, sort_keys=True)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def _program() -> str:
    """Digest of the code of the samples, and the versions that its numbers come from."""
    digest = hashlib.sha256(f"{np.__version__} {scipy.__version__} {rasterio.__gdal_version__}".encode())
    for package in ("bocage_theia.samples", "bocage_theia.samples.recipes"):
        for source in sorted(resources.files(package).iterdir(), key=lambda x: x.name):
            if source.name.endswith(".py"):
                digest.update(source.read_bytes())
    return digest.hexdigest()


def _write(layer: Layer, land: Landscape, day: int, record: Mapping[str, Any], path: Path, name: str) -> Grid:
    shown = layer.shown(land, day)
    values = [shown] if isinstance(shown, np.ndarray) and shown.ndim == 2 else list(shown)
    bands = encoding.bands_of(record)
    if len(values) != len(bands):
        raise encoding.NotEncodable(f"{name}: {len(values)} bands of values, {len(bands)} in the record")
    grid = land.grid.coarser(layer.coarser)
    narrowed = [
        encoding.coarser(np.asarray(value, float), layer.coarser, encoding.thematic(band))
        for value, band in zip(values, bands, strict=True)
    ]
    encoding.write(path, narrowed, record, grid, name)
    return grid
