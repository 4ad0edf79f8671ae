"""Values behind the pictures: at a point, over the raster, and what the raster is."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from bocage_kit.identity import Level
from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from rasterio.enums import ColorInterp
from rio_tiler.models import ImageData

from bocage_tiles import expressions
from bocage_tiles.admission import Admitted, AtItem
from bocage_tiles.answers import document
from bocage_tiles.assets import Source
from bocage_tiles.drawing import Layer, read_layers
from bocage_tiles.parameters import ReadParameters, ReadWish, StatisticsParameters
from bocage_tiles.raster import Bands, at_point, fitted, geographic_bounds, shrink, stacked
from bocage_tiles.routing import JSON, new_router, readable

Longitude = Annotated[float, Path(ge=-180, le=180, allow_inf_nan=False)]
Latitude = Annotated[float, Path(ge=-90, le=90, allow_inf_nan=False)]


def _named(layers: tuple[Layer, ...], expression: expressions.Expression | None) -> list[str]:
    if expression is not None:
        return [part.strip() for part in expression.text.split(";") if part.strip()]
    return [f"{layer.source.name}_b{index}" for layer in layers for index in layer.reading.indexes]


def _finite(value: Any) -> Any:
    """JSON has no NaN: what is not a number is null."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def _point(at: Admitted, sources: tuple[Source, ...], wish: ReadWish, lon: float, lat: float) -> dict[str, Any]:
    datasets = at.parts.datasets
    layers = read_layers(datasets, at.described, sources, wish, picture=False)
    expression = expressions.parse(wish.expression) if wish.expression else None
    values: Bands = stacked([at_point(datasets, x.source, lon, lat, x.reading) for x in layers])
    if expression is not None:
        values = expression(values[:, None, None])[:, 0, 0]
    names = _named(layers, expression)
    return {
        "coordinates": [lon, lat],
        "values": [_finite(value) for value in values.tolist()],
        "band_names": names,
        "band_descriptions": names if expression else _descriptions(at, layers),
    }


def _descriptions(at: Admitted, layers: tuple[Layer, ...]) -> list[str]:
    datasets = at.parts.datasets
    return [
        datasets.open(layer.source).descriptions[index - 1] or f"{layer.source.name}_b{index}"
        for layer in layers
        for index in layer.reading.indexes
    ]


def _statistics(
    at: Admitted, sources: tuple[Source, ...], wish: ReadWish, asked: StatisticsParameters
) -> dict[str, Any]:
    datasets = at.parts.datasets
    layers = read_layers(datasets, at.described, sources, wish, picture=False)
    expression = expressions.parse(wish.expression) if wish.expression else None
    width, height = fitted(datasets.open(sources[0]), asked.max_size)
    values: Bands = stacked([shrink(datasets, x.source, width, height, x.reading) for x in layers])
    if expression is not None:
        values = expression(values)
    found = {}
    for name, band in zip(_named(layers, expression), values, strict=True):
        if not band.count():
            found[name] = {"valid_percent": 0.0, "masked_pixels": band.size, "valid_pixels": 0}
            continue
        counted = ImageData(band[None]).statistics(
            categorical=asked.categorical, percentiles=asked.p, hist_options={"bins": asked.histogram_bins}
        )
        found[name] = next(iter(counted.values())).model_dump(mode="python") | {"description": name}
    return dict(_finite(found))


def _info(at: Admitted, sources: tuple[Source, ...]) -> dict[str, Any]:
    return {source.name: _describe(at, source) for source in sources}


def _describe(at: Admitted, source: Source) -> dict[str, Any]:
    dataset = at.parts.datasets.open(source)
    names = [f"b{index}" for index in dataset.indexes]
    alpha = ColorInterp.alpha in dataset.colorinterp
    told = {"nodata_type": "Nodata" if dataset.nodata is not None else "Alpha" if alpha else "None"}
    if dataset.nodata is not None:
        told["nodata_value"] = _finite(float(dataset.nodata))
    return {
        "bounds": list(dataset.bounds),
        "crs": dataset.crs.to_string() if dataset.crs else None,
        "geographic_bounds": list(geographic_bounds(dataset, source)) if dataset.crs else None,
        "band_metadata": [[name, {}] for name in names],
        "band_descriptions": [[name, text or name] for name, text in zip(names, dataset.descriptions, strict=True)],
        "dtype": dataset.dtypes[0],
        "colorinterp": [each.name for each in dataset.colorinterp],
        "driver": dataset.driver,
        "count": dataset.count,
        "width": dataset.width,
        "height": dataset.height,
        "overviews": dataset.overviews(1),
        "scales": _finite(list(dataset.scales)),
        "offsets": _finite(list(dataset.offsets)),
        **told,
    }


async def point(
    request: Request, at: AtItem, asked: Annotated[ReadParameters, Query()], lon: Longitude, lat: Latitude
) -> Response:
    wish = at.read(asked)
    sources = await at.sources(wish.assets, Level.TILE)
    return document(request, at.identity, await run_in_threadpool(_point, at, sources, wish, lon, lat))


async def statistics(request: Request, at: AtItem, asked: Annotated[StatisticsParameters, Query()]) -> Response:
    wish = at.read(asked)
    sources = await at.sources(wish.assets, Level.TILE)
    return document(request, at.identity, await run_in_threadpool(_statistics, at, sources, wish, asked))


async def info(request: Request, at: AtItem, asked: Annotated[ReadParameters, Query()]) -> Response:
    sources = await at.sources(at.read(asked).assets, Level.METADATA)
    return document(request, at.identity, await run_in_threadpool(_info, at, sources))


def router() -> APIRouter:
    made = new_router()
    item = "/collections/{collection_id}/items/{item_id}"
    for path, endpoint, operation, summary in (
        ("/point/{lon},{lat}", point, "point", "Values at a place; null where there is no data"),
        ("/statistics", statistics, "statistics", "Statistics of each band, from an overview"),
        ("/info", info, "info", "What the raster is: bands, size, coordinates"),
    ):
        readable(made, item + path, endpoint, operation=operation, summary=summary, tag="Values", content=JSON)
    return made
