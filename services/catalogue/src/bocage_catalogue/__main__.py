"""`python -m bocage_catalogue`: serves the catalogue on its unix socket."""

from __future__ import annotations

from bocage_kit.serve import serve
from bocage_kit.settings import ServiceSettings

from bocage_catalogue.app import create_app


def main() -> None:
    settings = ServiceSettings()
    serve(create_app(settings), name="catalogue", sockets=settings.sockets, log_level=settings.log_level)


if __name__ == "__main__":
    main()
