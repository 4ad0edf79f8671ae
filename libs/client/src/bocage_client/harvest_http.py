"""Requests to another catalogue: one at a time, with patience, and with its key for it alone."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx

from bocage_client.adopting import web
from bocage_client.errors import BocageError, Exit, JsonObject, UsageError
from bocage_client.http import REDIRECTS, origin

Made = TypeVar("Made")
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
LARGEST_ANSWER = 64 << 20
KEY_VARIABLE = "BOCAGE_SOURCE_KEY"
_MOST_ATTEMPTS = 8
# What is not JSON is seldom so by accident: a page for people, at the wrong address.
_MOST_ATTEMPTS_TO_READ = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_MOST_REDIRECTS = 5
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Asked:
    """One request."""

    url: str
    method: str = "GET"
    body: JsonObject | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> JsonObject:
        return {"url": self.url, "method": self.method, "body": self.body, "headers": dict(self.headers)}


class SourceFault(BocageError):
    """The other catalogue does not answer, or not with what can be read. `status` None: there is no answer."""

    def __init__(self, code: str, detail: str, status: int | None = None) -> None:
        later = status is None or status in AGAIN
        super().__init__(Exit.PLATFORM if later else Exit.INPUT, code, detail, status=status)

    @property
    def away(self) -> bool:
        """Nothing else need be asked now."""
        return self.exit_code is Exit.PLATFORM and self.code != "source-not-json"


def key_of(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The key for the other catalogue: of a file, else of BOCAGE_SOURCE_KEY. Raises UsageError."""
    found = file.read_text(encoding="utf-8").strip() if file is not None else environment.get(KEY_VARIABLE, "").strip()
    if file is not None and not found:
        raise UsageError(f"{file} holds no key.", "bad-key")
    if not (found.isascii() and found.isprintable()) or " " in found:
        raise UsageError("The key for the source holds signs that no header takes.", "bad-key")
    return found or None


def checked_address(url: str) -> str:
    """Raises UsageError for what is no address of a catalogue."""
    if joined(url, "") is None:
        raise UsageError(f"{url} is no address on the web: give one such as https://example.org/stac.", "bad-address")
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise UsageError(
            f"The address must hold no user or password: a key goes into {KEY_VARIABLE} or --key-file.", "bad-address"
        )
    return url.rstrip("/")


def joined(base: str, href: str) -> str | None:
    """Where a link leads; None for what is no address on the web.

    A server behind a proxy that speaks HTTPS often calls itself http: that is the same one.
    """
    try:
        url = urljoin(base, href)
        ours, theirs = urlsplit(base), urlsplit(url)
        _ = theirs.port  # raises for one that is none
    except ValueError:
        return None
    if (ours.scheme, theirs.scheme) == ("https", "http") and ours.netloc == theirs.netloc == ours.hostname:
        return urlunsplit(theirs._replace(scheme="https"))
    return url if web(url) else None


class Courier:
    """Fetches documents of one catalogue. Its key goes to its own address alone, whatever a link or redirect says."""

    def __init__(
        self, root: str, key: str | None, patience: float, on_behalf_of: str, say: Callable[[str], None]
    ) -> None:
        self.root, self._key, self._patience, self._say = root, key, patience, say
        agent = f"bocage-harvest/{version('bocage-client')} (for {on_behalf_of})"
        timeout = httpx.Timeout(90.0, connect=10.0)
        self._http = httpx.Client(timeout=timeout, headers={"User-Agent": agent, "Accept": "application/json, */*"})

    def close(self) -> None:
        self._http.close()

    def json(self, asked: Asked) -> Any:
        """Raises SourceFault: with a status when it was refused, without when nothing came that can be read."""
        return self._patiently(asked, lambda content: _read(content, asked.url))

    def content(self, url: str) -> bytes:
        return self._patiently(Asked(url), lambda content: content)

    def _patiently(self, asked: Asked, read: Callable[[bytes], Made]) -> Made:
        deadline = time.monotonic() + self._patience
        pause = _FIRST_PAUSE
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            wait = pause * random.uniform(0.75, 1.25)  # noqa: S311 - only so that many don't come back at once
            try:
                with self._answer(asked) as answer:
                    if answer.status_code in AGAIN:
                        fault = _busy(answer)
                        wait = max(wait, asked_pause(answer.headers.get("retry-after"), datetime.now(UTC)))
                    elif answer.status_code >= 400 or answer.status_code in REDIRECTS:
                        raise _refusal(answer, asked)
                    else:
                        return read(_whole(answer))
            except httpx.HTTPError as error:
                fault = SourceFault("source-unreachable", f"{_host(asked.url)} does not answer ({_reason(error)}).")
            except _NotJson as error:
                fault = SourceFault("source-not-json", str(error))
                if attempt >= _MOST_ATTEMPTS_TO_READ:
                    raise fault from error
            if attempt == _MOST_ATTEMPTS or time.monotonic() + wait > deadline:
                raise fault
            if wait >= 5:
                self._say(f"{fault.detail} Asking again in {wait:.0f} s.")
            time.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE)
        raise AssertionError("unreachable")

    @contextmanager
    def _answer(self, asked: Asked) -> Iterator[httpx.Response]:
        """The answer where redirects lead to."""
        url, method, body = asked.url, asked.method, asked.body
        for turn in range(_MOST_REDIRECTS + 1):
            headers = dict(asked.headers) if origin(url) == origin(self.root) else {}
            if self._key is not None and origin(url) == origin(self.root):
                headers["X-API-Key"] = self._key
            with self._http.stream(method, url, json=body, headers=headers) as answer:
                location = answer.headers.get("location")
                if answer.status_code not in REDIRECTS or not location or turn == _MOST_REDIRECTS:
                    yield answer
                    return
                target = joined(url, location)
                if target is None:
                    raise SourceFault("source-redirect", f"{asked.url} leads to no address on the web.", 400)
                url = target
                if answer.status_code in (301, 302, 303) and method != "GET":
                    method, body = "GET", None


class _NotJson(Exception):
    pass


def _read(content: bytes, url: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _NotJson(f"{url} answers with what is not JSON ({type(error).__name__}).") from error


def _whole(answer: httpx.Response) -> bytes:
    made = bytearray()
    for piece in answer.iter_bytes(_BLOCK):
        made += piece
        if len(made) > LARGEST_ANSWER:
            raise SourceFault("source-too-large", f"{answer.url} is larger than {LARGEST_ANSWER >> 20} MiB.", 413)
    return bytes(made)


def _busy(answer: httpx.Response) -> SourceFault:
    status, later = answer.status_code, answer.headers.get("retry-after")
    more = f" It asks to be left alone until {later}." if later and not later.isdigit() else ""
    more = f" It asks to be left alone for {later} s." if later and later.isdigit() else more
    return SourceFault("source-busy", f"{_host(str(answer.request.url))} answers {status}.{more}", status)


def _refusal(answer: httpx.Response, asked: Asked) -> SourceFault:
    status = answer.status_code
    if status in (401, 403):
        detail = f"{_host(asked.url)} wants a key ({status}): put it into {KEY_VARIABLE}, or name a file by --key-file."
    elif status in REDIRECTS:
        detail = f"{asked.url} leads nowhere: too many redirects."
    else:
        detail = f"{asked.method} {asked.url} was refused ({status})."
    return SourceFault("source-refused", detail, status)


def asked_pause(said: str | None, now: datetime) -> float:
    """Seconds of a Retry-After, which is a number or a date."""
    if said is None:
        return 0.0
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds())


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return "no connection" if isinstance(error, httpx.ConnectError) else "the connection broke"
