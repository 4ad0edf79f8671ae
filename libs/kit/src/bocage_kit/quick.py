"""Familiar questions that a service answers where they come in: without a task, messages, or any layer.

A task for each request, and a coroutine for each layer around the one that answers, take longer than such an answer. So
the coroutine that makes it is driven by what it waits for. Whatever turns out to be unusual, a refusal too, is asked
again of the application, whose word holds: only good answers are given here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from bocage_kit import logs
from bocage_kit.front import Cycle, Familiar
from bocage_kit.identity import HEADER, Identity, InvalidIdentity, Verifier
from bocage_kit.language import of_headers
from bocage_kit.urls import root_path

_HEADER = HEADER.lower().encode()
# By these, an answer may be another one than that to the same question without them.
_CONDITIONS = frozenset({b"if-none-match", b"if-match", b"if-modified-since", b"if-unmodified-since", b"range"})


class Unusual(Exception):
    """The application is to answer."""


class Whole(NamedTuple):
    """A good answer: the lines of its headers, its length among them, and its body."""

    head: bytes
    body: bytes


Making = Coroutine[Any, Any, Whole]
Answers = Callable[[bytes, Identity, str], Making | None]
"""Who answers GET of a path, without a query, for a caller in a language; None where nobody does.

The coroutine may wait for futures alone: of tasks, and of what needs one (`asyncio.timeout`), it knows nothing.
"""


class Meaning(NamedTuple):
    """What headers say, whatever is asked."""

    token: str
    tongue: str
    conditional: bool


def _meaning(familiar: Familiar) -> Meaning:
    headers = dict(familiar.headers)
    return Meaning(
        headers.get(_HEADER, b"").decode("latin1"),
        of_headers(familiar.headers),
        conditional=len(headers) < len(familiar.headers) or not _CONDITIONS.isdisjoint(headers),
    )


class Quickly:
    """Begins such answers, for callers whose identity holds."""

    def __init__(self, verifier: Verifier, answers: Answers) -> None:
        self._verifier, self._answers = verifier, answers

    def __call__(self, cycle: Cycle) -> bool:
        if cycle.method != b"GET" or cycle.query is not None:
            return False
        familiar = cycle.familiar
        meaning: Meaning | None = familiar.meaning
        if meaning is None:
            meaning = familiar.meaning = _meaning(familiar)
        if meaning.conditional:
            return False
        try:
            identity = self._verifier.verify(meaning.token)
        except InvalidIdentity:
            return False
        making = self._answers(cycle.path, identity, meaning.tongue)
        if making is None:
            return False
        _Driven(cycle, identity, making).go_on(None)
        return True


class _Driven:
    """One answer while it is made."""

    __slots__ = ("_cycle", "_identity", "_making", "_started")

    def __init__(self, cycle: Cycle, identity: Identity, making: Making) -> None:
        self._cycle, self._identity, self._making = cycle, identity, making
        self._started = time.perf_counter()

    def go_on(self, _waited: asyncio.Future[Any] | None) -> None:
        try:
            waited: asyncio.Future[Any] | None = self._making.send(None)
        except StopIteration as end:
            whole: Whole = end.value
            self._answer(whole)
        except Exception:
            # Whatever it was, the application finds it too and says it as it ought to be said.
            self._cycle.begin()
        else:
            if waited is None:
                asyncio.get_running_loop().call_soon(self.go_on, None)
            else:
                waited.add_done_callback(self.go_on)

    def _answer(self, whole: Whole) -> None:
        cycle, identity = self._cycle, self._identity
        cycle.answer(whole.head, whole.body)
        logs.requests.answered(
            logs.Answered(
                time.time(),
                cycle.request_id.decode(),
                "GET",
                root_path(identity.public_base) + cycle.path.decode(),
                200,
                round((time.perf_counter() - self._started) * 1000, 1),
                identity.subject,
            )
        )
