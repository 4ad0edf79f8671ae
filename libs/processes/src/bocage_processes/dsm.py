"""The process `dsm`: elevation model, hillshade and true ortho-image from two or three satellite images."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from bocage_processes.cars import (
    DEFAULT_MATCHING_WINDOW,
    DEFAULT_REGULARISATION,
    ENGINE,
    EngineResult,
    Matching,
    run_cars,
    sensor_megapixels,
)
from bocage_processes.dsm_outputs import OUTPUTS, describe_result, make_report, write_files
from bocage_processes.geoid import geoid_file
from bocage_processes.imagery import SensorImage, open_image
from bocage_processes.process import (
    Context,
    EngineFailed,
    InputRefused,
    ItemReference,
    Outcome,
    Process,
    Quote,
    Usage,
)
from bocage_processes.stereo import StereoPlan, plan_stereo
from bocage_processes.surface import make_ortho, outline, read_surface

ID = "dsm"
VERSION = "1.0.0"
_ENGINE_SHARE = (3.0, 85.0)
_PATIENCE = 20.0
"""Times the estimate, on a busy machine."""
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception)\b.*: ")
_LEAST_PATIENCE_S = 1800.0
_LEAST_MEMORY = 2_200_000_000
"""The engine alone took 1.7 to 1.8 GB for 0.1 to 0.5 million pixels, one pair or two."""
_ORTHO_CPU_SECONDS_PER_MPX = 12.0
_ENGINE_CPU_SECONDS_PER_MPX = 200.0


class DsmInputs(BaseModel):
    """Inputs of the process `dsm`."""

    model_config = ConfigDict(extra="forbid", title="Stereo elevation inputs")

    images: list[ItemReference] = Field(
        description="Two or three images of one place, in sensor geometry with RPC models, from different angles.",
        json_schema_extra={"minItems": 2, "maxItems": 3, "uniqueItems": True},
    )
    resolution: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Cell size of all results, metres. Default: from the images' pixel size.",
    )
    aoi: dict[str, Any] | None = Field(
        default=None,
        description="Area of interest: a GeoJSON Polygon, MultiPolygon or Feature in longitude and latitude. "
        "Default: the whole overlap.",
        json_schema_extra={"format": "geojson-geometry"},
    )
    matching_window: int | None = Field(
        default=None,
        ge=1,
        le=6,
        description="Half-size of the matching window, pixels: 2 is 5 × 5. Larger is smoother and safer on plain "
        f"ground. Default: {DEFAULT_MATCHING_WINDOW}, or what the engine's land-cover map advises.",
    )
    regularisation: float | None = Field(
        default=None,
        ge=0.005,
        le=0.5,
        description="How smooth the surface is to be: 0.01 to 0.05 for towns and rough ground, 0.1 to 0.2 for smooth "
        f"ground. Default: {DEFAULT_REGULARISATION}, or what the engine's land-cover map advises.",
    )
    crs: Annotated[str, StringConstraints(pattern=r"^EPSG:\d{4,6}$")] | None = Field(
        default=None, description="Projected CRS of the results, in metres, as `EPSG:n`. Default: the local UTM zone."
    )
    height_reference: Literal["ellipsoid", "geoid"] = Field(
        default="ellipsoid", description="Heights above the WGS 84 ellipsoid, or above the EGM96 geoid (sea level)."
    )

    @field_validator("images")
    @classmethod
    def _a_stereo_set(cls, images: list[str]) -> list[str]:
        if not 2 <= len(images) <= 3:
            raise ValueError(f"two or three images make a stereo set; {len(images)} given")
        if len(set(images)) != len(images):
            raise ValueError("the same item is given twice; each image must be another one")
        return images


def check(inputs: DsmInputs, context: Context) -> Quote:
    """Reads the images' headers and cameras; refuses, or says what a run will find and use at most."""
    plan = _plan(inputs, context)
    memory = max(plan.memory_bytes, _LEAST_MEMORY)
    ortho_cpu = _ORTHO_CPU_SECONDS_PER_MPX * plan.megapixels * (1 + len(plan.images))
    # a small area still takes images with some margin around it
    engine_cpu = max(plan.cpu_seconds, 60 + _ENGINE_CPU_SECONDS_PER_MPX * sensor_megapixels(plan) * len(plan.pairs))
    return Quote(
        usage=Usage(
            megapixels=plan.megapixels,
            area_km2=_most_km2(plan),
            cpu_seconds=engine_cpu + ortho_cpu,
            peak_bytes=memory,
            output_bytes=plan.output_bytes,
        ),
        seconds=plan.seconds + ortho_cpu,
        memory_bytes=memory,
        disk_bytes=plan.disk_bytes,
        findings=plan.findings(),
        warnings=list(plan.warnings),
    )


def run(inputs: DsmInputs, context: Context) -> Outcome:
    """Computes everything in the context's folder; what the engine leaves is deleted, whatever happens."""
    begin, own_cpu = time.monotonic(), time.process_time()
    context.progress(0, "checking the images")
    plan = _plan(inputs, context)
    executable = context.engines.get(ENGINE)
    if executable is None or not executable.is_file():
        raise EngineFailed("engine-missing", "The stereo engine is not installed here.", "Tell the operator.")
    grid = geoid_file(executable) if inputs.height_reference == "geoid" else None
    if inputs.height_reference == "geoid" and grid is None:
        raise EngineFailed("geoid-missing", "The geoid model is not installed here.", "Ask for ellipsoidal heights.")
    work = context.folder / "engine"
    try:
        result = _run_engine(executable, plan, inputs, context, work)
        context.progress(_ENGINE_SHARE[1], "checking the elevation")
        surface = read_surface(result, plan)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    context.progress(88, "making the true ortho-image")
    ortho, order = make_ortho(surface, plan)
    warnings = _warnings(plan, result)
    context.progress(93, "writing the results")
    files = write_files(surface, ortho, plan, order, context.folder, context.provenance, geoid=grid)
    cpu = result.cpu_seconds + time.process_time() - own_cpu
    report = make_report(
        surface,
        ortho,
        plan,
        result,
        order=order,
        parameters=inputs.model_dump(mode="json"),
        provenance=context.provenance,
        cpu_seconds=cpu,
        seconds=time.monotonic() - begin,
        warnings=warnings,
    )
    files["report"] = report.write(context.folder / "report.json")
    properties, extensions = describe_result(surface, plan, result, context.items, inputs.images, inputs)
    context.progress(100, "done")
    return Outcome(
        files=files,
        usage=Usage(
            megapixels=min(surface.footprint_cells / 1e6 * len(plan.pairs), plan.megapixels),
            area_km2=min(surface.footprint_cells / 1e6 * plan.resolution**2, _most_km2(plan)),
            cpu_seconds=cpu,
            peak_bytes=result.peak_bytes,
            output_bytes=sum(file.path.stat().st_size for file in files.values()),
        ),
        geometry=outline(surface),
        properties=properties,
        extensions=extensions,
        warnings=warnings,
    )


def process() -> Process:
    """The registry's entry."""
    return Process(
        id=ID,
        version=VERSION,
        title="Digital surface model from stereo images",
        description="Elevation, hillshade and true ortho-image from two or three satellite images with RPC models. "
        "Offers what DSM-OPT offers, with the engine CARS of CNES.",
        inputs=DsmInputs,
        outputs=OUTPUTS,
        run=run,
        check=check,
        modes=frozenset({"async-execute"}),
        licence="CC-BY-NC-4.0",
        keywords=("elevation", "stereo", "photogrammetry", "ortho-image", "Pléiades"),
        cores=2,
    )


def _most_km2(plan: StereoPlan) -> float:
    """A million cells of a square metre are one square kilometre."""
    return plan.megapixels / len(plan.pairs) * plan.resolution**2


def _plan(inputs: DsmInputs, context: Context) -> StereoPlan:
    images: list[SensorImage] = []
    for reference in inputs.images:
        item = context.items.get(reference)
        if item is None:
            raise InputRefused("no-item", f"{reference} cannot be found.", "Check the collection and the item's id.")
        images.append(open_image(item))
    return plan_stereo(images, aoi=inputs.aoi, resolution=inputs.resolution, crs=inputs.crs, limits=context.limits)


def _run_engine(executable: Path, plan: StereoPlan, inputs: DsmInputs, context: Context, folder: Path) -> EngineResult:
    low, high = _ENGINE_SHARE
    should_stop: Callable[[], bool] = getattr(context, "should_stop", None) or (lambda: False)

    def on_progress(percent: float, message: str) -> None:
        context.progress(low + (high - low) * percent / 100, message)

    def on_log(line: str) -> None:
        # the engine's own paths are nobody's business but the operator's
        level, _, text = line.partition(" :: ")[2].partition(" :: ")
        if level in ("WARNING", "ERROR"):
            context.log(f"engine: {text.replace(str(context.folder), '…')}", "warning")
        elif _EXCEPTION.match(line):
            context.log(f"engine: {line.replace(str(context.folder), '…')}", "error")

    return run_cars(
        executable,
        plan,
        Matching(inputs.matching_window, inputs.regularisation),
        folder,
        cores=context.limits.max_cores,
        timeout=max(_LEAST_PATIENCE_S, _PATIENCE * plan.seconds),
        on_progress=on_progress,
        on_log=on_log,
        should_stop=should_stop,
    )


def _warnings(plan: StereoPlan, result: EngineResult) -> list[str]:
    found = [*plan.warnings, *result.warnings]
    if result.failed_tiles:
        found.append(
            f"The engine gave up on {result.failed_tiles} tile(s): the cells concerned are marked in `validity`."
        )
    return found
