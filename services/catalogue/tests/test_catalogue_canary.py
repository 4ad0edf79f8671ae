"""Every way of reading answers as in a catalogue in which what is hidden never existed: byte for byte.

Two catalogues have the same public content; one has canaries as well. Onlookers who may not see those ask both the
same questions, by every operation of the OpenAPI document: an operation without questions fails the test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from bocage_catalogue.aggregation import NAMES

WORD = "sottovoce"
HIDDEN = {"bocage:audience": "owner", "bocage:owner": "researcher"}
# Nothing else is like them: not when or where they were taken, nor what is said of them.
ODD = {
    "datetime": "1971-02-03T04:05:06Z", "quibble": WORD, "platform": WORD, "grid:code": WORD, "constellation": WORD,
    "eo:cloud_cover": 99, "title": WORD, "keywords": [WORD], "datatake": 7,
}  # fmt: skip
CANARIES = ("mine", "ours", "lent", "inside", "former")
COLLECTIONS, ITEMS = ("results", "private", "withdrawn", "absent"), ("open-1", *CANARIES, "absent")
ONLOOKERS = ("anonymous", "stranger")
EVERYTHING = ",".join(NAMES)


def about(*concepts: str) -> dict[str, Any]:
    """What a collection is about."""
    named = [one.split("/") for one in concepts]
    told = [{"scheme": f"vocabulary/{scheme}", "concepts": [{"id": name}]} for scheme, name in named]
    return {"themes": told, "stac_extensions": ["https://stac-extensions.github.io/themes/v1.0.0/schema.json"]}


def build(catalogue: Any, canaries: bool) -> None:
    service = catalogue.service

    def post(path: str, body: dict[str, Any]) -> None:
        answer = service.post(f"/stac/collections{path}", json=body)
        assert answer.status_code == 201, answer.text

    def odd(name: str, **more: Any) -> dict[str, Any]:
        made = catalogue.item(name, **(ODD | more))
        point = {"type": "Point", "coordinates": [-150.5, -70.5]}
        return {**made, "geometry": point, "bbox": [-150.5, -70.5, -150.5, -70.5]}

    ours = {"bocage:organisation": catalogue.ours}
    post("", catalogue.collection("results", **(ours | about("portals/theia") | {"bocage:audience": "public"})))
    post("/results/items", catalogue.item("open-1", quality=1, platform="plain"))
    if canaries:
        subjects = about("portals/theia", "variables/albedo", "cds/grenoble")
        post("", catalogue.collection("private", keywords=[WORD], title=WORD, description=WORD, **(HIDDEN | subjects)))
        post("", catalogue.collection("withdrawn", keywords=[WORD], **HIDDEN))
        post("/results/items", odd("mine", **HIDDEN))
        post("/results/items", odd("ours", **(HIDDEN | ours | {"bocage:audience": "organisation"})))
        post("/results/items", odd("lent", **(HIDDEN | {"bocage:shared_with": ["person:reader"]})))
        post("/private/items", odd("inside", **{"bocage:audience": "public"}))
        post("/results/items", odd("former", **HIDDEN))
        post("/withdrawn/items", odd("inside", **{"bocage:audience": "public"}))
    post("/results/items", catalogue.item("open-2", quality=2, platform="plain"))
    if canaries:
        again = odd("mine", **(HIDDEN | {"quibble": WORD + "2"}))
        assert service.put("/stac/collections/results/items/mine", json=again).status_code == 200
        shy = {"properties": {"bocage:shared_with": ["person:reader", "person:nobody"]}}
        assert catalogue.researcher.patch("/stac/collections/results/items/lent", json=shy).status_code == 200
        assert service.delete("/stac/collections/results/items/former").status_code in (200, 204)
        assert service.delete("/stac/collections/withdrawn").status_code in (200, 204)
    post("/results/items", catalogue.item("open-3", quality=3, platform="other"))


def searches() -> Iterator[dict[str, Any]]:
    """Conditions as GET's parameters; as POST's members too, by `members`."""
    yield {}
    yield {"limit": 1}
    yield from ({"ids": name} for name in (*CANARIES, ",".join(ITEMS)))
    yield from ({"collections": name} for name in (*COLLECTIONS, ",".join(COLLECTIONS)))
    yield {"bbox": "-151,-71,-150,-70"}
    yield {"bbox": "-180,-90,180,90"}
    yield {"intersects": json.dumps({"type": "Point", "coordinates": [-150.5, -70.5]})}
    yield from ({"datetime": when} for when in (ODD["datetime"], "../1980-01-01T00:00:00Z"))
    yield from ({"q": word} for word in (WORD, "plain"))
    yield {"query": json.dumps({"quibble": {"eq": WORD}})}
    yield {"query": json.dumps({"platform": {"eq": WORD}})}
    for text in (
        f"quibble = '{WORD}'", "quibbl = 1", "datatake > 1", "datatak = 1", f"platform = '{WORD}'", "quality >= 0",
        "id = 'mine' OR id = 'open-1'", "NOT (id <> 'mine')", "\"bocage:audience\" = 'owner'",
        "\"bocage:owner\" = 'researcher'", "quality IS NULL", f"platform LIKE '{WORD[:3]}%'", "collection = 'private'",
        "datetime < TIMESTAMP('1980-01-01T00:00:00Z')", "\"bocage:shared_with\" = 'person:stranger'",
    ):  # fmt: skip
        yield {"filter": text, "filter-lang": "cql2-text"}


def looks() -> Iterator[dict[str, Any]]:
    """What a search may ask for beside conditions."""
    yield from ({"sortby": key, "limit": 1} for key in ("quality", "-datetime", "quibble", "-platform", "datatake"))
    yield from ({"fields": names} for names in ("id", "-properties", "properties.quibble"))
    yield {"explain": "true", "filter": "quality > 5", "filter-lang": "cql2-text", "datetime": ODD["datetime"]}
    yield {"explain": "true", "ids": "mine", "bbox": "-151,-71,-150,-70"}
    yield {"token": "next:nonsense"}
    yield {"token": f"next:{b'results'.hex()}:{b'mine'.hex()}"}


def members(parameters: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = dict(parameters)
    for name in ("ids", "collections", "aggregations"):
        if name in made:
            made[name] = made[name].split(",")
    if "bbox" in made:
        made["bbox"] = [float(part) for part in made["bbox"].split(",")]
    for name in ("query", "intersects"):
        if name in made:
            made[name] = json.loads(made[name])
    if "sortby" in made:
        key = made["sortby"]
        made["sortby"] = [{"field": key.lstrip("-"), "direction": "desc" if key.startswith("-") else "asc"}]
    if "fields" in made:
        names = made["fields"]
        made["fields"] = {"exclude": [names[1:]]} if names.startswith("-") else {"include": [names]}
    if "explain" in made:
        made["explain"] = True
    return made


def gets(path: str, *more: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """A path for every collection and item that it may name, with each set of parameters."""
    names = [path]
    if "{collection_id}" in path:
        names = [path.replace("{collection_id}", name) for name in COLLECTIONS]
    if "{item_id}" in path:
        names = [one.replace("{item_id}", name) for one in names for name in ITEMS]
    return [(name, {"params": dict(parameters)}) for name in names for parameters in more or ({},)]


def posts(path: str, *more: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, {"json": members(asked["params"])}) for name, asked in gets(path, *more)]


def questions() -> dict[tuple[str, str], list[tuple[str, dict[str, Any]]]]:
    """By verb and path of the document."""
    found, seen = list(searches()), [*searches(), *looks()]
    numbers = [{"aggregations": EVERYTHING, **one} for one in found]
    numbers += [{"aggregations": name} for name in NAMES]
    numbers += [{"aggregations": "datetime_frequency", "datetime_frequency_interval": x} for x in ("year", "day")]
    holder = "/stac/collections/{collection_id}"
    without = [one for one in found if not {"ids", "collections"} & one.keys()]
    of_one = [{"aggregations": EVERYTHING, **one} for one in without if one]
    of_collections = [
        {}, {"q": WORD}, {"limit": 1}, {"limit": 1, "offset": 1}, {"bbox": "-151,-71,-150,-70"}, {"sortby": "-title"},
        {"datetime": "1971-01-01T00:00:00Z/1972-01-01T00:00:00Z"}, {"filter": f"title = '{WORD}'"},
        {"filter": "id = 'private'"}, {"query": '{"id": {"eq": "private"}}'}, {"fields": "id,keywords"},
        {"fields": "-bocage:audience"}, {"filter": "\"bocage:owner\" = 'researcher'"}, {"filter": "keywrds = 1"},
    ]  # fmt: skip
    entries = [{}, {"include": "item"}, {"cursor": "now"}, {"limit": 2}, {"cursor": "x"}]
    entries += [{"collections": name} for name in COLLECTIONS]
    subjects = [{"variable": "albedo"}, {"portal": "theia"}, {"filter": "cds = 'grenoble'"}, {"q": "albedo"}]
    portal = "/stac/catalogs/{portal_id}"
    files = [{**one, "f": "ndjson"} for one in [*searches(), {"sortby": "quibble"}, {"fields": "id"}]]
    return {
        **{("get", path): gets(path) for path in ("/stac", "/stac/conformance", "/stac/children", "/stac/queryables")},
        **{("get", path): gets(path) for path in ("/stac/sortables", "/stac/aggregations", holder)},
        **{("get", f"{holder}/{x}"): gets(f"{holder}/{x}") for x in ("queryables", "sortables", "aggregations")},
        ("get", f"{holder}/items/{{item_id}}"): gets(f"{holder}/items/{{item_id}}"),
        ("get", "/stac/collections"): gets("/stac/collections", *of_collections, *subjects),
        ("get", "/stac/search"): gets("/stac/search", *seen, *subjects),
        ("post", "/stac/search"): posts("/stac/search", *seen, *subjects),
        **{
            ("get", path): gets(
                path.replace("{scheme}", "variables").replace("{concept}", "albedo"), {}, {"f": "jsonld"}
            )
            for path in ("/stac/vocabulary", "/stac/vocabulary/{scheme}", "/stac/vocabulary/{scheme}/{concept}")
        },
        ("get", "/stac/catalogs"): gets("/stac/catalogs"),
        ("get", portal): gets("/stac/catalogs/theia"),
        ("get", f"{portal}/collections"): gets("/stac/catalogs/theia/collections", *of_collections, *subjects),
        ("get", f"{portal}/collections/{{collection_id}}"): gets("/stac/catalogs/theia/collections/{collection_id}"),
        ("get", f"{portal}/search"): gets("/stac/catalogs/theia/search", *seen, *subjects),
        ("post", f"{portal}/search"): posts("/stac/catalogs/theia/search", *seen, *subjects),
        ("get", f"{holder}/items"): gets(f"{holder}/items", *without, *looks()),
        ("get", "/stac/aggregate"): gets("/stac/aggregate", *numbers),
        ("post", "/stac/aggregate"): posts("/stac/aggregate", *numbers),
        ("get", f"{holder}/aggregate"): gets(f"{holder}/aggregate", {"aggregations": EVERYTHING}, *of_one),
        ("post", f"{holder}/aggregate"): posts(f"{holder}/aggregate", {"aggregations": EVERYTHING}, *of_one),
        ("get", "/stac/changes"): gets("/stac/changes", *entries),
        ("get", "/stac/export"): gets("/stac/export", *files, {"f": "geoparquet", "fields": "id"}),
        ("post", "/stac/export"): posts("/stac/export", *files),
    }


# What is written, not read: those are tried by the tests of writing.
WRITES = {("post", "/stac/collections"), ("post", "/stac/collections/{collection_id}/items")}
# What may differ: when things happened, their running numbers, and places in orders.
VARYING = [
    (re.compile(r'"request_id":\s?"[^"]*"'), '"request_id":""'),
    (re.compile(r'"revision":\s?\d+'), '"revision":0'),
    (re.compile(r'"(time|cursor|token|created|updated)":\s?"[^"]*"'), r'"\1":""'),
    (re.compile(r"(cursor|token)=[A-Za-z0-9_%:.-]+"), r"\1="),
]


def told(answer: httpx.Response) -> tuple[Any, ...]:
    """All of an answer but for what varies."""

    def plain(text: str) -> str:
        for pattern, instead in VARYING:
            text = pattern.sub(instead, text)
        return text

    names = ("content-type", "link", "location", "vary", "content-language", "retry-after")
    return (
        answer.status_code,
        plain(answer.text) if "parquet" not in answer.headers.get("content-type", "") else answer.content,
        {name: plain(answer.headers[name]) for name in names if name in answer.headers},
        "etag" in answer.headers,
    )


def following(answer: httpx.Response) -> tuple[str, str, dict[str, Any]] | None:
    """The request of the link to the next page."""
    if answer.status_code != 200 or not answer.headers["content-type"].endswith(("/json", "+json")):
        return None
    links = [x for x in answer.json().get("links", ()) if x["rel"] == "next"]
    if not links or answer.json().get("numberReturned") == 0:
        return None
    link = links[0]
    path = link["href"].split("/", 3)[3]
    return link.get("method", "GET"), f"/{path}", {"json": link["body"]} if "body" in link else {}


def ask(client: httpx.Client, verb: str, path: str, asked: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The answer, and those of all pages behind it."""
    answer = client.request(verb, path, **asked)
    assert answer.status_code < 500, answer.text
    answers = [told(answer)]
    while step := following(answer):
        assert len(answers) < 100
        answer = client.request(step[0], step[1], **step[2])
        answers.append(told(answer))
    return answers


@pytest.fixture
def twins(catalogue: Any, fresh_catalogue: Any) -> tuple[Any, Any]:
    """One with canaries, and one that never had any."""
    build(catalogue, canaries=True)
    build(fresh_catalogue, canaries=False)
    return catalogue, fresh_catalogue


def differ(one: httpx.Client, other: httpx.Client, verb: str, asked: list[tuple[str, dict[str, Any]]]) -> bool:
    return any(ask(one, verb, at, x) != ask(other, verb, at, x) for at, x in asked)


def test_hidden_things_might_as_well_not_exist(twins: tuple[Any, Any]) -> None:
    haunted, innocent = twins
    document = haunted.anonymous.get("/openapi.json").json()
    reads = {(verb, path) for path, about in document["paths"].items() for verb in ("get", "post") if verb in about}
    table = questions()
    assert reads - WRITES - table.keys() == set(), "an operation without questions"
    differing: list[str] = []
    for who in ONLOOKERS:
        for (verb, path), asked in table.items():
            if (verb, path) not in reads:
                continue
            # Anew each time: an identity lasts a minute.
            ours, others = getattr(haunted, who), getattr(innocent, who)
            for at, request in asked:
                found, reference = ask(ours, verb, at, request), ask(others, verb, at, request)
                if found != reference:
                    differing.append(f"{who}: {verb} {at} {request}:\n  {found}\n  {reference}")
                # Links and complaints repeat what was asked, and the twin's do too; the word is never more often there.
                assert str(found).count(WORD) == str(reference).count(WORD)
    assert differing == [], "\n".join(differing[:10])
    # Those who may see the canaries find them by the same questions: else the walk would prove nothing.
    telling = {
        (verb, path)
        for (verb, path), asked in table.items()
        if (verb, path) in reads and differ(haunted.researcher, innocent.researcher, verb, asked)
    }
    silent = {("get", "/stac/conformance"), ("get", "/stac/aggregations"), ("get", "/stac/vocabulary")}
    assert telling == (table.keys() & reads) - silent
