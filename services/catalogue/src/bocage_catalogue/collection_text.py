"""Collections as text: laid out once for all callers of whom the same is decided, by `present`, whose word holds."""

from __future__ import annotations

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


def text(body: bytes, identity: Identity, tongue: str) -> bytes:
    """A collection that is stored as `body`, as `identity` sees it, as JSON with its members in order."""
    if len(body) > _LONGEST:
        return _sorted(present.collection(orjson.loads(body), identity, tongue))
    licences, audience = _stated(body)
    gated, accepted = present.is_gated(identity, licences, audience), present.terms_accepted(identity, licences)
    parts = _parts(body, tongue, gated, accepted)
    if parts is None:
        return _sorted(present.collection(orjson.loads(body), identity, tongue))
    return orjson.dumps(identity.public_base.rstrip("/"))[1:-1].join(parts)


def _sorted(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


@lru_cache(_REMEMBERED)
def _stated(body: bytes) -> tuple[tuple[str, ...], Any]:
    """Its licences and its audience."""
    stored = orjson.loads(body)
    return licences_of(stored), stored.get(AUDIENCE_FIELD)


@lru_cache(_REMEMBERED)
def _parts(body: bytes, tongue: str, gated: bool, accepted: bool | None) -> tuple[bytes, ...] | None:
    """The text around the public base; None where it can't be told apart from what is stored."""
    if _WRITTEN in body or _BASE.encode() in body:
        return None
    shown = present.collection_for(orjson.loads(body), _BASE, tongue, gated=gated, accepted=accepted)
    return tuple(_sorted(shown).split(_WRITTEN))
