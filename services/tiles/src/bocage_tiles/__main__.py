"""`python -m bocage_tiles`."""

from __future__ import annotations

from bocage_kit.serve import serve

from bocage_tiles import gdal
from bocage_tiles.app import create_app
from bocage_tiles.settings import TilesSettings


def main() -> None:
    gdal.harden()
    settings = TilesSettings()
    serve(create_app(settings), name="tiles", sockets=settings.sockets, log_level=settings.log_level)


if __name__ == "__main__":
    main()
