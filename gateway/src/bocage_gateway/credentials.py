"""Which credential a request shows, and where one may be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

from bocage_kit.problems import Problem, unauthenticated

from bocage_gateway.exchange import ANONYMOUS, Credential

_KEY = re.compile(r"[\x21-\x7e]{1,512}")
_LINK = re.compile(r"[A-Za-z0-9_.-]{1,4000}")
_SECRETS_IN_QUERY = frozenset({"apikey", "xapikey", "accesstoken", "authorization", "bocageidentity"})
_UNKNOWN = "The credential is unknown, expired, revoked or suspended."


def credential_of(method: str, raw_path: bytes, query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Credential:
    """Raises a 400 or 401 for a credential in the wrong place or of the wrong kind."""
    parameters = parse_qsl(query.decode("latin1"), keep_blank_values=True) if query else []
    _refuse_keys_in(parameters)
    shown: dict[bytes, list[bytes]] = {b"x-api-key": [], b"authorization": []}
    for name, value in headers:
        if name in shown:
            shown[name].append(value)
    keys, bearers = shown[b"x-api-key"], shown[b"authorization"]
    if len(keys) + len(bearers) > 1:
        raise Problem(400, "two-credentials", "The request shows more than one credential; send X-API-Key once.")
    if bearers:
        raise unauthenticated(
            "Authorization is not taken: no OpenID Connect provider is configured on this platform."
            " Send an API key as X-API-Key."
        )
    if keys:
        key = keys[0].decode("latin1")
        if not _KEY.fullmatch(key) or "." not in key:
            raise unauthenticated(_UNKNOWN)
        return Credential("api_key", key)
    if method in ("GET", "HEAD") and (raw_path == b"/tiles" or raw_path.startswith(b"/tiles/")):
        tokens = {value for name, value in parameters if name == "token"}
        if len(tokens) > 1:
            raise Problem(400, "two-credentials", "The address holds more than one tile token; leave one.")
        if tokens:
            token = tokens.pop()
            if not _KEY.fullmatch(token):
                raise unauthenticated(_UNKNOWN)
            return Credential("tile_token", token)
    if method in ("GET", "HEAD", "PUT") and raw_path.startswith(b"/assets/"):
        links = {value for name, value in parameters if name == "link"}
        if len(links) > 1:
            raise Problem(400, "two-credentials", "The address holds more than one signed link; leave one.")
        if links:
            link = links.pop()
            if not _LINK.fullmatch(link):
                raise unauthenticated(_UNKNOWN)
            return Credential("signed_link", link)
    return ANONYMOUS


def _refuse_keys_in(parameters: list[tuple[str, str]]) -> None:
    for name, _ in parameters:
        if re.sub(r"[_\-\s]", "", name).lower() in _SECRETS_IN_QUERY:
            raise Problem(
                400,
                "key-in-address",
                "A key may not stand in an address, where logs and histories keep it: send it as X-API-Key, and make a"
                " new one, since this one is to be taken as known. For GIS tools there are tile tokens.",
            )
