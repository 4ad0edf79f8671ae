"""Hears from `rights` which credentials no longer hold, so that nothing revoked is served from memory."""

from __future__ import annotations

import asyncio
import json
import logging

import aiohttp

from bocage_gateway.exchange import Exchange
from bocage_gateway.upstream import Upstream

_SILENCE_SECONDS = 12.0  # rights speaks every 5 s
_PAUSE_SECONDS = 0.5
_log = logging.getLogger("bocage.gateway")


async def listen(rights: Upstream, exchange: Exchange) -> None:
    """Follow the stream for ever. Whatever was missed between two connections is covered by dropping all."""
    while True:
        try:
            await _follow(rights, exchange)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if exchange.watched:
                _log.warning("revocations are not heard", extra={"error": type(error).__name__})
        exchange.watched = False
        await asyncio.sleep(_PAUSE_SECONDS)


async def _follow(rights: Upstream, exchange: Exchange) -> None:
    async with rights.stream("/identity/revocations", _SILENCE_SECONDS) as lines:
        exchange.forget_all()
        exchange.watched = True
        async for line in lines:
            tell(exchange, line)


def tell(exchange: Exchange, line: bytes) -> None:
    """Apply one line of the stream; what is not understood drops everything. Raises ValueError when it isn't JSON."""
    if not line.strip():
        return
    event = json.loads(line)
    if not isinstance(event, dict):
        exchange.forget_all()
    elif isinstance(credential := event.get("credential"), str):
        exchange.forget(credential)
    elif not event.get("alive"):
        exchange.forget_all()
