"""What the OpenID Connect provider says of itself, for the OpenAPI document alone: `rights` checks the tokens."""

from __future__ import annotations

import json
import time
from typing import Any

import aiohttp

_SECONDS = 5.0
_AGAIN_SECONDS = 60.0
_LARGEST = 256 * 1024


def configuration_url(issuer: str) -> str:
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def oauth2_flows(configuration: dict[str, Any]) -> dict[str, Any]:
    """The flows of an OAuth2 scheme with the provider's own addresses.

    `password` is where THEIA's client looks for the address at which tokens are made.
    """
    token, authorise = configuration.get("token_endpoint"), configuration.get("authorization_endpoint")
    if not isinstance(token, str):
        return {}
    flows: dict[str, Any] = {"password": {"tokenUrl": token, "scopes": {}}}
    if isinstance(authorise, str):
        flows["authorizationCode"] = {"authorizationUrl": authorise, "tokenUrl": token, "scopes": {}}
    return flows


class Provider:
    """Asked when the document is, until it has answered, and not more often than once a minute."""

    def __init__(self, issuer: str | None) -> None:
        self.url = configuration_url(issuer) if issuer else None
        self._issuer = issuer
        self._flows: dict[str, Any] = {}
        self._asked = float("-inf")

    async def flows(self) -> dict[str, Any]:
        if self.url is None or self._flows or time.monotonic() - self._asked < _AGAIN_SECONDS:
            return self._flows
        self._asked = time.monotonic()
        try:
            timeout = aiohttp.ClientTimeout(total=_SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self.url, allow_redirects=False) as answer,
            ):
                content = bytearray()
                async for piece in answer.content.iter_chunked(65536):
                    content += piece
                    if len(content) > _LARGEST:
                        return self._flows
                told = json.loads(content) if answer.status == 200 else None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, RecursionError):
            return self._flows
        if isinstance(told, dict) and told.get("issuer") == self._issuer:
            self._flows = oauth2_flows(told)
        return self._flows
