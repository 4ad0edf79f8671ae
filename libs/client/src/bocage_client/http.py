"""HTTP with patience: what may be repeated is repeated while the platform is away or asks to wait."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from bocage_client.configuration import Configuration
from bocage_client.errors import BocageError, Exit, JsonObject, Unreachable, refusal

AGAIN = frozenset({429, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
Body = Callable[[], Iterator[bytes]]


def origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class Transport:
    """Requests to one platform. The key goes to that platform only, never along a redirect to another host."""

    def __init__(self, configuration: Configuration) -> None:
        self.base, self.key, self.patience = configuration.url, configuration.key, configuration.patience
        self._http = httpx.Client(
            timeout=httpx.Timeout(60.0, connect=5.0, write=120.0), headers={"User-Agent": "bocage-client"}
        )

    def close(self) -> None:
        self._http.close()

    def url(self, path: str) -> str:
        """An absolute address, from a path below the base or an address as it is."""
        return path if "://" in path else self.base + path

    def owns(self, url: str) -> bool:
        return origin(url) == origin(self.base)

    def _named(self, url: str) -> str:
        """Whom to name when there is no answer."""
        return self.base if self.owns(url) else url

    def headers(self, url: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
        own = {"X-API-Key": self.key} if self.key and self.owns(url) else {}
        return own | dict(more or {})

    def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
        repeatable: bool | None = None,
        patience: float | None = None,
        allow: frozenset[int] = frozenset(),
    ) -> httpx.Response:
        """The answer; raises Unreachable, or Refused for an error status that is not in `allow`.

        `repeatable`: the request may be sent again when its answer was lost; by default when the method says so.
        """
        answer = self._answer(method, path, json, body, headers, params, repeatable, patience)
        return self.checked(answer, allow)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Iterator[httpx.Response]:
        """An answer that is read while it comes, of a request that may be repeated until it begins.

        Raises Unreachable also when it breaks off half-way, and Refused for an error status.
        """
        answer = self._answer(method, path, json, None, headers, params, True, None, stream=True)
        try:
            if answer.is_error:
                answer.read()
                self.checked(answer, frozenset())
            yield answer
        except httpx.TransportError as error:
            raise Unreachable(self._named(self.url(path)), _reason(error)) from error
        finally:
            answer.close()

    def _answer(
        self,
        method: str,
        path: str,
        json: object,
        body: Body | None,
        headers: Mapping[str, str] | None,
        params: Mapping[str, str | int] | None,
        repeatable: bool | None,
        patience: float | None,
        stream: bool = False,
    ) -> httpx.Response:
        url = self.url(path)
        again = method in _IDEMPOTENT if repeatable is None else repeatable
        deadline = time.monotonic() + (self.patience if patience is None else patience)
        pause = _FIRST_PAUSE
        while True:
            answer: httpx.Response | None = None
            reason: httpx.TransportError | None = None
            may = True
            try:
                request = self._http.build_request(
                    method,
                    url,
                    json=json,
                    content=body() if body else None,
                    headers=self.headers(url, headers),
                    params=params,
                )
                answer = self._http.send(request, stream=stream)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                # nothing was sent, so any request may be repeated
                reason = error
            except httpx.TransportError as error:
                reason, may = error, again
            if answer is not None:
                if answer.status_code not in AGAIN or not (again or answer.status_code == 429):
                    return answer
                wait = max(_asked_pause(answer), _jitter(pause))
                if time.monotonic() + wait > deadline:
                    return answer
                answer.close()
            else:
                wait = _jitter(pause)
                if not may or time.monotonic() + wait > deadline:
                    raise Unreachable(self._named(url), _reason(reason)) from reason
            time.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def get(self, path: str, params: Mapping[str, str | int] | None = None, patience: float | None = None) -> Any:
        return document(self.send("GET", path, params=params, patience=patience))

    def post(self, path: str, json: object, **more: Any) -> Any:
        return document(self.send("POST", path, json=json, **more))

    def final_url(self, url: str) -> str:
        """Where the bytes are, once the platform has decided: a signed address elsewhere, or `url` itself."""
        answer = self.send("HEAD", url)
        if answer.status_code in REDIRECTS and (location := answer.headers.get("location")):
            return str(urljoin(self.url(url), location))
        return self.url(url)

    @contextmanager
    def download(self, url: str, start: int = 0) -> Iterator[httpx.Response]:
        """Stream an asset from byte `start` on; the key is left out wherever a redirect leads away."""
        target = self.url(url)
        more = {"Range": f"bytes={start}-"} if start else {}
        for _ in range(5):
            with self._http.stream("GET", target, headers=self.headers(target, more)) as answer:
                location = answer.headers.get("location")
                if answer.status_code in REDIRECTS and location:
                    target = urljoin(target, location)
                    continue
                if answer.is_error:
                    answer.read()
                    self.checked(answer, frozenset())
                yield answer
                return
        raise BocageError(Exit.PLATFORM, "too-many-redirects", "The asset's address leads nowhere.")

    def checked(self, answer: httpx.Response, allow: frozenset[int] = frozenset()) -> httpx.Response:
        if not answer.is_error or answer.status_code in allow:
            return answer
        who = "The platform" if self.owns(str(answer.request.url)) else str(answer.request.url)
        raise refusal(answer.status_code, _problem(answer), f"{who} answered {answer.status_code}.")


def document(answer: httpx.Response) -> Any:
    """The JSON of an answer; None when it has no body."""
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError as error:
        raise BocageError(
            Exit.PLATFORM, "not-json", f"{answer.request.url.host} does not answer as Bocage does. Check the address."
        ) from error


def _problem(answer: httpx.Response) -> JsonObject | None:
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _asked_pause(answer: httpx.Response) -> float:
    try:
        return max(0.0, float(answer.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0


def _jitter(pause: float) -> float:
    # a spread keeps many clients from coming back all at once
    return pause * random.uniform(0.75, 1.25)  # noqa: S311


def _reason(error: Exception | None) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    return "the connection broke"
