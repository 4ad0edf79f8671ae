"""From quantities to the numbers in a file, as the product's record says, and the file itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from bocage_theia.samples.grids import Grid
from bocage_theia.samples.noise import Floats

Record = Mapping[str, Any]
BLOCK = 128
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


class NotEncodable(ValueError):
    """The record of an asset has no number for a value that the sample has."""


def bands_of(asset: Record) -> list[Record]:
    """Each band with what it has from its asset. An asset that names no bands has one."""
    common = {name: value for name, value in asset.items() if name != "bands"}
    return [{**common, **band} for band in asset.get("bands") or [{}]]


def thematic(band: Record) -> bool:
    """Whether the numbers stand for classes or bits, between which there is nothing."""
    return "classification:classes" in band or "classification:bitfields" in band


def encoded(value: Floats, band: Record, name: str) -> NDArray[Any]:
    """`value` in physical units, NaN where there is none. Raises NotEncodable."""
    if "data_type" not in band:
        raise NotEncodable(f"{name}: no data_type is stated")
    kind: np.dtype[Any] = np.dtype(band["data_type"])
    scale, offset = float(band.get("raster:scale", 1)), float(band.get("raster:offset", 0))
    missing = ~np.isfinite(value)
    nodata = _nodata(band)
    if nodata is not None and kind.kind != "f" and not _holds(kind, nodata):
        raise NotEncodable(f"{name}: the nodata {nodata:g} does not fit into {kind}")
    if missing.any() and nodata is None and kind.kind != "f":
        raise NotEncodable(f"{name}: {missing.mean():.0%} of the cells have no value, and no nodata is stated")
    numbers = (np.where(missing, 0.0, value) - offset) / scale
    if kind.kind != "f":
        numbers = np.rint(numbers)
        outside = ~_holds(kind, numbers) & ~missing
        if outside.any():
            worst = float(value[outside].flat[0])
            raise NotEncodable(f"{name}: {worst:g} does not fit into {kind} with scale {scale:g}")
    if nodata is not None and not np.isnan(nodata):
        collides = ~missing & (numbers == nodata)
        if collides.any():
            raise NotEncodable(f"{name}: {int(collides.sum())} cells with a value would be read as nodata {nodata:g}")
    made: NDArray[Any] = numbers.astype(kind)
    if kind == np.float32:
        made = _groomed(made)
    if missing.any():
        made[missing] = np.nan if nodata is None else nodata
    return made


def _groomed(value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without the last digits, which nobody measures and which take most of the room: 15 binary places are left."""
    bits = value.view(np.uint32)
    return ((bits + np.uint32(0x100)) & np.uint32(0xFFFFFE00)).view(np.float32)


def decoded(numbers: NDArray[Any], band: Record) -> Floats:
    """The inverse: physical units, NaN where there is no value."""
    value = numbers.astype(float) * float(band.get("raster:scale", 1)) + float(band.get("raster:offset", 0))
    nodata = _nodata(band)
    return value if nodata is None else np.where(numbers == nodata, np.nan, value)


def _holds(kind: np.dtype[Any], number: Any) -> Any:
    limits = np.iinfo(kind)
    return np.less_equal(limits.min, number) & np.less_equal(number, limits.max)


def _nodata(band: Record) -> float | None:
    found = band.get("nodata")
    return None if found is None else float(found)


def write(path: Path, values: Sequence[Floats], asset: Record, grid: Grid, name: str) -> None:
    """A cloud-optimised GeoTIFF of all bands of an asset. Classes keep to one of their cells in the overviews."""
    bands = bands_of(asset)
    if len(bands) != len(values):
        raise NotEncodable(f"{name}: {len(values)} bands of values, {len(bands)} in the record")
    layers = [
        encoded(value, band, f"{name} band {n}") for n, (value, band) in enumerate(zip(values, bands, strict=True), 1)
    ]
    kinds = {layer.dtype for layer in layers}
    if len(kinds) > 1:
        raise NotEncodable(f"{name}: a GeoTIFF has one type of number, the record has {sorted(map(str, kinds))}")
    options = {
        "COMPRESS": "DEFLATE",
        "LEVEL": "9",
        "PREDICTOR": "NO" if any(map(thematic, bands)) else "YES",
        "BLOCKSIZE": str(BLOCK),
        "OVERVIEW_RESAMPLING": "NEAREST" if any(map(thematic, bands)) else "AVERAGE",
    }
    with rasterio.open(
        path, "w", driver="COG", width=grid.columns, height=grid.rows, count=len(layers), dtype=layers[0].dtype.name,
        crs=f"EPSG:{grid.epsg}", transform=grid.transform, nodata=_nodata(bands[0]), **options,
    ) as file:  # fmt: skip
        file.write(np.stack(layers))
        file.update_tags(AREA_OR_POINT="Area", SYNTHETIC="A synthetic sample made by Bocage; no measurement.")
        for number, band in enumerate(bands, 1):
            if described := band.get("name"):
                file.set_band_description(number, str(described))


def checksum(path: Path) -> str:
    """Multihash of SHA-256."""
    return "1220" + hashlib.sha256(path.read_bytes()).hexdigest()


def coarser(value: Floats, factor: int, classes: bool) -> Floats:
    """Mean of the cells that have a value; of classes, a cell of the middle."""
    if factor == 1:
        return value
    if classes:
        return value[factor // 2 :: factor, factor // 2 :: factor]
    rows, columns = value.shape[0] // factor, value.shape[1] // factor
    blocks = value.reshape(rows, factor, columns, factor)
    known = np.isfinite(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0.0).sum(axis=(1, 3))
    # where less than half of the ground has a value, the wide cell has none
    return np.where(count * 2 >= factor * factor, total / np.maximum(count, 1), np.nan)
