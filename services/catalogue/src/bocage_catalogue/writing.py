"""The write half of the STAC API: one transaction per request, which holds what it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import deepcopy
from typing import Annotated, Any

import jsonpatch
import orjson
from bocage_kit.access import caller
from bocage_kit.audience import visible
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem, not_found
from bocage_kit.store import LocalStore
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from bocage_catalogue import authority, bodies, bulk, documents, etags, finished, language, present, storing, tombstones
from bocage_catalogue.acceptance import Acceptance
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.bodies import Body
from bocage_catalogue.bulk import Method, Mode
from bocage_catalogue.collection_search import stored_collection
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.etags import tagged
from bocage_catalogue.layout import Layout
from bocage_catalogue.present import GEOJSON, JSON, Document, stac
from bocage_catalogue.process_links import named_processes
from bocage_catalogue.visibility import CollectionRow, rights_of

PREFIX = "/stac"
_MOST_OPERATIONS = 1000
Change = Callable[[Document], Body]
CollectionId = Annotated[str, Path(max_length=255, description="The collection's id.")]
ItemId = Annotated[str, Path(max_length=255, description="The item's id.")]


def merged(shown: Any, patch: Any) -> Any:
    """RFC 7386: members replace, null removes, anything but an object replaces the whole."""
    if not isinstance(patch, dict):
        return patch
    made = dict(shown) if isinstance(shown, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merged(made.get(name), value)
    return made


def _operated(shown: Document, patch: list[Any]) -> Any:
    """RFC 6902. Twenty copies of an object into itself make a million of it: what is copied is bounded in all."""
    if len(patch) > _MOST_OPERATIONS:
        raise documents.bad(f"A JSON patch has at most {_MOST_OPERATIONS} operations.")
    changed: Any = deepcopy(shown)
    room = documents.MOST_BYTES
    for operation in patch:
        if isinstance(operation, dict) and operation.get("op") == "copy":
            room -= len(orjson.dumps(jsonpatch.JsonPointer(operation["from"]).resolve(changed)))
            if room < 0:
                raise documents.bad(f"The copies of a JSON patch take at most {documents.MOST_BYTES} bytes.")
        changed = jsonpatch.JsonPatch([operation]).apply(changed, in_place=True)
    return changed


def patched(shown: Document, patch: Any) -> Document:
    """`shown` after a JSON merge patch (RFC 7386) or, from a list, a JSON patch (RFC 6902). Raises Problem 400."""
    try:
        changed = _operated(shown, patch) if isinstance(patch, list) else merged(shown, patch)
    except jsonpatch.JsonPatchTestFailed as error:
        raise Problem(409, "test-failed", "A test of the patch failed; read the object again.") from error
    except (
        *(jsonpatch.JsonPatchException, jsonpatch.JsonPointerException),
        *(TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError),
    ) as error:
        raise documents.bad("The patch can't be applied to this object.") from error
    if not isinstance(changed, dict):
        raise documents.bad("The patch does not leave an object.")
    documents.check_depth(changed)
    return changed


def _rights(collection: Document) -> Document:
    return rights_of(collection.get("bocage:licences"), collection.get("license")) | named_processes(collection)


def _required(collection: Document) -> bool:
    return collection.get(bulk.REQUIRED_FIELD) is True


async def _writable(database: Database, identity: Identity, collection_id: str) -> Document:
    """The collection, if the caller sees it and may write to it. Raises Problem 404, 403."""
    collection = await stored_collection(database, identity, collection_id)
    authority.may_write(identity, collection)
    return collection


async def _holder(connection: Connection, collection_id: str) -> storing.Holder:
    found = await storing.holder_of(connection, collection_id)
    if found is None:
        raise not_found(f"Collection {collection_id}")
    return found


async def _item_answer(
    connection: Connection, request: Request, collection: Document, name: str, status: int = 200, **headers: str
) -> Response:
    """An item that was just written, as reading it answers: the same bytes, and the same tag."""
    holder, identity = str(collection["id"]), caller(request)
    row, readers = await finished.written_row(database_of(request), connection, holder, name)
    rows = {holder: CollectionRow(None, _rights(collection), visible=True)}
    layout = Layout(identity, rows, language.of(request), readers)
    return tagged(request, layout.text(row), row["revision"], GEOJSON, status, headers)


async def _seen_item(
    connection: Connection, identity: Identity, collection_id: str, item_id: str
) -> tuple[Document, int]:
    """The item and its revision, held until the transaction ends. Raises Problem 404."""
    found = (await storing.locked(connection, collection_id, [item_id])).get(item_id)
    if found is None or not visible(identity, found[0].get("properties") or {}):
        raise not_found(f"Item {collection_id}/{item_id}")
    return found


async def _held_collection(connection: Connection, collection_id: str) -> tuple[Document, int]:
    """The same for a collection."""
    held = "select 1 from pgstac.collections where id = $1 for no key update"
    if await connection.fetchval(held, collection_id):
        found = await connection.fetch(
            "select c.content, f.revision from pgstac.collections c"
            " join catalogue.finished_collection f on f.id = c.id where c.id = $1",
            collection_id,
        )
        if found:
            return found[0]["content"], found[0]["revision"]
    raise not_found(f"Collection {collection_id}")


async def _collection_answer(
    connection: Connection, request: Request, made: Document, status: int = 200, **headers: str
) -> Response:
    shown = answer(present.collection(made, caller(request), language.of(request)))
    revision = await connection.fetchval(
        "select revision from catalogue.finished_collection where id = $1", str(made["id"])
    )
    return tagged(request, bytes(shown.body), revision, JSON, status, headers)


class Writer:
    """Creates, replaces, patches and deletes by the platform's write rules."""

    def __init__(self, store: LocalStore) -> None:
        self.store = store
        self._turn = asyncio.Lock()

    async def create_items(
        self,
        request: Request,
        collection_id: CollectionId,
        mode: Annotated[Mode, Query(description="Of several items: all or none, or each for itself (207).")] = Mode.ALL,
        method: Annotated[
            Method, Query(description="Of several items: whether one that exists is refused (409) or replaced.")
        ] = Method.INSERT,
    ) -> Response:
        """Create an item, or several at once as a FeatureCollection."""
        identity, database = caller(request), database_of(request)
        collection = await _writable(database, identity, collection_id)
        content = await bodies.content_of(request)
        nulls = b"null" in content
        acceptance = Acceptance(identity, self.store)
        if (features := bulk.features_of(content)) is not None:
            batch = bulk.Batch(acceptance, collection, features, method is Method.UPSERT, nulls, self._turn)
            await bulk.load(database, batch, mode)
            told = batch.document()
            return answer(told, status=207 if mode is Mode.PARTIAL else 201 if told["created"] else 200)
        body = Body(bodies.decoded(content), nulls)
        made = await run_in_threadpool(acceptance.item, collection, body)
        name = str(made["id"])
        own = stac(identity.public_base, "collections", collection_id, "items", name)

        async def write(connection: Connection) -> Response:
            holder = await _holder(connection, collection_id)
            if await connection.fetchval(
                "select 1 from catalogue.finished_item where collection = $1 and id = $2", collection_id, name
            ):
                raise bulk.exists(collection_id, name)
            await tombstones.check_free(connection, collection_id, name)
            await storing.insert(connection, holder, [storing.as_stored(holder, made)])
            await storing.check_single(connection, holder, [name])
            return await _item_answer(connection, request, collection, name, 201, Location=own)

        return await storing.transaction(database, collection_id, write)

    async def replace_item(self, request: Request, collection_id: CollectionId, item_id: ItemId) -> Response:
        """Replace an item."""
        body = await bodies.body_of(request)
        return await self._change_item(request, collection_id, item_id, lambda _shown: body)

    async def patch_item(self, request: Request, collection_id: CollectionId, item_id: ItemId) -> Response:
        """Change members of an item: a JSON merge patch, or a JSON patch."""
        patch = (await bodies.body_of(request, bodies.PATCHES)).document
        return await self._change_item(request, collection_id, item_id, lambda shown: Body(patched(shown, patch)))

    async def delete_item(self, request: Request, collection_id: CollectionId, item_id: ItemId) -> Response:
        """Delete an item and what was uploaded for it."""
        identity, database = caller(request), database_of(request)
        collection = await _writable(database, identity, collection_id)

        async def write(connection: Connection) -> None:
            await _holder(connection, collection_id)
            _, revision = await _seen_item(connection, identity, collection_id, item_id)
            etags.check_match(request, revision, required=_required(collection))
            await connection.execute(
                "delete from pgstac.items where collection = $1 and id = $2", collection_id, item_id
            )

        await storing.transaction(database, collection_id, write)
        await run_in_threadpool(self.store.delete_uploads, collection_id, item_id)
        return answer({"deleted": item_id})

    async def create_collection(self, request: Request) -> Response:
        """Create a collection."""
        identity, database = caller(request), database_of(request)
        made = Acceptance(identity, self.store).collection(await bodies.body_of(request))
        name = str(made["id"])

        async def write(connection: Connection) -> Response:
            if await connection.fetchval("select 1 from pgstac.collections where id = $1", name):
                raise Problem(409, "exists", f"Collection {name} exists already.")
            await tombstones.check_free(connection, name)
            await connection.execute("select pgstac.create_collection($1)", made)
            own = stac(identity.public_base, "collections", name)
            return await _collection_answer(connection, request, made, 201, Location=own)

        return await storing.transaction(database, name, write, alone=True)

    async def replace_collection(self, request: Request, collection_id: CollectionId) -> Response:
        """Replace a collection; its items stay."""
        body = await bodies.body_of(request)
        return await self._change_collection(request, collection_id, lambda _shown: body)

    async def patch_collection(self, request: Request, collection_id: CollectionId) -> Response:
        """Change members of a collection: a JSON merge patch, or a JSON patch."""
        patch = (await bodies.body_of(request, bodies.PATCHES)).document
        return await self._change_collection(request, collection_id, lambda shown: Body(patched(shown, patch)))

    async def delete_collection(self, request: Request, collection_id: CollectionId) -> Response:
        """Delete a collection with its items and all that was uploaded for them."""
        identity, database = caller(request), database_of(request)
        await _writable(database, identity, collection_id)

        async def write(connection: Connection) -> None:
            stored, revision = await _held_collection(connection, collection_id)
            authority.may_write(identity, stored)
            etags.check_match(request, revision, required=_required(stored))
            await connection.execute("select set_config('bocage.actor', $1, true)", identity.subject)
            await connection.execute("select pgstac.delete_collection($1)", collection_id)

        await storing.transaction(database, collection_id, write, alone=True)
        await run_in_threadpool(self.store.delete_uploads, collection_id)
        return answer({"deleted": collection_id})

    async def _change_item(self, request: Request, collection_id: str, item_id: str, change: Change) -> Response:
        identity, database = caller(request), database_of(request)
        collection = await stored_collection(database, identity, collection_id)
        result = authority.only_services_write(identity, collection)
        if not result:
            authority.may_write(identity, collection)
        acceptance = Acceptance(identity, self.store)

        async def write(connection: Connection) -> Response:
            stored, revision = await _seen_item(connection, identity, collection_id, item_id)
            etags.check_match(request, revision, required=_required(collection))
            body = change(present.item(stored, _rights(collection), identity, language.of(request)))
            made = await run_in_threadpool(acceptance.item, collection, body, stored, item_id)
            if result:
                authority.check_result_change(identity, stored, made)
            if made != stored:
                holder = await _holder(connection, collection_id)
                await storing.replace(connection, holder, storing.as_stored(holder, made))
            return await _item_answer(connection, request, collection, item_id)

        return await storing.transaction(database, collection_id, write)

    async def _change_collection(self, request: Request, collection_id: str, change: Change) -> Response:
        identity, database = caller(request), database_of(request)
        await _writable(database, identity, collection_id)

        async def write(connection: Connection) -> Response:
            stored, revision = await _held_collection(connection, collection_id)
            authority.may_write(identity, stored)
            etags.check_match(request, revision, required=_required(stored))
            body = change(present.collection(stored, identity, language.of(request)))
            made = Acceptance(identity, self.store).collection(body, stored, collection_id)
            if made != stored:
                await connection.execute("select pgstac.update_collection($1)", made)
            return await _collection_answer(connection, request, made)

        return await storing.transaction(database, collection_id, write, alone=True)


def _body(*types: str) -> dict[str, Any]:
    """What a body may be, for the document of the API; it is read as it was sent, past every model."""
    objects: dict[str, Any] = {"type": "object"}
    several = {"type": "array", "items": objects}
    content = {name: {"schema": several if name == bodies.JSON_PATCH else objects} for name in types}
    return {"requestBody": {"required": True, "content": content}}


def router(store: LocalStore) -> APIRouter:
    """The routes that write."""
    writer = Writer(store)
    made = APIRouter(prefix=PREFIX, dependencies=[Depends(authority.Writer())], default_response_class=JSONResponse)
    collections, collection = "/collections", "/collections/{collection_id}"
    items, item = f"{collection}/items", f"{collection}/items/{{item_id}}"
    whole, part = _body(JSON, GEOJSON), _body(JSON, bodies.MERGE_PATCH, bodies.JSON_PATCH)
    for path, verb, endpoint, status, more in (
        (collections, "POST", writer.create_collection, 201, whole),
        (collection, "PUT", writer.replace_collection, 200, whole),
        (collection, "PATCH", writer.patch_collection, 200, part),
        (collection, "DELETE", writer.delete_collection, 200, None),
        (items, "POST", writer.create_items, 201, whole),
        (item, "PUT", writer.replace_item, 200, whole),
        (item, "PATCH", writer.patch_item, 200, part),
        (item, "DELETE", writer.delete_item, 200, None),
    ):
        made.add_api_route(path, endpoint, methods=[verb], status_code=status, openapi_extra=more, response_model=None)
    return made
