"""Links from a collection to the legends of its styles, which `tiles` draws from the same `renders`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bocage_kit.language import TRANSLATIONS_FIELD
from bocage_kit.urls import public_url

from bocage_catalogue.language import say

Document = dict[str, Any]

RELATION = "legend"
MOST = 50
DEFAULT = "bocage:default"
_LONGEST = 128
_FOLDER = "/tiles/collections/"


def of(base: str, collection: Mapping[str, Any], tongue: str) -> list[Document]:
    """A link for each style, named in its `render`. `collection` is as it is stored, and may hold anything."""
    styles = collection.get("renders")
    if not isinstance(styles, dict):
        return []
    holder = str(collection["id"])
    return [
        {
            "rel": RELATION,
            "href": public_url(base, "tiles", "collections", holder, "legends", f"{name}.png"),
            "type": "image/png",
            "title": f"{say('Legend:', tongue)} {_title(name, style, tongue)}",
            "render": name,
        }
        for name, style in sorted(styles.items(), key=_order)[:MOST]
        if isinstance(style, dict) and name and len(name) <= _LONGEST and "/" not in name
    ]


def _order(named: tuple[str, Any]) -> tuple[bool, str]:
    # The default style first. What was written has an order of its own, which the database does not keep.
    name, style = named
    return not (isinstance(style, dict) and style.get(DEFAULT) is True), name


def is_made(rel: str, path: str) -> bool:
    """Whether a link of a written object, its href of our own as a path, is one of these."""
    return rel == RELATION and path.startswith(_FOLDER) and "/legends/" in path


def _title(name: str, style: Mapping[str, Any], tongue: str) -> str:
    translations = style.get(TRANSLATIONS_FIELD)
    told = translations.get(tongue) if isinstance(translations, dict) else None
    for holder in (told, style):
        title = holder.get("title") if isinstance(holder, dict) else None
        if isinstance(title, str) and title:
            return title
    return name
