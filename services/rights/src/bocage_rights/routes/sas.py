"""The words of the Planetary Computer for the same signed links."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from bocage_kit.access import ACCOUNT, Caller
from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from bocage_rights.routes.signing import Address, said, signer
from bocage_rights.signer import written
from bocage_rights.state import RightsState, State

router = APIRouter(prefix="/rights/sas", tags=["signed links"])

Name = Annotated[str, Path(min_length=1, max_length=255)]
Minutes = Annotated[int | None, Query(ge=1, le=8 * 60, description="minutes that the token lives at most")]


class SasToken(BaseModel):
    expiry: str = Field(alias="msft:expiry")
    token: str = Field(description="a query for any asset link of the collection")


class SasLink(BaseModel):
    expiry: str = Field(alias="msft:expiry")
    href: str


async def _token(collection: str, caller: Caller, state: RightsState, duration: int | None) -> dict[str, Any]:
    async with signer(caller, state, None if duration is None else duration * 60) as signing:
        query, expires = await signing.collection(collection)
        await signing.count("collection", 1)
    expiry = written(expires)
    # By `st`, `se` and `sp` its clients see that a link is signed already.
    said_again = urlencode({"se": expiry, "sp": "r", "sr": "c"})
    return {"msft:expiry": expiry, "token": f"{said_again}&{query}"}


@router.get("/token/{account}/{container}", dependencies=[Depends(ACCOUNT)], response_model=SasToken)
async def token_of_container(
    account: Name, container: Name, caller: Caller, state: State, duration: Minutes = None
) -> JSONResponse:
    """A token for a collection. Collections are the containers; there is one account, whatever it is called."""
    return said(await _token(container, caller, state, duration))


@router.get("/token/{collection}", dependencies=[Depends(ACCOUNT)], response_model=SasToken)
async def token_of_collection(collection: Name, caller: Caller, state: State, duration: Minutes = None) -> JSONResponse:
    """A token for a collection: append it, after a `?`, to any of its asset links."""
    return said(await _token(collection, caller, state, duration))


@router.get("/sign", dependencies=[Depends(ACCOUNT)], response_model=SasLink)
async def sign(
    href: Annotated[Address, Query()], caller: Caller, state: State, duration: Minutes = None
) -> JSONResponse:
    """A link for reading one file."""
    async with signer(caller, state, None if duration is None else duration * 60) as signing:
        signed = await signing.reading([href])
        await signing.count("read", 1)
    return said({"msft:expiry": signed.expiry, "href": signed.hrefs[href]}, signed.charged)
