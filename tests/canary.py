"""A canary: hidden objects of one account, twins that never existed, and the requests that look for either."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from platforms import LICENCE

METHODS = ("get", "head", "post", "put", "patch", "delete")
BOX = [3.0, 43.0, 3.1, 43.1]
RING = [[3.0, 43.0], [3.1, 43.0], [3.1, 43.1], [3.0, 43.1], [3.0, 43.0]]
_ASKED = frozenset(("ids", "collections", "assets", "aggregations", "job", "organisation", "actor", "url", "href"))
REQUEST_ID = re.compile(r'"request_id":\s*"[^"]*"')


@dataclass(frozen=True)
class Target:
    """Names to ask for. `hidden` are those that no answer may hold unless it was asked for them."""

    kind: str
    collection: str
    item: str
    job: str
    key: str
    token: str
    person: str
    organisation: str
    url: str

    @property
    def names(self) -> tuple[str, ...]:
        return (self.collection, self.item, self.job, self.key, self.token, self.person, self.organisation)

    @property
    def reference(self) -> str:
        return f"{self.collection}/{self.item}"

    @property
    def asset(self) -> str:
        return f"{self.url}/assets/{self.reference}/image"


@dataclass(frozen=True)
class Operation:
    """One method of one path of the OpenAPI document."""

    path: str
    method: str
    about: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        shared = item.get("parameters", [])
        for method in METHODS:
            if method in item:
                about = item[method] | {"parameters": [*shared, *item[method].get("parameters", [])]}
                yield Operation(path, method, about)


@dataclass
class Asker:
    """Fills an operation for a target, as a program that knows the document would."""

    document: Mapping[str, Any]
    bodies: dict[str, Any] = field(default_factory=dict)

    def parameter(self, name: str, schema: Mapping[str, Any], to: Target) -> str | None:
        """The value of a path or query parameter; None when there is nothing to say."""
        known: dict[str, str] = {
            "collection": to.collection, "collection_id": to.collection, "collections": to.collection,
            "item": to.item, "item_id": to.item, "ids": to.item, "items": to.reference,
            "asset": "image", "assets": "image", "output_id": "stringOutput",
            "job": to.job, "job_id": to.job, "key_id": to.key, "key": to.key, "token_id": to.token,
            "person": to.person, "actor": to.person, "organisation": to.organisation, "share": to.token,
            "process_id": "hillshade", "color_map_id": "viridis", "licence": LICENCE, "version": "1.0",
            "z": "10", "x": "520", "y": "373", "scale": "2", "format": "png", "lon": "3.05", "lat": "43.05",
            "url": to.asset, "href": to.asset, "account": "local", "container": to.collection,
            "scheme": "variables", "concept": "albedo", "portal_id": "theia",
            "aggregations": "total_count,collection_frequency",
        }  # fmt: skip
        if name in known:
            return known[name]
        if "default" in schema or not schema:
            return None
        return "1" if schema.get("type") in ("integer", "number") else to.item

    def request(self, operation: Operation, to: Target) -> dict[str, Any]:
        path = operation.path
        query: dict[str, str] = {}
        for parameter in operation.about["parameters"]:
            parameter = self.resolved(parameter)
            name, schema = parameter["name"], self.resolved(parameter.get("schema", {}))
            value = self.parameter(name, schema, to)
            if parameter["in"] == "path":
                path = path.replace("{" + name + "}", str(value))
            elif parameter["in"] == "query" and value is not None:
                # Optional parameters narrow what is found; those that name objects are the ones to try.
                asked = name in _ASKED
                if parameter.get("required") or asked:
                    query[name] = value
        request: dict[str, Any] = {"method": operation.method.upper(), "url": path, "params": query}
        if operation.method == "put" and path.startswith("/assets/"):
            request["content"] = b"overwritten"
        elif "requestBody" in operation.about:
            request["json"] = self.body(operation, to)
        return request

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            found: Any = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema

    def body(self, operation: Operation, to: Target) -> Any:
        path = operation.path
        if path.endswith("/aggregate"):
            return {"aggregations": ["total_count", "collection_frequency"], "ids": [to.item]}
        if path.startswith("/stac/collections"):
            if path.endswith("/items") or "{item_id}" in path:
                return {"properties": {"title": "overwritten"}} if operation.method == "patch" else item(to)
            return {"title": "overwritten"} if operation.method == "patch" else collection(to)
        if path.startswith("/processing/"):
            return {"inputs": {"item": to.reference}, "audience": "owner"}
        if path == "/stac/export" or (path.startswith("/stac/") and path.endswith("/search")):
            return {"collections": [to.collection], "ids": [to.item], "explain": path.endswith("/search")}
        if path == "/rights/tile_tokens":
            return {"items": [to.reference], "ttl": 600}
        content = operation.about["requestBody"].get("content", {})
        schema = next((x.get("schema", {}) for x in content.values()), {})
        return self.filled(self.resolved(schema), to)

    def filled(self, schema: Mapping[str, Any], to: Target, depth: int = 0) -> Any:
        """The smallest document of a schema, with the target wherever a name fits."""
        schema = self.resolved(schema)
        named: dict[str, Any] = {
            "urls": [to.asset], "url": to.asset, "href": to.asset, "collections": [to.collection],
            "items": [to.reference], "collection": to.collection, "item": to.item, "organisation": to.organisation,
            "person": to.person, "people": [to.person], "organisations": [to.organisation], "job": to.job,
        }  # fmt: skip
        if depth > 4:
            return None
        if "properties" in schema:
            required = schema.get("required", [])
            return {
                name: named.get(name, self.filled(inner, to, depth + 1))
                for name, inner in schema["properties"].items()
                if name in required or name in named
            }
        for choice in ("anyOf", "oneOf", "allOf"):
            if schema.get(choice):
                return self.filled(schema[choice][0], to, depth + 1)
        if "enum" in schema:
            return schema["enum"][0]
        if "const" in schema:
            return schema["const"]
        kinds: dict[str, Any] = {"integer": 1, "number": 1, "boolean": False, "array": [], "object": {}}
        return kinds.get(str(schema.get("type")), "onlooker")


def collection(to: Target, **members: Any) -> dict[str, Any]:
    return {
        "type": "Collection", "stac_version": "1.1.0", "id": to.collection, "license": "other", "links": [],
        "description": "overwritten", "bocage:licences": [LICENCE], "bocage:audience": "public",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        **members,
    }  # fmt: skip


def item(to: Target, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.1.0", "id": to.item, "collection": to.collection, "links": [],
        "geometry": {"type": "Polygon", "coordinates": [RING]}, "bbox": BOX,
        "properties": {"datetime": "2026-01-01T00:00:00Z", **properties},
        "assets": {"image": {"href": to.asset, "type": "image/tiff; application=geotiff", "roles": ["data"]}},
    }  # fmt: skip


def twin(of: Target, *, same_collection: bool) -> Target:
    """What never existed, with names of the same form."""

    def other(name: str) -> str:
        return (
            str(uuid.uuid4()) if re.fullmatch(r"[0-9a-f-]{36}", name) else name[:6] + uuid.uuid4().hex[: len(name) - 6]
        )

    return Target(
        of.kind,
        of.collection if same_collection else other(of.collection),
        *(other(name) for name in (of.item, of.job, of.key, of.token, of.person, of.organisation)),
        of.url,
    )


def send(client: httpx.Client, request: Mapping[str, Any]) -> httpx.Response:
    """With patience for limits: they are no answer to the question."""
    for _ in range(20):
        answer = client.request(**request)
        if answer.status_code != 429:
            return answer
        time.sleep(min(float(answer.headers.get("retry-after", "1")), 5))
    return answer


def told(answer: httpx.Response, asked: Target) -> str:
    """An answer without what it echoes and without what differs from request to request."""
    text = REQUEST_ID.sub("", answer.text) + json.dumps(
        {
            k: v
            for k, v in answer.headers.items()
            if k in ("location", "link", "etag", "content-type", "www-authenticate")
        }
    )
    for number, name in enumerate(asked.names):
        text = text.replace(name, f"<{number}>")
    return text
