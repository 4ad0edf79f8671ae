"""A catalogue that really runs: its own process thread, socket, database, store and signing key."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import httpx
import psycopg
import pytest
import uvicorn
from bocage_catalogue.app import create_app
from bocage_catalogue.settings import CatalogueSettings
from bocage_kit.front import Asked, Front, Memory
from bocage_kit.identity import HEADER, Identity, new_key, sign
from bocage_kit.service import Fronted
from bocage_kit.store import LocalStore
from psycopg.rows import dict_row
from pypgstac.db import PgstacDB
from pypgstac.load import Loader

sys.path.insert(0, str(Path(__file__).parent))

BASE = "http://127.0.0.1:8000"
OURS, THEIRS = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"

ANONYMOUS = Identity(subject="anonymous", public_base=BASE)
RESEARCHER = Identity(subject="researcher", organisation=OURS, scopes=frozenset({"catalogue:write"}), public_base=BASE)
COLLEAGUE = Identity(subject="colleague", organisation=OURS, scopes=frozenset({"catalogue:write"}), public_base=BASE)
READER = Identity(subject="reader", organisation=OURS, public_base=BASE)
STRANGER = Identity(subject="stranger", organisation=THEIRS, scopes=frozenset({"catalogue:write"}), public_base=BASE)
ADMINISTRATOR = Identity(subject="admin", scopes=frozenset({"admin"}), public_base=BASE)
SERVICE = Identity(subject="service:processing", scopes=frozenset({"service:*"}), public_base=BASE)


@dataclass
class Catalogue:
    """A running catalogue and the means to speak to it as anyone."""

    url: str
    store: LocalStore
    key: Any
    clients: list[httpx.Client] = field(default_factory=list)
    quickly: list[bytes] = field(default_factory=list)
    """The paths of what was answered before there was a request."""

    def headers(self, identity: Identity) -> dict[str, str]:
        return {HEADER: sign(identity, self.key)}

    identities: ClassVar[dict[str, Identity]] = {
        "anonymous": ANONYMOUS,
        "researcher": RESEARCHER,
        "colleague": COLLEAGUE,
        "reader": READER,
        "stranger": STRANGER,
        "administrator": ADMINISTRATOR,
        "service": SERVICE,
    }
    ours, theirs, base = OURS, THEIRS, BASE

    @staticmethod
    def collection(name: str, **members: Any) -> dict[str, Any]:
        return a_collection(name, **members)

    @staticmethod
    def item(name: str, assets: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
        return an_item(name, assets, **properties)

    def put_file(self, key: str, content: bytes = b"pixels") -> None:
        path = self.store.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def __getattr__(self, name: str) -> httpx.Client:
        """A client of one of the people, by name."""
        if name not in self.identities:
            raise AttributeError(name)
        return self.as_(self.identities[name])

    def as_(self, identity: Identity) -> httpx.Client:
        client = httpx.Client(base_url=self.url, headers=self.headers(identity), timeout=30)
        self.clients.append(client)
        return client


def serve(database_url: str, home: Path) -> Iterator[Catalogue]:
    """Run a catalogue on a free loopback port until the generator is closed."""
    key = new_key()
    keys = home / "identity" / "public-keys.json"
    keys.parent.mkdir(parents=True)
    keys.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    app = create_app(CatalogueSettings(home=home, database=database_url))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    made = Catalogue("", LocalStore(home / "store"), key)

    def quick(asked: Asked) -> bool:
        assert isinstance(app, Fronted) and app.quick is not None
        taken, path = app.quick(asked), asked.plain_path
        if taken and path is not None:
            made.quickly.append(path)
        return taken

    front = cast("type[asyncio.Protocol]", partial(Front, memory=Memory(), quick=quick))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on", http=front, interface="asgi3"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the catalogue did not start"
        time.sleep(0.02)
    made.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield made
    finally:
        for client in made.clients:
            client.close()
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def catalogue(module_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    yield from serve(module_database.url("catalogue"), tmp_path_factory.mktemp("home"))


@pytest.fixture
def fresh_catalogue(database: Any, tmp_path: Path) -> Iterator[Catalogue]:
    yield from serve(database.url("catalogue"), tmp_path)


def a_collection(name: str, **members: Any) -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "title": f"The collection {name}",
        "description": "Scenes made for a test.",
        "license": "other",
        "bocage:licences": ["LicenseRef-Test"],
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        "links": [],
        **members,
    }


def an_item(name: str, assets: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    west = 2.123456789012345
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[west, 43], [west + 1, 43], [west + 1, 44], [west, 44], [west, 43]]],
        },
        "bbox": [west, 43, west + 1, 44],
        "properties": {"datetime": "2024-05-01T10:30:00Z", **properties},
        "assets": assets or {},
        "links": [],
    }


@pytest.fixture
def admin(database: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database.admin_url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("set search_path to pgstac, public")
        yield connection


@pytest.fixture
def loader(database: Any) -> Iterator[Loader]:
    with PgstacDB(dsn=database.admin_url) as db:
        yield Loader(db)
