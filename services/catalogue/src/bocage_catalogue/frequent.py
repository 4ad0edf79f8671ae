"""The statements of the most frequent searches: one for each of a few forms, and one plan for whatever it is asked.

These ask for a collection or for all, a box, a period, in the order of time. An index holds all of that in this order,
so that to walk it is the plan, and it is made once. Page and number come of one walk, and the statement says of which
edition the collections are: whoever remembers these asks for them anew only when they changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from bocage_kit.identity import Identity

from bocage_catalogue.conditions import SEEN, Search, seeing
from bocage_catalogue.counting import MOST
from bocage_catalogue.default_search import left_out
from bocage_catalogue.holders import EDITION, Holding
from bocage_catalogue.kinds import MOMENT, TEXT
from bocage_catalogue.ordering import FIRST, LAST, Key
from bocage_catalogue.places import Place

KEYS = (Key("datetime", MOMENT, True), Key("collection", TEXT, True), Key("id", TEXT, True))
# Beyond so many entries of the index other ways lead to what is asked for sooner.
FEW = 6000
# What a page says of each item; `body` is fetched of those that are on it.
COLUMNS = """f.collection as in_collection, f.id as item, f.licences, f.audience, f.hrefs, f.laid_out, f.body,
    case when f.body is null and f.id is not null then catalogue.laid_now(f.collection, f.id, f.datetime) end as now"""
# Everything that the caller sees of one collection or of all: the sums, what follows on them, and what is lent.
_TOTAL = """(
    select coalesce(sum(t.items), 0) from catalogue.tally t
    where {of_sums} t.collection <> all($5::text[])
        and catalogue.sees(t.audience, t.owner, t.organisation, null, $1::boolean, $2::text, $3::text, null)
) + (
    select coalesce(sum(v.n), 0) from catalogue.written w
    cross join lateral (values (w.became, coalesce(cardinality(w.ids), 1)), (w.was, -1)) v (state, n)
    where (w.id is not null or w.ids is not null) and {of_queue} w.collection <> all($5::text[]) and catalogue.sees(
        (v.state).audience, (v.state).owner, (v.state).organisation, null, $1::boolean, $2::text, $3::text, null)
) + (
    select count(*) from catalogue.finished_item f
    where f.shared is not null and f.shared && $4::text[] {of_items} and f.collection <> all($5::text[])
        and not catalogue.sees(f.audience, f.owner, f.organisation, null, $1::boolean, $2::text, $3::text, null)
)"""


_ENDS = frozenset((datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)))


@dataclass(frozen=True)
class Form:
    """What a search asks for, whatever the values are."""

    collection: bool
    box: bool
    since: bool
    until: bool
    place: bool | None
    """Whether the page is one after a place in the order (False) or before it (True)."""

    @property
    def walked(self) -> bool:
        """Whether all that lies in the period is looked at, and counted."""
        return self.place is None and not self.whole

    @property
    def whole(self) -> bool:
        """Whether it asks for all there is: the sums tell how much that is."""
        return not (self.box or self.since or self.until)


def form(search: Search, place: Place | None) -> Form | None:
    """The form of a search, if it has one of these."""
    bbox = search.bbox
    if search != Search(collections=search.collections, bbox=bbox, period=search.period):
        return None  # whatever else may be asked for, now or later
    if search.collections is not None and len(search.collections) != 1:
        return None
    if bbox is not None and not (bbox[0] < bbox[2] and bbox[1] < bbox[3]):
        return None  # over the antimeridian, or a line
    if place is not None and place.matched is None:
        return None
    since, until = search.period or (None, None)
    if not {since, until, None if place is None else place.values[0]}.isdisjoint(_ENDS):
        return None  # which the driver takes for the infinities
    return Form(
        search.collections is not None,
        bbox is not None,
        since is not None,
        until is not None,
        None if place is None else place.backwards,
    )


@lru_cache(256)
def statement(asked: Form) -> str:
    """The statement of a form: each row with its turn, for to put whole rows in order copies them; with the edition and
    how many are found.
    """
    given = 7  # five say who sees what, then how many are wanted on the page, and at most for the number
    number = "null::bigint"
    conditions = [SEEN]

    def place() -> str:
        nonlocal given
        given += 1
        return f"${given}"

    def of(alias: str) -> str:
        return f"{alias}.collection = $8::text and" if asked.collection else ""

    if asked.collection:
        conditions.append(f"f.collection = {place()}::text")
    if asked.box:
        west, south, east, north = (f"{place()}::float8" for _ in range(4))
        box = f"(select public.st_makeenvelope({west}, {south}, {east}, {north}, 4326))"  # made once
        # Most entries are told apart by their numbers, in the walk of the index: these lie elsewhere, or within. What
        # is left is asked as a truth value, which is no question for the index of shapes.
        conditions.append(
            f"f.west <= ({east})::real and f.east >= ({west})::real"
            f" and f.south <= ({north})::real and f.north >= ({south})::real"
            f" and (case when f.west >= ({west})::real and f.east <= ({east})::real"
            f" and f.south >= ({south})::real and f.north <= ({north})::real then true"
            f" when f.outlined then catalogue.shape_meets(f.collection, f.id, {box})"
            f" else public.st_intersects(f.outline, {box}) end) is true"
        )
    if asked.until:
        conditions.append(f"f.datetime <= {place()}::timestamptz")
    if asked.since:
        # What begins earlier than the second has ended before the first.
        conditions.append(f"f.end_datetime >= {place()}::timestamptz and f.datetime >= {place()}::timestamptz")
    if asked.place is not None:
        bounds = f"({place()}::timestamptz, {place()}::text, {place()}::text)"
        conditions.append(f"(f.datetime, f.collection, f.id) {'>' if asked.place else '<'} {bounds}")
    elif asked.whole:
        total = _TOTAL.format(
            of_sums=of("t"),
            of_queue=of("w"),
            of_items="and (f.collection = $8::text) is true" if asked.collection else "",
        )
        number = f"case when (select count(*) from hits) >= $6::bigint then ({total})::bigint end"  # noqa: S608 - all of it is written here
    else:
        number = "(select count(*) from hits)"
    direction = "" if asked.place else " desc"

    def order(*names: str) -> str:
        return ", ".join(name + direction for name in names)

    return f"""
with hits as materialized (
    select f.datetime as k0, f.collection as k1, f.id as k2 from catalogue.finished_item f
    where {" and ".join(conditions)} order by {order("f.datetime", "f.collection", "f.id")} limit $7::bigint
)
select {COLUMNS}, least(greatest(h.k0, {FIRST}), {LAST}) as k0, h.k1, h.k2, h.turn, e.edition, e.hits
from (
    select (select {EDITION} from catalogue.finished_collection) as edition, {number} as hits
) e left join (
    (
        select *, row_number() over (order by {order("k0", "k1", "k2")}) as turn
        from hits order by {order("k0", "k1", "k2")} limit $6::bigint
    ) h
    join catalogue.finished_item f on f.id = h.k2 and f.collection = h.k1
) on true
"""  # noqa: S608 - all of it is written here


def values(
    asked: Form, identity: Identity, holding: Holding, search: Search, most: int, place: Place | None
) -> list[Any] | None:
    """What goes beside the statement; None when a period reaches beyond all time."""
    given = [*seeing(identity, left_out(search, holding.rows)), most, MOST + 1 if asked.walked else most]
    if asked.collection:
        given += search.collections or ()
    given += search.bbox or ()
    since, until = search.period or (None, None)
    if until is not None:
        given.append(until)
    if since is not None:
        first = begun(holding, search)
        if first is None:
            return None
        given += [since, first]
    given += place.values if place is not None else ()
    return given


def begun(holding: Holding, search: Search) -> datetime | None:
    """What lies in a period began then or later; None when nobody can say."""
    since = search.period[0] if search.period else None
    among = holding.rows if search.collections is None else search.collections
    lasting = max((holding.rows[name].longest for name in among if name in holding.rows), default=None)
    if since is None or lasting is None:
        return since
    try:
        return since - lasting
    except OverflowError:
        return None
