"""Answers of a finished job: a document, raw values, or links to files."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any

from bocage_kit.urls import asset_url
from fastapi import Response
from fastapi.responses import JSONResponse

from bocage_processing.documents import no_such_output
from bocage_processing.jobs import Job
from bocage_processing.work import ProcessDescription


def outputs_of(job: Job) -> dict[str, Any]:
    """Each output that was asked for: a value, or a link `{"href", "type", "title"}` to its file."""
    results = job.results or {}
    files: Mapping[str, Mapping[str, Any]] = results.get("files", {})
    found: dict[str, Any] = dict(results.get("values", {}))
    for name, file in files.items():
        found[name] = {
            "href": asset_url(job.public_base, job.process, str(job.id), name),
            "type": file["media_type"],
            "title": file["title"],
        }
    wanted = job.outputs
    return found if wanted is None else {name: value for name, value in found.items() if name in wanted}


def is_file(job: Job, name: str) -> bool:
    return name in (job.results or {}).get("files", {})


def default_of_sync(job: Job) -> str:
    """`raw` for a single value, as version 1.0 has it; a document where that would be an empty answer or many parts."""
    outputs = outputs_of(job)
    return "raw" if len(outputs) == 1 and not is_file(job, next(iter(outputs))) else "document"


def answer(job: Job, process: ProcessDescription | None, *, default: str = "document") -> Response:
    """All outputs, `raw` or as a `document`, as the execute request asked; `process` as far as it is still known."""
    outputs = outputs_of(job)
    if (job.response or default) == "document":
        return JSONResponse({name: _qualified(value) for name, value in outputs.items()})
    values = {name: value for name, value in outputs.items() if not is_file(job, name)}
    if not values:
        return Response(status_code=204, headers={"Link": _link_header(outputs)} if outputs else None)
    if len(outputs) == 1:
        return one(job, next(iter(outputs)), process)
    return _multipart(job, outputs, process)


def one(job: Job, name: str, process: ProcessDescription | None) -> Response:
    """One output, raw. Raises Problem."""
    outputs = outputs_of(job)
    if name not in outputs:
        raise no_such_output(job, name)
    if is_file(job, name):
        return Response(status_code=307, headers={"Location": outputs[name]["href"]})
    content, media_type = _raw(outputs[name], _schema(process, name))
    return Response(content, media_type=media_type)


def _qualified(value: Any) -> Any:
    """Objects are qualified, so that a value is never taken for a link."""
    return {"value": value} if isinstance(value, dict) and "href" not in value else value


def _schema(process: ProcessDescription | None, name: str) -> Mapping[str, Any]:
    return process.outputs[name].schema_ if process and name in process.outputs else {}


def _raw(value: Any, schema: Mapping[str, Any]) -> tuple[bytes, str]:
    if isinstance(value, str) and schema.get("contentEncoding") == "base64" and "contentMediaType" in schema:
        return base64.b64decode(value), str(schema["contentMediaType"])
    if isinstance(value, str):
        return value.encode(), "text/plain; charset=utf-8"
    return json.dumps(value).encode(), "application/json"


def _link_header(outputs: Mapping[str, Any]) -> str:
    return ", ".join(f'<{link["href"]}>; rel="{name}"; type="{link["type"]}"' for name, link in outputs.items())


def _multipart(job: Job, outputs: Mapping[str, Any], process: ProcessDescription | None) -> Response:
    boundary = uuid.uuid4().hex
    parts: list[bytes] = []
    for name, value in outputs.items():
        if is_file(job, name):
            head, body = f"Content-Location: {value['href']}\r\nContent-Type: {value['type']}", b""
        else:
            body, media_type = _raw(value, _schema(process, name))
            head = f"Content-Type: {media_type}"
        parts.append(f"--{boundary}\r\nContent-ID: <{name}>\r\n{head}\r\n\r\n".encode() + body + b"\r\n")
    return Response(
        b"".join(parts) + f"--{boundary}--\r\n".encode(), media_type=f'multipart/related; boundary="{boundary}"'
    )
