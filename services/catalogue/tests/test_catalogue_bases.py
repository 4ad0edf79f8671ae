"""What a collection says of all assets changes: its items read as pgSTAC's own hydration answers, then and later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
import psycopg
import pytest
from pypgstac.load import Loader, Methods

ITEMS = "/stac/collections/based/items"
COMMON = {"image": {"type": "image/tiff", "roles": ["data"], "title": "First"}}


def assets(catalogue: Any, name: str) -> Any:
    """Without what the service says of each file that it keeps."""
    found = catalogue.service.get(f"{ITEMS}/{name}").raise_for_status().json()["assets"]
    return {key: {k: v for k, v in asset.items() if not k.endswith(":refs")} for key, asset in found.items()}


def hydrated(admin: psycopg.Connection[Any], name: str) -> Any:
    row = admin.execute("select pgstac.get_item(%s, 'based') -> 'assets' as a", [name]).fetchone()
    assert row is not None
    return row["a"]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def laid_out(admin: psycopg.Connection[Any]) -> bool:
    left = "select (select count(*) from catalogue.rebased) + count(*) filter (where body is null) as n"
    return admin.execute(f"{left} from catalogue.finished_item").fetchone() == {"n": 0}


@pytest.mark.parametrize("way", ["api", "pypgstac"])
def test_items_follow_what_pgstac_answers(
    fresh_catalogue: Any, admin: psycopg.Connection[Any], loader: Loader, way: str
) -> None:
    service = fresh_catalogue.service
    made = fresh_catalogue.collection("based", item_assets=COMMON)
    assert service.post("/stac/collections", json=made).status_code == 201

    def own(name: str) -> dict[str, Any]:
        return {"image": {**COMMON["image"], "href": f"store:collections/based/{name}/image"}}

    def change(title: str) -> None:
        changed = made | {"item_assets": {"image": {**COMMON["image"], "title": title, "gsd": 10}}}
        if way == "api":
            assert service.put("/stac/collections/based", json=changed).status_code == 200
        else:
            loader.load_collections(iter([orjson.loads(orjson.dumps(changed))]), Methods.upsert)

    names = []
    for title in ("Second", "Third", "Fourth"):
        name = f"before-{title}"
        assert service.post(ITEMS, json=fresh_catalogue.item(name, own(name))).status_code == 201
        loaded = {**fresh_catalogue.item(f"loaded-{title}", own(f"loaded-{title}")), "collection": "based"}
        loader.load_items(iter([loaded]), Methods.insert)
        names += [name, f"loaded-{title}"]
        until(lambda: laid_out(admin))
        change(title)
        until(lambda: laid_out(admin))
        for known in names:
            assert assets(fresh_catalogue, known) == hydrated(admin, known)
            # An item is what was written: its own title, not what others are to have.
            assert assets(fresh_catalogue, known)["image"]["title"] == "First"
            assert "gsd" not in assets(fresh_catalogue, known)["image"]
    # One that names a version which is not there, as a copy from another database does, follows the present one.
    astray = {"pgstac:base_item": 999999, "assets": {"image": {"href": "store:x"}}}
    admin.execute(
        "update pgstac.items set content = content || %s where id = 'before-Second'", [orjson.dumps(astray).decode()]
    )
    change("Fifth")
    until(lambda: laid_out(admin))
    assert assets(fresh_catalogue, "before-Second")["image"]["title"] == "Fifth"
    assert assets(fresh_catalogue, "before-Second") == hydrated(admin, "before-Second")
    admin.execute("delete from pgstac.base_items where id = (select max(id) - 1 from pgstac.base_items)")
    until(lambda: laid_out(admin))
    for known in names:
        assert assets(fresh_catalogue, known) == hydrated(admin, known)
    assert service.delete("/stac/collections/based").status_code == 200
    until(lambda: laid_out(admin))
