"""Collections: those that the caller sees, searched among, one of them, and what every answer needs to know of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import attr
import orjson
from bocage_kit.access import caller
from bocage_kit.audience import FIELDS, SHARED_FIELD
from bocage_kit.identity import Identity
from bocage_kit.problems import not_found
from fastapi import Query, Request
from fastapi.responses import Response

from bocage_catalogue import asking, collection_text, fields, holders, language, ordering, present, subjects
from bocage_catalogue.answers import answer, database_of, link_header
from bocage_catalogue.conditions import Arguments, Search, SortKey, where
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.etags import tagged
from bocage_catalogue.kinds import CORE, MOMENT, MOMENTS, Known
from bocage_catalogue.paging import with_query
from bocage_catalogue.present import JSON, Document, link, stac
from bocage_catalogue.subject_parameters import SubjectParameters
from bocage_catalogue.subjects import Subject
from bocage_catalogue.visibility import VISIBLE, CollectionRow, collections_arguments

MOST, MOST_OFFSET, LIMIT = 1000, 1_000_000, 10
_SEEN = (
    "select body, revision, count(*) over () as matched from catalogue.finished_collection"  # noqa: S608 - SQL of our own
    f" where {VISIBLE} order by deprecated, id limit $6 offset $7"
)
_ONE = f"select body, revision from catalogue.finished_collection where {VISIBLE} and id = $6"  # noqa: S608 - as above
# As the compiler of conditions reads items: columns, and what else there is as properties.
_SEARCHED = """(
    select k.id, k.id as collection, k.revision, k.body, k.audience, k.owner, k.organisation, k.shared, k.datetime,
        k.end_datetime, k.geometry, k.words, k.deprecated, jsonb_build_object('properties', c.content) as content
    from catalogue.finished_collection k join pgstac.collections c on c.id = k.id
) f"""
_MEMBERS = (
    "select distinct m.key as name, jsonb_typeof(m.value) as kind"  # noqa: S608 - as above
    f" from {_SEARCHED} cross join lateral jsonb_each(f.content -> 'properties') m where {VISIBLE}"
)
_KINDS = {"string": "text"}


@attr.s
class CollectionsRequest(SubjectParameters):
    """The parameters of a search among collections."""

    bbox: Annotated[
        str | None,
        Query(max_length=200, description="West, south, east, north of what the extent meets.", examples=["1,43,2,44"]),
    ] = attr.ib(default=None)
    datetime: Annotated[
        str | None,
        Query(max_length=100, description="An instant, or `start/end` of which one may be open."),
    ] = attr.ib(default=None)
    q: Annotated[
        str | None,
        Query(max_length=2000, description="Words of title, description or keywords; commas between alternatives."),
    ] = attr.ib(default=None)
    query: Annotated[
        str | None, Query(max_length=20_000, description="Conditions on members, as JSON (query extension).")
    ] = attr.ib(default=None)
    filter_expr: Annotated[
        str | None, Query(alias="filter", max_length=20_000, description="A condition on members, in CQL2.")
    ] = attr.ib(default=None)
    filter_lang: Annotated[
        str | None, Query(alias="filter-lang", max_length=20, description="`cql2-text`, or `cql2-json`.")
    ] = attr.ib(default=None)
    filter_crs: Annotated[str | None, Query(alias="filter-crs", max_length=200, description="CRS84.")] = attr.ib(
        default=None
    )
    sortby: Annotated[
        str | None, Query(max_length=1000, description="Members to sort by, each after `+` or `-`.", examples=["-id"])
    ] = attr.ib(default=None)
    fields: Annotated[
        str | None, Query(max_length=5000, description="Members to show, or after `-` not to.", examples=["id,title"])
    ] = attr.ib(default=None)
    limit: Annotated[int | None, Query(ge=1, description=f"So many at once; {MOST} at most.")] = attr.ib(default=None)
    offset: Annotated[int | None, Query(ge=0, le=MOST_OFFSET, description="So many are passed over.")] = attr.ib(
        default=None
    )


class Found(NamedTuple):
    """A collection as it is stored, and which revision of it."""

    body: bytes
    revision: int

    @property
    def stored(self) -> Document:
        found: Document = orjson.loads(self.body)
        return found


async def collection_rows(database: Database, identity: Identity) -> dict[str, CollectionRow]:
    """All collections with what the caller may know of them: one statement."""
    async with database.ready() as connection:
        return dict((await holders.asked(connection, identity)).rows)


async def seen_collections(
    database: Database, identity: Identity, most: int, offset: int = 0, search: Search | None = None
) -> tuple[list[Found], int]:
    """The collections that the caller sees, by id unless the search says otherwise, and how many there are."""
    plain = search is None or search == Search()
    async with database.ready() if plain else database.reading() as connection:
        arguments = Arguments(*collections_arguments(identity))
        arguments.outlined = False
        sql = _SEEN
        if search is not None and not plain:
            sql = _page(search, await _known(connection, identity, search), arguments)
        rows = await connection.fetch(sql, *arguments.values, most, offset)
        matched = rows[0]["matched"] if rows else 0
        if not rows and offset:  # past the end: of no row the count is told
            first = await connection.fetch(sql, *arguments.values, 1, 0)
            matched = first[0]["matched"] if first else 0
    return [Found(body, revision) for body, revision, _ in rows], matched


async def _known(connection: Connection, identity: Identity, search: Search) -> Known:
    """The members that the collections have which the caller sees."""
    if not search.conditions and not search.sortby:
        return Known()
    kinds: dict[str, set[str]] = {}
    for row in await connection.fetch(_MEMBERS, *collections_arguments(identity)):
        if row["kind"] != "null" and row["name"] not in (SHARED_FIELD, *FIELDS):
            kinds.setdefault(row["name"], set()).add(_KINDS.get(row["kind"], row["kind"]))
    moments = {name: frozenset((MOMENT,)) for name in kinds if name in MOMENTS}
    return Known({**{name: frozenset(found) for name, found in kinds.items()}, **moments, **CORE})


def _page(search: Search, known: Known, arguments: Arguments) -> str:
    """The statement of one page, without its limit and offset. Raises Problem 400."""
    condition = where(replace(search, terms=()), known, arguments)
    if search.terms:
        asked = arguments.add(list(search.terms), "text[]")
        condition += f" and f.words @@ any(select catalogue.words_asked(term) from unnest({asked}) term)"  # noqa: S608 - bound
    if search.terms and not search.sortby:
        order = f"f.deprecated, catalogue.worth(f.words, {asked}) desc, f.id"
        return _ordered(condition, order, arguments)
    ordered = ordering.keys(search.sortby or (SortKey("id"),), known)
    order = ordering.order(ordered, [key.sql(arguments) for key in ordered], backwards=False, first_has_value=False)
    if not search.sortby:
        order = f"f.deprecated, {order}"  # what is out of date comes last
    return _ordered(condition, order, arguments)


def _ordered(condition: str, order: str, arguments: Arguments) -> str:
    place = len(arguments.values)
    return (
        f"select f.body, f.revision, count(*) over () as matched from {_SEARCHED}"  # noqa: S608 - values are bound
        f" where {VISIBLE} and {condition} order by {order} limit ${place + 1} offset ${place + 2}"
    )


async def seen_collection(database: Database, identity: Identity, name: str) -> Found:
    """A collection, if the caller sees it. Raises Problem 404."""
    async with database.reading() as connection:
        rows = await connection.fetch(_ONE, *collections_arguments(identity), name)
    if not rows:
        raise not_found(f"Collection {name}")
    return Found(rows[0]["body"], rows[0]["revision"])


async def stored_collection(database: Database, identity: Identity, name: str) -> Document:
    """A collection as stored, if the caller sees it. Raises Problem 404."""
    return (await seen_collection(database, identity, name)).stored


def asked_for(given: Mapping[str, Any]) -> tuple[Search, asking.Look]:
    """The parameters as a search, and how its answer is wanted. Raises Problem 400."""
    listed: Document = {name: _parts(given.get(name)) for name in ("sortby", "fields", "bbox")}
    if listed["bbox"] is not None:
        listed["bbox"] = [_number(part) for part in listed["bbox"]]
    members = {**given, **listed}
    return asking.from_parameters(members), asking.look_of_parameters({"limit": LIMIT, **members})


def _parts(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",")] if text else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise asking.invalid(f"bbox: {text[:30]!r} is not a number.") from error


async def all_collections(request: Request, **given: Any) -> Response:
    """The collections that the caller sees, searched among and by pages."""
    if not request.scope["query_string"]:
        tongue = language.of(request)
        text, links = await first_page(database_of(request), caller(request), tongue)
        return Response(text, headers={"Content-Language": tongue, "Link": links}, media_type=JSON)
    return await listed(request, {name: value for name, value in given.items() if value is not None})


async def first_page(database: Database, identity: Identity, tongue: str) -> tuple[bytes, str]:
    """What answers a caller who asks for nothing in particular, and its header Link."""
    found, matched = await seen_collections(database, identity, LIMIT)
    links, header = _first_links(identity.public_base, more=matched > LIMIT)
    return _page_text(collection_text.texts([row.body for row in found], identity, tongue), links, matched), header


@lru_cache(1024)
def _first_links(base: str, *, more: bool) -> tuple[list[Document], str]:
    here = stac(base, "collections")
    links = [link("root", stac(base)), link("self", here)]
    if more:
        links.append(link("next", f"{here}?offset={LIMIT}", method="GET"))
    return links, link_header(links)


def _page_text(shown: Sequence[bytes], links: Sequence[Document], matched: int) -> bytes:
    told = {"links": links, "numberMatched": matched, "numberReturned": len(shown)}
    return b"".join((b'{"collections":[', b",".join(shown), b"],", orjson.dumps(told, option=orjson.OPT_SORT_KEYS)[1:]))


async def listed(request: Request, given: Mapping[str, Any], about: tuple[Subject, ...] = (), *holder: str) -> Response:
    """The same of those about something, which `holder`, a path, holds."""
    identity, tongue = caller(request), language.of(request)
    search, look = asked_for(given)
    if about:
        search = replace(search, about=(*search.about, *about))
    search = await subjects.resolved(database_of(request), identity, search, words=False)
    limit, offset = min(look.limit, MOST), given.get("offset") or 0
    found, matched = await seen_collections(database_of(request), identity, limit, offset, search)
    if look.include or look.exclude:
        shown = [_chosen(present.collection(row.stored, identity, tongue), look) for row in found]
    else:
        shown = collection_text.texts([row.body for row in found], identity, tongue)
    base = identity.public_base
    here = stac(base, *holder, "collections")
    links = [link("root", stac(base)), link("self", with_query(request, here))]
    links += [link("parent", stac(base, *holder))] if holder else []
    if offset + limit < matched:
        links.append(link("next", with_query(request, here, offset=str(offset + limit)), method="GET"))
    if offset > 0:
        links.append(link("previous", with_query(request, here, offset=str(max(0, offset - limit))), method="GET"))
    body = _page_text(shown, links, matched)
    return Response(body, headers={"Content-Language": tongue, "Link": link_header(links)}, media_type=JSON)


def _chosen(shown: Document, look: asking.Look) -> bytes:
    chosen = fields.chosen(shown, look.include, look.exclude, fields.OF_COLLECTIONS)
    return orjson.dumps(chosen, option=orjson.OPT_SORT_KEYS)


async def one_collection(request: Request, name: str) -> Response:
    """One collection, if the caller sees it. Raises Problem 404."""
    identity, tongue = caller(request), language.of(request)
    found = await seen_collection(database_of(request), identity, name)
    shown = present.collection(found.stored, identity, tongue)
    made = answer(shown, headers={"Content-Language": language.spoken(shown) or tongue})
    headers = {key: made.headers[key] for key in ("content-language", "link")}
    return tagged(request, bytes(made.body), found.revision, JSON, headers=headers)
