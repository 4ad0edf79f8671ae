"""Relief shading after Horn (1981), with the formula and the value range of `gdaldem hillshade`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pyproj import CRS
from rasterio.transform import array_bounds
from rasterio.warp import transform_geom
from shapely.geometry import box, mapping

from bocage_processes.process import (
    Context,
    FileOutput,
    InputRefused,
    ItemReference,
    Outcome,
    Output,
    Process,
    Quote,
    StagedAsset,
    Usage,
)
from bocage_processes.raster import COG_MEDIA_TYPE, EXTENSIONS, Band, Raster, provenance_tags, read_band, stac_fields
from bocage_processes.raster import write_cog as write_raster

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
ID = "hillshade"
VERSION = "1.0.0"
_STRIP_ROWS = 512
_BYTES_PER_CELL = 64
_NANOSECONDS_PER_CELL = 400.0


def hillshade(
    elevation: NDArray[Any],
    valid: NDArray[np.bool_],
    cell: tuple[float, float],
    *,
    azimuth: float = 315.0,
    altitude: float = 45.0,
    exaggeration: float = 1.0,
    multidirectional: bool = False,
) -> NDArray[np.uint8]:
    """Shade of 1 (dark) to 255 (lit); 0 where there is no elevation. Rows go southwards.

    elevation: metres, (rows, cols). valid: same shape. cell: width and height of a cell, metres. azimuth: of the
    light, degrees clockwise from north; altitude: of the light above the horizon, 0 to 90 degrees. A missing
    neighbour is extrapolated through the centre, so edges are shaded too. `multidirectional`: lights from 225, 270,
    315 and 360 degrees, each weighted by how much it grazes the slope (Mark 1992, as GDAL); `azimuth` is then unused.
    """
    rows, cols = elevation.shape
    shade = np.zeros((rows, cols), np.uint8)
    for start in range(0, rows, _STRIP_ROWS):
        stop = min(start + _STRIP_ROWS, rows)
        low, high = max(start - 1, 0), min(stop + 1, rows)
        heights = np.where(valid[low:high], elevation[low:high], np.nan).astype(np.float64)
        frame = ((start - low == 0, stop == high), (True, True))
        padded = np.pad(heights, [(int(a), int(b)) for a, b in frame], constant_values=np.nan)
        dz_dx, dz_dy = _gradient(padded, cell, exaggeration)
        lit = _many_lights(dz_dx, dz_dy, altitude) if multidirectional else _one_light(dz_dx, dz_dy, azimuth, altitude)
        value = np.where(lit <= 0, 1.0, 1.0 + 254.0 * lit)
        here = valid[start:stop]
        shade[start:stop][here] = np.floor(value[here] + 0.5).clip(1, 255).astype(np.uint8)
    return shade


def _gradient(padded: Floats, cell: tuple[float, float], exaggeration: float) -> tuple[Floats, Floats]:
    """Slope eastwards and northwards of all cells but the frame, by Horn's 3 × 3 weights."""
    centre = padded[1:-1, 1:-1]

    def at(d_row: int, d_col: int) -> Floats:
        found: Floats = padded[1 + d_row : padded.shape[0] - 1 + d_row, 1 + d_col : padded.shape[1] - 1 + d_col]
        return found

    def filled(d_row: int, d_col: int, else_: Floats) -> Floats:
        here, opposite = at(d_row, d_col), at(-d_row, -d_col)
        through = np.where(np.isnan(opposite), else_, 2 * centre - opposite)
        return np.where(np.isnan(here), through, here)

    n, s = filled(-1, 0, centre), filled(1, 0, centre)
    w, e = filled(0, -1, centre), filled(0, 1, centre)
    nw, ne = filled(-1, -1, n + w - centre), filled(-1, 1, n + e - centre)
    sw, se = filled(1, -1, s + w - centre), filled(1, 1, s + e - centre)
    dz_dx = ((ne + 2 * e + se) - (nw + 2 * w + sw)) * (exaggeration / (8 * cell[0]))
    dz_dy = ((nw + 2 * n + ne) - (sw + 2 * s + se)) * (exaggeration / (8 * cell[1]))
    return dz_dx, dz_dy


def _one_light(dz_dx: Floats, dz_dy: Floats, azimuth: float, altitude: float) -> Floats:
    """Cosine between the surface's normal and the light."""
    az, alt = np.radians(azimuth), np.radians(altitude)
    towards = dz_dx * np.sin(az) + dz_dy * np.cos(az)
    lit: Floats = (np.sin(alt) - np.cos(alt) * towards) / np.sqrt(1 + dz_dx**2 + dz_dy**2)
    return lit


def _many_lights(dz_dx: Floats, dz_dy: Floats, altitude: float) -> Floats:
    steep = dz_dx**2 + dz_dy**2
    total: Floats = np.zeros_like(dz_dx)
    with np.errstate(invalid="ignore", divide="ignore"):
        for azimuth in (225.0, 270.0, 315.0, 360.0):
            az = np.radians(azimuth)
            across = dz_dx * np.cos(az) - dz_dy * np.sin(az)
            weight = np.where(steep > 0, across**2 / steep, 0.5)
            total += weight * np.clip(_one_light(dz_dx, dz_dy, azimuth, altitude), 0, None)
    return total / 2


class HillshadeInputs(BaseModel):
    """Inputs of the process `hillshade`."""

    model_config = ConfigDict(extra="forbid", title="Hillshade inputs")

    item: ItemReference
    asset: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] | None = Field(
        default=None, description="Key of the elevation asset. Default: `dsm`, else the first asset with role `data`."
    )
    azimuth: float = Field(default=315.0, ge=0, le=360, description="Light's direction, degrees clockwise from north.")
    altitude: float = Field(default=45.0, ge=0, le=90, description="Light's height above the horizon, degrees.")
    exaggeration: float = Field(default=1.0, gt=0, le=100, description="Factor on the heights.")
    multidirectional: bool = Field(default=False, description="Four lights, weighted by slope; `azimuth` is unused.")


def check(inputs: HillshadeInputs, context: Context) -> Quote:
    """Reads the raster's size."""
    asset = elevation_asset(inputs, context)
    try:
        with rasterio.open(asset.path, driver="GTiff") as src:
            cells, projected = src.width * src.height, src.crs is not None and src.crs.is_projected
            cell_m2 = abs(src.transform.a * src.transform.e)
    except (OSError, rasterio.errors.RasterioError) as error:
        raise InputRefused(
            "unreadable-raster", f"{inputs.item}: the elevation cannot be read.", "Give a whole GeoTIFF."
        ) from error
    _require_metres(projected, inputs.item)
    limit = context.limits.max_megapixels * 4
    if cells / 1e6 > limit:
        raise InputRefused(
            "area-too-large",
            f"{inputs.item}: {cells / 1e6:.1f} million cells; at most {limit:.1f} are computed at once.",
            "Give a smaller raster.",
        )
    seconds = cells * _NANOSECONDS_PER_CELL * 1e-9 + 1.0
    memory = 300 * 2**20 + cells * _BYTES_PER_CELL
    usage = Usage(
        megapixels=cells / 1e6,
        area_km2=cells / 1e6 * cell_m2,
        cpu_seconds=seconds,
        peak_bytes=memory,
        output_bytes=2 * cells,
    )
    return Quote(usage=usage, seconds=seconds, memory_bytes=memory, disk_bytes=4 * cells)


def run(inputs: HillshadeInputs, context: Context) -> Outcome:
    """Shades one elevation raster."""
    begin = time.process_time()
    asset = elevation_asset(inputs, context)
    values, valid, transform, crs = read_band(asset.path, inputs.item)
    _require_metres(_is_projected(crs), inputs.item)
    context.progress(20, "shading")
    shade = hillshade(
        values,
        valid,
        (abs(transform.a), abs(transform.e)),
        azimuth=inputs.azimuth,
        altitude=inputs.altitude,
        exaggeration=inputs.exaggeration,
        multidirectional=inputs.multidirectional,
    )
    context.progress(70, "writing")
    path = context.folder / "hillshade.tif"
    raster = shaded_raster(shade, transform, crs, provenance_tags(context.provenance, ID, "hillshade"))
    write_raster(path, raster)
    context.progress(100, "done")
    return Outcome(
        files={"hillshade": shaded_file(raster, path)},
        usage=Usage(
            megapixels=shade.size / 1e6,
            area_km2=shade.size / 1e6 * abs(transform.a * transform.e),
            cpu_seconds=time.process_time() - begin,
            output_bytes=path.stat().st_size,
        ),
        geometry=_outline(transform, shade.shape, crs),
        properties={"gsd": abs(float(transform.a)), "proj:code": crs},
        extensions=list(EXTENSIONS),
    )


def shaded_raster(shade: NDArray[np.uint8], transform: Affine, crs: str, tags: Mapping[str, str]) -> Raster:
    return Raster(shade[None], transform, crs, [Band("hillshade", "Shade, 1 dark to 255 lit")], nodata=0, tags=tags)


def shaded_file(raster: Raster, path: Any) -> FileOutput:
    return FileOutput(
        path=path, media_type=COG_MEDIA_TYPE, title="Hillshade", roles=("data", "visual"), fields=stac_fields(raster)
    )


def elevation_asset(inputs: HillshadeInputs, context: Context) -> StagedAsset:
    """The asset asked for, else `dsm`, else the first with role `data`."""
    item = context.items[inputs.item]
    if inputs.asset is not None:
        found = item.assets.get(inputs.asset)
    else:
        found = item.assets.get("dsm") or next((a for a in item.assets.values() if "data" in a.roles), None)
    if found is None:
        raise InputRefused(
            "no-elevation",
            f"{inputs.item} has no asset `{inputs.asset or 'dsm'}`.",
            f"Name one of its assets in `asset`: {', '.join(sorted(item.assets)) or 'it has none'}.",
        )
    return found


def _is_projected(crs: str) -> bool:
    return bool(CRS.from_user_input(crs).is_projected)


def _require_metres(projected: bool, item: str) -> None:
    if not projected:
        raise InputRefused(
            "crs-unsuitable",
            f"{item}: the elevation is not in a projected CRS, so its cells have no size in metres.",
            "Give a raster in a projected CRS, such as UTM.",
        )


def _outline(transform: Affine, shape: tuple[int, ...], crs: str) -> dict[str, Any]:
    bounds = array_bounds(shape[0], shape[1], transform)
    geometry: dict[str, Any] = transform_geom(crs, "EPSG:4326", mapping(box(*bounds)), precision=7)
    return geometry


OUTPUTS: Mapping[str, Output] = MappingProxyType(
    {
        "hillshade": Output.model_validate(
            {
                "title": "Hillshade",
                "description": "Shade of 1 (dark) to 255 (lit), 0 where there is no elevation.",
                "schema": {"type": "string", "format": "uri", "contentMediaType": COG_MEDIA_TYPE},
                "rights": "elevation",
            }
        )
    }
)


def process() -> Process:
    """The registry's entry."""
    return Process(
        id=ID,
        version=VERSION,
        title="Hillshade",
        description="Shades an elevation model: Horn's slope, one light or several.",
        inputs=HillshadeInputs,
        outputs=OUTPUTS,
        run=run,
        check=check,
        modes=frozenset({"async-execute", "sync-execute"}),
        keywords=("elevation", "relief", "hillshade"),
    )
