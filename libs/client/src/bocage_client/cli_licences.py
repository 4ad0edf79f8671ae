"""Withdrawing from a licence."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of


def register(app: typer.Typer) -> None:
    app.command()(withdraw)


def withdraw(
    context: typer.Context,
    licence: str,
    organisation: Annotated[
        bool, typer.Option("--organisation", help="What was accepted for all people of your organisation.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Withdraw your acceptance of a licence. It takes effect at once: results of running jobs are held."""
    holder = "organisation" if organisation else "user"
    path = f"/rights/licences/{quote(licence, safe='')}/acceptance"
    connection(context).transport.send("DELETE", path, params={"on_behalf": holder})
    terminal_of(context).result({"withdrawn": licence, "on_behalf": holder}, [f"Withdrawn: {licence}."])
