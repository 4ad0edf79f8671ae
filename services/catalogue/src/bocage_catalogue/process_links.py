"""Links from items to the processes that can run on them: a collection names these in `bocage:processes`.

Each item that is shown of such a collection leads to the description of a process, and has beside it what is posted to
run it on that very item, so that one request does. Of a stereo acquisition the request holds the partners too, which
an item names by links of the stereo-imagery extension: `related`, with the image's number in the acquisition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from bocage_kit.problems import Problem
from bocage_kit.urls import public_url

from bocage_catalogue.language import say

Document = dict[str, Any]

FIELD = "bocage:processes"
RELATION = "process"
NUMBER_FIELD = "stereo-img:number"
MOST = 20
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ITEM = re.compile(r"/stac/collections/([^/?#]+)/items/([^/?#]+)/?")
_FOLDER = "/processing/processes/"


def _names(collection: Mapping[str, Any]) -> list[str]:
    """The processes that a collection names; whoever wrote it may have written anything."""
    named = collection.get(FIELD)
    found = [one for one in named if isinstance(one, str) and _ID.fullmatch(one)] if isinstance(named, list) else []
    return list(dict.fromkeys(found))[:MOST]


def check(collection: Mapping[str, Any]) -> None:
    """Raises Problem 400 unless what a written collection names can be processes."""
    named = collection.get(FIELD, [])
    if not isinstance(named, list) or len(named) > MOST or len(_names(collection)) != len(named):
        raise Problem(
            400, "invalid-object",
            f"{FIELD} must be a list of at most {MOST} different ids, of those that /processing/processes lists.",
        )  # fmt: skip


def named_processes(collection: Mapping[str, Any]) -> Document:
    """The member, for what is kept of a collection beside its licences."""
    return {FIELD: collection[FIELD]} if collection.get(FIELD) is not None else {}


def are_made(collection: Mapping[str, Any]) -> bool:
    """Whether items of it have links of ours."""
    return FIELD in collection


def without_made(links: Iterable[Document], collection: Mapping[str, Any]) -> list[Document]:
    """The links of a written item, hrefs of our own as paths, without those that reading it added."""
    if not are_made(collection):
        return list(links)
    made = tuple(_FOLDER + name for name in _names(collection))
    return [one for one in links if not (one["rel"] == RELATION and _process_of(one["href"]) in made)]


def _process_of(path: str) -> str:
    return path.removesuffix("/execution") if path.startswith(_FOLDER) else ""


def of(base: str, item: Mapping[str, Any], collection: Mapping[str, Any], tongue: str) -> list[Document]:
    """The links to processes that an item is shown with: each process, and then how it is run."""
    made: list[Document] = []
    for name in _names(collection):
        described = public_url(base, "processing", "processes", name)
        title = say("The process", tongue)
        link = {"rel": RELATION, "href": described, "type": "application/json", "title": f"{title} {name}"}
        made.append(link)
        if (fill := _INPUTS.get(name)) is not None:
            made.append(
                {
                    **link,
                    "href": public_url(base, "processing", "processes", name, "execution"),
                    "title": f"{say('Run on this item:', tongue)} {name}",
                    "method": "POST",
                    "body": {"inputs": fill(base, item)},
                }
            )
    return made


def _reference(item: Mapping[str, Any]) -> str:
    return f"{item['collection']}/{item['id']}"


def _number(holder: Any) -> int:
    """An image's place in its acquisition; 0 where it has none."""
    number = holder.get(NUMBER_FIELD) if isinstance(holder, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else 0


def _images(base: str, item: Mapping[str, Any]) -> Document:
    """The item and its partners, in the order of the acquisition."""
    numbered = {_reference(item): _number(item.get("properties"))}
    links = item.get("links")
    for link in links if isinstance(links, list) else ():
        number = _number(link)
        if not number or link.get("rel") != "related":
            continue
        path = str(link.get("href", "")).removeprefix(base.rstrip("/"))
        if found := _ITEM.fullmatch(path):
            numbered.setdefault(f"{unquote(found[1])}/{unquote(found[2])}", number)
    return {"images": sorted(numbered, key=lambda one: numbered[one])[:MOST]}


def _item(_base: str, item: Mapping[str, Any]) -> Document:
    return {"item": _reference(item)}


# What a process takes of an item; others are linked, and not filled in.
_INPUTS: Mapping[str, Callable[[str, Mapping[str, Any]], Document]] = {"dsm": _images, "hillshade": _item}
