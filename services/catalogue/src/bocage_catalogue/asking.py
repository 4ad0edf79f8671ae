"""What a request asks for, as a search: GET's parameters and POST's members, each checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from bocage_kit.problems import Problem
from pydantic import model_validator
from stac_fastapi.pgstac.types.search import PgstacSearch

from bocage_catalogue import areas, cql2_nodes, cql2_text, moments, subjects
from bocage_catalogue.conditions import Part, Search, SortKey
from bocage_catalogue.fields import DEFAULT, excluded

_COMPARISONS = {"eq": "=", "neq": "<>", "ne": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_PATTERNS = {"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%"}
_CRS = ("http://www.opengis.net/def/crs/OGC/1.3/CRS84", "https://www.opengis.net/def/crs/OGC/1.3/CRS84", "CRS84")
_LANGUAGES = ("cql2-text", "cql2-json")
MOST_ITEMS, LIMIT = 10_000, 10
MOST_COLLECTIONS, MOST_IDS, MOST_TERMS, MOST_KEYS = 1000, 10_000, 20, 8
_LONGEST_TERM = 200
MOST_FIELDS, _LONGEST_NAME = 200, 400


class SearchBody(PgstacSearch):
    """What the document of the API says of a search's body. The body itself is looked at here, as it came."""

    @model_validator(mode="wrap")
    @classmethod
    def unread(cls, _values: Any, _handler: Any) -> Any:
        return cls.model_construct()


@dataclass(frozen=True)
class Look:
    """How an answer is wanted: how much of what was found, and from where on."""

    limit: int
    token: str | None
    include: frozenset[str]
    exclude: frozenset[str]
    explain: bool


def invalid(detail: str) -> Problem:
    return Problem(400, "invalid-request", detail)


def decoded(text: str | bytes, name: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(f"{name} is not JSON: {error}") from error


def from_parameters(given: Mapping[str, Any]) -> Search:
    """A search by GET's parameters, lists as lists. Raises Problem 400."""
    members = {name: given.get(name) for name in ("collections", "ids", "bbox", "datetime", "q")}
    if given.get("intersects"):
        members["intersects"] = decoded(given["intersects"], "intersects")
    if given.get("query"):
        members["query"] = decoded(given["query"], "query")
    members["filter"], members["filter-lang"] = given.get("filter_expr"), given.get("filter_lang") or "cql2-text"
    members["filter-crs"] = given.get("filter_crs")
    members |= {name: given.get(name) for name in subjects.FILTERS}
    members["sortby"] = [_signed(part) for part in given.get("sortby") or ()]
    return from_body(members)


def _signed(part: str) -> dict[str, str]:
    """`+name`, `-name` or `name`; a plus that nobody encoded arrives as a space."""
    name = part.strip()
    return {"field": name.lstrip("+-").strip(), "direction": "desc" if name.startswith("-") else "asc"}


def from_body(body: Any) -> Search:
    """A search by POST's members; null counts as absent. Raises Problem 400."""
    if not isinstance(body, Mapping):
        raise invalid("a search is a JSON object.")
    bbox, intersects, moment = body.get("bbox"), body.get("intersects"), body.get("datetime")
    if bbox is not None and intersects is not None:
        raise invalid("bbox and intersects exclude each other: ask for one of them.")
    if intersects is not None:
        areas.geometry(intersects, "intersects")
    if moment is not None and not isinstance(moment, str):
        raise invalid("datetime must be text: an instant or start/end.")
    return Search(
        collections=_names(body, "collections", MOST_COLLECTIONS),
        ids=_names(body, "ids", MOST_IDS),
        bbox=None if bbox is None else areas.box(bbox),
        intersects=intersects,
        period=moments.period(moment) if moment else None,
        conditions=(*_queried(body.get("query")), *_filtered(body)),
        terms=_terms(body.get("q")),
        sortby=_order(body.get("sortby")),
        about=subjects.asked(body),
    )


def look_of_parameters(given: Mapping[str, Any]) -> Look:
    """How GET's parameters want the answer. Raises Problem 400."""
    fields = [part.strip() for part in given.get("fields") or ()]
    chosen = {
        "include": [part.lstrip("+") for part in fields if not part.startswith("-")],
        "exclude": [part[1:] for part in fields if part.startswith("-")],
    }
    members = {name: given.get(name) for name in ("limit", "token", "explain")}
    return look_of_body({**members, "fields": {side: names for side, names in chosen.items() if names}})


def look_of_body(body: Mapping[str, Any]) -> Look:
    """The same of POST's members. Raises Problem 400."""
    limit, token, explain = body.get("limit"), body.get("token"), body.get("explain")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise invalid("limit must be a whole number from 1 on.")
    if token is not None and not isinstance(token, str):
        raise invalid("token must be text, from a link to the next or the previous page.")
    if explain is not None and not isinstance(explain, bool):
        raise invalid("explain must be true or false.")
    fields = body.get("fields", {})
    if not isinstance(fields, Mapping):
        raise invalid("fields must be an object with include and exclude, lists of names.")
    chosen: list[frozenset[str]] = []
    for side in ("include", "exclude"):
        names = fields.get(side) or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise invalid(f"fields.{side} must be a list of names.")
        if len(names) > MOST_FIELDS or any(len(name) > _LONGEST_NAME for name in names):
            raise invalid(f"fields.{side} names at most {MOST_FIELDS} members, by {_LONGEST_NAME} characters at most.")
        chosen.append(frozenset(names) - {""})
    if chosen[1] and not chosen[0] and "include" in fields:
        chosen[0] = DEFAULT - chosen[1]  # asked for by name, and left empty
    exclude = excluded(chosen[0], chosen[1])
    return Look(min(limit or LIMIT, MOST_ITEMS), token or None, chosen[0], exclude, bool(explain))


def _names(body: Mapping[str, Any], member: str, most: int) -> tuple[str, ...] | None:
    value = body.get(member)
    if value is None:
        return None
    if isinstance(value, str):
        value = value.split(",")  # as by GET; many clients send one name so
    if not isinstance(value, list) or not all(isinstance(name, str) and "\0" not in name for name in value):
        raise invalid(f"{member} must be a list of ids.")
    if len(value) > most:
        raise invalid(f"{member} has more than {most} ids; ask in parts.")
    return tuple(dict.fromkeys(value))


def _terms(value: Any) -> tuple[str, ...]:
    """Any of them: a list, or text with commas between."""
    parts = [value] if isinstance(value, str) else value or []
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise invalid("q must be text: words, with commas between those of which any will do.")
    terms = [term.strip().strip('"').strip() for part in parts for term in part.split(",")]
    terms = [term for term in terms if term]
    if len(terms) > MOST_TERMS or any(len(term) > _LONGEST_TERM or "\0" in term for term in terms):
        raise invalid(f"q has more than {MOST_TERMS} terms, or one of more than {_LONGEST_TERM} characters.")
    return tuple(terms)


def _order(value: Any) -> tuple[SortKey, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_KEYS:
        raise invalid(f"sortby must be a list of at most {MOST_KEYS} orders, each with field and direction.")
    keys: dict[str, SortKey] = {}
    for place, order in enumerate(value):
        if isinstance(order, str):
            order = _signed(order)
        name = order.get("field") if isinstance(order, Mapping) else None
        direction = order.get("direction") or "asc" if isinstance(order, Mapping) else None
        if not isinstance(name, str) or not name.strip() or direction not in ("asc", "desc"):
            raise invalid(f"sortby[{place}] must have a field, and asc or desc as its direction.")
        keys.setdefault(name, SortKey(name, direction == "desc"))
    return tuple(keys.values())


def _filtered(body: Mapping[str, Any]) -> list[Part]:
    """The filter, in either language. Raises Problem 400."""
    filter_, language = body.get("filter"), body.get("filter-lang")
    if body.get("filter-crs") not in (None, *_CRS):
        raise invalid(f"filter-crs: coordinates are longitudes and latitudes, {_CRS[0]}, only.")
    if language not in (None, *_LANGUAGES):
        raise invalid(f"filter-lang must be one of {', '.join(_LANGUAGES)}.")
    if filter_ is None or filter_ in ("", {}):
        return []
    if isinstance(filter_, str):
        if language == "cql2-text":
            return [Part("filter", cql2_text.parsed(filter_))]
        filter_ = decoded(filter_, "filter")
    elif language == "cql2-text":
        raise invalid("filter is CQL2 JSON, but filter-lang says cql2-text.")
    if not isinstance(filter_, dict | bool):
        raise invalid("filter must be a condition: a CQL2 JSON object.")
    cql2_nodes.check_size(filter_)
    return [Part("filter", filter_)]


def _queried(query: Any) -> list[Part]:
    """The query extension's conditions. Raises Problem 400."""
    if query is None or query == {}:
        return []
    if not isinstance(query, Mapping):
        raise invalid("query must be an object of properties and conditions.")
    cql2_nodes.check_size(query, "query")
    found: list[Part] = []
    for name, conditions in query.items():
        if not isinstance(conditions, Mapping):
            raise invalid(f"query.{name}: the conditions must be an object such as {{'lt': 10}}.")
        for operator, value in conditions.items():
            at = f"query.{name}.{operator}"
            found.append(Part(at, _condition({"property": name}, str(operator), value, at)))
    return found


def _condition(subject: dict[str, Any], operator: str, value: Any, at: str) -> dict[str, Any]:
    if operator in _COMPARISONS:
        if value is None or isinstance(value, dict | list):
            raise invalid(f"{at} compares with a single value.")
        return {"op": _COMPARISONS[operator], "args": [subject, value]}
    if operator == "in":
        if not isinstance(value, list) or not value:
            raise invalid(f"{at} takes a list of values.")
        return {"op": "in", "args": [subject, value]}
    if operator in _PATTERNS:
        if not isinstance(value, str):
            raise invalid(f"{at} takes a text.")
        literal = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return {"op": "like", "args": [subject, _PATTERNS[operator].format(literal)]}
    raise invalid(
        f"{at}: the operator {operator[:60]!r} is not known here: {', '.join((*_COMPARISONS, 'in', *_PATTERNS))}."
    )
