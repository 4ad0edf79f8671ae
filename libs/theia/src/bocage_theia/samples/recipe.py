"""What a sample of a product line is made of: a place, a day, a grid, and for each asset what it shows."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bocage_theia.samples.grids import Grid, around, utm_of
from bocage_theia.samples.landscape import Landscape
from bocage_theia.samples.noise import Floats
from bocage_theia.samples.places import Place

LAMBERT, DEGREES = 2154, 4326
Values = Floats | Sequence[Floats]
Shown = Callable[[Landscape, int], Values]


@dataclass(frozen=True)
class Layer:
    """What an asset shows, band by band, and how much wider its cells are than the landscape's."""

    shown: Shown
    coarser: int = 1


@dataclass(frozen=True)
class Table:
    """An asset that is no raster: the end of its file's name, and what writes it."""

    suffix: str
    write: Callable[[Landscape, int, Path], None]


@dataclass(frozen=True)
class Recipe:
    """A sample. `first` and `last` are dates; of one day there is the first alone."""

    collection: str
    place: Place
    first: str
    last: str | None = None
    epsg: int | None = None
    """None: the UTM zone of the place."""
    cell: float = 10.0
    """In metres; in a system of degrees, the degrees."""
    size: int = 192
    scale: float = 1.0
    day: int | None = None
    """The day of the year that the landscape is in; by default that of the first date."""
    assets: Mapping[str, Layer | Shown] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)

    @property
    def grid(self) -> Grid:
        epsg = self.epsg or utm_of(self.place.lon, self.place.lat)
        widest = self.cell * max((self.layer(asset).coarser for asset in self.assets), default=1)
        return around(epsg, self.place.lon, self.place.lat, self.cell, self.size, widest)

    @property
    def day_of_year(self) -> int:
        return self.day or datetime.date.fromisoformat(self.first).timetuple().tm_yday

    def layer(self, asset: str) -> Layer:
        found = self.assets[asset]
        return found if isinstance(found, Layer) else Layer(found)
