"""Jobs: their state, results, logs, and their dismissal. Everybody sees their own jobs only."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from bocage_kit.access import ACCOUNT, Caller
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem
from bocage_kit.urls import public_url
from fastapi import APIRouter, Depends, Query, Request, Response

from bocage_processing import documents, inheritance, jobs, results
from bocage_processing.jobs import Job
from bocage_processing.work import ProcessDescription

router = APIRouter(prefix="/processing", tags=["processing"], dependencies=[Depends(ACCOUNT)])
_STOP_SECONDS = 4.0
Status = Literal["accepted", "running", "successful", "failed", "dismissed"]


async def _job(request: Request, job_id: str, caller: Identity) -> Job:
    """Raises Problem: 404 for what is not there, and for what is another's."""
    try:
        key = UUID(job_id)
    except ValueError:
        raise documents.no_such_job() from None
    async with request.state.pool.connection() as connection:
        job = await jobs.get(connection, key)
    if job is None or not (job.owner == caller.subject or "admin" in caller.scopes):
        raise documents.no_such_job()
    return job


async def _described(request: Request, job: Job) -> ProcessDescription | None:
    known: dict[str, ProcessDescription] = await request.state.descriptions.all()
    return known.get(job.process)


@router.get("/jobs", name="getJobs")
async def job_list(
    request: Request,
    caller: Caller,
    type_: Annotated[list[str] | None, Query(alias="type")] = None,
    process_id: Annotated[list[str] | None, Query(alias="processID")] = None,
    status: Annotated[list[Status] | None, Query()] = None,
    datetime_: Annotated[str | None, Query(alias="datetime", description="interval of creation")] = None,
    min_duration: Annotated[float | None, Query(alias="minDuration", ge=0, description="seconds")] = None,
    max_duration: Annotated[float | None, Query(alias="maxDuration", ge=0, description="seconds")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """The caller's jobs, newest first; an administrator sees all."""
    since, until = _interval(datetime_)
    wanted = jobs.Wanted(
        owner=None if "admin" in caller.scopes else caller.subject,
        processes=_values(process_id),
        statuses=list(status or ()),
        since=since,
        until=until,
        min_seconds=min_duration,
        max_seconds=max_duration,
    )
    found: list[Job] = []
    if not type_ or "process" in _values(type_):
        async with request.state.pool.connection() as connection:
            found = await jobs.listed(connection, wanted, limit + 1, offset)
    here = public_url(caller.public_base, "processing", "jobs")
    links = documents.page_links(here, request.query_params.multi_items(), offset, limit, len(found) > limit)
    return {"jobs": [documents.status_info(job, caller.public_base) for job in found[:limit]], "links": links}


@router.get("/jobs/{job_id}", name="getStatus")
async def status_of(request: Request, job_id: str, caller: Caller) -> dict[str, Any]:
    """The state of a job."""
    return documents.status_info(await _job(request, job_id, caller), caller.public_base)


@router.get("/jobs/{job_id}/results", name="getResult")
async def results_of(request: Request, job_id: str, caller: Caller) -> Response:
    """The results of a successful job; files as links."""
    job = _finished(await _job(request, job_id, caller))
    await inheritance.handed_out(request.state.submissions.peers, job)
    return results.answer(job, await _described(request, job))


@router.get("/jobs/{job_id}/results/{output_id}", name="getResultOutput")
async def result_of(request: Request, job_id: str, output_id: str, caller: Caller) -> Response:
    """One output; a file by redirection to its link."""
    job = _finished(await _job(request, job_id, caller))
    await inheritance.handed_out(request.state.submissions.peers, job)
    return results.one(job, output_id, await _described(request, job))


@router.get("/jobs/{job_id}/logs", name="getLogs")
async def logs_of(
    request: Request,
    job_id: str,
    caller: Caller,
    after: Annotated[int, Query(ge=0, description="only lines with a larger id")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """What the job logged, in order."""
    job = await _job(request, job_id, caller)
    async with request.state.pool.connection() as connection:
        lines = await jobs.logs(connection, job.id, after, limit)
    here = documents.job_url(job, caller.public_base, "logs")
    links = [documents.link("self", here, "This log")]
    if len(lines) == limit:
        links.append(documents.link("next", f"{here}?after={lines[-1]['id']}&limit={limit}", "What comes after"))
    return {
        "level": "info",
        "logs": [
            {
                "id": str(line["id"]), "attempt": line["attempt"], "time": documents.instant(line["at"]),
                "level": line["level"], "message": line["message"],
            }
            for line in lines
        ],
        "links": links,
    }  # fmt: skip


@router.delete("/jobs/{job_id}", name="dismiss")
async def dismiss(request: Request, job_id: str, caller: Caller) -> dict[str, Any]:
    """Dismiss a job: what runs of it is stopped, half-written files go, nothing is charged."""
    job = await _job(request, job_id, caller)
    async with request.state.pool.connection() as connection, connection.transaction():
        answer = await jobs.dismiss(connection, job.id)
    job = await _job(request, job_id, caller)
    if answer == "publishing":
        raise Problem(
            409, "job-ending", "The job is done and its results are being published: it can no longer be dismissed.",
            headers={"Retry-After": "2"},
        )  # fmt: skip
    if answer == "ended" and job.state != "dismissed":
        raise Problem(409, "job-ended", f"The job has ended already ({job.state}): there is nothing to dismiss.")
    # The answer tells the truth either way; a moment's patience lets it tell that all is stopped.
    deadline = time.monotonic() + _STOP_SECONDS
    while not job.ended and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        job = await _job(request, job_id, caller)
    return documents.status_info(job, caller.public_base)


def _finished(job: Job) -> Job:
    if job.status == "failed":
        raise documents.failed(job)
    if job.status != "successful":
        raise documents.not_ready(job)
    return job


def _values(given: list[str] | None) -> list[str]:
    """Repeated or comma-separated, as OGC writes arrays."""
    return [value for part in given or () for value in part.split(",") if value]


def _interval(text: str | None) -> tuple[datetime | None, datetime | None]:
    if not text:
        return None, None
    first, slash, last = text.partition("/")
    try:
        ends = [None if part in ("", "..") else _moment(part) for part in (first, last if slash else first)]
    except ValueError:
        raise Problem(
            400, "bad-datetime", "datetime: an instant or an interval by RFC 3339, as 2026-01-01T00:00:00Z/.."
        ) from None
    return ends[0], ends[1]


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment
