"""What the commands share: the connection of this run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bocage_client.reporting import Terminal

if TYPE_CHECKING:
    from bocage_client.client import Client

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, also on failure.")]


def terminal_of(context: typer.Context) -> Terminal:
    found = context.obj
    assert isinstance(found, Terminal)
    return found


def connection(context: typer.Context) -> Client:
    """Closed when the command ends."""
    from bocage_client.client import connect

    client = connect(terminal_of(context).url)
    context.call_on_close(client.close)
    return client
