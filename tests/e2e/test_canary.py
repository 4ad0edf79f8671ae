"""Nobody sees, counts, tiles, signs or runs on what the audience hides: asked of every operation there is."""

from __future__ import annotations

import io
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
from canary import REQUEST_ID, Asker, Operation, Target, collection, item, operations, send, told, twin
from platforms import LICENCE, Running
from rasterio.transform import from_bounds

pytestmark = pytest.mark.slow

# Names of collections are one space for all: who makes one that is taken is told that it is taken, and nothing more.
TAKEN = {"POST /stac/collections": (409,)}
# What the onlooker wrote into a token of its own, it reads there.
OWN_WORDS = frozenset({"GET /rights/tile_tokens"})


@dataclass(frozen=True)
class Canary:
    """The keepers' hidden objects. `secret` stands in all of them and is asked for by nobody."""

    secret: str
    public: str
    targets: tuple[Target, ...]
    keepers: str
    onlookers: dict[str, httpx.Client]
    document: dict[str, Any]
    unpublished: str

    def names(self) -> set[str]:
        """What tells of the canary's being. The keepers themselves are known: they own a public collection too."""
        known = {self.public, "hillshade", self.targets[0].person, self.targets[0].organisation}
        return {name for x in self.targets for name in x.names} - known


def account(
    running: Running, name: str, *keys: list[str]
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """An organisation with credits and accepted licences, its person, and a key for each list of scopes."""
    with running.admin as admin:

        def make(what: str, **body: Any) -> dict[str, Any]:
            answer = admin.post(f"/rights/admin/{what}", json=body)
            assert answer.status_code in (200, 201), answer.text
            return dict(answer.json())

        owner = make("organisations", name=name, category="research")
        person = make("people", name=f"Person of {name}", organisation=owner["slug"], role="representative")
        make("credits", organisation=owner["slug"], amount="500", reason="canary")
        make("acceptances", organisation=owner["slug"], licence=LICENCE, purpose="research", evidence="a paper")
        made = [make("keys", person=person["id"], name="canary", purpose="research", scopes=scopes) for scopes in keys]
    return owner, person, made


def raster() -> bytes:
    values = np.random.default_rng(3).uniform(100, 900, (128, 128)).astype("float32")
    held = io.BytesIO()
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=128, height=128, count=1, dtype="float32", crs="EPSG:32631",
            transform=from_bounds(500_000, 4_761_000, 508_000, 4_769_000, 128, 128),
        ) as image:  # fmt: skip
            image.write(values, 1)
        held.write(memory.read())
    return held.getvalue()


@pytest.fixture(scope="module")
def canary(running: Running) -> Iterator[Canary]:
    mark, secret = uuid.uuid4().hex[:10], f"sottovoce{uuid.uuid4().hex}"
    owner, person, (key,) = account(running, f"Keepers {mark}", ["catalogue:write", "jobs:submit", "rights:manage"])
    _, _, (researcher, manager) = account(
        running,
        f"Onlookers {mark}",
        ["catalogue:write", "jobs:submit"],
        ["catalogue:write", "jobs:submit", "rights:manage"],
    )
    hidden, public = f"hidden{mark}", f"aviary{mark}"
    with running.client(key["key"]) as keeper:

        def ok(answer: httpx.Response) -> httpx.Response:
            assert answer.status_code in (200, 201), answer.text
            return answer

        token = ok(keeper.post("/rights/tile_tokens", json={"collections": [hidden], "ttl": 600})).json()
        names = Target("", hidden, f"canary{mark}a", "", key["id"], token["id"], person["id"], owner["id"], running.url)
        in_public = replace(names, collection=public, item=f"canary{mark}b")
        ok(keeper.post("/stac/collections", json=collection(names, **{"bocage:audience": "owner", "title": secret})))
        ok(keeper.post("/stac/collections", json=collection(in_public, title="seen by all")))
        for target, audience in ((names, "owner"), (in_public, "owner"), (replace(in_public, item="seen"), "public")):
            ok(keeper.put(f"/assets/{target.reference}/image", content=raster()))
            title = secret if audience == "owner" else "seen by all"
            document = item(target, **{"bocage:audience": audience, "title": title})
            ok(keeper.post(f"/stac/collections/{target.collection}/items", json=document))
        unpublished = replace(in_public, item=f"canary{mark}c")
        ok(keeper.put(f"/assets/{unpublished.reference}/image", content=secret.encode()))
        submitted = ok(
            keeper.post(
                "/processing/processes/hillshade/execution",
                json={"inputs": {"item": in_public.reference}},
                headers={"Prefer": "respond-async"},
            )
        )
        job = submitted.headers["location"].rsplit("/", 1)[-1]
        deadline = time.monotonic() + 90
        while keeper.get(f"/processing/jobs/{job}").json()["status"] not in ("successful", "failed"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert keeper.get(f"/stac/collections/hillshade/items/{job}").status_code == 200
    targets = (
        replace(names, kind="hidden collection", job=job),
        replace(in_public, kind="hidden item", job=job),
        replace(unpublished, kind="unpublished upload", job=job),
        replace(names, kind="result", collection="hillshade", item=job, job=job),
    )
    with ExitStack() as stack:
        clients = {
            "anonymous": running.anonymous,
            "researcher": running.client(researcher["key"]),
            "company": running.company,
            "manager": running.client(manager["key"]),
        }
        onlookers = {name: stack.enter_context(client) for name, client in clients.items()}
        document = onlookers["anonymous"].get("/openapi.json").json()
        yield Canary(secret, public, targets, key["key"], onlookers, document, unpublished.reference)


def state_of(running: Running, canary: Canary) -> list[Any]:
    """The canary as its keepers see it."""
    with running.client(canary.keepers) as keeper:
        seen: list[Any] = []
        for target in canary.targets:
            seen += [
                keeper.get(f"/stac/collections/{target.collection}").json(),
                keeper.get(f"/stac/collections/{target.collection}/items/{target.item}").json().get("properties"),
                REQUEST_ID.sub("", keeper.get(f"/assets/{target.reference}/image").content.decode("latin1")),
                keeper.get(f"/processing/jobs/{target.job}").json(),
            ]
        seen.append(keeper.get("/rights/me").status_code)
        seen.append(keeper.get("/rights/ledger").json()["balance"])
        return seen


def look(client: httpx.Client, asker: Asker, operation: Operation, canary: Canary, suffix: str = "") -> list[str]:
    """What one onlooker learns by one operation; empty when it is nothing."""
    learnt: list[str] = []
    for target in canary.targets:
        absent = twin(target, same_collection=target.collection in (canary.public, "hillshade"))
        answers = []
        for asked in (target, absent):
            request = asker.request(operation, asked)
            if suffix:
                request["params"]["token"] = suffix
            answers.append((asked, request, send(client, request)))
        (_, request, found), (_, _, reference) = answers
        where = f"{operation} for the {target.kind}: "
        if canary.secret in found.text or canary.secret in str(found.headers):
            learnt.append(where + "the secret itself")
        sent = str(request)
        for name in canary.names():
            if name in found.text and name not in sent and str(operation) not in OWN_WORDS:
                learnt.append(where + f"{name}, which nobody asked for")
        if found.status_code != reference.status_code:
            if found.status_code not in TAKEN.get(str(operation), ()):
                learnt.append(
                    where + f"{found.status_code}, and {reference.status_code} for what never was: {found.text[:300]}"
                )
        elif found.status_code >= 400 and told(found, target) != told(reference, absent):
            learnt.append(where + f"{found.text[:300]} differs from {reference.text[:300]}")
        elif found.status_code >= 500:
            learnt.append(where + f"a fault: {found.text[:300]}")
    return learnt


@pytest.mark.parametrize("who", ["anonymous", "researcher", "company", "manager"])
def test_no_operation_tells_of_what_is_hidden(running: Running, canary: Canary, who: str) -> None:
    asker, walked, learnt = Asker(canary.document), Counter[str](), list[str]()
    before = state_of(running, canary)
    for operation in operations(canary.document):
        learnt += look(canary.onlookers[who], asker, operation, canary)
        walked[operation.path] += 1
    assert learnt == [], "\n".join(learnt)
    assert set(walked) == set(canary.document["paths"]), "every path of the document is walked"
    assert len(walked) > 55
    assert state_of(running, canary) == before, "nor has anything of it changed"


def test_a_tile_token_of_another_opens_nothing(running: Running, canary: Canary) -> None:
    """It names the canary's items, as anybody may write any name into a token."""
    asked = {
        "collections": [x.collection for x in canary.targets],
        "items": [x.reference for x in canary.targets],
        "ttl": 600,
    }
    learnt: list[str] = []
    for who in ("researcher", "manager", "company"):
        made = canary.onlookers[who].post("/rights/tile_tokens", json=asked)
        assert made.status_code == 201, made.text
        for operation in operations(canary.document):
            if operation.path.startswith("/tiles/") and operation.method == "get":
                learnt += look(
                    canary.onlookers["anonymous"], Asker(canary.document), operation, canary, made.json()["token"]
                )
    assert learnt == [], "\n".join(learnt)


def test_nothing_hidden_is_counted(canary: Canary) -> None:
    hidden, in_public = canary.targets[0], canary.targets[1]
    for client in canary.onlookers.values():
        for params, number in (
            ({"collections": canary.public}, 1),
            ({"collections": hidden.collection}, 0),
            ({"ids": f"{hidden.item},{in_public.item}"}, 0),
            ({"collections": f"{canary.public},{hidden.collection}"}, 1),
        ):
            found = client.get("/stac/search", params=params).json()
            assert found["numberMatched"] == found["numberReturned"] == len(found["features"]) == number
            exported = client.get("/stac/export", params=params)
            assert exported.status_code == 200 and len(exported.content.splitlines()) == number
        listed = client.get(f"/stac/collections/{canary.public}/items").json()
        assert listed["numberMatched"] == 1


def test_no_statement_names_what_is_hidden(running: Running, canary: Canary) -> None:
    """Also not when others, who may see it, have just been counted under that name."""
    hidden = canary.targets[0].collection
    with running.client(canary.keepers) as keeper:
        for client in (keeper, *canary.onlookers.values(), keeper):
            client.get(f"/stac/collections/{hidden}")
        time.sleep(2)
        path = "/rights/usage?by=collection&by=service"
        assert hidden in keeper.get(path).text
        for who in ("researcher", "company", "manager"):
            told = canary.onlookers[who].get(path)
            assert told.status_code == 200 and hidden not in told.text


def test_the_keepers_see_it_by_the_same_questions(running: Running, canary: Canary) -> None:
    """Else the walk would prove nothing."""
    asker = Asker(canary.document)
    learnt: dict[str, list[str]] = {}
    with running.client(canary.keepers) as keeper:
        for operation in operations(canary.document):
            if operation.method == "get":
                learnt[operation.path] = look(keeper, asker, operation, canary)
        runs = send(
            keeper,
            asker.request(
                Operation("/processing/processes/{process_id}/quote", "post", _about(canary)), canary.targets[0]
            ),
        )
    seen = {path for path, lines in learnt.items() if lines}
    assert {
        "/stac/search",
        "/stac/export",
        "/stac/collections",
        "/stac/collections/{collection_id}",
        "/stac/collections/{collection_id}/items/{item_id}",
        "/assets/{collection}/{item}/{asset}",
        "/processing/jobs",
        "/processing/jobs/{job_id}/results",
        "/tiles/collections/{collection_id}/items/{item_id}/preview.{format}",
        "/tiles/collections/{collection_id}/items/{item_id}/statistics",
        "/rights/keys",
        "/rights/me",
    } <= seen
    assert runs.status_code != 404, runs.text


def _about(canary: Canary) -> dict[str, Any]:
    return next(o.about for o in operations(canary.document) if o.path.endswith("/quote"))  # type: ignore[return-value]
