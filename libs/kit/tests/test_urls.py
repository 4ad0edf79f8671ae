"""Public links: right however a request came, and never steered by somebody who isn't trusted."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from bocage_kit.urls import PublicAddress, UntrustedHost, asset_of, asset_url, public_url
from hypothesis import given
from hypothesis import strategies as st

PROXIES = ("10.0.0.0/8", "::1/128")
GATEWAY = PublicAddress(trusted_proxies=PROXIES, allowed_hosts=frozenset({"127.0.0.1", "localhost", "[::1]"}))

names = st.from_regex(r"[a-z][a-z0-9]{0,9}(\.[a-z][a-z0-9]{0,9}){1,3}", fullmatch=True)
ports = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
hosts = st.builds(lambda name, port: name + port, names, ports)
schemes = st.sampled_from(["http", "https"])
prefixes = st.one_of(
    st.just(""), st.from_regex(r"(/[A-Za-z0-9_~-]{1,8}){1,3}", fullmatch=True), st.just("/eo/"), st.just("/")
)
segments = st.text(min_size=1, max_size=20).filter(lambda text: not any(0xD800 <= ord(x) < 0xE000 for x in text))
trusted = st.sampled_from(["10.0.0.1", "10.255.0.9", "::1"])
strangers = st.sampled_from(["192.0.2.1", "11.0.0.1", "2001:db8::1", "127.0.0.1", "unix:", "", None])


def headers(**values: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode("latin1")) for name, value in values.items()]


@given(host=hosts, peer=st.one_of(trusted, strangers), url=st.sampled_from(["https://eo.example", "http://a.b/x/"]))
def test_a_configured_address_is_the_last_word(host: str, peer: str | None, url: str) -> None:
    settled = PublicAddress(public_url=url, trusted_proxies=PROXIES)
    asked = headers(host=host, x_forwarded_host="evil.example", forwarded="host=evil.example;proto=https")
    assert settled.base(asked, peer) == url.rstrip("/")


@given(port=ports, peer=st.one_of(trusted, strangers), name=st.sampled_from(["127.0.0.1", "localhost", "[::1]"]))
def test_direct_requests_are_answered_under_their_host(port: str, peer: str | None, name: str) -> None:
    assert GATEWAY.base(headers(host=name + port), peer) == f"http://{name}{port}"


@given(host=hosts, peer=st.one_of(trusted, strangers))
def test_unknown_hosts_are_refused(host: str, peer: str | None) -> None:
    with pytest.raises(UntrustedHost):
        GATEWAY.base(headers(host=host), peer)


@given(host=hosts, scheme=schemes, prefix=prefixes, peer=trusted)
def test_trusted_proxies_are_believed(host: str, scheme: str, prefix: str, peer: str) -> None:
    expected = f"{scheme}://{host}{prefix.rstrip('/')}"
    old = headers(host="inner", x_forwarded_host=host, x_forwarded_proto=scheme, x_forwarded_prefix=prefix)
    assert GATEWAY.base(old, peer) == expected
    new = headers(host="inner", forwarded=f'for=1.2.3.4;host="{host}";proto={scheme}', x_forwarded_prefix=prefix)
    assert GATEWAY.base(new, peer) == expected


@given(host=hosts, peer=strangers)
def test_nobody_else_is_believed(host: str, peer: str | None) -> None:
    forged = headers(host="localhost:8000", x_forwarded_host=host, forwarded=f"host={host}", x_forwarded_prefix="/evil")
    assert GATEWAY.base(forged, peer) == "http://localhost:8000"


def test_the_nearest_proxy_counts() -> None:
    chain = headers(host="inner", forwarded="host=evil.example, host=good.example;proto=https")
    assert GATEWAY.base(chain, "10.0.0.1") == "https://good.example"
    chain = headers(host="inner", x_forwarded_host="evil.example, good.example", x_forwarded_proto="http, https")
    assert GATEWAY.base(chain, "10.0.0.1") == "https://good.example"


@pytest.mark.parametrize(
    "host", ["", "a b", "user@localhost", "localhost/x", "localhost?x", "localhost:x", "-x", "[::1"]
)
def test_malformed_hosts_are_refused(host: str) -> None:
    with pytest.raises(UntrustedHost):
        GATEWAY.base(headers(host=host), "10.0.0.1")
    with pytest.raises(UntrustedHost):
        GATEWAY.base(headers(host="inner", x_forwarded_host=host), "10.0.0.1")


@pytest.mark.parametrize("prefix", ["//evil.example", "/a b", "/a?x", "/a#x", "evil", '/"><script>', "/\\evil"])
def test_malformed_prefixes_are_dropped(prefix: str) -> None:
    asked = headers(host="inner", x_forwarded_host="eo.example", x_forwarded_prefix=prefix)
    assert GATEWAY.base(asked, "10.0.0.1") == "http://eo.example"


@given(host=st.text(st.characters(codec="latin1"), max_size=40), prefix=st.text(st.characters(codec="latin1")))
def test_whatever_comes_a_base_is_an_origin_and_a_path(host: str, prefix: str) -> None:
    asked = headers(host=host, x_forwarded_host=host, x_forwarded_prefix=prefix)
    try:
        base = GATEWAY.base(asked, "10.0.0.1")
    except UntrustedHost:
        return
    parts = urlsplit(base)
    assert parts.scheme == "http"
    assert parts.netloc == host.split(",")[-1].strip()
    assert not parts.query
    assert not parts.fragment
    assert not base.endswith("/")
    assert "//" not in parts.path


bases = st.builds(lambda s, h, p: f"{s}://{h}{p.rstrip('/')}", schemes, hosts, prefixes)


@given(base=bases, collection=segments, item=segments, asset=segments)
def test_asset_links_are_read_back(base: str, collection: str, item: str, asset: str) -> None:
    link = asset_url(base, collection, item, asset)
    assert urlsplit(link).netloc == urlsplit(base).netloc
    assert link.startswith(base + "/assets/")
    assert link.isascii()
    assert asset_of(link, [base]) == (collection, item, asset)
    assert asset_of(asset_url("", collection, item, asset), [base]) == (collection, item, asset)
    assert asset_of(link + "?token=x", [base]) is None
    assert asset_of(link, []) is None


@pytest.mark.parametrize(
    "url",
    ["https://a.b/assets/c/i", "https://a.b/assets/c/i/a/x", "https://a.b/assets/c//a", "https://evil/assets/c/i/a"],
)
def test_other_links_are_no_asset_links(url: str) -> None:
    assert asset_of(url, ["https://a.b"]) is None


@given(base=bases, parts=st.lists(segments, min_size=1, max_size=4))
def test_segments_stay_segments(base: str, parts: list[str]) -> None:
    link = public_url(base, *parts)
    assert urlsplit(link).path.count("/") == urlsplit(base).path.count("/") + len(parts)
    assert not urlsplit(link).query
    assert public_url(base + "/", *parts) == link
    assert public_url(base, *parts, trailing_slash=True) == link + "/"
