"""The operators of CQL2, and what becomes of each in SQL."""

from __future__ import annotations

from bocage_catalogue.kinds import ARRAY, BOOLEAN, GEOMETRY, MOMENT, NUMBER, TEXT

TYPES = {TEXT: "text", NUMBER: "numeric", BOOLEAN: "boolean"}
NAMES = {
    TEXT: "text", NUMBER: "a number", BOOLEAN: "true or false", MOMENT: "an instant", ARRAY: "a list",
    GEOMETRY: "a geometry", "interval": "an interval", "object": "an object",
}  # fmt: skip
COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
# An instant compared with a whole day, from {low} to {high}.
AGAINST_DAY = {
    "=": "({x} >= {low} and {x} <= {high})", "<>": "({x} < {low} or {x} > {high})",
    "<": "({x} < {low})", "<=": "({x} <= {high})", ">": "({x} > {high})", ">=": "({x} >= {low})",
}  # fmt: skip
CALCULATIONS = {
    "+": "({0} + {1})", "-": "({0} - {1})", "*": "({0} * {1})", "/": "({0} / nullif({1}, 0))",
    "%": "mod({0}, nullif({1}, 0))", "div": "div({0}, nullif({1}, 0))", "^": "catalogue.raised({0}, {1})",
}  # fmt: skip
# One span, from {0} to {1}, and another, from {2} to {3}.
TEMPORAL = {
    "t_after": "({0} > {3})",
    "t_before": "({1} < {2})",
    "t_contains": "({0} < {2} and {1} > {3})",
    "t_disjoint": "({1} < {2} or {0} > {3})",
    "t_during": "({0} > {2} and {1} < {3})",
    "t_equals": "({0} = {2} and {1} = {3})",
    "t_finishedby": "({0} < {2} and {1} = {3})",
    "t_finishes": "({0} > {2} and {1} = {3})",
    "t_intersects": "({0} <= {3} and {1} >= {2})",
    "t_meets": "({1} = {2})",
    "t_metby": "({0} = {3})",
    "t_overlappedby": "({0} > {2} and {0} < {3} and {1} > {3})",
    "t_overlaps": "({0} < {2} and {1} > {2} and {1} < {3})",
    "t_startedby": "({0} = {2} and {1} > {3})",
    "t_starts": "({0} = {2} and {1} < {3})",
}
SPATIAL = (
    "s_intersects", "s_disjoint", "s_contains", "s_within", "s_equals", "s_touches", "s_crosses", "s_overlaps",
)  # fmt: skip
ARRAYS = {
    "a_contains": "({0} @> {1})",
    "a_containedby": "({0} <@ {1})",
    "a_equals": "({0} @> {1} and {0} <@ {1})",
    "a_overlaps": "catalogue.overlapping({0}, {1})",
}
LOGIC = ("and", "or", "not")
OTHERS = ("between", "in", "like", "isnull")
TEXTS = {"casei": "lower({0})", "accenti": "catalogue.unaccented({0})"}
OPERATORS = (*LOGIC, *COMPARISONS, *OTHERS, *TEXTS, *CALCULATIONS, *TEMPORAL, *SPATIAL, *ARRAYS)
