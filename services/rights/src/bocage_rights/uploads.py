"""What accounts put into the object store: streamed, checked, counted, and whole or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bocage_kit import problems
from bocage_kit.problems import Problem
from bocage_kit.store import LocalStore, Stored, href_of, upload_key
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bocage_rights.catalogue import refers_to

_STALE_SECONDS = 3600


@dataclass(frozen=True)
class Target:
    """Where an upload goes and on whose account."""

    collection: str
    item: str
    asset: str
    organisation: str
    person: str
    media_type: str | None

    @property
    def key(self) -> str:
        return upload_key(self.collection, self.item, self.asset)


@dataclass(frozen=True)
class Limits:
    object_bytes: int
    organisation_bytes: int


class _SameBytes(Exception):
    """The object is there already with these bytes."""


def too_large(limit: int) -> Problem:
    return Problem(413, "object-too-large", f"One object may hold at most {limit} bytes.", limit=limit)


def quota_exceeded(limit: int) -> Problem:
    return problems.quota_exceeded(
        f"The organisation may store at most {limit} bytes; delete items that are no longer needed, or ask for more.",
        ["stored-bytes"],
        3600,
        limit=limit,
    )


async def stored_bytes(connection: AsyncConnection, organisation: str, but: str = "") -> int:
    found = await connection.execute(
        text("select coalesce(sum(size), 0) from upload where organisation = cast(:id as uuid) and key <> :but"),
        {"id": organisation, "but": but},
    )
    return int(found.scalar_one())


async def fits(connection: AsyncConnection, store: LocalStore, target: Target, size: int, quota: int) -> bool:
    """Whether the organisation may store `size` more. Objects that were deleted with their items are let go."""
    if await stored_bytes(connection, target.organisation, but=target.key) + size <= quota:
        return True
    rows = await connection.execute(
        text("select key from upload where organisation = cast(:id as uuid)"), {"id": target.organisation}
    )
    if gone := [row.key for row in rows if store.head(row.key) is None]:
        await connection.execute(text("delete from upload where key = any(:gone)"), {"gone": gone})
    return await stored_bytes(connection, target.organisation, but=target.key) + size <= quota


async def uploader(connection: AsyncConnection, key: str) -> tuple[str, str | None] | None:
    """(organisation, media type) of an uploaded object."""
    found = await connection.execute(
        text("select organisation::text, media_type from upload where key = :key"), {"key": key}
    )
    row = found.one_or_none()
    return None if row is None else (row.organisation, row.media_type)


async def receive(
    engine: AsyncEngine,
    store: LocalStore,
    target: Target,
    chunks: AsyncIterator[bytes],
    limits: Limits,
    expected_sha256: str | None,
) -> tuple[Stored, bool]:
    """Store an upload; whether it is new. Raises Problem, and then nothing of it is left."""
    digest, size = hashlib.sha256(), 0
    async with AsyncExitStack() as until_stored:

        async def checked() -> AsyncIterator[bytes]:
            """All checks are done when the last byte has come and before the object appears."""
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                if size > limits.object_bytes:
                    raise too_large(limits.object_bytes)
                digest.update(chunk)
                yield chunk
            found = digest.hexdigest()
            if expected_sha256 is not None and found != expected_sha256:
                raise Problem(
                    422, "checksum-mismatch", f"The bytes that came have the SHA-256 {found}; send them again."
                )
            connection = await until_stored.enter_async_context(engine.begin())
            await _admit(connection, store, target, size, found, limits.organisation_bytes)

        try:
            return await store.write(target.key, checked()), True
        except _SameBytes:
            there = store.head(target.key)
            assert there is not None
            return there, False


async def _admit(
    connection: AsyncConnection, store: LocalStore, target: Target, size: int, sha256: str, quota: int
) -> None:
    """Account for an object that is about to appear; the locks last until it has."""
    await connection.execute(text("select pg_advisory_xact_lock(hashtextextended(:key, 1))"), {"key": target.key})
    await connection.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:organisation, 2))"), {"organisation": target.organisation}
    )
    there = store.head(target.key)
    same = there is not None and there.sha256 == sha256
    if there is not None and not same and await refers_to(connection, target.collection, href_of(target.key)):
        raise Problem(
            409,
            "in-use",
            "A stored item refers to this object, and these are other bytes: "
            "delete the item first, or use another name.",
        )
    if not same and not await fits(connection, store, target, size, quota):
        raise quota_exceeded(quota)
    # Also for bytes that are there: a writer killed between object and row is made good.
    await connection.execute(
        text("""insert into upload (key, collection, item, asset, organisation, person, size, sha256, media_type)
                values (:key, :collection, :item, :asset, cast(:organisation as uuid), :person, :size, :sha256, :type)
                on conflict (key) do update set organisation = excluded.organisation, person = excluded.person,
                    size = excluded.size, sha256 = excluded.sha256, at = now(),
                    media_type = coalesce(excluded.media_type, upload.media_type)"""),
        {
            "key": target.key,
            "collection": target.collection,
            "item": target.item,
            "asset": target.asset,
            "organisation": target.organisation,
            "person": target.person,
            "size": size,
            "sha256": sha256,
            "type": target.media_type,
        },
    )
    if same:
        raise _SameBytes


def sweep(store: LocalStore) -> None:
    """Delete what writers that were killed left behind; no live writer leaves its file untouched for an hour."""
    for pending in (store.root / "collections").glob("*/*/.pending-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - pending.stat().st_mtime > _STALE_SECONDS:
                pending.unlink()
