"""Map grids of samples: small crops that lie on the cells of the product's own grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import Polygon, mapping

Floats = NDArray[np.float64]
_METRES_PER_DEGREE = 111_320.0
# Tiles of Sentinel-2 begin at multiples of 60 m, so that their 10, 20 and 60 m cells all fit.
UTM_STEP = 60.0
_COLUMNS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_BANDS = "CDEFGHJKLMNPQRSTUVWX"


@dataclass(frozen=True)
class Grid:
    """Square cells; `left, top` is the outer corner of the first one, `cell` in the units of the reference system."""

    epsg: int
    left: float
    top: float
    cell: float
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns

    @property
    def transform(self) -> Affine:
        return Affine(self.cell, 0.0, self.left, 0.0, -self.cell, self.top)

    @property
    def geographic(self) -> bool:
        return self.epsg == 4326

    @property
    def metres(self) -> float:
        """Size of a cell on the ground, about."""
        return self.cell * _METRES_PER_DEGREE if self.geographic else self.cell

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        return self.left, self.top - self.rows * self.cell, self.left + self.columns * self.cell, self.top

    def coarser(self, factor: int) -> Grid:
        """The same ground in cells `factor` times as wide."""
        if self.rows % factor or self.columns % factor:
            raise ValueError(f"{self.rows} × {self.columns} cells do not make whole cells {factor} times as wide")
        return Grid(self.epsg, self.left, self.top, self.cell * factor, self.rows // factor, self.columns // factor)

    def to_map(self, x: float, y: float) -> tuple[float, float]:
        """Longitude and latitude of a point of the grid's reference system."""
        if self.geographic:
            return x, y
        lon, lat = transformer(self.epsg, 4326).transform(x, y)
        return float(lon), float(lat)

    def footprint(self) -> Polygon:
        """The outline in longitude and latitude, counter-clockwise."""
        left, bottom, right, top = self.bounds
        corners = ((left, bottom), (right, bottom), (right, top), (left, top))
        return Polygon([(round(lon, 7), round(lat, 7)) for lon, lat in (self.to_map(x, y) for x, y in corners)])

    def geometry(self) -> dict[str, Any]:
        found: dict[str, Any] = mapping(self.footprint())
        return {"type": found["type"], "coordinates": [[list(p) for p in ring] for ring in found["coordinates"]]}


def around(epsg: int, lon: float, lat: float, cell: float, size: int, widest: float | None = None) -> Grid:
    """`size` × `size` cells around a place, on the cells that its reference system is divided into.

    `widest`: of the cells that lie on the same ground, when they are not all of one size.
    """
    step = step_of(widest or cell, epsg // 100 in (326, 327))
    x, y = (lon, lat) if epsg == 4326 else transformer(4326, epsg).transform(lon, lat)
    half = size * cell / 2
    left = math.floor((x - half) / step + 1e-9) * step
    top = math.ceil((y + half) / step - 1e-9) * step
    digits = 9 if epsg == 4326 else 4
    return Grid(epsg, round(left, digits), round(top, digits), cell, size, size)


@cache
def transformer(source: int, target: int) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def step_of(cell: float, utm: bool) -> float:
    """Of what the corner of a grid is a multiple."""
    return UTM_STEP if utm and cell >= 10 and UTM_STEP % cell == 0 else cell


def utm_of(lon: float, lat: float) -> int:
    zone = int((lon + 180) // 6) + 1
    return (32600 if lat >= 0 else 32700) + zone


def mgrs_tile(grid: Grid) -> str:
    """Name of the 100 km square that holds the grid's middle, such as 31TCJ."""
    zone, south = grid.epsg % 100, grid.epsg // 100 == 327
    left, bottom, right, top = grid.bounds
    x, y = (left + right) / 2, (bottom + top) / 2
    _, lat = grid.to_map(x, y)
    column = _COLUMNS[zone % 3][int(x // 100_000) - 1]
    shift = 5 if zone % 2 == 0 else 0
    # South of the equator northings begin at 10 000 km, a whole number of rounds of the twenty letters.
    row = _ROWS[(int(y // 100_000) + shift) % 20]
    assert south == (lat < 0)
    return f"{zone}{_BANDS[int((lat + 80) // 8)]}{column}{row}"
