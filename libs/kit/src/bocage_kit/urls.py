"""Public links. The base is decided once, at the gateway; every service builds its links from that decision."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

_HOST = re.compile(r"^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?\Z")
_FOR = re.compile(r"(?i)(?:^|[;,\s])for\s*=\s*\"?(\[[0-9a-f:.]+\]|[^\";,\s]+)")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class UntrustedHost(Exception):
    """The Host header names none of this platform's names."""


@dataclass(frozen=True)
class PublicAddress:
    """What the operator settled: an address, or whom to believe about it."""

    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    allowed_hosts: Collection[str] = field(default=_LOOPBACK)

    def base(self, headers: Iterable[tuple[bytes, bytes]], peer: str | None, scheme: str = "http") -> str:
        """The public base of a request, without a trailing slash. Raises UntrustedHost."""
        if self.public_url:
            return self.public_url.rstrip("/")
        values = {name.decode("latin1").lower(): value.decode("latin1") for name, value in headers}
        if self._trusts(peer) and (forwarded := _forwarded(values)):
            scheme, host, prefix = forwarded
            if _HOST.match(host):
                return f"{scheme}://{host}{prefix}"
        host = values.get("host", "")
        if not _HOST.match(host) or _name(host) not in self.allowed_hosts:
            raise UntrustedHost
        return f"{scheme}://{host}"

    def caller(self, headers: Iterable[tuple[bytes, bytes]], peer: str | None) -> str | None:
        """The network address of whoever asks: the peer's, or what trusted proxies say of theirs.

        Of version 6 the network of 64 bits, which is the least that one subscriber has.
        """
        if not self.trusted_proxies or not self._trusts(peer):
            return _network(peer)
        standard, older = list[str](), list[str]()
        for name, value in headers:
            match name.lower():
                case b"forwarded":
                    standard += _FOR.findall(value.decode("latin1"))
                case b"x-forwarded-for":
                    older += value.decode("latin1").split(",")
        said = {hop for hops in (standard, older) if (hop := self._nearest_stranger(hops)) is not None}
        # Most proxies write one of the two headers and pass the other on as it came: then it is the caller's own word.
        return _network(said.pop() if len(said) == 1 else peer)

    def _nearest_stranger(self, hops: Iterable[str]) -> str | None:
        """From the nearest on: the first that is no proxy of ours is as far as anybody's word is good."""
        plain = [_plain(hop) for hop in hops if hop.strip()]
        return next((hop for hop in reversed(plain) if not self._trusts(hop)), plain[0] if plain else None)

    def _trusts(self, peer: str | None) -> bool:
        return peer is not None and _within(peer, self.trusted_proxies)


@lru_cache(4096)
def _within(peer: str, networks: tuple[str, ...]) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)


def _plain(hop: str) -> str:
    """A hop without its port: `192.0.2.1:80`, `"[2001:db8::1]:80"`."""
    hop = hop.strip()
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


@lru_cache(4096)
def _network(address: str | None) -> str | None:
    if address is None:
        return None
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def _name(host: str) -> str:
    return re.sub(r":\d+$", "", host).lower()


def _forwarded(values: dict[str, str]) -> tuple[str, str, str] | None:
    """(scheme, host, path prefix) by RFC 7239, else by the X-Forwarded-* headers; the nearest proxy's word counts."""
    prefix = values.get("x-forwarded-prefix", "").strip().rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", prefix):
        prefix = ""
    if standard := values.get("forwarded"):
        nearest = standard.split(",")[-1]
        pairs = dict(re.findall(r"(\w+)\s*=\s*\"?([^\";,]+)\"?", nearest))
        pairs = {name.lower(): value.strip() for name, value in pairs.items()}
        if "host" in pairs:
            return _scheme(pairs.get("proto")), pairs["host"], prefix
    if host := values.get("x-forwarded-host"):
        return _scheme(values.get("x-forwarded-proto")), host.split(",")[-1].strip(), prefix
    return None


def _scheme(value: str | None) -> str:
    return "https" if (value or "").split(",")[-1].strip().lower() == "https" else "http"


@lru_cache(8192)
def _quoted(segment: str) -> str:
    return quote(segment, safe="~:@!$&'()*+,;=")


@lru_cache(1024)
def root_path(base: str) -> str:
    """The path of a public base, which stands before the path of whatever is asked for."""
    return urlsplit(base).path.rstrip("/")


def public_url(base: str, *segments: str, trailing_slash: bool = False) -> str:
    """`base` followed by percent-encoded path segments."""
    path = "".join(["/" + _quoted(segment) for segment in segments])
    return base.rstrip("/") + path + ("/" if trailing_slash else "")


def asset_url(base: str, collection: str, item: str, asset: str) -> str:
    """The stable public link of an asset."""
    return public_url(base, "assets", collection, item, asset)


def asset_of(url: str, bases: Iterable[str]) -> tuple[str, str, str] | None:
    """(collection, item, asset) when `url` is an asset link under one of `bases`, or a path-only asset link."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        return None
    for base in ("", *bases):
        prefix = base.rstrip("/") + "/assets/"
        if url.startswith(prefix):
            segments = [unquote(x) for x in url[len(prefix) :].split("/")]
            if len(segments) == 3 and all(segments):
                return segments[0], segments[1], segments[2]
    return None
