"""A database of before is brought up to date with all that is in it."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from bocage_deploy import database as deployed
from bocage_deploy.database import SERVICES, Access, provision, role_of
from bocage_kit.database import migrate, sqlalchemy_url
from catalogue_loading import collection, item, load
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

from conftest import serve


def to(revision: str, url: str) -> None:
    config = Config()
    config.set_main_option("script_location", "bocage_catalogue:migrations")
    config.attributes |= {"url": sqlalchemy_url(url), "schema": "catalogue"}
    command.upgrade(config, revision)


def test_what_was_there_is_found_counted_and_told(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"before_{uuid.uuid4().hex[:12]}"
    access = Access(
        cluster.url,
        lambda service, database: cluster.url(database, role_of(service)),
        {service: cluster.set_passfile(role_of(service)) for service in SERVICES},
    )

    def partly(url: str, package: str, schema: str) -> None:
        if package == "bocage_catalogue":
            to("c0002", url)
        else:
            migrate(url, package, schema)

    monkeypatch.setattr(deployed, "migrate", partly)
    try:
        provision(access, name)
        with PgstacDB(dsn=cluster.url(name)) as db:
            loader = Loader(db)
            loader.load_collections(iter([collection("scenes")]), Methods.insert)
            items = [item(f"i{n}", properties={"eo:cloud_cover": n, "made:up": "x"}) for n in range(20)]
            hidden = item("hidden", properties={"own:secret": 1, "bocage:audience": "owner", "bocage:owner": "x"})
            load(loader, [*items, hidden], Methods.insert)
        with psycopg.connect(cluster.url(name), autocommit=True) as connection:
            while connection.execute("select catalogue.finish_more(1000)").fetchone() != (0,):
                pass
        monkeypatch.undo()
        provision(access, name)
        for catalogue in serve(cluster.url(name, role_of("catalogue")), tmp_path):
            client = catalogue.anonymous
            few = client.get("/stac/search?filter=eo:cloud_cover<3 and made:up='x'&sortby=-eo:cloud_cover").json()
            assert [one["id"] for one in few["features"]] == ["i2", "i1", "i0"], few
            assert client.get("/stac/search").json()["numberMatched"] == 20
            told = client.get("/stac/queryables").json()["properties"]
            assert "made:up" in told
            assert "own:secret" not in told
            kinds = [entry["type"] for entry in client.get("/stac/changes?limit=1000").json()["changes"]]
            assert kinds == ["created"] * 21
            # A partition from before has the triggers of now: what is put together is entered once.
            with psycopg.connect(cluster.url(name), autocommit=True) as connection:
                drawn = "select last_value from catalogue.revision"
                before = connection.execute(drawn).fetchone()
                features = [catalogue.item(f"together{n}") for n in range(12)]
                sent = {"type": "FeatureCollection", "features": features}
                answer = catalogue.service.post("/stac/collections/scenes/items", json=sent)
                assert answer.status_code == 201, answer.text
                after = connection.execute(drawn).fetchone()
            assert before is not None and after == (before[0] + 12,)
    finally:
        with psycopg.connect(cluster.url(), autocommit=True) as connection:
            connection.execute(f"drop database if exists {name} with (force)")
