"""The stable links of assets: read by those who may, uploaded to by those who may write."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from bocage_kit.access import ACCOUNT, ANYONE, Caller
from bocage_kit.audience import ORGANISATION_FIELD
from bocage_kit.identity import Identity, Level
from bocage_kit.licences import Condition, decide, licences_of, refusal
from bocage_kit.problems import Problem, not_found
from bocage_kit.store import BadKey, Stored, collection_prefix, key_of_href, results_prefix, upload_key
from bocage_kit.urls import asset_url
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import ClientDisconnect

from bocage_rights import accounts, recalls, uploads
from bocage_rights.catalogue import Found, find, may_write_somewhere
from bocage_rights.delivery import deliver, file_name, media_type_of
from bocage_rights.registry import entries_for, levels
from bocage_rights.required import required
from bocage_rights.state import RightsState, State
from bocage_rights.terms import ANONYMOUS

router = APIRouter(prefix="/assets", tags=["assets"])

_OPEN = "public, max-age=300"
_PRIVATE = "private, no-cache"
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_FILE = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/{collection}/{item}/{asset}",
    dependencies=[Depends(ANYONE)],
    response_class=Response,
    responses={200: _FILE, 206: _FILE, 302: {"description": "The asset lies elsewhere."}},
)
@router.head("/{collection}/{item}/{asset}", dependencies=[Depends(ANYONE)], response_class=Response)
async def read(collection: str, item: str, asset: str, request: Request, caller: Caller, state: State) -> Response:
    """The file of an asset, whole or in ranges; its ETag is the SHA-256 of its bytes."""
    _no_tile_token(caller)
    missing = not_found(f"The asset {asset} of {collection}/{item}")
    async with state.engine.connect() as connection:
        found = await find(connection, collection, item)
        if found is None or not found.seen_by(caller):
            raise missing
        document = found.asset(asset)
        if document is None:
            return await _uploaded(connection, found, (collection, item, asset), request, caller, state)
        href = str(document.get("href", ""))
        key = key_of_href(href)
        upload = None if key is None else await uploads.uploader(connection, key)
        licences = licences_of(found.collection, found.item, document)
        condition = await recalls.condition(connection, found, collection, item)
        await _permit(connection, state, caller, licences, condition, None if upload is None else upload[0])
        if key is None:
            # Never fetched by us: whoever follows the link asks the other host.
            if document.get("bocage:external") is True and href.startswith(("https://", "http://")):
                if not caller.anonymous:
                    # Many clients send their own headers along a redirect: the key would go to the other host.
                    raise Problem(
                        403,
                        "external-asset",
                        f"The asset {asset} lies at another host: open it at its own address, without your key.",
                        href=href,
                    )
                return RedirectResponse(href, 302, headers={"Cache-Control": _PRIVATE})
            raise missing
        if not key.startswith((collection_prefix(collection), results_prefix(collection))):
            raise missing
        open_ = await _open_to_all(connection, found, licences, condition)
    stored = state.store.head(key)
    if stored is None:
        raise missing
    media_type = media_type_of(document.get("type"), upload and upload[1])
    response = _deliver(request, state, stored, (item, asset), media_type, _OPEN if open_ else _PRIVATE)
    return state.takings.watch(caller, (collection, item, asset), licences, response)


async def _uploaded(
    connection: AsyncConnection,
    found: Found,
    name: tuple[str, str, str],
    request: Request,
    caller: Identity,
    state: RightsState,
) -> Response:
    """An upload that no item names yet is there for those who may write it."""
    missing = not_found(f"The asset {name[2]} of {name[0]}/{name[1]}")
    try:
        key = upload_key(*name)
    except BadKey as error:
        raise missing from error
    stored = state.store.head(key) if found.writable_by(caller) else None
    if stored is None:
        raise missing
    upload = await uploads.uploader(connection, key)
    media_type = media_type_of(upload and upload[1])
    return _deliver(request, state, stored, name[1:], media_type, _PRIVATE)


def _deliver(
    request: Request, state: RightsState, stored: Stored, names: tuple[str, str], media_type: str, cache: str
) -> Response:
    name = file_name(*names, stored.key, media_type)
    return deliver(request, state.store.path(stored.key), stored, media_type, name, cache)


async def _permit(
    connection: AsyncConnection,
    state: RightsState,
    caller: Identity,
    licences: tuple[str, ...],
    condition: Condition,
    uploaded_by: str | None,
) -> None:
    """Raises the 403 that says what is missing. Those who uploaded a file had it before: unless it is recalled, they
    may have it back."""
    decision = decide(caller, licences, Level.ASSET, condition)
    if decision.allowed:
        return
    if decision.recalled is None and uploaded_by is not None and uploaded_by == caller.organisation:
        return
    known = await entries_for(connection, caller)
    terms = required(known, decision.missing, Level.ASSET, caller.public_base)
    state.denials.add(caller, Level.ASSET, terms)
    raise refusal(decision, licences, terms)


async def _open_to_all(
    connection: AsyncConnection, found: Found, licences: tuple[str, ...], condition: Condition
) -> bool:
    anonymous = Identity(subject="anonymous")
    if not found.seen_by(anonymous):
        return False
    granted = anonymous.model_copy(update={"licences": await levels(connection, ANONYMOUS, None, None)})
    return decide(granted, licences, Level.ASSET, condition).allowed


@router.put(
    "/{collection}/{item}/{asset}",
    status_code=201,
    dependencies=[Depends(ACCOUNT)],
    openapi_extra={"requestBody": {"required": True, **_FILE}},
    responses={200: {"description": "These bytes were there already."}},
)
async def upload(
    collection: str, item: str, asset: str, request: Request, caller: Caller, state: State
) -> JSONResponse:
    """Store a file, then name it in an item. With `Content-SHA256` (hexadecimal) the bytes are checked on arrival."""
    _no_tile_token(caller)
    try:
        upload_key(collection, item, asset)
    except BadKey as error:
        raise Problem(
            422, "invalid-name", "Names are letters, digits and _.:- and begin with a letter, a digit or _."
        ) from error
    expected = request.headers.get("content-sha256", "").lower() or None
    if expected is not None and not _SHA256.match(expected):
        raise Problem(422, "invalid-checksum", "Content-SHA256 holds 64 hexadecimal digits.")
    settings = state.settings
    async with state.engine.connect() as connection:
        found = await find(connection, collection, item)
        # Who may not write is told so before the item is looked at: the answer tells nothing of hidden ones.
        if found is None or not Found(found.collection, None).seen_by(caller):
            raise not_found(f"The collection {collection}")
        _check_writable(found, caller)
        if not found.seen_by(caller):
            raise not_found(f"The item {collection}/{item}")
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
    return JSONResponse(document, 201 if new else 200, headers={"ETag": f'"{stored.sha256}"'})


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk


def _check_writable(found: Found, caller: Identity) -> None:
    if found.writable_by(caller):
        return
    if not may_write_somewhere(caller):
        raise Problem(
            403,
            "scope-required",
            "The credential lacks the scope catalogue:write.",
            required_scope="catalogue:write",
        )
    if found.collection.get("bocage:write_scope") == "service":
        raise Problem(403, "services-only", "Only the platform's services write to this collection.")
    raise Problem(403, "not-owner", "The collection belongs to another organisation.")


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
