"""Texts of items as the database keeps them: packed (Zstandard, RFC 8878) beyond a dictionary, the text of another.

A packed text is a zero byte, the digest of its dictionary and a frame; JSON never begins with a zero byte. A dictionary
has a name made of its content, so that no name ever comes to mean another one. In the frame stand the marks of the text
(`layout.py`), the hrefs that it does not tell, and what lies between the marks, after a zero byte each: nothing need be
looked for to fill it in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import zstandard

# Longer texts stay plain: a batch of rows whose length is not known must not take the memory.
LONGEST = 32 * 1024
_ZERO, _DIGEST_BYTES = b"\0", 8
_MARKS = re.compile(rb"([\1-\7])")
_APART = bytes.maketrans(bytes(range(1, 8)), _ZERO * 7)
_HEAD = len(_ZERO) + _DIGEST_BYTES
_LEVEL = 3
# What takes more than a quarter of its length finds little of itself in the dictionary.
_WELL = 4
# So many dictionaries has a collection at most, and so many are remembered.
_MOST, _REMEMBERED = 8, 1000

_TEXTS = "select digest, text from catalogue.dictionary where digest = any($1::bytea[])"
_OF_COLLECTIONS = """
select collection, text from catalogue.dictionary where collection = any($1::text[]) order by collection, made, digest
"""
_MADE = """
insert into catalogue.dictionary (digest, collection, text)
select * from unnest($1::bytea[], $2::text[], $3::bytea[]) on conflict do nothing
"""


class Asked(Protocol):
    async def fetch(self, query: str, *arguments: Any) -> list[Any]: ...


class Held(Asked, Protocol):
    async def execute(self, query: str, *arguments: Any) -> str: ...


Readers = Mapping[bytes, zstandard.ZstdDecompressor]
"""What reads packed texts, by what these begin with."""
NONE: Readers = {}


def reader(dictionary: bytes) -> zstandard.ZstdDecompressor:
    """What reads texts that were packed by a dictionary."""
    return zstandard.ZstdDecompressor(dict_data=_dictionary(dictionary))


def pieces(body: bytes, readers: Readers) -> tuple[bytes, bytes, list[bytes]]:
    """The marks of the text that was kept as `body`, its hrefs if it was packed, and what stands before, between and
    after the marks.
    """
    if body[0]:
        parts = _MARKS.split(body)
        return b"".join(parts[1::2]), b"", parts[::2]
    marks, hrefs, *found = readers[body[:_HEAD]].decompress(memoryview(body)[_HEAD:]).split(_ZERO)
    return marks, hrefs, found


def plain(body: bytes, readers: Readers) -> bytes:
    """The text that was kept as `body`."""
    marks, _, found = pieces(body, readers)
    return b"".join(piece + marks[n : n + 1] for n, piece in enumerate(found))


def is_readable(body: bytes, readers: Readers) -> bool:
    """Whether its dictionary is there: it goes with the collection."""
    return body[0] != 0 or body[:_HEAD] in readers


def length(body: bytes) -> int:
    """How long the text is that was kept as `body`."""
    return len(body) if body[0] else int(zstandard.frame_content_size(body[_HEAD:]))


class Dictionaries:
    """Those that were met, remembered."""

    def __init__(self) -> None:
        self._known: dict[bytes, zstandard.ZstdDecompressor] = {}

    async def of(self, connection: Asked, bodies: Iterable[bytes]) -> tuple[Readers, bool]:
        """What reads `bodies`, for as long as the caller holds it; and whether it reads all of them."""
        met = {head for head in {body[:_HEAD] for body in bodies} if not head[0]}
        missing = met - self._known.keys()
        if not missing:
            return self._known, True
        if len(self._known) + len(missing) > _REMEMBERED:
            # Anew: others hold the former.
            self._known, missing = {}, met
        readers = self._known
        for row in await connection.fetch(_TEXTS, [head[1:] for head in missing]):
            readers[_ZERO + row["digest"]] = reader(row["text"])
        return readers, met <= readers.keys()


class Packer:
    """Packs texts of one collection, by the dictionary that fits, or a new one made of them."""

    def __init__(self, collection: str, dictionaries: Sequence[bytes]) -> None:
        self.made: list[bytes] = []
        """New dictionaries, to be kept with what was packed by them."""
        self._collection = collection
        self._writers = [_Writer(collection, text) for text in dictionaries]

    def packed(self, text: bytes, hrefs: str | None = None) -> bytes:
        """The text packed together with its hrefs, or as it is where nothing is won."""
        if len(text) > LONGEST or _ZERO in text:
            return text
        apart = _ZERO.join((b"".join(_MARKS.findall(text)), (hrefs or "").encode(), text.translate(_APART)))
        best = min((writer.packed(apart) for writer in self._writers), key=len, default=apart)
        if len(best) * _WELL > len(text) and len(self._writers) < _MOST:
            self.made.append(apart)
            self._writers.append(_Writer(self._collection, apart))
            best = self._writers[-1].packed(apart)
        return best if len(best) < len(text) else text


class _Writer:
    def __init__(self, collection: str, text: bytes) -> None:
        self._head = _ZERO + digest(collection, text)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, dict_data=_dictionary(text), write_content_size=True)

    def packed(self, text: bytes) -> bytes:
        return self._head + self._compressor.compress(text)


def digest(collection: str, text: bytes) -> bytes:
    return blake2b(collection.encode() + _ZERO + text, digest_size=_DIGEST_BYTES).digest()


def _dictionary(text: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(text, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def is_packed(body: bytes) -> bool:
    return not body[0]


async def packed(connection: Held, sheets: Sequence[tuple[str, bytes, str | None]]) -> list[bytes]:
    """Texts and hrefs of collections' items as they are to be kept, in the transaction of `connection`."""
    known: dict[str, list[bytes]] = {collection: [] for collection, *_ in sheets}
    for row in await connection.fetch(_OF_COLLECTIONS, list(known)):
        known[row["collection"]].append(row["text"])
    packers = {collection: Packer(collection, dictionaries) for collection, dictionaries in known.items()}
    found = [packers[collection].packed(text, hrefs) for collection, text, hrefs in sheets]
    made = [
        (digest(collection, text), collection, text) for collection, packer in packers.items() for text in packer.made
    ]
    if made:
        await connection.execute(_MADE, *map(list, zip(*made, strict=True)))
    return found
