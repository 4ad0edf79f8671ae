"""Small real HTTP servers that answer as other catalogues do, with their faults, and records of the same shapes."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

Record = dict[str, Any]
EXTENSIONS = "https://stac-extensions.github.io"


def plain_collection(name: str, **more: Any) -> Record:
    return {
        "type": "Collection", "stac_version": "1.0.0", "id": name, "description": f"Records of {name}.",
        "license": "CC-BY-4.0", "links": [],
        "extent": {
            "spatial": {"bbox": [[-5.0, 41.0, 10.0, 51.0]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        **more,
    }  # fmt: skip


def plain_item(number: int, holder: str = "plain", **properties: Any) -> Record:
    lon, lat = -4 + number % 10, 42 + number % 8
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "id": f"item-{number:04}",
        "collection": holder, "bbox": [lon, lat, lon + 1, lat + 1],
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[lon, lat], [lon + 1, lat], [lon + 1, lat + 1], [lon, lat + 1], [lon, lat]]],
        },
        "links": [{"rel": "root", "href": "./catalog.json"}],
        "assets": {"data": {"href": f"https://s3-data.example.org/bucket/{number}.tif", "roles": ["data"]}},
        "properties": {
            "datetime": f"2024-02-{number % 28 + 1:02}T10:00:00Z",
            "updated": f"2025-03-{number % 28 + 1:02}T08:00:00Z",
            **properties,
        },
    }  # fmt: skip


def geodes_collection(name: str, **more: Any) -> Record:
    """In the shape of GEODES: members of items at its top, a licence of software, no type and no version."""
    return {
        "id": name, "title": f"THEIA {name}", "description": "Synthetic.", "keywords": ["theia", "synthetic"],
        "license": "Apache-2.0", "platform": "satellite", "constellation": "spot-4,spot-5",
        "instruments": ["HRG1", "HRG2"], "processing:level": "L2A,L2B",
        "extent": {"spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]}, "temporal": {"interval": [[None, None]]}},
        **more,
    }  # fmt: skip


def geodes_item(number: int, holder: str, **properties: Any) -> Record:
    """In the shape of GEODES: each of the ways in which it breaks the standard."""
    made = plain_item(number, holder)
    day = number % 28 + 1
    names = ("product/v0.1.0", "processing/v1.2.0", "projection/v2.0.0", "sat/v1.1.0", "scientific/v1.0.0")
    more = ("sar/v1.1.0", "eo/v2.0.0", "sentinel-2/v1.0.0", "view/v1.0.0", "grid/v1.1.0", "raster/v2.0.0")
    made |= {
        "stac_version": "1.0.0-beta.2", "id": f"URN:FEATURE:DATA:gdh:{holder}-{number:05}:V1",
        "stac_extensions": [f"{EXTENSIONS}/{x}/schema.json" for x in (*names, *more)],
        "centroid": {"lon": made["bbox"][0], "lat": made["bbox"][1]},
        "links": [{"rel": "license", "href": "https://spdx.org/licenses/Apache-2.0.html", "type": "application/html"}],
        "assets": {
            f"2025/04/{day:02}/S2A/{number}.zip": {
                "href": f"https://source.example.org/api/download/{number}", "type": "application/zip",
                "title": "Product", "roles": ["data"],
            }
        },
        "properties": {
            "datetime": f"2025-05-{day:02}T09:00:26.809Z", "start_datetime": f"2025-04-{day:02}T17:57:41.024Z",
            "end_datetime": f"2025-04-{day:02}T17:57:41.024Z", "instrument": "MSI", "platform": "S2A",
            "grid:code": f"T{number % 60 + 1:02}ULD", "sci:doi": "[]", "proj:bbox": "1.5,44.5,2.5,43.5",
            "sar:instrument_mode": "INS-NOBS", "sat:orbit_state": "Descending", "sat:absolute_orbit": 51075,
            "product:type": "S2MSI1C", "product:timeliness": "Nominal", "processing:level": "L1C",
            "eo:cloud_cover": 67.5, "version": "00.00", "latest": True, **properties,
        },
    }  # fmt: skip
    return made


def hydroweb_item(number: int, holder: str, **properties: Any) -> Record:
    """In the shape of hydroweb.next: `datetime` says when it was taken in; the file is had by a job."""
    made = plain_item(number, holder)
    made["assets"] = {"product": {"href": f"https://hydroweb.example.org/api/download/{number}.zip", "roles": ["data"]}}
    made["properties"] = {
        "datetime": f"2026-01-{number % 28 + 1:02}T03:00:00Z", "start_datetime": "2008-07-12T00:00:00Z",
        "end_datetime": "2025-12-30T00:00:00Z", "processing:level": "L3", "spatial:pass_id": number, **properties,
    }  # fmt: skip
    return made


Answer = tuple[int, Any, dict[str, str]]
Fault = Callable[[http.server.BaseHTTPRequestHandler], bool]


@dataclass
class Served:
    """A catalogue: what it holds, what it was asked, and which faults come next."""

    collections: list[Record] = field(default_factory=list)
    items: dict[str, list[Any]] = field(default_factory=dict)
    landing: Record | None = field(default_factory=dict)
    key: str | None = None
    seen: list[tuple[str, str, Record | None]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: list[Fault | None] = field(default_factory=list)
    """One for each request that comes; None answers as always."""
    most: int = 80
    most_collections: int = 80
    lists: bool = False
    """Items are listed by collection, and nothing is searched."""
    url: str = ""
    at_once: int = 0
    most_at_once: int = 0

    def searches(self) -> list[Record]:
        return [body or {"url": url} for method, url, body in self.seen if "/search" in url or "/items" in url]


def status(code: int, **headers: str) -> Fault:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> bool:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return answer


def content(text: bytes, declared: int | None = None) -> Fault:
    """An answer of these bytes; one that declares more breaks off."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(declared if declared is not None else len(text)))
        handler.end_headers()
        handler.wfile.write(text)
        handler.close_connection = True
        return True

    return answer


def page(found: list[Any], body: Record, most: int) -> tuple[list[Any], int, int]:
    """A page of a numbered list, with how many a page has."""
    limit, number = min(int(body.get("limit", 10)), most), int(body.get("page", 1))
    return found[(number - 1) * limit : number * limit], limit, number


def _since(found: list[Any], body: Record) -> list[Any]:
    start = str(body.get("datetime", "../..")).split("/")[0]
    return found if start == ".." else [x for x in found if x["properties"]["datetime"] >= start]


def geodes(served: Served, method: str, path: str, body: Record) -> Answer:
    """POST alone, pages of 80 by number, wrong links to the next page, orders of its own, versions of a beta."""
    if path == "/":
        return 200, {"type": "Catalog", "id": "gdh", "stac_version": "1.0.0-beta.1", "links": []}, {}
    listed = path.split("/")[2] if path.endswith("/items") and served.lists else None
    if (method != "POST") == (listed is None):
        return 405, {"detail": "Method Not Allowed"}, {}
    for order in body.get("sortBy", ()):
        if order["direction"] not in ("asc", "dsc"):
            return 400, {"detail": "sortBy: asc or dsc"}, {}
    if int(body.get("limit", 10)) > 80:
        return 400, {"detail": "limit must be 80 at most"}, {}
    if path == "/collections":
        some, limit, _ = page(served.collections, body, served.most_collections)
        return 200, {"collections": some, "context": {"limit": limit, "matched": len(served.collections)}}, {}
    if path != ("/search" if listed is None else f"/collections/{listed}/items") or (served.lists and listed is None):
        return 404, {}, {}
    names = body["collections"] if listed is None else [listed]
    found = _since([x for name in names for x in served.items.get(name, ())], body)
    some, limit, number = page(found, body, served.most)
    wrong = {"rel": "next", "href": f"{served.url}/collections/x/items?limit={limit + 1}&page={number + 1}"}
    context = {"returned": len(some), "limit": limit, "matched": len(found)}
    answer = {"type": "FeatureCollection", "stac_version": "1.0.0-beta.1", "features": some, "context": context}
    return 200, answer | {"links": [wrong]}, {}


def hydroweb(served: Served, method: str, path: str, body: Record) -> Answer:
    """Its search wants a key; pages by number; `datetime` finds by the time of ingestion."""
    if path == "/":
        return 200, {"type": "Catalog", "id": "hydroweb.next", "stac_version": "1.0.0", "links": []}, {}
    if path == "/collections":
        return 200, {"collections": served.collections, "links": []}, {}
    if path.startswith("/collections/"):
        one = next((x for x in served.collections if path == f"/collections/{x['id']}"), None)
        return (200, one, {}) if one else (404, {}, {})
    found = _since([x for name in body["collections"] for x in served.items.get(name, ())], body)
    some, _, _ = page(found, body, served.most)
    return 200, {"type": "FeatureCollection", "features": some, "context": {"matched": len(found)}}, {}


def stac(
    merged: bool = False, searched: bool = True, posted: bool = False, landing: bool = True
) -> Callable[..., Answer]:
    """A STAC API: by GET, or by POST with bodies merged or whole; or that only lists items."""

    def answer(served: Served, method: str, path: str, body: Record) -> Answer:
        if path == "/":
            links = [{"rel": "search", "href": "search", "method": "POST" if posted else "GET"}] if searched else []
            links.append({"rel": "data", "href": f"{served.url}/collections"})
            conforms = ["https://api.stacspec.org/v1.0.0/core"]
            if posted:
                conforms.append("https://api.stacspec.org/v1.0.0/item-search#query")
            made = {"type": "Catalog", "id": "root", "stac_version": "1.0.0", "links": links, "conformsTo": conforms}
            return (200, made | (served.landing or {}), {}) if landing else (404, {}, {})
        if path == "/collections":
            start = int(body.get("offset", 0))
            more = [{"rel": "next", "href": f"{served.url}/collections?offset={start + 2}"}]
            rest = more if start + 2 < len(served.collections) else []
            return 200, {"collections": served.collections[start : start + 2], "links": rest}, {}
        if path.startswith("/collections/") and not path.endswith("/items"):
            one = next((x for x in served.collections if path == f"/collections/{x['id']}"), None)
            return (200, one, {}) if one else (404, {}, {})
        names = body.get("collections", path.split("/")[2] if path.endswith("/items") else "")
        names = names.split(",") if isinstance(names, str) else names
        found = [x for name in names for x in served.items.get(name, ())]
        if (asked := body.get("query", {}).get("updated")) is not None:
            found = [x for x in found if x["properties"].get("updated", "") >= asked["gte"]]
        start, limit = int(body.get("token", 0)), min(int(body.get("limit", 10)), served.most)
        links = []
        if start + limit < len(found):
            token = {"token": start + limit}
            if method == "POST":
                link = {
                    "rel": "next",
                    "href": f"{served.url}{path}",
                    "method": "POST",
                    "headers": {"Search-After": "x", "X-API-Key": "stolen"},
                }
                links = [link | ({"body": token, "merge": True} if merged else {"body": {**body, **token}})]
            else:
                wanted = "&".join(f"{k}={v}" for k, v in {**body, **token}.items())
                links = [{"rel": "next", "href": f"{path}?{wanted}"}]
        made = {"type": "FeatureCollection", "features": found[start : start + limit], "links": links}
        return 200, made | {"numberMatched": len(found)}, {}

    return answer


@contextmanager
def serving(served: Served, dialect: Callable[..., Answer]) -> Iterator[Served]:
    """A running server."""
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def answer(self) -> None:
            with lock:
                served.at_once += 1
                served.most_at_once = max(served.most_at_once, served.at_once)
            try:
                self._answer()
            finally:
                with lock:
                    served.at_once -= 1

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(sent) if sent else None
            served.seen.append((self.command, self.path, body))
            served.headers.append({k.lower(): v for k, v in self.headers.items()})
            fault = served.faults.pop(0) if served.faults else None
            if fault is not None and fault(self):
                return
            if served.key is not None and self.headers.get("X-API-Key") != served.key:
                self._send(401, {"detail": "a key is needed"}, {})
                return
            asked = body or {k: v[0] for k, v in parse_qs(parts.query).items()}
            self._send(*dialect(served, self.command, parts.path.rstrip("/") or "/", asked))

        def _send(self, code: int, document: Any, headers: dict[str, str]) -> None:
            text = json.dumps(document).encode()
            self.send_response(code)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = answer

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield served
        finally:
            server.shutdown()


def told(done: Any, code: int = 0) -> dict[str, Any]:
    assert done.code == code, done.err + done.out
    found: dict[str, Any] = json.loads(done.out)
    return found


def counts(document: dict[str, Any]) -> dict[str, int]:
    return {name: n for name, n in document["items"].items() if n}


def written(stub: Any) -> int:
    """Requests that wrote to the platform."""
    return sum(n for asked, n in stub.seen.items() if not asked.startswith("GET") and "/search" not in asked)


def plain(count: int, **more: Any) -> dict[str, Any]:
    items = {"plain": [plain_item(n) for n in range(count)]}
    return {"collections": [plain_collection("plain")], "items": items, **more}
