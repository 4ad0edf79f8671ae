"""For the gateway and the services, on this service's socket only."""

from __future__ import annotations

import time
from typing import Any

from bocage_kit.access import OPEN
from bocage_kit.identity import LIFETIME_SECONDS, sign
from bocage_kit.problems import Problem, invalid_credential, unauthenticated
from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, StreamingResponse

from bocage_rights import metering
from bocage_rights.bearer import InvalidToken
from bocage_rights.exchange import Credential, InvalidCredential
from bocage_rights.providers import ProviderUnavailable
from bocage_rights.state import State

PATHS = frozenset({"/identity", "/identity/revocations", "/usage"})
router = APIRouter(include_in_schema=False, dependencies=[Depends(OPEN)])


@router.post("/identity")
async def exchange(credential: Credential, state: State) -> JSONResponse:
    try:
        identity = await state.exchange.identify(credential)
    except InvalidCredential as error:
        raise invalid_credential() from error
    except InvalidToken as error:
        raise unauthenticated(f"The bearer token is not taken: {error}. Sign in anew at your provider.") from error
    except ProviderUnavailable as error:
        raise Problem(
            503,
            "provider-unavailable",
            "The OpenID Connect provider does not answer, so nobody can say whether the token is good; try again.",
            headers={"Retry-After": "5"},
        ) from error
    async with state.engine.connect() as connection:
        meter = await metering.meter(connection, identity)
    now = time.time()
    ends = int(now) + LIFETIME_SECONDS
    if identity.expires:
        ends = min(ends, identity.expires)
    document: dict[str, Any] = {
        "token": sign(identity, state.keyring.signing, now, ends),
        "expires": ends,
        "subject": identity.subject,
        "credential": identity.credential,
        "meter": meter,
    }
    return JSONResponse(document, headers={"Cache-Control": "no-store"})


@router.get("/identity/revocations")
async def revocations(state: State) -> StreamingResponse:
    lines = state.announcements.subscribe(state.settings.alive_seconds)
    if lines is None:
        raise Problem(503, "not-ready", "Revocations cannot be heard now; try again.", headers={"Retry-After": "1"})
    return StreamingResponse(
        lines,
        media_type="application/x-ndjson",
        headers={"Cache-Control": "no-store"},
    )


@router.post("/usage")
async def usage(batch: metering.Batch, state: State) -> JSONResponse:
    """What a gateway has counted. The answer is what its holders have used, so that several gateways share a limit."""
    async with state.engine.begin() as connection:
        used = await metering.add(connection, batch)
    return JSONResponse({"used": used}, headers={"Cache-Control": "no-store"})
