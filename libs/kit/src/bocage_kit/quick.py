"""Familiar questions that a service answers where they come in: without a task, messages, or any layer.

A task for each request, and a coroutine for each layer around the one that answers, take longer than such an answer. So
the coroutine that makes it is driven by what it waits for. Whatever turns out to be unusual, a refusal too, is asked
again of the application, whose word holds: only good answers are given here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, NamedTuple, Protocol

from bocage_kit import logs
from bocage_kit.front import Asked, Headers
from bocage_kit.identity import HEADER, Identity, InvalidIdentity, Verifier
from bocage_kit.language import of_headers
from bocage_kit.urls import root_path

_HEADER = HEADER.lower().encode()
# By these, an answer may be another one than that to the same question without them.
_CONDITIONS = frozenset({b"if-none-match", b"if-match", b"if-modified-since", b"if-unmodified-since", b"range"})
_AGAIN_SECONDS = 60.0


class Unusual(Exception):
    """The application is to answer."""


class Whole(NamedTuple):
    """A good answer: the lines of its headers, its length among them, and its body."""

    head: bytes
    body: bytes


Making = Coroutine[Any, Any, Whole]


class Answers(Protocol):
    """Who answers such questions."""

    def admits(self, identity: Identity) -> bool:
        """Whether there is nothing to say against a caller, whatever is asked."""

    def to(self, path: bytes, identity: Identity, tongue: str) -> Making | None:
        """What answers GET of a path, without a query, in a language; None when that is for the application to do.

        It may wait for futures alone: it runs in no task, which some need to wait (`asyncio.timeout`).
        """


class Meaning(NamedTuple):
    """What headers say, whatever is asked."""

    identity: Identity | None
    """None of those that the application is to look at."""
    until: float
    tongue: str


class Quickly:
    """Begins such answers, for callers whose identity holds."""

    def __init__(self, verifier: Verifier, answers: Answers) -> None:
        self._verifier, self._answers = verifier, answers

    def __call__(self, asked: Asked) -> bool:
        path = asked.plain_path
        if path is None:
            return False
        meaning: Meaning | None = asked.familiar.meaning
        if meaning is None or meaning.until <= time.time():
            meaning = asked.familiar.meaning = self._meaning(asked.familiar.headers)
        identity = meaning.identity
        if identity is None:
            return False
        making = self._answers.to(path, identity, meaning.tongue)
        if making is None:
            return False
        _Driven(asked, identity, making).go_on(None)
        return True

    def _meaning(self, said: Headers) -> Meaning:
        now, headers = time.time(), dict(said)
        if len(headers) < len(said) or not _CONDITIONS.isdisjoint(headers):
            return Meaning(None, now + _AGAIN_SECONDS, "")
        try:
            identity = self._verifier.verify(headers.get(_HEADER, b"").decode("latin1"), now)
        except InvalidIdentity:
            return Meaning(None, now, "")
        return Meaning(identity if self._answers.admits(identity) else None, identity.expires, of_headers(said))


class _Driven:
    """One answer while it is made."""

    __slots__ = ("_asked", "_identity", "_making", "_started")

    def __init__(self, asked: Asked, identity: Identity, making: Making) -> None:
        self._asked, self._identity, self._making = asked, identity, making
        self._started = time.perf_counter()

    def go_on(self, _waited: asyncio.Future[Any] | None) -> None:
        try:
            waited: asyncio.Future[Any] | None = self._making.send(None)
        except StopIteration as end:
            head, body = end.value
            asked, identity = self._asked, self._identity
            asked.answer(head, body)
            logs.requests.answered(
                partial(_told, time.time(), time.perf_counter() - self._started, asked.found, identity)
            )
        except (Exception, asyncio.CancelledError):
            # Whatever it was, the application finds it too and says it as it ought to be said.
            self._asked.begin()
        else:
            if waited is None:
                asyncio.get_running_loop().call_soon(self.go_on, None)
            else:
                waited.add_done_callback(self.go_on)


def _told(moment: float, seconds: float, found: re.Match[bytes], identity: Identity) -> logs.Answered:
    """As the log tells it."""
    path, request_id = found[2].decode(), found[4].decode()
    shown = root_path(identity.public_base) + path
    return logs.Answered(moment, request_id, "GET", shown, 200, round(seconds * 1000, 1), identity.subject)
