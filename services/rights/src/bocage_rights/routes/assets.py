"""The stable links of assets: read by those who may, uploaded to by those who may write."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from bocage_kit.access import ACCOUNT_OR_LINK, ANYONE_OR_LINK, Caller
from bocage_kit.audience import ORGANISATION_FIELD
from bocage_kit.identity import Identity, Level
from bocage_kit.licences import decide
from bocage_kit.problems import Problem
from bocage_kit.store import BadKey, Stored, upload_key
from bocage_kit.urls import asset_url
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import ClientDisconnect

from bocage_rights import accounts, uploads
from bocage_rights.catalogue import Found, find
from bocage_rights.delivery import deliver, file_name, media_type_of
from bocage_rights.located import (
    STORE_FIELD,
    Located,
    checked_upload_key,
    located,
    missing,
    permit,
    seen,
    writable,
)
from bocage_rights.object_stores import CHARGED_BYTES, bucket_of
from bocage_rights.registry import entries_for, levels
from bocage_rights.signing import RESTRICTED_SECONDS, restricted, too_old
from bocage_rights.state import RightsState, State
from bocage_rights.terms import ANONYMOUS

router = APIRouter(prefix="/assets", tags=["assets"])

_OPEN = "public, max-age=300"
_PRIVATE = "private, no-cache"
_NEVER = "private, no-store"
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_FILE = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/{collection}/{item}/{asset}",
    dependencies=[Depends(ANYONE_OR_LINK)],
    response_class=Response,
    responses={200: _FILE, 206: _FILE, 302: {"description": "The asset lies elsewhere."}},
)
@router.head("/{collection}/{item}/{asset}", dependencies=[Depends(ANYONE_OR_LINK)], response_class=Response)
async def read(collection: str, item: str, asset: str, request: Request, caller: Caller, state: State) -> Response:
    """The file of an asset, whole or in ranges; its ETag is the SHA-256 of its bytes."""
    _no_tile_token(caller)
    _check_link(caller, collection, item, asset, upload=False)
    async with state.engine.connect() as connection:
        found = await seen(connection, caller, collection, item)
        if found is None:
            raise missing(collection, item, asset)
        if found.asset(asset) is None:
            return await _uploaded(connection, found, (collection, item, asset), request, caller, state)
        wanted = await located(connection, found, collection, item, asset)
        if wanted is None:
            raise missing(collection, item, asset)
        await permit(connection, state, caller, wanted)
        await _check_age(connection, caller, wanted)
        if wanted.key is None:
            return _elsewhere(caller, wanted)
        if wanted.bucket is not None:
            return await _to_bucket(request, caller, state, wanted)
        open_ = caller.link is None and await _open_to_all(connection, found, wanted)
    stored = state.store.head(wanted.key)
    if stored is None:
        raise missing(collection, item, asset)
    media_type = media_type_of(wanted.document.get("type"), wanted.uploaded_as)
    cache = _OPEN if open_ else _NEVER if caller.link is not None else _PRIVATE
    response = _deliver(request, state, stored, (item, asset), media_type, cache)
    return state.takings.watch(caller, (collection, item, asset), wanted.licences, response)


def _elsewhere(caller: Identity, wanted: Located) -> Response:
    """Never fetched by us: whoever follows the link asks the other host."""
    assert wanted.external is not None
    if not caller.anonymous and caller.link is None:
        # Many clients send their own headers along a redirect: the key would go to the other host.
        raise Problem(
            403,
            "external-asset",
            f"The asset {wanted.asset} lies at another host: open it at its own address, without your key.",
            href=wanted.external,
        )
    return RedirectResponse(wanted.external, 302, headers={"Cache-Control": _PRIVATE})


async def _to_bucket(request: Request, caller: Identity, state: RightsState, wanted: Located) -> Response:
    """A link of the store's own, as short as the object's licences want it."""
    assert wanted.key is not None
    # Nobody keeps the link: each reading asks here again, so that a long life would only help those who pass it on.
    seconds = RESTRICTED_SECONDS
    if caller.link is not None:
        seconds = min(seconds, caller.link.expires - int(time.time()))
    link = await bucket_of(state.object_stores, wanted.bucket).reading(
        wanted.key, seconds, "HEAD" if request.method == "HEAD" else "GET"
    )
    if link is None:
        raise missing(wanted.collection, wanted.item, wanted.asset)
    headers = {"Cache-Control": _NEVER}
    if request.method == "GET":
        state.takings.add(caller, "sign", wanted.name, wanted.licences, link.size)
        headers[CHARGED_BYTES] = str(link.size)
    return RedirectResponse(link.href, 302, headers=headers)


def _check_link(caller: Identity, collection: str, item: str, asset: str, *, upload: bool) -> None:
    """Raises a 403 when a signed link is used for what it was not signed for."""
    if caller.link is None:
        return
    if caller.link.upload is not upload or not caller.link.covers(collection, item, asset):
        raise Problem(403, "signed-link", "The link was signed for something else; sign this one.")
    if caller.link.expires <= time.time():
        raise _expired()


async def _check_age(connection: AsyncConnection, caller: Identity, wanted: Located) -> None:
    """Links to whole collections may be older than what is restricted allows."""
    link, now = caller.link, time.time()
    if link is None or now - link.signed < RESTRICTED_SECONDS:
        return
    if too_old(link, restricted(await entries_for(connection, caller), wanted.licences), now):
        raise _expired()


def _expired() -> Problem:
    return Problem(403, "link-expired", "The signed link has expired; sign the asset's own link again.")


async def _uploaded(
    connection: AsyncConnection,
    found: Found,
    name: tuple[str, str, str],
    request: Request,
    caller: Identity,
    state: RightsState,
) -> Response:
    """An upload that no item names yet is there for those who may write it."""
    try:
        key = upload_key(*name)
    except BadKey as error:
        raise missing(*name) from error
    stored = state.store.head(key) if found.writable_by(caller) else None
    if stored is None:
        raise missing(*name)
    upload = await uploads.uploader(connection, key)
    media_type = media_type_of(upload and upload[1])
    return _deliver(request, state, stored, name[1:], media_type, _PRIVATE if caller.link is None else _NEVER)


def _deliver(
    request: Request, state: RightsState, stored: Stored, names: tuple[str, str], media_type: str, cache: str
) -> Response:
    name = file_name(*names, stored.key, media_type)
    return deliver(request, state.store.path(stored.key), stored, media_type, name, cache)


async def _open_to_all(connection: AsyncConnection, found: Found, wanted: Located) -> bool:
    anonymous = Identity(subject="anonymous")
    if not found.seen_by(anonymous):
        return False
    granted = anonymous.model_copy(update={"licences": await levels(connection, ANONYMOUS, None, None)})
    return decide(granted, wanted.licences, Level.ASSET, wanted.condition).allowed


@router.put(
    "/{collection}/{item}/{asset}",
    status_code=201,
    dependencies=[Depends(ACCOUNT_OR_LINK)],
    openapi_extra={"requestBody": {"required": True, **_FILE}},
    responses={200: {"description": "These bytes were there already."}},
)
async def upload(
    collection: str, item: str, asset: str, request: Request, caller: Caller, state: State
) -> JSONResponse:
    """Store a file, then name it in an item. With `Content-SHA256` (hexadecimal) the bytes are checked on arrival."""
    _no_tile_token(caller)
    _check_link(caller, collection, item, asset, upload=True)
    checked_upload_key(collection, item, asset)
    expected = request.headers.get("content-sha256", "").lower() or None
    if expected is not None and not _SHA256.match(expected):
        raise Problem(422, "invalid-checksum", "Content-SHA256 holds 64 hexadecimal digits.")
    settings = state.settings
    async with state.engine.connect() as connection:
        found = writable(await find(connection, collection, item), caller, collection, item)
        if found.collection.get(STORE_FIELD) is not None:
            raise Problem(
                409,
                "upload-to-store",
                "The files of this collection go straight to its store: ask POST /rights/sign_urls_put for a link.",
            )
        organisation = await _account(connection, found, caller)
    declared = media_type_of(request.headers.get("content-type"))
    target = uploads.Target(collection, item, asset, organisation, caller.subject, declared)
    limits = uploads.Limits(settings.max_object_bytes, settings.max_organisation_bytes)
    # Before a byte is read; what really comes is counted again.
    length = request.headers.get("content-length", "")
    if length.isdecimal() and len(length) < 19:
        if int(length) > limits.object_bytes:
            raise uploads.too_large(limits.object_bytes)
        async with state.engine.begin() as connection:
            if not await uploads.fits(connection, state.store, target, int(length), limits.organisation_bytes):
                raise uploads.quota_exceeded(limits.organisation_bytes)
    try:
        stored, new = await uploads.receive(state.engine, state.store, target, _body(request), limits, expected)
    except ClientDisconnect as error:
        raise Problem(400, "incomplete-upload", "The upload broke off; nothing of it is kept.") from error
    document: dict[str, Any] = {
        "href": asset_url(caller.public_base, collection, item, asset),
        "size": stored.size,
        "sha256": stored.sha256,
    }
    # Behind a signed link the answer is as that of an S3 server, for clients that know no other.
    status = 201 if new and caller.link is None else 200
    return JSONResponse(document, status, headers={"ETag": f'"{stored.sha256}"'})


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk


async def _account(connection: AsyncConnection, found: Found, caller: Identity) -> str:
    """The organisation whose quota the upload counts against: the collection's, else the caller's."""
    try:
        declared = str(UUID(str(found.collection.get(ORGANISATION_FIELD))))
        if await accounts.organisation(connection, declared) is not None:
            return declared
    except ValueError:
        pass
    if caller.organisation is None:
        raise Problem(403, "no-organisation", "Uploads belong to an organisation, and the account has none.")
    return caller.organisation


def _no_tile_token(caller: Identity) -> None:
    if caller.tiles is not None:
        raise Problem(403, "tile-token", "A tile token is good for tiles only; use an API key here.")
