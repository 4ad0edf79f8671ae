"""`python -m bocage_rights`: serves the rights service on its socket."""

from __future__ import annotations

from bocage_kit.serve import serve

from bocage_rights.app import create_app
from bocage_rights.settings import RightsSettings


def main() -> None:
    settings = RightsSettings()
    serve(create_app(settings), name="rights", sockets=settings.sockets, log_level=settings.log_level)


if __name__ == "__main__":
    main()
