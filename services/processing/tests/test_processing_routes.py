"""The routes as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bocage_kit.access import undeclared_routes
from bocage_processing.app import create_app
from bocage_processing.settings import ProcessingSettings
from openapi_spec_validator import validate


def test_every_route_says_who_may_call_it_and_the_document_is_valid(tmp_path: Path) -> None:
    app = create_app(ProcessingSettings(home=tmp_path))
    assert undeclared_routes(app) == []
    document = app.openapi()
    validate(document)
    assert {"getStatus", "execute", "getResult", "dismiss", "quote"} <= {
        operation["operationId"] for path in document["paths"].values() for operation in path.values()
    }


def test_service_and_dispatcher_import_no_science() -> None:
    code = (
        "import sys, bocage_processing.app, bocage_processing.dispatcher;"
        "print([m for m in ('rasterio', 'numpy', 'shapely', 'pyproj') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
