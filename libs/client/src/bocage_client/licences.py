"""Licences as texts: reading one, and accepting what was read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bocage_client.errors import BocageError, Exit, JsonObject
from bocage_client.http import Transport


@dataclass(frozen=True)
class Terms:
    """The version in force, and where the caller stands with it."""

    licence: str
    version: str
    text_url: str
    sha256: str
    needs: str
    """`none`, `user` or `organisation`: who must accept."""
    acceptable: bool
    """Whether the caller's acceptance is what is missing."""


def read(transport: Transport, licence: str, language: str = "en") -> Terms:
    """Raises Refused when there is no such licence."""
    found: dict[str, Any] = transport.get(f"/rights/licences/{quote(licence, safe='')}")
    yours = found.get("yours") or {}
    required = yours.get("required") or {}
    return Terms(
        licence=str(found["id"]),
        version=str(found["version"]),
        text_url=_in(found.get("text"), language),
        sha256=_in(found.get("text_sha256"), language),
        needs=str(found.get("needs_acceptance", "none")),
        acceptable=bool(required.get("acceptance_mends", required.get("accept_url"))),
    )


def text(transport: Transport, terms: Terms) -> str:
    """The text that an acceptance names by its checksum."""
    content = transport.send("GET", terms.text_url).content
    if hashlib.sha256(content).hexdigest() != terms.sha256:
        raise BocageError(
            Exit.PLATFORM, "other-text", f"The text of {terms.licence} is not the one in force. Try again."
        )
    return content.decode()


def accept(transport: Transport, terms: Terms, for_organisation: bool = False) -> JsonObject:
    body: JsonObject = {
        "version": terms.version,
        "text_sha256": terms.sha256,
        "on_behalf": "organisation" if for_organisation else "user",
    }
    path = f"/rights/licences/{quote(terms.licence, safe='')}/acceptance"
    return dict(transport.post(path, body, repeatable=True))


def _in(texts: Any, language: str) -> str:
    if isinstance(texts, Mapping):
        return str(texts.get(language) or next(iter(texts.values()), ""))
    return str(texts or "")
