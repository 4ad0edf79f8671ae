"""The files of a `dsm` result, its report and its description."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pydantic import BaseModel

from bocage_processes.cars import EngineResult
from bocage_processes.geoid import undulation
from bocage_processes.hillshade import hillshade, shaded_file, shaded_raster
from bocage_processes.ortho import Ortho
from bocage_processes.process import FileOutput, Output, Provenance, StagedItem
from bocage_processes.raster import (
    CLASSIFICATION_EXTENSION,
    COG_MEDIA_TYPE,
    EXTENSIONS,
    Band,
    Raster,
    provenance_tags,
    stac_fields,
    write_cog,
)
from bocage_processes.report import DsmReport, PairReport, quicklook
from bocage_processes.stereo import StereoPlan
from bocage_processes.surface import FILLED, MEASURED, REJECTED, Surface, lon_lat

PROCESSING_EXTENSION = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
ELEVATION_NODATA = -32768.0
VALIDITY_CLASSES = (
    (0, "outside", "outside the area computed"),
    (1, "measured", "measured in stereo"),
    (2, "filled", "interpolated from its surroundings"),
    (3, "rejected", "hidden from a view, or rejected"),
)
_VERTICAL = {"ellipsoid": "WGS 84 ellipsoid", "geoid": "EGM96 geoid (EPSG:5773)"}
_COMMON_PROPERTIES = ("platform", "constellation", "mission", "instruments")


class WrittenReport(BaseModel):
    """A report that can be laid down as a file."""

    content: DsmReport

    def write(self, path: Path) -> FileOutput:
        path.write_text(json.dumps(self.content.model_dump(mode="json"), indent=2, ensure_ascii=False), "utf-8")
        return FileOutput(path=path, media_type="application/json", title="Quality report", roles=("metadata",))


def write_files(
    surface: Surface,
    ortho: Ortho,
    plan: StereoPlan,
    order: Sequence[int],
    folder: Path,
    provenance: Provenance,
    *,
    geoid: Path | None,
) -> dict[str, FileOutput]:
    """Every raster of the result, and the quicklook; heights are written above the geoid if its grid is given."""
    vertical = _VERTICAL["geoid" if geoid else "ellipsoid"]
    cell = (abs(surface.transform.a), abs(surface.transform.e))
    valid = np.isfinite(surface.heights)
    heights = surface.heights
    if geoid is not None:
        heights = (heights - undulation(geoid, *lon_lat(surface))).astype(np.float32)
    shade = hillshade(surface.heights, valid, cell)
    rasters: dict[str, tuple[str, tuple[str, ...], Raster]] = {
        "dsm": (
            f"Elevation, metres above the {vertical}",
            ("data",),
            _raster(
                surface,
                np.where(valid, heights, ELEVATION_NODATA).astype(np.float32)[None],
                [Band("elevation", f"Height above the {vertical}", "m")],
                ELEVATION_NODATA,
            ),
        ),
        "ortho": ("True ortho-image", ("data", "visual"), ortho_raster(surface, ortho, plan, order)),
        "validity": (
            "Where heights come from",
            ("data", "data-mask"),
            _raster(
                surface,
                surface.validity[None],
                [Band("validity", "What is known of each cell", classes=VALIDITY_CLASSES)],
                None,
            ),
        ),
    }
    if "performance_map" in surface.quality:
        classes = [
            (value, f"class-{value}", _error_class(low, high))
            for value, (low, high) in sorted(surface.precision_classes.items())
        ]
        band = Band("precision", "Class of the height error foreseen by the engine", classes=classes)
        rasters["performance_map"] = (
            "Foreseen precision, by class",
            ("metadata",),
            _raster(surface, surface.quality["performance_map"][None], [band], 255),
        )
    if "ambiguity" in surface.quality:
        band = Band("ambiguity", "How ambiguous the matching was: 0 very, 1 not at all")
        rasters["ambiguity"] = (
            "Ambiguity of the matching",
            ("metadata",),
            _raster(surface, surface.quality["ambiguity"][None], [band], float("nan")),
        )
    files: dict[str, FileOutput] = {}
    for name, (title, roles, raster) in rasters.items():
        tags = provenance_tags(provenance, "dsm", name)
        if name == "dsm":
            tags["VERTICAL_REFERENCE"] = vertical
        path = folder / f"{name}.tif"
        write_cog(path, Raster(raster.values, raster.transform, raster.crs, raster.bands, raster.nodata, tags))
        files[name] = FileOutput(
            path=path, media_type=COG_MEDIA_TYPE, title=title, roles=roles, fields=stac_fields(raster)
        )
    shaded = shaded_raster(shade, surface.transform, surface.crs, provenance_tags(provenance, "dsm", "hillshade"))
    write_cog(folder / "hillshade.tif", shaded)
    files["hillshade"] = shaded_file(shaded, folder / "hillshade.tif")
    files["quicklook"] = _write_quicklook(folder / "quicklook.png", quicklook(ortho.values, shade))
    return files


def ortho_raster(surface: Surface, ortho: Ortho, plan: StereoPlan, order: Sequence[int]) -> Raster:
    """The image's bands in its own number type, and last the source index; nodata 0 for whole numbers, else NaN."""
    kind = np.dtype(plan.images[order[0]].dtype)
    source = [
        (0, "none", "no image sees the cell"),
        *((i + 1, f"image-{i + 1}", f"from {plan.images[index].reference}") for i, index in enumerate(order)),
    ]
    count = ortho.values.shape[0]
    bands = [Band(f"b{i + 1}", f"Band {i + 1} of the images") for i in range(count)]
    bands.append(Band("source", "Image that the cell comes from", classes=source))
    if kind.kind == "u" and kind.itemsize <= 2:
        top = np.iinfo(kind).max
        seen = np.isfinite(ortho.values)
        # 0 says that there is nothing
        whole = np.where(seen, np.clip(np.rint(ortho.values), 1, top), 0)
        values: NDArray[Any] = np.concatenate([whole, ortho.source[None]]).astype(kind)
        return _raster(surface, values, bands, 0)
    values = np.concatenate([ortho.values, ortho.source[None].astype(np.float32)])
    return _raster(surface, values, bands, float("nan"))


def _error_class(low: float, high: float) -> str:
    return f"height error foreseen {f'from {low:g} to {high:g}' if np.isfinite(high) else f'above {low:g}'} m"


def make_report(
    surface: Surface,
    ortho: Ortho,
    plan: StereoPlan,
    result: EngineResult,
    *,
    order: Sequence[int],
    parameters: dict[str, Any],
    provenance: Provenance,
    cpu_seconds: float,
    seconds: float,
    warnings: Sequence[str],
) -> WrittenReport:
    """What to know of the result before trusting it."""
    measured = surface.heights[surface.validity == MEASURED]
    cells = max(surface.footprint_cells, 1)
    pairs = [
        PairReport.model_validate({**found, "base_to_height": pair.base_to_height})
        for found, pair in zip(result.pairs, plan.pairs, strict=True)
    ]
    content = DsmReport(
        job=provenance.job,
        process="dsm",
        inputs=[image.reference for image in plan.images],
        reference=plan.images[plan.reference].reference,
        parameters=parameters,
        crs=plan.crs,
        resolution=plan.resolution,
        height_reference=str(parameters["height_reference"]),
        valid_fraction=surface.fraction(MEASURED),
        filled_fraction=surface.fraction(FILLED),
        rejected_fraction=surface.fraction(REJECTED),
        footprint_cells=surface.footprint_cells,
        convergence_deg=plan.convergence_deg,
        base_to_height=plan.base_to_height,
        expected_precision_m=plan.expected_precision_m,
        initial_altitude=plan.initial_altitude,
        height_percentiles={f"p{q}": float(np.percentile(measured, q)) for q in (1, 50, 99)},
        ortho_hidden_fraction=float(ortho.hidden.sum() / cells),
        ortho_filled_fraction=float((ortho.source > 1).sum() / cells),
        ortho_order=[plan.images[index].reference for index in order],
        pairs=pairs,
        failed_tiles=result.failed_tiles,
        engine=f"CARS {result.version}",
        resolutions=list(result.resolutions),
        engine_seconds=result.seconds,
        cpu_seconds=cpu_seconds,
        peak_bytes=result.peak_bytes,
        seconds=seconds,
        warnings=list(warnings),
    )
    return WrittenReport(content=content)


def describe_result(
    surface: Surface,
    plan: StereoPlan,
    result: EngineResult,
    items: Mapping[str, StagedItem],
    references: Sequence[str],
    inputs: BaseModel,
) -> tuple[dict[str, Any], list[str]]:
    """STAC properties of the result, and the extensions that they and the assets need."""
    sources = [items[reference].properties for reference in references]
    properties: dict[str, Any] = {
        "gsd": plan.resolution,
        "proj:code": plan.crs,
        "processing:lineage": f"Stereo matching of {' and '.join(references)}, true ortho by z-buffer",
        "processing:software": {"CARS": result.version},
        "bocage:convergence_deg": round(plan.convergence_deg, 3),
        "bocage:base_to_height": round(plan.base_to_height, 4),
        "bocage:expected_precision_m": round(plan.expected_precision_m, 3),
        "bocage:valid_fraction": round(surface.fraction(MEASURED), 5),
        "bocage:height_reference": getattr(inputs, "height_reference", "ellipsoid"),
    }
    for name in _COMMON_PROPERTIES:
        values = [source.get(name) for source in sources]
        if values[0] is not None and all(value == values[0] for value in values):
            properties[name] = values[0]
    properties |= _time_range(sources)
    return properties, [*EXTENSIONS, CLASSIFICATION_EXTENSION, PROCESSING_EXTENSION]


def _time_range(sources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    starts = [s.get("start_datetime") or s.get("datetime") for s in sources]
    ends = [s.get("end_datetime") or s.get("datetime") for s in sources]
    known_starts, known_ends = [t for t in starts if isinstance(t, str)], [t for t in ends if isinstance(t, str)]
    if not known_starts or not known_ends:
        return {}
    # RFC 3339 in UTC sorts as text
    return {
        "datetime": min(known_starts),
        "start_datetime": min(known_starts),
        "end_datetime": max(known_ends),
    }


def _raster(surface: Surface, values: NDArray[Any], bands: Sequence[Band], nodata: float | None) -> Raster:
    return Raster(values, surface.transform, surface.crs, bands, nodata)


def _write_quicklook(path: Path, picture: NDArray[np.uint8]) -> FileOutput:
    with (
        rasterio.Env(GDAL_PAM_ENABLED="NO"),
        rasterio.open(
            path, "w", driver="PNG", width=picture.shape[2], height=picture.shape[1], count=4, dtype="uint8"
        ) as dst,
    ):
        dst.write(picture)
    return FileOutput(path=path, media_type="image/png", title="Quicklook", roles=("overview", "visual"))


def _output(title: str, description: str, media_type: str, rights: str) -> Output:
    schema = {"type": "string", "format": "uri", "contentMediaType": media_type}
    return Output.model_validate({"title": title, "description": description, "schema": schema, "rights": rights})


OUTPUTS: Mapping[str, Output] = MappingProxyType(
    {
        "dsm": _output("Elevation", "Surface heights in metres.", COG_MEDIA_TYPE, "elevation"),
        "hillshade": _output("Hillshade", "Shaded relief, 1 to 255.", COG_MEDIA_TYPE, "elevation"),
        "ortho": _output(
            "True ortho-image",
            "The images' bands without double mapping; last band: the image that each cell comes from.",
            COG_MEDIA_TYPE,
            "pixels",
        ),
        "validity": _output(
            "Validity", "0 outside, 1 measured, 2 filled, 3 hidden or rejected.", COG_MEDIA_TYPE, "statistic"
        ),
        "performance_map": _output(
            "Foreseen precision", "Class of the height error foreseen by the engine.", COG_MEDIA_TYPE, "statistic"
        ),
        "ambiguity": _output("Ambiguity", "How sure the matching was.", COG_MEDIA_TYPE, "statistic"),
        "report": _output("Quality report", "Figures of the run.", "application/json", "statistic"),
        "quicklook": _output("Quicklook", "Small shaded ortho-image.", "image/png", "pixels"),
    }
)
