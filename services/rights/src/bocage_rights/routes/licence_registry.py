"""The registry of licences, for administrators: licences, and versions of their texts and terms."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from bocage_kit.access import Caller, scope
from bocage_kit.identity import Category, Level, Purpose
from bocage_kit.problems import Problem, not_found
from bocage_kit.spdx import normalised
from fastapi import APIRouter, Depends, Response
from license_expression import get_spdx_licensing  # type: ignore[import-untyped]
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, HttpUrl, StringConstraints, model_validator
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights.registry import entries_for
from bocage_rights.routes.licences import licence_document
from bocage_rights.state import State

router = APIRouter(prefix="/rights/admin/licences", tags=["administration"])
_ADMIN = Depends(scope("admin"))
_OWN = re.compile(r"^LicenseRef-[A-Za-z0-9.-]{1,69}$")
_FORBID = ConfigDict(extra="forbid")
Line = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f]*$")]
LongText = Annotated[str, StringConstraints(min_length=1, max_length=200_000, pattern=r"^[^\x00]*$")]


class InBothLanguages(BaseModel):
    model_config = _FORBID
    fr: Line
    en: Line


class Texts(BaseModel):
    model_config = _FORBID
    fr: LongText
    en: LongText


class NewLicence(BaseModel):
    model_config = _FORBID
    id: Line = Field(description="SPDX id, however spelled, or `LicenseRef-…`")
    title: InBothLanguages
    kind: Literal["open", "attribution", "non-commercial", "restricted"]
    demonstration: bool = False


class NewVersion(BaseModel):
    """A version never changes. What needs acceptance must be accepted anew, unless `reaccept` is false."""

    model_config = _FORBID

    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{1,40}$")]
    text: Texts
    purposes: list[Purpose] = Field(min_length=1, description="`undeclared`: nobody is asked")
    categories: list[Category] = Field(default=["public", "research", "private"], min_length=1)
    needs_acceptance: Literal["none", "user", "organisation"] = "none"
    reaccept: bool = True
    fallback: Literal["metadata", "preview", "tile", "asset", "job"] = Field(
        default="metadata", description="what is left to those who do not fulfil the terms"
    )
    embargo_from: AwareDatetime | None = None
    embargo_until: AwareDatetime | None = None
    attribution: InBothLanguages | None = Field(default=None, description="with unaltered data")
    attribution_derived: InBothLanguages | None = Field(default=None, description="with what is made of them")
    share_alike: bool = False
    url: HttpUrl | None = None
    valid_from: AwareDatetime | None = Field(default=None, description="now by default")

    @model_validator(mode="after")
    def embargo_has_an_end_after_its_beginning(self) -> NewVersion:
        if self.embargo_from is not None and (self.embargo_until is None or self.embargo_from >= self.embargo_until):
            raise ValueError("an embargo that begins also ends, later: send embargo_until after embargo_from")
        return self


def registered_id(spelling: str) -> str:
    """The id under which a licence is known. Raises Problem for what SPDX does not list."""
    name = normalised(spelling)
    if _OWN.match(name):
        return name
    licensing = get_spdx_licensing()
    if "LicenseRef" in name or not re.match(r"^[A-Za-z0-9.-]{1,80}$", name) or licensing.validate(name).errors:
        raise Problem(
            422,
            "unknown-licence-id",
            f"{spelling} is no licence of the SPDX list. Name a licence of your own LicenseRef-…, "
            "of letters, digits, dots and hyphens.",
        )
    return str(licensing.parse(name))


@router.post("", status_code=201, dependencies=[_ADMIN])
async def create(wanted: NewLicence, state: State, response: Response) -> dict[str, Any]:
    """Idempotent: 200 when it is there already, 409 when it is there and differs. It has no terms before a version."""
    name = registered_id(wanted.id)
    values = {
        "id": name,
        "en": wanted.title.en,
        "fr": wanted.title.fr,
        "kind": wanted.kind,
        "demonstration": wanted.demonstration,
    }
    async with state.engine.begin() as connection:
        made = await connection.execute(
            text(
                """insert into licence (id, title_en, title_fr, kind, demonstration)
                   values (:id, :en, :fr, :kind, :demonstration) on conflict do nothing"""
            ),
            values,
        )
        row = (
            await connection.execute(
                text("select id, title_en as en, title_fr as fr, kind, demonstration from licence where id = :id"),
                {"id": name},
            )
        ).one()
    if made.rowcount == 0:
        response.status_code = 200
        if dict(row._mapping) != values:
            raise Problem(409, "exists-otherwise", f"The licence {name} is there with another title, kind or mark.")
    return {"id": name, "title": {"en": row.en, "fr": row.fr}, "kind": row.kind, "demonstration": row.demonstration}


_INSERT = text(
    """insert into licence_version
           (licence, version, text_en, text_fr, url, needs_acceptance, reaccept, purposes, categories, fallback,
            embargo_from, embargo_until, share_alike, attribution_en, attribution_fr, attribution_derived_en,
            attribution_derived_fr, valid_from)
       values (:licence, :version, :text_en, :text_fr, :url, :needs, :reaccept, :purposes, :categories, :fallback,
               :embargo_from, :embargo_until, :share_alike, :attribution_en, :attribution_fr, :derived_en,
               :derived_fr, coalesce(:valid_from, now()))
       returning version, sha256_en, sha256_fr, valid_from"""
)


@router.post("/{licence}/versions", status_code=201, dependencies=[_ADMIN])
async def add_version(licence: str, wanted: NewVersion, state: State) -> dict[str, Any]:
    """Add a version. From `valid_from` on it is in force, for everybody and at once."""
    values = {
        "licence": licence,
        "version": wanted.version,
        "text_en": wanted.text.en,
        "text_fr": wanted.text.fr,
        "url": None if wanted.url is None else str(wanted.url),
        "needs": wanted.needs_acceptance,
        "reaccept": wanted.reaccept,
        "purposes": sorted(set(wanted.purposes)),
        "categories": sorted(set(wanted.categories)),
        "fallback": int(Level[wanted.fallback.upper()]),
        "embargo_from": wanted.embargo_from,
        "embargo_until": wanted.embargo_until,
        "share_alike": wanted.share_alike,
        "attribution_en": wanted.attribution and wanted.attribution.en,
        "attribution_fr": wanted.attribution and wanted.attribution.fr,
        "derived_en": wanted.attribution_derived and wanted.attribution_derived.en,
        "derived_fr": wanted.attribution_derived and wanted.attribution_derived.fr,
        "valid_from": wanted.valid_from,
    }
    async with state.engine.begin() as connection:
        if not await _exists(connection, licence):
            raise not_found(f"The licence {licence}")
        try:
            async with connection.begin_nested():
                row = (await connection.execute(_INSERT, values)).one()
        except IntegrityError as error:
            raise Problem(
                409, "version-exists", f"{licence} has a version {wanted.version}: versions never change, name another."
            ) from error
    return {
        "licence": licence,
        "version": row.version,
        "text_sha256": {"en": row.sha256_en, "fr": row.sha256_fr},
        "valid_from": row.valid_from.isoformat(),
    }


@router.get("", dependencies=[_ADMIN])
async def list_all(caller: Caller, state: State) -> dict[str, Any]:
    """Every licence, with all its versions, also those without a version in force."""
    async with state.engine.connect() as connection:
        known = await entries_for(connection, caller)
        rows = await connection.execute(
            text(
                """select l.id, l.title_en, l.title_fr, l.kind, l.demonstration,
                          coalesce(array_agg(v.version order by v.valid_from, v.version)
                                   filter (where v.version is not null), '{}') as versions
                     from licence l left join licence_version v on v.licence = l.id group by l.id order by l.id"""
            )
        )
        found = []
        for row in rows:
            entry = known.get(row.id)
            own = {"id": row.id, "title": {"en": row.title_en, "fr": row.title_fr}, "kind": row.kind, "version": None}
            stated = own if entry is None else licence_document(entry, caller.public_base)
            found.append(stated | {"versions": row.versions})
    return {"licences": found}


async def _exists(connection: AsyncConnection, licence: str) -> bool:
    query = text("select 1 from licence where id = :id")
    return (await connection.execute(query, {"id": licence.replace("\0", "")})).first() is not None
