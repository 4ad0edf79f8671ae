"""`python -m bocage_catalogue`: serves the catalogue on its unix socket."""

from __future__ import annotations

import logging

from bocage_kit.serve import serve
from bocage_kit.settings import ServiceSettings


def main() -> None:
    # stac-fastapi complains of settings that nobody gave it while it is being imported.
    logging.getLogger("stac_fastapi.types.config").setLevel(logging.ERROR)
    from bocage_catalogue.app import create_app

    settings = ServiceSettings()
    serve(create_app(settings), name="catalogue", sockets=settings.sockets, log_level=settings.log_level)


if __name__ == "__main__":
    main()
