"""Signed links, by the contract that the THEIA clients speak, and links for the length of a job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

from bocage_kit.access import ACCOUNT, Caller, scope
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem, not_found
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import text

from bocage_rights import grants
from bocage_rights.object_stores import CHARGED_BYTES
from bocage_rights.signer import Signer
from bocage_rights.signing import JOB_SECONDS
from bocage_rights.state import RightsState, State

router = APIRouter(prefix="/rights", tags=["signed links"])

MOST_URLS = 64
SERVICE = scope("service:signing")
Address = Annotated[str, StringConstraints(min_length=1, max_length=8000)]
_HEADERS = {"Cache-Control": "private, no-store"}


class ToSign(BaseModel):
    """Addresses of assets; `duration_seconds` can only shorten what the licences allow. 0 asks for the longest."""

    model_config = ConfigDict(extra="forbid")
    urls: list[Address] = Field(min_length=1, max_length=MOST_URLS)
    duration_seconds: int | None = Field(default=None, ge=0, le=7 * 24 * 3600)


class ToRead(ToSign):
    job: UUID | None = Field(default=None, description="services only: links that live as long as this job")


class SignedLinks(BaseModel):
    expiry: str = Field(description="when the first of the links ends")
    hrefs: dict[str, str] = Field(description="every address that was asked for, with its link")


class SignedLink(BaseModel):
    expiry: str
    href: str


@asynccontextmanager
async def signer(
    caller: Identity, state: RightsState, duration: int | None = None, job: str | None = None
) -> AsyncIterator[Signer]:
    """Links stand for a key, whose end is theirs: tokens of other kinds, and links themselves, sign nothing."""
    async with state.engine.begin() as connection:
        known = await connection.execute(text("select 1 from api_key where id = :id"), {"id": caller.credential})
        if caller.tiles is not None or known.first() is None:
            raise Problem(403, "key-required", "Links are signed for API keys: make one under POST /rights/keys.")
        yield Signer(connection, caller, state, duration or None, job)


@router.post("/sign_urls", dependencies=[Depends(ACCOUNT)], response_model=SignedLinks)
async def sign_urls(wanted: ToRead, caller: Caller, state: State) -> JSONResponse:
    """Links for reading files, in order that programs without a key can: one for each address, or a refusal."""
    job = None if wanted.job is None else str(wanted.job)
    if job is not None and not caller.service:
        raise Problem(403, "services-only", "Only the platform's services sign for the length of a job.")
    async with signer(caller, state, wanted.duration_seconds, job) as signing:
        if job is not None and not await grants.open_grant(
            signing.connection, job, str(caller.credential), wanted.duration_seconds or JOB_SECONDS
        ):
            raise Problem(409, "job-ended", "The job has ended, and with it the links that were signed for it.")
        signed = await signing.reading(wanted.urls)
        await signing.count("read", len(signed.hrefs))
    return said({"expiry": signed.expiry, "hrefs": signed.hrefs}, signed.charged)


@router.post("/sign_urls_put", dependencies=[Depends(ACCOUNT)], response_model=SignedLinks)
async def sign_urls_put(wanted: ToSign, caller: Caller, state: State) -> JSONResponse:
    """Links for uploading files by PUT, for those who may write the collections that the addresses name."""
    async with signer(caller, state, wanted.duration_seconds) as signing:
        signed = await signing.writing(wanted.urls)
        await signing.count("write", len(signed.hrefs))
    return said({"expiry": signed.expiry, "hrefs": signed.hrefs})


@router.get("/sign", dependencies=[Depends(ACCOUNT)], response_model=SignedLink)
async def sign(
    caller: Caller,
    state: State,
    url: Annotated[Address, Query(description="the address of an asset")],
    duration_seconds: Annotated[int | None, Query(ge=0, le=7 * 24 * 3600)] = None,
) -> JSONResponse:
    """One link for reading a file."""
    async with signer(caller, state, duration_seconds) as signing:
        signed = await signing.reading([url])
        await signing.count("read", 1)
    return said({"expiry": signed.expiry, "href": signed.hrefs[url]}, signed.charged)


@router.delete("/signed_grants/{job}", status_code=204, dependencies=[Depends(SERVICE)], include_in_schema=False)
async def end_grant(job: UUID, _caller: Caller, state: State) -> Response:
    """End what was signed for a job, before its time."""
    async with state.engine.begin() as connection:
        if not await grants.end_grant(connection, str(job)):
            raise not_found("A grant for this job")
    return Response(status_code=204)


def said(document: dict[str, Any], charged: int = 0) -> JSONResponse:
    """An answer that holds a secret: nobody keeps it. `charged` bytes count as sent: their reading is not seen here."""
    return JSONResponse(document, headers=_HEADERS | ({CHARGED_BYTES: str(charged)} if charged else {}))
