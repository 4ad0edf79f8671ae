"""Licences as texts: reading one, and accepting what was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bocage_client.errors import JsonObject
from bocage_client.http import Transport


@dataclass(frozen=True)
class Terms:
    """The version in force; an acceptance names the checksum of the text that was shown."""

    licence: str
    version: str
    text: str
    sha256: str


def read(transport: Transport, licence: str, language: str = "en") -> Terms:
    found: dict[str, Any] = transport.get(f"/rights/licences/{quote(licence, safe='')}")
    return Terms(
        licence=str(found.get("licence") or found.get("id") or licence),
        version=str(found["version"]),
        text=_in(found.get("text"), language),
        sha256=_in(found.get("sha256") or found.get("text_sha256"), language),
    )


def accept(transport: Transport, terms: Terms, for_organisation: bool = False) -> JsonObject:
    body: JsonObject = {
        "version": terms.version,
        "text_sha256": terms.sha256,
        "on_behalf": "organisation" if for_organisation else "user",
    }
    path = f"/rights/licences/{quote(terms.licence, safe='')}/acceptance"
    answer = transport.post(path, body, repeatable=True)
    return dict(answer) if isinstance(answer, dict) else {"licence": terms.licence, "version": terms.version}


def _in(texts: Any, language: str) -> str:
    if isinstance(texts, dict):
        return str(texts.get(language) or next(iter(texts.values()), ""))
    return str(texts or "")
