"""Parameters are gathered where the request is answered: FastAPI would hand each such class to a thread, and wait."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts


def gather_parameters_inline(app: FastAPI) -> None:
    """The classes of parameters among the dependencies of `app` become coroutines that wait for nothing."""
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        if dependant is not None:
            _inline(dependant)


def _inline(dependant: Dependant) -> None:
    for inner in dependant.dependencies:
        _inline(inner)
        if inspect.isclass(inner.call):
            inner.call = _made_by(inner.call)


def _made_by(kind: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def make(**values: Any) -> Any:
        return kind(**values)

    return make
