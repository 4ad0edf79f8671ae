"""A static catalogue: documents that lead to one another by relative links, over files or over the web."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

from bocage_client.adopting import web
from bocage_client.errors import BocageError, InputError, JsonObject
from bocage_client.http import origin
from bocage_client.sources import LARGEST_DOCUMENT, Found, Web, json_object, parsed, unreadable

_DEEPEST = 50
_MOST_DOCUMENTS = 2_000_000
_AT_ONCE = 8


class Tree(ABC):
    """Walks from a catalogue to all that it leads to, each document once: each collection before its items."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    @abstractmethod
    def resolve(self, href: str, place: str) -> str | None:
        """The place that a link leads to; None for one that is not followed."""

    @abstractmethod
    def content(self, place: str) -> bytes:
        """Raises BocageError, OSError."""

    def walk(self, root: JsonObject, place: str) -> Iterator[Found]:
        self._seen.add(place)
        waiting: list[tuple[Found, int]] = [(Found(place, place, root), 0)]
        while waiting:
            found, depth = waiting.pop()
            document = json_object(found)
            if document is None or document.get("type") not in ("Catalog", "Collection"):
                reason = found.problem or "it is neither a catalogue nor a collection"
                yield Found(found.where, found.place, problem=reason)
                continue
            holder = found.holder
            if document["type"] == "Collection":
                yield found
                holder = str(document.get("id"))
            yield from self._all(self._targets(document, "item", found.place), holder)
            children = self._targets(document, "child", found.place)
            if children and depth >= _DEEPEST:
                raise InputError("too-deep", f"{found.place} lies more than {_DEEPEST} catalogues deep.")
            waiting += [(one, depth + 1) for one in reversed(list(self._all(children, holder)))]

    def _targets(self, document: JsonObject, rel: str, place: str) -> list[str]:
        """Where links of a kind lead that was not visited before."""
        made = []
        links = document.get("links")
        for link in links if isinstance(links, list) else ():
            if isinstance(link, dict) and link.get("rel") == rel and isinstance(link.get("href"), str):
                target = self.resolve(link["href"], place)
                if target is not None and target not in self._seen:
                    self._seen.add(target)
                    made.append(target)
        if len(self._seen) > _MOST_DOCUMENTS:
            raise InputError("too-many-documents", f"The catalogue has more than {_MOST_DOCUMENTS} documents.")
        return made

    def _all(self, places: Sequence[str], holder: str | None) -> Iterator[Found]:
        for place in places:
            yield self._one(place, holder)

    def _one(self, place: str, holder: str | None) -> Found:
        try:
            return parsed(self.content(place), place, place, holder)
        except (BocageError, OSError) as error:
            return Found(place, place, problem=unreadable(error), holder=holder)


class Files(Tree):
    """On this machine. Links to the web are not followed: the user named none."""

    def resolve(self, href: str, place: str) -> str | None:
        if web(href):
            return None
        path = unquote(urldefrag(href.removeprefix("file://"))[0])
        return os.path.normpath(Path(place).parent / path)

    def content(self, place: str) -> bytes:
        with Path(place).open("rb") as file:
            found = file.read(LARGEST_DOCUMENT + 1)
        if len(found) > LARGEST_DOCUMENT:
            raise InputError("too-large", f"{place} is larger than {LARGEST_DOCUMENT >> 20} MiB.")
        return found


class Pages(Tree):
    """On the web, on the host that the user named, several documents at once."""

    def __init__(self, fetch: Web, root: str) -> None:
        super().__init__()
        self._fetch, self._origin = fetch, origin(root)

    def resolve(self, href: str, place: str) -> str | None:
        target = urldefrag(urljoin(place, href))[0]
        return target if web(target) and origin(target) == self._origin else None

    def content(self, place: str) -> bytes:
        return self._fetch.content(place)

    def _all(self, places: Sequence[str], holder: str | None) -> Iterator[Found]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for first in range(0, len(places), 4 * _AT_ONCE):
                yield from pool.map(lambda place: self._one(place, holder), places[first : first + 4 * _AT_ONCE])
