"""Bytes through the gateway: both ways, unchanged, bounded in memory, and stopped when either side leaves."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

MEGABYTE = 1 << 20
STREAMED = int(os.environ.get("BOCAGE_TEST_STREAM_MB", "300")) * MEGABYTE
BLOCK = bytes(range(256)) * 256


def headers_seen(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.json()["headers"]]


class PeakMemory:
    """Samples the gateway's resident memory while a block runs."""

    def __init__(self, platform: Any) -> None:
        self._platform: Any = platform
        self._done = threading.Event()
        self.base: int = platform.memory()
        self.peak = self.base
        self._thread = threading.Thread(target=self._sample)

    def _sample(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, self._platform.memory())

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def added_megabytes(self) -> float:
        return float((self.peak - self.base) / MEGABYTE)


def test_each_prefix_reaches_its_service(client: httpx.Client) -> None:
    for prefix, service in {
        "stac": "catalogue",
        "tiles": "tiles",
        "processing": "processing",
        "rights": "rights",
        "assets": "rights",
    }.items():
        assert client.get(f"/{prefix}/echo").json()["service"] == service


def test_path_and_query_arrive_as_sent(client: httpx.Client, platform: Any) -> None:
    target = "/stac/echo/a%20b%C3%A9:;@x/echo?bbox=1,2&q=%2e%2e%2F&x=a+b&empty=&token=next:abc"
    answer = platform.raw(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert f"{told['raw_path']}?{told['query']}" == target


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_methods_and_bodies_arrive(client: httpx.Client, method: str) -> None:
    told = client.request(method, "/processing/echo", content=b"\x00body").json()
    assert (told["method"], told["body"]) == (method, "\x00body")


def test_a_gzipped_body_is_not_unpacked(client: httpx.Client) -> None:
    told = client.post("/stac/echo", content=b"\x1f\x8b-not-really", headers={"Content-Encoding": "gzip"}).json()
    assert told["body"] == "\x1f\x8b-not-really"


def test_spoofable_and_hop_by_hop_headers_do_not_pass(client: httpx.Client) -> None:
    spoofed = {
        "X-API-Key": "good.secret",
        "Bocage-Identity": "forged",
        "Bocage_Identity": "forged",
        "bocage-IDENTITY": "forged",
        "X-Forwarded-For": "6.6.6.6",
        "X_Forwarded_Host": "evil.example",
        "Forwarded": "host=evil.example",
        "X-Original-URI": "/rights",
        "X-Accel-Redirect": "/x",
        "X-Real-IP": "6.6.6.6",
        "Connection": "close, X-Org, bocage-identity, X-Request-Id",
        "X-Org": "evil",
        "TE": "trailers",
        "X-Kept": "yes",
    }
    seen = headers_seen(client.get("/stac/echo", headers=spoofed))
    names = [name.replace("_", "-") for name, _ in seen]
    assert names.count("bocage-identity") == 1
    assert dict(seen)["bocage-identity"].startswith("token-good-")
    assert dict(seen)["x-kept"] == "yes"
    forbidden = {"x-api-key", "x-forwarded-for", "x-forwarded-host", "forwarded", "x-original-uri", "x-accel-redirect"}
    assert not {*forbidden, "x-org", "te", "x-real-ip", "connection", "authorization"} & set(names)
    assert "evil" not in json.dumps(seen)


def test_headers_of_the_answer(client: httpx.Client) -> None:
    answer = client.get("/stac/echo")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-plain"] == "kept"
    assert "x-secret-hop" not in answer.headers
    assert "x-accel-redirect" not in answer.headers
    assert "access-control-allow-credentials" not in answer.headers
    assert len(answer.headers.get_list("date", split_commas=False)) == 1
    assert "server" not in answer.headers
    assert "X-API-Key" in answer.headers["vary"]


def test_request_ids(client: httpx.Client) -> None:
    answer = client.get("/stac/echo", headers={"X-Request-Id": "mine-12345"})
    assert answer.headers["x-request-id"] == "mine-12345"
    assert dict(headers_seen(answer))["x-request-id"] == "mine-12345"
    for insane in ("short", "x" * 65, "a b c d e f g h"):
        answer = client.get("/stac/echo", headers={"X-Request-Id": insane})
        assert answer.headers["x-request-id"] != insane
        assert answer.headers["x-request-id"] == dict(headers_seen(answer))["x-request-id"]


def test_head_has_no_body(client: httpx.Client) -> None:
    answer = client.head("/stac/echo")
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0
    assert answer.content == b""


def blocks(total: int) -> Iterator[bytes]:
    for _ in range(total // len(BLOCK)):
        yield BLOCK


@pytest.mark.parametrize("announced", [True, False])
def test_large_bodies_pass_both_ways_in_little_memory(platform: Any, announced: bool) -> None:
    expected = hashlib.sha256()
    for block in blocks(STREAMED):
        expected.update(block)
    headers = {"Content-Length": str(STREAMED)} if announced else {}
    with httpx.Client(base_url=platform.url, timeout=60) as client:
        client.get("/stac/echo")
        with PeakMemory(platform) as memory:
            up = client.put("/assets/c/i/sink", content=blocks(STREAMED), headers=headers).json()
            down, size = hashlib.sha256(), 0
            query = f"bytes={STREAMED}" + ("&length" if announced else "") + ("=1" if announced else "")
            with client.stream("GET", f"/assets/c/i/stream?{query}") as answer:
                for chunk in answer.iter_raw():
                    down.update(chunk)
                    size += len(chunk)
    assert up == {"size": STREAMED, "sha256": expected.hexdigest()}
    assert (size, down.hexdigest()) == (STREAMED, expected.hexdigest())
    assert memory.added_megabytes <= 20


def test_slow_readers_keep_the_memory_flat(platform: Any) -> None:
    request = f"GET /assets/c/i/stream?bytes={200 * MEGABYTE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with PeakMemory(platform) as memory:
        readers = [socket.create_connection(("127.0.0.1", platform.port)) for _ in range(10)]
        for reader in readers:
            reader.sendall(request)
        for _ in range(20):
            time.sleep(0.05)
            for reader in readers:
                reader.recv(2000)
        for reader in readers:
            reader.close()
    assert memory.added_megabytes <= 20


@pytest.mark.parametrize("query", ["", "?silent=1"])
def test_the_service_stops_when_the_client_leaves(platform: Any, query: str) -> None:
    connection = socket.create_connection(("127.0.0.1", platform.port))
    connection.sendall(f"GET /tiles/drip{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    platform.wait_until(lambda: platform.control("tiles")["dripping"] == 1)
    time.sleep(0.3)
    connection.close()
    assert platform.wait_until(lambda: platform.control("tiles")["dripping"] == 0) < 1


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_half_an_upload_is_not_taken_for_the_whole(platform: Any, framing: str) -> None:
    before = platform.control("rights")["broken_uploads"]
    connection = socket.create_connection(("127.0.0.1", platform.port))
    connection.sendall(f"PUT /assets/c/i/sink HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n3e8\r\n".encode())
    connection.sendall(b"x" * 1000 + b"\r\n")
    time.sleep(0.3)
    connection.close()
    platform.wait_until(lambda: platform.control("rights")["broken_uploads"] == before + 1, 2)


def test_a_stalled_upload_is_ended(platform: Any) -> None:
    answer = platform.raw(
        b"PUT /assets/c/i/sink HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf", wait=6
    )
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"body-too-slow" in answer


def test_an_early_answer_leaves_no_half_read_connection_behind(client: httpx.Client) -> None:
    for _ in range(5):
        answer = client.put("/assets/c/i/early", content=blocks(4 * MEGABYTE))
        assert answer.status_code == 403
        told = client.get("/rights/echo").json()
        assert told["method"] == "GET"


def test_a_silent_service_gives_504(client: httpx.Client) -> None:
    answer = client.get("/processing/hang")
    assert answer.status_code == 504
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "service-too-slow"
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("announced", [True, False])
def test_a_service_that_dies_in_the_body_gives_a_truncation(own_platform: Any, announced: bool) -> None:
    query = "started=1&length=1" if announced else "started=1"
    with httpx.Client(base_url=own_platform.url) as client, pytest.raises(httpx.RemoteProtocolError):
        client.get(f"/tiles/die?{query}")


def test_a_service_that_is_down_and_comes_back(own_platform: Any) -> None:
    with httpx.Client(base_url=own_platform.url, timeout=10) as client:
        assert client.get("/tiles/echo").status_code == 200
        own_platform.stop("tiles")

        own_platform.start_service("tiles")
        answer = client.get("/tiles/echo")  # ridden over: it waits for the restart
        assert answer.status_code == 200
        assert client.post("/tiles/echo", content=b"x").status_code == 200

        own_platform.stop("tiles")
        started = time.monotonic()
        answer = client.get("/tiles/echo")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert answer.headers["content-type"] == "application/problem+json"
        assert "sock" not in answer.text
        assert 1.5 < time.monotonic() - started < 5
        started = time.monotonic()
        assert client.post("/tiles/echo", content=b"x").status_code == 503
        assert time.monotonic() - started < 0.5  # known to be down: nobody waits again

        own_platform.start_service("tiles")
        own_platform.wait_for_service("tiles")
        assert client.get("/tiles/echo").status_code == 200


def test_a_service_that_dies_before_it_answers(own_platform: Any) -> None:
    with httpx.Client(base_url=own_platform.url, timeout=10) as client:
        answer = client.post("/tiles/die", content=b"x")
        assert answer.status_code == 502
        assert answer.json()["code"] == "service-broke-off"
        assert answer.headers["retry-after"]


def test_the_body_limit_counts_what_comes(platform: Any, client: httpx.Client) -> None:
    limit = 16 * MEGABYTE
    assert client.post("/stac/sink", content=blocks(limit)).json()["size"] == limit
    chunked = client.post("/stac/sink", content=blocks(limit + MEGABYTE))
    assert chunked.status_code == 413
    assert chunked.json()["limit"] == limit
    announced = platform.raw(b"POST /stac/sink HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
    assert announced.startswith(b"HTTP/1.1 413 ")
    assert client.put("/assets/c/i/sink", content=blocks(limit + MEGABYTE)).status_code == 200
