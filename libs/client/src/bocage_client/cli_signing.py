"""Links for programs without a key, and sharing with others: sign, share."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of
from bocage_client.errors import UsageError

MOST_URLS = 64


def register(app: typer.Typer) -> None:
    app.command()(sign)
    app.command()(share)


def sign(
    context: typer.Context,
    urls: Annotated[list[str], typer.Argument(help="Addresses of assets.")],
    put: Annotated[bool, typer.Option("--put", help="For uploading to them, instead of reading.")] = False,
    seconds: Annotated[
        int | None, typer.Option("--seconds", min=1, help="How long the links live, if that is less than they may.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Make links that work without a key, for tools that can't send one.

    Whoever has such a link reads (or, with --put, uploads) in your name until it ends.
    """
    terminal = terminal_of(context)
    if len(urls) > MOST_URLS:
        raise UsageError(f"At most {MOST_URLS} addresses can be signed at once.")
    body: dict[str, object] = {"urls": urls}
    if seconds is not None:
        body["duration_seconds"] = seconds
    client = connection(context)
    signed = dict(client.transport.post("/rights/sign_urls_put" if put else "/rights/sign_urls", body))
    terminal.say(f"Until {signed['expiry']}:")
    terminal.result(signed, [signed["hrefs"][url] for url in urls])


def share(
    context: typer.Context,
    item: Annotated[str, typer.Argument(help="One of your items, as collection/item.")],
    person: Annotated[list[str] | None, typer.Option(help="A person, by id or e-mail address.")] = None,
    org: Annotated[list[str] | None, typer.Option(help="An organisation, by id or short name.")] = None,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Take it back: from those named, or from everybody.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Let named people and organisations see an item of yours; without names, say who does.

    Sharing shows the item. To use its files they still need its licences.
    """
    terminal = terminal_of(context)
    collection, _, name = item.partition("/")
    if not collection or not name or "/" in name:
        raise UsageError("Name the item as collection/item.")
    transport = connection(context).transport
    people, organisations = person or [], org or []
    if revoke:
        named = {"collection": collection, "item": name, "person": people, "organisation": organisations}
        shares = transport.send("DELETE", f"/rights/shares?{urlencode(named, doseq=True)}").json()
    elif people or organisations:
        shares = transport.post(
            "/rights/shares",
            {"collection": collection, "item": name, "people": people, "organisations": organisations},
        )
    else:
        shares = transport.get("/rights/shares", params={"collection": collection, "item": name})
    lines = [f"person {one['id']}" for one in shares["people"]]
    lines += [f"organisation {one['id']} {one['name'] or ''}".rstrip() for one in shares["organisations"]]
    terminal.result(dict(shares), lines or [f"{item} is shared with nobody by name."])
