"""The stereo pre-check: which pairs, which ground, how precise, how long; from the cameras alone, within a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shapely.geometry.base import BaseGeometry

from bocage_processes.imagery import SensorImage
from bocage_processes.process import Limits


@dataclass(frozen=True)
class StereoPair:
    """Two images by their index; `left` is the reference."""

    left: int
    right: int
    convergence_deg: float
    base_to_height: float
    overlap_fraction: float
    """Overlap at the initial altitude / footprint of the smaller image."""


@dataclass(frozen=True)
class StereoPlan:
    """What is going to be computed, and an upper bound of what it takes."""

    images: tuple[SensorImage, ...]
    reference: int
    """Index of the image whose pixels are matched in the others."""
    pairs: tuple[StereoPair, ...]
    overlap: BaseGeometry
    """Ground seen in stereo at the initial altitude; lon, lat."""
    area: BaseGeometry
    """What is computed: the overlap, within the area of interest if there is one; lon, lat."""
    aoi: dict[str, Any] | None
    """The area of interest as asked, as a GeoJSON geometry; None = the whole overlap."""
    initial_altitude: float
    """Ellipsoidal metres, for an engine without an elevation model."""
    altitude_range: tuple[float, float]
    """Altitudes at which the images overlap, within the range of their RPC; ellipsoidal metres."""
    crs: str
    epsg: int
    resolution: float
    """Metres."""
    bounds: tuple[float, float, float, float]
    """Of `area` at every altitude of the range, in `crs`, snapped outwards to multiples of the resolution."""
    gsd_m: float
    convergence_deg: float
    """Of the pair with the widest base."""
    base_to_height: float
    expected_precision_m: float
    megapixels: float
    """Upper bound: million cells of the elevation grid inside the area, times pairs."""
    cpu_seconds: float
    seconds: float
    memory_bytes: int
    disk_bytes: int
    output_bytes: int
    warnings: tuple[str, ...] = ()

    def findings(self) -> dict[str, Any]:
        """What a user should read before paying, as JSON."""
        raise NotImplementedError


def plan_stereo(
    images: Sequence[SensorImage],
    *,
    aoi: Mapping[str, Any] | None = None,
    resolution: float | None = None,
    crs: str | None = None,
    limits: Limits | None = None,
) -> StereoPlan:
    """Decide on pairs, area, grid and cost.

    aoi: GeoJSON Polygon, MultiPolygon or Feature, lon/lat. resolution: metres; default from the pixel size.
    crs: `EPSG:n`, projected in metres; default the local UTM zone (WGS 84).
    Raises `InputRefused`: `image-count`, `band-count`, `same-image`, `no-overlap`, `convergence`, `aoi-invalid`,
    `aoi-outside`, `absurd-resolution`, `crs-unsuitable`, `area-too-large` (with `proposed_aoi`), `memory-too-small`.
    """
    raise NotImplementedError
