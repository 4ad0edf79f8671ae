"""Tokens for GIS tools, good for reading tiles of what their maker may see, and for nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from bocage_kit.access import ACCOUNT, Caller
from bocage_kit.identity import TileScope
from bocage_kit.problems import Problem, not_found, quota_exceeded
from bocage_kit.urls import public_url
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import text

from bocage_rights.credentials import mint
from bocage_rights.routes.account import person_organisation
from bocage_rights.state import State

router = APIRouter(prefix="/rights/tile_tokens", tags=["tile tokens"])

MAX_TTL = 30 * 24 * 3600
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}$")]
ItemName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}/[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}$")
]


class NewTileToken(BaseModel):
    """What the token is good for: collections, items (`collection/item`), or a registered search."""

    model_config = ConfigDict(extra="forbid")
    collections: list[Name] = Field(default=[], max_length=100)
    items: list[ItemName] = Field(default=[], max_length=1000)
    search: Name | None = None
    ttl: int = Field(default=7 * 24 * 3600, ge=60, le=MAX_TTL, description="seconds")
    assets: list[Name] | None = Field(default=None, max_length=20, description="assets that the links draw")

    @model_validator(mode="after")
    def names_something(self) -> NewTileToken:
        if not (self.collections or self.items or self.search):
            raise ValueError("name collections, items or a search")
        return self


class TileToken(BaseModel):
    token: str
    id: str
    expires: datetime
    tilejson: str
    wmts: str
    xyz: str


def links(base: str, wanted: NewTileToken, token: str) -> dict[str, str]:
    """TileJSON, WMTS and XYZ links: concrete for one item or a search, templates of {collection}, {item} otherwise."""
    if wanted.search is not None:
        root = public_url(base, "tiles", "searches", wanted.search)
    elif len(wanted.items) == 1 and not wanted.collections:
        collection, item = wanted.items[0].split("/")
        root = public_url(base, "tiles", "collections", collection, "items", item)
    else:
        collection = wanted.collections[0] if len(wanted.collections) == 1 and not wanted.items else "{collection}"
        root = public_url(base, "tiles", "collections") + f"/{collection}/items/{{item}}"
    query = urlencode([*(("assets", asset) for asset in wanted.assets or ()), ("token", token)])
    matrix = "WebMercatorQuad"
    return {
        "tilejson": f"{root}/{matrix}/tilejson.json?{query}",
        "wmts": f"{root}/{matrix}/WMTSCapabilities.xml?{query}",
        "xyz": f"{root}/tiles/{matrix}/{{z}}/{{x}}/{{y}}.png?{query}",
    }


@router.post("", status_code=201, dependencies=[Depends(ACCOUNT)])
async def create(wanted: NewTileToken, caller: Caller, state: State, response: Response) -> TileToken:
    """Make a token that reads tiles with the caller's rights. It is in this answer and nowhere else."""
    person_organisation(caller)
    if (caller.credential or "").startswith("login-"):
        raise Problem(
            403, "key-required", "A tile token belongs to an API key, with which it ends: make one at /rights/keys."
        )
    scope = TileScope(collections=frozenset(wanted.collections), items=frozenset(wanted.items), search=wanted.search)
    minted = mint(state.keyring, "bt")
    expires = datetime.now(UTC) + timedelta(seconds=wanted.ttl)
    async with state.engine.begin() as connection:
        count = await connection.execute(
            text("""select count(*) from tile_token
                     where api_key = :key and revoked_at is null and expires_at > now()"""),
            {"key": caller.credential},
        )
        limit = state.settings.max_tile_tokens_per_key
        if count.scalar_one() >= limit:
            raise quota_exceeded(f"This key has {limit} tile tokens already; revoke some.", ["tile-tokens"], 60)
        made = await connection.execute(
            text("""insert into tile_token (id, hmac, api_key, scope, expires_at)
                    select :id, :hmac, id, cast(:scope as jsonb), least(:expires, expires_at) from api_key
                     where id = :key and revoked_at is null returning expires_at"""),
            {
                "id": minted.id,
                "hmac": minted.digest,
                "key": caller.credential,
                "scope": scope.model_dump_json(),
                "expires": expires,
            },
        )
        row = made.one_or_none()
    if row is None:
        raise Problem(401, "unauthenticated", "The key was revoked meanwhile.")
    response.headers["Cache-Control"] = "no-store"
    return TileToken(
        token=minted.text, id=minted.id, expires=row.expires_at, **links(caller.public_base, wanted, minted.text)
    )


@router.get("", dependencies=[Depends(ACCOUNT)])
async def list_tokens(caller: Caller, state: State) -> dict[str, Any]:
    """The tokens that the caller's keys made and that are still good; their secrets are not shown again."""
    person_organisation(caller)
    async with state.engine.connect() as connection:
        rows = await connection.execute(
            text("""select t.id, t.scope, t.created_at, t.expires_at, t.api_key
                      from tile_token t join api_key k on k.id = t.api_key
                     where k.person = cast(:person as uuid) and t.revoked_at is null and t.expires_at > now()
                       and k.revoked_at is null
                     order by t.created_at desc"""),
            {"person": caller.subject},
        )
        return {
            "tile_tokens": [
                {
                    "id": row.id,
                    "scope": row.scope,
                    "created": row.created_at.isoformat(),
                    "expires": row.expires_at.isoformat(),
                    "key": row.api_key,
                }
                for row in rows
            ]
        }


@router.delete("/{token_id}", status_code=204, dependencies=[Depends(ACCOUNT)])
async def revoke(token_id: str, caller: Caller, state: State) -> Response:
    """End a token of one's own, at once."""
    person_organisation(caller)
    async with state.engine.begin() as connection:
        done = await connection.execute(
            text("""update tile_token t set revoked_at = coalesce(t.revoked_at, now()) from api_key k
                     where t.id = :id and k.id = t.api_key and k.person = cast(:person as uuid)"""),
            {"id": token_id.replace("\0", "").partition(".")[0], "person": caller.subject},
        )
    if done.rowcount == 0:
        raise not_found("The tile token")
    return Response(status_code=204)
