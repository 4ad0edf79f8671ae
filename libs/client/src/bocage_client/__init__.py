"""Python client and command line of Bocage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bocage_client.client import Client, connect
    from bocage_client.errors import BocageError

__all__ = ["BocageError", "Client", "connect"]


def __getattr__(name: str) -> Any:
    """Loaded when first used: `bocage --help` needs no HTTP library."""
    if name in ("Client", "connect"):
        from bocage_client import client

        return getattr(client, name)
    if name == "BocageError":
        from bocage_client.errors import BocageError

        return BocageError
    raise AttributeError(name)
