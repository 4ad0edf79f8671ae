"""What results inherit of their inputs: asked of `rights` before a job runs, and again when its results are ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from bocage_kit.peers import Peers
from bocage_kit.problems import Problem

from bocage_processing.jobs import Job
from bocage_processing.resolution import ResolvedItem
from bocage_processing.work import ProcessDescription

_REFUSALS = (403, 409)


class Held(Exception):
    """The results may not be handed out now; the text says why, and how to mend it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


async def derive(
    peers: Peers, process: ProcessDescription, items: Sequence[ResolvedItem], audience: str, organisation: str | None
) -> dict[str, Any]:
    """Licences, attribution, embargo and audience of each output. Raises Problem: for terms that clash, for recalls."""
    asked = {
        "inputs": [
            {
                **item.model_dump(mode="json", include={"reference", "licences", "attribution", "embargo_until"}),
                "audience": item.audience,
                "organisation": item.organisation,
            }
            for item in items
        ],
        "outputs": {name: output.rights for name, output in process.outputs.items()},
        "process_licence": process.licence,
        "audience": audience,
        "organisation": organisation,
    }
    try:
        answer = await peers.client("rights").post("/rights/derivations", json=asked, headers=await peers.own_headers())
        document: dict[str, Any] = answer.json()
        if answer.status_code not in _REFUSALS:
            answer.raise_for_status()
    except (httpx.HTTPError, ValueError) as error:
        raise unreachable() from error
    if answer.status_code in _REFUSALS:
        raise _problem(answer.status_code, document)
    return document | {"inputs": sorted({licence for item in items for licence in item.licences})}


async def release(peers: Peers, job: Job) -> None:
    """Raises Held, or httpx errors when `rights` can't tell. Again does no harm."""
    if not job.items:
        return
    asked = {
        "job": str(job.id),
        "process": job.process,
        "organisation": str(job.organisation),
        "owner": job.owner,
        "purpose": job.purpose,
        "public_base": job.public_base,
        "inputs": [item["reference"] for item in job.items],
        "licences": sorted({licence for item in job.items for licence in item["licences"]}),
    }
    answer = await peers.client("rights").post("/rights/releases", json=asked, headers=await peers.own_headers())
    if answer.status_code == 409:
        raise Held(_problem(409, answer.json()))
    answer.raise_for_status()


async def handed_out(peers: Peers, job: Job) -> None:
    """Raises Problem while values that an answer would hold may not be given out.

    Files need no such question: they are looked after where they lie.
    """
    if job.publishes:
        return
    try:
        await release(peers, job)
    except Held as held:
        raise held.problem from None
    except httpx.HTTPError as error:
        raise unreachable() from error


_OWN = frozenset({"type", "title", "status", "detail", "code", "description", "request_id"})


def _problem(status: int, document: Mapping[str, Any]) -> Problem:
    """The same refusal, in the name of this service."""
    return Problem(
        status,
        str(document.get("code", "refused")),
        str(document.get("detail", "")),
        title=str(document.get("title", "Refused")),
        **{name: value for name, value in document.items() if name not in _OWN},
    )


def unreachable() -> Problem:
    return Problem(
        503, "rights-unreachable", "The rights service does not answer; try again.", headers={"Retry-After": "5"}
    )
