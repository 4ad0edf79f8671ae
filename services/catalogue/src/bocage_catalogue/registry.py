"""Which properties there are, as far as the caller sees: of items, of collections' summaries, and of the operator's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bocage_kit.audience import FIELDS, SHARED_FIELD
from bocage_kit.identity import Identity

from bocage_catalogue.conditions import Arguments, eyes, visible
from bocage_catalogue.database import Connection
from bocage_catalogue.kinds import BOOLEAN, CORE, MOMENT, MOMENTS, NUMBER, TEXT, Known

_KINDS = {"string": TEXT, "number": NUMBER, "integer": NUMBER, "boolean": BOOLEAN, "array": "array", "object": "object"}
# An item is registered with what it says when it is laid out; until then it is asked itself. So many, at most.
_WAITING = 50_000

_SUMMARIES = """
select s.key as name, jsonb_typeof(case jsonb_typeof(s.value)
    when 'array' then s.value -> 0
    when 'object' then coalesce(s.value -> 'minimum', s.value) else s.value end) as kind
from pgstac.collections c cross join lateral jsonb_each(
    case when jsonb_typeof(c.content -> 'summaries') = 'object' then c.content -> 'summaries' else '{}' end) s
where c.id <> all($1) and ($2::text is null or c.id = $2)
"""
_OPERATORS = """
select distinct on (name) name, definition from pgstac.queryables
where $1::text is null or collection_ids is null or $1 = any(collection_ids) order by name
"""

Kinds = dict[str, set[str]]


def _add(found: Kinds, rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        kind = _KINDS.get(row["kind"], row["kind"])
        if kind is not None and kind != "null":
            found.setdefault(row["name"], set()).add(kind)


def _known(found: Kinds) -> Known:
    kinds = {name: frozenset(kinds) for name, kinds in found.items() if name != SHARED_FIELD}
    return Known({**kinds, **{name: frozenset((MOMENT,)) for name in kinds if name in MOMENTS}, **CORE})


def _registered(identity: Identity, unseen: Collection[str], arguments: Arguments) -> str:
    sees_all, person, organisation, _ = eyes(identity)
    seen = "true" if sees_all else "q.audience = 'public'"
    if not sees_all and person is not None:
        seen += f" or q.owner = {arguments.add(person, 'text')}"
        if organisation is not None:
            seen += f" or (q.audience = 'organisation' and q.organisation = {arguments.add(organisation, 'text')})"
    hidden = arguments.add(sorted(unseen), "text[]")
    return (
        f"select q.name, q.kind from catalogue.queryable q where ({seen}) and q.collection <> all({hidden})"  # noqa: S608
        " and exists (select from pgstac.collections c where c.id = q.collection)"
    )


async def quick(connection: Connection, identity: Identity, unseen: Collection[str], names: set[str]) -> Known:
    """What is registered of some properties; of those that every item may have, nothing need be asked."""
    asked = names - CORE.keys()
    if not asked:
        return Known()
    arguments = Arguments()
    sql = _registered(identity, unseen, arguments)
    rows = await connection.fetch(
        f"{sql} and q.name = any({arguments.add(sorted(asked), 'text[]')})", *arguments.values
    )
    found: Kinds = {}
    _add(found, rows)
    return _known(found)


async def thorough(
    connection: Connection, identity: Identity, unseen: Collection[str], collection: str | None = None
) -> Known:
    """All that the caller may know, with what was written just now and what is shared with the caller."""
    found: Kinds = {}
    arguments = Arguments()
    seen = visible(identity, unseen, arguments)
    names = arguments.add(eyes(identity)[3], "text[]")
    if collection is not None:
        seen += f" and f.collection = {arguments.add(collection, 'text')}"
    _add(
        found,
        await connection.fetch(
            f"""
            select distinct p.key as name, jsonb_typeof(p.value) as kind from (
                (select content from catalogue.waiting w
                 cross join lateral unnest(coalesce(w.ids, array[w.id])) n (id)
                 join catalogue.finished_item f on f.id = n.id and f.collection = w.collection
                 where f.body is null and {seen} limit {_WAITING})
                union all
                (select content from catalogue.finished_item f
                 where f.shared is not null and f.shared && {names} and {seen} limit {_WAITING})
            ) i cross join lateral jsonb_each(case when jsonb_typeof(i.content -> 'properties') = 'object'
                then i.content -> 'properties' else '{{}}' end) p
            """,  # noqa: S608 - of our own making
            *arguments.values,
        ),
    )
    # After them: what is registered meanwhile is in one of the two, and before it might be in neither.
    arguments = Arguments()
    sql = _registered(identity, unseen, arguments)
    if collection is not None:
        sql += f" and q.collection = {arguments.add(collection, 'text')}"
    _add(found, await connection.fetch(sql, *arguments.values))
    _add(found, await connection.fetch(_SUMMARIES, sorted(unseen), collection))
    for row in await connection.fetch(_OPERATORS, collection):
        kinds = (row["definition"] or {}).get("type") if isinstance(row["definition"], dict) else None
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            _add(found, [{"name": row["name"], "kind": kind if kind in _KINDS else "string"}])
    return _known(found)


def told(known: Known) -> dict[str, frozenset[str]]:
    """What is listed of what is known: whose an item is, is no property of the data."""
    return {name: kinds for name, kinds in sorted(known.kinds.items()) if name not in FIELDS}
