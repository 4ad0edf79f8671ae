"""What one may use, has used and has paid: quotas, usage, ledger."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of

_FIGURES = ["requests", "bytes", "jobs", "credits", "km2"]


def register(app: typer.Typer) -> None:
    app.command()(quotas)
    app.command()(usage)
    app.command()(ledger)


def quotas(context: typer.Context, json: AsJson = False) -> None:
    """Your limits, and what is used of them."""
    found = connection(context).transport.get("/rights/quotas")
    terminal_of(context).table(found, found["quotas"], ["name", "limit", "used", "of", "state", "until"])


def usage(
    context: typer.Context,
    by: Annotated[
        list[str] | None, typer.Option(help="day, service, collection, project or person; repeatable.")
    ] = None,
    since: Annotated[str | None, typer.Option("--from", help="First day, as 2026-01-31.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last day.")] = None,
    org: Annotated[str | None, typer.Option(help="Another organisation's, for administrators.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    json: AsJson = False,
) -> None:
    """What your organisation used."""
    transport = connection(context).transport
    groups = by or ["day"]
    given = {"from": since, "to": until, "organisation": org}
    query = "&".join(f"by={group}" for group in groups if group.isalpha())
    params = {name: value for name, value in given.items() if value is not None}
    path = f"/rights/usage?{query}" + "".join(f"&{name}={_plain(value)}" for name, value in params.items())
    if csv and not terminal_of(context).as_json:
        sys.stdout.write(transport.send("GET", path, headers={"Accept": "text/csv"}).text)
        return
    found = transport.get(path)
    terminal_of(context).table(found, found["usage"], [*groups, *_FIGURES])


def ledger(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="How many entries.", min=1, max=1000)] = 100,
    job: Annotated[str | None, typer.Option(help="Of this job alone.")] = None,
    org: Annotated[str | None, typer.Option(help="Another organisation's, for administrators.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    json: AsJson = False,
) -> None:
    """The credits of your organisation: what moved them, newest first."""
    transport = connection(context).transport
    given = {"job": job, "organisation": org}
    params: dict[str, str | int] = {"limit": limit} | {name: value for name, value in given.items() if value}
    if csv and not terminal_of(context).as_json:
        sys.stdout.write(transport.send("GET", "/rights/ledger", params=params, headers={"Accept": "text/csv"}).text)
        return
    found = transport.get("/rights/ledger", params=params)
    terminal_of(context).say(", ".join(f"{name}: {value}" for name, value in found["balance"].items()))
    terminal_of(context).table(found, found["entries"], ["id", "at", "kind", "amount", "job", "reason"])


def _plain(value: str) -> str:
    from urllib.parse import quote

    return quote(value, safe="")
