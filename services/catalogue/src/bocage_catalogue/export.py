"""Every item of a search in one answer, as NDJSON or GeoParquet, sent while it is read: as long as it has to be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from bocage_kit.access import caller
from bocage_kit.identity import Identity
from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import Response

from bocage_catalogue import asking, fields, language, present, streaming, subjects
from bocage_catalogue.answers import database_of
from bocage_catalogue.asking import Look
from bocage_catalogue.authority import Reader
from bocage_catalogue.collection_search import collection_rows
from bocage_catalogue.conditions import Search
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.export_formats import FORMATS, GEOPARQUET, SEQUENCE, Format, chosen, file_name
from bocage_catalogue.finished import there
from bocage_catalogue.geoparquet import MAGIC, Columns, Writer
from bocage_catalogue.head import HEAD
from bocage_catalogue.layout import Layout, Row
from bocage_catalogue.present import Document
from bocage_catalogue.streamed import Places, Streamed
from bocage_catalogue.streaming import Selection
from bocage_catalogue.subject_parameters import SubjectParameters
from bocage_catalogue.visibility import CollectionRow

MOST = 2**31 - 1
# The gateway gives up on a service that is silent for a minute.
_SILENCE_SECONDS = 10.0
_LONGEST = 100_000

Text = Annotated[str | None, Query(max_length=_LONGEST)]
Named = Annotated[
    Literal["ndjson", "geojsonseq", "geoparquet"] | None,
    Query(alias="f", description="The format; without it, what Accept asks for, else NDJSON."),
]


@dataclass(frozen=True)
class Export:
    """What is exported, and to whom."""

    database: Database
    identity: Identity
    rows: Mapping[str, CollectionRow]
    search: Search
    look: Look
    most: int | None
    tongue: str

    async def selection(self, connection: Connection) -> Selection:
        return await streaming.selected(connection, self.identity, self.rows, self.search, self.most)

    async def texts(
        self, connection: Connection, selection: Selection
    ) -> AsyncGenerator[tuple[list[bytes], list[bytes]], None]:
        """Items as the caller sees them, and their geometries, by batches."""
        async with aclosing(streaming.batches(connection, selection)) as found:
            async for batch in found:
                rows, readers = await there(self.database, connection, batch)
                layout = Layout(self.identity, self.rows, self.tongue, readers)
                # The snapshot may hold a collection that was not there yet when it was asked who sees which.
                seen = [row for row in rows if self._sees(row)]
                yield [self._text(layout, row) for row in seen], [row["geometry"] for row in seen]

    def _sees(self, row: Row) -> bool:
        holder = self.rows.get(row["in_collection"])
        return holder is not None and holder.visible

    def _text(self, layout: Layout, row: Row) -> bytes:
        if self.look.include or self.look.exclude:
            shown = fields.chosen(layout.document(row), self.look.include, self.look.exclude, fields.OF_ITEMS)
            return orjson.dumps(shown)
        return layout.text(row)

    async def lines(self, before: bytes) -> AsyncGenerator[bytes, None]:
        """One item a line."""
        async with streaming.snapshot(self.database) as connection:
            selection = await self.selection(connection)
            async with aclosing(self.texts(connection, selection)) as batches:
                async for texts, _ in batches:
                    yield b"".join(before + text + b"\n" for text in texts)

    async def geoparquet(self) -> AsyncGenerator[bytes, None]:
        """Twice through the same snapshot: to learn the columns, and to write."""
        columns, sent, last = Columns(), 0, time.monotonic()
        async with streaming.snapshot(self.database) as connection:
            selection = await self.selection(connection)
            async with aclosing(self.texts(connection, selection)) as batches:
                async for texts, geometries in batches:
                    await asyncio.to_thread(columns.learn, texts, geometries)
                    if time.monotonic() - last > _SILENCE_SECONDS:
                        piece = bytes(1) if sent else MAGIC
                        yield piece
                        sent, last = sent + len(piece), time.monotonic()
            collections = await self._collections(connection, columns.collections)
            writer = await asyncio.to_thread(Writer, columns, collections, sent)
            async with aclosing(self.texts(connection, selection)) as batches:
                async for texts, geometries in batches:
                    if piece := await asyncio.to_thread(writer.add, texts, geometries):
                        yield piece
            yield await asyncio.to_thread(writer.finish)

    async def _collections(self, connection: Connection, names: set[str]) -> dict[str, Document]:
        """The collections of the items, as the caller sees them."""
        async with streaming.passing(connection):
            found = await connection.fetch("select content from pgstac.collections where id = any($1)", sorted(names))
        return {row["content"]["id"]: present.collection(row["content"], self.identity, self.tongue) for row in found}

    async def pieces(self, format_: Format, places: Places) -> AsyncGenerator[bytes, None]:
        with places.taken(self.identity.subject):
            made = self.geoparquet() if format_ is GEOPARQUET else self.lines(b"\x1e" if format_ is SEQUENCE else b"")
            async with aclosing(made) as pieces:
                async for piece in pieces:
                    yield piece


def router() -> APIRouter:
    """The routes of exports; of one application, since it counts how many run."""
    made, places = APIRouter(prefix="/stac", dependencies=[Depends(Reader())]), Places()
    contents = {each.media_type: {"schema": {"type": "string", "format": "binary"}} for each in FORMATS.values()}
    about: dict[str, Any] = {
        "response_class": Response,
        "responses": {200: {"description": "Every item that the search finds.", "content": contents}},
    }

    @made.get("/export", summary="All items of a search as NDJSON or GeoParquet", **about)
    async def by_parameters(
        request: Request,
        f: Named = None,
        collections: Text = None,
        ids: Text = None,
        bbox: Annotated[str | None, Query(max_length=200, description="west,south,east,north")] = None,
        intersects: Annotated[str | None, Query(max_length=_LONGEST, description="A GeoJSON geometry.")] = None,
        datetime: Annotated[str | None, Query(max_length=100, description="An instant, or start/end.")] = None,
        q: Annotated[str | None, Query(max_length=5000, description="Words, with commas between.")] = None,
        query: Text = None,
        filter_: Annotated[str | None, Query(alias="filter", max_length=_LONGEST)] = None,
        filter_lang: Annotated[str | None, Query(alias="filter-lang", max_length=20)] = None,
        filter_crs: Annotated[str | None, Query(alias="filter-crs", max_length=100)] = None,
        about: SubjectParameters = Depends(),
        sortby: Annotated[str | None, Query(max_length=2000)] = None,
        fields: Annotated[str | None, Query(max_length=5000)] = None,
        limit: Annotated[int | None, Query(ge=1, le=MOST, description="All items, without it.")] = None,
    ) -> Response:
        given = {
            "collections": _parts(collections), "ids": _parts(ids), "bbox": _numbers(bbox), "datetime": datetime,
            "intersects": intersects, "q": q, "query": query, "filter_expr": filter_, "filter_lang": filter_lang,
            "filter_crs": filter_crs, "sortby": _parts(sortby), "fields": _parts(fields),
            **about.given(),
        }  # fmt: skip
        search, look = asking.from_parameters(given), asking.look_of_parameters(given)
        return await _exported(request, places, f, search, look, limit)

    @made.post("/export", summary="All items of a search as NDJSON or GeoParquet", **about)
    async def by_body(
        request: Request,
        body: Annotated[dict[str, Any], Body(description="What the body of a search holds; limit is optional.")],
        f: Named = None,
    ) -> Response:
        limit = body.pop("limit", None)
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST):
            raise asking.invalid(f"limit must be a whole number from 1 to {MOST}; leave it out for all items.")
        return await _exported(request, places, f, asking.from_body(body), asking.look_of_body(body), limit)

    return made


async def _exported(
    request: Request, places: Places, name: str | None, search: Search, look: Look, most: int | None
) -> Response:
    identity, database = caller(request), database_of(request)
    format_ = chosen(name, request.headers.get("accept", ""))
    headers = {"Content-Disposition": f'attachment; filename="{file_name(search.collections, format_)}"'}
    if request.scope.get(HEAD):
        told = Response(media_type=format_.media_type, headers=headers)
        del told.headers["content-length"]  # nobody has counted
        return told
    search = await subjects.resolved(database, identity, search)
    rows = await collection_rows(database, identity)
    export = Export(database, identity, rows, search, look, most, language.of(request))
    return Streamed(export.pieces(format_, places), format_.media_type, headers)


def _parts(text: str | None) -> list[str] | None:
    return [part for part in text.split(",") if part.strip()] if text else None


def _numbers(text: str | None) -> list[float] | None:
    """Raises Problem 400."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise asking.invalid("bbox must hold four or six numbers with commas between.") from error
