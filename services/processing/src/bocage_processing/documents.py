"""The documents of OGC API - Processes, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from bocage_kit.problems import Problem
from bocage_kit.urls import public_url

from bocage_processing.jobs import Job
from bocage_processing.work import ProcessDescription

_OGC = "http://www.opengis.net"
CONFORMANCE = [
    f"{_OGC}/spec/ogcapi-processes-1/1.0/conf/{name}"
    for name in ("core", "ogc-process-description", "json", "job-list", "dismiss")
]
_REL = f"{_OGC}/def/rel/ogc/1.0"
_EXCEPTION = f"{_OGC}/def/exceptions/ogcapi-processes-1/1.0"
JSON = "application/json"
_QUALIFIERS = {"value", "mediaType", "encoding", "schema", "format"}


def link(rel: str, href: str, title: str, type_: str = JSON) -> dict[str, str]:
    return {"rel": rel, "href": href, "type": type_, "title": title}


def landing(base: str) -> dict[str, Any]:
    here = public_url(base, "processing")
    return {
        "title": "Bocage: processing",
        "description": "Elevation models and more from the images of the catalogue, by OGC API - Processes.",
        "links": [
            link("self", here, "This document"),
            link(
                "service-desc",
                public_url(base, "openapi.json"),
                "The API",
                "application/vnd.oai.openapi+json;version=3.1",
            ),
            link("service-doc", public_url(base, "docs"), "The API, to read", "text/html"),
            link("conformance", f"{here}/conformance", "What this API conforms to"),
            link(f"{_REL}/conformance", f"{here}/conformance", "What this API conforms to"),
            link(f"{_REL}/processes", f"{here}/processes", "The processes"),
            link(f"{_REL}/job-list", f"{here}/jobs", "Your jobs"),
        ],
    }


_SUMMARY = ("id", "version", "title", "description", "keywords")


def process_summary(process: ProcessDescription, base: str) -> dict[str, Any]:
    here = public_url(base, "processing", "processes", process.id)
    return {
        **{name: process.document[name] for name in _SUMMARY},
        "jobControlOptions": [*process.modes, "dismiss"],
        "outputTransmission": ["reference" if process.publishes else "value"],
        "links": [
            link("self", here, process.title),
            link(f"{_REL}/execute", f"{here}/execution", f"Execute {process.id}"),
            link("quote", f"{here}/quote", f"What {process.id} would cost; nothing is reserved"),
        ],
    }


def process_document(process: ProcessDescription, base: str) -> dict[str, Any]:
    return {
        **process.document,
        **process_summary(process, base),
        "limits": process.limits.model_dump(mode="json"),
        **({"license": process.licence} if process.licence else {}),
    }


def unqualified(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs without the qualification that OGC allows: `{"value": x, "mediaType": …}` means x."""
    return {
        name: value["value"]
        if isinstance(value, Mapping) and "value" in value and value.keys() <= _QUALIFIERS
        else value
        for name, value in inputs.items()
    }


def job_url(job: Job, base: str, *more: str) -> str:
    return public_url(base, "processing", "jobs", str(job.id), *more)


def status_info(job: Job, base: str) -> dict[str, Any]:
    """`jobID` and `type` are of version 1.0, `id` and `processingEntityType` of the next."""
    links = [link("self", job_url(job, base), "This job"), link("logs", job_url(job, base, "logs"), "What it logged")]
    if job.status == "successful":
        links.append(link(f"{_REL}/results", job_url(job, base, "results"), "The results"))
        if job.publishes:
            href = public_url(base, "stac", "collections", job.process, "items", str(job.id))
            links.append(link("item", href, "The results in the catalogue", "application/geo+json"))
    if job.status == "failed":
        links.append(link(f"{_REL}/exceptions", job_url(job, base, "results"), "Why it failed"))
    document: dict[str, Any] = {
        "jobID": str(job.id),
        "id": str(job.id),
        "processID": job.process,
        "type": "process",
        "processingEntityType": "ogc-api-processes",
        "status": job.status,
        "message": job.message or "Waiting for its turn.",
        "progress": job.progress,
        "created": instant(job.created),
        "updated": instant(job.updated),
        "audience": job.audience,
        "attempt": job.attempt,
        "quote": job.quote,
        "rights": job.rights,
        "credits": {
            "reserved": float(job.reserved) if job.price is None else 0.0,
            "quoted": float(job.reserved),
            "charged": None if job.price is None else float(job.price),
            "budget": None if job.budget is None else float(job.budget),
        },
        "links": links,
    }
    if job.started:
        document["started"] = instant(job.started)
    if job.finished:
        document["finished"] = instant(job.finished)
    if job.usage is not None:
        document["usage"] = job.usage
    if job.error is not None:
        document["exception"] = job.error
    if job.results and job.results.get("warnings"):
        document["warnings"] = job.results["warnings"]
    return document


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def page_links(
    here: str, query: Sequence[tuple[str, str]], offset: int, limit: int, more: bool
) -> list[dict[str, str]]:
    def at(start: int) -> str:
        kept = [(n, v) for n, v in query if n not in ("offset", "limit")]
        return f"{here}?{urlencode([*kept, ('limit', str(limit)), ('offset', str(start))])}"

    links = [link("self", at(offset), "This page")]
    if more:
        links.append(link("next", at(offset + limit), "The next page"))
    if offset:
        links.append(link("prev", at(max(0, offset - limit)), "The page before"))
    return links


def no_such_process(process: str) -> Problem:
    return Problem(
        404, "no-such-process", f"There is no process {process}. GET /processing/processes lists them.",
        type_=f"{_EXCEPTION}/no-such-process",
    )  # fmt: skip


def no_such_job() -> Problem:
    return Problem(404, "no-such-job", "The job does not exist, or it is not yours.", type_=f"{_EXCEPTION}/no-such-job")


def not_ready(job: Job) -> Problem:
    detail = (
        "The job was dismissed: it has no results."
        if job.status == "dismissed"
        else f"The job is {job.status} ({job.progress} %): ask again later."
    )
    return Problem(404, "result-not-ready", detail, type_=f"{_EXCEPTION}/result-not-ready")


def no_such_output(job: Job, output: str) -> Problem:
    return Problem(404, "no-such-output", f"The job has no output {output}.", type_=f"{_EXCEPTION}/no-such-output")


def failed(job: Job) -> Problem:
    """What a failed job's results answer with."""
    error = job.error or {}
    members = {k: v for k, v in error.items() if k in ("remedy", "facts")}
    return Problem(
        int(error.get("status", 500)),
        str(error.get("code", "failed")),
        str(error.get("detail", job.message)),
        title=str(error.get("title", "Processing failed")),
        **members,
    )
