"""Signs links for a caller: what may be signed, for how long, and by whose seal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from bocage_kit.identity import Identity, LinkScope
from bocage_kit.licences import item_licences, licences_of
from bocage_kit.problems import Problem, not_found
from bocage_kit.urls import asset_of, asset_url
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights.catalogue import Found, find
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
from bocage_rights.object_stores import bucket_of
from bocage_rights.registry import Entry, entries_for
from bocage_rights.signing import RESTRICTED_SECONDS, Link, lifetime, query_of, restricted
from bocage_rights.state import RightsState


@dataclass(frozen=True)
class Signed:
    """Links by the addresses that were asked for; `expires` is when the first of them ends."""

    hrefs: Mapping[str, str] = field(repr=False)
    expires: int
    charged: int = 0
    """Bytes of what was signed straight to a bucket, whose reading nobody here sees."""

    @property
    def expiry(self) -> str:
        return written(self.expires)


def written(moment: int) -> str:
    """A time as the clients of signed links read it."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class Signer:
    """For one request of one caller."""

    connection: AsyncConnection
    caller: Identity
    state: RightsState
    duration: int | None = None
    job: str | None = None
    _seen: dict[tuple[str, str], Found] = field(default_factory=dict)

    async def reading(self, urls: Sequence[str]) -> Signed:
        """Links for reading every one of `urls`, or a Problem that says which of them can't be had and why."""
        known = await entries_for(self.connection, self.caller)
        now = int(time.time())
        hrefs: dict[str, str] = {}
        charged = 0
        first = now + lifetime(False, None, job=True)
        for url in dict.fromkeys(urls):
            with _naming(url):
                wanted = await self._wanted(url)
                await permit(self.connection, self.state, self.caller, wanted)
                straight = self._place(url)[1] is not None
                seconds = self._seconds(known, wanted.licences, straight)
                if not straight:
                    hrefs[url] = self._own(wanted.collection, wanted.item, wanted.asset, now, seconds)
                else:
                    assert wanted.key is not None
                    link = await bucket_of(self.state.object_stores, wanted.bucket).reading(wanted.key, seconds)
                    if link is None:
                        raise missing(wanted.collection, wanted.item, wanted.asset)
                    hrefs[url] = link.href
                    charged += link.size
                    # Whoever reads from a bucket is not seen here: what was signed counts as taken.
                    self.state.takings.add(self.caller, "sign", wanted.name, wanted.licences, link.size)
                first = min(first, now + seconds)
        return Signed(hrefs, first, charged)

    async def writing(self, urls: Sequence[str]) -> Signed:
        """Links for one upload to each of `urls`, for those who may write their collections."""
        now, hrefs = int(time.time()), dict[str, str]()
        known = await entries_for(self.connection, self.caller)
        first = now + lifetime(False, None)
        for url in dict.fromkeys(urls):
            with _naming(url):
                name, store = self._place(url)
                if isinstance(name, str):
                    name = _uploaded_name(name)
                found = writable(await find(self.connection, name[0], name[1]), self.caller, name[0], name[1])
                key = checked_upload_key(*name)
                own_store = found.collection.get(STORE_FIELD)
                if store is not None and store != own_store:
                    raise Problem(403, "other-store", "The collection's files do not lie in this store.")
                seconds = self._seconds(known, _licences_of_new(found))
                if own_store is None:
                    hrefs[url] = self._own(*name, now, seconds, upload=True)
                else:
                    bucket = bucket_of(self.state.object_stores, own_store)
                    if found.asset(name[2]) is not None and await bucket.size(key) is not None:
                        raise _in_use()
                    # Its server asks nobody, whatever item has come to name the object: for an upload that begins now.
                    seconds = min(seconds, RESTRICTED_SECONDS)
                    hrefs[url] = await bucket.writing(key, seconds)
                first = min(first, now + seconds)
        return Signed(hrefs, first)

    async def collection(self, name: str) -> tuple[str, int]:
        """A query for every asset of a collection, and when it ends. What each asset asks for is checked when read."""
        found = await self._found(name, "", not_found(f"The collection {name}"))
        known = await entries_for(self.connection, self.caller)
        now = int(time.time())
        expires = now + self._seconds(known, _licences_of_new(found))
        scope = LinkScope(collection=name, signed=now, expires=expires)
        return query_of(Link(scope, self._credential), self.state.keyring.links), expires

    async def count(self, kind: str, links: int) -> None:
        """One more call, in the statistics of the day."""
        await self.connection.execute(
            text("""insert into signing_count (api_key, kind, calls, links) values (:key, :kind, 1, :links)
                    on conflict (day, api_key, kind) do update
                       set calls = signing_count.calls + 1, links = signing_count.links + excluded.links"""),
            {"key": self._credential, "kind": kind, "links": links},
        )

    @property
    def _credential(self) -> str:
        assert self.caller.credential is not None
        return self.caller.credential

    def _own(self, collection: str, item: str, asset: str, now: int, seconds: int, *, upload: bool = False) -> str:
        scope = LinkScope(
            collection=collection,
            item=item,
            asset=asset,
            upload=upload,
            job=self.job,
            signed=now,
            expires=now + seconds,
        )
        query = query_of(Link(scope, self._credential), self.state.keyring.links)
        return f"{asset_url(self.caller.public_base, collection, item, asset)}?{query}"

    def _seconds(self, known: Mapping[str, Entry], licences: Sequence[str], straight: bool = False) -> int:
        """`straight`: a link of a bucket's own can't be ended with the job, so that it has no job's length."""
        return lifetime(restricted(known, licences), self.duration, self.job is not None and not straight)

    def _place(self, url: str) -> tuple[tuple[str, str, str] | str, str | None]:
        """What an address names: an asset by its link, or a key and the store that it lies in. Raises a 400.

        An address that was signed before is taken for what it was: clients sign again what has expired.
        """
        try:
            plain = urlsplit(url)._replace(query="").geturl()
            if (name := asset_of(plain, [self.caller.public_base])) is not None and urlsplit(url).netloc:
                return name, None
            for store, bucket in self.state.object_stores.items():
                if (key := bucket.key_of_url(url)) is not None:
                    return key, store
        except ValueError:
            pass
        raise Problem(
            400, "foreign-url", "The address is no asset of this platform; only those are signed. Use it as it is."
        )

    async def _found(self, collection: str, item: str, absent: Problem) -> Found:
        """Raises `absent`, which says the same of what is hidden and of what is not there."""
        if (collection, item) not in self._seen:
            found = await seen(self.connection, self.caller, collection, item)
            if found is None:
                raise absent
            self._seen[collection, item] = found
        return self._seen[collection, item]

    async def _wanted(self, url: str) -> Located:
        name, store = self._place(url)
        if isinstance(name, str):
            return await self._by_key(name, str(store))
        found = await self._found(name[0], name[1], missing(*name))
        wanted = await located(self.connection, found, *name)
        if wanted is None or wanted.key is None:
            raise missing(*name)
        return wanted

    async def _by_key(self, key: str, store: str) -> Located:
        """The asset whose file an object of a bucket is: collections/<c>/<item>/… or results/<c>/<item>/…"""
        parts = key.split("/")
        absent = not_found("An asset with this file")
        if len(parts) < 4 or parts[0] not in ("collections", "results"):
            raise absent
        found = await self._found(parts[1], parts[2], absent)
        for asset in (found.item or {}).get("assets") or {}:
            wanted = await located(self.connection, found, parts[1], parts[2], asset)
            if wanted is not None and (wanted.bucket, wanted.key) == (store, key):
                return wanted
        raise absent


@contextlib.contextmanager
def _naming(url: str) -> Iterator[None]:
    """Adds to a refusal the address that it is about.

    The published client reads refusals as Python literals, which know neither true, nor false, nor null.
    """
    try:
        yield
    except Problem as problem:
        problem.members = {**_literal(problem.members), "url": url.partition("?")[0]}
        raise


def _literal(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _literal(inner) for name, inner in value.items() if not isinstance(inner, bool | None)}
    return [_literal(inner) for inner in value] if isinstance(value, list) else value


def _in_use() -> Problem:
    return Problem(
        409, "in-use", "A stored item refers to this object: delete the item first, or upload under another name."
    )


def _uploaded_name(key: str) -> tuple[str, str, str]:
    parts = key.split("/")
    if len(parts) != 4 or parts[0] != "collections":
        raise Problem(403, "other-prefix", "Files are uploaded as collections/{collection}/{item}/{asset}.")
    return parts[1], parts[2], parts[3]


def _licences_of_new(found: Found) -> tuple[str, ...]:
    return item_licences(found.collection, found.item) if found.item else licences_of(found.collection)
