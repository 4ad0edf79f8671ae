"""What the caller asks for, turned into one CQL2 clause that may be joined with others."""

from __future__ import annotations

import re
from typing import Any

import orjson
from bocage_kit.audience import SHARED_FIELD
from bocage_kit.problems import Problem
from cql2 import Expr
from pydantic import ValidationError, model_validator
from stac_fastapi.pgstac.types.search import PgstacSearch

_COMPARISONS = {"eq": "=", "neq": "<>", "ne": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_PATTERNS = {"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%"}
_DEPTH = 40
# Planning a condition costs more than its share when it is long: twenty thousand terms take ten seconds.
_NODES = 4000
_VERTICES = 10_000
MOST_ITEMS = 10_000
# What pgSTAC knows (its table cql2_ops and its temporal, spatial and array operators).
_LOGIC = ("and", "or", "not", "=", "<>", "<", "<=", ">", ">=", "like", "between", "in", "isnull")
_VALUES = ("+", "-", "*", "/", "casei", "accenti")
_SPACE = ("intersects", "contains", "crosses", "disjoint", "equals", "overlaps", "touches", "within")
_TIME = (
    *("after", "before", "contains", "disjoint", "during", "equals", "finishedby", "finishes", "intersects"),
    *("meets", "metby", "overlappedby", "overlaps", "startedby", "starts"),
)
_ARRAYS = ("equals", "contains", "containedby", "overlaps")
_OPERATORS = frozenset(
    (*_LOGIC, *_VALUES, *(f"s_{x}" for x in _SPACE), *(f"t_{x}" for x in _TIME), *(f"a_{x}" for x in _ARRAYS))
)


# The parser of CQL2 text descends into itself without a bound of its own: deep nesting ends the process, and long
# chains of signs take minutes. What follows is refused before it gets there.
_LONGEST_TEXT = 8192
_NESTED = 24
_CHAINED = 48
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
_SIGNS = re.compile(r"[+*/^%]|[A-Za-z_)\"']\s*-|\bNOT\b|\bdiv\b", re.IGNORECASE)
_REPEATED = re.compile(r"(?:[-+^]\s*){3}|(?:\bNOT\s*\(?\s*){4}", re.IGNORECASE)


class SearchBody(PgstacSearch):
    """What the document of the API says of a search's body. The body itself is checked by `asking`, as it came."""

    @model_validator(mode="wrap")
    @classmethod
    def unread(cls, _values: Any, _handler: Any) -> Any:
        return cls.model_construct()


def invalid(detail: str) -> Problem:
    return Problem(400, "invalid-request", detail)


def decode(text: str, name: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(f"{name} is not JSON: {error}") from error


def filter_clause(filter_: str | dict[str, Any] | None, language: str | None) -> dict[str, Any] | None:
    """A filter in CQL2 text or JSON as checked CQL2 JSON. Raises Problem 400."""
    if not filter_:
        return None
    if isinstance(filter_, str) and language != "cql2-text":
        filter_ = decode(filter_, "filter")
    if isinstance(filter_, str):
        _check_text(filter_)
    else:
        _check_nodes(filter_)
        _check(filter_, 0)
    try:
        expression = Expr(filter_)
        expression.validate()
        found = expression.to_json()
    except Exception as error:  # cql2 raises bare exceptions
        raise invalid(f"filter is not valid CQL2: {str(error).splitlines()[0][:200]}") from error
    if not isinstance(found, dict):
        raise invalid("filter must be a condition.")
    if SHARED_FIELD in orjson.dumps(found).decode():
        raise _kept_secret()
    _check(found, 0)
    return found


def check_extent(intersects: Any) -> None:
    """Raises Problem 400 for a geometry with too many positions."""
    if intersects is not None and str(intersects).count(",") > 3 * _VERTICES:
        raise invalid(f"intersects has more than {_VERTICES} positions; simplify it.")


def _check_nodes(filter_: Any) -> None:
    count, waiting = 0, [filter_]
    while waiting:
        node = waiting.pop()
        count += 1
        if count > _NODES:
            raise invalid(f"filter has more than {_NODES} terms and values; ask in parts.")
        waiting += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _check_text(text: str) -> None:
    """Raises Problem 400 for what the parser would not survive."""
    if len(text) > _LONGEST_TEXT:
        raise invalid(f"filter is longer than {_LONGEST_TEXT} characters; send it as CQL2 JSON by POST.")
    bare = _QUOTED.sub('""', text)
    depth = deepest = 0
    for sign in bare:
        depth += (sign in "([") - (sign in ")]")
        deepest = max(deepest, depth)
    if deepest > _NESTED or len(_SIGNS.findall(bare)) > _CHAINED or _REPEATED.search(bare):
        raise invalid("filter is nested too deeply or has too many operators; send it as CQL2 JSON by POST.")


def _check(node: Any, depth: int) -> None:
    if depth > _DEPTH:
        raise invalid("filter is nested too deeply.")
    if isinstance(node, dict):
        operator = node.get("op")
        if operator is not None and str(operator).lower() not in _OPERATORS:
            raise invalid(f"filter uses the operator {str(operator)[:60]!r}, which is not known here.")
        for value in node.values():
            _check(value, depth + 1)
    elif isinstance(node, list) and any(isinstance(inner, dict) for inner in node):
        for value in node:
            _check(value, depth + 1)


def query_clause(query: Any) -> dict[str, Any] | None:
    """The query extension's conditions as CQL2. Raises Problem 400."""
    if not query:
        return None
    if not isinstance(query, dict):
        raise invalid("query must be an object of properties and conditions.")
    clauses: list[dict[str, Any]] = []
    for name, conditions in query.items():
        if SHARED_FIELD in str(name):
            raise _kept_secret()
        if not isinstance(conditions, dict):
            raise invalid(f"query: the conditions on {name} must be an object.")
        clauses += [_condition({"property": name}, str(operator), value) for operator, value in conditions.items()]
    return {"op": "and", "args": clauses} if clauses else None


def _condition(subject: dict[str, Any], operator: str, value: Any) -> dict[str, Any]:
    if operator in _COMPARISONS:
        if value is None or isinstance(value, dict | list):
            raise invalid(f"query: {operator} compares with a single value.")
        return {"op": _COMPARISONS[operator], "args": [subject, value]}
    if operator == "in":
        if not isinstance(value, list):
            raise invalid("query: in takes a list of values.")
        return {"op": "in", "args": [subject, value]}
    if operator in _PATTERNS:
        literal = str(value).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return {"op": "like", "args": [subject, _PATTERNS[operator].format(literal)]}
    raise invalid(f"query uses the operator {operator[:60]!r}, which is not known here.")


def _kept_secret() -> Problem:
    return invalid(f"{SHARED_FIELD} can't be searched: with whom an item is shared is known to its owner alone.")


def check_sorting(sortby: Any) -> None:
    """Raises Problem 400 for an order that would tell what is not shown."""
    if SHARED_FIELD in str(sortby):
        raise _kept_secret()


def sort_clauses(sortby: list[str] | None) -> list[dict[str, str]] | None:
    """`+name`, `-name` or `name` as pgSTAC takes them."""
    if not sortby:
        return None
    found = []
    for part in sortby:
        name = part.strip().lstrip("+-").strip()
        if not name:
            raise invalid("sortby names no field.")
        found.append({"field": name, "direction": "desc" if part.strip().startswith("-") else "asc"})
    return found


def field_sets(fields: list[str] | None) -> tuple[set[str], set[str]]:
    """(include, exclude) of the fields extension's GET form."""
    include = {part.lstrip("+") for part in fields or () if not part.startswith("-")}
    exclude = {part[1:] for part in fields or () if part.startswith("-")}
    return include - {""}, exclude - {""}


def queried(text: str | None) -> Any:
    return decode(text, "query") if text else None


def searched(model: type[PgstacSearch], values: dict[str, Any]) -> PgstacSearch:
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise invalid(f"{'.'.join(str(x) for x in first['loc']) or 'search'}: {first['msg']}") from error
