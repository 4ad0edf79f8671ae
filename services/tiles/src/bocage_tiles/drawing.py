"""From an item's assets to a picture: the defaults of each kind of asset, the stretch, the colours, the encoding."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from bocage_kit.problems import Problem
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rio_tiler.utils import render

from bocage_tiles import expressions, ramps
from bocage_tiles.assets import Source
from bocage_tiles.parameters import DrawWish, Ranges, ReadWish
from bocage_tiles.raster import (
    Bands,
    Datasets,
    Grid,
    Reading,
    check_nodata,
    checked_indexes,
    fitted,
    shrink,
    stacked,
    warp,
)

_SAMPLE = 512
_VALIDITY: tuple[Mapping[str, Any], ...] = (
    {"value": 0, "name": "outside"},
    {"value": 1, "name": "measured"},
    {"value": 2, "name": "filled"},
    {"value": 3, "name": "hidden"},
)


@dataclass(frozen=True)
class Layer:
    """An asset with the bands to read of it."""

    source: Source
    reading: Reading


@dataclass(frozen=True)
class Painting:
    """How values become colours. `ranges` None: values are classes, or `stretched` over what the raster holds."""

    ranges: Ranges | None
    colours: ramps.ColourMap | None
    stretched: bool = False


@dataclass(frozen=True)
class Drawing:
    """All that makes a picture out of what is read."""

    layers: tuple[Layer, ...]
    expression: expressions.Expression | None
    painting: Painting


def classes_of(name: str, asset: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    """The asset's classes, where it is a map of classes."""
    bands = bands_of(asset)
    for holder in (asset, *bands[:1]):
        found = holder.get("classification:classes")
        if isinstance(found, list) and found and all(isinstance(entry, Mapping) for entry in found):
            return found
    return _VALIDITY if name == "validity" else None


def is_elevation(name: str, asset: Mapping[str, Any]) -> bool:
    roles = {str(role).lower() for role in asset.get("roles") or ()}
    return name in ("dsm", "dem", "dtm", "elevation") or bool(roles & {"elevation", "dsm", "dem", "dtm"})


def bands_of(asset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    for field in ("bands", "raster:bands", "eo:bands"):
        bands = asset.get(field)
        if isinstance(bands, list) and bands:
            return [band for band in bands if isinstance(band, Mapping)]
    return []


def declared_range(asset: Mapping[str, Any]) -> tuple[float, float] | None:
    """Minimum and maximum that the asset's metadata state for its first band."""
    for holder in (*bands_of(asset)[:1], asset):
        statistics = holder.get("statistics")
        if isinstance(statistics, Mapping):
            low, high = statistics.get("minimum"), statistics.get("maximum")
            if (
                isinstance(low, int | float)
                and isinstance(high, int | float)
                and math.isfinite(high - low)
                and low < high
            ):
                return float(low), float(high)
    return None


def default_bands(name: str, asset: Mapping[str, Any], dataset: DatasetReader) -> tuple[int, ...]:
    """The bands that make a picture: one or three, without alpha and without the band that tells the source image."""
    declared = [str(band.get("name") or band.get("description") or "") for band in bands_of(asset)]
    described = [text or "" for text in dataset.descriptions]
    names = declared if len(declared) == dataset.count and any(declared) else described
    shown = [i for i in dataset.indexes if dataset.colorinterp[i - 1] != ColorInterp.alpha]
    if name == "ortho" and len(shown) > 1:
        told = [i for i in shown if "source" in names[i - 1].lower() or "index" in names[i - 1].lower()]
        if told or not any(names):
            shown = [i for i in shown if i not in (told or shown[-1:])]
    if not shown:
        shown = [1]
    return tuple(shown[:3]) if len(shown) >= 3 else tuple(shown[:1])


def read_layers(
    datasets: Datasets, assets: Mapping[str, Mapping[str, Any]], sources: Sequence[Source], asked: ReadWish,
    *, picture: bool,
) -> tuple[Layer, ...]:  # fmt: skip
    """What to read for a request; `picture`: only bands that are drawn, else all of them."""
    if asked.bidx and len(sources) != 1:
        raise Problem(400, "ambiguous-bands", "bidx goes with exactly one asset.")
    layers = []
    for source in sources:
        dataset, asset = datasets.open(source), assets[source.name]
        check_nodata(dataset, source, asked.nodata)
        if asked.bidx:
            indexes = checked_indexes(dataset, source, asked.bidx)
        elif picture and not asked.expression:
            indexes = default_bands(source.name, asset, dataset)
            if len(sources) > 1:
                indexes = indexes[:1]
        else:
            indexes = tuple(dataset.indexes[:32])
        categorical = classes_of(source.name, asset) is not None
        layers.append(Layer(source, Reading(indexes, asked.nodata, asked.method(categorical), asked.unscale)))
    return tuple(layers)


class Stretches:
    """Ranges of values worth showing (2nd to 98th percentile), computed once for each raster from its overview."""

    def __init__(self, datasets: Datasets, limit: int = 4096) -> None:
        self._datasets, self._limit = datasets, limit
        self._kept: OrderedDict[tuple[Any, ...], Ranges] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, layers: tuple[Layer, ...], expression: expressions.Expression | None) -> Ranges:
        key = (layers, expression.text if expression else None)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                return kept
        width, height = fitted(self._datasets.open(layers[0].source), _SAMPLE)
        parts = [shrink(self._datasets, layer.source, width, height, layer.reading) for layer in layers]
        bands = stacked(parts)
        if expression is not None:
            bands = expression(bands)
        ranges = tuple(percentiles(band) for band in bands)
        with self._lock:
            self._kept[key] = ranges
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return ranges


def percentiles(band: Bands) -> tuple[float, float]:
    """2nd and 98th percentile of a band's valid values, widened where they are one value."""
    values = band.compressed()
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values.astype("float64"), (2, 98)))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def plan(
    datasets: Datasets,
    stretches: Stretches,
    assets: Mapping[str, Mapping[str, Any]],
    sources: Sequence[Source],
    asked: DrawWish,
) -> Drawing:
    """Settle the drawing: what the client asks for, else what suits the asset."""
    layers = read_layers(datasets, assets, sources, asked, picture=True)
    expression = expressions.parse(asked.expression) if asked.expression else None
    count = len(expression.formulas) if expression else sum(len(layer.reading.indexes) for layer in layers)
    name = layers[0].source.name
    plain = expression is None and len(layers) == 1 and not asked.unscale
    painting = paint_with(asked, count, name if plain else None, assets[name])
    if not painting.stretched:
        return Drawing(layers, expression, painting)
    ranges = _default_ranges(datasets, layers, assets[name], plain) or stretches.of(layers, expression)
    return Drawing(layers, expression, replace(painting, ranges=ranges))


def paint_with(asked: DrawWish, count: int, plain: str | None, asset: Mapping[str, Any]) -> Painting:
    """The colours of `count` bands: the client's, else what suits the asset.

    `plain`: the asset's name, where it is drawn alone and as it is stored.
    """
    if count not in (1, 3):
        raise Problem(400, "band-count", f"A picture has 1 or 3 bands, not {count}; choose with bidx or assets.")
    ranges, colours = asked.ranges(), asked.colours()
    if colours is not None and count != 1:
        raise Problem(400, "band-count", "A colour map goes with one band; choose it with bidx or an expression.")
    if ranges is not None and len(ranges) not in (1, count):
        raise Problem(400, "invalid-rescale", f"rescale has {len(ranges)} ranges for {count} bands.")
    if plain is not None and colours is None and ranges is None and (classes := classes_of(plain, asset)) is not None:
        return Painting(None, ramps.class_colours(classes))
    if plain is not None and colours is None and count == 1 and is_elevation(plain, asset):
        colours = ramps.relief()
    return Painting(ranges, colours, stretched=ranges is None and (colours is None or ramps.is_table(colours)))


def _default_ranges(
    datasets: Datasets, layers: tuple[Layer, ...], asset: Mapping[str, Any], plain: bool
) -> Ranges | None:
    if not plain:
        return None
    source, indexes = layers[0].source, layers[0].reading.indexes
    if source.name == "hillshade" and datasets.open(source).dtypes[0] == "uint8":
        return ((0.0, 255.0),)
    if is_elevation(source.name, asset) and indexes == (1,) and (declared := declared_range(asset)) is not None:
        return (declared,)
    return None


def draw(datasets: Datasets, drawing: Drawing, grid: Grid | None, size: tuple[int, int] = (0, 0)) -> NDArray[np.uint8]:
    """RGBA, (4, height, width): on `grid`, or the whole asset at `size` (width, height)."""
    parts = [
        warp(datasets, layer.source, grid, layer.reading)
        if grid is not None
        else shrink(datasets, layer.source, *size, layer.reading)
        for layer in drawing.layers
    ]
    bands = stacked(parts)
    if drawing.expression is not None:
        bands = drawing.expression(bands)
    return colour(bands, drawing.painting)


def colour(bands: Bands, painting: Painting) -> NDArray[np.uint8]:
    """RGBA of one or three bands; what is masked is clear."""
    hidden = np.ma.getmaskarray(bands).all(axis=0)
    values: NDArray[Any] = np.ma.getdata(bands)
    ranges, colours = painting.ranges, painting.colours
    if ranges is not None:
        each = ranges * len(values) if len(ranges) == 1 else ranges
        low = np.array([pair[0] for pair in each], "float64").reshape(-1, 1, 1)
        high = np.array([pair[1] for pair in each], "float64").reshape(-1, 1, 1)
        with np.errstate(all="ignore"):
            scaled = np.clip((values - low) * (255.0 / (high - low)), 0, 255)
        values = np.nan_to_num(scaled, nan=0.0).astype(np.uint8)
    if colours is not None:
        painted = ramps.paint(values[0], colours)
        painted[3][hidden] = 0
        return painted
    painted = np.empty((4, *values.shape[1:]), np.uint8)
    painted[:3] = values
    painted[3] = np.where(hidden, 0, 255)
    return painted


def encode(rgba: NDArray[np.uint8], image_format: str) -> bytes:
    """The picture as PNG, JPEG or WebP. PNG is compressed lightly: level 6 costs six times as much for little."""
    if image_format == "jpeg":
        return render(rgba[:3], img_format="JPEG", quality=85)
    if image_format == "webp":
        return render(rgba[:3], rgba[3], img_format="WEBP")
    return render(rgba[:3], rgba[3], img_format="PNG", zlevel=1)
