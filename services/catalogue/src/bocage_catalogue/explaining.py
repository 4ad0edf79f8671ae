"""`explain=true`: how many of the items that the caller sees remain after each condition, and which left none."""

# Annotations stay as they are: FastAPI reads those of ExplainParameters where their names mean nothing.
import time
from typing import Annotated, Any

import attr
from bocage_kit.identity import Identity
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field
from stac_fastapi.types.extension import ApiExtension
from stac_fastapi.types.search import APIRequest

from bocage_catalogue.conditions import Arguments, Search, clauses, visible
from bocage_catalogue.database import Connection
from bocage_catalogue.kinds import Known

MEMBER = "bocage:explain"
# Counts go up to this: what matters is how few remain.
MOST = 1000
_MANY = 100
# After so long no more of them are told.
_SECONDS = 5.0
_ABOUT = "Tell how many items remain after each condition, and which condition left none."


async def explained(
    connection: Connection, identity: Identity, unseen: list[str], search: Search, known: Known
) -> dict[str, Any]:
    """What each condition leaves, in the order in which they are asked for. Raises Problem 400."""
    found = clauses(search, known, Arguments())[:_MANY]
    steps: list[dict[str, Any]] = []
    last: str | None = None
    deadline = time.monotonic() + _SECONDS
    for number in range(len(found) + 1):
        if time.monotonic() > deadline:
            break
        # Anew each time: the database wants to be told no more than it uses.
        arguments = Arguments()
        seen = visible(identity, unseen, arguments)
        step = (
            {"clause": "visible", "at": ""}
            if number == 0
            else {"clause": found[number - 1].name, "at": found[number - 1].at}
        )
        if last is None:
            kept = [f"({clause.sql})" for clause in clauses(search, known, arguments, most=number)]
            remaining = await connection.fetchval(
                f"select count(*) from (select from catalogue.finished_item f where {' and '.join([seen, *kept])}"  # noqa: S608
                f" limit {MOST + 1}) c",
                *arguments.values,
            )
        else:
            remaining = 0
        if remaining == 0 and last is None:
            last = step["at"] or step["clause"]
        steps.append({**step, "items": min(remaining, MOST), "more": remaining > MOST})
    return {"steps": steps, "none_left_by": last}


@attr.s
class ExplainParameters(APIRequest):
    """The parameter of GET."""

    explain: Annotated[bool | None, Query(description=_ABOUT)] = attr.ib(default=None)


class ExplainMember(BaseModel):
    """The member of POST."""

    explain: bool | None = Field(None, description=_ABOUT)


@attr.s
class ExplainExtension(ApiExtension):
    """Declares `explain` where searches are declared."""

    GET = ExplainParameters
    POST = ExplainMember

    def register(self, app: FastAPI) -> None:
        """Nothing beside the searches."""
