"""Registering citable identifiers: a plug. The platform's own implementation talks to nobody."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from bocage_kit.problems import Problem

TEST_PREFIX = "10.5072"
LOCAL = "local"
_SECONDS = 30
_log = logging.getLogger("bocage.catalogue")
# Without those that are taken for others when they are read aloud or copied by hand.
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


class Minter(Protocol):
    """Makes an identifier known to the world. The same again is no other: it is asked until it has answered once."""

    async def register(self, identifier: str, url: str, metadata: dict[str, Any]) -> None: ...


class LocalMinter:
    """Identifiers that the platform alone resolves."""

    async def register(self, identifier: str, url: str, metadata: dict[str, Any]) -> None:
        return None


def minter_of(named: str) -> Minter:
    """The one that the settings name. Raises ValueError when there is none of that name."""
    if named == LOCAL:
        return LocalMinter()
    module, _, factory = named.partition(":")
    try:
        make: Callable[[], Minter] = getattr(import_module(module), factory)
        made = make()
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"BOCAGE_DOI_MINTER names {named}, which can't be made: {error}") from error
    if not callable(getattr(made, "register", None)):
        raise ValueError(f"BOCAGE_DOI_MINTER names {named}, which has no method register")
    return made


def resolvable(identifier: str) -> bool:
    """Whether an identifier is one that the world can follow."""
    return not identifier.startswith(TEST_PREFIX + "/")


def new_identifier(prefix: str) -> str:
    """One that nobody has; kept before anybody is asked to register it."""
    return f"{prefix}/bocage.{''.join(secrets.choice(_LETTERS) for _ in range(10))}"


async def registered(minter: Minter, identifier: str, url: str, metadata: dict[str, Any]) -> None:
    """Raises Problem 503 when it can't be registered now: it can be tried again, and is the same then."""
    try:
        async with asyncio.timeout(_SECONDS):
            await minter.register(identifier, url, metadata)
    except Exception as error:  # whatever an external one raises
        _log.warning("an identifier was not registered", extra={"reason": type(error).__name__})
        raise Problem(
            503,
            "minting-failed",
            f"The identifier {identifier} could not be registered. The deposit keeps it: publish it again.",
            headers={"Retry-After": "60"},
            identifier=identifier,
        ) from error
