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

from bocage_processes.geomodels import open_raster, read_geomodel
from bocage_processes.process import InputRefused, StagedAsset, StagedItem
from bocage_processes.rpc import RpcModel

MAX_BANDS = 8
SMALLEST_PX = 100
"""Below this an engine finds too few matching points."""
_WHOLE_DIGEST_PIXELS = 64_000_000
_SAMPLE_BLOCKS = 24
_STRIP_ROWS = 512
_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+", b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")


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
    image = item.assets.get("image") or _first(item, lambda asset: "data" in asset.roles)
    if image is None:
        raise InputRefused(
            "no-image",
            f"{item.reference} has no image asset.",
            "The image goes under the asset key `image`, its RPC file under `geomodel`.",
            item=item.reference,
        )
    side_car = (
        item.assets.get("geomodel")
        or _first(item, lambda asset: "geomodel" in asset.roles)
        or _first(item, lambda asset: "metadata" in asset.roles and asset.path.suffix.lower() in {".geom", ".xml"})
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


def read_window(image: SensorImage, col: int, row: int, size: int) -> NDArray[np.float64]:
    """First band of a square of `size` pixels with its first pixel at `col, row`, cut where the image ends."""
    with open_raster(image.path) as src:
        window = Window(col, row, size, size).intersection(Window(0, 0, image.width, image.height))
        pixels: NDArray[np.float64] = src.read(1, window=window).astype(np.float64)
    return pixels


def _first(item: StagedItem, wanted: object) -> StagedAsset | None:
    raise NotImplementedError


def _read(path: Path, side_car: Path | None, name: str) -> SensorImage:
    _check_signature(path)
    try:
        with open_raster(path) as src:
            _check_format(src)
            width, height, bands = src.width, src.height, src.count
            dtype, nodata = str(src.dtypes[0]), src.nodata
            digest = _digest(src)
    except (rasterio.errors.RasterioError, OSError, MemoryError) as error:
        raise InputRefused(
            "unreadable-image", "the image is damaged or cut short.", "Send the file again, whole."
        ) from error
    model = read_geomodel(path, side_car)
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
        gsd_m=ground_pixel(model, width, height),
        digest=digest,
    )
