"""Sensor images: opened with care, and described.

An input item holds the image under the asset key `image` (else the first asset with role `data`) and, optionally, its
RPC side-car under the key `geomodel` (else the first asset with role `geomodel`, or `metadata` and a name in .geom
or .xml). Images with several bands are matched on the first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from bocage_processes.geomodels import UnknownFormat, open_raster, read_geomodel
from bocage_processes.process import InputRefused, StagedAsset, StagedItem
from bocage_processes.rpc import RpcModel, geocentric

MAX_BANDS = 8
SMALLEST_PX = 100
"""Below this an engine finds too few matching points."""
_WHOLE_DIGEST_PIXELS = 64_000_000
_SAMPLE_SIDE = 5
_STRIP_ROWS = 512


@dataclass(frozen=True)
class SensorImage:
    """An image in sensor geometry, proved readable, and its camera."""

    reference: str
    path: Path
    side_car: Path | None
    width: int
    height: int
    bands: int
    dtype: str
    nodata: float | None
    model: RpcModel
    gsd_m: float
    """Mean ground size of a pixel at the centre of the image, metres."""
    digest: str
    """SHA-256 of the pixels, whatever the file's name or layout; of sampled blocks above 64 million pixels."""


def open_image(item: StagedItem) -> SensorImage:
    """`read_image` on the files of a staged item."""
    image = item.assets.get("image") or _with_role(item, "data")
    if image is None:
        raise InputRefused(
            "no-image",
            f"{item.reference} has no image asset.",
            "The image goes under the asset key `image`, its RPC file under `geomodel`.",
            item=item.reference,
        )
    side_car = (
        item.assets.get("geomodel")
        or _with_role(item, "geomodel")
        or _with_role(item, "metadata", frozenset({".geom", ".xml"}))
    )
    return read_image(image.path, side_car.path if side_car else None, item.reference)


def read_image(path: Path, side_car: Path | None = None, reference: str = "") -> SensorImage:
    """Open an image and its camera.

    Raises `InputRefused`: `not-an-image`, `unreadable-image`, `image-format`, `image-too-small`, and those of
    `read_geomodel`.
    """
    name = reference or path.name
    try:
        return _read(path, side_car, name)
    except InputRefused as refusal:
        refusal.facts.setdefault("item", name)
        raise InputRefused(refusal.code, f"{name}: {refusal.detail}", refusal.remedy, **refusal.facts) from refusal


def read_window(image: SensorImage, col: int, row: int, width: int, height: int | None = None) -> NDArray[np.float64]:
    """First band of a window (without `height`, a square) whose first pixel is `col, row`, cut at the image's edge."""
    left, right = max(col, 0), min(col + width, image.width)
    top, bottom = max(row, 0), min(row + (height or width), image.height)
    if left >= right or top >= bottom:
        return np.empty((0, 0))
    try:
        with open_raster(image.path) as src:
            window = Window(left, top, right - left, bottom - top)
            pixels: NDArray[np.float64] = src.read(1, window=window).astype(np.float64)
    except (rasterio.errors.RasterioError, OSError) as error:
        raise _damaged(f"{image.reference}: ") from error
    return pixels


def ground_pixel(model: RpcModel, width: int, height: int) -> float:
    """Mean ground size of a pixel, metres, at the centre of a file of that size and the model's middle height.

    NaN where the model does not reach it.
    """
    col = (width - 1) / 2 + np.array([-0.5, 0.5, 0.0, 0.0])
    row = (height - 1) / 2 + np.array([0.0, 0.0, -0.5, 0.5])
    lon, lat = model.localise(col, row, model.height_offset)
    x = geocentric(lon, lat, np.full(4, model.height_offset))
    across, along = np.linalg.norm(x[:, 1] - x[:, 0]), np.linalg.norm(x[:, 3] - x[:, 2])
    return float(np.sqrt(across * along))


def _damaged(prefix: str = "") -> InputRefused:
    return InputRefused("unreadable-image", f"{prefix}the image is damaged or cut short.", "Send the whole file again.")


def _with_role(item: StagedItem, role: str, suffixes: frozenset[str] = frozenset()) -> StagedAsset | None:
    for asset in item.assets.values():
        if role in asset.roles and (not suffixes or asset.path.suffix.lower() in suffixes):
            return asset
    return None


def _read(path: Path, side_car: Path | None, name: str) -> SensorImage:
    try:
        with open_raster(path) as src:
            _check_format(src)
            width, height, bands = src.width, src.height, src.count
            dtype, nodata = str(src.dtypes[0]), src.nodata
            digest = _digest(src)
    except UnknownFormat as error:
        raise InputRefused(
            "not-an-image", "the file is not an image, whatever its name says.", "Give a GeoTIFF or a JPEG 2000 file."
        ) from error
    except (rasterio.errors.RasterioError, OSError, MemoryError) as error:
        raise _damaged() from error
    model = read_geomodel(path, side_car)
    gsd = ground_pixel(model, width, height)
    if not 0.01 < gsd < 1000:
        raise InputRefused(
            "bad-rpc",
            "the RPC model does not place the image on the ground.",
            "Check that the RPC file belongs to this image, and that a crop kept its offset in the geotransform.",
        )
    return SensorImage(
        reference=name,
        path=path,
        side_car=side_car,
        width=width,
        height=height,
        bands=bands,
        dtype=dtype,
        nodata=nodata,
        model=model,
        gsd_m=gsd,
        digest=digest,
    )


def _check_format(src: DatasetReader) -> None:
    if not 1 <= src.count <= MAX_BANDS:
        raise InputRefused(
            "image-format",
            f"{src.count} bands: 1 to {MAX_BANDS} are accepted.",
            "Give the panchromatic band, or few bands with the one to be matched first.",
            bands=src.count,
        )
    if np.dtype(src.dtypes[0]).kind not in "uif":
        raise InputRefused(
            "image-format",
            f"pixels of type {src.dtypes[0]} are not accepted.",
            "Give whole or real numbers (uint8, uint16, float32).",
        )
    if min(src.width, src.height) < SMALLEST_PX:
        raise InputRefused(
            "image-too-small",
            f"{src.width} × {src.height} pixels: at least {SMALLEST_PX} each way are needed.",
            "Give a larger part of the image.",
        )


def _digest(src: DatasetReader) -> str:
    """Reads all of a small image, so that damage anywhere is found; samples and the last block of a large one."""
    whole = Window(0, 0, src.width, src.height)
    if src.width * src.height <= _WHOLE_DIGEST_PIXELS:
        windows = [Window(0, row, src.width, _STRIP_ROWS) for row in range(0, src.height, _STRIP_ROWS)]
    else:
        side = 256
        places = np.linspace(0, 1, _SAMPLE_SIDE)
        windows = [
            Window(int(x * (src.width - side)), int(y * (src.height - side)), side, side)
            for x in places
            for y in places
        ]
    found = hashlib.sha256(f"{src.width} {src.height} {src.count}".encode())
    low, high = np.inf, -np.inf
    for window in windows:
        pixels = src.read(window=window.intersection(whole)).astype("<f4")
        found.update(np.ascontiguousarray(pixels).data)
        finite = pixels[0][np.isfinite(pixels[0])]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if not low < high:
        raise InputRefused("blank-image", "all pixels are the same.", "Give an image that shows something.")
    return found.hexdigest()
