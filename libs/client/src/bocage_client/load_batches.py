"""One batch of items on its way to the platform, and what the platform said of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from bocage_client import adopting
from bocage_client.errors import BocageError, Exit, JsonObject, exit_of_status, refusal
from bocage_client.http import Transport

_PATIENCE = 60.0
# The whole was refused because of single items, and each has a result of its own.
_OF_ITEMS = frozenset({400, 403, 409, 422, 428})
_NOT_WRITTEN = 424


@dataclass(frozen=True)
class Ready:
    """An item as it is sent."""

    where: str
    id: str
    text: str
    digest: int
    document: JsonObject


@dataclass(frozen=True)
class Failure:
    """An item that was not loaded, and why."""

    where: str
    detail: str
    collection: str | None = None
    id: str | None = None
    status: int | None = None
    code: str = "not-loadable"
    errors: tuple[JsonObject, ...] = ()

    def document(self) -> JsonObject:
        made = {
            "where": self.where, "collection": self.collection, "id": self.id, "status": self.status,
            "code": self.code, "detail": self.detail, "errors": list(self.errors),
        }  # fmt: skip
        return {name: value for name, value in made.items() if value not in (None, [])}

    def __str__(self) -> str:
        named = f" ({self.id})" if self.id else ""
        fields = "; ".join(f"{x.get('field')}: {x.get('reason')}" for x in self.errors[:3])
        return f"{self.where}{named}: {self.detail}" + (f" [{fields}]" if fields else "")

    @property
    def exit_code(self) -> Exit:
        return Exit.INPUT if self.status is None else exit_of_status(self.status)


@dataclass
class Outcome:
    """Of a batch, or of a whole load."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    failures: list[Failure] = field(default_factory=list)
    done: list[int] = field(default_factory=list)

    def take(self, item: Ready, status: int, unchanged: bool) -> None:
        if unchanged:
            self.unchanged += 1
        elif status == 201:
            self.new += 1
        else:
            self.updated += 1
        self.done.append(item.digest)


@dataclass(frozen=True)
class Manner:
    """How items are written: replacing what is there, and as many as possible or all of a batch."""

    upsert: bool = False
    partial: bool = False

    @property
    def parameters(self) -> dict[str, str | int]:
        return {"mode": "partial" if self.partial else "all", "method": "upsert" if self.upsert else "insert"}


def send(transport: Transport, collection: str, items: Sequence[Ready], manner: Manner) -> Outcome:
    """Raises BocageError for what is not about single items: no right to write, no such collection, no platform.

    The request may be sent again when its answer is lost: what was written then is there already, and equal.
    """
    outcome, waiting = Outcome(), list(items)
    while waiting:
        results = _post(transport, collection, waiting, manner)
        by_status = list(zip(waiting, results, strict=True))
        there = _equal_ones(transport, collection, [item for item, said in by_status if said["status"] == 409])
        faults = [(i, r) for i, r in by_status if r["status"] >= 400 and r["status"] != _NOT_WRITTEN and i not in there]
        for item in there:
            outcome.take(item, 200, unchanged=True)
        outcome.failures += [_failure(item, collection, said) for item, said in faults]
        for item, said in by_status:
            if said["status"] < 400:
                outcome.take(item, said["status"], bool(said.get("unchanged")))
        # All or nothing: those that were fine are sent again, once the ones that are there already are left out.
        waiting = [item for item, said in by_status if said["status"] == _NOT_WRITTEN]
        if faults or not there:
            break
    return outcome


def _post(transport: Transport, collection: str, items: Sequence[Ready], manner: Manner) -> list[JsonObject]:
    """The result of each item, in order."""
    features = ",".join(item.text for item in items)
    body = f'{{"type":"FeatureCollection","features":[{features}]}}'.encode()
    answer = transport.send(
        "POST",
        f"/stac/collections/{quote(collection, safe='')}/items",
        body=lambda: iter([body]),
        headers={"Content-Type": "application/geo+json", "Content-Length": str(len(body))},
        params=manner.parameters,
        repeatable=True,
        patience=max(_PATIENCE, transport.patience),
        allow=_OF_ITEMS | {413},
    )
    document = answer.json()
    results = document.get("results") if isinstance(document, dict) else None
    if answer.status_code == 413 and len(items) == 1:
        return [{"status": 413, "code": "too-large", "detail": "The item is larger than the platform takes."}]
    if not isinstance(results, list) or not _fit(results, items):
        if answer.is_error:
            raise refusal(answer.status_code, document)
        raise BocageError(Exit.PLATFORM, "not-bocage", "The platform's answer does not say what became of the items.")
    return sorted(results, key=lambda result: int(result["index"]))


def _fit(results: Sequence[Any], items: Sequence[Ready]) -> bool:
    places = [x.get("index") for x in results if isinstance(x, dict) and isinstance(x.get("status"), int)]
    return all(isinstance(n, int) for n in places) and sorted(places) == list(range(len(items)))  # type: ignore[type-var]


def _equal_ones(transport: Transport, collection: str, taken: Sequence[Ready]) -> list[Ready]:
    """Of the items whose ids are taken, those that the platform holds as they are."""
    if not taken:
        return []
    question = {"collections": [collection], "ids": [item.id for item in taken], "limit": len(taken)}
    existing: dict[str, Mapping[str, Any]] = {}
    body: JsonObject | None = question
    while body is not None:
        page = transport.post("/stac/search", body, repeatable=True)
        existing |= {str(x["id"]): x for x in page["features"]}
        following = next((x for x in page.get("links", ()) if x.get("rel") == "next"), None)
        body = following.get("body") if following is not None else None
    return [item for item in taken if item.id in existing and adopting.equal(existing[item.id], item.document)]


def _failure(item: Ready, collection: str, said: JsonObject) -> Failure:
    detail, code = str(said.get("detail") or "it was refused"), str(said.get("code") or f"http-{said['status']}")
    if said["status"] == 409:
        detail = "an item with this id is there and differs: --upsert replaces it"
    errors = tuple(x for x in said.get("errors") or () if isinstance(x, dict))
    return Failure(item.where, detail, collection, item.id, said["status"], code, errors)
