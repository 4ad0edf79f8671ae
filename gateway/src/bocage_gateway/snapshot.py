"""Writes the merged OpenAPI document to a file, or checks that the file is what the services say.

python -m bocage_gateway.snapshot --out openapi/bocage.json [--check] catalogue=FILE-OR-URL tiles=… …
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from bocage_gateway import __version__
from bocage_gateway.contract import info
from bocage_gateway.openapi_merge import merge
from bocage_gateway.pages import own_document
from bocage_gateway.routes import SERVICES


def snapshot(sources: dict[str, str]) -> str:
    """The text of the merged document; `sources` maps services to files or http addresses."""
    documents = {"gateway": own_document()} | {name: _read(source) for name, source in sources.items()}
    return json.dumps(merge(documents, info=info(__version__)), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _read(source: str) -> Any:
    if source.startswith(("http://", "https://")):
        with urllib.request.urlopen(source, timeout=30) as answer:  # noqa: S310  # the scheme is checked above
            return json.load(answer)
    return json.loads(Path(source).read_text("utf-8"))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bocage_gateway.snapshot", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file differs")
    parser.add_argument("sources", nargs="+", metavar="SERVICE=FILE-OR-URL")
    asked = parser.parse_args(arguments)
    sources = dict(source.partition("=")[::2] for source in asked.sources)
    if unknown := set(sources) - set(SERVICES):
        parser.error(f"not a service: {', '.join(sorted(unknown))}; there are {', '.join(SERVICES)}")
    text = snapshot({name: sources[name] for name in SERVICES if name in sources})
    if not asked.check:
        asked.out.write_text(text, "utf-8")
        return 0
    if asked.out.exists() and asked.out.read_text("utf-8") == text:
        return 0
    sys.stderr.write(f"{asked.out} is not what the services say: write it again without --check.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
