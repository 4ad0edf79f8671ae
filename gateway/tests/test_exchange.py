"""Credentials become tokens once, and stop being tokens when they are revoked."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from bocage_gateway.credentials import credential_of
from bocage_gateway.exchange import ANONYMOUS, Credential
from bocage_kit.problems import Problem


def token_of(answer: httpx.Response) -> str:
    tokens = [str(value) for name, value in answer.json()["headers"] if name == "bocage-identity"]
    assert len(tokens) == 1
    return tokens[0]


def exchanges(platform: Any, secret: str) -> list[dict[str, str]]:
    return [shown for shown in platform.control("rights")["exchanges"] if secret in json.dumps(shown)]


def test_a_key_is_exchanged_once(platform: Any, client: httpx.Client) -> None:
    tokens = {token_of(client.get("/stac/echo", headers={"X-API-Key": "once.secret"})) for _ in range(5)}
    assert len(tokens) == 1
    assert exchanges(platform, "once.") == [{"api_key": "once.secret", "public_base": platform.url}]


def test_each_public_base_has_a_token_of_its_own(platform: Any, client: httpx.Client) -> None:
    key = {"X-API-Key": "bases.secret"}
    here = token_of(client.get("/stac/echo", headers=key))
    there = token_of(client.get("/stac/echo", headers=key | {"Host": "data.example.org"}))
    assert here != there
    assert exchanges(platform, "bases.")[1]["public_base"] == "http://data.example.org"


def test_simultaneous_requests_share_one_exchange(platform: Any, client: httpx.Client) -> None:
    platform.control("rights", exchange_seconds="0.5")
    try:
        with ThreadPoolExecutor(16) as pool:
            key = {"X-API-Key": "together.secret"}
            answers = list(pool.map(lambda _: client.get("/stac/echo", headers=key), range(16)))
    finally:
        platform.control("rights", exchange_seconds="0")
    assert {answer.status_code for answer in answers} == {200}
    assert len(exchanges(platform, "together.")) == 1


def test_anonymous_callers_have_a_token_too(client: httpx.Client) -> None:
    assert token_of(client.get("/stac/echo")).startswith("token-anonymous-")


def test_refusals_are_remembered_for_a_moment(platform: Any, client: httpx.Client) -> None:
    for _ in range(20):
        answer = client.get("/stac/echo", headers={"X-API-Key": "bad1.secret"})
        assert answer.status_code == 401
        assert "ApiKey" in answer.headers["www-authenticate"]
        assert answer.json()["code"] == "unauthenticated"
        assert "secret" not in answer.text
    assert len(exchanges(platform, "bad1.")) == 1
    time.sleep(2.1)
    client.get("/stac/echo", headers={"X-API-Key": "bad1.secret"})
    assert len(exchanges(platform, "bad1.")) == 2


@pytest.mark.parametrize("key", ["nodot", "", "a b.c", "x." + "y" * 600, "é.secret"])
def test_what_is_no_key_never_reaches_rights(platform: Any, key: str) -> None:
    before = len(platform.control("rights")["exchanges"])
    answer = platform.raw(
        b"GET /stac/echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-API-Key: " + key.encode() + b"\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert len(platform.control("rights")["exchanges"]) == before


def test_a_bearer_token_is_refused_with_the_reason(client: httpx.Client) -> None:
    answer = client.get("/stac/echo", headers={"Authorization": "Bearer abc.def.ghi"})
    assert answer.status_code == 401
    assert "OpenID Connect" in answer.json()["detail"]
    assert "WWW-Authenticate" in answer.headers


def test_two_credentials_are_refused(client: httpx.Client) -> None:
    answer = client.get("/stac/echo", headers=[("X-API-Key", "a.b"), ("X-API-Key", "c.d")])
    assert answer.status_code == 400
    answer = client.get("/stac/echo", headers=[("X-API-Key", "a.b"), ("Authorization", "Bearer x")])
    assert answer.status_code == 400


@pytest.mark.parametrize("name", ["api_key", "apikey", "API-KEY", "x-api-key", "access_token", "%61pi_key"])
def test_keys_in_the_address_are_refused(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/tiles/echo?a=1&{name}=good.secret")
    assert answer.status_code == 400
    assert answer.json()["code"] == "key-in-address"
    assert "good.secret" not in answer.text


def test_tile_tokens_count_under_tiles_only(client: httpx.Client) -> None:
    answer = client.get("/tiles/echo?token=tile.secret&x=1")
    assert token_of(answer).startswith("token-tile-")
    assert answer.json()["query"] == "token=tile.secret&x=1"  # tiles repeats it in its links
    assert token_of(client.get("/stac/echo?token=next:abc")).startswith("token-anonymous-")
    assert token_of(client.post("/tiles/echo?token=tile.secret")).startswith("token-anonymous-")
    assert client.get("/tiles/echo?token=bad.secret").status_code == 401
    assert client.get("/tiles/echo?token=").status_code == 401
    assert client.get("/tiles/echo?token=a.b&token=c.d").status_code == 400


def test_a_key_counts_before_a_tile_token() -> None:
    shown = credential_of("GET", b"/tiles/x", b"token=t.s", [(b"x-api-key", b"k.s")])
    assert shown == Credential("api_key", "k.s")


@pytest.mark.parametrize("path", [b"/tilesx/y", b"/stac/tiles/y", b"/rights/tile_tokens"])
def test_tile_tokens_elsewhere_are_another_parameter(path: bytes) -> None:
    assert credential_of("GET", path, b"token=t.s", []) == ANONYMOUS


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_signed_links_count_under_assets_only(method: str) -> None:
    query = b"X-Amz-Expires=300&link=1.body.mac"
    assert credential_of(method, b"/assets/c/i/a", query, []) == Credential("signed_link", "1.body.mac")
    assert credential_of(method, b"/assets/c/i/a", query, [(b"x-api-key", b"k.s")]) == Credential("api_key", "k.s")
    for path in (b"/assets", b"/assetsx/c/i/a", b"/rights/me", b"/tiles/assets/c", b"/stac/assets/c/i/a"):
        assert credential_of(method, path, query, []) == ANONYMOUS
    assert credential_of("POST", b"/assets/c/i/a", query, []) == ANONYMOUS
    with pytest.raises(Problem) as two:
        credential_of(method, b"/assets/c/i/a", b"link=1.a.b&link=1.c.d", [])
    assert two.value.status == 400
    for broken in (b"link=", b"link=%00", b"link=" + b"a" * 4001):
        with pytest.raises(Problem) as refused:
            credential_of(method, b"/assets/c/i/a", broken, [])
        assert refused.value.status == 401


def test_a_broken_query_is_no_fault() -> None:
    with pytest.raises(Problem):
        credential_of("GET", b"/stac", b"&&%ff=%&api_key", [])
    assert credential_of("GET", b"/stac", b"&&%ff=%&=&;", []) == ANONYMOUS


def test_a_revocation_takes_effect_within_a_second(platform: Any, client: httpx.Client) -> None:
    key, other = {"X-API-Key": "revoked.secret"}, {"X-API-Key": "other.secret"}
    assert client.get("/stac/echo", headers=key).status_code == 200
    kept = token_of(client.get("/stac/echo", headers=other))
    platform.revoke("revoked")
    assert platform.wait_until(lambda: client.get("/stac/echo", headers=key).status_code == 401) < 1
    assert token_of(client.get("/stac/echo", headers=other)) == kept


def test_everything_can_be_dropped_at_once(platform: Any, client: httpx.Client) -> None:
    key = {"X-API-Key": "all.secret"}
    before = token_of(client.get("/stac/echo", headers=key))
    platform.control("rights", event='{"everything": true}')
    platform.wait_until(lambda: token_of(client.get("/stac/echo", headers=key)) != before, 1)


def test_a_heartbeat_drops_nothing(platform: Any, client: httpx.Client) -> None:
    key = {"X-API-Key": "heartbeat.secret"}
    before = token_of(client.get("/stac/echo", headers=key))
    platform.control("rights", event='{"alive": true}')
    time.sleep(0.3)
    assert token_of(client.get("/stac/echo", headers=key)) == before


def test_after_a_lost_stream_everything_is_asked_again(platform: Any, client: httpx.Client) -> None:
    key = {"X-API-Key": "lost.secret"}
    before = token_of(client.get("/stac/echo", headers=key))
    platform.control("rights", event='{"hang_up": true}')
    platform.wait_until(lambda: platform.control("rights")["listeners"] == 1, 3)
    assert token_of(client.get("/stac/echo", headers=key)) != before


def test_while_rights_is_down_memory_serves_for_seconds_only(own_platform: Any) -> None:
    key = {"X-API-Key": "down.secret"}
    with httpx.Client(base_url=own_platform.url, timeout=10) as client:
        token = token_of(client.get("/stac/echo", headers=key))
        own_platform.stop("rights")
        assert token_of(client.get("/stac/echo", headers=key)) == token
        time.sleep(5.1)
        answer = client.get("/stac/echo", headers=key)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        own_platform.start_service("rights")
        own_platform.wait_for_service("rights")
        assert client.get("/stac/echo", headers=key).status_code == 200
