"""Writes the documents in `openapi/` from the code, without a platform: `python -m bocage_deploy.openapi [--check]`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bocage_gateway import snapshot
from bocage_processes.report import report_schema

from bocage_deploy.programs import SERVICES

FOLDER = Path(__file__).resolve().parents[3] / "openapi"

# A process for each: a service's application may set up libraries of its whole process.
_DOCUMENT = """
import importlib, json, sys
from bocage_kit.settings import ServiceSettings
service = sys.argv[1]
try:
    module = importlib.import_module(f"bocage_{service}.settings")
    settings = next(v for v in vars(module).values()
                    if isinstance(v, type) and issubclass(v, ServiceSettings) and v is not ServiceSettings)
except ModuleNotFoundError:
    settings = ServiceSettings
if service == "tiles":
    from bocage_tiles import gdal
    gdal.harden()
app = importlib.import_module(f"bocage_{service}.app").create_app(settings())
json.dump(app.openapi(), sys.stdout)
"""


def document(service: str, home: Path) -> str:
    """The OpenAPI document of one service, made without a database."""
    done = subprocess.run(
        [sys.executable, "-c", _DOCUMENT, service],
        env={"BOCAGE_HOME": str(home), "BOCAGE_DATABASE": "postgresql:///none", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(f"{service} does not describe itself: {done.stderr[-1500:]}")
    return done.stdout


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bocage_deploy.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    asked = parser.parse_args(arguments)
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        sources = []
        for service in SERVICES:
            path = home / f"{service}.json"
            path.write_text(document(service, home))
            sources.append(f"{service}={path}")
        options = ["--check"] if asked.check else []
        stale = snapshot.main(["--out", str(FOLDER / "bocage.json"), *options, *sources])
    report = json.dumps(report_schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    target = FOLDER / "dsm-report.schema.json"
    if not asked.check:
        target.write_text(report)
    elif not target.exists() or target.read_text() != report:
        sys.stderr.write(f"{target.name} is stale.\n")
        stale = 1
    if stale:
        sys.stderr.write("Write the documents anew with: make openapi\n")
    return stale


if __name__ == "__main__":
    sys.exit(main())
