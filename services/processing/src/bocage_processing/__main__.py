"""`python -m bocage_processing`: the service behind its socket."""

from __future__ import annotations

from bocage_kit.serve import serve

from bocage_processing.app import create_app
from bocage_processing.settings import ProcessingSettings


def main() -> None:
    settings = ProcessingSettings()
    serve(create_app(settings), name="processing", sockets=settings.sockets, log_level=settings.log_level)


if __name__ == "__main__":
    main()
