"""Cloud-optimised GeoTIFFs that tell their own origin, and the STAC fields that describe them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import array_bounds

from bocage_processes.process import EngineFailed, InputRefused, Provenance

Bools = NDArray[np.bool_]
COG_MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
)
CLASSIFICATION_EXTENSION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
_STATISTICS_CELLS = 4_000_000


@dataclass(frozen=True)
class Band:
    """What a band holds."""

    name: str
    description: str = ""
    unit: str | None = None
    classes: Sequence[tuple[int, str, str]] = ()
    """Value, short name, description."""


@dataclass(frozen=True)
class Raster:
    """A raster in memory: values of shape (bands, rows, cols) on a map grid."""

    values: NDArray[Any]
    transform: Affine
    crs: str
    bands: Sequence[Band]
    nodata: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def mask(self) -> Bools:
        """True where the first band has a value; rows, cols."""
        first = self.values[0]
        if self.nodata is None:
            return np.ones(first.shape, np.bool_)
        found: Bools = np.isfinite(first) if np.isnan(self.nodata) else first != self.nodata
        return found


def provenance_tags(provenance: Provenance, process: str, output: str) -> dict[str, str]:
    """What each file says of itself; empty statements are left out."""
    tags = {
        "LICENSE": provenance.licences.get(output, ""),
        "ATTRIBUTION": provenance.attribution,
        "INPUTS": " ".join(provenance.inputs),
        "JOB": provenance.job,
        "PROCESS": process,
    }
    return {key: value for key, value in tags.items() if value}


def write_cog(path: Path, raster: Raster) -> None:
    """Write a raster as a Cloud-Optimised GeoTIFF: DEFLATE with the fitting predictor, tiles of 512, overviews.

    Classes are resampled by nearest neighbour in the overviews, quantities are averaged.
    """
    count, height, width = raster.values.shape
    if count != len(raster.bands):
        raise ValueError(f"{count} bands of values, {len(raster.bands)} descriptions")
    classes = any(band.classes for band in raster.bands)
    options = {
        "COMPRESS": "DEFLATE",
        "PREDICTOR": "YES",
        "BLOCKSIZE": "512",
        "OVERVIEW_RESAMPLING": "NEAREST" if classes else "AVERAGE",
        "BIGTIFF": "IF_SAFER",
    }
    try:
        with rasterio.open(
            path, "w", driver="COG", width=width, height=height, count=count, dtype=raster.values.dtype.name,
            crs=raster.crs, transform=raster.transform, nodata=raster.nodata, **options,
        ) as dst:  # fmt: skip
            dst.write(raster.values)
            dst.update_tags(**raster.tags, AREA_OR_POINT="Area")
            for index, band in enumerate(raster.bands, start=1):
                dst.set_band_description(index, band.name)
                if band.unit:
                    dst.set_band_unit(index, band.unit)
    except Exception as error:  # GDAL's own errors have no public type in common
        path.unlink(missing_ok=True)
        raise EngineFailed("write-failed", "A result could not be written.", "Try again later.") from error


def read_band(path: Path, reference: str = "") -> tuple[NDArray[Any], Bools, Affine, str]:
    """First band of a map raster: values, validity (rows, cols), transform, CRS.

    Raises `InputRefused`: `unreadable-raster`, `no-crs`.
    """
    name = reference or path.name
    try:
        with rasterio.open(path, driver="GTiff") as src:
            values = src.read(1)
            valid: Bools = src.read_masks(1) > 0
            transform, crs = src.transform, src.crs
    except (OSError, rasterio.errors.RasterioError) as error:
        raise InputRefused(
            "unreadable-raster", f"{name}: the raster cannot be read.", "Give a whole GeoTIFF.", item=name
        ) from error
    if values.dtype.kind == "f":
        valid &= np.isfinite(values)
    if crs is None:
        raise InputRefused("no-crs", f"{name}: the raster is not on a map.", "Give a georeferenced GeoTIFF.", item=name)
    return values, valid, transform, code_of(crs)


def code_of(crs: Any) -> str:
    """`EPSG:n` of the horizontal part where it has a code, else WKT."""
    horizontal = rasterio.crs.CRS.from_user_input(crs)
    epsg = horizontal.to_epsg(confidence_threshold=90)
    return f"EPSG:{epsg}" if epsg else str(horizontal.to_wkt())


def stac_fields(raster: Raster) -> dict[str, Any]:
    """STAC 1.1 asset fields: projection, bands with statistics, raster and classification extensions."""
    _, height, width = raster.values.shape
    bounds = array_bounds(height, width, raster.transform)
    bands = [_band_fields(raster, index) for index in range(len(raster.bands))]
    fields: dict[str, Any] = {
        "proj:code": raster.crs if raster.crs.startswith("EPSG:") else None,
        "proj:shape": [height, width],
        "proj:transform": [*raster.transform],
        "proj:bbox": [float(v) for v in bounds],
        "gsd": abs(float(raster.transform.a)),
        "data_type": raster.values.dtype.name,
        "raster:spatial_resolution": abs(float(raster.transform.a)),
        "bands": bands,
    }
    if fields["proj:code"] is None:
        fields["proj:wkt2"] = raster.crs
    if raster.nodata is not None:
        fields["nodata"] = _json_number(raster.nodata)
    if len(bands) == 1 and "classification:classes" in bands[0]:
        fields["classification:classes"] = bands[0]["classification:classes"]
    return fields


def resampling_of(band: Band) -> Resampling:
    return Resampling.nearest if band.classes else Resampling.bilinear


def _band_fields(raster: Raster, index: int) -> dict[str, Any]:
    band, values = raster.bands[index], raster.values[index]
    fields: dict[str, Any] = {"name": band.name}
    if band.description:
        fields["description"] = band.description
    if band.unit:
        fields["unit"] = band.unit
    if band.classes:
        fields["classification:classes"] = [
            {"value": value, "name": name, "description": description} for value, name, description in band.classes
        ]
        return fields
    step = max(1, int(np.sqrt(values.size / _STATISTICS_CELLS)))
    sample = values[::step, ::step]
    if raster.nodata is not None:
        keep = np.isfinite(sample) if np.isnan(raster.nodata) else sample != raster.nodata
        found = sample[keep]
    else:
        found = sample.ravel()
    statistics: dict[str, float] = {"valid_percent": round(100 * found.size / max(sample.size, 1), 3)}
    if found.size:
        exact = found.astype(np.float64)
        statistics |= {
            "minimum": float(exact.min()),
            "maximum": float(exact.max()),
            "mean": float(exact.mean()),
            "stddev": float(exact.std()),
        }
    fields["statistics"] = statistics
    return fields


def _json_number(value: float) -> float | int | str:
    """STAC writes what JSON has no number for as text."""
    if np.isnan(value):
        return "nan"
    return int(value) if float(value).is_integer() else float(value)
