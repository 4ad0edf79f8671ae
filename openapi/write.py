"""Writes `bocage.json` beside this file from the services' own code; `--check` fails when it would change.

No database and no network is needed: the applications are made, not run.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bocage_catalogue.app import create_app as catalogue
from bocage_gateway import snapshot
from bocage_kit.settings import ServiceSettings
from bocage_processing.app import create_app as processing
from bocage_processing.settings import ProcessingSettings
from bocage_rights.app import create_app as rights
from bocage_rights.settings import RightsSettings
from bocage_tiles.app import create_app as tiles
from bocage_tiles.settings import TilesSettings
from fastapi import FastAPI

NOWHERE = "postgresql://nobody@localhost/nowhere"


def applications(home: Path) -> dict[str, FastAPI]:
    return {
        "catalogue": catalogue(ServiceSettings(home=home, database=NOWHERE)),
        "tiles": tiles(TilesSettings(home=home, database=NOWHERE)),
        "processing": processing(ProcessingSettings(home=home, database=NOWHERE)),
        "rights": rights(RightsSettings(home=home, database=NOWHERE)),
    }


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        sources = []
        for name, app in applications(Path(folder)).items():
            path = Path(folder) / f"{name}.json"
            path.write_text(json.dumps(app.openapi()), "utf-8")
            sources.append(f"{name}={path}")
        out = Path(__file__).with_name("bocage.json")
        return snapshot.main(["--out", str(out), *arguments, *sources])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
