"""Collections as text: laid out once for all callers of whom the same is decided, by `present`, whose word holds."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson
from bocage_kit.audience import AUDIENCE_FIELD
from bocage_kit.identity import Identity
from bocage_kit.licences import licences_of

from bocage_catalogue import present

# Where the text has the public base. A stored text that has it too is laid out each time.
_BASE, _WRITTEN = "\x01", b"\\u0001"
# So many, of so many bytes at most.
_REMEMBERED, _LONGEST = 1000, 32_768
_Stated = tuple[tuple[str, ...], str | None]


class _Stored:
    """A text as it is stored, and what it says of itself. One and the same object for equal texts."""

    __slots__ = ("body", "stated")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.stated = _stated(body)


_stored = lru_cache(_REMEMBERED)(_Stored)


def texts(bodies: Iterable[bytes], identity: Identity, tongue: str) -> list[bytes]:
    """Collections that are stored as `bodies`, as `identity` sees them, as JSON with its members in order."""
    base = orjson.dumps(identity.public_base.rstrip("/"))[1:-1]
    decided: dict[_Stated, tuple[bool, bool | None]] = {}
    made: list[bytes] = []
    for body in bodies:
        stored = _stored(body) if len(body) <= _LONGEST else None
        if stored is None or (stated := stored.stated) is None:
            made.append(_sorted(present.collection(orjson.loads(body), identity, tongue)))
            continue
        found = decided.get(stated)
        if found is None:
            licences, audience = stated
            found = decided[stated] = (
                present.is_gated(identity, licences, audience),
                present.terms_accepted(identity, licences),
            )
        made.append(base.join(_parts(stored, tongue, *found)))
    return made


def _sorted(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def _stated(body: bytes) -> _Stated | None:
    """Its licences and its audience; None of what is laid out each time."""
    if _WRITTEN in body or _BASE.encode() in body:
        return None
    stored = orjson.loads(body)
    audience = stored.get(AUDIENCE_FIELD)
    return (licences_of(stored), audience) if audience is None or isinstance(audience, str) else None


@lru_cache(_REMEMBERED)
def _parts(stored: _Stored, tongue: str, gated: bool, accepted: bool | None) -> tuple[bytes, ...]:
    """The text around the public base."""
    shown = present.collection_for(orjson.loads(stored.body), _BASE, tongue, gated=gated, accepted=accepted)
    return tuple(_sorted(shown).split(_WRITTEN))
