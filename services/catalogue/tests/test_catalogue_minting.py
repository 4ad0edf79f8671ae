"""Registering identifiers: what fails can be tried again, is the same then, and leaves nothing half done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catalogue_loading
import httpx
import pytest
from bocage_catalogue.app import create_app
from bocage_catalogue.minting import minter_of, new_identifier
from bocage_catalogue.settings import CatalogueSettings
from bocage_kit.identity import HEADER, Identity, new_key, sign
from pydantic import ValidationError

BASE = "http://127.0.0.1:8000"
OURS = "11111111-1111-4111-8111-111111111111"
PRODUCER = Identity(subject="p", organisation=OURS, scopes=frozenset({"catalogue:write"}), public_base=BASE)
REVIEWER = Identity(subject="r", organisation=OURS, scopes=frozenset({"catalogue:admin"}), public_base=BASE)


class Running:
    """A catalogue as a process of its own, which can be killed and started again."""

    def __init__(self, home: Path, database: str) -> None:
        self.home, self.database, self.key = home, database, new_key()
        keys = home / "identity" / "public-keys.json"
        keys.parent.mkdir(parents=True)
        keys.write_text(json.dumps({"keys": [self.key.as_dict(private=False)]}))
        (home / "run").mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **os.environ,
            "BOCAGE_HOME": str(self.home),
            "BOCAGE_DATABASE": self.database,
            "BOCAGE_DOI_MINTER": "failing_minter:FailingMinter",
            "BOCAGE_DOI_PREFIX": "10.12345",
            "BOCAGE_TEST_MINTER": str(self.home),
            "PYTHONPATH": str(Path(__file__).parent),
        }
        self.process = subprocess.Popen([sys.executable, "-m", "bocage_catalogue"], env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if self.client(PRODUCER).get("/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the catalogue did not start")

    def client(self, identity: Identity) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.home / "run" / "catalogue.sock"))
        headers = {HEADER: sign(identity, self.key)}
        return httpx.Client(transport=transport, base_url="http://catalogue", headers=headers, timeout=30)

    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.home / "asked").read_text().splitlines()]


@pytest.fixture
def running(database: Any, short_home: Path) -> Iterator[Running]:
    made = Running(short_home, database.url("catalogue"))
    made.start()
    yield made
    assert made.process is not None
    made.process.terminate()
    made.process.wait(20)


@pytest.fixture
def short_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Sockets allow no long path."""
    import shutil
    import tempfile

    home = Path(tempfile.mkdtemp(prefix="bm-", dir="/tmp"))
    yield home
    shutil.rmtree(home, ignore_errors=True)


def a_submitted_deposit(running: Running, catalogue_examples: Any) -> None:
    collection, item = catalogue_examples
    producer = running.client(PRODUCER)
    contact = {"name": "Jane Doe", "email": "jane@example.org"}
    producer.post("/stac/deposits", json={"collection": collection, "contact": contact}).raise_for_status()
    producer.post(f"/stac/collections/{collection['id']}/items", json=item).raise_for_status()
    producer.post(f"/stac/deposits/{collection['id']}/submission").raise_for_status()


@pytest.fixture
def catalogue_examples() -> tuple[dict[str, Any], dict[str, Any]]:
    made = catalogue_loading.collection(
        "minted",
        title="Heights of snow",
        license="etalab-2.0",
        description="Heights of snow, made for a test.",
        extent={
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        **{"bocage:licences": ["etalab-2.0"]},
    )
    assets = {"image": {"href": "https://example.org/one.tif"}}
    return made, catalogue_loading.item("one", holder="minted", assets=assets, stac_extensions=[])


def test_what_could_not_be_registered_is_registered_later(running: Running, catalogue_examples: Any) -> None:
    a_submitted_deposit(running, catalogue_examples)
    (running.home / "away").touch()
    reviewer, accept = running.client(REVIEWER), {"decision": "accept"}
    refused = reviewer.post("/stac/deposits/minted/review", json=accept)
    assert refused.status_code == 503 and refused.json()["code"] == "minting-failed"
    assert "address" not in refused.text and refused.headers["retry-after"]
    told = reviewer.get("/stac/deposits/minted").json()
    assert told["state"] == "accepted" and told["identifier"] == refused.json()["identifier"]
    assert (
        running.client(Identity(subject="anonymous", public_base=BASE)).get("/stac/deposits/minted").status_code == 404
    )
    assert reviewer.post("/stac/deposits/minted/publication").status_code == 503
    (running.home / "away").unlink()
    again = running.client(PRODUCER).post("/stac/deposits/minted/publication")
    assert again.status_code == 200 and again.json()["state"] == "published"
    assert again.json()["identifier"] == told["identifier"]
    # Accepted again, and published again: it is, and nobody is asked once more.
    assert reviewer.post("/stac/deposits/minted/review", json=accept).json()["state"] == "published"
    assert reviewer.post("/stac/deposits/minted/publication").status_code == 200
    asked = running.asked()
    assert len(asked) == 3 and {one[0] for one in asked} == {told["identifier"]}
    assert asked[0][1] == f"{BASE}/stac/deposits/minted/landing" and asked[0][2] == asked[0][0]
    links = reviewer.get("/stac/collections/minted").json()["links"]
    cited = [one["href"] for one in links if one["rel"] == "cite-as"]
    assert cited == [f"https://doi.org/{told['identifier']}"]


def test_killed_in_between_it_goes_on(running: Running, catalogue_examples: Any) -> None:
    a_submitted_deposit(running, catalogue_examples)
    (running.home / "deadly").touch()
    with pytest.raises(httpx.TransportError):
        running.client(REVIEWER).post("/stac/deposits/minted/review", json={"decision": "accept"})
    assert running.process is not None and running.process.wait(20) == 9
    (running.home / "deadly").unlink()
    running.start()
    reviewer = running.client(REVIEWER)
    assert reviewer.get("/stac/deposits/minted").json()["state"] == "accepted"
    told = reviewer.post("/stac/deposits/minted/review", json={"decision": "accept"}).json()
    assert told["state"] == "published" and told["identifier"].startswith("10.12345/")
    assert {one[0] for one in running.asked()} == {told["identifier"]}


def test_settings_that_name_nobody_are_refused_at_start(tmp_path: Path) -> None:
    for named in ("nothing.of:this", "json:loads", "json:nothing"):
        with pytest.raises(ValueError, match="BOCAGE_DOI_MINTER"):
            minter_of(named)
        with pytest.raises(ValueError, match="BOCAGE_DOI_MINTER"):
            create_app(CatalogueSettings(home=tmp_path, doi_minter=named))
    for wrong in ({"doi_prefix": "11.5072"}, {"doi_minter": "os.system"}, {"publisher": ""}):
        with pytest.raises(ValidationError):
            CatalogueSettings(home=tmp_path, **wrong)  # type: ignore[arg-type]


def test_identifiers_are_not_guessed() -> None:
    made = {new_identifier("10.5072") for _ in range(1000)}
    assert len(made) == 1000 and all(len(one) == len("10.5072/bocage.") + 10 for one in made)
