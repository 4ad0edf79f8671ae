"""The register: who took what, under which text, for which purpose. Entered in batches, read as CSV or JSON."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, NamedTuple

from bocage_kit.identity import Identity
from fastapi import Response
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.types import Message, Receive, Scope, Send

from bocage_rights import audit

MAX_KINDS = 50_000
MAX_ROWS = 100_000
Way = Literal["download", "sign", "job"]

COLUMNS = (
    "day", "licence", "version", "text_sha256", "accepted", "person", "person_name", "organisation",
    "organisation_name", "category", "country", "project", "purpose", "kind", "product", "collection", "item", "asset",
    "count", "bytes", "km2", "first_at", "last_at",
)  # fmt: skip
_ROWS = text(
    """select t.*, p.name as person_name, o.name as organisation_name
         from taking t
         left join person p on p.id::text = t.person
         left join organisation o on o.id::text = t.organisation
        where t.licence = :licence and t.day >= :first and t.day < :end
          and (cast(:organisation as text) is null or t.organisation = cast(:organisation as text))
        order by t.day, t.organisation nulls first, t.person, t.collection, t.item, t.asset, t.kind, t.key
        limit :limit"""
)


class Taken(NamedTuple):
    """What tells one entry of a day from another."""

    day: date
    kind: Way
    person: str
    organisation: str | None
    category: str | None
    project: str | None
    purpose: str
    collection: str
    item: str
    asset: str
    licence: str


@dataclass
class Takings:
    """Entries of this process that are not written yet.

    They are written each second, so a kill loses at most that second. While the database is away they are kept, up to
    MAX_KINDS different ones; what is dropped beyond is counted and noted in the audit chain.
    """

    engine: AsyncEngine
    _entries: dict[Taken, list[Any]] = field(default_factory=dict)
    _dropped: int = 0

    def add(
        self,
        caller: Identity,
        kind: Way,
        name: tuple[str, str, str],
        licences: Iterable[str],
        size: int,
        count: int = 1,
    ) -> None:
        """`name` is (collection, item, asset). The platform's own services take nothing for themselves."""
        if caller.service:
            return
        now = datetime.now(UTC)
        who = (caller.subject, caller.organisation, caller.category, caller.project, caller.purpose)
        for licence in licences:
            key = Taken(now.date(), kind, *who, *name, licence)
            entry = self._entries.get(key)
            if entry is not None:
                entry[0] += count
                entry[1] += size
            elif len(self._entries) < MAX_KINDS:
                self._entries[key] = [count, size, now]
            else:
                self._dropped += count

    def watch(
        self, caller: Identity, name: tuple[str, str, str], licences: Sequence[str], response: Response
    ) -> Response:
        """`response`, entered as a download of the bytes that really leave."""
        return _Watched(response, lambda sent: self.add(caller, "download", name, licences, sent))

    async def flush(self) -> None:
        if not self._entries and not self._dropped:
            return
        entries, dropped = self._entries, self._dropped
        self._entries, self._dropped = {}, 0
        try:
            async with self.engine.begin() as connection:
                await enter(connection, entries)
                if dropped:
                    detail = {"requests": dropped}
                    await audit.note(connection, "administration", "register.gap", "register", detail, "service:rights")
        except BaseException:
            for key, (count, size, at) in entries.items():
                kept = self._entries.setdefault(key, [0, 0, at])
                kept[0] += count
                kept[1] += size
            self._dropped += dropped
            raise


class _Watched(Response):
    """Sends another response and counts its bytes, however it ends."""

    def __init__(self, response: Response, sent: Any) -> None:
        self._response, self._sent = response, sent
        self.status_code, self.background = response.status_code, response.background
        self.raw_headers, self.media_type = response.raw_headers, response.media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        count = 0

        async def counted(message: Message) -> None:
            nonlocal count
            await send(message)
            count += len(message.get("body", b""))

        try:
            await self._response(scope, receive, counted)
        finally:
            if count:  # HEAD, 304 and errors take nothing
                self._sent(count)


async def enter(connection: AsyncConnection, entries: dict[Taken, list[Any]]) -> None:
    rows = [
        key._asdict() | {"day": None, "count": count, "bytes": size, "at": at.isoformat()}
        for key, (count, size, at) in entries.items()
    ]
    await connection.execute(text("select take(cast(:rows as jsonb))"), {"rows": json.dumps(rows)})


async def rows(
    connection: AsyncConnection, licence: str, first: date, end: date, organisation: str | None
) -> Sequence[Row[Any]]:
    """Entries of the days from `first` on, before `end`; at most one more than MAX_ROWS."""
    values = {"licence": licence, "first": first, "end": end, "organisation": organisation, "limit": MAX_ROWS + 1}
    return (await connection.execute(_ROWS, values)).all()


def as_csv(found: Sequence[Row[Any]]) -> bytes:
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(_plain(getattr(row, name))) for name in COLUMNS] for row in found)
    return sheet.getvalue().encode()


def as_json(found: Sequence[Row[Any]]) -> bytes:
    entries = [{name: _plain(getattr(row, name)) for name in COLUMNS} for row in found]
    return json.dumps({"register": entries}, ensure_ascii=False).encode()


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _plain(value: Any) -> Any:
    """A value as JSON knows it; whole numbers and areas keep all their digits."""
    if isinstance(value, date | datetime):
        return value.isoformat()
    if value is None or isinstance(value, str | bool | int):
        return value
    return int(value) if value == int(value) else float(value)


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula is kept a text."""
    return "'" + value if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
