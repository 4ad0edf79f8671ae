"""Harvests of servers that answer as other catalogues do: their dialects, and what is made of them."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bocage_client
import harvest_sources as sources
import pytest
from bocage_client import harvest_dialects, harvest_http
from bocage_client.errors import UsageError
from bocage_client.harvest_http import Asked
from bocage_client.harvest_journal import Journal, Progress
from bocage_client.harvest_normalising import Kind
from harvest_sources import Served, counts, plain, told, written

if TYPE_CHECKING:
    from conftest import Done, Stub

    Bocage = Callable[..., Done]

Serve = Callable[..., Served]


def test_geodes(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    names = [f"THEIA_{n}" for n in range(25)]
    items = {"THEIA_7": [sources.geodes_item(n, "THEIA_7") for n in range(200)]}
    collections = [sources.geodes_collection(x) for x in names]
    source = serve(sources.geodes, collections=collections, items=items, most_collections=10)
    done = told(bocage("harvest", source.url, "--json"))
    assert done["kind"] == "geodes" and counts(done) == {"new": 200}
    assert len(stub.collections) == 25 and len(stub.items) == 200
    asked = [x for x in source.searches() if x["collections"] == ["THEIA_7"]]
    assert [x["page"] for x in asked] == [1, 2, 3], "by number: the links to the next page are wrong"
    assert [x["limit"] for x in asked] == [80, 80, 80] and source.most_at_once == 1
    for rule in ("instrument", "grid-code", "doi", "proj-bbox", "sar-of-optical", "publication-time", "extension"):
        assert done["normalised"][rule] == 200
    assert done["flagged"]["licence-contradiction"]["count"] == 25
    item = stub.items["THEIA_7", "URN:FEATURE:DATA:gdh:THEIA_7-00003:V1"]
    (asset,) = item["assets"].values()
    assert asset["bocage:external"] is True and asset["href"] == "https://source.example.org/api/download/3"
    stamp = item["properties"]["bocage:harvested"]
    assert stamp["source"] == source.url and stamp["before"]["grid:code"] == "T04ULD" and stamp["at"].endswith("Z")
    via = [x["href"] for x in item["links"] if x["rel"] == "via"]
    assert via == [f"{source.url}/collections/THEIA_7/items/URN%3AFEATURE%3ADATA%3Agdh%3ATHEIA_7-00003%3AV1"]
    own = stub.collections["THEIA_7"]
    assert own["license"] == "Apache-2.0" and own["bocage:licences"] == ["Apache-2.0"]
    assert own["bocage:audience"] == "public" and own["bocage:harvested"]["flags"] == ["licence-contradiction"]

    stub.seen.clear()
    again = told(bocage("harvest", source.url, "--json"))
    assert counts(again) == {"unchanged": 200} and written(stub) == 0
    assert {x["record"] for x in again["collections"].values()} == {"unchanged"}

    source.items["THEIA_7"].append(sources.geodes_item(200, "THEIA_7", datetime="2025-06-01T00:00:00Z"))
    source.items["THEIA_7"][5]["properties"] |= {"datetime": "2025-06-01T00:00:00Z", "eo:cloud_cover": 1}
    source.seen.clear()
    later = told(bocage("harvest", source.url, "--collection", "THEIA_7", "--since", "last", "--json"))
    assert {k: v for k, v in counts(later).items() if k != "unchanged"} == {"new": 1, "changed": 1}
    assert 0 < counts(later)["unchanged"] < 20, "a little is read again, and no more"
    assert later["collections"]["THEIA_7"]["since"] == "2025-05-28T08:00:26.809000Z"
    assert source.searches()[0]["datetime"] == "2025-05-28T08:00:26.809000Z/.."


def test_geodes_without_a_search(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    items = {"A": [sources.geodes_item(n, "A") for n in range(170)]}
    source = serve(sources.geodes, collections=[sources.geodes_collection("A")], items=items, lists=True)
    assert counts(told(bocage("harvest", source.url, "--json"))) == {"new": 170}
    asked = [x["url"] for x in source.searches() if "url" in x]
    assert asked == [f"/collections/A/items?limit=80&page={n}" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"posted": True},
        {"posted": True, "merged": True},
        {"searched": False},
        {"searched": False, "landing": False},
    ],
)
def test_a_stac_api(stub: Stub, bocage: Bocage, serve: Serve, options: dict[str, bool]) -> None:
    held = plain(205)
    held["collections"] += [sources.plain_collection(f"empty-{n}") for n in range(4)]
    source = serve(sources.stac(**options), **held)
    done = told(bocage("harvest", f"{source.url}/", "--json"))
    assert done["kind"] == "stac" and counts(done) == {"new": 205}
    assert len(stub.collections) == 5, "pages of collections are followed"
    item = stub.items["plain", "item-0003"]
    assert item["stac_version"] == "1.1.0" and [x["rel"] for x in item["links"]] == ["via"]
    assert all(x.get("x-api-key") is None and x["user-agent"].startswith("bocage-harvest/") for x in source.headers)
    if options.get("posted"):
        assert [x["search-after"] for x in source.headers if "search-after" in x] == ["x", "x"]
        assert all(x["collections"] for x in source.searches())
    stub.seen.clear()
    assert counts(told(bocage("harvest", source.url, "--json"))) == {"unchanged": 205} and written(stub) == 0
    if options.get("posted"):
        later = told(bocage("harvest", source.url, "--since", "2025-03-20T00:00:00Z", "--json"))
        assert {"updated": {"gte": "2025-03-20T00:00:00Z"}} in [x.get("query") for x in source.searches()]
        assert set(counts(later)) == {"unchanged"}, "what is older is not even sent"
    one = told(bocage("harvest", f"{source.url}/collections/plain", "--json"))
    assert list(one["collections"]) == ["plain"]


def test_hydroweb_wants_a_key(
    stub: Stub, bocage: Bocage, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = {"RIVERS": [sources.hydroweb_item(n, "RIVERS") for n in range(120)]}
    collections = [sources.plain_collection("RIVERS", license="other")]
    source = serve(sources.hydroweb, collections=collections, items=items, key="secret-of-the-source")
    refused = bocage("harvest", source.url, "--json")
    assert refused.code == 1 and "BOCAGE_SOURCE_KEY" in refused.err and not stub.items
    monkeypatch.setenv("BOCAGE_SOURCE_KEY", "secret-of-the-source")
    done = told(bocage("harvest", source.url, "--json"))
    assert done["kind"] == "hydroweb" and counts(done) == {"new": 120}
    made = stub.items["RIVERS", "item-0003"]["properties"]
    assert made["datetime"] is None and made["updated"] == "2026-01-04T03:00:00Z"
    assert made["start_datetime"] == "2008-07-12T00:00:00Z"
    assert stub.collections["RIVERS"]["bocage:licences"] == ["LicenseRef-undeclared"]
    assert "secret-of-the-source" not in json.dumps([*stub.items.values(), *stub.collections.values(), done])
    monkeypatch.delenv("BOCAGE_SOURCE_KEY")
    file = tmp_path / "key"
    file.write_text("secret-of-the-source\n")
    later = told(bocage("harvest", source.url, "--key-file", file, "--since", "2026-01-20T00:00:00Z", "--json"))
    assert set(counts(later)) == {"unchanged"} and source.searches()[-1]["datetime"] == "2026-01-20T00:00:00Z/.."


def test_a_catalogue_of_images(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    """What a job on a stereo couple needs is kept: which images belong together, and how they were taken."""

    def image(name: str, number: int, other: str, angle: str) -> dict[str, Any]:
        made = sources.plain_item(number, "pleiades", constellation="pleiades", **{"view:incidence_angle": angle})
        link = {"rel": "related", "href": f"./{other}", "stereo-img:number": 3 - number}
        assets = {
            "image": {"href": "https://d.org/i.tif"},
            "rpc": {"href": "https://d.org/i.xml", "roles": ["geomodel"]},
        }
        return made | {"id": name, "links": [link], "assets": assets}

    items = {"pleiades": [image("PHR-A", 1, "PHR-B", "12.5"), image("PHR-B", 2, "PHR-A", "9")]}
    collections = [sources.plain_collection("pleiades", license="proprietary")]
    source = serve(sources.stac(), collections=collections, items=items, landing={"title": "Catalogue DINAMIS"})
    done = told(bocage("harvest", source.url, "--audience", "organisation", "--json"))
    assert done["kind"] == "dinamis" and counts(done) == {"new": 2}
    first, second = (stub.items["pleiades", x] for x in ("PHR-A", "PHR-B"))
    assert first["properties"]["stereo-img:group"] == second["properties"]["stereo-img:group"] == "PHR-A+PHR-B"
    assert first["properties"]["view:incidence_angle"] == 12.5 and set(first["assets"]) == {"image", "rpc"}
    assert stub.collections["pleiades"]["bocage:audience"] == "organisation"
    assert stub.collections["pleiades"]["bocage:harvested"]["before"]["license"] == "proprietary"


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A static catalogue on the web, with a document that is missing and one that is none."""

    def put(name: str, document: Any) -> None:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))

    child = [{"rel": "child", "href": f"./{x}/collection.json"} for x in ("plain", "other")]
    away = {"rel": "child", "href": "http://localhost:9/catalog.json"}
    put("catalog.json", {"type": "Catalog", "id": "root", "stac_version": "1.0.0", "links": [*child, away]})
    put("other/collection.json", sources.plain_collection("other", license="cc-by-nc"))
    hrefs = ["one.json", "two.json", "none.json", "bad.json"]
    links = [{"rel": "item", "href": f"./{x}"} for x in hrefs]
    put("plain/collection.json", sources.plain_collection("plain", links=links))
    put("plain/bad.json", "{")
    for number, name in enumerate(hrefs[:2]):
        item = sources.plain_item(number)
        item["assets"] = {"data": {"href": f"./{number}.tif"}}
        put(f"plain/{name}", item)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "tree"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path / "tree", f"http://127.0.0.1:{server.server_address[1]}/catalog.json"
        server.shutdown()


def test_a_static_catalogue(stub: Stub, bocage: Bocage, tree: tuple[Path, str]) -> None:
    folder, url = tree
    done = told(bocage("harvest", url, "--patience", "1", "--json"))
    assert counts(done) == {"new": 2} and done["skipped"]["unreadable"]["count"] == 2
    assert stub.collections["other"]["license"] == "CC-BY-NC-4.0"
    base = url.removesuffix("/catalog.json")
    assert stub.items["plain", "item-0000"]["assets"]["data"]["href"] == f"{base}/plain/0.tif"
    (folder / "plain" / "two.json").unlink()
    again = told(bocage("harvest", url, "--json"))
    assert counts(again) == {"unchanged": 1}, "what could not be read is not known to be gone"
    whole = json.loads((folder / "plain" / "collection.json").read_text())
    whole["links"] = whole["links"][:1]
    (folder / "plain" / "collection.json").write_text(json.dumps(whole))
    gone = told(bocage("harvest", url, "--collection", "plain", "--json"))
    assert gone["collections"]["plain"]["gone"] == ["item-0001"] and list(gone["collections"]) == ["plain"]
    assert ("plain", "item-0001") in stub.items
    missing = told(bocage("harvest", url, "--collection", "none", "--json"), code=1)
    assert missing["problems"][0]["code"] == "no-such-collection"


# -- what is there already ---------------------------------------------------------------------------------------


def test_what_somebody_else_made_stays(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    source = serve(sources.stac(), **plain(3))
    mine = {"type": "Collection", "id": "plain", "title": "Made by hand"}
    stub.collections["plain"] = mine
    stub.items["plain", "item-0001"] = own = sources.plain_item(1, title="Made by hand")
    done = told(bocage("harvest", source.url, "--json"))
    assert stub.collections["plain"] == mine and stub.items["plain", "item-0001"] == own
    assert counts(done) == {"new": 2, "skipped": 1} and done["skipped"]["not-ours"]["count"] == 1
    assert done["collections"]["plain"]["record"].startswith("kept")
    hidden = serve(sources.stac(), **plain(1) | {"collections": [sources.plain_collection("hidden")]})
    refused = told(bocage("harvest", hidden.url, "--json"), code=3)
    assert refused["problems"][0]["code"] == "not-owner" and "--into" in refused["problems"][0]["detail"]
    into = told(bocage("harvest", hidden.url, "--into", "mine", "--json"))
    assert into["collections"]["mine"]["record"] == "new" and stub.collections["mine"]["id"] == "mine"


def test_a_collection_that_changes_keeps_what_was_decided_here(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    source = serve(sources.stac(), **plain(1))
    assert bocage("harvest", source.url).code == 0
    stub.collections["plain"] |= {
        "license": "etalab-2.0",
        "bocage:licences": ["etalab-2.0"],
        "bocage:audience": "owner",
    }
    stub.seen.clear()
    assert told(bocage("harvest", source.url, "--json"))["collections"]["plain"]["record"] == "unchanged"
    assert written(stub) == 0
    source.collections[0]["description"] = "Another."
    done = told(bocage("harvest", source.url, "--json"))
    own = stub.collections["plain"]
    assert done["collections"]["plain"]["record"] == "changed" and own["description"] == "Another."
    assert (own["license"], own["bocage:licences"], own["bocage:audience"]) == ("etalab-2.0", ["etalab-2.0"], "owner")
    assert done["flagged"]["licence-differs"]["count"] == 1


def test_a_licence_that_is_decided_here(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    source = serve(sources.geodes, collections=[sources.geodes_collection("A")], items={"A": []})
    done = told(bocage("harvest", source.url, "--licence", "Licence Ouverte 2.0", "--json"))
    own = stub.collections["A"]
    assert (own["license"], own["bocage:licences"]) == ("etalab-2.0", ["etalab-2.0"])
    assert own["bocage:harvested"]["before"]["license"] == "Apache-2.0" and done["normalised"]["licence-decided"] == 1
    assert done["flagged"]["licence-contradiction"]["count"] == 1, "it is told all the same"
    later = told(bocage("harvest", source.url, "--json"))
    assert stub.collections["A"]["license"] == "etalab-2.0" and later["flagged"]["licence-differs"]["count"] == 1
    assert stub.collections["A"]["bocage:harvested"]["before"]["license"] == "Apache-2.0", (
        "what the source says is kept"
    )
    stub.seen.clear()
    assert told(bocage("harvest", source.url, "--json"))["flagged"].keys() == {"licence-contradiction"}
    assert written(stub) == 0


def test_what_is_gone_is_told_and_deleted_when_asked(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    source = serve(sources.stac(), **plain(5))
    assert bocage("harvest", source.url).code == 0
    stub.items["plain", "own"] = sources.plain_item(9) | {"id": "own"}
    del source.items["plain"][1:3]
    done = told(bocage("harvest", source.url, "--json"))
    assert done["collections"]["plain"]["gone"] == ["item-0001", "item-0002"] and len(stub.items) == 6
    narrow = told(bocage("harvest", source.url, "--bbox=-180,-90,180,90", "--json"))
    assert "gone" not in narrow["collections"]["plain"]
    pruned = told(bocage("harvest", source.url, "--prune", "--json"))
    assert pruned["items"]["pruned"] == 2 and set(stub.items) == {
        ("plain", x) for x in ("item-0000", "item-0003", "item-0004", "own")
    }


def test_narrowed(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    source = serve(sources.stac(), **plain(40))
    done = told(bocage("harvest", source.url, "--bbox=-4,42,-3.5,43", "--json"))
    assert counts(done)["new"] == len(stub.items) > 0 and counts(done)["outside"] > 0, "a source that does not narrow"
    assert all(x["bbox"][0] <= -3.5 for x in stub.items.values())
    stub.items.clear()
    late = told(bocage("harvest", source.url, "--since", "2025-03-20T00:00:00+00:00", "--json"))
    assert counts(late)["older"] + counts(late)["new"] == 40 and counts(late)["new"] == len(stub.items) < 40


def test_a_dry_run_writes_nothing(stub: Stub, bocage: Bocage, serve: Serve, tmp_path: Path) -> None:
    source = serve(sources.geodes, collections=[sources.geodes_collection("A")])
    source.items["A"] = [sources.geodes_item(n, "A") for n in range(90)]
    done = told(bocage("harvest", source.url, "--dry-run", "--json"))
    assert counts(done) == {"new": 90} and done["collections"]["A"]["record"] == "new" and done["dry_run"]
    assert written(stub) == 0 and not list((tmp_path / "own").rglob("*.sqlite"))
    assert bocage("harvest", source.url).code == 0
    source.items["A"][3]["properties"]["eo:cloud_cover"] = 3
    text = bocage("harvest", source.url, "--dry-run")
    assert "1 changed, 89 unchanged" in text.out and "--dry-run" in text.out


# -- stopped -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_stopped_half_way_it_goes_on(stub: Stub, bocage: Bocage, serve: Serve, stop: signal.Signals) -> None:
    source = serve(sources.stac(), **plain(400, most=10))
    stub.upload_pause = 0.1
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "bocage"), "harvest", source.url, "--json"],
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        # Whoever runs the tests in the background of a shell has made them deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while len(stub.items) < 30:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(stop)
    assert process.wait(30) == (130 if stop == signal.SIGINT else -stop)
    time.sleep(0.5)  # what was on its way arrives
    there, stub.upload_pause, source.seen = len(stub.items), 0.0, []
    assert 30 <= there < 400
    done = told(bocage("harvest", source.url, "--json"))
    own = counts(done)
    assert own["new"] == 400 - there and len(stub.items) == 400
    assert own["before"] + own.get("unchanged", 0) == there and own["before"] >= 10
    assert len(source.searches()) <= 40 - own["before"] // 10 + 1, "pages that were read are not read again"


def test_two_at_once(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    with Journal(["a"], tmp_path) as journal:
        assert journal.path is not None and journal.path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(UsageError, match="already"), Journal(["a"], tmp_path):
            pass
        with Journal(["b"], tmp_path):
            pass
    path = tmp_path / "harvests"
    (path / journal.path.name).write_bytes(b"no journal" * 500)
    with pytest.raises(UsageError, match="no journal"), Journal(["a"], tmp_path):
        pass


def test_a_journal(tmp_path: Path) -> None:
    asked = harvest_http.Asked("https://a.org", "POST", {"page": 2}, {"A": "b"})
    with Journal(["a"], tmp_path) as journal:
        journal.enter(
            "c", Progress(None, asked, 5, "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z", False), ["x", "y", "x"]
        )
        journal.mark("c", "2025-02-01T00:00:00Z")
        journal.mark("c", "2025-01-01T00:00:00Z")
    with Journal(["a"], tmp_path) as journal:
        found = journal.progress("c")
        assert found is not None and found.asked == asked and journal.count("c") == 2 and journal.seen("c", "x")
        assert journal.watermark("c") == "2025-02-01T00:00:00Z", "never backwards"
        journal.forget()
        assert journal.progress("c") is None and journal.count("c") == 0
        assert journal.watermark("c") is not None


@pytest.mark.parametrize(
    ("landing", "kind"),
    [
        ({"id": "x", "title": "STAC gdh root"}, "geodes"), ({"title": "hydroweb.next"}, "hydroweb"),
        ({"description": "Images of DINAMIS"}, "dinamis"), ({"id": "theia-mtd"}, "theia"),
        ({"title": "Atheia"}, "stac"),
        ({"stac_version": "1.0.0-beta.2"}, "geodes"), ({}, "stac"), (None, "stac"), ({"title": 5}, "stac"),
    ],
)  # fmt: skip
def test_who_a_source_is(landing: Any, kind: str) -> None:
    assert harvest_dialects.recognised(landing) == kind


def test_links_to_the_next_page() -> None:
    asked = Asked("https://a.org/stac/search", "POST", {"collections": ["c"], "limit": 5})

    def after(**link: Any) -> Asked | None:
        return harvest_dialects.next_link(asked, [{"rel": "self", "href": "x"}, {"rel": "next", **link}])

    assert after(href="search?page=2") == Asked("https://a.org/stac/search?page=2")
    assert after(href="http://a.org/x") == Asked("https://a.org/x"), "a proxy speaks HTTPS in front of it"
    for other in ("http://a.org:8080/x", "http://b.org/x"):
        assert after(href=other) == Asked(other)
    whole = {"collections": ["c"], "token": "n"}
    assert after(href="/s", method="post", body=whole) == Asked("https://a.org/s", "POST", whole)
    merged = after(href="/s", method="POST", body={"token": "n"}, merge=True)
    assert merged is not None and merged.body == {"collections": ["c"], "limit": 5, "token": "n"}
    plain = after(href="/s", headers={"Authorization": "a", "Cookie": "b", "X-Page": "c", "Bad": "d\ne"})
    assert plain is not None and plain.headers == {"X-Page": "c"}
    for wrong in (
        {},
        {"href": 5},
        {"href": "file:///etc/passwd"},
        {"href": "ftp://a.org"},
        {"href": "http://[x"},
        {"href": "//a:x"},
    ):
        assert after(**wrong) is None
    assert harvest_dialects.direction(Kind.GEODES, descending=True) == "dsc"
    assert harvest_dialects.direction(Kind.STAC, descending=True) == "desc"


def test_keys(tmp_path: Path) -> None:
    assert harvest_http.key_of(None, {}) is None
    assert harvest_http.key_of(None, {"BOCAGE_SOURCE_KEY": " k \n"}) == "k"
    for wrong in ("", "a\nb", "é"):
        (tmp_path / "key").write_text(wrong)
        with pytest.raises(UsageError):
            harvest_http.key_of(tmp_path / "key", {})


def test_from_python(stub: Stub, serve: Serve) -> None:
    source = serve(sources.stac(), **plain(3))
    with bocage_client.connect() as client:
        assert client.harvest(source.url, collections=["plain"])["items"]["new"] == 3
