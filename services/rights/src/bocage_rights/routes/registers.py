"""The register of what was taken under a licence, to be handed to whoever grants that licence."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from bocage_kit.access import Caller
from bocage_kit.problems import Problem
from fastapi import APIRouter, Depends, Query, Request, Response

from bocage_rights import audit, register
from bocage_rights.routes.admin import MANAGER
from bocage_rights.state import State

router = APIRouter(prefix="/rights/admin", tags=["audit"])


@router.get(
    "/registers",
    dependencies=[Depends(MANAGER)],
    response_class=Response,
    responses={200: {"content": {"text/csv": {}, "application/json": {}}}},
)
async def read_register(
    request: Request,
    caller: Caller,
    state: State,
    licence: Annotated[str, Query(pattern=r"^[A-Za-z0-9.-]{1,80}$")],
    first: Annotated[date | None, Query(alias="from", description="first day; the last 90 days by default")] = None,
    last: Annotated[date | None, Query(alias="to", description="last day, included; today by default")] = None,
) -> Response:
    """Who took what, day by day: CSV, or JSON when that is asked for.

    Administrators get all organisations, managers their own. `Repr-Digest` holds the SHA-256 of the content; it is
    chained in the audit, so that a register can be proved to be the one delivered.
    """
    organisation = None if caller.has("admin") else caller.organisation
    if organisation is None and not caller.has("admin"):
        raise Problem(403, "no-organisation", "The account has no organisation whose register could be shown.")
    last = last or datetime.now(UTC).date()
    first = first or last - min(timedelta(days=90), last - date.min)
    if first > last or last == date.max:
        raise Problem(422, "invalid-period", "The first day comes after the last one.")
    async with state.engine.begin() as connection:
        found = await register.rows(connection, licence, first, last + timedelta(days=1), organisation)
        if len(found) > register.MAX_ROWS:
            raise Problem(
                413, "too-many-rows", f"The period has more than {register.MAX_ROWS} rows: ask for a shorter one."
            )
        as_json = "application/json" in request.headers.get("accept", "")
        content = register.as_json(found) if as_json else register.as_csv(found)
        digest = register.digest(content)
        detail = {
            "from": first.isoformat(),
            "to": last.isoformat(),
            "organisation": organisation,
            "rows": len(found),
            "format": "json" if as_json else "csv",
            "sha256": digest.hex(),
        }
        await audit.note(
            connection, "administration", "register.delivered", f"licence:{licence}", detail, caller.subject
        )
    return Response(
        content,
        media_type="application/json" if as_json else "text/csv; charset=utf-8",
        headers={
            "Cache-Control": "private, no-store",
            "Vary": "Accept",
            "Repr-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:",
            "Content-Disposition": f'attachment; filename="register-{licence}-{first}-{last}.{detail["format"]}"',
        },
    )
