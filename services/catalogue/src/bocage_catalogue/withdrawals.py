"""Withdrawing items and collections: they are gone from all that is found, and a tombstone says why."""

from __future__ import annotations

import re
from typing import Annotated

from bocage_kit import deposits
from bocage_kit.access import caller
from bocage_kit.audience import visible
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem, not_found
from bocage_kit.store import LocalStore
from fastapi import APIRouter, Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from bocage_catalogue import authority, etags, finished, storing, tombstones
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.collection_search import collection_rows, stored_collection
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.present import Document

_SUCCESSOR = re.compile(r"[A-Za-z0-9_.:-]{1,255}(/[A-Za-z0-9_.:-]{1,255})?|https?://[^\s<>\"]{1,1000}")


class Withdrawal(BaseModel):
    """Why something is withdrawn, and what takes its place."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*\S[^\x00]*$", description="Told to everyone.")
    successor: str | None = Field(
        None,
        max_length=1100,
        description="What takes its place: `collection/item`, `collection`, or an address on the web.",
    )


def may_withdraw(identity: Identity, collection: Document) -> None:
    """Raises Problem 403 unless the caller is an administrator or writes the collection. What is published stays, but
    it can be withdrawn."""
    if not authority.is_administrator(identity):
        authority.may_own(identity, collection)


async def _check_successor(database: Database, identity: Identity, successor: str | None, itself: str) -> None:
    """Raises Problem 400 for a successor that is none, or that the caller does not see."""
    if successor is None:
        return
    if _SUCCESSOR.fullmatch(successor) is None or successor == itself:
        raise Problem(400, "invalid-request", "successor must be another collection/item, collection or web address.")
    if "://" not in successor:
        collection, _, item = successor.partition("/")
        if item:
            there = await finished.item_row(database, identity, collection, item) is not None
        else:
            holder = (await collection_rows(database, identity)).get(collection)
            there = holder is not None and holder.visible
        if not there:
            raise Problem(400, "invalid-request", f"successor: there is no {successor} in this catalogue.")


def check_deposit(collection: Document, *, whole: bool) -> None:
    """Raises Problem 409 for what is not public yet: nobody cites it, and what is reviewed stays as it is."""
    state = collection.get(deposits.FIELD)
    if state == deposits.PUBLISHED or state is None:
        return
    deposits.check_open(collection)
    if whole:
        name = collection.get("id")
        raise Problem(409, "deposit-state", f"The deposit {name} is no more than a draft: delete its collection.")


class Withdrawer:
    """Removes objects and leaves tombstones; the files go as they go with a deletion."""

    def __init__(self, store: LocalStore) -> None:
        self.store = store

    async def item(
        self,
        request: Request,
        collection_id: Annotated[str, Path(max_length=255)],
        item_id: Annotated[str, Path(max_length=255)],
        body: Withdrawal,
    ) -> Response:
        """Withdraw an item: from then on its address tells why (410)."""
        identity, database = caller(request), database_of(request)
        collection = await stored_collection(database, identity, collection_id)
        may_withdraw(identity, collection)

        async def write(connection: Connection) -> None:
            content = await connection.fetchval("select content from pgstac.collections where id = $1", collection_id)
            check_deposit(content or {}, whole=False)
            found = (await storing.locked(connection, collection_id, [item_id])).get(item_id)
            if found is None or not visible(identity, found[0].get("properties") or {}):
                raise not_found(f"Item {collection_id}/{item_id}")
            etags.check_match(request, found[1])
            await _check_successor(database, identity, body.successor, f"{collection_id}/{item_id}")
            await tombstones.keep(
                connection, identity, collection_id, item_id, found[0], body.reason.strip(), body.successor
            )
            await connection.execute(
                "delete from pgstac.items where collection = $1 and id = $2", collection_id, item_id
            )

        return await self._withdrawn(request, database, collection_id, item_id, write)

    async def collection(
        self, request: Request, collection_id: Annotated[str, Path(max_length=255)], body: Withdrawal
    ) -> Response:
        """Withdraw a collection with all its items."""
        identity, database = caller(request), database_of(request)

        async def write(connection: Connection) -> None:
            found = await connection.fetch(
                "select c.content, f.revision from pgstac.collections c join catalogue.finished_collection f using (id)"
                " where c.id = $1 for no key update of c",
                collection_id,
            )
            if not found or not visible(identity, found[0]["content"]):
                raise not_found(f"Collection {collection_id}")
            may_withdraw(identity, found[0]["content"])
            check_deposit(found[0]["content"], whole=True)
            etags.check_match(request, found[0]["revision"])
            await _check_successor(database, identity, body.successor, collection_id)
            await connection.execute(
                "update catalogue.deposit set state = 'withdrawn', actor = $2, comment = $3"
                " where collection = $1 and state = 'published'",
                *(collection_id, identity.subject, body.reason.strip()),
            )
            await tombstones.keep(
                connection,
                identity,
                collection_id,
                tombstones.WHOLE,
                found[0]["content"],
                body.reason.strip(),
                body.successor,
            )
            await connection.execute("select pgstac.delete_collection($1)", collection_id)

        return await self._withdrawn(request, database, collection_id, tombstones.WHOLE, write)

    async def _withdrawn(
        self, request: Request, database: Database, collection: str, item: str, write: storing.Write
    ) -> Response:
        identity = caller(request)
        # Alone: who creates the same item sees either the item or its tombstone.
        try:
            await storing.transaction(database, collection, write, alone=True)
        except Problem as problem:
            if problem.status == 404:
                await tombstones.check_missing(database, identity, collection, item)
            raise
        await run_in_threadpool(self.store.delete_uploads, collection, *([] if item == tombstones.WHOLE else [item]))
        row = await tombstones.found(database, identity, collection, item)
        assert row is not None
        told = {"collection": collection, "reason": row["reason"], "withdrawn": f"{row['at']:%Y-%m-%dT%H:%M:%SZ}"}
        if item:
            told["id"] = item
        if row["successor"] is not None:
            told["successor"] = tombstones.successor_url(identity.public_base, row["successor"])
        return answer(told)


def router(store: LocalStore) -> APIRouter:
    """The routes that withdraw."""
    withdrawer = Withdrawer(store)
    made = APIRouter(prefix="/stac", dependencies=[Depends(authority.Writer())], tags=["Withdrawal"])
    for path, endpoint in (
        ("/collections/{collection_id}/withdrawal", withdrawer.collection),
        ("/collections/{collection_id}/items/{item_id}/withdrawal", withdrawer.item),
    ):
        made.add_api_route(path, endpoint, methods=["POST"], response_class=Response, response_model=None)
    return made
