"""Loading from files, static catalogues and addresses; lost answers, busy platforms, broken exports."""

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
import pytest
from bocage_client import adopting, load_journal
from bocage_client.adopting import NotLoadable
from bocage_client.errors import UsageError
from bocage_client.load_journal import Journal, digest_of

if TYPE_CHECKING:
    from conftest import Done, Stub

    Bocage = Callable[..., Done]


def item(name: str, holder: str | None = "c", href: str = "https://a.org/x.tif", **properties: Any) -> dict[str, Any]:
    made = {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "geometry": {"type": "Point", "coordinates": [1, 2]},
        "bbox": [1, 2, 1, 2], "links": [], "assets": {"x": {"href": href}},
        "properties": {"datetime": "2024-01-01T00:00:00Z", **properties},
    }  # fmt: skip
    return made if holder is None else made | {"collection": holder}


def collection(name: str, *links: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "Collection", "stac_version": "1.0.0", "id": name, "description": "x", "license": "other",
        "extent": {}, "links": list(links),
    }  # fmt: skip


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def write_lines(path: Path, documents: list[Any]) -> Path:
    path.write_text("".join(json.dumps(x) + "\n" for x in documents))
    return path


def counts(done: Done) -> dict[str, int]:
    found: dict[str, int] = json.loads(done.out)["items"]
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A static catalogue: collections in collections, a circle, a link to nowhere, and one away from here."""
    root = tmp_path / "tree"
    write(root / "catalog.json", {
        "type": "Catalog", "id": "root", "links": [
            {"rel": "self", "href": "https://published.org/catalog.json"},
            {"rel": "child", "href": "./c/collection.json"}, {"rel": "child", "href": "c/../c/collection.json"},
            {"rel": "child", "href": "https://elsewhere.invalid/catalog.json"},
        ],
    })  # fmt: skip
    write(root / "c" / "collection.json", collection(
        "c",
        {"rel": "root", "href": "../catalog.json"}, {"rel": "child", "href": "../catalog.json"},
        {"rel": "item", "href": "./one.json"}, {"rel": "item", "href": "./one.json#again"},
        {"rel": "child", "href": "inner/collection.json"}, {"rel": "license", "href": "https://a.org/licence"},
        {"rel": "about", "href": "./about.html"},
    ))  # fmt: skip
    one = item("one", holder=None, href="./one.tif")
    one["links"] = [{"rel": "self", "href": "https://published.org/c/one.json"}, {"rel": "thumb", "href": "./t.png"}]
    write(root / "c" / "one.json", one)
    write(root / "c" / "inner" / "collection.json", collection("inner", {"rel": "item", "href": "two%20.json"}))
    write(root / "c" / "inner" / "two .json", item("two", holder="inner", href="https://b.org/two.tif"))
    return root


@pytest.fixture
def web(tree: Path) -> Iterator[str]:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tree))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_static_catalogue_of_files(stub: Stub, bocage: Bocage, tree: Path) -> None:
    done = bocage("load", tree, "--json")
    assert done.code == 0, done.err
    assert counts(done) == {"new": 2, "updated": 0, "unchanged": 0, "before": 0, "failed": 0}
    assert json.loads(done.out)["collections"] == {"c": "new", "inner": "new"}
    one = stub.items["c", "one"]
    assert one["assets"]["x"] == {"href": "https://published.org/c/one.tif", "bocage:external": True}
    assert one["links"] == [{"rel": "thumb", "href": "https://published.org/c/t.png"}]
    assert one["stac_version"] == stub.collections["c"]["stac_version"] == "1.1.0"
    assert stub.collections["c"]["links"] == [{"rel": "license", "href": "https://a.org/licence"}]
    again = bocage("load", tree / "catalog.json", "--json")
    assert counts(again)["unchanged"] == 2 and json.loads(again.out)["collections"]["c"] == "unchanged"


def test_a_static_catalogue_on_the_web(stub: Stub, bocage: Bocage, web: str) -> None:
    done = bocage("load", f"{web}/catalog.json", "--json")
    assert done.code == 0, done.err
    assert counts(done)["new"] == 2
    assert stub.items["c", "one"]["assets"]["x"]["href"] == f"{web}/c/one.tif"
    missing = bocage("load", f"{web}/none.json", "--json")
    assert (missing.code, json.loads(missing.out)["status"]) == (1, 404)


def test_everything_into_one_collection(stub: Stub, bocage: Bocage, tree: Path) -> None:
    stub.collections["mine"] = {"id": "mine"}
    assert bocage("load", tree, "--collection", "mine").code == 0
    assert set(stub.items) == {("mine", "one"), ("mine", "two")} and set(stub.collections) == {"mine"}


def test_other_documents(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    stub.collections["c"] = {"id": "c"}
    features = {"type": "FeatureCollection", "features": [item("a"), item("b")]}
    files = [write(tmp_path / "a.geojson", features), write(tmp_path / "one.json", item("c1"))]
    assert counts(bocage("load", *files, "--json"))["new"] == 3
    assert bocage("load", write(tmp_path / "c.json", collection("new"))).code == 0
    assert "new" in stub.collections


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("x.json", b'{"type": "Topology"}', 1, "no item"),
        ("x.json", b"{", 1, "not JSON"),
        ("x.geojson", b'{"type": "FeatureCollection", "features": {}}', 1, "no list"),
        ("x.parquet", b"PAR1 and nothing else", 1, "no Parquet file"),
        ("x.csv", b"a,b", 2, "tells no format"),
        ("x.ndjson", json.dumps(item("a", holder=None)).encode(), 1, "--collection"),
        ("x.ndjson", json.dumps(item("a", href="./local.tif")).encode(), 1, "bocage ingest"),
        ("x.ndjson", json.dumps(item("a") | {"id": 5}).encode(), 1, "no id"),
        ("x.ndjson", json.dumps(item("a", value=float("nan"))).encode(), 1, "NaN"),
        ("x.ndjson", b"[" * 100_000, 1, "not JSON"),
    ],
)
def test_what_cannot_be_loaded(
    stub: Stub, bocage: Bocage, tmp_path: Path, name: str, content: bytes, code: int, said: str
) -> None:
    stub.collections["c"] = {"id": "c"}
    path = tmp_path / name
    path.write_bytes(content)
    done = bocage("load", path)
    assert done.code == code, done.err
    assert said in done.err and not stub.items


def test_sources_that_are_none(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    for source in (tmp_path / "none.ndjson", "ftp://a.org/x.ndjson"):
        assert bocage("load", source).code == 2
    assert bocage("load", tmp_path).code == 1, "a folder without a catalogue"
    assert not stub.seen


def test_one_line_that_is_bad(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    stub.collections["c"] = {"id": "c"}
    path = write_lines(tmp_path / "x.ndjson", [item("a"), item("b", bad=1), item("d")])
    with path.open("a") as file:
        file.write("\n{\n" + json.dumps(item("e")))
    done = bocage("load", path, "--json")
    assert done.code == 1 and not stub.items
    failures = tmp_path / "failures.ndjson"
    done = bocage("load", path, "--partial", "--failures", failures, "--json")
    assert done.code == 1 and counts(done)["failed"] == 2
    assert {name for _, name in stub.items} == {"a", "d", "e"}
    places = {x["where"]: x for x in map(json.loads, failures.read_text().splitlines())}
    assert set(places) == {f"{path}:2", f"{path}:5"}
    assert places[f"{path}:2"]["errors"] == [{"field": "properties.bad", "reason": "it is bad"}]
    # once it is mended, only what failed is sent
    write_lines(path, [item("a"), item("b"), item("d"), item("e")])
    mended = bocage("load", path, "--partial", "--json")
    assert mended.code == 0 and counts(mended) == {"new": 1, "updated": 0, "unchanged": 0, "before": 3, "failed": 0}


def test_a_lost_answer_is_no_failure(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    stub.collections["c"], stub.lose_bulk_answers = {"id": "c"}, 2
    path = write_lines(tmp_path / "x.ndjson", [item(f"i{n}") for n in range(30)])
    done = bocage("load", path, "--batch", "10", "--json")
    assert done.code == 0, done.err
    assert counts(done)["new"] + counts(done)["unchanged"] == 30 == len(stub.items)
    assert counts(done)["unchanged"] > 0


def test_what_is_there_and_equal_does_not_keep_the_others_out(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    stub.collections["c"] = {"id": "c"}
    some = write_lines(tmp_path / "some.ndjson", [item(f"i{n}") for n in range(3)])
    assert bocage("load", some).code == 0
    done = bocage("load", write_lines(tmp_path / "all.ndjson", [item(f"i{n}") for n in range(6)]), "--json")
    assert (counts(done)["new"], counts(done)["unchanged"]) == (3, 3)


def test_a_busy_platform_is_asked_again(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    stub.collections["c"], stub.unavailable, stub.retry_after = {"id": "c"}, 2, 1
    done = bocage("load", write_lines(tmp_path / "x.ndjson", [item("a")]), "--json")
    assert done.code == 0 and counts(done)["new"] == 1
    assert stub.seen["POST /stac/collections/c/items"] == 3


def test_the_later_of_two_stays(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    stub.collections["c"] = {"id": "c"}
    path = write_lines(tmp_path / "x.ndjson", [item("a", n=1), item("b"), item("a", n=2)])
    done = bocage("load", path, "--upsert", "--json")
    assert counts(done) == {"new": 2, "updated": 1, "unchanged": 0, "before": 0, "failed": 0}
    assert stub.items["c", "a"]["properties"]["n"] == 2


def test_an_earlier_run_is_gone_on_with(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    stub.collections["c"] = {"id": "c"}
    path = write_lines(tmp_path / "x.ndjson", [item(f"i{n}") for n in range(5)] + [item("i9", bad=1)])
    first = bocage("load", path, "--batch", "1", "--json")
    assert first.code == 1 and counts(first)["new"] == 5
    second = bocage("load", path, "--batch", "1", "--json")
    assert counts(second) == {"new": 0, "updated": 0, "unchanged": 0, "before": 5, "failed": 1}
    stub.items.clear()
    third = bocage("load", path, "--batch", "1", "--restart", "--json")
    assert counts(third)["new"] == 5, "what the platform has lost since is sent again"


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_stopped_half_way_it_goes_on(stub: Stub, bocage: Bocage, tmp_path: Path, stop: signal.Signals) -> None:
    stub.collections["c"], stub.upload_pause = {"id": "c"}, 0.1
    path = write_lines(tmp_path / "x.ndjson", [item(f"i{n}") for n in range(400)])
    arguments = ["load", str(path), "--batch", "5", "--json"]
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "bocage"), *arguments],
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        # Whoever runs the tests in the background of a shell has made them deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 30
    while not stub.items:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(stop)
    assert process.wait(30) == (130 if stop == signal.SIGINT else -stop)
    time.sleep(0.5)  # what was on its way arrives
    there, stub.upload_pause = len(stub.items), 0.0
    assert 0 < there < 400
    done = bocage(*arguments)
    assert done.code == 0, done.err
    assert counts(done)["new"] == 400 - there and len(stub.items) == 400
    assert counts(done)["before"] + counts(done)["unchanged"] == there
    if stop == signal.SIGINT:
        assert counts(done)["before"] == there, "who is asked to stop notes what arrives"


def test_a_journal_that_was_cut_short(tmp_path: Path) -> None:
    with Journal("http://a", ["x"], [], tmp_path) as journal:
        journal.add([1, 2])
        journal.add([])
        path = journal.path
        with pytest.raises(UsageError, match="already"), Journal("http://a", ["x"], [], tmp_path):
            pass
    whole = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(whole + whole[:-5])
    with Journal("http://a", ["x"], [], tmp_path) as journal:
        assert 1 in journal and 2 in journal and len(journal) == 2
        journal.add([3])
    with Journal("http://a", ["x"], [], tmp_path) as journal:
        assert 3 in journal, "a line that was cut short does not spoil the next"
    with Journal("http://b", ["x"], [], tmp_path) as other:
        assert len(other) == 0, "another platform has taken nothing"
    assert digest_of("a") != digest_of("b")
    assert load_journal.state_folder({"XDG_STATE_HOME": "/s"}) == Path("/s/bocage")


def test_hrefs() -> None:
    own = {"x": {"href": "https://hub.org/assets/c/a/x"}}
    made = adopting.item(item("a") | {"assets": own}, "/f", None, "https://hub.org/")
    assert made["assets"] == own, "a file of this platform is not external"
    made = adopting.item(item("a") | {"assets": own}, "/f", "other", "https://other.org")
    assert made["assets"]["x"]["bocage:external"] is True and made["collection"] == "other"
    with pytest.raises(NotLoadable, match="no address on the web"):
        adopting.item(item("a", href="s3://bucket/key"), "https://a.org/i.json", None, "https://hub.org")
    assert not adopting.equal({"assets": {}}, item("a"))


def test_an_export_that_breaks_off_begins_again(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    stub.items = {("c", f"i{n}"): item(f"i{n}") for n in range(50)}
    stub.cut_exports = 1
    path = tmp_path / "x.ndjson"
    done = bocage("export", "-o", path, "--json")
    assert done.code == 0 and "begins again" in done.err
    assert json.loads(done.out) == {"file": str(path), "format": "ndjson", "items": 50, "bytes": path.stat().st_size}
    assert path.stat().st_mode & 0o600 == 0o600
    before = path.read_bytes()
    stub.cut_exports = 10
    failed = bocage("export", "-o", path, "--json")
    assert failed.code == 5 and path.read_bytes() == before, "what was there before is not touched"
    assert [x.name for x in tmp_path.iterdir() if "part" in x.name] == []
    piped = bocage("export")
    assert piped.code == 5 and "not the whole" in piped.err


def test_from_python(stub: Stub, tmp_path: Path) -> None:
    stub.collections["c"] = {"id": "c"}
    with bocage_client.connect() as client:
        made = client.load([write_lines(tmp_path / "x.ndjson", [item("a")])], "c")
        assert made["items"]["new"] == 1
        assert client.export(tmp_path / "y.ndjson", collections=["c"])["items"] == 1
    assert json.loads((tmp_path / "y.ndjson").read_text())["id"] == "a"


def test_without_the_extra_its_name_is_told(
    stub: Stub, bocage: Bocage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setattr("bocage_client.geoparquet.importlib.util.find_spec", lambda _name: None)
    done = bocage("load", path)
    assert done.code == 2 and "bocage-client[geoparquet]" in done.err
