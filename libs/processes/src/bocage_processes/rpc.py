"""Rational polynomial camera (RPC00B): ground to image, image to ground, line of sight.

Pixel convention, everywhere in this package: `col, row` are those of the *file* and an integer is the CENTRE of a
pixel, so the first pixel covers -0.5 to 0.5. Longitude and latitude are WGS 84 degrees; heights are metres above the
ellipsoid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from shapely.geometry import Polygon

Floats = NDArray[np.float64]
Coefficients = tuple[float, ...]

_CHUNK = 1 << 16
_NEWTON_STEPS = 12
_NEWTON_TOLERANCE_PX = 1e-6
_ACCEPTED_PX = 1e-4
# WGS 84
_SEMI_MAJOR = 6378137.0
_ECCENTRICITY2 = 6.69437999014e-3


@dataclass(frozen=True)
class Viewing:
    """Direction from a ground point towards the sensor."""

    azimuth_deg: float
    """Clockwise from north, 0 to 360."""
    incidence_deg: float
    """From the vertical of the place, 0 to 90."""
    unit: tuple[float, float, float]
    """East, north, up."""


@dataclass(frozen=True)
class RpcModel:
    """RPC of a full image, and where the file lies in it.

    Offsets are in the pixels of the full image (integer = centre, first = 0). `crop` maps a corner-based position in
    the file (0, 0 = corner of the first pixel) to one in the full image, as the six numbers a, b, c, d, e, f of an
    affine; identity unless the file is a crop or a resampling.
    """

    line_num: Coefficients
    line_den: Coefficients
    sample_num: Coefficients
    sample_den: Coefficients
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
    crop: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("line_num", "line_den", "sample_num", "sample_den"):
            coefficients = getattr(self, name)
            if len(coefficients) != 20 or not all(map(math.isfinite, coefficients)):
                raise ValueError(f"{name}: 20 finite coefficients expected")
        for name in ("line", "sample", "lon", "lat", "height"):
            if not math.isfinite(getattr(self, f"{name}_offset")):
                raise ValueError(f"{name}_offset is not a number")
            scale = getattr(self, f"{name}_scale")
            if not math.isfinite(scale) or scale <= 0:
                raise ValueError(f"{name}_scale must be above zero")
        if not any(self.line_den) or not any(self.sample_den):
            raise ValueError("a denominator is zero everywhere")
        if Affine(*self.crop).is_degenerate:
            raise ValueError("the crop has no surface")

    def with_crop(self, transform: Affine) -> RpcModel:
        """The same camera, for a file placed in the full image by this corner-based transform."""
        a, b, c, d, e, f = tuple(transform)[:6]
        return replace(self, crop=(a, b, c, d, e, f))

    @property
    def height_range(self) -> tuple[float, float]:
        """Lowest and highest height for which the model was made."""
        return self.height_offset - self.height_scale, self.height_offset + self.height_scale

    def project(self, lon: ArrayLike, lat: ArrayLike, height: ArrayLike) -> tuple[Floats, Floats]:
        """Ground to image: `col, row`, in the broadcast shape of the inputs. NaN in, NaN out; no bounds are applied."""
        lon_, lat_, height_ = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (lon, lat, height)))
        col, row = np.empty(lon_.shape), np.empty(lon_.shape)
        flat = lon_.ravel(), lat_.ravel(), height_.ravel()
        flat_col, flat_row = col.reshape(-1), row.reshape(-1)
        for start in range(0, flat[0].size, _CHUNK):
            part = slice(start, start + _CHUNK)
            x, y, z = self._normalised(flat[0][part], flat[1][part], flat[2][part])
            p = self._coefficients @ monomials(x, y, z)
            with np.errstate(divide="ignore", invalid="ignore"):
                flat_col[part], flat_row[part] = self._to_file(p[2] / p[3], p[0] / p[1])
        return col, row

    def localise(self, col: ArrayLike, row: ArrayLike, height: ArrayLike) -> tuple[Floats, Floats]:
        """Image to ground at given heights: `lon, lat`, in the broadcast shape of the inputs.

        Newton's method on `project`; NaN where it ends farther than 1e-4 pixel from the pixel asked for.
        """
        col_, row_, height_ = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (col, row, height)))
        lon, lat = np.empty(col_.shape), np.empty(col_.shape)
        flat = col_.ravel(), row_.ravel(), height_.ravel()
        flat_lon, flat_lat = lon.reshape(-1), lat.reshape(-1)
        for start in range(0, flat[0].size, _CHUNK):
            part = slice(start, start + _CHUNK)
            flat_lon[part], flat_lat[part] = self._newton(flat[0][part], flat[1][part], flat[2][part])
        return lon, lat

    def viewing(self, lon: float, lat: float, height: float) -> Viewing:
        """Line of sight through a ground point, from the positions of its pixel at two heights."""
        col, row = self.project(lon, lat, height)
        reach = max(1.0, min(self.height_scale / 2, 100.0))
        lons, lats = self.localise(col, row, np.array([height - reach, height + reach]))
        low, high = geocentric(lons, lats, np.array([height - reach, height + reach])).T
        east, north, up = _local_axes(lon, lat)
        sight = np.array([axis @ (high - low) for axis in (east, north, up)])
        sight /= np.linalg.norm(sight)
        return Viewing(
            azimuth_deg=math.degrees(math.atan2(sight[0], sight[1])) % 360.0,
            incidence_deg=math.degrees(math.acos(min(1.0, float(sight[2])))),
            unit=(float(sight[0]), float(sight[1]), float(sight[2])),
        )

    def border(self, width: int, height_px: int, heights: ArrayLike, per_side: int = 4) -> tuple[Floats, Floats]:
        """Lon and lat of the outer edge of a file of that size, shape (heights, 4 * per_side)."""
        t = np.arange(per_side) / per_side
        zero, one = np.zeros(per_side), np.ones(per_side)
        col = np.concatenate([t, one, 1 - t, zero]) * width - 0.5
        row = np.concatenate([zero, t, one, 1 - t]) * height_px - 0.5
        return self.localise(col[None, :], row[None, :], np.atleast_1d(np.asarray(heights, np.float64))[:, None])

    def footprint(self, width: int, height_px: int, h: float) -> Polygon:
        """Ground seen by a file of `width` x `height_px` pixels at the constant height `h`; lon, lat.

        Empty where the model does not reach that height.
        """
        lon, lat = self.border(width, height_px, h)
        if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
            return Polygon()
        return Polygon(np.column_stack([lon[0], lat[0]]))

    @cached_property
    def _coefficients(self) -> Floats:
        return np.array([self.line_num, self.line_den, self.sample_num, self.sample_den], np.float64)

    def _normalised(self, lon: Floats, lat: Floats, height: Floats) -> tuple[Floats, Floats, Floats]:
        # a scene may lie across the antimeridian
        d_lon = np.remainder(lon - self.lon_offset + 180.0, 360.0) - 180.0
        return (
            d_lon / self.lon_scale,
            (lat - self.lat_offset) / self.lat_scale,
            (height - self.height_offset) / self.height_scale,
        )

    def _to_file(self, sample: Floats, line: Floats) -> tuple[Floats, Floats]:
        """Normalised sample and line to `col, row` of the file."""
        x = sample * self.sample_scale + self.sample_offset + 0.5
        y = line * self.line_scale + self.line_offset + 0.5
        a, b, c, d, e, f = tuple(~Affine(*self.crop))[:6]
        return a * x + b * y + c - 0.5, d * x + e * y + f - 0.5

    def _to_normalised(self, col: Floats, row: Floats) -> tuple[Floats, Floats]:
        """`col, row` of the file to normalised sample and line."""
        a, b, c, d, e, f = self.crop
        x, y = a * (col + 0.5) + b * (row + 0.5) + c - 0.5, d * (col + 0.5) + e * (row + 0.5) + f - 0.5
        return (x - self.sample_offset) / self.sample_scale, (y - self.line_offset) / self.line_scale

    def _newton(self, col: Floats, row: Floats, height: Floats) -> tuple[Floats, Floats]:
        sample, line = self._to_normalised(col, row)
        z = (height - self.height_offset) / self.height_scale
        x, y = np.zeros(sample.shape), np.zeros(sample.shape)
        error = np.full(sample.shape, np.inf)
        with np.errstate(all="ignore"):
            for _ in range(_NEWTON_STEPS):
                p = self._coefficients @ monomials(x, y, z)
                px = self._coefficients @ _monomials_by_x(x, y, z)
                py = self._coefficients @ _monomials_by_y(x, y, z)
                line_now, sample_now = p[0] / p[1], p[2] / p[3]
                d_line, d_sample = line - line_now, sample - sample_now
                error = np.hypot(d_line * self.line_scale, d_sample * self.sample_scale)
                if not (error > _NEWTON_TOLERANCE_PX).any():
                    break
                line_x, line_y = (px[0] - line_now * px[1]) / p[1], (py[0] - line_now * py[1]) / p[1]
                sample_x, sample_y = (px[2] - sample_now * px[3]) / p[3], (py[2] - sample_now * py[3]) / p[3]
                determinant = line_x * sample_y - line_y * sample_x
                x = x + (sample_y * d_line - line_y * d_sample) / determinant
                y = y + (line_x * d_sample - sample_x * d_line) / determinant
        lost = ~(error < _ACCEPTED_PX)
        lon = x * self.lon_scale + self.lon_offset
        lat = y * self.lat_scale + self.lat_offset
        lon[lost] = lat[lost] = np.nan
        return lon, lat


def monomials(x: Floats, y: Floats, z: Floats) -> Floats:
    """The 20 terms in RPC00B order, shape (20, n); x, y, z: normalised longitude, latitude, height."""
    return np.stack([
        np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x, y * y, z * z,
        x * y * z, x * x * x, x * y * y, x * z * z, x * x * y, y * y * y, y * z * z, x * x * z, y * y * z, z * z * z,
    ])  # fmt: skip


def _monomials_by_x(x: Floats, y: Floats, z: Floats) -> Floats:
    o, u = np.zeros_like(x), np.ones_like(x)
    return np.stack([
        o, u, o, o, y, z, o, 2 * x, o, o,
        y * z, 3 * x * x, y * y, z * z, 2 * x * y, o, o, 2 * x * z, o, o,
    ])  # fmt: skip


def _monomials_by_y(x: Floats, y: Floats, z: Floats) -> Floats:
    o, u = np.zeros_like(x), np.ones_like(x)
    return np.stack([
        o, o, u, o, x, o, z, o, 2 * y, o,
        x * z, o, 2 * x * y, o, x * x, 3 * y * y, z * z, o, 2 * y * z, o,
    ])  # fmt: skip


def geocentric(lon: Floats, lat: Floats, height: Floats) -> Floats:
    """Earth-centred X, Y, Z in metres, shape (3, n)."""
    lam, phi = np.radians(lon), np.radians(lat)
    normal = _SEMI_MAJOR / np.sqrt(1 - _ECCENTRICITY2 * np.sin(phi) ** 2)
    return np.stack([
        (normal + height) * np.cos(phi) * np.cos(lam),
        (normal + height) * np.cos(phi) * np.sin(lam),
        (normal * (1 - _ECCENTRICITY2) + height) * np.sin(phi),
    ])  # fmt: skip


def _local_axes(lon: float, lat: float) -> tuple[Floats, Floats, Floats]:
    lam, phi = math.radians(lon), math.radians(lat)
    return (
        np.array([-math.sin(lam), math.cos(lam), 0.0]),
        np.array([-math.sin(phi) * math.cos(lam), -math.sin(phi) * math.sin(lam), math.cos(phi)]),
        np.array([math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)]),
    )
