"""The demonstration: a synthetic scene in the catalogue, the elevation model made of it, the links to look at."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bocage_client import connect
from bocage_client.client import Client
from bocage_client.errors import BocageError
from bocage_processes.scene import make_scene
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bocage_deploy.home import Home
from bocage_deploy.platform import Accounts

COLLECTION = "demonstration-scenes"
LICENCE = "LicenseRef-Bocage-Demonstration"
VIEWS = ("nadir", "fwd", "bwd")
_VARIABLES = {
    "BOCAGE_URL": "url",
    "BOCAGE_API_KEY": "researcher",
    "BOCAGE_COMPANY_KEY": "company",
    "BOCAGE_ADMIN_KEY": "admin",
}

Say = Callable[[str], None]


class DemoFailed(Exception):
    """The demonstration could not be made."""


def write_env_file(path: Path, accounts: Accounts) -> None:
    """The keys for a shell to source; only this user may read them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        for variable, field in _VARIABLES.items():
            handle.write(f"{variable}={getattr(accounts, field)}\n")
    fresh.replace(path)


def read_env_file(path: Path) -> Accounts | None:
    """What `write_env_file` wrote; None when it is not there or not whole."""
    try:
        pairs = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
        return Accounts(**{field: pairs[variable] for variable, field in _VARIABLES.items()})
    except (OSError, KeyError):
        return None


def run_demo(accounts: Accounts, home: Home, say: Say) -> None:
    """Make the scene, ingest it, run the job with its progress shown, print the links. Raises DemoFailed."""
    try:
        with connect(accounts.url, accounts.researcher) as client:
            items = _load_scene(client, home, say)
            quote = client.quote("dsm", images=items)
            say(f"Submitting dsm on {len(items)} images; quoted at {quote['credits']} credits at most.")
            job = client.submit("dsm", images=items, audience="public")
            _watch(job)
            _print_links(client, accounts, job.document, say)
    except BocageError as error:
        raise DemoFailed(f"The demonstration failed: {error}") from error


def _load_scene(client: Client, home: Home, say: Say) -> list[str]:
    folder = home.root / "demonstration"
    files = [folder / f"{view}.tif" for view in VIEWS]
    if not all(path.exists() for path in [*files, folder / "truth_dsm.tif"]):
        say("Making three images of a synthetic town …")
        folder.mkdir(exist_ok=True)
        make_scene(folder)
    _ensure_collection(client)
    return client.ingest(files, COLLECTION)


def _ensure_collection(client: Client) -> None:
    """The scenes' collection: everybody may see that they exist, few may use them."""
    document = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": COLLECTION,
        "title": "Demonstration: synthetic tri-stereo scenes",
        "description": (
            "Images of an invented town, made by Bocage's own scene generator with known heights. "
            "Their metadata are public; the images are under a restricted licence written for this demonstration."
        ),
        "license": "other",
        "keywords": ["synthetic", "stereo", "demonstration"],
        "extent": {
            "spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]},
            "temporal": {"interval": [["2026-01-01T00:00:00Z", None]]},
        },
        "links": [],
        "bocage:licences": [LICENCE],
        "bocage:audience": "public",
        "bocage:processes": ["dsm"],
    }
    try:
        client.transport.send("POST", "/stac/collections", json=document)
    except BocageError as error:
        if error.code not in ("conflict", "already-exists", "exists"):
            raise


def _watch(job: Any) -> None:
    """Show the job's progress until it ends."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=False) as progress:
        task = progress.add_task("dsm: accepted", total=100)
        last = ""

        def on_status(document: dict[str, Any]) -> None:
            nonlocal last
            message = f"dsm: {document.get('message') or document.get('status')}"
            progress.update(task, completed=float(document.get("progress") or 0), description=message)
            if not console.is_terminal and message != last:
                console.print(f"{document.get('progress', 0):>3} % {message}")
            last = message

        job.wait(on_status=on_status)


def _print_links(client: Client, accounts: Accounts, document: dict[str, Any], say: Say) -> None:
    job = document["jobID"]
    base = accounts.url
    token = client.transport.post("/rights/tile_tokens", {"items": [f"dsm/{job}"], "ttl": 7 * 24 * 3600})
    balance = client.transport.get("/rights/ledger")["balance"]
    # The catalogue shows a published result to everybody at once; say so only when it is so.
    with connect(base, accounts.company) as company:
        company.transport.get(f"/stac/collections/dsm/items/{job}")
    lines = [
        "",
        "The elevation model is made:",
        f"  in the catalogue   {base}/stac/collections/dsm/items/{job}",
        f"  as a picture       {base}/tiles/collections/dsm/items/{job}/preview.png?assets=dsm&token={token['token']}",
        f"  for QGIS (WMTS)    {token['wmts']}",
        f"  its files          {base}/assets/dsm/{job}/dsm  (with the header X-API-Key)",
        f"  its cost           {document['credits']['charged']} credits; "
        f"the account has {balance['available']} left, {balance['reserved']} reserved",
        "",
        f"  everything else    {base}/   and the API at {base}/docs",
        f"  keys               .bocage/demo.env, written {time.strftime('%H:%M')}",
    ]
    for line in lines:
        say(line)
