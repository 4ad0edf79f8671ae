"""A synthetic tri-stereo scene with its truth, the same bytes every time.

A fractal relief with flat-roofed buildings, under a fractal texture, is seen along three parallel directions. Each
pixel's ray is followed down to the surface, so walls hide what is behind them. The cameras are given as RPC models in
the images' tags, fitted to the exact geometry. There are no shadows and no trees, and walls have no texture.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter, minimum_filter, spline_filter

from bocage_processes.rpc import Floats, monomials

EPSG = 32631
CENTRE = (570_000.0, 4_830_000.0)
"""East of Montpellier."""
GSD = 0.5
GROUND_HEIGHT = 120.0
VIEWS: Mapping[str, tuple[float, float]] = MappingProxyType({
    "fwd": (-0.01, -0.13),
    "nadir": (0.06, 0.0),
    "bwd": (-0.02, 0.13),
})  # fmt: skip
"""Tangents (east, north) by which a ground point slides in the image, metre per metre of height.

Across track the middle view leans the other way than the outer ones, as an agile satellite's views may: what is hidden
in it beside a wall is then seen by another, and a true ortho has something to fill its holes from."""
SMALLEST, LARGEST = 150, 4000
_MARGIN = 48
_BUILDING_HEIGHTS = (5.5, 21.5)
_BRIGHTNESS, _CONTRAST = 1300.0, 250.0
_NOISE_FRACTION, _NOISE_FLOOR = 0.012, 2.0
_MARCH = 0.25
_RPC_REACH_M = 150.0


@dataclass(frozen=True)
class Scene:
    """Where the files of a scene are, and what is known of it."""

    folder: Path
    views: Mapping[str, Path]
    """`fwd`, `nadir`, `bwd`: uint16 images with RPC tags."""
    truth_dsm: Path
    """Ellipsoidal heights, metres."""
    truth_ortho: Path
    truth_label: Path
    """0 = ground, k = building k."""
    epsg: int
    gsd_m: float
    buildings: int
    rpc_residual_px: float
    """Largest distance between the RPC and the exact geometry."""


@dataclass(frozen=True)
class _Surface:
    """Height, texture (standardised) and building number on a square grid, `left, top` being its corner."""

    height: Floats
    texture: Floats
    label: NDArray[np.int16]
    left: float
    top: float

    def sample(self, grid: Floats, x: Floats, y: Floats, order: Literal[0, 1, 3]) -> Floats:
        """`grid` at ground positions; for order 3, `grid` holds spline coefficients."""
        at = np.stack([(self.top - y) / GSD - 0.5, (x - self.left) / GSD - 0.5])
        values: Floats = map_coordinates(grid, at, order=order, mode="nearest", prefilter=False)
        return values


def make_scene(folder: Path, *, size: int = 700, seed: int = 42) -> Scene:
    """Write fwd.tif, nadir.tif, bwd.tif (`size` pixels across) and truth_dsm.tif, truth_ortho.tif, truth_label.tif.

    The truth covers a little more ground than the images. ValueError unless 150 <= size <= 4000.
    """
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size must be from {SMALLEST} to {LARGEST} pixels")
    folder.mkdir(parents=True, exist_ok=True)
    surface = _surface(size, np.random.default_rng(seed))
    views: dict[str, Path] = {}
    residual = 0.0
    for number, (name, tangents) in enumerate(VIEWS.items()):
        rpc, error = _fitted(tangents, size)
        residual = max(residual, error)
        views[name] = folder / f"{name}.tif"
        image = _render(surface, tangents, size, np.random.default_rng([seed, number]))
        _write_view(views[name], image, rpc)
    if residual >= 0.01:
        raise AssertionError(f"the RPC models miss the exact geometry by {residual:.3g} pixel")
    truths = {
        "truth_dsm": surface.height.astype("float32"),
        "truth_ortho": (_BRIGHTNESS + _CONTRAST * surface.texture).astype("float32"),
        "truth_label": surface.label,
    }
    for name, grid in truths.items():
        _write_ground(folder / f"{name}.tif", grid, surface)
    return Scene(
        folder=folder,
        views=MappingProxyType(views),
        truth_dsm=folder / "truth_dsm.tif",
        truth_ortho=folder / "truth_ortho.tif",
        truth_label=folder / "truth_label.tif",
        epsg=EPSG,
        gsd_m=GSD,
        buildings=int(surface.label.max()),
        rpc_residual_px=residual,
    )


def _fractal(cells: int, slope: float, rng: np.random.Generator) -> Floats:
    """Random field of mean 0 and deviation 1 whose power falls as frequency ** -slope."""
    frequency = np.hypot(np.fft.fftfreq(cells)[:, None], np.fft.rfftfreq(cells)[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((cells, cells))) * frequency ** (-slope / 2)
    field: Floats = np.fft.irfft2(spectrum, s=(cells, cells))
    field /= field.std()
    return field


def _surface(size: int, rng: np.random.Generator) -> _Surface:
    cells = size + 2 * _MARGIN
    # smaller scenes get less relief, so that slopes stay those of a landscape
    relief = 8.0 * min(1.0, cells / 800)
    terrain = GROUND_HEIGHT + relief * gaussian_filter(_fractal(cells, 4.2, rng), 3)
    texture = 0.6 * _fractal(cells, 1.8, rng) + 0.4 * _fractal(cells, 0.9, rng)
    height, label = terrain.copy(), np.zeros((cells, cells), np.int16)

    # one building per plot, well inside the part that all views see
    plots = max(2, round(size / 140))
    inner = size * 0.9
    plot = inner / plots
    first = _MARGIN + (size - inner) / 2
    for number in range(plots * plots):
        tall, wide = (int(side) for side in rng.uniform(0.3, 0.62, 2) * plot)
        row = int(first + (number // plots) * plot + rng.uniform(0.05, 0.95) * (plot - tall))
        col = int(first + (number % plots) * plot + rng.uniform(0.05, 0.95) * (plot - wide))
        place = (slice(row, row + tall), slice(col, col + wide))
        lowest, highest = float(terrain[place].min()), float(terrain[place].max())
        low, high = _BUILDING_HEIGHTS
        # from 5.5 m over the highest ground to 21.5 m over the lowest
        height[place] = rng.uniform(highest + low, max(highest + low, lowest + high))
        label[place] = number + 1
        texture[place] += rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 1.7)
    half = cells * GSD / 2
    return _Surface(height, texture, label, CENTRE[0] - half, CENTRE[1] + half)


def _in_image(x: Floats, y: Floats, height: Floats, tangents: tuple[float, float], size: int) -> tuple[Floats, Floats]:
    """The exact camera: `col, row`, an integer being the centre of a pixel."""
    half = size * GSD / 2
    above = height - GROUND_HEIGHT
    return (
        (x + above * tangents[0] - (CENTRE[0] - half)) / GSD - 0.5,
        (CENTRE[1] + half - (y + above * tangents[1])) / GSD - 0.5,
    )


def _fitted(tangents: tuple[float, float], size: int) -> tuple[RPC, float]:
    """RPC with denominators 1 fitted to the exact camera by least squares, and its largest error in pixels."""
    steps = np.linspace(-1, 1, 13)
    reach = size * GSD * 0.75
    east, north, up = np.meshgrid(steps * reach, steps * reach, steps * _RPC_REACH_M, indexing="ij")
    x, y, height = CENTRE[0] + east.ravel(), CENTRE[1] + north.ravel(), GROUND_HEIGHT + up.ravel()
    lon, lat = Transformer.from_crs(EPSG, 4326, always_xy=True).transform(x, y)
    col, row = _in_image(x, y, height, tangents, size)

    def normalised(values: Floats) -> tuple[Floats, float, float]:
        middle, half = (values.max() + values.min()) / 2, (values.max() - values.min()) / 2
        return (values - middle) / half, float(middle), float(half)

    (lon_n, lon_off, lon_scale), (lat_n, lat_off, lat_scale) = normalised(lon), normalised(lat)
    (height_n, height_off, height_scale) = normalised(height)
    (col_n, samp_off, samp_scale), (row_n, line_off, line_scale) = normalised(col), normalised(row)
    terms = monomials(lon_n, lat_n, height_n).T
    samp, line = (np.linalg.lstsq(terms, values, rcond=None)[0] for values in (col_n, row_n))
    error = np.hypot((terms @ samp - col_n) * samp_scale, (terms @ line - row_n) * line_scale).max()
    one = [1.0] + [0.0] * 19
    rpc = RPC(
        height_off=height_off, height_scale=height_scale, lat_off=lat_off, lat_scale=lat_scale,
        long_off=lon_off, long_scale=lon_scale, line_off=line_off, line_scale=line_scale,
        samp_off=samp_off, samp_scale=samp_scale, line_num_coeff=line.tolist(), line_den_coeff=one,
        samp_num_coeff=samp.tolist(), samp_den_coeff=one, err_bias=0.0, err_rand=0.0,
    )  # fmt: skip
    return rpc, float(error)


def _first_hit(surface: _Surface, x: Floats, y: Floats, tangents: tuple[float, float]) -> Floats:
    """Height at which each ray, through `x, y` at the ground height, first meets the surface from above.

    The rays go down together in steps, each from the highest surface in its reach, and end by bisection.
    """
    height = surface.height
    above = max(float(height.max()) - GROUND_HEIGHT, GROUND_HEIGHT - float(height.min())) + 1
    window = 2 * math.ceil(above * max(map(abs, tangents)) / GSD) + 3
    upper = surface.sample(maximum_filter(height, window), x, y, 0) + _MARCH
    lower = surface.sample(minimum_filter(height, window), x, y, 0) - _MARCH

    def under(z: Floats, rays: NDArray[np.intp]) -> NDArray[np.bool_]:
        slide = z - GROUND_HEIGHT
        at = surface.sample(height, x[rays] - slide * tangents[0], y[rays] - slide * tangents[1], 1)
        return np.asarray(at >= z)

    z = upper.copy()
    rays = np.arange(x.size)
    while rays.size:
        inside = under(z[rays], rays) | (z[rays] <= lower[rays])
        rays = rays[~inside]
        z[rays] -= _MARCH
    every = np.arange(x.size)
    low, high = z, z + _MARCH
    for _ in range(8):
        middle = (low + high) / 2
        inside = under(middle, every)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return (low + high) / 2


def _render(
    surface: _Surface, tangents: tuple[float, float], size: int, rng: np.random.Generator
) -> NDArray[np.uint16]:
    row, col = (index.ravel().astype(np.float64) for index in np.indices((size, size)))
    half = size * GSD / 2
    x, y = CENTRE[0] - half + (col + 0.5) * GSD, CENTRE[1] + half - (row + 0.5) * GSD
    slide = _first_hit(surface, x, y, tangents) - GROUND_HEIGHT
    texture = np.asarray(spline_filter(surface.texture, 3), np.float64)
    value = surface.sample(texture, x - slide * tangents[0], y - slide * tangents[1], 3).reshape(size, size)
    signal = _BRIGHTNESS + _CONTRAST * gaussian_filter(value, 0.45)
    noise = rng.standard_normal(signal.shape) * np.hypot(_NOISE_FRACTION * signal, _NOISE_FLOOR)
    return np.rint(np.clip(signal + noise, 1, 4095)).astype(np.uint16)


def _write_view(path: Path, image: NDArray[np.uint16], rpc: RPC) -> None:
    with warnings.catch_warnings():
        # the RPC tags are its georeference
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", width=image.shape[1], height=image.shape[0], count=1, dtype="uint16",
            compress="deflate", predictor=2, tiled=True, blockxsize=256, blockysize=256, rpcs=rpc,
        ) as dst:  # fmt: skip
            dst.write(image, 1)


def _write_ground(path: Path, grid: NDArray[np.generic], surface: _Surface) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", width=grid.shape[1], height=grid.shape[0], count=1, dtype=grid.dtype,
        crs=EPSG, transform=Affine(GSD, 0, surface.left, 0, -GSD, surface.top),
        compress="deflate", predictor=3 if grid.dtype.kind == "f" else 2, tiled=True, blockxsize=256, blockysize=256,
    ) as dst:  # fmt: skip
        dst.write(grid, 1)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bocage_processes.scene",
        description="Write a synthetic tri-stereo scene: three images with RPC tags, and the truth they show.",
    )
    parser.add_argument("folder", type=Path, help="where to write; made if absent")
    parser.add_argument("--size", type=int, default=700, help="pixels across an image (default 700 = 350 m)")
    parser.add_argument("--seed", type=int, default=42, help="another number, another scene (default 42)")
    options = parser.parse_args(arguments)
    if not SMALLEST <= options.size <= LARGEST:
        parser.error(f"--size must be from {SMALLEST} to {LARGEST}")
    scene = make_scene(options.folder, size=options.size, seed=options.seed)
    for path in (*scene.views.values(), scene.truth_dsm, scene.truth_ortho, scene.truth_label):
        print(path)  # noqa: T201


if __name__ == "__main__":
    main()
