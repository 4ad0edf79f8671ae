"""Deposits: for those who produce data, and for those who review them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of
from bocage_client.errors import Exit, JsonObject, UsageError

Deposit = Annotated[str, typer.Argument(help="Id of the deposit, which is its collection's.")]
State = Annotated[
    str | None, typer.Option(help="draft, submitted, returned, accepted, published, withdrawn, discarded; with commas.")
]
Limit = Annotated[int, typer.Option(min=1, max=1000)]


def make_app(help_for_nothing: bool = True) -> typer.Typer:
    """`bocage deposit`."""
    return _app(
        help_for_nothing,
        {
            "create": create,
            "add": add,
            "validate": validate,
            "submit": submit,
            "list": listing,
            "show": show,
            "publish": publish,
            "withdraw": withdraw,
        },
    )


def make_review_app(help_for_nothing: bool = True) -> typer.Typer:
    """`bocage admin deposits`."""
    commands: dict[str, Callable[..., None]] = {
        "list": listing,
        "show": show,
        "validate": validate,
        "review": review,
        "publish": publish,
    }
    return _app(help_for_nothing, commands)


def _app(help_for_nothing: bool, commands: dict[str, Callable[..., None]]) -> typer.Typer:
    app = typer.Typer(no_args_is_help=help_for_nothing)
    for verb, function in commands.items():
        app.command(verb)(function)
    return app


def create(
    context: typer.Context,
    collection: Annotated[Path, typer.Argument(help="File of a STAC collection.")],
    contact: Annotated[str | None, typer.Option("--contact", help="Name of whom users ask.")] = None,
    email: Annotated[str | None, typer.Option(help="The contact's address.")] = None,
    organisation: Annotated[str | None, typer.Option(help="The contact's organisation.")] = None,
    orcid: Annotated[str | None, typer.Option(help="The contact's ORCID, as 0000-0002-1825-0097.")] = None,
    author: Annotated[bool, typer.Option("--author", help="The contact is an author too.")] = False,
    supersedes: Annotated[str | None, typer.Option(help="The published deposit of which it is a version.")] = None,
    identifier: Annotated[str | None, typer.Option("--id", help="Instead of the id in the file.")] = None,
    json: AsJson = False,
) -> None:
    """Begin a deposit: a draft that your organisation sees."""
    from bocage_client.depositing import ROOT, new_deposit

    if (contact is None) is not (email is None):
        raise UsageError("--contact and --email go together.")
    about: JsonObject | None = None
    if contact is not None:
        given = {"name": contact, "email": email, "organisation": organisation, "orcid": orcid}
        about = {name: value for name, value in given.items() if value is not None} | {"author": author}
    elif organisation or orcid or author:
        raise UsageError("--organisation, --orcid and --author are about the --contact.")
    made = connection(context).transport.post(ROOT, new_deposit(collection, about, supersedes, identifier))
    _told(context, made, f"Add items: bocage deposit add {made['id']} ITEM.json…")


def add(
    context: typer.Context,
    deposit: Deposit,
    items: Annotated[list[Path], typer.Argument(help="Files of STAC items; their assets may be files beside them.")],
    json: AsJson = False,
) -> None:
    """Upload files and add items to a draft. Again changes nothing; broken off, it goes on."""
    from bocage_client import depositing

    terminal = terminal_of(context)
    found = depositing.read_items(items)
    added = depositing.add(connection(context).transport, deposit, found, terminal)
    terminal.result({"items": added}, added)


def validate(context: typer.Context, deposit: Deposit, json: AsJson = False) -> None:
    """What stands in the way of publication: exit code 1 when something does."""
    from bocage_client.depositing import deposit_path

    report = connection(context).transport.get(deposit_path(deposit, "validation"))
    lines = [f"{kind}: {one['at']}: {one['reason']}" for kind in ("error", "warning") for one in report[f"{kind}s"]]
    end = f"{report['items']} items, {report['error_count']} errors, {report['warning_count']} warnings."
    terminal_of(context).result(report, [*lines, end])
    if not report["valid"]:
        raise typer.Exit(int(Exit.INPUT))


def submit(context: typer.Context, deposit: Deposit, json: AsJson = False) -> None:
    """Hand a deposit over for review: it stays as it is until it is returned."""
    from bocage_client.depositing import deposit_path

    path = deposit_path(deposit, "submission")
    _told(context, connection(context).transport.post(path, None, repeatable=True))


def listing(context: typer.Context, state: State = None, limit: Limit = 100, json: AsJson = False) -> None:
    """The deposits of your organisation, or for administrators of all, the newest first."""
    from bocage_client.depositing import ROOT

    params: dict[str, str | int] = {"limit": limit} | ({"state": state} if state else {})
    found = connection(context).transport.get(ROOT, params=params)
    terminal_of(context).table(found, found["deposits"], ["id", "state", "version", "identifier", "changed", "title"])


def show(context: typer.Context, deposit: Deposit, json: AsJson = False) -> None:
    """How a deposit fares, and how it came to that."""
    from bocage_client.depositing import deposit_path

    _told(context, connection(context).transport.get(deposit_path(deposit)))


def review(
    context: typer.Context,
    deposit: Deposit,
    accept: Annotated[bool, typer.Option("--accept", help="Accept and publish it.")] = False,
    back: Annotated[bool, typer.Option("--return", help="Return it, with a comment.")] = False,
    comment: Annotated[str | None, typer.Option(help="What is to be changed, or what you think of it.")] = None,
    json: AsJson = False,
) -> None:
    """Decide on a deposit that somebody else produced."""
    from bocage_client.depositing import deposit_path

    if accept is back:
        raise UsageError("Say either --accept or --return.")
    body = {"decision": "accept" if accept else "return", "comment": comment}
    path = deposit_path(deposit, "review")
    _told(context, connection(context).transport.post(path, body, repeatable=True))


def publish(context: typer.Context, deposit: Deposit, json: AsJson = False) -> None:
    """Publish what was accepted, when its identifier could not be registered before."""
    from bocage_client.depositing import deposit_path

    path = deposit_path(deposit, "publication")
    _told(context, connection(context).transport.post(path, None, repeatable=True))


def withdraw(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="collection/item, or a collection with all its items.")],
    reason: Annotated[str, typer.Option(help="Why; it is told to everyone.")],
    successor: Annotated[str | None, typer.Option(help="collection/item, collection or address in its place.")] = None,
    json: AsJson = False,
) -> None:
    """Withdraw an item or a collection: its files go, and its address tells why."""
    collection, _, item = target.partition("/")
    path = f"/stac/collections/{quote(collection, safe='')}"
    if item:
        path += f"/items/{quote(item, safe='')}"
    body = {"reason": reason} | ({"successor": successor} if successor else {})
    made = connection(context).transport.post(f"{path}/withdrawal", body)
    terminal_of(context).result(made, [f"{target}: withdrawn."])


def _told(context: typer.Context, deposit: dict[str, Any], *more: str) -> None:
    lines = [f"{deposit['id']}: {deposit['state']}, version {deposit['version']}."]
    if deposit.get("citation"):
        lines.append(deposit["citation"])
    for event in deposit.get("history") or ():
        comment = f": {event['comment']}" if event.get("comment") else ""
        lines.append(f"  {event['at']}  {event['to']} by {event['actor']}{comment}")
    terminal_of(context).result(deposit, [*lines, *more])
