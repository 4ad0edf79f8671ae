"""The stereo pre-check: which pairs, which ground, how precise, how long; within a second or two.

There is no elevation model to tell where the ground is, so the overlap is sought at every altitude for which the
cameras were made; where in that range the ground lies is asked of the images, and if they do not tell, the altitude at
which they overlap best stands in for it. Mountains and islands, far from the middle of the range, are found this way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import shapely
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from bocage_processes.copies import check_not_a_copy, same_image
from bocage_processes.ground import Ground, area_of_interest, ground_for
from bocage_processes.imagery import SensorImage
from bocage_processes.overlap import Geometries, angle_between, base_to_height, central_view, centre, find_overlaps
from bocage_processes.process import InputRefused, Limits
from bocage_processes.rpc import Viewing
from bocage_processes.sweep import ground_altitude

MIN_CONVERGENCE_DEG, MAX_CONVERGENCE_DEG = 2.0, 45.0
ADVISED_CONVERGENCE_DEG = (4.0, 20.0)
"""DSM-OPT advises less than 20 degrees; beyond, walls and slopes hide from one of the views."""
MIN_RESOLUTION_GSD, MAX_RESOLUTION_GSD = 0.5, 20.0
MATCHING_PRECISION_PX = 0.25
"""Spread (NMAD) of dense matching, in pixels of parallax: 0.24 measured on the synthetic scene with CARS 1.3."""
SMALLEST_GRID_CELLS = 2_500
QUOTE_MARGIN = 1.1
"""Relief moves the true outline of the overlap away from the one at a constant altitude."""


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
    views: tuple[Viewing, ...]
    """From the middle of the overlap towards the sensor, by image."""
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
    altitude_from: Literal["images", "cameras"]
    """Whether the images told the initial altitude, or it is only where their footprints overlap best."""
    altitude_range: tuple[float, float]
    """Altitudes at which the images overlap, within the range of their RPC; ellipsoidal metres."""
    crs: str
    epsg: int
    resolution: float
    """Metres."""
    bounds: tuple[float, float, float, float]
    """Of what may be computed at any plausible altitude, in `crs`, snapped outwards to multiples of the resolution."""
    gsd_m: float
    """Of the coarsest image."""
    convergence_deg: float
    """Of the pair with the widest base."""
    base_to_height: float
    expected_precision_m: float
    megapixels: float
    """Upper bound: million cells of the elevation grid inside the area, times pairs."""
    cpu_seconds: float
    """Upper bound."""
    seconds: float
    """Estimate of the wall time."""
    memory_bytes: int
    disk_bytes: int
    output_bytes: int
    warnings: tuple[str, ...] = ()

    def findings(self) -> dict[str, Any]:
        """What a user should read before paying, as JSON."""
        return {
            "images": [
                {
                    "item": image.reference,
                    "width": image.width,
                    "height": image.height,
                    "gsd_m": round(image.gsd_m, 3),
                    "incidence_deg": round(view.incidence_deg, 2),
                    "azimuth_deg": round(view.azimuth_deg, 1),
                }
                for image, view in zip(self.images, self.views, strict=True)
            ],
            "reference": self.images[self.reference].reference,
            "pairs": [
                {
                    "items": [self.images[pair.left].reference, self.images[pair.right].reference],
                    "convergence_deg": round(pair.convergence_deg, 2),
                    "base_to_height": round(pair.base_to_height, 4),
                    "overlap_fraction": round(pair.overlap_fraction, 3),
                }
                for pair in self.pairs
            ],
            "convergence_deg": round(self.convergence_deg, 2),
            "base_to_height": round(self.base_to_height, 4),
            "expected_precision_m": round(self.expected_precision_m, 2),
            "gsd_m": round(self.gsd_m, 3),
            "resolution": self.resolution,
            "crs": self.crs,
            "bounds": list(self.bounds),
            "area": mapping(self.area),
            "initial_altitude": round(self.initial_altitude, 1),
            "altitude_from": self.altitude_from,
            "altitude_range": [round(altitude, 1) for altitude in self.altitude_range],
            "megapixels": self.megapixels,
        }


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
    `aoi-outside`, `area-too-small`, `absurd-resolution`, `crs-unsuitable`, `area-too-large` (with `proposed_aoi`),
    `memory-too-small`.
    """
    limits = limits or Limits()
    images = tuple(images)
    _check_set(images)
    gsd = max(image.gsd_m for image in images)
    resolution = _resolution(resolution, gsd)
    ground = ground_for(*centre(images[0]), crs)
    wanted = area_of_interest(aoi)

    reference = _reference([central_view(image) for image in images])
    others = [index for index in range(len(images)) if index != reference]
    overlaps = find_overlaps(images, reference, others, ground)
    told = _altitude_told(images[reference], images[others[0]], overlaps.altitude_range)
    best = overlaps.initial(images[reference].model.height_offset) if told is None else overlaps.nearest(told)
    altitude = float(overlaps.altitudes[best]) if told is None else told
    overlap = overlaps.at(best)
    ground.check_distortion(overlap)
    lon, lat = ground.lon_lat(overlap.centroid.x, overlap.centroid.y)

    views = tuple(image.model.viewing(lon, lat, altitude) for image in images)
    for first, second in combinations(range(len(images)), 2):
        check_not_a_copy(
            images[first], images[second], (lon, lat, altitude), angle_between(views[first], views[second])
        )
    pairs = tuple(
        _pair(images, views, reference, other, float(overlaps.fractions[index, best]))
        for index, other in enumerate(others)
    )
    widest = max(pairs, key=lambda pair: pair.base_to_height)

    seen = overlaps.plausible(told)
    warnings = _geometry_warnings(pairs)
    area = overlap
    if wanted is not None:
        asked = ground.project(wanted)
        seen, area = _within(seen, overlap, asked)
        outside = 1 - float(shapely.union_all(seen).area) / asked.area
        if outside > 0.01:
            warnings.append(f"{outside:.0%} of the area of interest lies outside the stereo overlap: left out.")
    megapixels = _megapixels(seen, resolution, len(pairs))
    if megapixels * 1e6 / len(pairs) < SMALLEST_GRID_CELLS:
        raise InputRefused(
            "area-too-small",
            f"The area has fewer than {SMALLEST_GRID_CELLS} cells of {resolution:g} m.",
            "Ask for a larger area or a finer resolution.",
        )
    if megapixels > limits.max_megapixels:
        raise _too_large(megapixels, limits.max_megapixels, seen, area, resolution, len(pairs), ground)

    extent = shapely.union_all(seen)
    bounds = _snapped(extent.bounds, resolution)
    sensor_mpx = float(extent.area) / gsd**2 / 1e6
    # measured with CARS 1.3: about 40 s of fixed cost, then 120 s per million pixels and pair
    likely_cpu = 40 + (5 + 130 * sensor_mpx) * len(pairs)
    memory = int(min(1.3e9 + 0.5e9 * sensor_mpx, 1.5e9 + 2e9 * limits.max_cores))
    if memory > limits.max_memory_bytes:
        raise InputRefused(
            "memory-too-small",
            f"This needs about {memory / 1e9:.1f} GB of memory; {limits.max_memory_bytes / 1e9:.1f} GB are allowed.",
            "Ask for a smaller area.",
        )
    box_cells = (bounds[2] - bounds[0]) * (bounds[3] - bounds[1]) / resolution**2
    return StereoPlan(
        images=images,
        views=views,
        reference=reference,
        pairs=pairs,
        overlap=ground.unproject(overlap),
        area=ground.unproject(area),
        aoi=None if wanted is None else dict(mapping(wanted)),
        initial_altitude=altitude,
        altitude_from="cameras" if told is None else "images",
        altitude_range=overlaps.altitude_range,
        crs=f"EPSG:{ground.epsg}",
        epsg=ground.epsg,
        resolution=resolution,
        bounds=bounds,
        gsd_m=gsd,
        convergence_deg=widest.convergence_deg,
        base_to_height=widest.base_to_height,
        expected_precision_m=MATCHING_PRECISION_PX * gsd / widest.base_to_height,
        megapixels=megapixels,
        cpu_seconds=math.ceil(1.5 * likely_cpu),
        seconds=math.ceil(1.1 * likely_cpu),
        memory_bytes=memory,
        disk_bytes=int(300e6 + 350e6 * sensor_mpx * len(pairs) + 80 * box_cells),
        output_bytes=int(40 * box_cells),
        warnings=tuple(warnings),
    )


def _check_set(images: tuple[SensorImage, ...]) -> None:
    if not 2 <= len(images) <= 3:
        raise InputRefused(
            "image-count",
            f"{len(images)} image{'s' if len(images) != 1 else ''} given: 2 (stereo) or 3 (tri-stereo) are needed.",
            "Name two or three images of the same place, taken from different directions.",
            count=len(images),
        )
    for first, second in combinations(images, 2):
        if first.digest == second.digest or (first.reference and first.reference == second.reference):
            raise same_image(first, second)
        if first.bands != second.bands:
            raise InputRefused(
                "band-count",
                f"{first.reference} has {first.bands} band(s) and {second.reference} {second.bands}.",
                "Give images of one kind, best the panchromatic ones.",
            )


def _altitude_told(first: SensorImage, second: SensorImage, altitudes: tuple[float, float]) -> float | None:
    base = base_to_height(central_view(first), central_view(second))
    # too narrow a base tells nothing, and is refused later
    return ground_altitude(first, second, altitudes, base) if base > 0.02 else None


def _resolution(asked: float | None, gsd: float) -> float:
    if asked is None:
        return max(0.05, round(gsd / 0.05) * 5 / 100)
    low, high = MIN_RESOLUTION_GSD * gsd, MAX_RESOLUTION_GSD * gsd
    if not low * 0.99 <= asked <= high * 1.01:
        raise InputRefused(
            "absurd-resolution",
            f"A resolution of {asked:g} m makes no sense for pixels of {gsd:.2f} m.",
            f"Ask for {low:.2f} to {high:.1f} m, or leave it out for the images' own.",
            minimum=round(low, 2),
            maximum=round(high, 1),
        )
    return float(asked)


def _reference(views: Sequence[Viewing]) -> int:
    """The middle one of three directions, the more vertical one of two."""
    if len(views) == 2:
        return min(range(2), key=lambda index: views[index].incidence_deg)
    return min(range(len(views)), key=lambda index: max(angle_between(views[index], other) for other in views))


def _pair(images: Sequence[SensorImage], views: Sequence[Viewing], left: int, right: int, overlap: float) -> StereoPair:
    convergence = angle_between(views[left], views[right])
    if not MIN_CONVERGENCE_DEG <= convergence <= MAX_CONVERGENCE_DEG:
        raise InputRefused(
            "convergence",
            f"{images[left].reference} and {images[right].reference} are seen under {convergence:.1f}° of each other: "
            f"{MIN_CONVERGENCE_DEG:g} to {MAX_CONVERGENCE_DEG:g}° are accepted.",
            "Give images of one pass whose directions differ by 5 to 15°.",
            convergence_deg=round(convergence, 2),
        )
    return StereoPair(left, right, convergence, base_to_height(views[left], views[right]), overlap)


def _geometry_warnings(pairs: Sequence[StereoPair]) -> list[str]:
    warnings = []
    for pair in pairs:
        if pair.convergence_deg > ADVISED_CONVERGENCE_DEG[1]:
            warnings.append(f"{pair.convergence_deg:.0f}° of convergence: walls and steep slopes may stay empty.")
        elif pair.convergence_deg < ADVISED_CONVERGENCE_DEG[0]:
            warnings.append(f"{pair.convergence_deg:.1f}° of convergence: heights will be coarse.")
    return warnings


def _within(seen: Geometries, overlap: BaseGeometry, asked: BaseGeometry) -> tuple[Geometries, BaseGeometry]:
    inside = shapely.intersection(seen, asked)
    if shapely.area(inside).max() <= 0:
        raise InputRefused(
            "aoi-outside",
            "The area of interest lies outside the ground that the images have in common.",
            "Draw it inside the overlap, or leave it out.",
        )
    area = overlap.intersection(asked)
    return inside, area if area.area > 0 else inside[int(np.argmax(shapely.area(inside)))]


def _megapixels(seen: Geometries, resolution: float, pairs: int) -> float:
    return math.ceil(QUOTE_MARGIN * float(shapely.area(seen).max()) / resolution**2 * pairs / 1e3) / 1000


def _too_large(
    megapixels: float,
    limit: float,
    seen: Geometries,
    area: BaseGeometry,
    resolution: float,
    pairs: int,
    ground: Ground,
) -> InputRefused:
    centre = shapely.point_on_surface(area)
    low, high = 0.0, 1.0
    for _ in range(20):
        scale = (low + high) / 2
        part = shapely.affinity.scale(area, scale, scale, origin=centre)
        fits = _megapixels(shapely.intersection(seen, part), resolution, pairs) <= 0.99 * limit
        low, high = (scale, high) if fits else (low, scale)
    proposed = ground.unproject(shapely.affinity.scale(area, low, low, origin=centre).intersection(area))
    coarser = math.ceil(resolution * math.sqrt(megapixels / limit) * 20) / 20
    return InputRefused(
        "area-too-large",
        f"{megapixels:g} megapixels (cells × pairs) asked for; the limit is {limit:g}.",
        f"Take the proposed area of interest, or a resolution of {coarser:g} m.",
        megapixels=megapixels,
        limit=limit,
        proposed_aoi=mapping(shapely.set_precision(proposed, 1e-7)),
        proposed_resolution=coarser,
    )


def _snapped(bounds: tuple[float, float, float, float], resolution: float) -> tuple[float, float, float, float]:
    left, bottom, right, top = bounds
    return (
        math.floor(left / resolution) * resolution,
        math.floor(bottom / resolution) * resolution,
        math.ceil(right / resolution) * resolution,
        math.ceil(top / resolution) * resolution,
    )
