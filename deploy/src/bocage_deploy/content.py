"""The content of the platform: product lines with samples of them, and the directory, written through its own API.

Once more changes nothing, broken off it goes on, and what is there is not sent again.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bocage_client.client import Client
from bocage_client.errors import BocageError, Refused
from bocage_client.http import Transport
from bocage_client.load_batches import Manner, Ready, send
from bocage_theia import directory, products
from bocage_theia.samples import Sample, samples
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Document = dict[str, Any]
Say = Callable[[str], None]
_AT_ONCE = 3


class ContentFailed(Exception):
    """A record could not be loaded; says which, and why."""


@dataclass
class Loaded:
    """What came of it."""

    collections: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("new", "updated", "unchanged"), 0))
    items: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("new", "updated", "unchanged"), 0))
    files: int = 0
    size: int = 0
    making: float = 0.0
    """Seconds that the samples took to make."""
    seconds: float = 0.0

    def add(self, other: Loaded) -> None:
        for name in self.collections:
            self.collections[name] += other.collections[name]
            self.items[name] += other.items[name]
        self.files += other.files
        self.size += other.size

    def line(self) -> str:
        def counted(what: dict[str, int]) -> str:
            return ", ".join(f"{n} {name}" for name, n in what.items() if n) or "none"

        return (
            f"Collections: {counted(self.collections)}. Items: {counted(self.items)}. "
            f"{self.files} files sent, {self.size / 1e6:.1f} MB. "
            f"{self.seconds:.1f} s, of which {self.making:.1f} s to make the samples."
        )


@dataclass(frozen=True)
class _Part:
    """A collection and its items, as they are sent."""

    collection: Document
    samples: Sequence[Sample]


def records() -> list[Document]:
    """Every collection of the content."""
    return [*products.collections(), *directory.collections()]


def load(client: Client, folder: Path, say: Say, only: Sequence[str] = ()) -> Loaded:
    """Write the content as the account of `client`, an administrator of the catalogue. Raises ContentFailed.

    `folder` keeps the files of the samples between calls; `only` names collections.
    """
    began = time.monotonic()
    chosen = _chosen(records(), only)
    done = Loaded()
    say(f"Loading {len(chosen)} collections and their items …")
    with _progress() as progress, ThreadPoolExecutor(_AT_ONCE) as pool:
        task = progress.add_task("content", total=len(chosen))
        waiting: deque[Future[Loaded]] = deque()

        def settle() -> None:
            done.add(waiting.popleft().result())
            progress.advance(task)

        try:
            for part in _parts(chosen, folder, done):
                waiting.append(pool.submit(_load_part, client.transport, part))
                while len(waiting) > 2 * _AT_ONCE or (waiting and waiting[0].done()):
                    settle()
            while waiting:
                settle()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    done.seconds = time.monotonic() - began
    say(done.line())
    return done


def _chosen(known: Sequence[Document], only: Sequence[str]) -> list[Document]:
    if unknown := set(only) - {record["id"] for record in known}:
        raise ContentFailed(f"The content has no collection {', '.join(sorted(unknown))}.")
    return [record for record in known if not only or record["id"] in only]


def _parts(chosen: Iterable[Document], folder: Path, done: Loaded) -> Iterator[_Part]:
    entries: dict[str, list[Sample]] = {}
    for item in directory.items():
        entries.setdefault(item["collection"], []).append(Sample(item, {}))
    for record in chosen:
        began = time.monotonic()
        try:
            made = [*samples(folder, [record]), *entries.get(record["id"], ())]
        except (ValueError, OSError) as error:
            raise ContentFailed(f"The sample of {record['id']} cannot be made: {error}") from error
        done.making += time.monotonic() - began
        yield _Part(record, made)


def _load_part(transport: Transport, part: _Part) -> Loaded:
    done = Loaded()
    collection = str(part.collection["id"])
    where = f"collection {collection}"
    try:
        done.collections[_write_collection(transport, part.collection)] += 1
        there = _held(transport, collection, part.samples)
        ready, replaced = [], 0
        for sample in part.samples:
            where = f"{collection}/{sample.item['id']}"
            replaced += _upload_all(transport, sample, there.get(sample.item["id"]), done)
            ready.append(_ready(sample))
        where = f"items of {collection}"
        _write_items(transport, collection, ready, done)
        done.items["new"] -= replaced
        done.items["updated"] += replaced
    except BocageError as error:
        raise ContentFailed(f"{where}: {error.detail}") from error
    return done


def _write_collection(transport: Transport, record: Document) -> str:
    """The platform itself tells whether anything is other than before: a tag stays when nothing is."""
    path = f"/stac/collections/{quote(str(record['id']), safe='')}"
    before = transport.send("GET", path, allow=frozenset({404}))
    if before.status_code == 404:
        made = transport.send("POST", "/stac/collections", json=record, repeatable=True, allow=frozenset({409}))
        if made.status_code != 409:
            return "new"
    after = transport.send("PUT", path, json=record)
    return "unchanged" if before.headers.get("etag") == after.headers.get("etag") else "updated"


def _held(transport: Transport, collection: str, wanted: Sequence[Sample]) -> dict[str, Document]:
    """What the platform has of these items, by id."""
    if not wanted:
        return {}
    ids = [sample.item["id"] for sample in wanted]
    found: dict[str, Document] = {}
    for start in range(0, len(ids), 500):
        question = {"collections": [collection], "ids": ids[start : start + 500], "limit": 500}
        page = transport.post("/stac/search", question, repeatable=True)
        found |= {item["id"]: item for item in page["features"]}
    return found


def _upload_all(transport: Transport, sample: Sample, there: Document | None, done: Loaded) -> bool:
    """Send what the platform does not hold. Whether the item had to be taken away for that."""
    held = (there or {}).get("assets", {})
    missing = {
        name: path
        for name, path in sample.files.items()
        if held.get(name, {}).get("file:checksum") != sample.item["assets"][name]["file:checksum"]
    }
    for name in missing:
        try:
            _upload(transport, sample, name, done)
        except Refused as error:
            if error.code != "in-use":
                raise
            # The stored item still speaks of the former bytes: both are made anew.
            transport.send("DELETE", _item_path(sample.item), allow=frozenset({404}))
            for each in sample.files:
                _upload(transport, sample, each, done)
            return True
    return False


def _upload(transport: Transport, sample: Sample, asset: str, done: Loaded) -> None:
    path, record = sample.files[asset], sample.item["assets"][asset]
    headers = {
        "Content-SHA256": record["file:checksum"].removeprefix("1220"),
        "Content-Length": str(record["file:size"]),
        "Content-Type": record.get("type", "application/octet-stream"),
    }
    content = path.read_bytes()
    transport.send("PUT", _asset_path(sample.item, asset), body=lambda: iter([content]), headers=headers)
    done.files += 1
    done.size += len(content)


def _item_path(item: Document) -> str:
    return f"/stac/collections/{quote(item['collection'], safe='')}/items/{quote(item['id'], safe='')}"


def _asset_path(item: Document, asset: str) -> str:
    return "/assets/" + "/".join(quote(x, safe="") for x in (item["collection"], item["id"], asset))


def _ready(sample: Sample) -> Ready:
    item = sample.item
    assets = {
        name: {**asset, "href": _asset_path(item, name)} if name in sample.files else asset
        for name, asset in item["assets"].items()
    }
    made = {**item, "assets": assets}
    return Ready(f"{item['collection']}/{item['id']}", str(item["id"]), json.dumps(made), 0, made)


def _write_items(transport: Transport, collection: str, items: Sequence[Ready], done: Loaded) -> None:
    for start in range(0, len(items), 500):
        outcome = send(transport, collection, items[start : start + 500], Manner(upsert=True, partial=True))
        if outcome.failures:
            more = f" And {len(outcome.failures) - 1} more." if len(outcome.failures) > 1 else ""
            raise ContentFailed(f"{outcome.failures[0]}.{more}")
        done.items["new"] += outcome.new
        done.items["updated"] += outcome.updated
        done.items["unchanged"] += outcome.unchanged


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))
