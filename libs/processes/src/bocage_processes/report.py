"""The report of a `dsm` run: its fields, its JSON schema, and the picture that goes with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field


class EpipolarError(BaseModel):
    """Distance of matching points from the epipolar line, before correction, pixels."""

    mean: float | None = None
    std: float | None = None
    max: float | None = None


class PairReport(BaseModel):
    """What the engine found for a pair."""

    items: tuple[str, str]
    convergence_deg: float | None = None
    base_to_height: float | None = None
    metres_per_pixel_of_parallax: float | None = None
    matches: int | None = None
    epipolar_error_px: EpipolarError = EpipolarError()


class DsmReport(BaseModel):
    """How the elevation model was made, and how far to trust it."""

    model_config = ConfigDict(extra="forbid", title="DSM report")

    job: str
    process: str
    inputs: list[str] = Field(description="items, as `collection/item`")
    reference: str = Field(description="item whose pixels were matched in the others")
    parameters: dict[str, Any]
    crs: str
    resolution: float = Field(gt=0, description="metres")
    height_reference: str
    valid_fraction: float = Field(ge=0, le=1, description="measured cells / footprint")
    filled_fraction: float = Field(ge=0, le=1, description="interpolated cells / footprint")
    rejected_fraction: float = Field(ge=0, le=1, description="cells without elevation / footprint")
    footprint_cells: int = Field(ge=0, description="cells seen in stereo, within the area of interest")
    convergence_deg: float
    base_to_height: float
    expected_precision_m: float
    initial_altitude: float
    height_percentiles: dict[str, float] = Field(description="of measured cells: p1, p50, p99; metres")
    ortho_hidden_fraction: float = Field(ge=0, le=1, description="cells hidden in the reference image / footprint")
    ortho_filled_fraction: float = Field(ge=0, le=1, description="cells of the ortho from another image / footprint")
    ortho_order: list[str] = Field(description="items by the value of the source band, from 1")
    pairs: list[PairReport]
    failed_tiles: int = Field(ge=0)
    engine: str = Field(description="name and version")
    resolutions: list[int] = Field(description="subsamplings that the engine worked at, coarse to fine")
    engine_seconds: float = Field(ge=0)
    cpu_seconds: float = Field(ge=0)
    peak_bytes: int = Field(ge=0)
    seconds: float = Field(ge=0)
    warnings: list[str]


def report_schema() -> dict[str, Any]:
    """JSON schema (2020-12) of the `report` output."""
    schema = DsmReport.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def quicklook(values: NDArray[np.floating[Any]], shade: NDArray[np.uint8], longest: int = 1024) -> NDArray[np.uint8]:
    """Ortho stretched to its 2nd to 98th percentile, a little shaded: (4, rows, cols) RGBA, no side over `longest`.

    values: (bands, rows, cols), NaN = none; one or three bands are shown. Transparent where there is neither
    an ortho nor a shade.
    """
    step = max(1, int(np.ceil(max(shade.shape) / longest)))
    shown = values[:3, ::step, ::step] if values.shape[0] >= 3 else values[:1, ::step, ::step]
    small_shade = shade[::step, ::step].astype(np.float64)
    relief = np.where(small_shade > 0, 0.6 + 0.4 * small_shade / 181.0, 1.0)
    bands = []
    for band in shown.astype(np.float64):
        found = band[np.isfinite(band)]
        low, high = np.percentile(found, [2, 98]) if found.size else (0.0, 1.0)
        stretched = np.clip((band - low) / max(high - low, 1e-9), 0, 1)
        grey = np.where(np.isfinite(band), stretched, 0.35)
        bands.append(np.clip(grey * relief * 255, 0, 255).astype(np.uint8))
    rgb = bands if len(bands) == 3 else [bands[0]] * 3
    opaque = np.where((small_shade > 0) | np.isfinite(shown[0]), 255, 0).astype(np.uint8)
    return np.stack([*rgb, opaque])
