"""What is wrong with a stored object, from what is known of it and what its bytes are. Pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bocage_kit.store import in_bucket, key_of_href

Outcome = Literal["ok", "no-checksum", "changed", "missing", "unreadable", "orphaned"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "no-checksum", "changed", "missing", "unreadable", "orphaned")
WELL = frozenset(("ok", "no-checksum"))
LOCAL = ""
"""In the place of the name of a bucket: the local store."""

# Multihash: the code of the function and the length of its digest, as `file:checksum` has them before the digest.
_FUNCTIONS = {
    "1114": ("sha1", 40),
    "1220": ("sha256", 64),
    "1340": ("sha512", 128),
    "1440": ("sha3_512", 128),
    "1620": ("sha3_256", 64),
    "d50110": ("md5", 32),
}


@dataclass(frozen=True)
class Named:
    """An object that an item names as one of its assets."""

    collection: str
    item: str
    asset: str
    store: str
    key: str
    checksum: str | None
    size: int | None

    @property
    def place(self) -> tuple[str, str]:
        return self.store, self.key


@dataclass(frozen=True)
class Reading:
    """What was found in the store. `digests` is empty when it could not be read, `there` False when it is not there."""

    there: bool
    size: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    kept: str | None = None
    """The SHA-256 that the store keeps beside it."""
    why: str | None = None

    @property
    def sha256(self) -> str | None:
        return self.digests.get("sha256")


@dataclass(frozen=True)
class Finding:
    """What came of one object."""

    outcome: Outcome
    reason: str | None = None


def multihash(text: Any) -> tuple[str, str] | None:
    """(function, digest) of a `file:checksum`; None for one that is not understood."""
    if not isinstance(text, str):
        return None
    plain = text.lower()
    for prefix, (function, length) in _FUNCTIONS.items():
        digest = plain.removeprefix(prefix)
        if digest is not plain and len(digest) == length and not set(digest) - set("0123456789abcdef"):
            return function, digest
    return None


def named_objects(collection: str, item: str, document: Mapping[str, Any]) -> list[Named]:
    """The stored objects that an item names."""
    assets = document.get("assets")
    made = []
    for name, asset in assets.items() if isinstance(assets, Mapping) else ():
        if not isinstance(asset, Mapping):
            continue
        href = str(asset.get("href", ""))
        store, key = in_bucket(href) or (LOCAL, key_of_href(href))
        if key is not None:
            checksum, size = asset.get("file:checksum"), asset.get("file:size")
            made.append(
                Named(
                    collection,
                    item,
                    str(name),
                    store,
                    key,
                    checksum if isinstance(checksum, str) else None,
                    size if isinstance(size, int) and not isinstance(size, bool) else None,
                )
            )
    return made


def functions_for(named: Named) -> set[str]:
    """Which digests of an object are needed."""
    told = multihash(named.checksum)
    return {"sha256", *([told[0]] if told is not None else [])}


def judged(named: Named, reading: Reading, uploaded: str | None, before: str | None) -> Finding:
    """What is wrong with an object.

    `uploaded` is the SHA-256 that was counted when it came; `before` the one that was read last, which holds when
    nothing else does.
    """
    if not reading.there:
        return Finding("missing", "the store has no such object")
    if reading.sha256 is None:
        return Finding("unreadable", reading.why or "the store could not read it to its end")
    if named.size is not None and reading.size != named.size:
        return Finding("changed", f"it has {reading.size} bytes, and file:size says {named.size}")
    told = multihash(named.checksum)
    known = [
        ("file:checksum", reading.digests.get(told[0]), told[1]) if told is not None else None,
        ("the checksum beside it", reading.sha256, reading.kept) if reading.kept is not None else None,
        ("the checksum of its upload", reading.sha256, uploaded) if uploaded is not None else None,
    ]
    compared = [one for one in known if one is not None]
    if not compared and before is not None and before != reading.sha256:
        return Finding("changed", "its bytes are others than when they were read last")
    for whose, found, wanted in compared:
        if found != wanted:
            return Finding("changed", f"its bytes are not those of {whose}")
    return Finding("ok") if compared else Finding("no-checksum", "nothing tells what its bytes should be")
