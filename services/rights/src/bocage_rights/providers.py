"""The OpenID Connect providers that the operator named: their discovery documents and keys, fetched and kept."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from bocage_rights.bearer import Claims, InvalidToken, PublicKey, key_for, public_keys, read, verified_email, verify

LARGEST_DOCUMENT = 256 * 1024
FETCH_SECONDS = 5.0
KEYS_LIVE_SECONDS = 600.0
"""A key that the provider has dropped is believed no longer than this."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_log = logging.getLogger("bocage.rights.oidc")


class ProviderUnavailable(Exception):
    """The provider can't be asked for its keys now: nothing is known of the token."""


@dataclass
class _Provider:
    issuer: str
    configuration: Mapping[str, Any] = field(default_factory=dict)
    keys: list[PublicKey] = field(default_factory=list)
    fetched: float = float("-inf")
    failed: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Providers:
    """Tokens of these issuers for this audience. A provider is asked when its keys are needed, never at start."""

    def __init__(
        self, issuers: Iterable[str], audience: str, *, refetch_seconds: float = 10.0, retry_seconds: float = 2.0
    ) -> None:
        self._providers = {issuer: _Provider(issuer) for issuer in issuers}
        self._audience = audience
        self._refetch, self._retry = refetch_seconds, retry_seconds

    async def claims(self, token: str) -> Claims:
        """Raises InvalidToken, ProviderUnavailable."""
        unverified = read(token)
        provider = self._providers.get(unverified.issuer)
        if provider is None:
            raise InvalidToken("its issuer is none that this platform knows")
        await self._have_keys(provider, KEYS_LIVE_SECONDS)
        key = key_for(provider.keys, unverified)
        if key is None:  # the provider may have changed its keys; whoever makes up key ids can't make us ask often
            await self._have_keys(provider, self._refetch)
            key = key_for(provider.keys, unverified)
        if key is None:
            raise InvalidToken("the provider has no such key")
        return verify(unverified, key, self._audience, time.time())

    async def email_of(self, token: str, claims: Claims) -> str | None:
        """The verified e-mail that the provider tells of a bearer whose token doesn't hold it; None without."""
        endpoint = self._providers[claims.issuer].configuration.get("userinfo_endpoint")
        if not isinstance(endpoint, str) or not _fetchable(endpoint, claims.issuer):
            return None
        try:
            told = await _fetch(endpoint, {"Authorization": f"Bearer {token}"})
        except ProviderUnavailable:  # most likely a token that is not for this endpoint
            return None
        return verified_email(told) if told.get("sub") == claims.subject else None

    async def _have_keys(self, provider: _Provider, newer_than: float) -> None:
        if time.monotonic() - provider.fetched < newer_than:
            return  # without waiting for those whose keys have to be asked for
        async with provider.lock:
            now = time.monotonic()
            if now - provider.fetched < newer_than:
                return
            if now - provider.failed < self._retry:
                raise ProviderUnavailable(provider.issuer)
            try:
                provider.configuration, provider.keys = await _discover(provider.issuer)
            except ProviderUnavailable:
                provider.failed = time.monotonic()
                _log.warning("a provider can't be asked for its keys", extra={"issuer": provider.issuer})
                raise
            provider.fetched = time.monotonic()


async def _discover(issuer: str) -> tuple[Mapping[str, Any], list[PublicKey]]:
    configuration = await _fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if configuration.get("issuer") != issuer:
        raise ProviderUnavailable(issuer)
    address = configuration.get("jwks_uri")
    if not isinstance(address, str) or not _fetchable(address, issuer):
        raise ProviderUnavailable(issuer)
    try:
        return configuration, public_keys(await _fetch(address))
    except ValueError:
        raise ProviderUnavailable(issuer) from None


def _fetchable(address: str, issuer: str) -> bool:
    """Without encryption only from this machine, and only when the issuer itself is on it."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK and issuer.startswith("http:")
    return bool(parts.hostname) and (parts.scheme == "https" or local)


def check_issuer(issuer: str) -> str:
    """Raises ValueError for what can be no issuer."""
    parts = urlsplit(issuer)
    if not _fetchable(issuer, issuer) or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{issuer} is no issuer: an https address is (http only on this machine)")
    return issuer


async def _fetch(address: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A JSON object, within bounds of time and size, from exactly this address. Raises ProviderUnavailable."""
    content = b""
    try:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as client,
            client.stream("GET", address, headers={"Accept": "application/json", **(headers or {})}) as answer,
        ):
            if answer.status_code != 200:
                raise ProviderUnavailable(address)
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > LARGEST_DOCUMENT:
                    raise ProviderUnavailable(address)
        document = json.loads(content)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, ValueError, RecursionError):
        raise ProviderUnavailable(address) from None
    if not isinstance(document, dict):
        raise ProviderUnavailable(address)
    return document
