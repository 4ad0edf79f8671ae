"""What happened to items and collections, told in one order to everyone who follows it by cursor.

The order is made by the database (`migrations/sql/0004_changes.sql`); here a caller is told its part of it.
"""

from __future__ import annotations

import asyncio
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import orjson
from bocage_kit.access import Caller
from bocage_kit.identity import Identity
from bocage_kit.language import ENGLISH
from bocage_kit.problems import Problem
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from bocage_catalogue import finished, language
from bocage_catalogue.answers import database_of
from bocage_catalogue.authority import Reader
from bocage_catalogue.collection_search import collection_rows
from bocage_catalogue.conditions import Arguments, eyes, visible
from bocage_catalogue.database import Contended, Database
from bocage_catalogue.layout import Layout
from bocage_catalogue.paging import with_query
from bocage_catalogue.present import GEOJSON, Document, link, stac
from bocage_catalogue.tallies import fold
from bocage_catalogue.visibility import CollectionRow

NDJSON = "application/x-ndjson"
MOST, LIMIT = 1000, 100
# What the caller may not know is passed by, but not without end: then the page is empty and its cursor leads on.
_FAR = 20_000
_LONGEST_WAIT, _BETWEEN = 20, 0.25
_CURSOR = re.compile(r"([0-9a-f]{12})\.(\d{1,18})", re.ASCII)

_LOG = """
select name, pruned, greatest(pruned, (select max(position) from catalogue.change)) as last from catalogue.change_log
"""
_SINCE = "select * from catalogue.changes_since($1, $2, $3, $4, $5, $6, $7, $8, $9)"


@dataclass(frozen=True)
class Cursor:
    """A place in the log of one catalogue."""

    log: str
    place: int

    def __str__(self) -> str:
        return urlsafe_b64encode(f"{self.log}.{self.place}".encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Raises Problem 400."""
        try:
            found = _CURSOR.fullmatch(urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii"))
        except ValueError:
            found = None
        if found is None:
            raise Problem(
                400,
                "invalid-request",
                "cursor must be one that a page of changes gave, or now; without it, all is told.",
            )
        return cls(found[1], int(found[2]))


class Entry(Protocol):
    """A change: place, at, in_collection, item, revised, kind."""

    def __getitem__(self, name: str) -> Any: ...


@dataclass(frozen=True)
class Told:
    """A part of the log, and from where to go on."""

    entries: Sequence[Entry]
    cursor: Cursor


def begin(cursor: str | None, log: Mapping[str, Any]) -> int:
    """The place from which to tell. Raises Problem 400, 410."""
    if cursor == "now":
        return int(log["last"])
    asked = Cursor(log["name"], 0) if cursor is None else Cursor.read(cursor)
    if asked.log != log["name"] or asked.place < log["pruned"] or asked.place > log["last"]:
        raise Problem(
            410,
            "changes-gone",
            "The changes from there on are not kept any more: ask with cursor=now, then search for what there is, and "
            "follow from that cursor.",
        )
    return asked.place


async def told(database: Database, identity: Identity, cursor: str | None, most: int, among: list[str] | None) -> Told:
    """What the caller may know of what came after `cursor`. Raises Problem 400, 410."""
    async with database.reading() as connection:
        waiting = await connection.fetchval("select exists (select from catalogue.written)")
    if waiting:
        with suppress(Contended):  # then another does so
            # What was committed before the question is in the answer.
            await fold(database)
    async with database.reading() as connection:
        log = (await connection.fetch(_LOG))[0]
        since = begin(cursor, log)
        granted = sorted(identity.hidden)
        *entries, last = await connection.fetch(_SINCE, since, most, _FAR, among, *eyes(identity), granted)
    return Told(entries, Cursor(log["name"], last["place"]))


async def items_now(
    database: Database,
    identity: Identity,
    rows: Mapping[str, CollectionRow],
    entries: Sequence[Entry],
    tongue: str = ENGLISH,
) -> dict[tuple[str, str], bytes]:
    """The items that entries speak of, as they are now and as far as the caller sees them."""
    named = {(e["in_collection"], e["item"]) for e in entries if e["item"] is not None and e["kind"] != "deleted"}
    named = {(collection, name) for collection, name in named if collection in rows and rows[collection].visible}
    if not named:
        return {}
    arguments = Arguments([collection for collection, _ in named], [name for _, name in named])
    sql = f"""
        select f.collection as in_collection, f.id as item, f.licences, f.audience, f.hrefs, f.laid_out, f.body,
            case when f.body is null then catalogue.laid_now(f.collection, f.id, f.datetime) end as now
        from unnest($1::text[], $2::text[]) as asked (collection, id)
        join catalogue.finished_item f on f.collection = asked.collection and f.id = asked.id
        where {visible(identity, (), arguments)}"""  # noqa: S608 - a clause of our own
    async with database.reading() as connection:
        found = await connection.fetch(sql, *arguments.values)
        items, readers = await finished.there(database, connection, found)
    layout = Layout(identity, rows, tongue, readers)
    return {(row["in_collection"], row["item"]): layout.text(row) for row in items}


def entry(base: str, change: Entry, items: Mapping[tuple[str, str], bytes]) -> Document:
    """A change as it is told."""
    collection, name = change["in_collection"], change["item"]
    moment = f"{change['at']:%Y-%m-%dT%H:%M:%S.%f}Z"
    made: Document = {"type": change["kind"], "collection": collection, "time": moment}
    if name is not None:
        made["id"] = name
    if change["kind"] == "deleted":
        return made
    if name is None:
        own = stac(base, "collections", collection)
        return {**made, "links": [link("collection", own), link("items", own + "/items", GEOJSON)]}
    made["revision"] = change["revised"]
    made["links"] = [link("item", stac(base, "collections", collection, "items", name), GEOJSON)]
    if (collection, name) in items:
        made["item"] = orjson.Fragment(items[collection, name])
    return made


def router() -> APIRouter:
    made = APIRouter(prefix="/stac", dependencies=[Depends(Reader())], tags=["Changes"])
    made.add_api_route(
        "/changes",
        _changes,
        methods=["GET"],
        summary="Creations, updates and deletions in the order in which they became visible",
        response_class=Response,
    )
    return made


async def _changes(
    request: Request,
    identity: Caller,
    cursor: Annotated[
        str | None,
        Query(
            max_length=100, description="Where to go on: of a former page, or `now`. Without it, from the beginning."
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many entries at most.")] = LIMIT,
    collections: Annotated[str | None, Query(max_length=4000, description="Ids of collections, by commas.")] = None,
    include: Annotated[
        Literal["item"] | None, Query(description="`item`: with each created or updated item as it is now.")
    ] = None,
    wait: Annotated[
        float, Query(ge=0, le=_LONGEST_WAIT, description="Wait so many seconds for a change when there is none.")
    ] = 0,
) -> Response:
    database = database_of(request)
    among = collections.split(",") if collections is not None else None
    if among is not None and any("\0" in name for name in among):
        raise Problem(400, "invalid-request", "collections must be ids of collections, with commas between them.")
    deadline = time.monotonic() + wait
    found = await told(database, identity, cursor, limit, among)
    while not found.entries and time.monotonic() < deadline and not await request.is_disconnected():
        if str(found.cursor) == cursor or cursor == "now":
            await asyncio.sleep(min(_BETWEEN, max(0.0, deadline - time.monotonic())))
        cursor = str(found.cursor)
        found = await told(database, identity, cursor, limit, among)
    items: dict[tuple[str, str], bytes] = {}
    if include == "item":
        rows = await collection_rows(database, identity)
        items = await items_now(database, identity, rows, found.entries, language.of(request))
    base = identity.public_base
    here = stac(base, "changes")
    entries = [entry(base, change, items) for change in found.entries]
    following = with_query(request, here, cursor=str(found.cursor))
    if NDJSON in request.headers.get("accept", ""):
        lines = b"".join(orjson.dumps(one) + b"\n" for one in entries)
        return Response(lines, media_type=NDJSON, headers={"Link": f'<{following}>; rel="next"', "Vary": "Accept"})
    links = [link("root", stac(base)), link("self", with_query(request, here)), link("next", following, method="GET")]
    document = {"changes": entries, "cursor": str(found.cursor), "links": links, "numberReturned": len(entries)}
    return Response(orjson.dumps(document), media_type="application/json", headers={"Vary": "Accept"})
