"""The way in: every request passes here before anything else sees it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bocage_kit import problems
from bocage_kit.problems import Problem
from bocage_kit.urls import PublicAddress, UntrustedHost
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bocage_gateway import headers, revocations
from bocage_gateway.contract import Contract
from bocage_gateway.credentials import credential_of
from bocage_gateway.exchange import Exchange
from bocage_gateway.familiar import Familiar
from bocage_gateway.forwarder import AT_ONCE_BYTES, Transfer
from bocage_gateway.health import Health
from bocage_gateway.metering import BYTES_COUNT, SIGNING, Meter, Metering, collection_of
from bocage_gateway.passage import Passages
from bocage_gateway.routes import SERVICES, Route, check_path, route_of
from bocage_gateway.settings import GatewaySettings
from bocage_gateway.upstream import Upstream

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True)
class Inside:
    """What the gateway holds while it runs."""

    upstreams: dict[str, Upstream]
    exchange: Exchange
    metering: Metering
    health: Health
    contract: Contract
    passages: Passages


@contextlib.asynccontextmanager
async def opened(settings: GatewaySettings, version: str) -> AsyncIterator[Inside]:
    """Connections to the services, the memory of tokens and the listener to revocations."""
    upstreams = {
        service: Upstream(service, settings.sockets / f"{service}.sock", settings.restart_patience)
        for service in SERVICES
    }
    metering = Metering(upstreams["rights"])
    exchange = Exchange(upstreams["rights"], metering)
    health = Health(upstreams, version)
    listener = asyncio.create_task(revocations.listen(upstreams["rights"], exchange))
    counting = asyncio.create_task(metering.run())
    try:
        issuer = next(iter(settings.oidc_issuers), None)
        contract = Contract(upstreams, health, version, issuer)
        passages = Passages(
            Familiar(exchange, settings.address(), bearers_taken=bool(settings.oidc_issuers)),
            exchange,
            metering,
            upstreams,
            upstream_seconds=settings.upstream_seconds,
            client_seconds=settings.client_seconds,
            longest=min(AT_ONCE_BYTES, settings.json_body_limit),
        )
        yield Inside(upstreams, exchange, metering, health, contract, passages)
    finally:
        for task in (listener, counting):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for upstream in upstreams.values():
            await upstream.close()


class Door:
    """Checks path and address, decides the public base, finds the caller's identity, and forwards.

    Requests for the gateway's own pages go on to `app`.
    """

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        self._app, self._settings = app, settings
        self._address: PublicAddress = settings.address()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = headers.request_id(scope["headers"])
        state = scope.setdefault("state", {})
        state["request_id"] = request_id

        async def dressing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = headers.dressed(message["headers"], request_id, by_caller=False)
            await send(message)

        try:
            if scope["method"] not in _METHODS:
                raise Problem(405, "method-not-allowed", "This method is not served here.")
            check_path(scope["raw_path"])
            base = self._public_base(scope)
            if scope["method"] == "OPTIONS":
                await _preflight(dressing)
                return
            route = route_of(scope["raw_path"])
            if route is not None:
                await self._forward(scope, receive, send, route, base, request_id)
                return
        except Problem as problem:
            await problems.response(problem, request_id)(scope, receive, dressing)
            return
        state["public_base"] = base
        await self._app(scope, receive, dressing)

    def _public_base(self, scope: Scope) -> str:
        hosts = sum(name == b"host" for name, _ in scope["headers"])
        if hosts > 1:
            raise Problem(400, "two-hosts", "The request has more than one Host header.")
        client = scope.get("client")
        try:
            return self._address.base(scope["headers"], client[0] if client else None, scope["scheme"])
        except UntrustedHost:
            raise Problem(
                400,
                "unknown-host",
                "This platform is not known under the name in the Host header. Its operator adds names with"
                " BOCAGE_ALLOWED_HOSTS or BOCAGE_PUBLIC_URL.",
            ) from None

    async def _forward(
        self, scope: Scope, receive: Receive, send: Send, route: Route, base: str, request_id: str
    ) -> None:
        inside: Inside = scope["state"]["inside"]
        metered = Metered(inside.metering, scope, send, self._address)
        transfer: Transfer | None = None
        try:
            credential = credential_of(
                scope["method"],
                scope["raw_path"],
                scope["query_string"],
                scope["headers"],
                bearers_taken=bool(self._settings.oidc_issuers),
            )
            known = await inside.exchange.known(credential, base)
            metered.admit(known.meter)
            transfer = Transfer(
                scope,
                receive,
                metered.send,
                identity=known.token,
                request_id=request_id,
                limit=self._settings.json_body_limit if route.limited else None,
                upstream_seconds=self._settings.upstream_seconds,
                client_seconds=self._settings.client_seconds,
            )
            await transfer.run(inside.upstreams[route.service])
        except Problem as problem:
            refused = metered.refused(problem)
            await problems.response(refused, request_id)(scope, receive, metered.dressing(request_id))
        except Exception as error:
            if transfer is not None and transfer.started:
                raise  # the answer is broken off: its reader must see that
            fault = problems.fault(error, request_id)
            await problems.response(fault, request_id)(scope, receive, metered.dressing(request_id))
        finally:
            metered.leave()


class Metered:
    """Counts one request and its answer's bytes, and tells the limits with the answer.

    A refused credential is counted by its address, as those are who show none. A collection is named in the statement
    of use only when the answer is not an error: anybody can ask for any name.
    """

    __slots__ = ("_address", "_bytes", "_collection", "_entered", "_meter", "_metering", "_scope", "_send", "_service")

    def __init__(self, metering: Metering, scope: Scope, send: Send, address: PublicAddress) -> None:
        self._metering, self._scope, self._send = metering, scope, send
        self._meter: Meter | None = None
        self._address = address
        first = scope["raw_path"].split(b"/", 2)[1]
        self._bytes = first in BYTES_COUNT
        self._service = first.decode("ascii")
        self._collection = collection_of(scope["raw_path"])
        self._entered = True

    def admit(self, meter: Meter | None) -> None:
        """Raises the Problem of a limit that is used up; then nothing is counted."""
        if meter is None:
            meter = self._by_address()
        self._meter = meter
        meter.check(time.time(), bytes_count=self._bytes or self._scope["raw_path"].startswith(SIGNING))
        meter.begin()
        self._entered = False

    def leave(self) -> None:
        """The end, also of a request that had no answer."""
        self._collection = None
        self._enter()

    def _enter(self) -> None:
        if not self._entered and self._meter is not None:
            self._entered = True
            self._metering.end(self._meter, self._service, self._collection)

    def refused(self, problem: Problem) -> Problem:
        """`problem`, or that of the limit of the address from which wrong credentials come without end."""
        if self._meter is None and problem.status < 500:
            try:
                self.admit(None)
            except Problem as limit:
                return limit
        return problem

    async def send(self, message: Message) -> None:
        meter = self._meter
        assert meter is not None
        if message["type"] == "http.response.start":
            self._tell(message, meter)
        elif self._bytes and (body := message.get("body")):
            self._metering.count(meter, self._service, self._collection, 0, len(body))
        await self._send(message)

    def dressing(self, request_id: str) -> Send:
        """For answers of the gateway's own in place of a service's."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = headers.dressed(message["headers"], request_id, by_caller=True)
                self._tell(message, self._meter or self._by_address())
            await self._send(message)

        return send

    def _by_address(self) -> Meter:
        client = self._scope.get("client")
        return self._metering.address(
            self._address.caller(self._scope["headers"], client[0] if client else None) or "unknown"
        )

    def _tell(self, message: Message, meter: Meter) -> None:
        if message["status"] >= 400:
            self._collection = None
        self._enter()
        kept, charged = headers.charged(message["headers"])
        if charged:
            self._metering.count(meter, self._service, self._collection, 0, charged)
        if meter.policy:
            now = time.time()
            kept.append((b"ratelimit-policy", meter.policy))
            kept.append((b"ratelimit", meter.header(now)))
        message["headers"] = kept


async def _preflight(send: Send) -> None:
    """Browsers ask before they send a key; the answer is the same for everybody and costs nothing."""
    await send({"type": "http.response.start", "status": 204, "headers": list(headers.PREFLIGHT)})
    await send({"type": "http.response.body", "body": b""})
