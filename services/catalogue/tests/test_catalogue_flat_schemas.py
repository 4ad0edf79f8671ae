"""A schema that is made flat says of anything what it said before."""

# ruff: noqa: E501 - tables are read by line
from __future__ import annotations

from typing import Any

import jsonschema_rs
from bocage_catalogue.flat_schemas import flat
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "bc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "null", ["object", "array"]])
OTHER = {"definitions": {"x": {"properties": {"a": {"$ref": "#/definitions/x"}}, "required": ["a"]}}, "$ref": "#/definitions/x"}  # fmt: skip


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several, named = st.lists(inner, min_size=1, max_size=3), st.dictionaries(NAMES, inner, max_size=3)
    keywords = {
        "type": TYPES, "required": st.lists(NAMES, max_size=2, unique=True), "properties": named, "items": inner | several,
        "additionalProperties": inner, "patternProperties": named, "additionalItems": inner, "allOf": several, "anyOf": several,
        "oneOf": several, "not": inner, "if": inner, "then": inner, "else": inner, "contains": inner, "propertyNames": inner,
        "dependencies": st.dictionaries(NAMES, inner | st.lists(NAMES, max_size=2, unique=True), max_size=2),
        "minItems": st.integers(0, 2), "enum": st.lists(VALUES, min_size=1, max_size=3, unique_by=repr), "minProperties": st.integers(0, 2),
    }  # fmt: skip
    one = st.fixed_dictionaries({}, optional=keywords)
    # Of so many keywords at once little is valid: most often a few.
    few = st.lists(st.sampled_from(sorted(keywords)), min_size=1, max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: keywords[name] for name in names})
    )
    return few | one


REFERENCES = st.sampled_from(["#/definitions/one", "#/definitions/two", "https://example.org/s/other.json"])
SCHEMAS = st.recursive(st.booleans() | REFERENCES.map(lambda to: {"$ref": to}), schemas, max_leaves=8)


def loops(schema: Any, definitions: dict[str, Any]) -> bool:
    """Whether the same value would be looked at without an end, which no schema may ask for."""

    def reached(one: Any, within: tuple[str, ...]) -> bool:
        if not isinstance(one, dict):
            return False
        if (to := one.get("$ref")) is not None:
            name = to.rpartition("/")[2]
            return to in within or (name in definitions and reached(definitions[name], (*within, to)))
        same = [*one.get("allOf", ()), *one.get("anyOf", ()), *one.get("oneOf", ())]
        same += [one[name] for name in ("not", "if", "then", "else") if name in one]
        same += [x for x in one.get("dependencies", {}).values() if isinstance(x, dict)]
        return any(reached(x, within) for x in same)

    return any(reached(one, ()) for one in (schema, *definitions.values()))


@settings(max_examples=300, deadline=None)
@given(SCHEMAS.filter(lambda x: isinstance(x, dict)), SCHEMAS, SCHEMAS, st.lists(VALUES, min_size=4, max_size=12))
def test_the_same_verdict(schema: Any, one: Any, two: Any, values: list[Any]) -> None:
    definitions = {"one": one, "two": two}
    if not loops(schema, definitions):
        compare({"allOf": [schema], "definitions": definitions}, values)


LEAVES = st.sampled_from(
    [
        True,
        False,
        {"type": "string"},
        {"type": "integer"},
        {"minimum": 1},
        {"required": ["b"]},
        {"items": {"type": "null"}},
    ]
)
MAPS = st.dictionaries(NAMES, LEAVES, min_size=1, max_size=2)
MERGED = {
    "type": TYPES, "required": st.lists(NAMES, min_size=1, max_size=2, unique=True), "properties": MAPS, "patternProperties": MAPS,
    "additionalProperties": LEAVES, "items": LEAVES | st.lists(LEAVES, min_size=1, max_size=2), "additionalItems": LEAVES,
}  # fmt: skip
PARTS = st.lists(st.sampled_from(sorted(MERGED)), min_size=1, max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: MERGED[name] for name in names})
)
SHALLOW = st.sampled_from([None, 0, 1, 2, "", "a", [None], ["a"], {"b": 1}])
HOLDERS = st.dictionaries(NAMES, SHALLOW, max_size=3) | st.lists(SHALLOW, max_size=3) | SHALLOW


@settings(max_examples=1000, deadline=None)
@given(st.lists(PARTS, min_size=2, max_size=3), st.lists(HOLDERS, min_size=10, max_size=20))
def test_parts_that_are_said_together(parts: list[Any], values: list[Any]) -> None:
    compare({"allOf": parts}, values)


def compare(whole: dict[str, Any], values: list[Any]) -> None:
    documents = {"https://example.org/s/other.json": OTHER}
    registry = jsonschema_rs.Registry(list(documents.items()), draft=jsonschema_rs.Draft7)

    def validator(made: Any) -> Any:
        return jsonschema_rs.Draft7Validator(made, registry=registry, offline=True)

    before, after = validator(whole), validator(flat(whole, documents))
    for value in values:
        assert before.is_valid(value) == after.is_valid(value), value


def test_what_is_said_of_one_member_is_said_together() -> None:
    whole = {
        "definitions": {"a": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
        "allOf": [
            {"properties": {"in": {"additionalProperties": {"$ref": "#/definitions/a"}}}},
            {"properties": {"in": {"additionalProperties": {"properties": {"m": {"minLength": 1}}}}}},
        ],
    }
    inner = {"type": "object", "properties": {"n": {"type": "integer"}, "m": {"minLength": 1}}, "required": ["n"]}
    made = flat(whole, {})
    assert made.pop("definitions") == whole["definitions"]
    assert made == {"properties": {"in": {"additionalProperties": inner}}}
