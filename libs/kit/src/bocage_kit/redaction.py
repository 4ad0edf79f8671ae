"""Credentials that stray into a text, such as a whole key sent where its id belongs, lose their secret half."""

from __future__ import annotations

import re

_CREDENTIAL = re.compile(r"\b(b[a-z][0-9a-f]{16})\.[A-Za-z0-9_-]{20,}")


def redacted(text: str) -> str:
    """`text` with each `<id>.<secret>` as `<id>.…`."""
    return _CREDENTIAL.sub(r"\1.…", text)
