"""Signed links: what their seal holds, whom they stand for, and how they end."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
from bocage_kit.audience import AUDIENCE_FIELD, ORGANISATION_FIELD
from bocage_kit.identity import HEADER, LinkScope
from bocage_rights.signing import (
    JOB_SECONDS,
    OPEN_SECONDS,
    RESTRICTED_SECONDS,
    InvalidLink,
    Link,
    lifetime,
    query_of,
    seal,
    too_old,
    unseal,
)
from hypothesis import given
from hypothesis import strategies as st

from services.rights.tests.test_assets import CONTENT, DEMONSTRATION, collection, item, store

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights

BASE = "http://bocage.test"
KEY = b"k" * 32
names = st.text(min_size=1, max_size=20)
scopes = st.builds(
    LinkScope,
    collection=names,
    item=st.none() | names,
    asset=st.none() | names,
    upload=st.booleans(),
    job=st.none() | st.uuids().map(str),
    signed=st.integers(0, 2**32),
    expires=st.integers(1, 2**33),
)


@given(scope=scopes, credential=names, data=st.data())
def test_a_seal_holds_what_it_closes(scope: LinkScope, credential: str, data: st.DataObject) -> None:
    link = Link(scope, credential)
    sealed = seal(link, KEY)
    assert unseal(sealed, KEY, scope.expires - 1) == link
    with pytest.raises(InvalidLink):
        unseal(sealed, KEY, scope.expires)
    with pytest.raises(InvalidLink):
        unseal(sealed, b"other" * 8, 0)
    at = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.sampled_from("Aa0._-é").filter(lambda sign: sign != sealed[at]))
    with pytest.raises(InvalidLink):
        unseal(sealed[:at] + other + sealed[at + 1 :], KEY, 0)


@given(text=st.text(max_size=200))
def test_nothing_else_passes_for_a_link(text: str) -> None:
    with pytest.raises(InvalidLink):
        unseal(text, KEY, 0)


@given(restricted=st.booleans(), asked=st.none() | st.integers(0, 10**7), job=st.booleans(), scope=scopes)
def test_what_is_asked_for_only_shortens(restricted: bool, asked: int | None, job: bool, scope: LinkScope) -> None:
    most = lifetime(restricted, None, job)
    assert 1 <= lifetime(restricted, asked, job) <= most
    assert most == (JOB_SECONDS if job else RESTRICTED_SECONDS if restricted else OPEN_SECONDS)
    limit = min(scope.expires, scope.signed + lifetime(restricted, None, scope.job is not None))
    assert too_old(scope, restricted, limit) and not too_old(scope, restricted, limit - 1)


@pytest.fixture(scope="module")
def mine(rights: Rights) -> dict[str, Any]:
    return dict(rights.call("researcher", "GET", "/rights/me").json())


@pytest.fixture(scope="module")
def shown(rights: Rights, mine: dict[str, Any]) -> Iterator[str]:
    name = collection(rights, "signed", **{"bocage:licences": ["etalab-2.0"]})
    assets: dict[str, Any] = {
        "open": {"href": store(rights, f"collections/{name}/a/open")},
        "bound": {"href": store(rights, f"collections/{name}/a/bound"), "bocage:licences": [DEMONSTRATION]},
        "elsewhere": {"href": "https://example.org/x.tif", "bocage:external": True},
    }
    item(rights, name, "a", assets)
    item(rights, name, "hidden", {"open": assets["open"]}, **{AUDIENCE_FIELD: "owner", "bocage:owner": "somebody"})
    yield name


@pytest.fixture(scope="module")
def own(rights: Rights, mine: dict[str, Any]) -> str:
    rights_of = {AUDIENCE_FIELD: "organisation", ORGANISATION_FIELD: mine["organisation"]["id"]}
    return collection(rights, "own-signed", **rights_of, **{"bocage:licences": ["etalab-2.0"]})


def sign(rights: Rights, who: str | None, *urls: str, **more: Any) -> httpx.Response:
    asked = [url if url.startswith("http") else f"{BASE}/assets/{url}" for url in urls]
    return rights.call(who, "POST", "/rights/sign_urls", json={"urls": asked, **more})


def follow(rights: Rights, href: str, method: str = "GET", **more: Any) -> httpx.Response:
    """What the gateway does with a signed link: exchange it, and forward the request under that identity."""
    parts = urlsplit(href)
    answer = rights.exchange(signed_link=parse_qs(parts.query)["link"][0])
    if answer.status_code != 200:
        return answer
    headers = {HEADER: answer.json()["token"], **more.pop("headers", {})}
    return rights.http.request(method, parts.path, headers=headers, **more)


def seconds_of(answer: httpx.Response) -> float:
    return datetime.fromisoformat(answer.json()["expiry"]).timestamp() - time.time()


def test_a_link_reads_what_its_key_reads(rights: Rights, shown: str) -> None:
    url = f"{BASE}/assets/{shown}/a/bound"
    signed = sign(rights, "researcher", f"{shown}/a/open", url)
    assert signed.status_code == 200 and signed.headers["cache-control"] == "private, no-store"
    assert set(signed.json()) == {"expiry", "hrefs"}
    assert set(signed.json()["hrefs"]) == {f"{BASE}/assets/{shown}/a/open", url}
    assert 290 < seconds_of(signed) <= 300
    link = signed.json()["hrefs"][url]
    assert link.startswith(url + "?")
    whole = follow(rights, link)
    assert whole.content == CONTENT and whole.headers["cache-control"] == "private, no-store"
    part = follow(rights, link, headers={"Range": "bytes=4-7"})
    assert part.status_code == 206 and part.content == CONTENT[4:8]
    head = follow(rights, link, "HEAD")
    assert head.status_code == 200 and head.headers["content-length"] == str(len(CONTENT))
    query = parse_qs(urlsplit(link).query)
    assert query["X-Amz-Expires"] == ["300"] and query["X-Amz-Date"][0].endswith("Z")
    # A link that was signed before is signed again, under the name that was asked for.
    again = sign(rights, "researcher", link)
    assert follow(rights, again.json()["hrefs"][link]).content == CONTENT
    one = rights.call("researcher", "GET", "/rights/sign", params={"url": url})
    assert set(one.json()) == {"expiry", "href"} and follow(rights, one.json()["href"]).content == CONTENT


def test_lives(rights: Rights, shown: str) -> None:
    assert OPEN_SECONDS - 10 < seconds_of(sign(rights, "researcher", f"{shown}/a/open")) <= OPEN_SECONDS
    assert seconds_of(sign(rights, "researcher", f"{shown}/a/open", duration_seconds=60)) <= 60
    assert seconds_of(sign(rights, "researcher", f"{shown}/a/bound", duration_seconds=9000)) <= 300
    short = sign(rights, "researcher", f"{shown}/a/open", duration_seconds=1).json()["hrefs"]
    (link,) = short.values()
    time.sleep(1.1)
    assert follow(rights, link).status_code == 401


def test_a_link_is_good_for_nothing_else(rights: Rights, shown: str, own: str) -> None:
    (link,) = sign(rights, "researcher", f"{shown}/a/open").json()["hrefs"].values()
    other = link.replace("/a/open?", "/a/bound?")
    assert follow(rights, other).json()["code"] == "signed-link"
    assert follow(rights, link, "PUT", content=b"x").json()["code"] == "signed-link"
    token = rights.exchange(signed_link=parse_qs(urlsplit(link).query)["link"][0]).json()["token"]
    for method, path in (("GET", "/rights/me"), ("POST", "/rights/keys"), ("POST", "/rights/sign_urls")):
        refused = rights.http.request(method, path, headers={HEADER: token}, json={"name": "x", "urls": ["x"]})
        assert (refused.status_code, refused.json()["code"]) == (403, "signed-link"), path
    assert rights.exchange(signed_link="1.e30.x").status_code == 401
    assert rights.exchange(signed_link=parse_qs(urlsplit(link).query)["link"][0][:-1]).status_code == 401


def test_refusals(rights: Rights, shown: str) -> None:
    assert sign(rights, None, f"{shown}/a/open").status_code == 401
    refused = sign(rights, "company", f"{shown}/a/open", f"{shown}/a/bound")
    assert refused.status_code == 403
    assert refused.json()["url"] == f"{BASE}/assets/{shown}/a/bound"
    assert refused.json()["required_terms"][0]["licence"] == DEMONSTRATION
    # As the published client reads it.
    for word in ("true", "false", "null"):
        assert f": {word}" not in refused.text and f":{word}" not in refused.text
    foreign = [
        "https://example.org/a/b/c",
        "http://bocage.test.example/assets/a/b/c",
        "http://user@bocage.test/assets/",
    ]
    for url in [*foreign, f"{BASE}/stac/collections/x", "http://[broken", f"{BASE}/assets/{shown}/a", f"//{shown}"]:
        answer = rights.call("researcher", "POST", "/rights/sign_urls", json={"urls": [url]})
        assert (answer.status_code, answer.json()["code"]) == (400, "foreign-url"), url
        assert answer.json()["url"] == url
    for path in ("hidden/open", "a/nothing", "nothing/open", "a/elsewhere"):
        assert sign(rights, "researcher", f"{shown}/{path}").status_code == 404, path
    hidden, absent = (sign(rights, "researcher", f"{shown}/{x}/open").json() for x in ("hidden", "absent"))
    assert hidden["detail"].replace("hidden", "absent") == absent["detail"]
    many = [f"{shown}/a/open?{n}" for n in range(65)]
    assert sign(rights, "researcher", *many).status_code == 422
    assert len(sign(rights, "researcher", *many[:64]).json()["hrefs"]) == 64
    for body in ({"urls": []}, {"urls": ["x"], "duration_seconds": -1}, {}, {"urls": ["x" * 9000]}):
        assert rights.call("researcher", "POST", "/rights/sign_urls", json=body).status_code == 422
    token = rights.call("researcher", "POST", "/rights/tile_tokens", json={"collections": [shown]}).json()["token"]
    identity = {HEADER: rights.exchange(tile_token=token).json()["token"]}
    answer = rights.http.post("/rights/sign_urls", headers=identity, json={"urls": [f"{BASE}/assets/{shown}/a/open"]})
    assert answer.status_code == 403


def test_uploads(rights: Rights, own: str, shown: str) -> None:
    url = f"{BASE}/assets/{own}/new/file"

    def asked(who: str, address: str) -> httpx.Response:
        return rights.call(who, "POST", "/rights/sign_urls_put", json={"urls": [address]})

    link = asked("researcher", url).json()["hrefs"][url]
    done = follow(rights, link, "PUT", content=b"new bytes")
    assert done.status_code == 200 and done.json()["href"] == url  # as an S3 server says it
    assert rights.call("researcher", "GET", f"/assets/{own}/new/file").content == b"new bytes"
    assert follow(rights, link).status_code == 403, "a link for writing reads nothing"
    assert asked("company", url).status_code == 404
    assert asked("researcher", f"{BASE}/assets/{shown}/a/open").status_code == 403
    assert asked("researcher", f"{BASE}/assets/{own}/new/.hidden").status_code == 422


def test_links_end_with_what_they_stand_for(rights: Rights, shown: str, mine: dict[str, Any]) -> None:
    made = rights.call("researcher", "POST", "/rights/keys", json={"name": "links", "purpose": "research"}).json()
    rights.keys["passing"] = made["key"]
    (link,) = sign(rights, "passing", f"{shown}/a/bound").json()["hrefs"].values()
    assert follow(rights, link).status_code == 200
    with psycopg.connect(rights.database.admin_url, autocommit=True) as connection:
        connection.execute("set search_path to rights")
        change = "update person set state = %s where id = (select person from api_key where id = %s)"
        connection.execute(change, ["suspended", made["id"]])
        assert follow(rights, link).status_code == 401
        connection.execute(change, ["active", made["id"]])
    assert follow(rights, link).status_code == 200
    own = mine["organisation"]["id"]
    withdrawn = rights.call("admin", "DELETE", f"/rights/admin/acceptances/{own}/{DEMONSTRATION}")
    assert withdrawn.status_code == 204
    refused = follow(rights, link)
    assert refused.status_code == 403 and refused.json()["required_terms"]
    paper = {"organisation": own, "licence": DEMONSTRATION, "evidence": "folder 12"}
    assert rights.call("admin", "POST", "/rights/admin/acceptances", json=paper).status_code == 201
    assert follow(rights, link).status_code == 200
    assert rights.call("researcher", "DELETE", f"/rights/keys/{made['id']}").status_code in (200, 204)
    assert follow(rights, link).status_code == 401


def test_calls_are_counted(rights: Rights, shown: str) -> None:
    def counted() -> tuple[int, int]:
        with psycopg.connect(rights.database.admin_url) as connection:
            row = connection.execute(
                "select calls, links from rights.signing_count where kind = 'read' and api_key = %s",
                [rights.keys["company"].partition(".")[0]],
            ).fetchone()
        return row or (0, 0)

    before = counted()
    assert sign(rights, "company", f"{shown}/a/open", f"{shown}/a/open?again").status_code == 200
    assert sign(rights, "company", f"{shown}/a/bound").status_code == 403, "refused, and not counted"
    assert counted() == (before[0] + 1, before[1] + 2)


def test_links_for_the_length_of_a_job(rights: Rights, shown: str, mine: dict[str, Any]) -> None:
    service = "processing"
    rights.keys[service] = rights.settings.secret(f"{service}.key").read_text().strip()
    job = str(uuid.uuid4())
    assert sign(rights, "researcher", f"{shown}/a/open", job=job).status_code == 403
    signed = sign(rights, service, f"{shown}/a/bound", job=job, duration_seconds=7200)
    assert 7000 < seconds_of(signed) <= 7200
    (link,) = signed.json()["hrefs"].values()
    assert follow(rights, link).content == CONTENT
    assert rights.call("researcher", "DELETE", f"/rights/signed_grants/{job}").status_code == 403
    assert rights.call(service, "DELETE", f"/rights/signed_grants/{job}").status_code == 204
    assert follow(rights, link).status_code == 401
    assert sign(rights, service, f"{shown}/a/bound", job=job).json()["code"] == "job-ended"
    assert rights.call(service, "DELETE", f"/rights/signed_grants/{uuid.uuid4()}").status_code == 404

    other = str(uuid.uuid4())
    with psycopg.connect(rights.database.admin_url, autocommit=True) as connection:
        connection.execute("set search_path to rights")
        connection.execute("select credit_reserve(%s::uuid, %s::uuid, 1, 'x')", [mine["organisation"]["id"], other])
        (link,) = sign(rights, service, f"{shown}/a/bound", job=other).json()["hrefs"].values()
        assert follow(rights, link).status_code == 200
        connection.execute("select credit_release(%s::uuid)", [other])
        assert follow(rights, link).status_code == 401
        assert sign(rights, service, f"{shown}/a/bound", job=other).status_code == 409
        with pytest.raises(psycopg.DatabaseError, match="stays ended"):
            connection.execute("update signed_grant set ended_at = null where job = %s::uuid", [other])


def test_tokens_for_collections(rights: Rights, shown: str) -> None:
    for path in (f"/rights/sas/token/{shown}", f"/rights/sas/token/anything/{shown}"):
        document = rights.call("researcher", "GET", path).json()
        assert set(document) == {"msft:expiry", "token"}
        for asset in ("open", "bound"):
            assert follow(rights, f"{BASE}/assets/{shown}/a/{asset}?{document['token']}").content == CONTENT
        assert follow(rights, f"{BASE}/assets/own/a/open?{document['token']}").json()["code"] == "signed-link"
        assert {"se", "sp"} <= set(parse_qs(document["token"]))
    url = f"{BASE}/assets/{shown}/a/bound"
    one = rights.call("researcher", "GET", "/rights/sas/sign", params={"href": url}).json()
    assert set(one) == {"msft:expiry", "href"} and follow(rights, one["href"]).content == CONTENT
    assert rights.call("researcher", "GET", "/rights/sas/token/nothing").status_code == 404
    company = rights.call("company", "GET", f"/rights/sas/token/{shown}").json()["token"]
    assert follow(rights, f"{url}?{company}").status_code == 403, "a token holds no rights of its own"


def test_an_old_token_reaches_no_restricted_asset(rights: Rights, shown: str) -> None:
    key = bytes.fromhex(rights.settings.secret("link-key").read_text())
    now = int(time.time())
    credential = rights.keys["researcher"].partition(".")[0]

    def link(age: int, asset: str) -> str:
        scope = LinkScope(collection=shown, signed=now - age, expires=now - age + OPEN_SECONDS)
        return f"{BASE}/assets/{shown}/a/{asset}?{query_of(Link(scope, credential), key)}"

    assert follow(rights, link(200, "bound")).status_code == 200
    assert follow(rights, link(301, "bound")).json()["code"] == "link-expired"
    assert follow(rights, link(301, "open")).status_code == 200


def test_the_key_of_links_is_kept(rights: Rights) -> None:
    path = rights.settings.secret("link-key")
    assert path.stat().st_mode & 0o777 == 0o600
    log = (rights.settings.home / "rights.log").read_text()
    assert "X-Amz-Expires" not in log and "link=" not in log and path.read_text().strip() not in log
