"""Which credential a request shows, and where one may be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import parse_qsl, unquote_plus

from bocage_kit.problems import Problem, invalid_credential, unauthenticated

from bocage_gateway.exchange import ANONYMOUS, Credential

_KEY = re.compile(r"[\x21-\x7e]{1,512}")
_SECRETS_IN_QUERY = frozenset(
    {"apikey", "xapikey", "accesskey", "secretkey", "accesstoken", "authorization", "bocageidentity"}
)
_BEARER = re.compile(rb"bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)", re.IGNORECASE)
_LONGEST_BEARER = 8192
_KEY_HEADERS = (b"x-api-key", b"access-key", b"secret-key")
_USUAL_NAME = 64
_LINK = re.compile(r"[A-Za-z0-9_.-]{1,4000}")


def credential_of(
    method: str,
    raw_path: bytes,
    query: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    bearers_taken: bool = False,
) -> Credential:
    """Raises a 400 or 401 for a credential in the wrong place or of the wrong kind."""
    parameters = parse_qsl(query.decode("latin1"), keep_blank_values=True) if query else []
    if names_a_secret(query):
        raise Problem(
            400,
            "key-in-address",
            "A key may not stand in an address, where logs and histories keep it: send it as X-API-Key, and make a"
            " new one, since this one is to be taken as known. For GIS tools there are tile tokens.",
        )
    shown: dict[bytes, list[bytes]] = {name: [] for name in (*_KEY_HEADERS, b"authorization")}
    for name, value in headers:
        if name in shown:
            shown[name].append(value)
    keys, bearers = shown[b"x-api-key"], shown[b"authorization"]
    ids, secrets = shown[b"access-key"], shown[b"secret-key"]
    if len(keys) + len(bearers) + max(len(ids), len(secrets)) > 1:
        raise Problem(400, "two-credentials", "The request shows more than one credential; send X-API-Key once.")
    if ids or secrets:  # the two halves of one key
        keys = [b".".join((ids or [b""]) + (secrets or [b""]))]
    if bearers:
        return _bearer(bearers[0], bearers_taken)
    if keys:
        key = keys[0].decode("latin1")
        if not _KEY.fullmatch(key) or "." not in key:
            raise invalid_credential()
        return Credential("api_key", key)
    if method in ("GET", "HEAD") and (raw_path == b"/tiles" or raw_path.startswith(b"/tiles/")):
        tokens = {value for name, value in parameters if name == "token"}
        if len(tokens) > 1:
            raise Problem(400, "two-credentials", "The address holds more than one tile token; leave one.")
        if tokens:
            token = tokens.pop()
            if not _KEY.fullmatch(token):
                raise invalid_credential()
            return Credential("tile_token", token)
    if method in ("GET", "HEAD", "PUT") and raw_path.startswith(b"/assets/"):
        links = {value for name, value in parameters if name == "link"}
        if len(links) > 1:
            raise Problem(400, "two-credentials", "The address holds more than one signed link; leave one.")
        if links:
            link = links.pop()
            if not _LINK.fullmatch(link):
                raise invalid_credential()
            return Credential("signed_link", link)
    return ANONYMOUS


def _bearer(shown: bytes, taken: bool) -> Credential:
    if not taken:
        raise unauthenticated(
            "Authorization is not taken: no OpenID Connect provider is configured on this platform."
            " Send an API key as X-API-Key."
        )
    found = _BEARER.fullmatch(shown) if len(shown) <= _LONGEST_BEARER else None
    if found is None:
        raise unauthenticated("Authorization holds no bearer token that is taken here: a signed JSON Web Token is.")
    return Credential("bearer", found[1].decode())


def names_a_secret(query: bytes) -> bool:
    """Whether a parameter of the query is named as a key or a token is."""
    for each in query.split(b"&"):
        name = each.partition(b"=")[0]
        if _remembered_secret(name) if len(name) <= _USUAL_NAME else _is_secret(name):
            return True
    return False


def _is_secret(name: bytes) -> bool:
    plain = unquote_plus(name.decode("latin1"))
    return re.sub(r"[_\-\s]", "", plain).lower() in _SECRETS_IN_QUERY


_remembered_secret = lru_cache(1024)(_is_secret)
