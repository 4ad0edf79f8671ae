"""Where an image with a rational polynomial camera (RPC00B) lies on the ground.

Just enough for a footprint and a ground sampling distance; the platform's processes have the full model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Affine6 = tuple[float, float, float, float, float, float]
IDENTITY: Affine6 = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

_STEPS = 20
_DIFFERENCE = 1e-5
_ACCEPTED_PX = 0.05
_METRES_PER_DEGREE = 111_320.0
# exponents of longitude, latitude and height in the order of RPC00B
_EXPONENTS = np.array([
    (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (2, 0, 0), (0, 2, 0), (0, 0, 2),
    (1, 1, 1), (3, 0, 0), (1, 2, 0), (1, 0, 2), (2, 1, 0), (0, 3, 0), (0, 1, 2), (2, 0, 1), (0, 2, 1), (0, 0, 3),
])  # fmt: skip


class OffTheGround(ValueError):
    """The model does not place the image on the ground."""


@dataclass(frozen=True)
class Rpc:
    """Offsets in pixels of the full image, 0 = centre of the first pixel; WGS 84 degrees; metres above the ellipsoid.

    `line` and `sample` hold numerator then denominator, 20 coefficients each.
    """

    line: tuple[tuple[float, ...], tuple[float, ...]]
    sample: tuple[tuple[float, ...], tuple[float, ...]]
    line_offset: float
    line_scale: float
    sample_offset: float
    sample_scale: float
    lon_offset: float
    lon_scale: float
    lat_offset: float
    lat_scale: float
    height_offset: float
    height_scale: float

    def __post_init__(self) -> None:
        if any(len(part) != 20 for part in (*self.line, *self.sample)):
            raise ValueError("a polynomial needs 20 coefficients")
        numbers = [v for v in vars(self).values() if isinstance(v, float)]
        numbers += [c for part in (*self.line, *self.sample) for c in part]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("a number is not finite")
        scales = (self.line_scale, self.sample_scale, self.lon_scale, self.lat_scale, self.height_scale)
        if min(scales) <= 0:
            raise ValueError("a scale is not above zero")
        if abs(self.lat_offset) > 90 or abs(self.lon_offset) > 360:
            raise ValueError("the centre is not on Earth")

    def project(self, lon: Floats, lat: Floats, height: float) -> tuple[Floats, Floats]:
        """Ground to full image: sample, line."""
        x = (np.remainder(lon - self.lon_offset + 180.0, 360.0) - 180.0) / self.lon_scale
        y = (lat - self.lat_offset) / self.lat_scale
        z = np.full_like(x, (height - self.height_offset) / self.height_scale)
        terms = np.prod(np.stack([x, y, z], axis=-1)[..., None, :] ** _EXPONENTS, axis=-1)
        line = (terms @ np.array(self.line[0])) / (terms @ np.array(self.line[1]))
        sample = (terms @ np.array(self.sample[0])) / (terms @ np.array(self.sample[1]))
        return sample * self.sample_scale + self.sample_offset, line * self.line_scale + self.line_offset

    def localise(self, sample: Floats, line: Floats, height: float) -> tuple[Floats, Floats]:
        """Full image to ground at one height: lon, lat. Newton's method; raises OffTheGround."""
        lon, lat = np.full(sample.shape, self.lon_offset), np.full(sample.shape, self.lat_offset)
        step_lon, step_lat = self.lon_scale * _DIFFERENCE, self.lat_scale * _DIFFERENCE
        with np.errstate(all="ignore"):
            for _ in range(_STEPS):
                s, r = self.project(lon, lat, height)
                miss_s, miss_r = sample - s, line - r
                if (np.hypot(miss_s, miss_r) < _ACCEPTED_PX / 100).all():
                    break
                s_lon, r_lon = self.project(lon + step_lon, lat, height)
                s_lat, r_lat = self.project(lon, lat + step_lat, height)
                a, b = (s_lon - s) / step_lon, (s_lat - s) / step_lat
                c, d = (r_lon - r) / step_lon, (r_lat - r) / step_lat
                determinant = a * d - b * c
                lon = lon + (d * miss_s - b * miss_r) / determinant
                lat = lat + (a * miss_r - c * miss_s) / determinant
            s, r = self.project(lon, lat, height)
            if not (np.hypot(s - sample, r - line) < _ACCEPTED_PX).all():
                raise OffTheGround
        return lon, lat


@dataclass(frozen=True)
class Footprint:
    """`ring`: closed, counter-clockwise, lon and lat in degrees."""

    ring: tuple[tuple[float, float], ...]
    bbox: tuple[float, float, float, float]
    gsd_m: float
    off_nadir_deg: float
    azimuth_deg: float
    """Of the sensor seen from the ground, clockwise from north."""


def footprint(model: Rpc, width: int, height: int, crop: Affine6 = IDENTITY, per_side: int = 4) -> Footprint:
    """Ground seen by a file of that size at the model's height offset.

    `crop` maps corner-based pixels of the file to those of the full image: the geotransform of a crop without CRS.
    Raises OffTheGround.
    """
    t = np.arange(per_side) / per_side
    zero, one = np.zeros(per_side), np.ones(per_side)
    cols, rows = np.concatenate([t, one, 1 - t, zero]) * width, np.concatenate([zero, t, one, 1 - t]) * height
    lon, lat = model.localise(*_in_full_image(cols, rows, crop), model.height_offset)
    if np.ptp(lon) > 5 or np.ptp(lat) > 5 or np.abs(lat).max() > 90:
        raise OffTheGround
    lon = np.remainder(lon + 180.0, 360.0) - 180.0 if lon.max() <= 180 and lon.min() >= -180 else lon
    ring = [(round(float(x), 8), round(float(y), 8)) for x, y in zip(lon, lat, strict=True)]
    area = float(np.sum(lon * np.roll(lat, -1) - np.roll(lon, -1) * lat))
    if area == 0:
        raise OffTheGround
    ring = ring if area > 0 else ring[::-1]
    ring.append(ring[0])
    off_nadir, azimuth = _viewing(model, width, height, crop)
    return Footprint(
        ring=tuple(ring),
        bbox=(float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())),
        gsd_m=_gsd(model, width, height, crop),
        off_nadir_deg=off_nadir,
        azimuth_deg=azimuth,
    )


def _in_full_image(col: Floats, row: Floats, crop: Affine6) -> tuple[Floats, Floats]:
    a, b, c, d, e, f = crop
    return a * col + b * row + c - 0.5, d * col + e * row + f - 0.5


def _metres(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    return lon * _METRES_PER_DEGREE * math.cos(math.radians(float(lat.mean()))), lat * _METRES_PER_DEGREE


def _gsd(model: Rpc, width: int, height: int, crop: Affine6) -> float:
    col = width / 2 + np.array([-0.5, 0.5, 0.0, 0.0])
    row = height / 2 + np.array([0.0, 0.0, -0.5, 0.5])
    x, y = _metres(*model.localise(*_in_full_image(col, row, crop), model.height_offset))
    return math.sqrt(math.hypot(x[1] - x[0], y[1] - y[0]) * math.hypot(x[3] - x[2], y[3] - y[2]))


def _viewing(model: Rpc, width: int, height: int, crop: Affine6) -> tuple[float, float]:
    """Off-nadir angle (as incidence on the ground) and azimuth, from one pixel at two heights."""
    pixel = _in_full_image(np.array([width / 2]), np.array([height / 2]), crop)
    reach = min(100.0, model.height_scale)
    low = model.localise(*pixel, model.height_offset)
    high = model.localise(*pixel, model.height_offset + reach)
    x, y = _metres(np.concatenate([low[0], high[0]]), np.concatenate([low[1], high[1]]))
    east, north = float(x[1] - x[0]), float(y[1] - y[0])
    return math.degrees(math.atan(math.hypot(east, north) / reach)), math.degrees(math.atan2(east, north)) % 360
