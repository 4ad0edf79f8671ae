"""What passes between the platform and a runner: files of JSON in the job's folder, nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from bocage_processes.process import Limits, Outcome, Output, Process, Provenance, Quote, StagedItem
from pydantic import BaseModel, Field

WORK, PROGRESS, REPORT, OUTPUT = "job.json", "progress.jsonl", "result.json", "output.log"
INPUTS, SCRATCH = "inputs", "work"
MARKER = "BOCAGE_JOB_ATTEMPT"


def marker(job: str, attempt: int) -> str:
    """What the environment of every process of an attempt holds."""
    return f"{job}:{attempt}"


class Work(BaseModel):
    """A run, or a pre-check, as the runner gets it. `inputs` are the caller's, `items` the files they name."""

    registry: str
    process: str
    inputs: dict[str, Any]
    items: list[StagedItem] = Field(default_factory=list)
    provenance: Provenance = Field(default_factory=Provenance)
    limits: Limits = Field(default_factory=Limits)
    engines: dict[str, Path] = Field(default_factory=dict)


class Trouble(BaseModel):
    """Why something could not be done."""

    code: str
    detail: str
    remedy: str = ""
    facts: dict[str, Any] = Field(default_factory=dict)


class Report(BaseModel):
    """How a run ended, as the runner tells it. `refused`: the inputs are at fault; `fault`: the platform."""

    status: Literal["successful", "refused", "fault", "cancelled"]
    outcome: Outcome | None = None
    trouble: Trouble | None = None


class CheckAnswer(BaseModel):
    """Of a pre-check: a quote, or a refusal; `errors` name the fields that are not valid."""

    quote: Quote | None = None
    trouble: Trouble | None = None
    refused: bool = Field(default=False, description="the trouble is with the inputs")
    errors: list[dict[str, str]] = Field(default_factory=list)


class ProcessDescription(BaseModel):
    """What the service knows of a process without importing it."""

    id: str
    version: str
    title: str
    description: str
    inputs: dict[str, Any] = Field(description="JSON Schema of the inputs object")
    outputs: dict[str, Output]
    modes: list[Literal["sync-execute", "async-execute"]]
    licence: str | None = None
    publishes: bool = True
    keywords: list[str] = Field(default_factory=list)
    cores: int = 1
    limits: Limits = Field(default_factory=Limits)
    document: dict[str, Any] = Field(description="the OGC process description, without links")


class ProcessDescriptions(BaseModel):
    processes: list[ProcessDescription]


def load(registry: str) -> dict[str, Process]:
    """The processes of a registry named as `module:callable`. Imports the science: for runners only."""
    module, _, name = registry.partition(":")
    found: Mapping[str, Process] | Iterable[Process] = getattr(importlib.import_module(module), name)()
    listed = found.values() if isinstance(found, Mapping) else found
    return {process.id: process for process in listed}


def description(process: Process, limits: Limits) -> ProcessDescription:
    """Imports the science: for runners only."""
    from bocage_processes.registry import describe

    return ProcessDescription(
        id=process.id,
        version=process.version,
        title=process.title,
        description=process.description,
        inputs=process.inputs.model_json_schema(),
        outputs=dict(process.outputs),
        modes=sorted(process.modes),
        licence=process.licence,
        publishes=process.publishes,
        keywords=list(process.keywords),
        cores=min(process.cores, limits.max_cores),
        limits=limits,
        document=describe(process, limits),
    )
