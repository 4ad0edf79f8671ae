"""With whom an item is shared. It is written on the item, by the catalogue, in the name of the item's owner."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import httpx
from bocage_kit.access import ACCOUNT, Caller
from bocage_kit.audience import OWNER_FIELD, SHARED_FIELD
from bocage_kit.identity import HEADER, Identity
from bocage_kit.problems import Problem, not_found
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import accounts
from bocage_rights.state import RightsState, State

router = APIRouter(prefix="/rights/shares", tags=["sharing"])

_MOST = 100
_ATTEMPTS = 4
_UUID = re.compile(r"^[0-9a-fA-F-]{36}\Z")
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}$")]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class ShareWith(BaseModel):
    """People by id or e-mail address, organisations by id or slug."""

    model_config = ConfigDict(extra="forbid")
    collection: Name
    item: Name
    people: list[Reference] = Field(default=[], max_length=_MOST)
    organisations: list[Reference] = Field(default=[], max_length=_MOST)

    @model_validator(mode="after")
    def names_somebody(self) -> ShareWith:
        if not (self.people or self.organisations):
            raise ValueError("name people or organisations")
        return self


class Party(BaseModel):
    id: str
    name: str | None


class Shares(BaseModel):
    collection: str
    item: str
    people: list[Party]
    organisations: list[Party]


@dataclass(frozen=True)
class _Items:
    """The items of the catalogue, as the caller sees and changes them."""

    state: RightsState
    caller: Identity

    def _path(self, collection: str, item: str) -> str:
        return f"/stac/collections/{quote(collection, safe='')}/items/{quote(item, safe='')}"

    async def shared(self, collection: str, item: str) -> list[str] | None:
        """The names on an item of the caller's; None when it has none. Raises Problem."""
        answer = await self._ask("GET", self._path(collection, item))
        if answer.status_code == 404:
            raise not_found(f"The item {collection}/{item}")
        properties = self._document(answer).get("properties") or {}
        if properties.get(OWNER_FIELD) != self.caller.subject:
            raise Problem(403, "not-owner", "Only the owner of an item says with whom it is shared.")
        return properties.get(SHARED_FIELD)

    async def change(self, collection: str, item: str, before: list[str] | None, after: list[str]) -> bool:
        """False when somebody else changed the item meanwhile."""
        at = f"/properties/{SHARED_FIELD}"
        patch: list[dict[str, Any]] = [] if before is None else [{"op": "test", "path": at, "value": before}]
        patch.append({"op": "add", "path": at, "value": after})
        answer = await self._ask("PATCH", self._path(collection, item), json=patch)
        if answer.status_code == 409:
            return False
        self._document(answer)
        return True

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return await self.state.peers.client("catalogue").request(
                method, path, headers={HEADER: self.caller.token}, **more
            )
        except httpx.HTTPError:
            raise _unreachable() from None

    @staticmethod
    def _document(answer: httpx.Response) -> dict[str, Any]:
        try:
            document = answer.json()
        except ValueError:
            raise _unreachable() from None
        if answer.status_code >= 500 or not isinstance(document, dict):
            raise _unreachable()
        if answer.status_code >= 400:  # the catalogue's own words, which say what to do
            raise Problem(
                answer.status_code, str(document.get("code", "refused")), str(document.get("detail", "Refused."))
            )
        return document


def _unreachable() -> Problem:
    return Problem(
        503, "catalogue-unreachable", "The catalogue does not answer; try again.", headers={"Retry-After": "5"}
    )


@router.post("", dependencies=[Depends(ACCOUNT)])
async def share(wanted: ShareWith, caller: Caller, state: State) -> Shares:
    """Let people and organisations see an item of one's own. They still need its licences to use it."""
    named = await _resolved(state, caller, wanted)
    return await _changed(state, caller, wanted.collection, wanted.item, lambda before: before | named)


@router.get("", dependencies=[Depends(ACCOUNT)])
async def shares(
    caller: Caller, state: State, collection: Annotated[Name, Query()], item: Annotated[Name, Query()]
) -> Shares:
    """With whom an item of one's own is shared."""
    _person(caller)
    found = await _Items(state, caller).shared(collection, item)
    return await _told(state, collection, item, set(found or ()))


@router.delete("", dependencies=[Depends(ACCOUNT)])
async def unshare(
    caller: Caller,
    state: State,
    collection: Annotated[Name, Query()],
    item: Annotated[Name, Query()],
    person: Annotated[list[Reference] | None, Query(max_length=_MOST)] = None,
    organisation: Annotated[list[Reference] | None, Query(max_length=_MOST)] = None,
) -> Shares:
    """Take back what was shared: with those who are named, or with everybody."""
    if not (person or organisation):
        return await _changed(state, caller, collection, item, lambda _before: set())
    wanted = ShareWith(collection=collection, item=item, people=person or [], organisations=organisation or [])
    named = await _resolved(state, caller, wanted)
    return await _changed(state, caller, collection, item, lambda before: before - named)


async def _changed(state: RightsState, caller: Identity, collection: str, item: str, change: Any) -> Shares:
    _person(caller)
    items = _Items(state, caller)
    for _ in range(_ATTEMPTS):
        before = await items.shared(collection, item)
        after = change(set(before or ()))
        if len(after) > _MOST:
            raise Problem(
                422, "too-many-shares", f"An item is shared with at most {_MOST}: share it with an organisation."
            )
        if after == set(before or ()) or await items.change(collection, item, before, sorted(after)):
            return await _told(state, collection, item, after)
    raise Problem(409, "changed-meanwhile", "The item is being changed by others; try again.")


def _person(caller: Identity) -> None:
    if caller.service or caller.tiles is not None:
        raise Problem(403, "person-required", "Only a person's own key can do this.")


async def _resolved(state: RightsState, caller: Identity, wanted: ShareWith) -> set[str]:
    """The names as they stand on an item. Raises one 404 for whatever is not known or ambiguous.

    Only who has something to share learns whether a name is known.
    """
    _person(caller)
    await _Items(state, caller).shared(wanted.collection, wanted.item)
    found: set[str] = set()
    async with state.engine.connect() as connection:
        for reference in wanted.people:
            found.add(f"person:{await _person_id(connection, reference)}")
        for reference in wanted.organisations:
            row = await accounts.organisation(connection, reference)
            if row is None or row.state != "active":
                raise not_found(f"The organisation {reference}")
            found.add(f"organisation:{row.id}")
    return found


# As with logins: whose domain an address has says who its people are, and nobody else takes what is meant for them.
_BY_ADDRESS = """lower(p.email) = lower(:value) and not exists (
    select from email_domain d
     where d.domain = lower(split_part(p.email, '@', 2)) and d.organisation <> p.organisation)"""


async def _person_id(connection: AsyncConnection, reference: str) -> str:
    by = "p.id::text = lower(:value)" if _UUID.match(reference) else _BY_ADDRESS
    rows = (
        await connection.execute(
            text(f"select p.id::text from person p where {by} and p.state = 'active' limit 2"),  # noqa: S608
            {"value": reference},
        )
    ).all()
    if len(rows) != 1:  # an address that two people have names neither
        raise not_found(f"The person {reference}")
    return str(rows[0].id)


async def _told(state: RightsState, collection: str, item: str, names: set[str]) -> Shares:
    """Ids, and the names of organisations; those of people are theirs to tell."""
    people = sorted(x.removeprefix("person:") for x in names if x.startswith("person:"))
    organisations = sorted(x.removeprefix("organisation:") for x in names if x.startswith("organisation:"))
    async with state.engine.connect() as connection:
        rows = await connection.execute(
            text("select id::text, name from organisation where id::text = any(:ids)"), {"ids": organisations}
        )
        titles = {row.id: row.name for row in rows}
    return Shares(
        collection=collection,
        item=item,
        people=[Party(id=x, name=None) for x in people],
        organisations=[Party(id=x, name=titles.get(x)) for x in organisations],
    )
