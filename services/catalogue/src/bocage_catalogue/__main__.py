"""`python -m bocage_catalogue`: serves the catalogue on its unix socket."""

from __future__ import annotations

import gc
import logging

from bocage_kit.serve import serve

from bocage_catalogue.settings import CatalogueSettings


def main() -> None:
    # stac-fastapi complains of settings that nobody gave it while it is being imported.
    logging.getLogger("stac_fastapi.types.config").setLevel(logging.ERROR)
    from bocage_catalogue.app import create_app

    settings = CatalogueSettings()
    app = create_app(settings)
    # A body of a thousand items is a quarter of a million objects, which would be searched for cycles over and over
    # while it is read.
    gc.set_threshold(100_000, 50, 100)
    serve(app, name="catalogue", sockets=settings.sockets, log_level=settings.log_level)


if __name__ == "__main__":
    main()
