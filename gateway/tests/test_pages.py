"""The gateway's own pages: landing, documentation, contract, health."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from bocage_gateway.app import create_app
from bocage_gateway.health import summary
from bocage_gateway.pages import prefers_html
from bocage_gateway.settings import GatewaySettings
from bocage_kit.access import undeclared_routes
from openapi_spec_validator import validate


class Links(HTMLParser):
    """Addresses that a page names, and whether its pictures have a text."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action")]


def test_the_landing_page_for_programs(client: httpx.Client, platform: Any) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"] == "application/json"
    links = {link["rel"]: link["href"] for link in answer.json()["links"]}
    assert links["data"] == f"{platform.url}/stac"
    assert links["service-desc"] == f"{platform.url}/openapi.json"
    assert links["service-doc"] == f"{platform.url}/docs"
    assert "Accept" in answer.headers["vary"]


def test_the_landing_page_for_people(client: httpx.Client, platform: Any) -> None:
    answer = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.headers["content-type"].startswith("text/html")
    assert f"{platform.url}/stac/collections" in answer.text
    page = Links()
    page.feed(answer.text)
    assert all(not re.match(r"(https?:)?//", address) for address in page.addresses)
    assert ("html", {"lang": "en"}) in page.elements
    assert [tag for tag, _ in page.elements if tag == "h1"] == ["h1"]
    assert all("alt" in attributes for tag, attributes in page.elements if tag == "img")
    for address in page.addresses:
        if address.startswith("site/"):
            assert client.get(f"/{address}").status_code == 200


def test_the_public_base_is_escaped_in_the_page(client: httpx.Client) -> None:
    answer = client.get("/", headers={"Accept": "text/html", "Host": 'localhost"><script>'})
    assert answer.status_code == 400
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("text/html", True),
        ("text/html;q=0.5, application/json", False),
        ("application/json;q=0.2, text/html;q=0.3", True),
        ("*/*", False),
        ("", False),
        ("text/html;q=x", False),
    ],
)
def test_who_gets_html(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html


def test_the_documentation_needs_nobody_else(client: httpx.Client) -> None:
    answer = client.get("/docs")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    page = Links()
    page.feed(answer.text)
    assert page.addresses
    for address in page.addresses:
        assert not re.match(r"(https?:)?//", address)
        assert client.get(f"/{address}").status_code == 200
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=", answer.text)
    version = re.search(r'PACKAGE_VERSION:"(\d+)', client.get("/site/swagger-ui-bundle.js").text)
    assert version is not None
    assert int(version[1]) >= 5  # the first that shows OpenAPI 3.1


def test_assets_are_revalidated(client: httpx.Client) -> None:
    tag = client.get("/site/landing.css").headers["etag"]
    assert client.get("/site/landing.css", headers={"If-None-Match": tag}).status_code == 304
    assert client.get("/site/nothing.css").status_code == 404
    assert client.get("/site/pages.py").status_code == 404


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/healthz", "/site/docs.js"])
def test_own_pages_answer_head(client: httpx.Client, path: str) -> None:
    answer = client.head(path)
    assert answer.status_code == 200
    assert answer.content == b""


def test_the_contract_follows_the_services(platform: Any, client: httpx.Client) -> None:
    first = client.get("/openapi.json")
    assert first.headers["content-type"].startswith("application/vnd.oai.openapi+json")
    document = first.json()
    validate(document)
    assert document["servers"] == [{"url": platform.url}]
    assert {"/", "/healthz", "/stac/echo", "/tiles/echo", "/processing/echo", "/rights/echo"} == set(document["paths"])
    again = client.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    elsewhere = client.get("/openapi.json", headers={"Host": "data.example.org"})
    assert elsewhere.json()["servers"] == [{"url": "http://data.example.org"}]
    assert elsewhere.headers["etag"] != first.headers["etag"]
    platform.control("tiles", version="2.0")
    platform.wait_until(lambda: "version 2.0" in client.get("/openapi.json").text, 3)
    assert client.get("/openapi.json").headers["etag"] != first.headers["etag"]


def test_health_tells_of_each_service(platform: Any, client: httpx.Client) -> None:
    report = client.get("/healthz")
    assert report.status_code == 200
    document = report.json()
    assert document["status"] == document["dispatcher"] == document["database"] == "ok"
    assert set(document["services"]) == {"catalogue", "tiles", "processing", "rights"}
    assert document["services"]["catalogue"] == {"status": "ok", "version": "1.0"}
    platform.control("catalogue", failing="yes")
    try:
        platform.wait_until(lambda: client.get("/healthz").status_code == 503, 2)
        assert client.get("/healthz").json()["services"]["catalogue"]["status"] == "failing"
    finally:
        platform.control("catalogue", failing="no")
    platform.wait_until(lambda: client.get("/healthz").status_code == 200, 2)


def test_health_and_contract_while_a_service_is_away(own_platform: Any) -> None:
    with httpx.Client(base_url=own_platform.url, timeout=10) as client:
        own_platform.stop("tiles")
        started = time.monotonic()
        answer = client.get("/healthz")
        assert time.monotonic() - started < 2
        assert answer.status_code == 503
        assert answer.json()["services"]["tiles"] == {"status": "unreachable", "version": None}
        missing = client.get("/openapi.json")
        assert missing.status_code == 503
        assert missing.headers["content-type"] == "application/problem+json"
        own_platform.start_service("tiles")
        own_platform.wait_for_service("tiles")
        own_platform.wait_until(lambda: client.get("/healthz").status_code == 200, 3)
        whole = client.get("/openapi.json")
        assert whole.status_code == 200
        own_platform.stop("tiles")
        time.sleep(1.1)
        assert client.get("/openapi.json").content == whole.content  # the former one is kept


def answer(status: str = "ok", **more: str) -> dict[str, Any]:
    return {"status": status, "version": "1", **more}


@pytest.mark.parametrize(
    ("answers", "status", "dispatcher", "database"),
    [
        ({"processing": answer(dispatcher="ok"), "rights": answer()}, "ok", "ok", "ok"),
        ({"processing": answer(dispatcher="failing"), "rights": answer()}, "failing", "failing", "ok"),
        ({"processing": answer(), "rights": answer()}, "failing", "unknown", "ok"),
        ({"processing": answer(dispatcher="ok"), "rights": answer("failing")}, "failing", "ok", "ok"),
        ({"processing": answer(dispatcher="ok"), "rights": answer(database="failing")}, "failing", "ok", "failing"),
        ({"processing": answer("unreachable"), "rights": answer("unreachable")}, "failing", "unknown", "unknown"),
    ],
)
def test_summaries(answers: dict[str, Any], status: str, dispatcher: str, database: str) -> None:
    report = summary(answers, "1")
    assert (report["status"], report["dispatcher"], report["database"]) == (status, dispatcher, database)


def test_every_route_says_who_may_call(tmp_path: Any) -> None:
    assert undeclared_routes(create_app(GatewaySettings(home=tmp_path))) == []


def test_settings_read_lists_with_commas(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("BOCAGE_HOME", str(tmp_path))
    monkeypatch.setenv("BOCAGE_ALLOWED_HOSTS", "a.example, B.example,")
    monkeypatch.setenv("BOCAGE_TRUSTED_PROXIES", "10.0.0.0/8,::1")
    settings = GatewaySettings()
    assert settings.allowed_hosts == ("a.example", "B.example")
    assert {"a.example", "b.example", "localhost"} <= set(settings.address().allowed_hosts)
    monkeypatch.setenv("BOCAGE_TRUSTED_PROXIES", "proxy.example")
    with pytest.raises(ValueError, match="trusted_proxies"):
        GatewaySettings()
