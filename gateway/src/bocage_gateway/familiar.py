"""What the headers of a request mean, remembered: a client sends the same ones with all its requests.

Only what the parser and the door have once read and accepted is remembered, under a keyed digest of its very bytes, so
that no secret is held and nothing is taken for what it is not. The target is no part of it, and is read each time.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import NamedTuple

from bocage_kit.problems import Problem
from bocage_kit.urls import PublicAddress, UntrustedHost

from bocage_gateway import headers
from bocage_gateway.credentials import credential_of, names_a_secret
from bocage_gateway.exchange import Exchange
from bocage_gateway.headers import Headers

# A plain target: no escape in the path, no empty or dot segment, nothing that two programs could read in two ways.
_REQUEST = re.compile(
    rb"(GET|POST) (/(stac|tiles|processing|rights|assets)(?:/(?!\.\.?[/? ])[A-Za-z0-9._~:@!$&'()*+,;=-]+)*/?)"
    rb"(?:\?([A-Za-z0-9._~:@!$&'()*+,;=/?%-]*))? HTTP/1\.1\r\n"
)
_LENGTH = re.compile(rb"(?i)(?:\A|\r\n)content-length: ?([0-9]{1,7})(?=\r\n)")
# What varies from request to request, or asks for more than an answer.
_NEVER = frozenset({b"x-request-id", b"transfer-encoding", b"expect", b"upgrade", b"content-length"})
_IN_QUERY = frozenset({b"tiles", b"assets"})
"""Where a query may hold a credential."""
_REMEMBERED = 4096
_LONGEST = 4096
_HEAD_BYTES = 64 * 1024

Key = tuple[bytes, bytes, str | None]


class Manner(NamedTuple):
    """What headers mean, whatever is asked for."""

    credential: bytes
    """Under which digest the exchange remembers it."""
    anonymous: bool
    address: str
    """Whom to count when there is no credential."""
    forwarded: bytes
    """The headers that a service sees."""


class Target:
    """The parts of a plain request that its first line tells, and where its headers and its body are."""

    __slots__ = ("begin", "first", "key", "length", "line", "method", "path", "query")

    def __init__(
        self, line: bytes, method: bytes, path: bytes, first: bytes, query: bytes, key: Key, begin: int, length: int
    ) -> None:
        self.line, self.method, self.path, self.first, self.query = line, method, path, first, query
        self.key, self.begin, self.length = key, begin, length
        """`length` is that of the body, which begins at `begin`."""


class Familiar:
    """The headers that were seen last."""

    def __init__(self, exchange: Exchange, address: PublicAddress, *, bearers_taken: bool) -> None:
        self._exchange, self._address, self._bearers_taken = exchange, address, bearers_taken
        self._pepper = secrets.token_bytes(32)
        self._manners: dict[Key, Manner] = {}

    def target(self, data: bytes, peer: str | None) -> Target | None:
        """The request at the beginning of `data`; None when it is not plain, or not all of its head is there."""
        found = _REQUEST.match(data)
        if found is None:
            return None
        begin = found.end()
        end = data.find(b"\r\n\r\n", begin - 2, _HEAD_BYTES)
        if end < begin:
            return None
        block = data[begin : end + 2]
        line, method, path, first, query = found.group(0, 1, 2, 3, 4)
        length = 0
        if method == b"POST":
            said = _LENGTH.search(block)
            if said is None:
                return None
            length = int(said[1])
            block = block[: said.start(1)] + block[said.end(1) :]
        digest = hashlib.blake2b(block, key=self._pepper, digest_size=24).digest()
        return Target(line, method, path, first, query or b"", (method, digest, peer), end + 4, length)

    def manner(self, target: Target) -> Manner | None:
        """What the headers of a request mean, when they are known and its query holds no credential."""
        manner = self._manners.get(target.key)
        if manner is None:
            return None
        query = target.query
        if query and ((manner.anonymous and target.first in _IN_QUERY) or names_a_secret(query)):
            return None
        return manner

    def learn(self, key: Key, said: Headers, scheme: str) -> None:
        """Remember what headers mean that a parser has read, unless they are of a kind that is looked at each time."""
        method, _, peer = key
        lengths = sum(name == b"content-length" for name, _ in said)
        if lengths != (method == b"POST") or sum(name == b"host" for name, _ in said) != 1:
            return
        if any(name in _NEVER and name != b"content-length" for name, _ in said):
            return
        try:
            base = self._address.base(said, peer, scheme)
            credential = credential_of(method.decode(), b"/", b"", said, bearers_taken=self._bearers_taken)
        except (Problem, UntrustedHost):
            return
        shown = [(name, value) for name, value in headers.to_service(said) if name != b"content-length"]
        forwarded = b"".join(b"%b: %b\r\n" % header for header in shown)
        if len(forwarded) > _LONGEST:
            return
        if len(self._manners) >= _REMEMBERED:
            self._manners.clear()
        self._manners[key] = Manner(
            self._exchange.digest(credential, base),
            credential.kind == "anonymous",
            self._address.caller(said, peer) or "unknown",
            forwarded,
        )
