"""What is wrong with a deposit, and what could be better: its fields, its items, its files, whom to ask."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bocage_kit.language import FRENCH
from bocage_kit.licences import LICENCES_FIELD
from bocage_kit.problems import Problem
from bocage_kit.store import LocalStore, Stored, in_bucket, key_of_href
from fastapi.concurrency import run_in_threadpool

from bocage_catalogue import validation
from bocage_catalogue.citation import boxes_of, contacts_of, creators_of, period_of
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.language import translations_of
from bocage_catalogue.present import Document

MOST_ITEMS, _BATCH = 20_000, 200
_MOST_TOLD = 100
_SHORTEST = 20
_SHA256 = re.compile(r"1220([0-9a-f]{64})", re.IGNORECASE)
_ITEMS = """
select i.id, catalogue.stored_document(i) as document from pgstac.items i
where i.collection = $1 and i.id > $2 order by i.id limit $3
"""
_MARK = """
select c.content, f.revision,
    (select count(*) from catalogue.finished_item i where i.collection = c.id) as items,
    (select coalesce(max(i.revision), 0) from catalogue.finished_item i where i.collection = c.id) as newest
from pgstac.collections c join catalogue.finished_collection f using (id) where c.id = $1
"""

Head = Callable[[str], Stored | None]


@dataclass(frozen=True)
class Finding:
    """What is wrong, and where."""

    at: str
    code: str
    reason: str


@dataclass
class Report:
    """All that was found: errors stand in the way of publication, warnings don't."""

    items: int = 0
    assets: int = 0
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    mark: tuple[int, int, int] = (0, 0, 0)
    """What was looked at: another mark, and it is something else."""

    def document(self) -> Document:
        def some(findings: Sequence[Finding]) -> list[Document]:
            return [vars(finding) for finding in findings[:_MOST_TOLD]]

        return {
            "valid": not self.errors,
            "items": self.items,
            "assets": self.assets,
            "error_count": len(self.errors),
            "warning_count": len(self.warnings),
            "errors": some(self.errors),
            "warnings": some(self.warnings),
        }


def _schema(check: Callable[[Document], None], document: Document, at: str) -> Iterator[Finding]:
    try:
        check(document)
    except Problem as problem:
        for error in problem.members.get("errors") or [{"field": "", "reason": problem.detail}]:
            place = ".".join(part for part in (at, str(error["field"])) if part)
            yield Finding(place, "schema", str(error["reason"]))


def collection_errors(collection: Document) -> Iterator[Finding]:
    """What the collection itself lacks."""
    yield from _schema(validation.check_collection, collection, "")
    if not str(collection.get("title") or "").strip():
        yield Finding("title", "missing", "has no title, by which it would be cited")
    if len(str(collection.get("description") or "").strip()) < _SHORTEST:
        yield Finding("description", "too-short", f"must say in at least {_SHORTEST} characters what the data are")
    contacts = contacts_of(collection)
    if not contacts:
        yield Finding("contacts", "missing", "names nobody to ask")
    elif all(contact.email is None for contact in contacts):
        yield Finding("contacts", "missing", "has no e-mail address of whom to ask")
    if not creators_of(collection):
        yield Finding("providers", "missing", "names no author (contacts) and no producer (providers)")
    if not collection.get(LICENCES_FIELD) and collection.get("license") in (None, "other", "various", "proprietary"):
        yield Finding("license", "missing", "must be an SPDX id, or bocage:licences must name a licence")
    if not boxes_of(collection):
        yield Finding("extent.spatial", "missing", "must say where the data lie")
    if period_of(collection) == (None, None):
        yield Finding("extent.temporal", "missing", "must say of when the data are")
    if "sci:doi" in collection:
        yield Finding("sci:doi", "given", "is given at publication: cite another one in sci:publications")


def collection_warnings(collection: Document) -> Iterator[Finding]:
    """What the collection could say besides."""
    translations = translations_of(collection).get(FRENCH, {})
    for member in ("title", "description"):
        if collection.get(member) and not translations.get(member):
            yield Finding(f"bocage:translations.fr.{member}", "missing", "is not said in French")
    if not collection.get("keywords"):
        yield Finding("keywords", "missing", "has no keywords")
    if not collection.get("item_assets"):
        yield Finding("item_assets", "missing", "does not describe the files of its items")


def _of_asset(asset: Mapping[str, Any], stored: Stored, at: str) -> Iterator[tuple[bool, Finding]]:
    """What a file and its description say of each other."""
    size, checksum = asset.get("file:size"), asset.get("file:checksum")
    if size is not None and size != stored.size:
        yield True, Finding(f"{at}.file:size", "size-differs", f"is {size}, but the file has {stored.size} bytes")
    if checksum is None:
        yield False, Finding(f"{at}.file:checksum", "no-checksum", "is not given")
    elif (named := _SHA256.fullmatch(str(checksum))) is None:
        yield False, Finding(f"{at}.file:checksum", "not-compared", "is no SHA-256 multihash (1220…)")
    elif stored.sha256 is not None and named[1].lower() != stored.sha256:
        yield True, Finding(f"{at}.file:checksum", "checksum-differs", f"is not that of the file, 1220{stored.sha256}")


def item_findings(item: Document, head: Head) -> Iterator[tuple[bool, Finding]]:
    """(whether it stands in the way, what) of one item and its files."""
    name = str(item["id"])
    for finding in _schema(
        validation.check_item, {key: value for key, value in item.items() if key != "collection"}, f"items.{name}"
    ):
        yield True, finding
    audience = (item.get("properties") or {}).get("bocage:audience")
    if audience not in (None, "public"):
        yield False, Finding(f"items.{name}", "audience", f"stays seen by its {audience} alone")
    assets = item.get("assets") or {}
    if not assets:
        yield False, Finding(f"items.{name}.assets", "missing", "has no files")
    for key, asset in assets.items():
        at, href = f"items.{name}.assets.{key}", str(asset.get("href", ""))
        if (own := key_of_href(href)) is not None:
            stored = head(own)
            if stored is None:
                yield True, Finding(at, "file-missing", "has no file in the store: upload it again")
            else:
                yield from _of_asset(asset, stored, at)
        elif in_bucket(href) is not None:
            yield False, Finding(at, "not-compared", "lies in a bucket: `bocage admin fixity` reads it")
        else:
            yield False, Finding(at, "elsewhere", "lies at another host, which keeps it or does not")


def _looked_at(documents: Sequence[Document], head: Head, report: Report) -> None:
    for document in documents:
        report.items += 1
        report.assets += len(document.get("assets") or {})
        for stands, finding in item_findings(document, head):
            (report.errors if stands else report.warnings).append(finding)


async def mark(connection: Connection, name: str) -> tuple[Document, tuple[int, int, int]] | None:
    """The collection of a deposit, and what tells whether it or an item of it was changed since."""
    rows = await connection.fetch(_MARK, name)
    if not rows:
        return None
    return rows[0]["content"], (rows[0]["revision"], rows[0]["items"], rows[0]["newest"])


async def validated(database: Database, store: LocalStore, name: str) -> Report | None:
    """The report on a deposit; None when it has no collection any more."""
    report = Report()
    async with database.reading() as connection:
        found = await mark(connection, name)
    if found is None:
        return None
    collection, report.mark = found
    report.errors += collection_errors(collection)
    report.warnings += collection_warnings(collection)
    last = ""
    while report.items < MOST_ITEMS:
        async with database.reading() as connection:  # others want one too
            rows = await connection.fetch(_ITEMS, name, last, _BATCH)
        if not rows:
            break
        last = rows[-1]["id"]
        await run_in_threadpool(_looked_at, [row["document"] for row in rows], store.head, report)
    if not report.items:
        report.errors.append(Finding("items", "missing", "has no items"))
    elif report.mark[1] > MOST_ITEMS:
        report.errors.append(Finding("items", "too-many", f"has more than {MOST_ITEMS} items: deposit it in parts"))
    return report
