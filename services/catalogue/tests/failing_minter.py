"""A registry of identifiers that is told by a file whether it answers, and writes down what it was asked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class FailingMinter:
    async def register(self, identifier: str, url: str, metadata: dict[str, Any]) -> None:
        folder = Path(os.environ["BOCAGE_TEST_MINTER"])
        with (folder / "asked").open("a") as told:
            told.write(json.dumps([identifier, url, metadata["doi"]]) + "\n")
        if (folder / "away").exists():
            raise ConnectionError("the registry is away, at an address that nobody is told")
        if (folder / "deadly").exists():
            os._exit(9)
