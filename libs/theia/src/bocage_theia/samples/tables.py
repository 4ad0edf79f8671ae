"""Samples that are no pictures: time series as CSV, outlines as GeoJSON."""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.features import geometry_mask, shapes
from shapely import orient_polygons, set_precision, transform
from shapely.geometry import Polygon, mapping, shape
from shapely.ops import substring

from bocage_theia.samples.grids import Grid, transformer
from bocage_theia.samples.landscape import Bools, Landscape
from bocage_theia.samples.noise import Floats, Ints
from bocage_theia.samples.recipe import Table

Columns = Mapping[str, Sequence[Any] | Floats]


def series(first: str, last: str, days: int, columns: Callable[[Landscape, Floats], Columns]) -> Table:
    """One row every so many days; `columns` gets the days of the year, which may go on past 365."""
    start = datetime.datetime.fromisoformat(f"{first}T00:00:00+00:00")
    steps = (datetime.date.fromisoformat(last) - start.date()).days // days + 1
    moments = [start + datetime.timedelta(days=n * days) for n in range(steps)]

    def write(land: Landscape, _day: int, path: Path) -> None:
        passed = start.timetuple().tm_yday + days * np.arange(steps, dtype=float)
        made = columns(land, passed)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["datetime", *made])
            for index, moment in enumerate(moments):
                row = [made[name][index] for name in made]
                writer.writerow([moment.strftime("%Y-%m-%dT%H:%M:%SZ"), *(_plain(value) for value in row)])

    return Table(".csv", write)


def _plain(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


Chosen = Callable[[Landscape, int], Bools]
Attributes = Callable[[Landscape, int, Bools], Mapping[str, Any]]


def outlines(
    chosen: Chosen,
    attributes: Attributes,
    labels: Callable[[Landscape, int], Ints] = lambda land, day: land.parcel,
    lines: bool = False,
    most: int = 150,
) -> Table:
    """The largest patches of one label within what is chosen, each with its attributes; or the lines around them."""

    def write(land: Landscape, day: int, path: Path) -> None:
        found = patches(land.grid, labels(land, day), chosen(land, day), most)
        features = [
            _feature(land.grid, n, shape, attributes(land, day, cells), lines)
            for n, (shape, cells) in enumerate(found, 1)
        ]
        text = json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":"))
        path.write_text(text + "\n", encoding="utf-8")

    return Table(".geojson", write)


def patches(grid: Grid, labels: Ints, wanted: Bools, most: int) -> list[tuple[Polygon, Bools]]:
    """Polygons in the grid's own reference system and the cells of each, the largest first."""
    found = [shape(each) for each, _ in shapes(labels.astype(np.int32), mask=wanted, transform=grid.transform)]
    found.sort(key=lambda each: (-each.area, each.bounds))
    return [
        (each, geometry_mask([each], grid.shape, grid.transform, invert=True))
        for each in found[:most]
        if each.area >= 3 * grid.cell**2
    ]


def _feature(grid: Grid, number: int, outline: Polygon, attributes: Mapping[str, Any], lines: bool) -> dict[str, Any]:
    # corners of cells are no corners of the field
    plain = outline.simplify(0.9 * grid.cell)
    attributes = dict(attributes)
    if lines:
        plain = substring(plain.exterior, 0, 0.55, normalized=True)
        attributes["length_m"] = round(plain.length, 1)
    to_map = transformer(grid.epsg, 4326).transform
    moved = plain if grid.geographic else transform(plain, to_map, interleaved=False)
    geometry = mapping(orient_polygons(set_precision(moved, 1e-6)))
    return {"type": "Feature", "id": number, "geometry": geometry, "properties": attributes}
