"""Which headers pass the gateway, in either direction."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

Headers = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Host is the service's own; uvicorn has answered Expect; the rest could pass for the gateway's own word.
_NOT_TO_SERVICES = _HOP_BY_HOP | {
    b"host",
    b"expect",
    b"authorization",
    b"x-api-key",
    b"access-key",
    b"secret-key",
    b"bocage-identity",
    b"forwarded",
    b"x-real-ip",
    b"x-request-id",
    b"x-rewrite-url",
}
_PREFIXES_NOT_TO_SERVICES = (b"x-forwarded-", b"x-original-", b"x-accel-")
# The server writes its own Date; the request id and the rules for browsers are the gateway's to say.
_NOT_TO_CLIENTS = _HOP_BY_HOP | {b"date", b"server", b"x-request-id", b"bocage-identity"}
_CHARGED = b"bocage-charged-bytes"
_PREFIXES_NOT_TO_CLIENTS = (b"x-accel-", b"access-control-")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_EXPOSED = (
    b"Location, Link, ETag, Content-Range, Content-Crs, Retry-After, X-Request-Id,"
    b" RateLimit, RateLimit-Policy, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
)
_ALWAYS: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED),
]
_DEFAULTS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),  # a tile token may stand in the address
]
PREFLIGHT: Headers = [
    # Credentials are headers that a page must know and send itself: no page writes in another's name.
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"X-API-Key, Access-Key, Secret-Key, Authorization, Content-Type, Range, If-Match, If-None-Match, Prefer,"
        b" Accept-Language",
    ),
    (b"access-control-max-age", b"86400"),
    (b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
]


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's own request id when it is a sane one, else a new one."""
    sent = [value for name, value in headers if name == b"x-request-id"]
    if len(sent) == 1 and _REQUEST_ID.fullmatch(sent[0]):
        return sent[0].decode()
    return os.urandom(16).hex()


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    return {
        token.strip().lower().replace(b"_", b"-")
        for name, value in headers
        if name.lower() == b"connection"
        for token in value.split(b",")
    }


def to_service(headers: Headers) -> Headers:
    """What a service may see of a caller's headers. An underscore counts as a hyphen: some servers read it so."""
    dropped = _named_by_connection(headers)
    return [
        (name, value)
        for name, value in headers
        if _shown_to_services(name) and (not dropped or _plain(name) not in dropped)
    ]


def _plain(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")


@lru_cache(1024)
def _shown_to_services(name: bytes) -> bool:
    plain = _plain(name)
    return plain not in _NOT_TO_SERVICES and not plain.startswith(_PREFIXES_NOT_TO_SERVICES)


@lru_cache(1024)
def _shown_to_clients(lowered: bytes) -> bool:
    return lowered not in _NOT_TO_CLIENTS and not lowered.startswith(_PREFIXES_NOT_TO_CLIENTS)


def to_client(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What a caller may see of a service's headers."""
    lowered = [(name.lower(), value) for name, value in headers]
    dropped = _named_by_connection(lowered)
    return [(name, value) for name, value in lowered if name not in dropped and _shown_to_clients(name)]


def dressed(headers: Iterable[tuple[bytes, bytes]], request: str, *, by_caller: bool) -> Headers:
    """`headers` and what every answer carries; `by_caller` when the answer depends on who asks."""
    answer = list(headers)
    names = {name for name, _ in answer}
    answer += [default for default in _DEFAULTS if default[0] not in names]
    answer += _ALWAYS
    answer.append((b"x-request-id", request.encode()))
    if by_caller:
        if b"cache-control" not in names:
            # Who asks is said by a header that caches know nothing of: nobody may keep an answer for another.
            answer.append((b"cache-control", b"private, no-cache"))
        answer.append((b"vary", b"Authorization, X-API-Key, Access-Key"))
    return answer


_LINES = {
    status: f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in set(HTTPStatus) else ''}\r\n".encode()
    for status in range(200, 600)
}
_COMMON = b"".join(b"%b: %b\r\n" % header for header in (*_ALWAYS, (b"vary", b"Authorization, X-API-Key, Access-Key")))
_COMMON += b"x-request-id: "
_DEFAULT_LINES = {name: b"%b: %b\r\n" % (name, value) for name, value in _DEFAULTS} | {
    b"cache-control": b"cache-control: private, no-cache\r\n"
}


class _Plan(NamedTuple):
    """How a head is written whose headers have certain names."""

    form: bytes
    """A format for the values, in their order, and the request's id."""
    charged: int
    """The place of what is charged, less than 0 where nothing is."""
    framed: bool
    """Whether the length of the body is told."""


def rendered(status: int, answered: Headers, request: bytes) -> tuple[bytes, int, bool]:
    """What `dressed(to_client(…), by_caller=True)` and `charged` say, for names in lower case.

    The head as bytes, without its last lines; the bytes that are charged; and whether the head tells the body's length.
    """
    names = tuple([name for name, _ in answered])
    values = [value for _, value in answered]
    plan = _plan(status, names)
    if plan is None:
        return rendered(status, to_client(answered), request)
    size = 0
    if plan.charged >= 0:
        said = values[plan.charged]
        size = int(said) if said.isdigit() else 0
    return plan.form % (*values, request), size, plan.framed


@lru_cache(1024)
def _plan(status: int, names: tuple[bytes, ...]) -> _Plan | None:
    """A service says the same few with all its answers. None where the values have to be looked at."""
    if b"connection" in names:
        return None
    parts = [_LINES[status]]
    charged = -1
    for place, name in enumerate(names):
        if name == _CHARGED:
            charged = place
        hidden = name == _CHARGED or not _shown_to_clients(name)
        parts.append(b"%.0b" if hidden else name.replace(b"%", b"%%") + b": %b\r\n")
    parts += [line for name, line in _DEFAULT_LINES.items() if name not in names]
    parts += (_COMMON, b"%b\r\n")
    return _Plan(b"".join(parts), charged, b"content-length" in names)


def charged(headers: Headers) -> tuple[Headers, int]:
    """The headers without what `rights` says of bytes that a redirect or a signature gives away; and these bytes."""
    for place, (name, value) in enumerate(headers):
        if name == _CHARGED:
            kept = headers[:place] + headers[place + 1 :]
            return kept, int(value) if value.isdigit() else 0
    return headers, 0
