"""Who accepted which licence: rows that are only ever added."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

_INSERT = text(
    """insert into acceptance
           (licence, version, action, on_behalf, organisation, person, recorded_by, purpose, text_sha256, evidence,
            project)
       values (:licence, :version, :action, :on_behalf, cast(:organisation as uuid), cast(:person as uuid),
               :recorded_by, :purpose, :text_sha256, cast(:evidence as jsonb), :project)
       returning id, at"""
)
COLUMNS = """a.id, a.licence, a.version, a.action, a.on_behalf, a.organisation::text, a.person::text, a.recorded_by,
             a.purpose, a.project, a.text_sha256, a.at"""


async def record(
    connection: AsyncConnection,
    *,
    licence: str,
    version: str,
    organisation: str,
    recorded_by: str,
    text_sha256: str,
    purpose: str,
    action: Literal["accept", "withdraw"] = "accept",
    on_behalf: Literal["user", "organisation"] = "organisation",
    person: str | None = None,
    evidence: Mapping[str, Any] | None = None,
    project: str | None = None,
) -> Row[Any]:
    values = {
        "licence": licence,
        "version": version,
        "action": action,
        "on_behalf": on_behalf,
        "organisation": organisation,
        "person": person,
        "recorded_by": recorded_by,
        "purpose": purpose,
        "text_sha256": text_sha256,
        "evidence": json.dumps(dict(evidence or {})),
        "project": project,
    }
    return (await connection.execute(_INSERT, values)).one()


async def newest(
    connection: AsyncConnection, licence: str, organisation: str, person: str | None, on_behalf: str
) -> Row[Any] | None:
    """The row that counts for this holder."""
    query = text(
        f"""select {COLUMNS} from acceptance a
             where licence = :licence and organisation = cast(:organisation as uuid) and on_behalf = :on_behalf
               and (on_behalf = 'organisation' or person = cast(:person as uuid))
             order by id desc limit 1"""  # noqa: S608
    )
    values = {"licence": licence, "organisation": organisation, "person": person, "on_behalf": on_behalf}
    return (await connection.execute(query, values)).first()


async def of_organisation(connection: AsyncConnection, organisation: str) -> Sequence[Row[Any]]:
    query = text(
        f"select {COLUMNS} from acceptance a where organisation = cast(:organisation as uuid) order by id desc"  # noqa: S608
    )
    return (await connection.execute(query, {"organisation": organisation})).all()


async def withdraw(
    connection: AsyncConnection,
    *,
    licence: str,
    organisation: str,
    recorded_by: str,
    person: str | None = None,
    on_behalf: Literal["user", "organisation"] = "organisation",
    evidence: Mapping[str, Any] | None = None,
) -> bool:
    """End this holder's acceptance, at once and for all that it allowed. False when there never was one."""
    row = await newest(connection, licence, organisation, person, on_behalf)
    if row is None:
        return False
    if row.action == "accept":
        await record(
            connection,
            licence=row.licence,
            version=row.version,
            organisation=organisation,
            person=person,
            on_behalf=on_behalf,
            recorded_by=recorded_by,
            text_sha256=row.text_sha256,
            purpose=row.purpose,
            project=row.project,
            action="withdraw",
            evidence=evidence,
        )
    return True
