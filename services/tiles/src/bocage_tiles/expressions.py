"""Band arithmetic asked for by a client: a small grammar, walked by us; nothing is handed to an evaluator."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from bocage_kit.problems import Problem

MAX_LENGTH = 200
_Array = np.ma.MaskedArray[Any, Any]

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "sqrt": (1, np.ma.sqrt),
    "log": (1, np.ma.log),
    "abs": (1, np.ma.abs),
    "minimum": (2, np.ma.minimum),
    "maximum": (2, np.ma.maximum),
    "where": (3, np.ma.where),
}


def _refused(why: str) -> Problem:
    return Problem(
        400,
        "invalid-expression",
        f"expression: {why}. Use b1, b2, … with + - * / , comparisons, numbers, and {', '.join(sorted(_FUNCTIONS))}.",
    )


@dataclass(frozen=True)
class Expression:
    """One or three formulas over the bands b1, b2, … of what was read."""

    text: str
    formulas: tuple[ast.expr, ...]

    def __call__(self, bands: _Array) -> _Array:
        """(bands, height, width) → (formulas, height, width) in float64; division by zero is masked."""
        with np.errstate(all="ignore"):
            made: list[_Array] = [np.ma.asarray(_value(formula, bands), dtype="float64") for formula in self.formulas]
        shape = bands.shape[1:]
        return np.ma.stack([np.ma.masked_invalid(np.ma.array(np.ma.asarray(m) + np.zeros(shape))) for m in made])


def parse(text: str) -> Expression:
    """Formulas separated by `;`. Raises a 400 problem."""
    if len(text) > MAX_LENGTH:
        raise _refused(f"longer than {MAX_LENGTH} characters")
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if len(parts) not in (1, 3):
        raise _refused("give one formula, or three separated by ';' for red, green and blue")
    formulas = []
    for part in parts:
        try:
            formula = ast.parse(part, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise _refused("it is not a formula") from error
        _check(formula, 0)
        formulas.append(formula)
    return Expression(text, tuple(formulas))


def _check(node: ast.expr, depth: int) -> None:
    if depth > 32:
        raise _refused("too deeply nested")
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            inner = [left, right]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            inner = [operand]
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            inner = [left, right]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            if len(args) != _FUNCTIONS[name][0]:
                raise _refused(f"{name} takes {_FUNCTIONS[name][0]} values")
            inner = list(args)
        case ast.Name(id=name) if name[:1] == "b" and name[1:].isascii() and name[1:].isdigit():
            inner = []
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and abs(value) < 1e30:
            inner = []
        case _:
            raise _refused("it holds something that is not allowed")
    for each in inner:
        _check(each, depth + 1)


def _value(node: ast.expr, bands: _Array) -> Any:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, bands), _value(right, bands))
        case ast.UnaryOp(op=op, operand=operand):
            return -_value(operand, bands) if isinstance(op, ast.USub) else _value(operand, bands)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _COMPARISONS[type(op)](_value(left, bands), _value(right, bands))
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name][1](*(_value(each, bands) for each in args))
        case ast.Name(id=name):
            index = int(name[1:4])
            if len(name) > 4 or not 1 <= index <= bands.shape[0]:
                raise _refused(f"{name[:12]} is not a band of what is read, which has {bands.shape[0]}")
            return np.ma.asarray(bands[index - 1], dtype="float64")
        case ast.Constant(value=value):
            return np.float64(value)  # type: ignore[arg-type]
        case _:
            raise _refused("it holds something that is not allowed")
