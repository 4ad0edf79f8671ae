"""Other catalogues into this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of
from bocage_client.errors import UsageError


def register(app: typer.Typer) -> None:
    app.command()(harvest)


def harvest(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="Address of a STAC API, of a collection of one, or of catalog.json.")],
    collection: Annotated[list[str] | None, typer.Option(help="Repeatable; all by default.")] = None,
    since: Annotated[
        str | None, typer.Option(help="What came or changed since a moment, or since the 'last' whole harvest.")
    ] = None,
    bbox: Annotated[str | None, typer.Option(help="west,south,east,north in degrees.")] = None,
    into: Annotated[str | None, typer.Option(help="The collection here, of another name than there.")] = None,
    audience: Annotated[
        str, typer.Option(help="Of collections that are made: public, organisation, owner.")
    ] = "public",
    licence: Annotated[
        str | None, typer.Option(help="Of collections that are made: an SPDX id, whatever the source says.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="stac, theia, geodes, hydroweb or dinamis; recognised by default.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and tell; write nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete items that are gone at the source.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Don't go on where an earlier run broke off.")] = False,
    key_file: Annotated[
        Path | None, typer.Option(help="File with the key of the source, instead of BOCAGE_SOURCE_KEY.")
    ] = None,
    patience: Annotated[float, typer.Option(min=0, help="Seconds for which a busy source is asked again.")] = 600.0,
    json: AsJson = False,
) -> None:
    """The records of another catalogue into this one, made valid; again, only what is new or changed is written."""
    from bocage_client.cli_transfer import numbers
    from bocage_client.harvest import Options
    from bocage_client.harvest import harvest as run
    from bocage_client.harvest_http import key_of
    from bocage_client.harvest_normalising import Kind

    if kind is not None and kind not in set(Kind):
        raise UsageError(f"--kind is one of {', '.join(Kind)}.")
    box = numbers(bbox)
    options = Options(
        collections=tuple(dict.fromkeys(collection or ())),
        since=since,
        bbox=tuple(box) if box is not None else None,
        into=into,
        audience=audience,
        licence=licence,
        kind=Kind(kind) if kind is not None else None,
        dry_run=dry_run,
        prune=prune,
        restart=restart,
        key=key_of(key_file),
        patience=patience,
    )
    terminal = terminal_of(context)
    made = run(connection(context).transport, source, options, terminal)
    terminal.result(made.document(), made.lines())
    if made.exit_code:
        raise typer.Exit(int(made.exit_code))
