"""The licences, their texts, and accepting them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from bocage_kit.access import ACCOUNT, ANYONE, Caller
from bocage_kit.identity import Identity, Level, Purpose
from bocage_kit.problems import Problem, not_found
from bocage_kit.urls import public_url
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import text

from bocage_rights import acceptances, accounts
from bocage_rights.registry import Entry, entries_for
from bocage_rights.required import required, term
from bocage_rights.routes.account import person_organisation
from bocage_rights.state import State

router = APIRouter(prefix="/rights", tags=["licences"])


class Acceptance(BaseModel):
    """Accepts the version in force, as shown: `text_sha256` is that of the text in one of its languages."""

    model_config = ConfigDict(extra="forbid")
    text_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    version: str | None = None
    on_behalf: Literal["user", "organisation"] = "user"
    purpose: Purpose | None = Field(default=None, description="absent: that of the calling key")
    project: str | None = Field(default=None, min_length=1, max_length=200, description="what it is accepted for")


def licence_document(entry: Entry, base: str) -> dict[str, Any]:
    licence, version = entry.terms.licence, entry.terms.version
    texts = public_url(base, "rights", "licences", licence, "versions", version, "text")
    return {
        "id": licence,
        "version": version,
        "title": entry.titles,
        "kind": entry.kind,
        "demonstration": entry.demonstration,
        "url": entry.url,
        "text": {lang: f"{texts}?lang={lang}" for lang in ("fr", "en")},
        "text_sha256": entry.sha256,
        "valid_from": entry.valid_from.isoformat(),
        "needs_acceptance": entry.terms.needs,
        "purposes": sorted(entry.terms.purposes),
        "categories": sorted(entry.terms.categories),
        "allow_commercial": "commercial" in entry.terms.purposes,
        "share_alike": entry.share_alike,
        "attribution": entry.attribution,
        "attribution_derived": entry.attribution_derived,
        "embargo_from": entry.terms.embargo_from.isoformat() if entry.terms.embargo_from else None,
        "embargo_until": entry.terms.embargo_until.isoformat() if entry.terms.embargo_until else None,
        "yours": {
            "level": entry.level.name.lower(),
            "accepted": entry.standing == "accepted",
            "required": None if entry.level is Level.JOB else term(entry, licence, base),
        },
    }


@router.get("/licences", dependencies=[Depends(ANYONE)])
async def list_licences(caller: Caller, state: State) -> dict[str, Any]:
    """All licences, and what the caller may do under each."""
    async with state.engine.connect() as connection:
        known = await entries_for(connection, caller)
    return {"licences": [licence_document(entry, caller.public_base) for entry in known.values()]}


@router.get("/licences/{licence}", dependencies=[Depends(ANYONE)])
async def licence(licence: str, caller: Caller, state: State) -> dict[str, Any]:
    """A licence, its version in force, and what the caller may do under it."""
    async with state.engine.connect() as connection:
        known = await entries_for(connection, caller)
        versions = await connection.execute(
            text("select version from licence_version where licence = :id order by valid_from, version"),
            {"id": licence.replace("\0", "")},
        )
        names = [row.version for row in versions]
    if licence not in known:
        raise not_found(f"The licence {licence}")
    return licence_document(known[licence], caller.public_base) | {"versions": names}


@router.get("/licences/{licence}/versions/{version}/text", dependencies=[Depends(ANYONE)])
async def licence_text(
    licence: str, version: str, request: Request, state: State, lang: Literal["fr", "en"] | None = None
) -> PlainTextResponse:
    """The text whose SHA-256 an acceptance names, byte for byte."""
    language = lang or _language(request.headers.get("accept-language", ""))
    async with state.engine.connect() as connection:
        row = (
            await connection.execute(
                text(
                    "select text_fr, text_en, sha256_fr, sha256_en from licence_version "
                    "where licence = :l and version = :v"
                ),
                {"l": licence.replace("\0", ""), "v": version.replace("\0", "")},
            )
        ).one_or_none()
    if row is None:
        raise not_found(f"Version {version} of the licence {licence}")
    content, digest = (row.text_fr, row.sha256_fr) if language == "fr" else (row.text_en, row.sha256_en)
    headers = {"Content-Language": language, "ETag": f'"{digest}"', "Vary": "Accept-Language"}
    return PlainTextResponse(content, headers=headers)


def _language(accepted: str) -> Literal["fr", "en"]:
    for part in accepted.lower().split(","):
        name = part.split(";")[0].strip()[:2]
        if name == "fr":
            return "fr"
        if name == "en":
            return "en"
    return "en"


@router.post("/licences/{licence}/acceptance", status_code=201, dependencies=[Depends(ACCOUNT)])
async def accept(licence: str, given: Acceptance, caller: Caller, state: State, response: Response) -> dict[str, Any]:
    """Accept for oneself or, for those who manage it, for one's organisation. Again: 200, nothing new."""
    organisation = person_organisation(caller)
    if given.on_behalf == "organisation" and not caller.has("rights:manage"):
        raise _only_managers("Accepting")
    purpose = given.purpose or caller.purpose
    async with state.engine.begin() as connection:
        entry = (await entries_for(connection, caller)).get(licence)
        if entry is None:
            raise not_found(f"The licence {licence}")
        check_acceptable(entry, given, caller, purpose)
        before = await acceptances.newest(connection, licence, organisation, caller.subject, given.on_behalf)
        if before is not None and before.action == "accept" and before.version == entry.terms.version:
            response.status_code = 200
            return acceptance_document(before)
        signer = await accounts.person(connection, caller.subject)
        await acceptances.record(
            connection,
            licence=licence,
            version=entry.terms.version,
            organisation=organisation,
            person=caller.subject,
            on_behalf=given.on_behalf,
            recorded_by=caller.subject,
            purpose=purpose,
            project=given.project or caller.project,
            text_sha256=given.text_sha256,
            evidence={"credential": caller.credential, "role": signer.role if signer else None},
        )
        made = await acceptances.newest(connection, licence, organisation, caller.subject, given.on_behalf)
    return acceptance_document(made)


@router.delete("/licences/{licence}/acceptance", status_code=204, dependencies=[Depends(ACCOUNT)])
async def withdraw(
    licence: str, caller: Caller, state: State, on_behalf: Literal["user", "organisation"] = "user"
) -> Response:
    """Withdraw one's own acceptance or, for those who manage it, the organisation's. It takes effect at once:
    nothing more is given out, and results of running jobs are held."""
    organisation = person_organisation(caller)
    if on_behalf == "organisation" and not caller.has("rights:manage"):
        raise _only_managers("Withdrawing")
    async with state.engine.begin() as connection:
        if not await acceptances.withdraw(
            connection,
            licence=licence,
            organisation=organisation,
            person=caller.subject if on_behalf == "user" else None,
            on_behalf=on_behalf,
            recorded_by=caller.subject,
            evidence={"credential": caller.credential},
        ):
            raise not_found(f"Your acceptance of {licence}")
    return Response(status_code=204)


def _only_managers(what: str) -> Problem:
    return Problem(
        403,
        "scope-required",
        f"{what} for an organisation needs the scope rights:manage; ask those who manage yours.",
        required_scope="rights:manage",
    )


def check_acceptable(entry: Entry, given: Acceptance, caller: Identity, purpose: Purpose) -> None:
    """Raises a problem unless what is accepted is the text in force and may be accepted by this account."""
    if given.version not in (None, entry.terms.version) or given.text_sha256 not in entry.sha256.values():
        raise Problem(
            409,
            "other-text",
            f"This is not the text in force of {entry.terms.licence}: read version {entry.terms.version} "
            "and send its SHA-256.",
            required_terms=[term(entry, entry.terms.licence, caller.public_base)],
        )
    if entry.terms.needs == "organisation" and given.on_behalf == "user":
        raise Problem(
            422, "organisation-required", "This licence is accepted by organisations: send on_behalf=organisation."
        )
    if caller.category not in entry.terms.categories:
        categories = ", ".join(sorted(entry.terms.categories))
        raise Problem(403, "category", f"This licence is for organisations of the categories {categories}.")
    if purpose not in entry.terms.purposes:
        purposes = ", ".join(sorted(entry.terms.purposes))
        raise Problem(403, "purpose", f"This licence allows the purposes {purposes}, not {purpose}.")


def acceptance_document(row: Any) -> dict[str, Any]:
    return {
        "licence": row.licence,
        "version": row.version,
        "action": row.action,
        "on_behalf": row.on_behalf,
        "organisation": row.organisation,
        "person": row.person,
        "recorded_by": row.recorded_by,
        "purpose": row.purpose,
        "project": row.project,
        "text_sha256": row.text_sha256,
        "at": row.at.isoformat(),
    }


@router.get("/required_terms", dependencies=[Depends(ANYONE)])
async def required_terms(
    caller: Caller,
    state: State,
    licence: Annotated[list[str], Query(min_length=1, max_length=100)],
    level: Literal["metadata", "preview", "tile", "asset", "job"] = "asset",
) -> dict[str, Any]:
    """What is missing before the caller may use objects under these licences at this level."""
    async with state.engine.connect() as connection:
        known = await entries_for(connection, caller)
    return {"required_terms": required(known, licence, Level[level.upper()], caller.public_base)}
