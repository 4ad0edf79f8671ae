"""Every item of a search in one answer, as NDJSON or GeoParquet, sent while it is read: as long as it likes to be."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

import orjson
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from bocage_catalogue import asked, present, streaming
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.finished import Layout, Row
from bocage_catalogue.geoparquet import MAGIC, Columns, Writer
from bocage_catalogue.present import Document
from bocage_catalogue.streaming import Selection
from bocage_catalogue.visibility import CollectionRow

_log = logging.getLogger("bocage.catalogue")

# An export holds a connection and a snapshot of the database, which keeps what was deleted since from being cleared.
_AT_ONCE, _OF_ONE_CALLER = 4, 2
_LONGEST_SECONDS = 3600.0
# The gateway gives up on a service that is silent for a minute.
_SILENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Format:
    """One way to write items."""

    name: str
    media_type: str
    suffix: str
    also: tuple[str, ...] = ()


NDJSON = Format("ndjson", "application/x-ndjson", "ndjson", ("application/ndjson", "application/jsonl"))
SEQUENCE = Format("geojsonseq", "application/geo+json-seq", "geojsons")
GEOPARQUET = Format("geoparquet", "application/vnd.apache.parquet", "parquet", ("application/x-parquet",))
FORMATS = {each.name: each for each in (NDJSON, SEQUENCE, GEOPARQUET)}


def chosen(f: str | None, accept: str) -> Format:
    """The format by parameter, else by what the caller accepts. Raises Problem 400, 406."""
    if f is not None:
        if f not in FORMATS:
            raise asked.invalid(f"f is one of {', '.join(FORMATS)}.")
        return FORMATS[f]
    wanted = []
    for part in accept.lower().split(","):
        media_type, _, parameters = part.partition(";")
        quality = re.search(r"q=\s*([0-9.]{1,5})", parameters)
        try:
            weight = float(quality[1]) if quality else 1.0
        except ValueError:
            weight = 0.0
        if media_type.strip() and weight > 0:
            wanted.append((-weight, media_type.strip()))
    for _, media_type in sorted(wanted, key=lambda x: x[0]):
        for each in FORMATS.values():
            if media_type in (each.media_type, *each.also):
                return each
        if media_type in ("*/*", "application/*"):
            return NDJSON
    if not wanted:
        return NDJSON
    offered = ", ".join(each.media_type for each in FORMATS.values())
    raise Problem(406, "not-acceptable", f"An export is written as one of {offered}.")


def file_name(collections: tuple[str, ...] | None, format_: Format) -> str:
    """What a browser calls the file: the collection, when it is one."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", collections[0])[:100] if collections and len(collections) == 1 else "items"
    return f"{stem}.{format_.suffix}"


class Places:
    """How many exports run at once, and how many of one caller."""

    def __init__(self, most: int = _AT_ONCE, of_one: int = _OF_ONE_CALLER) -> None:
        self._most, self._of_one = most, of_one
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, subject: str) -> Iterator[None]:
        """Raises Problem 503 when all are taken."""
        if self._taken.total() >= self._most or self._taken[subject] >= self._of_one:
            raise Problem(
                503,
                "exports-busy",
                f"At most {self._of_one} exports of one account and {self._most} altogether run at once; try again"
                " when one has ended.",
                headers={"Retry-After": "5"},
            )
        self._taken[subject] += 1
        try:
            yield
        finally:
            self._taken[subject] -= 1
            if not self._taken[subject]:
                del self._taken[subject]


@dataclass(frozen=True)
class Export:
    """What is exported, to whom."""

    database: Database
    identity: Identity
    rows: Mapping[str, CollectionRow]
    selection: Selection
    fields: tuple[set[str], set[str]] = (set(), set())

    async def texts(self, connection: Connection) -> AsyncIterator[tuple[list[bytes], list[bytes]]]:
        """Items as the caller sees them, and their geometries, by batches."""
        layout = Layout(self.identity, self.rows)
        async with aclosing(streaming.batches(connection, self.selection)) as found:  # type: ignore[type-var]
            async for batch in found:
                # The snapshot may hold a collection that did not exist when it was asked who sees which.
                seen = [row for row in batch if self._sees(row)]
                yield [self._text(layout, row) for row in seen], [row["geometry"] for row in seen]

    def _sees(self, row: Row) -> bool:
        holder = self.rows.get(row["in_collection"])
        return holder is not None and holder.visible

    def _text(self, layout: Layout, row: Row) -> bytes:
        include, exclude = self.fields
        if include or exclude:
            return orjson.dumps(asked.kept_fields(layout.document(row), include, exclude))
        return layout.text(row)

    async def lines(self, before: bytes = b"") -> AsyncGenerator[bytes, None]:
        """One item a line."""
        async with streaming.snapshot(self.database) as connection, aclosing(self.texts(connection)) as batches:  # type: ignore[type-var]
            async for texts, _ in batches:
                yield b"".join(before + text + b"\n" for text in texts)

    async def geoparquet(self) -> AsyncGenerator[bytes, None]:
        """Twice through the same snapshot: to learn the columns, and to write."""
        columns, sent, last = Columns(), 0, time.monotonic()
        async with streaming.snapshot(self.database) as connection:
            async with aclosing(self.texts(connection)) as batches:  # type: ignore[type-var]
                async for texts, geometries in batches:
                    await asyncio.to_thread(columns.learn, texts, geometries)
                    if time.monotonic() - last > _SILENCE_SECONDS:
                        piece = bytes(1) if sent else MAGIC
                        yield piece
                        sent, last = sent + len(piece), time.monotonic()
            collections = await self._collections(connection, columns.collections)
            writer = await asyncio.to_thread(Writer, columns, collections, sent)
            async with aclosing(self.texts(connection)) as batches:  # type: ignore[type-var]
                async for texts, geometries in batches:
                    if piece := await asyncio.to_thread(writer.add, texts, geometries):
                        yield piece
            yield await asyncio.to_thread(writer.finish)

    async def _collections(self, connection: Connection, names: set[str]) -> dict[str, Document]:
        found = await connection.fetch("select content from pgstac.collections where id = any($1)", sorted(names))
        return {row["content"]["id"]: present.collection(row["content"], self.identity) for row in found}

    def written(self, format_: Format) -> AsyncGenerator[bytes, None]:
        if format_ is GEOPARQUET:
            return self.geoparquet()
        return self.lines(b"\x1e" if format_ is SEQUENCE else b"")


class Streamed(Response):
    """An answer whose pieces are made while it is sent. Its maker is ended when the client leaves.

    An error half-way leaves the answer without its end, so that nobody takes it for the whole.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str]) -> None:
        self.status_code, self.media_type, self.background = 200, media_type, None
        self._pieces = pieces
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        async with asyncio.timeout(_LONGEST_SECONDS), aclosing(self._pieces):
            # What is refused is refused before there is an answer.
            piece: bytes | None = await anext(self._pieces, b"")
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while piece is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = await anext(self._pieces, None)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
