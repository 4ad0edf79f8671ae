"""Clients that others wrote and that know how to sign: unmodified, by the bytes that they bring home."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from bocage_deploy.home import Home
from bocage_deploy.platform import Platform
from environments import environment
from platforms import LICENCE, Running, free_port
from s3_server import S3, SECRET, running_s3

pytestmark = pytest.mark.verify

CLIENTS = ("teledetection==1.13.0", "eodag==4.10.1")
# The client signs only what lies under this name; nobody but its own process is told where that is.
HOST = "bocage.meso.umontpellier.fr"
S3_HOST = "s3-data.meso.umontpellier.fr"
CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()
# What the client's process is told before it starts: where a name is. The client itself stays as it was published.
SITE = """
import os, socket
asked = socket.getaddrinfo
def getaddrinfo(host, port, *more, **named):
    known = dict(pair.split("=") for pair in os.environ["TEST_HOSTS"].split(","))
    if host in known:
        host, port = "127.0.0.1", int(known[host])
    return asked(host, port, *more, **named)
socket.getaddrinfo = getaddrinfo
"""


@pytest.fixture(scope="session")
def clients() -> Path:
    """The Python of an environment that holds the clients, made once and kept."""
    return environment("signing-clients", *CLIENTS)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with running_s3(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture(scope="module")
def named(s3: S3) -> Iterator[Running]:
    """A platform that is known under a name of its own, with a bucket on a server that has one too."""
    root = Path(tempfile.mkdtemp(prefix="bocage-sgn-", dir="/tmp"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOCAGE_") or k == "BOCAGE_ENGINES"}
    environment |= {"BOCAGE_PORT": str(free_port()), "BOCAGE_PUBLIC_URL": f"http://{HOST}"}
    environment.pop("DATABASE_URL", None)
    platform = Platform(Home(root), environment, lambda text: None)
    platform.home.make()
    settings = s3.settings(public_base=f"http://{S3_HOST}")
    (root / "object-stores.json").write_text(json.dumps([settings]))
    key = platform.home.secrets / str(settings["key_file"])
    key.write_text(json.dumps({"access_key_id": "bocage", "secret_access_key": SECRET}))
    key.chmod(0o600)
    platform.start(with_parent=True, with_engine=False)
    try:
        yield Running(platform, platform.demonstration_accounts())
    finally:
        platform.stop()
        shutil.rmtree(root, ignore_errors=True)


@dataclass(frozen=True)
class Scene:
    running: Running
    collection: str
    python: Path
    folder: Path
    bucket: str

    @property
    def port(self) -> int:
        return int(self.running.url.rsplit(":", 1)[1])

    def program(self, text: str, key: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a client's program in its own environment, with a key as it expects one."""
        identifier, _, secret = key.partition(".")
        site = self.folder / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(SITE)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(site),
            "TEST_HOST": HOST,
            "TEST_HOSTS": f"{HOST}={self.port},{S3_HOST}={self.bucket.rsplit(':', 1)[1]}",
            "TLD_ACCESS_KEY": identifier,
            "TLD_SECRET_KEY": secret,
            "TLD_SIGNING_ENDPOINT": f"http://{HOST}/rights",
            "TLD_CONFIG_DIR": str(self.folder),
            "TLD_RETRY_TOTAL": "1",
            "EODAG_EXT_COLLECTIONS_CFG_FILE": "",
            "KEY": key,
            "ITEM": f"http://{HOST}/stac/collections/{self.collection}/items/image",
            **more,
        }
        return subprocess.run(
            [str(self.python), "-c", text], env=environment, capture_output=True, text=True, timeout=300
        )

    def signing_calls(self) -> int:
        platform = self.running.platform
        cluster = platform._cluster(install=False)
        assert cluster is not None
        with psycopg.connect(cluster.url(platform.database_name)) as connection:
            row = connection.execute("select coalesce(sum(calls), 0)::int from rights.signing_count").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
def scene(named: Running, s3: S3, clients: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An item under a licence that asks for its acceptance, which the company's account can't give."""
    name = "signing-clients"
    with named.researcher as researcher:
        made = researcher.post(
            "/stac/collections",
            json={
                "type": "Collection",
                "stac_version": "1.1.0",
                "id": name,
                "license": "other",
                "description": "For clients that sign",
                "links": [],
                "bocage:licences": [LICENCE],
                "bocage:audience": "public",
                "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
            },
        )
        assert made.status_code == 201, made.text
        put = researcher.put(f"/assets/{name}/image/data", content=CONTENT)
        assert put.status_code == 201, put.text
        item: dict[str, Any] = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": "image",
            "geometry": {"type": "Point", "coordinates": [3.8, 43.6]},
            "bbox": [3.8, 43.6, 3.8, 43.6],
            "properties": {"datetime": "2025-06-01T10:00:00Z"},
            "links": [],
            "assets": {"data": {"href": put.json()["href"], "type": "image/tiff", "roles": ["data"]}},
        }
        posted = researcher.post(f"/stac/collections/{name}/items", json=item)
        assert posted.status_code == 201, posted.text
    return Scene(named, name, clients, tmp_path_factory.mktemp("clients"), s3.address)


SIGN = """
import hashlib, json, os, pystac, requests, teledetection
item = pystac.Item.from_dict(requests.get(os.environ["ITEM"]).json())
plain = item.assets["data"].href
signed = teledetection.sign(item)
href = signed.assets["data"].href
whole = requests.get(href)
part = requests.get(href, headers={"Range": "bytes=10-19"})
print(json.dumps({
    "unsigned": requests.get(plain).status_code, "status": whole.status_code, "same": href == plain,
    "sha256": hashlib.sha256(whole.content).hexdigest(), "part": part.content.hex(),
    "again": teledetection.sign_urls([plain, href]) is not None,
}))
"""


def test_the_published_client_signs_and_reads(scene: Scene) -> None:
    before = scene.signing_calls()
    done = scene.program(SIGN, scene.running.accounts.researcher)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["unsigned"] in (401, 403) and told["status"] == 200 and not told["same"]
    assert told["sha256"] == SHA256
    assert told["part"] == CONTENT[10:20].hex()
    # Links of five minutes are not kept: the client's own margin is half an hour.
    assert scene.signing_calls() == before + 2


def test_the_published_client_without_rights(scene: Scene) -> None:
    before = scene.signing_calls()
    done = scene.program(SIGN, scene.running.accounts.company)
    assert done.returncode != 0 and "403" in done.stderr.splitlines()[-1], done.stderr
    assert LICENCE in done.stderr, "the client shows what is missing"
    assert scene.signing_calls() == before
    unknown = scene.program(SIGN, "bknobody.nothing")
    assert unknown.returncode != 0 and "401" in unknown.stderr.splitlines()[-1], unknown.stderr


UPLOAD = """
import os
from teledetection.upload.transfer import push
print(push(os.environ["FILE"], os.environ["TARGET"]).split("?")[0])
"""


def test_the_published_client_uploads(scene: Scene) -> None:
    file = scene.folder / "new.tif"
    file.write_bytes(CONTENT[::-1])
    target = f"http://{HOST}/assets/{scene.collection}/new/data"
    done = scene.program(UPLOAD, scene.running.accounts.researcher, FILE=str(file), TARGET=target)
    assert done.returncode == 0 and done.stdout.strip() == target, done.stderr
    with scene.running.researcher as researcher:
        assert researcher.get(f"/assets/{scene.collection}/new/data").content == CONTENT[::-1]
    refused = scene.program(UPLOAD, scene.running.accounts.company, FILE=str(file), TARGET=target)
    assert refused.returncode != 0 and "403" in refused.stderr.splitlines()[-1], refused.stderr


STORE = """
import hashlib, json, os, requests, teledetection
url = os.environ["TARGET"]
href = teledetection.sign(url)
got = requests.get(href)
print(json.dumps({
    "unsigned": requests.get(url).status_code, "status": got.status_code,
    "host": href.split("/")[2], "sha256": hashlib.sha256(got.content).hexdigest(),
}))
"""


def test_the_published_client_with_a_bucket(scene: Scene) -> None:
    """Its bytes pass by the platform: they go straight to the bucket and come straight from it."""
    name = "in-a-bucket"
    with scene.running.researcher as researcher, scene.running.admin as admin:
        collection = researcher.get(f"/stac/collections/{scene.collection}").json()
        own = {"bocage:organisation": researcher.get("/rights/me").json()["organisation"]["id"]}
        made = admin.post("/stac/collections", json={**collection, "id": name, "bocage:store": "frozen", **own})
        assert made.status_code == 201, made.text
        file = scene.folder / "image.tif"
        file.write_bytes(CONTENT)
        target = f"http://{S3_HOST}/theia/collections/{name}/image/data"
        done = scene.program(UPLOAD, scene.running.accounts.researcher, FILE=str(file), TARGET=target)
        assert done.returncode == 0 and done.stdout.strip() == target, done.stderr
        item = researcher.get(f"/stac/collections/{scene.collection}/items/image").json()
        item |= {"id": "image", "collection": name}
        item["assets"]["data"]["href"] = f"http://{HOST}/assets/{name}/image/data"
        posted = researcher.post(f"/stac/collections/{name}/items", json=item)
        assert posted.status_code == 201, posted.text
    before = scene.signing_calls()
    done = scene.program(STORE, scene.running.accounts.researcher, TARGET=target)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == {"unsigned": 403, "status": 200, "host": S3_HOST, "sha256": SHA256}
    assert scene.signing_calls() == before + 1
    refused = scene.program(STORE, scene.running.accounts.company, TARGET=target)
    assert refused.returncode != 0 and "403" in refused.stderr.splitlines()[-1] and LICENCE in refused.stderr
    assert scene.signing_calls() == before + 1


EODAG = """
import hashlib, json, os, pathlib
from eodag import EODataAccessGateway
dag = EODataAccessGateway()
dag.add_provider(
    "bocage", os.environ["ITEM"].split("/collections/")[0] + "/search",
    search={"type": "StacSearch"},
    download={"type": "HTTPDownload", "ignore_assets": False, "flatten_top_dirs": True, "auth_error_code": 401},
    auth={
        "type": "HTTPHeaderAuth", "matching_url": "http://" + os.environ["TEST_HOST"],
        "headers": {"X-API-Key": "{apikey}"}, "credentials": {"apikey": os.environ["KEY"]},
    },
)
found = dag.search(provider="bocage", collection=os.environ["COLLECTION"], raise_errors=True)
assert len(found) == 1, found
where = pathlib.Path(dag.download(found[0], output_dir=os.environ["OUT"], extract=False))
files = [p for p in ([where] if where.is_file() else where.rglob("*")) if p.is_file()]
print(json.dumps([hashlib.sha256(p.read_bytes()).hexdigest() for p in files]))
"""


def test_eodag_downloads_with_an_api_key(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "with"
    done = scene.program(EODAG, scene.running.accounts.researcher, COLLECTION=scene.collection, OUT=str(out))
    assert done.returncode == 0, done.stderr
    assert SHA256 in json.loads(done.stdout.splitlines()[-1])
    out = tmp_path / "without"
    refused = scene.program(EODAG, scene.running.accounts.company, COLLECTION=scene.collection, OUT=str(out))
    brought = [p for p in out.rglob("*") if p.is_file() and hashlib.sha256(p.read_bytes()).hexdigest() == SHA256]
    assert refused.returncode != 0 and not brought, refused.stdout


def test_a_link_ends_with_its_key(scene: Scene) -> None:
    """As a client sees it: through the gateway, and within a second."""
    with scene.running.researcher as researcher:
        key = researcher.post("/rights/keys", json={"name": "to be revoked", "purpose": "research"}).json()
        url = f"http://{HOST}/assets/{scene.collection}/image/data"
        with scene.running.client(key["key"]) as holder:
            link = holder.get("/rights/sign", params={"url": url}).json()["href"]
        path = link.removeprefix(f"http://{HOST}")
        with httpx.Client(base_url=scene.running.url) as anybody:
            assert anybody.get(path).content == CONTENT
            assert researcher.delete(f"/rights/keys/{key['id']}").is_success
            deadline = 20
            while anybody.head(path).status_code == 200:
                deadline -= 1
                assert deadline > 0, "the link outlived its key by more than a second"
                time.sleep(0.05)
            assert anybody.get(path).status_code == 401
