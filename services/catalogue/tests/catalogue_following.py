"""A program that follows the feed of changes."""

from __future__ import annotations

from typing import Any

import httpx


class Follower:
    """A program that keeps a copy of the ids by following the feed."""

    def __init__(self, client: httpx.Client, limit: int = 7) -> None:
        self.client, self.limit = client, limit
        self.cursor: str | None = None
        self.entries: list[dict[str, Any]] = []
        self.copy: dict[str, dict[str, int | None]] = {}

    def page(self, **more: Any) -> list[dict[str, Any]]:
        asked = {"limit": self.limit, **({"cursor": self.cursor} if self.cursor else {}), **more}
        answer = self.client.get("/stac/changes", params=asked)
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert [x["rel"] for x in document["links"]] == ["root", "self", "next"]
        assert f"cursor={document['cursor']}" in document["links"][2]["href"]
        self.cursor = document["cursor"]
        for entry in document["changes"]:
            self.take(entry)
        return list(document["changes"])

    def take(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        holder, name = entry["collection"], entry.get("id")
        if name is None and entry["type"] == "created":
            self.copy[holder] = dict.fromkeys(self.listed(holder))
        elif name is None and entry["type"] == "deleted":
            self.copy.pop(holder, None)
        elif entry["type"] == "deleted":
            self.copy.get(holder, {}).pop(name, None)
        elif name is not None:
            self.copy.setdefault(holder, {})[name] = entry["revision"]

    def listed(self, holder: str) -> list[str]:
        answer = self.client.get(f"/stac/collections/{holder}/items", params={"limit": 1000, "fields": "id"})
        return [x["id"] for x in answer.json()["features"]] if answer.status_code == 200 else []

    def all(self) -> list[tuple[str, str, str | None]]:
        found: list[tuple[str, str, str | None]] = []
        while entries := self.page():
            found += [(x["type"], x["collection"], x.get("id")) for x in entries]
        return found
