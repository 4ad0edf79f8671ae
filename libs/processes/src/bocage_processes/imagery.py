"""Sensor images: opened with care, and described.

An input item holds the image under the asset key `image` (else the first asset with role `data`) and, optionally, its
RPC side-car under the key `geomodel` (else the first asset with role `geomodel`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bocage_processes.process import StagedItem
from bocage_processes.rpc import RpcModel


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
    """SHA-256 of the pixels (of a fixed sample of blocks above 64 million pixels), whatever the file's name or layout."""


def open_image(item: StagedItem) -> SensorImage:
    """`read_image` on the files of a staged item."""
    raise NotImplementedError


def read_image(path: Path, side_car: Path | None = None, reference: str = "") -> SensorImage:
    """Open an image and its camera.

    Raises `InputRefused`: `not-an-image`, `unreadable-image`, `image-format`, and those of `read_geomodel`.
    """
    raise NotImplementedError
