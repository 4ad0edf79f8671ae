"""Recalls: an item, and all that was made of it, is taken out of use until the recall is lifted."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from bocage_kit.access import Caller, scope
from bocage_kit.problems import Problem, not_found
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import recalls
from bocage_rights.catalogue import find
from bocage_rights.state import State

router = APIRouter(prefix="/rights/admin/recalls", tags=["administration"])
_ADMIN = Depends(scope("admin"))


class NewRecall(BaseModel):
    model_config = ConfigDict(extra="forbid")

    item: Annotated[str, StringConstraints(pattern=r"^[^/\x00-\x1f]{1,256}/[^/\x00-\x1f]{1,256}$")] = Field(
        description="as `collection/item`"
    )
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f]*\S[^\x00-\x1f]*$")]


async def _document(connection: AsyncConnection, row: Row[Any]) -> dict[str, Any]:
    made = await recalls.descendants(connection, row.collection, row.item)
    names = dict.fromkeys(f"{one.collection}/{one.item}" for one in made)
    return {
        "id": row.id,
        "item": f"{row.collection}/{row.item}",
        "reason": row.reason,
        "recalled_by": row.recalled_by,
        "at": row.at.isoformat(),
        "lifted_by": row.lifted_by,
        "lifted_at": row.lifted_at and row.lifted_at.isoformat(),
        "descendants": list(names),
        "lineage": [
            {
                "item": f"{one.collection}/{one.item}",
                "of": f"{one.input_collection}/{one.input_item}",
                "job": one.job,
                "licences": one.licences,
                "released": one.at.isoformat(),
            }
            for one in made
        ],
    }


@router.post("", status_code=201, dependencies=[_ADMIN])
async def recall(wanted: NewRecall, caller: Caller, state: State) -> dict[str, Any]:
    """Block an item and all that was made of it: metadata stay readable, everything else is refused.

    Results that are released later from something blocked are blocked too. An item that is no longer in the catalogue
    can be recalled for the sake of what was made of it.
    """
    collection, _, item = wanted.item.partition("/")
    async with state.engine.begin() as connection:
        made = await recalls.descendants(connection, collection, item)
        found = await find(connection, collection, item)
        if not made and (found is None or found.item is None):
            raise not_found(f"The item {wanted.item}")
        row = await recalls.make(connection, collection, item, wanted.reason, caller.subject)
        if row is None:
            raise Problem(409, "recalled-already", f"{wanted.item} is recalled already; lift that recall first.")
        return await _document(connection, row)


@router.get("", dependencies=[_ADMIN])
async def list_recalls(state: State) -> dict[str, Any]:
    """Newest first; lifted ones too."""
    async with state.engine.connect() as connection:
        return {"recalls": [await _document(connection, row) for row in await recalls.listed(connection)]}


@router.get("/{recall_id}", dependencies=[_ADMIN])
async def one_recall(recall_id: UUID, state: State) -> dict[str, Any]:
    """A recall with its descendants and how each came to be."""
    async with state.engine.connect() as connection:
        row = await recalls.one(connection, str(recall_id))
        if row is None:
            raise not_found("The recall")
        return await _document(connection, row)


@router.delete("/{recall_id}", status_code=204, dependencies=[_ADMIN])
async def lift(recall_id: UUID, caller: Caller, state: State) -> Response:
    """Lift a recall: what no other recall blocks can be used again."""
    async with state.engine.begin() as connection:
        if await recalls.lift(connection, str(recall_id), caller.subject) is None:
            raise not_found("The recall, in force,")
    return Response(status_code=204)
