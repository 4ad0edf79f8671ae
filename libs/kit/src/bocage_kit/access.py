"""Every route says who may call it; a route that says nothing is refused when the app is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from bocage_kit.identity import Identity
from bocage_kit.problems import Problem, unauthenticated


def caller(request: Request) -> Identity:
    """The verified caller; services answer 401 without one."""
    identity = request.scope.get("state", {}).get("identity")
    if not isinstance(identity, Identity):
        raise unauthenticated()
    return identity


class Access:
    """A declaration of who may call a route, used as a FastAPI dependency."""

    def __init__(
        self, *, scope: str | None = None, account: bool = False, open_: bool = False, links: bool = False
    ) -> None:
        self.scope, self.account, self.open, self.links = scope, account, open_, links

    async def __call__(self, request: Request) -> Identity | None:
        # A coroutine that waits for nothing: FastAPI would give a plain function to a thread.
        return self.check(request)

    def check(self, request: Request) -> Identity | None:
        """Raises Problem for a caller who may not."""
        if self.open:
            return None
        identity = caller(request)
        self.admit(identity)
        return identity

    def admit(self, identity: Identity) -> None:
        """Raises Problem for a caller who may not, whatever is asked."""
        if identity.link is not None and not self.links:
            raise Problem(403, "signed-link", "A signed link is good for its asset only; use an API key here.")
        if self.account and identity.anonymous:
            raise unauthenticated()
        if self.scope is not None and not identity.has(self.scope):
            if identity.anonymous:
                raise unauthenticated()
            raise Problem(
                403, "scope-required", f"The credential lacks the scope {self.scope}.", required_scope=self.scope
            )


OPEN = Access(open_=True)
"""Anybody, without a token: health only."""
ANYONE = Access()
"""Any verified identity, the anonymous one too; the handler filters by audience and licence."""
ACCOUNT = Access(account=True)
"""Any account."""
ANYONE_OR_LINK = Access(links=True)
"""As ANYONE, and signed links too: for the files themselves. The handler checks what the link covers."""
ACCOUNT_OR_LINK = Access(account=True, links=True)


def scope(name: str) -> Access:
    """Holders of a scope."""
    return Access(scope=name)


async def _caller(request: Request) -> Identity:
    return caller(request)


Caller = Annotated[Identity, Depends(_caller)]


def declared(route: APIRoute | RouteContext) -> Access | None:
    """The access that a route declares, or None."""

    def walk(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
        yield dependant.call
        for inner in dependant.dependencies:
            yield from walk(inner)

    return next((call for call in walk(route.dependant) if isinstance(call, Access)), None)


def declarations(app: FastAPI) -> dict[str, Access | None]:
    """What each route of `app` declares, those of included routers too: these are not in `app.routes` themselves."""
    return {
        f"{sorted(route.methods or ())} {route.path}": declared(route)
        for route in iter_route_contexts(app.routes)
        if getattr(route, "dependant", None) is not None
    }


def undeclared_routes(app: FastAPI) -> list[str]:
    """Routes of `app` that say nothing of who may call them."""
    return [name for name, access in declarations(app).items() if access is None]
