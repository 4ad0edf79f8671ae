"""Which parameters an operation takes: a name that it does not know is refused, as OGC API - Features asks.

Passed over, a mistyped `collection=` would find everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from bocage_kit.problems import Problem
from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

# Whatever is asked, it may be asked in a language.
_EVERYWHERE = frozenset(("language",))


def gather(app: FastAPI) -> None:
    """Note what each operation of `app` declares."""
    app.state.parameters = {
        route.endpoint: _EVERYWHERE.union(_names(dependant))
        for route in iter_route_contexts(app.routes)
        if (dependant := getattr(route, "dependant", None)) is not None
    }


def _names(dependant: Dependant) -> Iterator[str]:
    yield from (str(parameter.alias) for parameter in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _names(inner)


def check(request: Request) -> None:
    """Raises Problem 400 for a parameter that the operation does not declare."""
    if not request.scope["query_string"]:
        return
    known = request.app.state.parameters.get(request.scope.get("endpoint"), ())
    for name in request.query_params:
        if name not in known:
            close = get_close_matches(name, known, 1)
            meant = f"Did you mean {close[0]}?" if close else f"It takes {', '.join(sorted(known))}."
            raise Problem(
                400,
                "unknown-parameter",
                f"The parameter {name[:60]!r} is not known here. {meant}",
                parameter=name[:60],
                suggestions=close,
            )
