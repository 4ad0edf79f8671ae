"""The write half of the STAC API: one transaction per request, one writer at a time per collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attr
import jsonpatch
import orjson
from bocage_kit.access import caller
from bocage_kit.audience import visible
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem, not_found
from bocage_kit.store import LocalStore, collection_prefix, key_of
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from stac_fastapi.extensions.transaction import AsyncBaseTransactionsClient

from bocage_catalogue import authority, documents, finished, present
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.collection_search import stored_collection
from bocage_catalogue.database import Connection, Contended, Database, attempts, pause
from bocage_catalogue.hrefs import AssetHrefs, stored_links
from bocage_catalogue.present import GEOJSON, Document, stac
from bocage_catalogue.visibility import CollectionRow, rights_of

Change = Callable[[Document], Document]
_MOST_ITEMS = 1000
_INTERNAL = "pgstac:base_item"


async def body_of(request: Request) -> Any:
    """The body as it was sent: a model would add members and rewrite values."""
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise documents.bad("The body is not JSON.") from error


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


def patched(shown: Document, patch: Any) -> Document:
    """`shown` after a JSON merge patch (RFC 7386) or, from a list, a JSON patch (RFC 6902). Raises Problem 400."""
    try:
        changed = jsonpatch.apply_patch(shown, patch) if isinstance(patch, list) else merged(shown, patch)
    except jsonpatch.JsonPatchTestFailed as error:
        raise Problem(409, "test-failed", "A test of the patch failed; read the object again.") from error
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, ValueError) as error:
        raise documents.bad("The patch can't be applied to this object.") from error
    if not isinstance(changed, dict):
        raise documents.bad("The patch does not leave an object.")
    return changed


def rights(collection: Document) -> Document:
    return rights_of(collection.get("bocage:licences"), collection.get("license"))


@attr.s
class WritingClient(AsyncBaseTransactionsClient):
    """Creates, replaces, patches and deletes by the platform's write rules."""

    store: LocalStore = attr.ib(kw_only=True)

    async def create_item(self, collection_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        identity, database = caller(request), database_of(request)
        collection = await _writable(database, identity, collection_id)
        body = await body_of(request)
        if not isinstance(body, dict):
            raise documents.bad("The body must be an item.")
        many = body.get("type") == "FeatureCollection"
        features = body.get("features") if many else [body]
        if not isinstance(features, list) or not all(isinstance(x, dict) for x in features):
            raise documents.bad("features must be a list of items.")
        if len(features) > _MOST_ITEMS:
            raise Problem(413, "too-many-items", f"At most {_MOST_ITEMS} items may be sent at once.")
        made = [await self._item(identity, collection, feature, None, None) for feature in features]
        names = [str(item["id"]) for item in made]
        if len(set(names)) != len(names):
            raise documents.bad("The same item id occurs twice.")

        async def write(connection: Connection) -> bytes:
            taken = await connection.fetchval(
                "select min(id) from pgstac.items where collection = $1 and id = any($2)", collection_id, names
            )
            if taken is not None:
                raise Problem(409, "exists", f"Item {collection_id}/{taken} exists already.")
            await connection.execute("select pgstac.create_items($1)", made)
            return await _shown(connection, identity, collection, names[0]) if names else b""

        shown = await _transaction(database, write, collection_id)
        if many:
            return answer({"created": names}, status=201)
        own = stac(identity.public_base, "collections", collection_id, "items", names[0])
        return Response(shown, 201, {"Location": own}, GEOJSON)

    async def update_item(self, collection_id: str, item_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        body = await body_of(request)
        return await self._change_item(request, collection_id, item_id, lambda _shown: body)

    async def patch_item(self, collection_id: str, item_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        patch = await body_of(request)
        return await self._change_item(request, collection_id, item_id, lambda shown: patched(shown, patch))

    async def delete_item(self, item_id: str, collection_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        identity, database = caller(request), database_of(request)
        await _writable(database, identity, collection_id)

        async def write(connection: Connection) -> None:
            await _seen_item(connection, identity, collection_id, item_id)
            await connection.execute("select pgstac.delete_item($1, $2)", item_id, collection_id)

        await _transaction(database, write, collection_id)
        await run_in_threadpool(self.store.delete_prefix, key_of("collections", collection_id, item_id))
        return answer({"deleted": item_id})

    async def create_collection(self, collection: Any, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        identity, database = caller(request), database_of(request)
        body = await body_of(request)
        made = await self._collection(identity, body, None, None)
        name = str(made["id"])

        async def write(connection: Connection) -> None:
            if await connection.fetchval("select 1 from pgstac.collections where id = $1", name):
                raise Problem(409, "exists", f"Collection {name} exists already.")
            await connection.execute("select pgstac.create_collection($1)", made)

        await _transaction(database, write, name)
        location = stac(identity.public_base, "collections", name)
        return answer(present.collection(made, identity), status=201, headers={"Location": location})

    async def update_collection(self, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        body = await body_of(request)
        return await self._change_collection(request, str(kwargs["collection_id"]), lambda _shown: body)

    async def patch_collection(self, collection_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        patch = await body_of(request)
        return await self._change_collection(request, collection_id, lambda shown: patched(shown, patch))

    async def delete_collection(self, collection_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        identity, database = caller(request), database_of(request)
        await _writable(database, identity, collection_id)

        async def write(connection: Connection) -> None:
            await connection.execute("select pgstac.delete_collection($1)", collection_id)

        await _transaction(database, write, collection_id)
        await run_in_threadpool(self.store.delete_prefix, collection_prefix(collection_id))
        return answer({"deleted": collection_id})

    async def _change_item(self, request: Request, collection_id: str, item_id: str, change: Change) -> Any:
        identity, database = caller(request), database_of(request)
        collection = await stored_collection(database, identity, collection_id)
        result = authority.only_services_write(identity, collection)
        if not result:
            authority.may_write(identity, collection)

        async def write(connection: Connection) -> bytes:
            stored = await _seen_item(connection, identity, collection_id, item_id)
            body = change(present.item(stored, rights(collection), identity))
            made = await self._item(identity, collection, body, stored, item_id)
            if result:
                authority.check_result_change(identity, stored, made)
            if made != stored:
                await connection.execute("select pgstac.update_item($1)", made)
            return await _shown(connection, identity, collection, item_id)

        return Response(await _transaction(database, write, collection_id), media_type=GEOJSON)

    async def _change_collection(self, request: Request, collection_id: str, change: Change) -> Any:
        identity, database = caller(request), database_of(request)
        await _writable(database, identity, collection_id)

        async def write(connection: Connection) -> Document:
            stored = await connection.fetchval(
                "select content from pgstac.collections where id = $1 for update", collection_id
            )
            if stored is None:
                raise not_found(f"Collection {collection_id}")
            authority.may_write(identity, stored)
            body = change(present.collection(stored, identity))
            made = await self._collection(identity, body, stored, collection_id)
            if made != stored:
                await connection.execute("select pgstac.update_collection($1)", made)
            return made

        made = await _transaction(database, write, collection_id)
        return answer(present.collection(made, identity))

    async def _item(
        self, identity: Identity, collection: Document, body: Any, stored: Document | None, name: str | None
    ) -> Document:
        """`body` as it is stored. Raises Problem 400."""
        if not isinstance(body, dict):
            raise documents.bad("The body must be an item.")
        holder = str(collection["id"])
        made = documents.undress(body)
        made.pop(_INTERNAL, None)
        made["links"] = stored_links(made.get("links"), identity.public_base)
        found = documents.check_item(made, holder, name)
        made["collection"] = holder
        hrefs = AssetHrefs(
            holder,
            found,
            base=identity.public_base,
            service=authority.is_service(identity),
            exists=lambda key: self.store.head(key) is not None,
            store=collection.get(authority.STORE_FIELD),
        )
        before = (stored or {}).get("assets") or {}
        made["assets"] = await run_in_threadpool(hrefs.resolve, made.get("assets"), before)
        authority.check_asset_licences(made["assets"])
        before_properties = stored["properties"] if stored is not None else None
        authority.own_item(identity, made["properties"], before_properties, collection)
        return dict(documents.without_nulls(made))

    async def _collection(self, identity: Identity, body: Any, stored: Document | None, name: str | None) -> Document:
        if not isinstance(body, dict):
            raise documents.bad("The body must be a collection.")
        made = documents.undress(body)
        made["links"] = stored_links(made.get("links"), identity.public_base)
        found = documents.check_collection(made, name)
        if made.get("assets") is not None:
            # A collection has no upload place of its own: its assets are links to other hosts.
            hrefs = AssetHrefs(found, "", base=identity.public_base, service=False, exists=lambda _key: False)
            made["assets"] = hrefs.resolve(made["assets"], {})
            authority.check_asset_licences(made["assets"])
        authority.own_collection(identity, made, stored)
        return made


async def _writable(database: Database, identity: Identity, collection_id: str) -> Document:
    """The collection, if the caller sees it and may write to it. Raises Problem 404, 403."""
    collection = await stored_collection(database, identity, collection_id)
    authority.may_write(identity, collection)
    return collection


async def _shown(connection: Connection, identity: Identity, collection: Document, name: str) -> bytes:
    """An item that was just written, as reading it answers: the same bytes."""
    holder = str(collection["id"])
    row = await finished.written_row(connection, holder, name)
    return finished.Layout(identity, {holder: CollectionRow(None, rights(collection), visible=True)}).text(row)


async def _seen_item(connection: Connection, identity: Identity, collection_id: str, item_id: str) -> Document:
    stored = await connection.fetchval("select pgstac.get_item($1, $2)", item_id, collection_id)
    if stored is None or not visible(identity, stored.get("properties") or {}):
        raise not_found(f"Item {collection_id}/{item_id}")
    return dict(stored)


async def _transaction(database: Database, write: Callable[[Connection], Any], collection: str) -> Any:
    """Run `write` as the only writer of its collection; when it loses against another transaction, again.

    One writer a collection: pgSTAC replaces an item by deleting and inserting it, so that a second writer would find
    nothing to replace, and makes a collection's partitions while inserting.
    """
    for attempt in attempts():
        try:
            async with database.writing(f"collection {collection}") as connection:
                return await write(connection)
        except Contended:
            await pause(attempt)
    raise AssertionError("unreachable")
