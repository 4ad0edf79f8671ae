"""One's own API keys: list, make, end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import quote

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of


def register(app: typer.Typer) -> None:
    part = typer.Typer(no_args_is_help=True)
    part.command("list")(list_keys)
    part.command("create")(create)
    part.command("revoke")(revoke)
    app.add_typer(part, name="keys", help="Your own API keys.")


def list_keys(context: typer.Context, json: AsJson = False) -> None:
    """Your keys, without their secrets; `current` is the one in use."""
    found = connection(context).transport.get("/rights/keys")
    columns = ["id", "name", "purpose", "project", "scopes", "expires", "revoked", "last_used", "made_by", "current"]
    terminal_of(context).table(found, found["keys"], columns)


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[list[str] | None, typer.Option(help="For instance jobs:submit; repeatable; all of yours.")] = None,
    project: Annotated[str | None, typer.Option(help="What its use is counted under.")] = None,
    days: Annotated[int | None, typer.Option(help="How long it lives.", min=1)] = None,
    json: AsJson = False,
) -> None:
    """Make a key that can do no more than yours. It is shown once, and never again."""
    expires = None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    body = {"name": name, "scopes": scope, "project": project, "expires": expires}
    given = {field: value for field, value in body.items() if value is not None}
    made = connection(context).transport.post("/rights/keys", given)
    terminal = terminal_of(context)
    terminal.result(made, [f"{field}: {value}" for field, value in made.items() if value is not None])
    terminal.say(f"Keep the key of {made.get('id')} now: it cannot be shown again.")


def revoke(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="Id of the key.")],
    descendants: Annotated[
        bool, typer.Option("--descendants", help="With whatever keys it made, and those made with them.")
    ] = False,
    json: AsJson = False,
) -> None:
    """End a key, at once."""
    identifier = key.split(".")[0]
    params = {"descendants": "true"} if descendants else None
    connection(context).transport.send("DELETE", f"/rights/keys/{quote(identifier, safe='')}", params=params)
    terminal_of(context).result({"revoked": identifier}, [f"Revoked: {identifier}."])
