"""Every item of a search in one answer: what a search finds, for whom, from one moment, with memory for a batch."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import psycopg
import pyarrow.parquet as parquet
import pytest
from bocage_catalogue.export_formats import FORMATS, GEOPARQUET, NDJSON, SEQUENCE, chosen, file_name
from bocage_catalogue.geoparquet import MAGIC
from bocage_catalogue.streamed import AT_ONCE, OF_ONE_CALLER, Places
from bocage_catalogue.streaming import portions
from bocage_client.geoparquet import documents
from bocage_kit.problems import Problem

from conftest import BASE, Catalogue, serve

# Rows as the triggers and the worker leave them, without the time that these take; no two texts are alike.
FILL = """
insert into catalogue.finished_item (collection, id, revision, datetime, end_datetime, geometry, audience, content,
    licences, outline, outlined, lent, west, south, east, north, laid_out, body)
select 'many', 'i' || n, nextval('catalogue.revision'), moment, moment, public.st_point(n %% 180, n %% 90, 4326),
    'public', jsonb_build_object('properties', jsonb_build_object('n', n)), '{}',
    public.st_point(n %% 180, n %% 90, 4326), false, false, n %% 180, n %% 90, n %% 180, n %% 90, false,
    convert_to(jsonb_build_object(
        'type', 'Feature', 'stac_version', '1.1.0', 'stac_extensions', '[]'::jsonb, 'id', 'i' || n,
        'collection', 'many', 'geometry', jsonb_build_object('type', 'Point', 'coordinates',
            jsonb_build_array(n %% 180, n %% 90)),
        'bbox', jsonb_build_array(n %% 180, n %% 90, n %% 180, n %% 90), 'links', '[]'::jsonb, 'assets', '{}'::jsonb,
        'properties', jsonb_build_object('datetime', to_char(moment, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'n', n,
            'text', repeat('é' || n || ' ', %(length)s))
    )::text, 'UTF8')
from generate_series(%(first)s::int, %(last)s::int) n, lateral (
    select timestamptz '2020-01-01Z' + n * interval '1 minute' as moment) m
"""


def fill(admin: psycopg.Connection[Any], count: int, length: int, first: int = 0) -> None:
    admin.execute(FILL, {"first": first, "last": first + count - 1, "length": length})


def lines(content: bytes) -> list[Any]:
    return [orjson.loads(line) for line in content.splitlines()]


def paged(client: httpx.Client, search: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    body: dict[str, Any] | None = {**search, "limit": 7}
    while body is not None:
        page = client.post("/stac/search", json=body).json()
        found += page["features"]
        body = next((x["body"] for x in page["links"] if x["rel"] == "next"), None)
    return found


def read_parquet(content: bytes, folder: Path) -> list[Any]:
    path = folder / "export.parquet"
    path.write_bytes(content)
    return [x for x in orjson.loads(orjson.dumps(list(documents(path)))) if x["type"] == "Feature"]


@pytest.fixture(scope="module")
def filled(catalogue: Catalogue) -> Catalogue:
    for name, audience in (("open", "public"), ("ours", "organisation")):
        made = catalogue.collection(name, **{"bocage:audience": audience, "bocage:licences": ["CC-BY-NC-4.0"]})
        assert catalogue.researcher.post("/stac/collections", json=made).status_code == 201
    for n in range(20):
        catalogue.put_file(f"collections/open/i{n}/image")
        assets = {"image": {"href": f"{BASE}/assets/open/i{n}/image", "proj:code": "EPSG:32631"}}
        more = {"bocage:audience": "owner"} if n % 5 == 0 else {"eo:cloud_cover": n * 1.5}
        item = catalogue.item(f"i{n}", assets, **{**more, "n": n, "datetime": f"2024-05-{n + 1:02}T00:00:00Z"})
        assert catalogue.researcher.post("/stac/collections/open/items", json=item).status_code == 201
    item = catalogue.item("i1", kind="other", nested={"a": [{"b": 1}]})
    assert catalogue.researcher.post("/stac/collections/ours/items", json=item).status_code == 201
    return catalogue


SEARCHES: list[dict[str, Any]] = [
    {},
    {"collections": ["open"], "sortby": [{"field": "eo:cloud_cover", "direction": "desc"}]},
    {"filter": {"op": "and", "args": [{"op": ">", "args": [{"property": "eo:cloud_cover"}, 5]}]}},
    {"ids": ["i1", "i5", "none"], "datetime": "2024-05-01T00:00:00Z/2024-05-06T23:00:00Z"},
    {"bbox": [2, 42, 4, 45], "query": {"n": {"gte": 3}}, "fields": {"exclude": ["assets", "properties.n"]}},
    {"collections": ["nobody-has-this"]},
]


@pytest.mark.parametrize("person", ["anonymous", "researcher", "colleague", "stranger", "administrator", "service"])
@pytest.mark.parametrize("search", SEARCHES, ids=range(len(SEARCHES)))
def test_an_export_is_what_the_search_finds(
    filled: Catalogue, person: str, search: dict[str, Any], tmp_path: Path
) -> None:
    client = getattr(filled, person)
    expected = paged(client, search)
    answer = client.post("/stac/export", json=search)
    assert answer.status_code == 200 and answer.headers["content-type"] == NDJSON.media_type
    assert lines(answer.content) == expected
    as_parquet = client.post("/stac/export", params={"f": "geoparquet"}, json=search)
    found = read_parquet(as_parquet.content, tmp_path)
    if search.get("fields"):
        assert [x["id"] for x in found] == [x["id"] for x in expected]
    else:
        assert found == expected


def test_the_audience_is_not_told_by_columns_or_collections(filled: Catalogue) -> None:
    """What an item that one does not see holds alone is in no schema, and its collection in no metadata."""
    content = filled.stranger.get("/stac/export", params={"f": "geoparquet"}).content
    schema = parquet.read_schema(io.BytesIO(content))
    assert "nested" not in schema.names and "kind" not in schema.names
    assert list(json.loads(schema.metadata[b"stac-geoparquet"])["collections"]) == ["open"]
    mine = parquet.read_schema(io.BytesIO(filled.researcher.get("/stac/export", params={"f": "geoparquet"}).content))
    assert {"nested", "kind"} <= set(mine.names)


def test_get_asks_as_post_does(filled: Catalogue) -> None:
    client = filled.researcher
    asked = {
        "collections": "open,ours", "bbox": "2,42,4,45", "datetime": "2024-05-01T00:00:00Z/..",
        "filter": 'n >= 3 and "eo:cloud_cover" < 99', "sortby": "-n", "limit": "4",
    }  # fmt: skip
    found = lines(client.get("/stac/export", params=asked).content)
    assert [x["properties"]["n"] for x in found] == [19, 18, 17, 16]
    body = {"filter": asked["filter"], "filter-lang": "cql2-text", "limit": 4, "sortby": ["-n"]}
    assert lines(client.post("/stac/export", json=body).content) == found
    assert [x["id"] for x in lines(client.get("/stac/export", params={"ids": "i3,i4", "sortby": "id"}).content)] == [
        "i3", "i4",
    ]  # fmt: skip
    sequence = client.get("/stac/export", params={"f": "geojsonseq", "limit": 2}).content
    assert sequence.count(b"\x1e") == 2 and sequence.startswith(b"\x1e{")


@pytest.mark.parametrize(
    ("method", "more", "status"),
    [
        ("GET", {"params": {"f": "csv"}}, 400),
        ("GET", {"params": {"limit": 0}}, 400),
        ("GET", {"params": {"bbox": "1,2,x,4"}}, 400),
        ("GET", {"params": {"filter": "no_such_property = 1"}}, 400),
        ("GET", {"params": {"filter": "n ="}}, 400),
        ("GET", {"params": {"intersects": "{"}}, 400),
        ("GET", {"params": {"sortby": "nowhere"}}, 400),
        ("GET", {"headers": {"Accept": "text/html"}}, 406),
        ("POST", {"json": {"limit": True}}, 400),
        ("POST", {"json": {"limit": 2**40}}, 400),
        ("POST", {"json": []}, 400),
        ("POST", {"content": b"{"}, 400),
        ("POST", {"json": {"bbox": [1, 2, 3]}}, 400),
        ("POST", {"json": {"filter": {"op": "intersects_not", "args": []}}}, 400),
        ("POST", {"json": {"sortby": [{"field": "nested"}]}, "params": {"f": "geoparquet"}}, 400),
    ],
)
def test_what_is_refused(filled: Catalogue, method: str, more: dict[str, Any], status: int) -> None:
    answer = filled.researcher.request(method, "/stac/export", **more)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json" and answer.json()["detail"]


def test_without_an_identity_nothing_is_exported(filled: Catalogue) -> None:
    assert httpx.get(f"{filled.url}/stac/export").status_code == 401


def test_formats_are_chosen_by_name_then_by_what_is_accepted(filled: Catalogue) -> None:
    assert chosen("geojsonseq", "application/vnd.apache.parquet") is SEQUENCE
    assert chosen(None, "") is NDJSON
    assert chosen(None, "text/html;q=0.9, */*;q=0.1") is NDJSON
    assert chosen(None, "application/x-ndjson;q=0.5, application/vnd.apache.parquet") is GEOPARQUET
    assert chosen(None, "application/vnd.apache.parquet;q=0, application/*") is NDJSON
    with pytest.raises(Problem):
        chosen(None, "image/png, application/x-ndjson;q=0")
    assert file_name(["a:b/../c"], GEOPARQUET) == "a_b_.._c.parquet"
    assert file_name(None, SEQUENCE) == file_name(["a", "b"], SEQUENCE) == "items.geojsons"
    for each in FORMATS.values():
        headers = {"Accept": each.media_type}
        asked = filled.anonymous.get("/stac/export", params={"collections": "open"}, headers=headers)
        told = filled.anonymous.head("/stac/export", params={"collections": "open"}, headers=headers)
        assert asked.status_code == told.status_code == 200
        for answer in (asked, told):
            assert answer.headers["content-type"] == each.media_type
            assert answer.headers["content-disposition"] == f'attachment; filename="open.{each.suffix}"'
            assert "accept" in answer.headers["vary"].lower()
        assert told.content == b"" and "content-length" not in told.headers


def test_while_the_columns_are_learnt_something_is_sent(
    filled: Catalogue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bocage_catalogue.export._SILENCE_SECONDS", -1.0)
    content = filled.researcher.get("/stac/export", params={"f": "geoparquet"}).content
    assert content.startswith(MAGIC) and not content[4:].startswith(MAGIC)
    assert read_parquet(content, tmp_path) == paged(filled.researcher, {})


def test_portions_are_small_in_number_and_size() -> None:
    sizes = [10, 3 << 20, 1 << 20, 1 << 20, 1, *([1000] * 250)]
    found = list(portions(("c", str(n), size) for n, size in enumerate(sizes)))
    assert [name for some in found for _, name, _ in some] == [str(n) for n in range(len(sizes))]
    assert [len(some) for some in found] == [1, 1, 2, 100, 100, 51]


def test_places_are_given_back() -> None:
    places = Places()
    with places.taken("a"), places.taken("a"), places.taken("b"):
        with pytest.raises(Problem) as refused, places.taken("a"):
            pass
        assert refused.value.status == 503 and refused.value.headers["Retry-After"]
        with places.taken("c"), pytest.raises(Problem), places.taken("d"):
            pass
        with places.taken("c"):
            pass
    assert (AT_ONCE, OF_ONE_CALLER) == (4, 2)
    with places.taken("a"), places.taken("a"):
        pass


@pytest.fixture
def many(database: Any, fresh_catalogue: Catalogue, admin: psycopg.Connection[Any]) -> Catalogue:
    made = fresh_catalogue.collection("many", **{"bocage:audience": "public"})
    assert fresh_catalogue.researcher.post("/stac/collections", json=made).status_code == 201
    fill(admin, 4000, 2000)
    return fresh_catalogue


def open_transactions(admin: psycopg.Connection[Any]) -> int:
    row = admin.execute(
        "select count(*) as n from pg_stat_activity where datname = current_database() and xact_start is not null"
        " and application_name = 'bocage_catalogue'"
    ).fetchone()
    assert row is not None
    return int(row["n"])


def settled(admin: psycopg.Connection[Any]) -> bool:
    """Whether the catalogue's transactions end, the short ones of its worker apart."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if not any(open_transactions(admin) for _ in range(5)):
            return True
        time.sleep(0.1)
    return False


def test_an_export_is_of_one_moment(many: Catalogue, admin: psycopg.Connection[Any]) -> None:
    with many.researcher.stream("GET", "/stac/export") as answer:
        pieces = answer.iter_bytes(1000)
        content = next(pieces)
        admin.execute("delete from catalogue.finished_item where id in ('i5', 'i17')")
        fill(admin, 10, 1, first=100_000)
        content += b"".join(pieces)
    assert [x["properties"]["n"] for x in lines(content)] == list(range(3999, -1, -1))


def test_an_export_holds_up_no_writer(many: Catalogue, admin: psycopg.Connection[Any]) -> None:
    """Items that are not laid out yet are read from pgSTAC's tables, which writers alter: no lock on them is kept."""
    for n in range(3):
        item = many.item(f"a{n}", datetime=f"2030-01-0{n + 1}T00:00:00Z")
        assert many.researcher.post("/stac/collections/many/items", json=item).status_code == 201
    admin.execute("update catalogue.finished_item set body = null, laid_out = null where id like 'a%'")
    with many.researcher.stream("GET", "/stac/export") as answer:
        pieces = answer.iter_bytes(1000)
        content = next(pieces)
        admin.execute("set lock_timeout = '5s'; lock table pgstac.items in access exclusive mode")
        content += b"".join(pieces)
    assert [x["id"] for x in lines(content)[:4]] == ["a2", "a1", "a0", "i3999"]


@pytest.mark.parametrize("format_", ["ndjson", "geoparquet"])
def test_who_leaves_leaves_nothing_behind(many: Catalogue, admin: psycopg.Connection[Any], format_: str) -> None:
    for _ in range(OF_ONE_CALLER + 2):
        with many.researcher.stream("GET", "/stac/export", params={"f": format_}) as answer:
            next(answer.iter_raw(100))
        assert settled(admin), "the cursor is closed"
    assert len(lines(many.researcher.get("/stac/export").content)) == 4000


@pytest.mark.parametrize("format_", ["ndjson", "geojsonseq"])
def test_what_breaks_off_does_not_look_whole(many: Catalogue, admin: psycopg.Connection[Any], format_: str) -> None:
    with (
        pytest.raises(httpx.RemoteProtocolError),
        many.researcher.stream("GET", "/stac/export", params={"f": format_}) as answer,
    ):
        assert answer.status_code == 200
        for place, _ in enumerate(answer.iter_raw(1000)):
            if place == 0:
                admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
                    " and application_name = 'bocage_catalogue' and xact_start is not null"
                )
    assert len(lines(many.researcher.get("/stac/export").content)) == 4000, "the next one is whole"


def test_too_many_at_once_are_asked_to_wait(many: Catalogue) -> None:
    first = many.researcher.stream("GET", "/stac/export")
    second = many.researcher.stream("POST", "/stac/export", json={})
    with first as a, second as b:
        reading = [a.iter_raw(100), b.iter_raw(100)]  # an iterator that is dropped closes its answer
        assert all(next(pieces) for pieces in reading)
        refused = many.researcher.get("/stac/export")
        assert refused.status_code == 503 and refused.headers["retry-after"]
        assert many.reader.get("/stac/export", params={"limit": 1}).status_code == 200, "another account has its own"


PROGRAM = """
import sys, uvicorn
from pathlib import Path
from bocage_catalogue.app import create_app
from bocage_catalogue.settings import CatalogueSettings
app = create_app(CatalogueSettings(home=Path(sys.argv[1]), database=sys.argv[2]))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
"""


@pytest.fixture
def apart(database: Any, tmp_path: Path, admin: psycopg.Connection[Any]) -> Iterator[tuple[Catalogue, psutil.Process]]:
    """A catalogue in a process of its own, with more items than it may hold in memory."""
    for made in serve(database.url("catalogue"), tmp_path):
        collection = made.collection("many", **{"bocage:audience": "public"})
        assert made.researcher.post("/stac/collections", json=collection).status_code == 201
        port = made.url.rpartition(":")[2]
    fill(admin, 50_000, 600)
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), database.url("catalogue"), port])
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if made.researcher.get("/stac/collections/many").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield made, psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()
        for client in made.clients:
            client.close()


@pytest.mark.slow
def test_memory_holds_a_batch(apart: tuple[Catalogue, psutil.Process]) -> None:
    """50,000 items, 220 MB of text; what a format may take is in MiB, its libraries among it."""
    catalogue, process = apart
    client = catalogue.researcher
    assert client.get("/stac/export", params={"limit": 1}).status_code == 200
    for format_, most in (("ndjson", 60), ("geoparquet", 220)):
        before = process.memory_info().rss
        peak, over = [before], threading.Event()

        def watch(peak: list[int] = peak, over: threading.Event = over) -> None:
            while not over.wait(0.01):
                peak[0] = max(peak[0], process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        count = size = 0
        try:
            with client.stream("GET", "/stac/export", params={"f": format_}, timeout=300) as answer:
                for piece in answer.iter_raw():
                    size += len(piece)
                    count += piece.count(b"\n")
        finally:
            over.set()
            watcher.join()
        if format_ == "ndjson":
            assert count == 50_000 and size > 200 << 20
        print(f"{format_}: {(peak[0] - before) >> 20} MiB more, {size >> 20} MiB sent")
        assert peak[0] - before < most << 20, f"{format_}: {(peak[0] - before) >> 20} MiB more"
