"""Processes: what there is, what it would cost, and its execution."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Annotated, Any

from bocage_kit.access import ANYONE, Caller, scope
from bocage_kit.problems import Problem
from bocage_kit.urls import public_url
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from bocage_processing import documents, inheritance, jobs, results
from bocage_processing.jobs import Job
from bocage_processing.submission import ExecuteRequest, Submissions
from bocage_processing.work import ProcessDescription

router = APIRouter(prefix="/processing", tags=["processing"])
_SUBMIT = Depends(scope("jobs:submit"))
_KEY = re.compile(r"^[\x21-\x7e]{1,200}$")


async def _process(request: Request, process_id: str) -> ProcessDescription:
    try:
        found: ProcessDescription = await request.state.descriptions.one(process_id)
    except KeyError:
        raise documents.no_such_process(process_id) from None
    return found


@router.get("", name="getLandingPage", dependencies=[Depends(ANYONE)])
@router.get("/", name="getLandingPageSlash", dependencies=[Depends(ANYONE)], include_in_schema=False)
async def landing(caller: Caller) -> dict[str, Any]:
    """Where everything is."""
    return documents.landing(caller.public_base)


@router.get("/conformance", name="getConformanceClasses", dependencies=[Depends(ANYONE)])
async def conformance() -> dict[str, Any]:
    """The classes of OGC API - Processes that this conforms to."""
    return {"conformsTo": documents.CONFORMANCE}


@router.get("/processes", name="getProcesses", dependencies=[Depends(ANYONE)])
async def processes(
    request: Request,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """The processes."""
    known: list[ProcessDescription] = sorted((await request.state.descriptions.all()).values(), key=lambda p: p.id)
    here = public_url(caller.public_base, "processing", "processes")
    links = documents.page_links(here, [], offset, limit, len(known) > offset + limit)
    page = known[offset : offset + limit]
    return {"processes": [documents.process_summary(p, caller.public_base) for p in page], "links": links}


@router.get("/processes/{process_id}", name="getProcessDescription", dependencies=[Depends(ANYONE)])
async def process(request: Request, process_id: str, caller: Caller) -> dict[str, Any]:
    """A process, with the JSON Schemas of its inputs and outputs."""
    return documents.process_document(await _process(request, process_id), caller.public_base)


@router.post("/processes/{process_id}/quote", name="quote", dependencies=[_SUBMIT])
async def quote(request: Request, process_id: str, body: ExecuteRequest, caller: Caller) -> dict[str, Any]:
    """What an execution would find, use and cost at most. Nothing is reserved or kept."""
    description = await _process(request, process_id)
    submissions: Submissions = request.state.submissions
    asked = body.model_copy(update={"inputs": documents.unqualified(body.inputs)})
    quoted = await submissions.quote(description, asked, caller)
    return {
        "processID": process_id,
        "credits": float(quoted.credits),
        "prices": quoted.prices,
        **quoted.quote.model_dump(mode="json"),
        "licences": quoted.rights["licences"],
        "rights": quoted.rights,
    }


@router.post("/processes/{process_id}/execution", name="execute", status_code=201, dependencies=[_SUBMIT])
async def execute(
    request: Request,
    process_id: str,
    body: ExecuteRequest,
    caller: Caller,
    prefer: Annotated[str, Header()] = "",
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Start a job; a process that allows it answers at once unless `Prefer: respond-async` is sent.

    With an `Idempotency-Key`, the same request again gives the same job; another request with that key is refused.
    """
    if idempotency_key is not None and not _KEY.match(idempotency_key):
        raise Problem(400, "bad-idempotency-key", "Idempotency-Key: 1 to 200 visible ASCII characters.")
    description = await _process(request, process_id)
    submissions: Submissions = request.state.submissions
    asked = body.model_copy(update={"inputs": documents.unqualified(body.inputs)})
    job, new = await submissions.submit(description, asked, caller, idempotency_key)
    wants_async = "respond-async" in {word.strip().lower() for word in re.split(r"[,;]", prefer)}
    if "sync-execute" in description.modes and not (wants_async and "async-execute" in description.modes):
        job = await _ended(request, job)
        if job.ended:
            monitor = {"Link": f'<{documents.job_url(job, caller.public_base)}>; rel="monitor"'}
            if job.status != "successful":
                problem = documents.failed(job) if job.status == "failed" else documents.not_ready(job)
                problem.headers |= monitor
                raise problem
            await inheritance.handed_out(submissions.peers, job)
            answer = results.answer(job, description, default=results.default_of_sync(job))
            for name, value in monitor.items():
                answer.headers.append(name, value)
            return answer
    headers = {"Location": documents.job_url(job, caller.public_base)}
    if wants_async:
        headers["Preference-Applied"] = "respond-async"
    if not new:
        headers["Idempotency-Replayed"] = "true"
    return JSONResponse(documents.status_info(job, caller.public_base), 201, headers=headers)


async def _ended(request: Request, job: Job) -> Job:
    """The job once it has ended, or as it is when that takes too long for an answer to wait."""
    deadline = time.monotonic() + request.state.settings.sync_seconds
    while not job.ended and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        async with request.state.pool.connection() as connection:
            found = await jobs.get(connection, job.id)
        assert found is not None
        job = found
    return job
