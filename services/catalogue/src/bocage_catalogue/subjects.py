"""What collections are about, as a condition of searches among collections and among items.

`variable=albedo` holds for the collections that are about a concept or a narrower one, and for their items. It is
decided over the collections that the caller sees, which are few, and becomes a condition on the collection's id: a
search without it costs nothing more, and one with it asks each item nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bocage_kit.identity import Identity
from bocage_kit.problems import Problem
from bocage_theia.vocabulary import Scheme, vocabulary

from bocage_catalogue import concepts
from bocage_catalogue.database import Database
from bocage_catalogue.default_search import names_something
from bocage_catalogue.refusals import refused
from bocage_catalogue.visibility import VISIBLE, collections_arguments

if TYPE_CHECKING:
    from bocage_catalogue.conditions import Search

# Parameters, members of bodies and properties in CQL2, and the scheme that each takes its values from.
FILTERS: Mapping[str, str] = {
    "variable": "variables", "theme": "themes", "cds": "cds", "ces": "ces", "art": "art", "portal": "portals",
}  # fmt: skip
MOST = 50
_LONGEST_ID = 100
_SEEN = (
    "select id, concepts, coalesce((select bool_or(c.words @@ any(select catalogue.words_asked(term) from"  # noqa: S608
    " unnest($6::text[]) term)) from catalogue.concept c where c.key = any(concepts)), false) as named"
    f" from catalogue.finished_collection where ($7 or concepts <> '{{}}') and {VISIBLE} order by id"
)


@dataclass(frozen=True)
class Subject:
    """One of the filters: the concepts of which any will do."""

    name: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class About:
    """A collection, and the ids of its own concepts by scheme."""

    collection: str
    own: Mapping[str, frozenset[str]]

    def under(self, scheme: str) -> frozenset[str]:
        """What it is about, with all that is broader; what is about a variable is about the variable's themes."""
        found = frozenset[str]().union(*(_above(scheme, name) for name in self.own.get(scheme, ())))
        if scheme == "themes":
            found = found.union(*(vocabulary().themes_of(name) for name in self.own.get("variables", ())))
        return found


@lru_cache(4096)
def _above(scheme: str, concept: str) -> frozenset[str]:
    """A concept and all that are broader."""
    return frozenset((concept, *(one.id for one in vocabulary().ancestors(scheme, concept))))


def scheme_of(name: str) -> Scheme:
    return vocabulary().schemes[FILTERS[name]]


def asked(members: Mapping[str, Any]) -> tuple[Subject, ...]:
    """The filters among a search's members: text with commas, or lists. Raises Problem 400."""
    found: list[Subject] = []
    for name in FILTERS:
        value = members.get(name)
        if value is None:
            continue
        ids = value.split(",") if isinstance(value, str) else value
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise refused(name, "it must be an id of the vocabulary, or a list of such ids")
        ids = [one.strip() for one in ids]
        if not 0 < len(ids) <= MOST:
            raise refused(name, f"it must name 1 to {MOST} ids of the vocabulary")
        found.append(Subject(name, tuple(dict.fromkeys(known(name, one, name) for one in ids))))
    return tuple(found)


def known(name: str, value: Any, at: str) -> str:
    """`value` as an id that the filter's scheme holds. Raises Problem 400."""
    scheme = scheme_of(name)
    if not isinstance(value, str) or not value or len(value) > _LONGEST_ID:
        raise refused(at, f"{name} is compared with ids of /stac/vocabulary/{scheme.id}")
    if value not in scheme.concepts:
        raise concepts.unknown(at, scheme, value)
    return value


def mentions(node: Any) -> bool:
    """Whether a condition asks for one of the filters by its plain name; `properties.variable` is an item's own."""
    waiting = [node]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            if _is_subject(inner):
                return True
            waiting += inner.values()
        elif isinstance(inner, list):
            waiting += inner
    return False


async def resolved(database: Database, identity: Identity, search: Search, *, words: bool = True) -> Search:
    """The search with what it asks of subjects as conditions on collections. Raises Problem 400.

    With `words`, free text finds the items of collections whose concepts it names.
    """
    parts = [mentions(part.node) for part in search.conditions]
    terms = list(search.terms) if words else []
    if not (search.about or terms or any(parts)):
        return search
    rows = await _fetched(database, identity, terms, everything=any(parts))
    seen = [about(row["id"], row["concepts"]) for row in rows]
    return replace(
        search,
        about=(),
        collections=_within(search, seen),
        broad=not names_something(search),
        conditions=tuple(
            replace(part, node=rewritten(part.node, part.at, seen)) if mentioned else part
            for part, mentioned in zip(search.conditions, parts, strict=True)
        ),
        named=tuple(row["id"] for row in rows if row["named"]),
    )


async def about_all(database: Database, identity: Identity) -> list[About]:
    """What the collections that the caller sees are about; those without concepts are left out."""
    return [about(row["id"], row["concepts"]) for row in await _fetched(database, identity, [], everything=False)]


async def _fetched(database: Database, identity: Identity, terms: list[str], *, everything: bool) -> list[Any]:
    async with database.reading() as connection:
        found: list[Any] = await connection.fetch(_SEEN, *collections_arguments(identity), terms, everything)
    return found


def about(collection: str, keys: Iterable[str]) -> About:
    own: dict[str, set[str]] = {}
    for key in keys:
        scheme, _, concept = key.partition("/")
        own.setdefault(scheme, set()).add(concept)
    return About(collection, {scheme: frozenset(ids) for scheme, ids in own.items()})


def _within(search: Search, seen: Iterable[About]) -> tuple[str, ...] | None:
    """The collections that a search is left with by its filters."""
    if not search.about:
        return search.collections
    found = [
        one.collection
        for one in seen
        if all(one.under(FILTERS[asked.name]).intersection(asked.ids) for asked in search.about)
    ]
    return tuple(found if search.collections is None else (name for name in found if name in search.collections))


Test = Callable[[About], bool]


def rewritten(node: Any, at: str, seen: list[About]) -> Any:
    """A condition with what it asks of subjects as sets of collections. Raises Problem 400."""
    if not mentions(node):
        return node
    if not isinstance(node, dict):
        raise _cannot(at)
    operator, arguments = node.get("op"), node.get("args")
    if isinstance(arguments, list) and str(operator).lower() in ("and", "or", "not"):
        return {**node, "args": [rewritten(one, f"{at}.args[{n}]", seen) for n, one in enumerate(arguments)]}
    test = _test(str(operator).lower(), arguments, at)
    names = [one.collection for one in seen if test(one)]
    # A list in CQL2 is never empty, and no collection has an empty name.
    return {"op": "in", "args": [{"property": "collection"}, names or [""]]}


def _test(operator: str, arguments: Any, at: str) -> Test:
    """What an operator says of one collection; a collection without concepts has an empty list of them."""
    given = list(arguments) if isinstance(arguments, list) else []
    if operator in ("=", "<>", "a_equals", "a_overlaps") and len(given) == 2 and not _is_subject(given[0]):
        given.reverse()
    if not given or not _is_subject(given[0]):
        raise _cannot(at)
    name = given[0]["property"]
    scheme = FILTERS[name]
    if operator == "isnull" and len(given) == 1:
        return lambda one: not one.under(scheme)
    if len(given) != 2:
        raise _cannot(at)
    several = given[1] if isinstance(given[1], list) else [given[1]]
    if isinstance(given[1], list) == (operator in ("=", "<>")) or not 0 < len(several) <= MOST:
        raise _cannot(at)
    ids = frozenset(known(name, one, f"{at}.args[1]") for one in several)
    tests: dict[str, Test] = {
        "=": lambda one: bool(one.under(scheme) & ids),
        "<>": lambda one: not one.under(scheme) & ids,
        "in": lambda one: bool(one.under(scheme) & ids),
        "a_overlaps": lambda one: bool(one.under(scheme) & ids),
        "a_contains": lambda one: one.under(scheme) >= ids,
        "a_containedby": lambda one: all(_lies_in(scheme, own, ids) for own in one.own.get(scheme, ())),
        "a_equals": lambda one: one.own.get(scheme, frozenset()) == ids,
    }
    if operator not in tests:
        raise _cannot(at)
    return tests[operator]


def _lies_in(scheme: str, concept: str, ids: frozenset[str]) -> bool:
    return any(concept in vocabulary().within(scheme, broader) for broader in ids)


def _is_subject(node: Any) -> bool:
    name = node.get("property") if isinstance(node, dict) else None
    return isinstance(name, str) and name in FILTERS


def _cannot(at: str) -> Problem:
    names = ", ".join(FILTERS)
    return refused(
        at,
        f"{names} are compared with one id of the vocabulary by = or <>, with several by in, a_contains, a_overlaps,"
        " a_containedBy or a_equals, and with nothing by isNull",
    )
