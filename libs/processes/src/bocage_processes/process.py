"""The contract between a process and whatever runs it: the platform's runner, a script, a notebook.

A process is two pure-as-possible functions over typed inputs. `check` reads headers only, within seconds, and either
refuses (`InputRefused`) or quotes an upper bound; `run` does the work in a private folder and says what it used.
Neither knows HTTP, a database, credentials or credits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ItemReference = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,128}/[A-Za-z0-9_.:-]{1,256}$"),
    Field(
        description="A catalogue item, as `collection/item`.",
        json_schema_extra={"format": "stac-item-reference"},
    ),
]


class ProcessError(Exception):
    """The process could not be completed."""

    def __init__(self, code: str, detail: str, remedy: str = "", **facts: Any) -> None:
        super().__init__(detail)
        self.code, self.detail, self.remedy, self.facts = code, detail, remedy, facts


class InputRefused(ProcessError):
    """The inputs are at fault: the caller can mend it, and pays nothing."""


class EngineFailed(ProcessError):
    """The engine or the machine is at fault: worth another try, and free of charge."""


class Cancelled(ProcessError):
    """The run was asked to stop."""


class StagedAsset(BaseModel):
    """A file of an input item, laid where the process can read it."""

    model_config = ConfigDict(frozen=True)

    path: Path
    media_type: str | None = None
    roles: tuple[str, ...] = ()


class StagedItem(BaseModel):
    """An input item with its files."""

    model_config = ConfigDict(frozen=True)

    reference: str
    assets: Mapping[str, StagedAsset]
    properties: Mapping[str, Any] = Field(default_factory=dict)


class Provenance(BaseModel):
    """What every raster says of itself, so that the file alone tells it."""

    model_config = ConfigDict(frozen=True)

    job: str = "local"
    inputs: tuple[str, ...] = ()
    licences: Mapping[str, str] = Field(default_factory=dict, description="licence expression by output id")
    attribution: str = ""


class Limits(BaseModel):
    """What the operator allows; shown by the process description and named in refusals."""

    model_config = ConfigDict(frozen=True)

    max_megapixels: float = 16.0
    max_cores: int = 2
    max_memory_bytes: int = 8 * 2**30


class Context(Protocol):
    """What a run is given by its surroundings."""

    @property
    def folder(self) -> Path:
        """Private, empty, writable; deleted by whoever made it."""

    @property
    def items(self) -> Mapping[str, StagedItem]: ...

    @property
    def provenance(self) -> Provenance: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def engines(self) -> Mapping[str, Path]:
        """Executables by name, for instance `cars`."""

    def progress(self, percent: float, message: str) -> None:
        """0 to 100; a lower figure than the last is ignored."""

    def log(self, message: str, level: Literal["info", "warning", "error"] = "info") -> None: ...


@dataclass(frozen=True)
class LocalContext:
    """A context for use from Python, without the platform."""

    folder: Path
    items: Mapping[str, StagedItem] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    limits: Limits = field(default_factory=Limits)
    engines: Mapping[str, Path] = field(default_factory=dict)
    on_progress: Callable[[float, str], None] = lambda percent, message: None
    on_log: Callable[[str, str], None] = lambda level, message: None

    def progress(self, percent: float, message: str) -> None:
        self.on_progress(percent, message)

    def log(self, message: str, level: Literal["info", "warning", "error"] = "info") -> None:
        self.on_log(level, message)


class Usage(BaseModel):
    """What a run used. Prices are put on these figures, never on anything else."""

    model_config = ConfigDict(frozen=True)

    megapixels: float = Field(default=0.0, ge=0, description="million output cells computed, times image pairs")
    area_km2: float = Field(default=0.0, ge=0, description="ground area that the result covers")
    cpu_seconds: float = Field(default=0.0, ge=0)
    peak_bytes: int = Field(default=0, ge=0)
    output_bytes: int = Field(default=0, ge=0)


class Quote(BaseModel):
    """An upper bound of what a run will use, and what the pre-check found."""

    usage: Usage
    seconds: float = Field(ge=0, description="estimated wall time")
    memory_bytes: int = Field(ge=0)
    disk_bytes: int = Field(ge=0)
    findings: dict[str, Any] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)


class FileOutput(BaseModel):
    """An output that is a file in the run's folder."""

    path: Path
    media_type: str
    title: str
    roles: tuple[str, ...] = ("data",)
    fields: dict[str, Any] = Field(
        default_factory=dict, description="STAC asset fields: proj:*, raster:*, bands, classification:*"
    )


class Outcome(BaseModel):
    """What a run made."""

    values: dict[str, Any] = Field(default_factory=dict, description="outputs that are JSON values, by output id")
    files: dict[str, FileOutput] = Field(default_factory=dict, description="outputs that are files, by output id")
    usage: Usage = Field(default_factory=Usage)
    geometry: dict[str, Any] | None = Field(default=None, description="GeoJSON, EPSG:4326")
    properties: dict[str, Any] = Field(default_factory=dict, description="STAC item properties")
    extensions: list[str] = Field(default_factory=list, description="STAC extension schema URIs that the fields need")
    warnings: list[str] = Field(default_factory=list)


class Output(BaseModel):
    """Description of an output."""

    model_config = ConfigDict(frozen=True)

    title: str
    description: str = ""
    schema_: dict[str, Any] = Field(alias="schema")
    rights: Literal["pixels", "elevation", "index", "statistic", "none"] = Field(
        default="none", description="what the output keeps of its inputs: the licence rule depends on it"
    )


@dataclass(frozen=True)
class Process:
    """One entry of the registry."""

    id: str
    version: str
    title: str
    description: str
    inputs: type[BaseModel]
    outputs: Mapping[str, Output]
    run: Callable[[Any, Context], Outcome]
    check: Callable[[Any, Context], Quote]
    modes: frozenset[Literal["sync-execute", "async-execute"]] = frozenset({"async-execute"})
    licence: str | None = None
    """Terms that the process itself puts on its results, as an SPDX identifier."""
    publishes: bool = True
    """Whether a result becomes a catalogue item."""
    keywords: tuple[str, ...] = ()
    cores: int = 1
