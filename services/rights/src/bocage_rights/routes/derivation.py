"""What results inherit: the rules, their application before a job runs, and the check when its results are ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date as Date
from typing import Annotated, Any, Literal
from uuid import UUID

from bocage_kit.access import ANYONE, Caller, scope
from bocage_kit.audience import Audience
from bocage_kit.identity import Purpose
from bocage_kit.problems import Problem
from bocage_kit.spdx import normalised
from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import recalls, releases, rules
from bocage_rights.derivation import Conflict, Effect, Inherited, Input, Outcome, Rule, Status, derive
from bocage_rights.registry import entries
from bocage_rights.state import State
from bocage_rights.terms import ANONYMOUS

router = APIRouter(prefix="/rights", tags=["licences"])
_ADMIN = Depends(scope("admin"))
_SERVICE = Depends(scope("service:derive"))
_FORBID = ConfigDict(extra="forbid")

Reference = Annotated[str, StringConstraints(pattern=r"^[^/\x00]{1,256}/[^/\x00]{1,256}$")]
Licence = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class DerivedFrom(BaseModel):
    """An input, as the catalogue describes it."""

    model_config = _FORBID

    reference: Reference
    licences: list[Licence] = Field(max_length=100)
    attribution: str = Field(default="", max_length=10_000)
    audience: Audience = "public"
    organisation: str | None = Field(default=None, max_length=200)
    embargo_until: AwareDatetime | None = None


class Derivation(BaseModel):
    """A job before it runs; `outputs` says what each keeps of the inputs."""

    model_config = _FORBID

    inputs: list[DerivedFrom] = Field(max_length=1000)
    outputs: dict[Name, Effect] = Field(max_length=1000)
    process_licence: Licence | None = None
    audience: Audience = "owner"
    organisation: str | None = Field(default=None, max_length=200, description="of the caller")


class Release(BaseModel):
    """A job whose results are ready; `licences` are those of its inputs at submission."""

    model_config = _FORBID

    job: UUID
    process: Name
    organisation: UUID
    owner: Name
    purpose: Purpose
    inputs: list[Reference] = Field(max_length=1000)
    licences: list[Licence] = Field(max_length=1000)
    public_base: Annotated[str, StringConstraints(max_length=300, pattern=r"^https?://[^\s\x00]+$")]


class NewRule(BaseModel):
    """A new version of a rule: it says on the strength of what, and from when."""

    model_config = _FORBID

    licence: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{1,80}$")]
    effect: Literal["pixels", "elevation", "index", "statistic"]
    outcome: Outcome
    status: Status
    source: Annotated[str, StringConstraints(min_length=10, max_length=1000, pattern=r"^[^\x00]*$")] = Field(
        description="where it is written, or who confirmed it"
    )
    date: Date = Field(description="of the source")


def rule_document(rule: Rule) -> dict[str, Any]:
    return {
        "licence": rule.licence,
        "effect": rule.effect,
        "version": rule.version,
        "outcome": rule.outcome,
        "status": rule.status,
        "acts_as": rule.effective,
        "source": rule.source,
        "date": rule.date and rule.date.isoformat(),
    }


@router.get("/derivation_rules", dependencies=[Depends(ANYONE)])
async def derivation_rules(state: State) -> dict[str, Any]:
    """What each licence says of results, by what they keep of its data. Of licences without a rule the terms stay."""
    async with state.engine.connect() as connection:
        known = await rules.in_force(connection)
    return {"rules": [rule_document(rule) for _, rule in sorted(known.items())]}


@router.post("/admin/derivation_rules", status_code=201, dependencies=[_ADMIN])
async def add_rule(wanted: NewRule, caller: Caller, state: State) -> dict[str, Any]:
    """Record a new version of a rule, for instance the owner's confirmation. Jobs submitted before keep theirs."""
    insert = text(
        """insert into derivation_rule (licence, effect, version, outcome, status, source, date, recorded_by)
           values (:licence, :effect, 1, :outcome, :status, :source, :date, :by)"""
    )
    try:
        async with state.engine.begin() as connection:
            await connection.execute(insert, wanted.model_dump() | {"by": caller.subject})
            known = await rules.in_force(connection)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "P0422":
            raise
        raise Problem(
            422,
            "unfounded-rule",
            "The rule has this source already, or a later date: name what the new version rests on, and its date.",
        ) from error
    return rule_document(known[wanted.licence, wanted.effect])


@router.post("/derivations", dependencies=[_SERVICE], include_in_schema=False)
async def derivation(asked: Derivation, state: State) -> dict[str, Any]:
    """What the results of a job would inherit; refuses what can have no terms, and recalled inputs. For services."""
    async with state.engine.connect() as connection:
        known = await rules.in_force(connection)
        attributions = await _attributions(connection)
        for one in asked.inputs:
            collection, _, item = one.reference.partition("/")
            if (stopped := await recalls.blocked(connection, collection, item)) is not None:
                raise Problem(
                    403,
                    "recalled",
                    f"The input {one.reference} has been recalled and can't be used: {stopped.reason}",
                    title="Recalled",
                    item=one.reference,
                    origin=stopped.origin,
                )
    inputs = [_input(one) for one in asked.inputs]
    try:
        found = derive(
            inputs,
            asked.outputs,
            known,
            process_licence=asked.process_licence,
            asked=asked.audience,
            organisation=asked.organisation,
            attributions=attributions,
        )
    except Conflict as conflict:
        raise Problem(
            409,
            "licence-conflict",
            f"{conflict.why}: {', '.join(conflict.licences)}. Inputs: {', '.join(conflict.inputs) or 'none'}. "
            "Leave out inputs under one of these licences.",
            title="Licences in conflict",
            licences=conflict.licences,
            inputs=conflict.inputs,
        ) from conflict
    return derivation_document(found, asked.audience)


def _narrowest(audiences: Iterable[Audience]) -> Audience:
    return min(audiences, key=("owner", "organisation", "public").index, default="public")


def derivation_document(found: Mapping[str, Inherited], asked: Audience) -> dict[str, Any]:
    """Per output, and for the item that holds them all."""
    audience = _narrowest([asked, *(one.audience for one in found.values())])
    embargo = max((one.embargo_until for one in found.values() if one.embargo_until), default=None)
    attribution = sorted({line for one in found.values() for line in one.attribution})
    document: dict[str, Any] = {
        "licences": {name: list(one.licences) for name, one in found.items()},
        "outputs": {
            name: {
                "licences": one.licences,
                "attribution": one.attribution,
                "embargo_until": one.embargo_until and one.embargo_until.isoformat(),
                "audience": one.audience,
                "notes": one.notes,
            }
            for name, one in found.items()
        },
        "attribution": "; ".join(attribution),
        "embargo_until": embargo and embargo.isoformat(),
        "audience": {"asked": asked, "given": audience, "widest": _narrowest(one.widest for one in found.values())},
        "notes": sorted({note for one in found.values() for note in one.notes}),
    }
    if audience != asked:
        document["audience"]["why"] = "An input of another organisation may be seen by no more people than that."
    return document


@router.post("/releases", dependencies=[_SERVICE], include_in_schema=False)
async def release(asked: Release, caller: Caller, state: State) -> dict[str, Any]:
    """Ask again, with the results ready, whether they may be handed out; 409 `held` when not yet. For services."""
    job = releases.Asked(
        job=str(asked.job),
        process=asked.process,
        organisation=str(asked.organisation),
        owner=asked.owner,
        purpose=asked.purpose,
        inputs=releases.references(asked.inputs),
        licences=asked.licences,
    )
    async with state.engine.begin() as connection:
        hindered = await releases.hindrance(connection, job, asked.public_base)
        if hindered is None:
            return {"job": job.job, "outcome": await releases.record(connection, job)}
        await releases.note_hold(connection, job, hindered, caller.subject)
    raise Problem(
        409,
        "held",
        f"The results are held: {'; '.join(hindered.sentences)}. They are handed out once this is mended.",
        title="Results held",
        required_terms=hindered.required_terms,
        recalled=hindered.recalled,
    )


def _input(given: DerivedFrom) -> Input:
    return Input(
        given.reference,
        frozenset(normalised(licence) for licence in given.licences),
        given.attribution,
        given.audience,
        given.organisation,
        given.embargo_until,
    )


async def _attributions(connection: AsyncConnection) -> dict[str, str]:
    known = await entries(connection, ANONYMOUS, None, None)
    return {licence: entry.attribution_derived["en"] or "" for licence, entry in known.items()}
