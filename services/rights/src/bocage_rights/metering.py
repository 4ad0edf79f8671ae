"""Who is counted, which limits hold, and what gateways have counted."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any, Literal
from uuid import UUID

from bocage_kit.identity import Identity
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Name = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f]*$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
_log = logging.getLogger("bocage.quotas")

STATE = text("select * from quota_state(cast(:organisation as uuid), :person) order by name")


class Line(BaseModel):
    """What one caller did in one place since the last batch."""

    model_config = ConfigDict(extra="forbid")
    organisation: UUID | None = None
    person: Name
    service: Name
    collection: Name | None = None
    project: Name | None = None
    requests: Count
    bytes: Count


class Warned(BaseModel):
    """A gateway saw that 80 or 100 % of a limit are used."""

    model_config = ConfigDict(extra="forbid")
    counted: Literal["person", "organisation"]
    holder: Name
    unit: Literal["requests", "bytes"]
    period: Literal["day", "month", "quarter"]
    amount: Count
    used: Count


class Batch(BaseModel):
    """Sent again with the same id when its answer was lost, it counts once."""

    model_config = ConfigDict(extra="forbid")
    id: UUID
    counts: list[Line] = Field(max_length=100_000)
    warnings: list[Warned] = Field(default_factory=list, max_length=10_000)


async def meter(connection: AsyncConnection, identity: Identity) -> dict[str, Any]:
    """What a gateway needs to count and limit a caller. Services are not limited."""
    found: dict[str, Any] = {
        "person": identity.subject,
        "organisation": identity.organisation,
        "project": identity.project,
        "policies": [],
    }
    if identity.service and identity.organisation is None:
        return found
    person = None if identity.anonymous else identity.subject
    rows = await connection.execute(STATE, {"organisation": identity.organisation, "person": person})
    found["policies"] = [
        {
            "name": row.name,
            "counted": row.counted,
            "unit": row.unit,
            "period": row.period,
            "amount": int(row.amount),
            "used": int(row.used),
        }
        for row in rows
        if row.unit in ("requests", "bytes")
    ]
    return found


async def add(connection: AsyncConnection, batch: Batch) -> list[dict[str, Any]]:
    """Count a batch; what each holder in it has used by now, all gateways together."""
    counts = json.dumps([line.model_dump(mode="json") for line in batch.counts])
    rows = await connection.execute(
        text("select * from count_usage(:batch, cast(:counts as jsonb))"), {"batch": batch.id, "counts": counts}
    )
    used = [dict(row._mapping) for row in rows]
    for warned in batch.warnings:
        new = await connection.execute(
            text("select warn(:counted, :holder, :unit, :period, :amount, :used)"), warned.model_dump()
        )
        if new.scalar_one():
            _log.warning("a quota runs out", extra={"quota": warned.model_dump()})
    return used
