"""A registry of small processes: they echo, sleep, fail, fork and die as they are told. They import no science."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bocage_processes.process import (
    Context,
    EngineFailed,
    FileOutput,
    InputRefused,
    ItemReference,
    Outcome,
    Output,
    Process,
    Quote,
    Usage,
)
from pydantic import BaseModel, ConfigDict, Field

SQUARE = {"type": "Polygon", "coordinates": [[[2.0, 48.0], [2.1, 48.0], [2.1, 48.1], [2.0, 48.1], [2.0, 48.0]]]}


class EchoInputs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = "hello"
    number: float = Field(default=1.0, ge=0, le=1e6)
    pause: float = Field(default=0.0, ge=0, le=600, description="seconds")
    box: dict[str, Any] | None = None


class MakeInputs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    images: list[ItemReference] = Field(default_factory=list, max_length=3)
    pause: float = Field(default=0.0, ge=0, le=600, description="seconds")
    megapixels: float = Field(default=1.0, ge=0)
    used: float | None = Field(default=None, description="megapixels really used; all by default")
    disk: int = Field(default=1000, description="bytes quoted")
    misbehave: str = ""


def _quote(inputs: Any, _context: Context) -> Quote:
    return Quote(usage=Usage(), seconds=1, memory_bytes=1, disk_bytes=1)


def echo(inputs: EchoInputs, context: Context) -> Outcome:
    context.log("echo starts")
    rest(inputs.pause, context)
    return Outcome(values={"text": inputs.text, "number": inputs.number, "box": inputs.box})


def rest(seconds: float, context: Context) -> None:
    begin = time.monotonic()
    while (gone := time.monotonic() - begin) < seconds:
        context.progress(100 * gone / seconds, "resting")
        time.sleep(0.05)


class TallyInputs(BaseModel):
    images: list[ItemReference] = Field(max_length=4)


def tally(inputs: TallyInputs, context: Context) -> Outcome:
    return Outcome(values={"count": len(inputs.images)})


def check_make(inputs: MakeInputs, context: Context) -> Quote:
    if inputs.misbehave == "refuse":
        raise InputRefused("no-overlap", "The images show no common ground.", "Give images of one place.", degrees=3)
    if inputs.misbehave == "slow check":
        time.sleep(60)
    for reference in inputs.images:
        for asset in context.items[reference].assets.values():
            asset.path.read_bytes()
    return Quote(
        usage=Usage(megapixels=inputs.megapixels, area_km2=inputs.megapixels),
        seconds=1, memory_bytes=1, disk_bytes=inputs.disk,
        findings={"images": len(inputs.images)},
    )  # fmt: skip


def make(inputs: MakeInputs, context: Context) -> Outcome:
    """Writes the names and sizes of its inputs, after whatever it was told to do wrong."""
    _misbehave(inputs.misbehave, context)
    rest(inputs.pause, context)
    seen = {
        f"{reference}/{name}": asset.path.stat().st_size
        for reference in inputs.images
        for name, asset in context.items[reference].assets.items()
    }
    made = context.folder / "data.json"
    made.write_text(json.dumps({"seen": seen, "provenance": context.provenance.model_dump(mode="json")}))
    report = context.folder / "report.json"
    report.write_text(json.dumps({"engine": "rehearsal"}))
    if inputs.misbehave == "steal":
        made = Path("/etc/hostname")
    used = inputs.megapixels if inputs.used is None else inputs.used
    return Outcome(
        files={
            "data": FileOutput(path=made, media_type="application/json", title="Data"),
            "report": FileOutput(path=report, media_type="application/json", title="Report", roles=("metadata",)),
        },
        usage=Usage(megapixels=used, area_km2=used),
        geometry=SQUARE,
        properties={"gsd": 0.5},
    )


def _misbehave(how: str, context: Context) -> None:
    match how:
        case "raise":
            raise ValueError("/secret/path and postgresql://inner")
        case "engine":
            raise EngineFailed("engine-failed", "The engine stopped half-way.")
        case "input":
            raise InputRefused("truncated-image", "The image is truncated.", "Send the file again.")
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "vanish":
            os._exit(0)
        case "family":
            family(context.folder)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "chatter":
            for _ in range(3000):
                os.write(1, b"x" * 10_000)
            context.log("quiet again")


def family(folder: Path) -> None:
    """A child in the group, and one that leaves it and ignores SIGTERM."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code])
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    time.sleep(0.2)


def _out(title: str, rights: Any = "none", schema: dict[str, Any] | None = None) -> Output:
    return Output.model_validate({"title": title, "schema": schema or {}, "rights": rights})


def processes() -> list[Process]:
    return [
        Process(
            id="echo", version="1.0.0", title="Echo", description="Gives back what it gets.", inputs=EchoInputs,
            outputs={name: _out(name) for name in ("text", "number", "box")}, run=echo, check=_quote,
            modes=frozenset({"sync-execute", "async-execute"}), publishes=False,
        ),
        Process(
            id="make", version="2.0.0", title="Make", description="Makes files.", inputs=MakeInputs,
            outputs={"data": _out("Data", "pixels"), "report": _out("Report")}, run=make, check=check_make,
            licence="CC-BY-NC-4.0",
        ),
        Process(
            id="tally", version="1.0.0", title="Tally", description="Counts its images.", inputs=TallyInputs,
            outputs={"count": _out("Count", "statistic")}, run=tally, check=_quote,
            modes=frozenset({"sync-execute", "async-execute"}), publishes=False,
        ),
    ]  # fmt: skip
