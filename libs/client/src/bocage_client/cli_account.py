"""Who one is, and what one may use: login, whoami, licences, accept, tokens."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from bocage_client import configuration
from bocage_client.cli_context import AsJson, connection, terminal_of
from bocage_client.errors import BocageError, Exit, UsageError


def register(app: typer.Typer) -> None:
    app.command()(login)
    app.command()(whoami)
    app.command()(licences)
    app.command()(accept)
    app.command()(tokens)


def login(
    context: typer.Context,
    url: Annotated[str | None, typer.Argument(help="Address of the platform.")] = None,
    json: AsJson = False,
) -> None:
    """Remember the platform's address and your key, in a file that only you can read.

    The key is asked for without showing it, or read from standard input, or taken from BOCAGE_API_KEY.
    """
    terminal = terminal_of(context)
    base = configuration.checked_url(url or terminal.url or configuration.load().url)
    key = os.environ.get("BOCAGE_API_KEY") or _asked_key()
    from bocage_client.client import connect

    with connect(base, key) as client:
        me = client.whoami()
        if me.get("subject") == "anonymous":
            raise BocageError(Exit.NOT_ALLOWED, "unauthenticated", "The platform does not know this key.", status=401)
    path = configuration.store(base, key)
    terminal.result(
        {"url": base, "file": str(path), **_who(me)}, [f"Logged in at {base} as {me.get('name') or me.get('subject')}."]
    )


def _asked_key() -> str:
    if sys.stdin.isatty():
        import getpass

        key = getpass.getpass("API key (not shown): ").strip()
    else:
        key = sys.stdin.readline().strip()
    if not key:
        raise UsageError("No key was given: type it when asked, or pass it on standard input.", "no-key")
    return key


def _who(me: dict[str, Any]) -> dict[str, Any]:
    return {name: me.get(name) for name in ("subject", "name", "organisation", "purpose", "scopes")}


def whoami(context: typer.Context, json: AsJson = False) -> None:
    """Who the platform takes you for, what you may do, and what is missing."""
    client = connection(context)
    me = client.whoami()
    owner = (me.get("organisation") or {}).get("name")
    lines = [
        f"{me.get('name') or me.get('subject')}{f' of {owner}' if owner else ''} at {client.transport.base}",
        f"Declared purpose: {me.get('purpose')}. Scopes: {', '.join(me.get('scopes') or ()) or 'none'}.",
        *(f"+ {sentence}" for sentence in me.get("may") or ()),
        *(f"- {missing.get('why')} {missing.get('link', '')}".rstrip() for missing in me.get("missing") or ()),
    ]
    terminal_of(context).result(me, lines)


def licences(context: typer.Context, json: AsJson = False) -> None:
    """Licences, and what you may do under them."""
    found = connection(context).transport.get("/rights/licences")
    rows = [
        {**row, "yours": row["yours"]["level"], "missing": (row["yours"].get("required") or {}).get("reason")}
        for row in found["licences"]
    ]
    terminal_of(context).table(found, rows, ["id", "version", "needs_acceptance", "yours", "missing"])


def accept(
    context: typer.Context,
    licence: str,
    organisation: Annotated[
        bool, typer.Option("--organisation", help="For all people of your organisation, whom you represent.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Without being shown the text and asked.")] = False,
    json: AsJson = False,
) -> None:
    """Read a licence and accept it."""
    from bocage_client import licences as terms

    client, terminal = connection(context), terminal_of(context)
    found = terms.read(client.transport, licence)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("Read the licence and accept it with --yes.", "not-asked")
        terminal.say(terms.text(client.transport, found))
        typer.confirm(f"Do you accept {licence}, version {found.version}?", abort=True, err=True)
    answer = terms.accept(client.transport, found, for_organisation=organisation)
    terminal.result(answer, [f"Accepted: {licence}, version {found.version}."])


def tokens(
    context: typer.Context,
    collection: Annotated[list[str] | None, typer.Option(help="Collection whose tiles it opens; repeatable.")] = None,
    item: Annotated[list[str] | None, typer.Option(help="Item, as collection/item; repeatable.")] = None,
    search: Annotated[str | None, typer.Option(help="Registered search.")] = None,
    days: Annotated[float, typer.Option(help="How long it lives.", min=0.001, max=30)] = 7.0,
    revoke: Annotated[str | None, typer.Option(help="End the token with this id.")] = None,
    json: AsJson = False,
) -> None:
    """Make a tile token for a GIS, end one, or list yours."""
    client, terminal = connection(context), terminal_of(context)
    if revoke:
        client.transport.send("DELETE", f"/rights/tile_tokens/{revoke}")
        terminal.result({"revoked": revoke}, [f"Revoked: {revoke}."])
        return
    given = {"collections": collection or None, "items": item or None, "search": search}
    scope = {name: value for name, value in given.items() if value}
    if not scope:
        found = client.transport.get("/rights/tile_tokens")
        terminal.table(found, found["tile_tokens"], ["id", "scope", "created", "expires"])
        return
    made = client.transport.post("/rights/tile_tokens", {**scope, "ttl": int(days * 86_400)})
    terminal.result(made, [f"{name}: {value}" for name, value in made.items()])
