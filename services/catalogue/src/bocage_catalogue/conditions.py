"""A search among items, and its conditions and the caller's audience as SQL over `catalogue.finished_item f`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from bocage_kit.audience import names_of, sees_everything
from bocage_kit.identity import Identity

from bocage_catalogue import areas, cql2_nodes, cql2_sql
from bocage_catalogue.areas import Box
from bocage_catalogue.kinds import NUMBER, Known, plain
from bocage_catalogue.sql_arguments import Arguments

if TYPE_CHECKING:
    from bocage_catalogue.subjects import Subject

__all__ = [
    "SEEN",
    "Arguments",
    "Clause",
    "Part",
    "Search",
    "SortKey",
    "clauses",
    "eyes",
    "properties",
    "seeing",
    "visible",
    "where",
]

# `visible` for statements that are written once: $1 to $5 are what `seeing` gives.
SEEN = """($1::boolean or f.audience = 'public' or f.owner = $2::text
    or (f.audience = 'organisation' and f.organisation = $3::text)
    or (f.lent and catalogue.lent_to(f.collection, f.id, $4::text[]))) and f.collection <> all($5::text[])"""
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)


@dataclass(frozen=True)
class SortKey:
    """A property to sort by."""

    name: str
    descending: bool = False


@dataclass(frozen=True)
class Part:
    """A condition in CQL2 JSON, and where in the request it stands."""

    at: str
    node: Any


@dataclass(frozen=True)
class Search:
    """What is asked for; None and nothing are no condition, but an empty list of collections or ids finds nothing."""

    collections: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    bbox: Box | None = None
    intersects: dict[str, Any] | None = None
    period: tuple[datetime | None, datetime | None] | None = None
    conditions: tuple[Part, ...] = ()
    terms: tuple[str, ...] = ()
    sortby: tuple[SortKey, ...] = ()
    # What the collections are about, until `subjects.resolved` makes conditions on collections of it.
    about: tuple[Subject, ...] = ()
    # Collections about concepts that the terms name.
    named: tuple[str, ...] = ()
    # Geometries are related the slow way, which fails on none: after a statement failed on one.
    careful: bool = False
    # It named nothing before `subjects.resolved` made conditions on collections of what they are about.
    broad: bool = field(default=False, compare=False)
    # Without items that are out of date.
    current: bool = False
    # How long what is looked for lasts at most, as far as that is known.
    longest: timedelta | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Clause:
    """One condition of a search: the member of the request that it comes from, where it stands, and its SQL."""

    name: str
    at: str
    sql: str


def properties(search: Search) -> set[str]:
    """The plain names of all properties that a search asks for or sorts by."""
    found = {plain(key.name) for key in search.sortby}
    for part in search.conditions:
        found |= cql2_nodes.properties(part.node)
    return found


def _parts(at: str, node: Any) -> Iterator[Part]:
    """The conditions that `and` joins at the top."""
    inner = node.get("args") if isinstance(node, dict) and str(node.get("op")).lower() == "and" else None
    if isinstance(inner, list) and inner:
        for n, part in enumerate(inner):
            yield from _parts(f"{at}.args[{n}]", part)
    else:
        yield Part(at, node)


def clauses(search: Search, known: Known, arguments: Arguments, most: int | None = None) -> list[Clause]:
    """What an item must be, one by one, or the first of it. Raises Problem 400 for what makes no sense."""
    return list(islice(_clauses(search, known, arguments), most))


def _clauses(search: Search, known: Known, arguments: Arguments) -> Iterator[Clause]:
    arguments.careful = search.careful
    if search.collections is not None:
        if len(search.collections) == 1:
            # As an equality it lets the index of one collection give the order.
            yield Clause("collections", "collections", f"f.collection = {arguments.add(search.collections[0], 'text')}")
        else:
            yield Clause(
                "collections", "collections", f"f.collection = any({arguments.add(list(search.collections), 'text[]')})"
            )
    if search.ids is not None:
        yield Clause("ids", "ids", f"f.id = any({arguments.add(list(search.ids), 'text[]')})")
    if search.bbox is not None:
        yield Clause(
            "bbox",
            "bbox",
            " or ".join(
                arguments.meet("f.geometry", areas.box_sql(part, "bbox", arguments))
                for part in areas.boxes(search.bbox)
            ),
        )
    if search.intersects is not None:
        yield Clause("intersects", "intersects", _meets(search.intersects, "intersects", arguments))
    if search.period is not None:
        start, end = search.period
        sides = []
        if end is not None:
            sides.append(f"f.datetime <= {arguments.add(end, 'timestamptz')}")
        if start is not None:
            sides.append(f"f.end_datetime >= {arguments.add(start, 'timestamptz')}")
            with suppress(OverflowError):
                if search.longest is not None:
                    # It follows, and an index finds it.
                    sides.append(f"f.datetime >= {arguments.add(start - search.longest, 'timestamptz')}")
        yield Clause("datetime", "datetime", " and ".join(sides))
    if search.terms:
        asked = arguments.add(list(search.terms), "text[]")
        written = "f.content -> 'properties' ?| '{title,description,keywords}'"  # what the index covers
        sql = f"{written} and catalogue.words(f.content) @@ catalogue.asked_words({asked})"
        if search.named:
            sql = f"({sql}) or f.collection = any({arguments.add(list(search.named), 'text[]')})"
        yield Clause("q", "q", sql)
    if search.current:
        out_of_date = "select from catalogue.deprecated_item d where d.collection = f.collection and d.id = f.id"
        yield Clause("deprecated", "", f"not exists ({out_of_date})")
    compiler = cql2_sql.Compiler(known, arguments)
    for part in search.conditions:
        for one in _parts(part.at, part.node):
            name = part.at.split("[")[0].split(".")[0]
            node = _numbered(one.node, known) if name == "query" else one.node
            yield Clause(name, one.at, compiler.condition(node, one.at))


def _numbered(node: dict[str, Any], known: Known) -> dict[str, Any]:
    """A condition of the query extension; of what is a number and nothing else, numbers may be written as text."""
    subject, value = node["args"]
    if node["op"] == "like" or known.kinds.get(plain(subject["property"])) != frozenset((NUMBER,)):
        return node
    read = [_number(one) for one in value] if isinstance(value, list) else _number(value)
    return {**node, "args": [subject, read]}


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def _meets(geometry: dict[str, Any], at: str, arguments: Arguments) -> str:
    area = arguments.area(areas.geometry(geometry, at), at, plain=areas.is_plain(geometry))
    return arguments.meet("f.geometry", area)


def joined(found: Iterable[Clause]) -> str:
    """All of them; each stands in parentheses of its own, so that none can loosen another."""
    return " and ".join(f"({clause.sql})" for clause in found) or "true"


def where(search: Search, known: Known, arguments: Arguments) -> str:
    """The conditions of a search; not whether the caller sees what it finds. Raises Problem 400."""
    return joined(clauses(search, known, arguments))


def eyes(identity: Identity) -> tuple[bool, str | None, str | None, list[str]]:
    """Who looks: sees all, person, organisation, and the names under which things are shared."""
    if identity.anonymous:
        return sees_everything(identity), None, None, []
    return sees_everything(identity), identity.subject, identity.organisation, names_of(identity)


def seeing(identity: Identity, unseen: Iterable[str]) -> list[Any]:
    """The values of SEEN."""
    return [*eyes(identity), list(unseen)]


def _theirs(identity: Identity, arguments: Arguments) -> str | None:
    """What is not public, and the caller's to see."""
    _, person, organisation, names = eyes(identity)
    if person is None:
        return None
    # Few are lent: their rows are looked at.
    lent = f"(f.lent and catalogue.lent_to(f.collection, f.id, {arguments.add(names, 'text[]')}))"
    found = f"f.owner = {arguments.add(person, 'text')} or {lent}"
    if organisation is not None:
        found += f" or (f.audience = 'organisation' and f.organisation = {arguments.add(organisation, 'text')})"
    return found


def _outside(unseen: Iterable[str], arguments: Arguments) -> str:
    hidden = sorted(unseen)
    return f" and f.collection <> all({arguments.add(hidden, 'text[]')})" if hidden else ""


def visible(identity: Identity, unseen: Iterable[str], arguments: Arguments) -> str:
    """Whether the caller sees an item; `unseen` are the collections that are hidden from the caller."""
    if sees_everything(identity):
        return "true" + _outside(unseen, arguments)
    theirs = _theirs(identity, arguments)
    public = "f.audience = 'public'"
    return (public if theirs is None else f"({public} or {theirs})") + _outside(unseen, arguments)
