"""The folder of an attempt: made, filled with the inputs, and emptied again."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bocage_kit.store import LocalStore, Stored, key_of
from bocage_processes.process import Outcome, Provenance, StagedAsset, StagedItem

from bocage_processing.jobs import Job
from bocage_processing.resolution import ResolvedAsset, ResolvedItem
from bocage_processing.settings import ProcessingSettings
from bocage_processing.work import INPUTS, SCRATCH, WORK, Work

_EXTENSIONS: Mapping[str, str] = {
    "image/tiff": ".tif",
    "image/jp2": ".jp2",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "application/json": ".json",
    "application/geo+json": ".geojson",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "text/plain": ".txt",
}
_SAFE_NAME = re.compile(r"^[A-Za-z0-9_-]{1,60}$")


class InputChanged(Exception):
    """A file is not the one that was quoted."""


class BadOutput(Exception):
    """The process names a file that is not one of its own."""


def job_folder(jobs_root: Path, job: str, attempt: int) -> Path:
    return jobs_root / job / str(attempt)


def stage(settings: ProcessingSettings, store: LocalStore, job: Job, attempt: int) -> Path:
    """Make the folder of an attempt. Raises InputChanged, OSError."""
    folder = job_folder(settings.jobs_root, str(job.id), attempt)
    for path in (settings.jobs_root, folder.parent, folder, folder / INPUTS, folder / SCRATCH):
        path.mkdir(mode=0o700, exist_ok=True)
    resolved = [ResolvedItem.model_validate(item) for item in job.items]
    items = [_staged(store, item, folder / INPUTS / str(number)) for number, item in enumerate(resolved)]
    licences: dict[str, list[str]] = job.rights.get("licences", {})
    task = Work(
        registry=settings.process_registry,
        process=job.process,
        inputs=job.inputs,
        items=items,
        provenance=Provenance(
            job=str(job.id),
            inputs=tuple(item.reference for item in resolved),
            licences={name: " AND ".join(ids) for name, ids in licences.items()},
            attribution=job.rights.get("attribution", ""),
        ),
        limits=settings.limits,
        engines=settings.engines,
    )
    (folder / WORK).write_text(task.model_dump_json(by_alias=True))
    return folder


def empty(folder: Path) -> None:
    """Take away the inputs and half-written files; what tells of the run stays."""
    for name in (INPUTS, SCRATCH):
        shutil.rmtree(folder / name, ignore_errors=True)


def attempt_prefix(process: str, job: str, attempt: int) -> str:
    return key_of("results", process, job, str(attempt))


def store_outputs(store: LocalStore, job: Job, attempt: int, folder: Path, outcome: Outcome) -> dict[str, Any]:
    """Copy the files of an outcome to the store; what the job row keeps of them. Raises BadOutput, OSError."""
    scratch = (folder / SCRATCH).resolve()
    files: dict[str, Any] = {}
    for name, output in outcome.files.items():
        path = output.path if output.path.is_absolute() else scratch / output.path
        if not _SAFE_NAME.match(name) or path.is_symlink() or not path.is_file():
            raise BadOutput(name)
        if not path.resolve().is_relative_to(scratch):
            raise BadOutput(name)
        suffix = path.suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", path.suffix) else ""
        key = f"{attempt_prefix(job.process, str(job.id), attempt)}/{name}{suffix}"
        stored: Stored = store.put_file(key, path)
        files[name] = {
            **output.model_dump(mode="json", exclude={"path"}),
            "key": key, "size": stored.size, "sha256": stored.sha256,
        }  # fmt: skip
    kept = outcome.model_dump(mode="json", include={"values", "geometry", "properties", "extensions", "warnings"})
    return {**kept, "files": files}


def _staged(store: LocalStore, item: ResolvedItem, folder: Path) -> StagedItem:
    folder.mkdir(mode=0o700)
    assets: dict[str, StagedAsset] = {}
    for number, (name, asset) in enumerate(item.assets.items()):
        stem = name if _SAFE_NAME.match(name) else f"asset-{number}"
        path = folder / f"{stem}{_extension(asset)}"
        source = store.path(asset.key)
        try:
            # The same bytes without their copy; whoever uploads anew makes another file.
            os.link(source, path)
        except FileNotFoundError as error:
            raise InputChanged(item.reference) from error
        except OSError:
            shutil.copyfile(source, path)
        if asset.sha256 is not None and not _unchanged(store, asset, path):
            raise InputChanged(item.reference)
        assets[name] = StagedAsset(path=path, media_type=asset.media_type, roles=tuple(asset.roles))
    return StagedItem(reference=item.reference, assets=assets, properties=item.properties)


def _unchanged(store: LocalStore, asset: ResolvedAsset, path: Path) -> bool:
    stored = store.head(asset.key)
    if stored is not None and stored.sha256 is not None:
        return stored.sha256 == asset.sha256
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest() == asset.sha256


def _extension(asset: ResolvedAsset) -> str:
    if asset.media_type:
        return _EXTENSIONS.get(asset.media_type.split(";")[0].strip().lower(), "")
    return ""
