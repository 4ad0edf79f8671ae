"""What is refused before any service sees it, and what browsers are told."""

from __future__ import annotations

import socket
import time
from typing import Any

import httpx
import pytest
from bocage_gateway.routes import check_path, route_of
from bocage_kit.problems import Problem


@pytest.mark.parametrize(
    "path",
    [
        "/stac/../rights/echo",
        "/stac/%2e%2e/rights/echo",
        "/stac/%2E./rights/echo",
        "/stac/.%2e/echo",
        "/stac/%252e%252e/echo",
        "/stac/./echo",
        "/stac/collections%2f..%2f..%2fidentity/echo",
        "/stac//echo",
        "//stac/echo",
        "/stac\\..\\echo",
        "/stac/%5c../echo",
        "/stac/a%00b",
        "/stac/a%0d%0ax",
        "/stac/%zz",
        "/stac/%",
        "/stac/%ff",
        "/rights%2fecho",
        "/rights/x%2fecho",
        "/%72ights/echo",
        "/stac/..",
    ],
)
def test_ambiguous_paths_are_refused(platform: Any, path: str) -> None:
    answer = platform.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert b"application/problem+json" in answer
    assert b"ambiguous-path" in answer


@pytest.mark.parametrize(
    "path", [b"/", b"/stac", b"/stac/collections/a.b/items/..c", b"/assets/c/i/a%2fb", b"/tiles/%C3%A9/x;y=1,2"]
)
def test_plain_paths_pass(path: bytes) -> None:
    check_path(path)


@pytest.mark.parametrize("path", [b"", b"*", b"stac/echo"])
def test_a_path_starts_with_a_slash(path: bytes) -> None:
    with pytest.raises(Problem):
        check_path(path)


@pytest.mark.parametrize("path", [b"/identity", b"/identity/revocations", b"/stacx/y", b"/Stac/y", b"/healthz", b"/"])
def test_nothing_else_is_routed(path: bytes) -> None:
    assert route_of(path) is None


@pytest.mark.parametrize("path", ["/identity", "/identity/revocations", "/control", "/nothing", "/rightsx/echo"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_inside_is_not_reachable(client: httpx.Client, path: str, method: str) -> None:
    answer = client.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


SMUGGLED = b"GET /rights/echo HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /stac/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n",
        b"POST /stac/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nabcd",
        b"POST /stac/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4, 40\r\n\r\nabcd",
        b"POST /stac/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /stac/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /stac/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\nabcd",
        b"GET /stac/echo HTTP/1.1\nHost: localhost\n\n",
        b"GET /stac/echo HTTP/1.1\r\nHost: localhost\r\nX: a\n\r\n",
        b"GET /stac/echo HTTP/1.1\r\nHost: localhost\r\nX: a\r\n folded\r\n\r\n",
        b"GET /stac/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length : 4\r\n\r\nabcd",
        b"POST /stac/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\nabcd\r\n0\r\n\r\n",
        b"GET /stac/echo\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /stac/\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /stac/echo HTTP/1.1\r\nHost: localhost\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_requests_that_two_servers_read_differently_are_refused(platform: Any, request_: bytes) -> None:
    answer = platform.raw(request_ + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:300]
    assert b'"service"' not in answer.partition(b"HTTP/1.1 400")[0]


def test_after_a_refused_framing_the_connection_is_closed(platform: Any) -> None:
    answer = platform.raw(
        b"POST /stac/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n" + SMUGGLED
    )
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil", "", "data.example.org:x"])
def test_unknown_hosts_are_refused(platform: Any, host: str) -> None:
    answer = platform.raw(f"GET /stac/echo HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"BOCAGE_ALLOWED_HOSTS" in answer


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "[::1]:8000", "data.example.org", "DATA.example.org:443"])
def test_known_hosts_become_the_public_base(platform: Any, client: httpx.Client, host: str) -> None:
    assert client.get("/rights/echo", headers={"Host": host}).status_code == 200
    landing = client.get("/", headers={"Host": host, "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil"})
    assert landing.json()["links"][0]["href"] == f"http://{host}/"


def test_preflights_need_no_key_and_cost_no_exchange(client: httpx.Client, platform: Any) -> None:
    before = len(platform.control("rights")["exchanges"])
    asked = {"Origin": "https://viewer.example", "Access-Control-Request-Method": "GET", "X-API-Key": "bad.key"}
    answer = client.options("/stac/search", headers=asked | {"Access-Control-Request-Headers": "x-api-key"})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "GET" in answer.headers["access-control-allow-methods"]
    assert "X-API-Key" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert len(platform.control("rights")["exchanges"]) == before


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", "content-type,x-api-key"),
        ("PUT", "content-type,if-match,x-api-key"),
        ("PATCH", "authorization,content-type,if-match"),
        ("DELETE", "if-match,x-api-key"),
        ("GET", "accept-language,if-none-match,range,x-api-key"),
    ],
)
def test_a_browser_lets_pages_read_and_write(client: httpx.Client, method: str, headers: str) -> None:
    """What a browser asks before, and how it judges the answer: by names, the case of headers aside."""
    asked = {
        "Origin": "https://viewer.example",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    answer = client.options("/stac/collections/a/items/b", headers=asked)
    assert answer.status_code == 204 and answer.headers["access-control-allow-origin"] == "*"
    methods, allowed = (
        {name.strip().lower() for name in answer.headers[f"access-control-allow-{what}"].split(",")}
        for what in ("methods", "headers")
    )
    assert method.lower() in methods and set(headers.split(",")) <= allowed


@pytest.mark.parametrize("path", ["/", "/stac/echo", "/nothing", "/stac/%00", "/processing/hang"])
def test_browsers_may_read_every_answer(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"Origin": "https://viewer.example"})
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]
    for name in ("Location", "Link", "ETag", "Content-Range", "Retry-After", "RateLimit"):
        assert name in answer.headers["access-control-expose-headers"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND"])
def test_other_methods_are_refused(platform: Any, method: str) -> None:
    target = "localhost:80" if method == "CONNECT" else "/stac/echo"
    answer = platform.raw(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in (b"400", b"405")


def test_endless_heads_are_refused(platform: Any) -> None:
    with socket.create_connection(("127.0.0.1", platform.port), timeout=5) as connection:
        connection.sendall(b"GET /stac/echo HTTP/1.1\r\nHost: localhost\r\n")
        answer = b""
        try:
            for _ in range(100):
                connection.sendall(b"X-Filler: " + b"x" * 8000 + b"\r\n")
                time.sleep(0.005)
            answer = connection.recv(1000)
        except (BrokenPipeError, ConnectionResetError):
            return
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_half_open_connections_do_not_keep_others_out(platform: Any, client: httpx.Client) -> None:
    idle = [socket.create_connection(("127.0.0.1", platform.port)) for _ in range(300)]
    try:
        for connection in idle:
            connection.sendall(b"GET /stac/echo HTTP/1.1\r\nHost:")
        assert client.get("/stac/echo").status_code == 200
    finally:
        for connection in idle:
            connection.close()
