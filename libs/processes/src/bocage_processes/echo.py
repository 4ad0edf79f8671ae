"""The process `echo`: gives back what it is given, in every kind of value that OGC API - Processes knows."""

from __future__ import annotations

import base64
import binascii
import math
import time
from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator

from bocage_processes.process import Cancelled, Context, InputRefused, Outcome, Output, Process, Quote, Usage

ID = "echo"
VERSION = "1.0.0"
MAX_PAUSE_S = 60.0
MAX_TEXT = 65_536
_SLICE_S = 0.1
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"

_STRING = {"type": "string", "maxLength": MAX_TEXT}
_BOX = {
    "type": "object",
    "format": "ogc-bbox",
    "required": ["bbox"],
    "properties": {
        "bbox": {
            "type": "array",
            "oneOf": [{"minItems": 4, "maxItems": 4}, {"minItems": 6, "maxItems": 6}],
            "items": {"type": "number"},
        },
        "crs": {"type": "string", "format": "uri", "default": _CRS84},
    },
}
_MEASURE = {
    "type": "object",
    "required": ["measurement", "uom"],
    "properties": {
        "measurement": {"type": "number"},
        "uom": {"type": "string", "maxLength": 64},
        "reference": {"type": "string", "format": "uri"},
    },
}
_IMAGE = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
_GEOMETRY = {
    "type": "object",
    "format": "geojson-geometry",
    "required": ["type"],
    "properties": {"type": {"type": "string"}},
}
_FEATURES = {
    "type": "object",
    "format": "geojson-feature-collection",
    "required": ["type", "features"],
    "properties": {
        "type": {"type": "string", "enum": ["FeatureCollection"]},
        "features": {"type": "array", "items": {"type": "object"}},
    },
}


class Measure(BaseModel):
    """A figure with its unit."""

    model_config = ConfigDict(extra="forbid")

    measurement: float = Field(allow_inf_nan=False)
    uom: str = Field(max_length=64)
    reference: str | None = Field(default=None, max_length=1024)


class Box(BaseModel):
    """A bounding box, as OGC API - Processes writes it."""

    model_config = ConfigDict(extra="forbid")

    bbox: list[Annotated[float, Field(allow_inf_nan=False)]]
    crs: str = Field(default=_CRS84, max_length=256)

    @field_validator("bbox")
    @classmethod
    def _four_or_six(cls, bbox: list[float]) -> list[float]:
        if len(bbox) not in (4, 6):
            raise ValueError(f"a bounding box has 4 or 6 numbers; {len(bbox)} given")
        return bbox


class ComplexObject(BaseModel):
    """An object with members of its own."""

    model_config = ConfigDict(extra="forbid")

    property1: str = Field(max_length=MAX_TEXT)
    property2: str | None = Field(default=None, max_length=1024)
    property3: float | None = None
    property4: datetime | None = None
    property5: bool | None = None


class EchoInputs(BaseModel):
    """Inputs of the process `echo`; each given comes back as the output of the same stem."""

    model_config = ConfigDict(extra="forbid", title="Echo inputs")

    stringInput: str | None = Field(default=None, max_length=MAX_TEXT, description="Any text.")
    choiceInput: Literal["Value1", "Value2", "Value3"] | None = Field(default=None, description="One of three texts.")
    integerInput: int | None = Field(default=None, ge=-(2**53), le=2**53, description="A whole number.")
    doubleInput: float | None = Field(default=None, allow_inf_nan=False, description="A number.")
    booleanInput: bool | None = Field(default=None, description="True or false.")
    dateInput: date | None = Field(default=None, description="A day.")
    dateTimeInput: datetime | None = Field(default=None, description="A moment.")
    arrayInput: list[Annotated[float, Field(allow_inf_nan=False)]] | None = Field(
        default=None, max_length=1000, description="Numbers."
    )
    measureInput: Annotated[Measure, WithJsonSchema(_MEASURE)] | None = Field(
        default=None, description="A figure with its unit."
    )
    boundingBoxInput: Annotated[Box, WithJsonSchema(_BOX)] | None = Field(default=None, description="A bounding box.")
    complexObjectInput: ComplexObject | None = Field(default=None, description="An object.")
    geometryInput: Annotated[dict[str, Any], WithJsonSchema(_GEOMETRY)] | None = Field(
        default=None, description="A GeoJSON geometry."
    )
    featureCollectionInput: Annotated[dict[str, Any], WithJsonSchema(_FEATURES)] | None = Field(
        default=None, description="A GeoJSON feature collection."
    )
    imageInput: Annotated[str, WithJsonSchema(_IMAGE)] | None = Field(
        default=None, max_length=4 * 2**20, description="An image, as base64."
    )
    pause: float = Field(
        default=0.0, ge=0, le=MAX_PAUSE_S, allow_inf_nan=False, description="Seconds to take before answering."
    )

    @field_validator("imageInput")
    @classmethod
    def _is_base64(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError) as error:
                raise ValueError("not base64") from error
        return text

    @field_validator("geometryInput", "featureCollectionInput")
    @classmethod
    def _has_a_type(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and not isinstance(value.get("type"), str):
            raise ValueError("a GeoJSON object has a member `type`")
        return value


def check(inputs: EchoInputs, context: Context) -> Quote:
    """Costs next to nothing, but for the time."""
    return Quote(
        usage=Usage(cpu_seconds=1.0, peak_bytes=2**28, output_bytes=8 * 2**20),
        seconds=inputs.pause + 0.1,
        memory_bytes=2**28,
        disk_bytes=2**24,
    )


def run(inputs: EchoInputs, context: Context) -> Outcome:
    """Waits as asked, with progress, and answers with what it was given."""
    begin = time.process_time()
    values = inputs.model_dump(mode="json", exclude={"pause"}, exclude_none=True)
    if not values and inputs.pause == 0:
        raise InputRefused("nothing-given", "There is nothing to give back.", "Give at least one input.")
    should_stop = getattr(context, "should_stop", None) or (lambda: False)
    end = time.monotonic() + inputs.pause
    steps = max(1, math.ceil(inputs.pause / _SLICE_S))
    for step in range(steps):
        context.progress(100 * step / steps, "waiting" if inputs.pause else "answering")
        if should_stop():
            raise Cancelled("cancelled", "The run was asked to stop.")
        time.sleep(min(max(end - time.monotonic(), 0.0), _SLICE_S))
    context.progress(100, "done")
    outputs = {output_of(name): value for name, value in values.items()}
    return Outcome(values=outputs, usage=Usage(cpu_seconds=time.process_time() - begin))


def output_of(name: str) -> str:
    """`stringInput` comes back as `stringOutput`."""
    return name.removesuffix("Input") + "Output"


def _outputs() -> Mapping[str, Output]:
    schemas: dict[str, tuple[str, dict[str, Any]]] = {
        "string": ("Text", _STRING),
        "choice": ("Choice", {"type": "string", "enum": ["Value1", "Value2", "Value3"]}),
        "integer": ("Whole number", {"type": "integer"}),
        "double": ("Number", {"type": "number", "format": "double"}),
        "boolean": ("True or false", {"type": "boolean"}),
        "date": ("Day", {"type": "string", "format": "date"}),
        "dateTime": ("Moment", {"type": "string", "format": "date-time"}),
        "array": ("Numbers", {"type": "array", "items": {"type": "number"}}),
        "measure": ("Measure", _MEASURE),
        "boundingBox": ("Bounding box", _BOX),
        "complexObject": ("Object", {"type": "object"}),
        "geometry": ("Geometry", _GEOMETRY),
        "featureCollection": ("Features", _FEATURES),
        "image": ("Image", _IMAGE),
    }
    return MappingProxyType(
        {
            f"{stem}Output": Output.model_validate({"title": title, "schema": schema, "rights": "none"})
            for stem, (title, schema) in schemas.items()
        }
    )


OUTPUTS: Mapping[str, Output] = _outputs()


def process() -> Process:
    """The registry's entry."""
    return Process(
        id=ID,
        version=VERSION,
        title="Echo",
        description="Gives back what it is given. For trying a client, and for conformance tests.",
        inputs=EchoInputs,
        outputs=OUTPUTS,
        run=run,
        check=check,
        modes=frozenset({"async-execute", "sync-execute"}),
        publishes=False,
        keywords=("test", "conformance"),
    )
