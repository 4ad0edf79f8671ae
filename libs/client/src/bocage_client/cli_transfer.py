"""Items out of the catalogue into files, and from files and addresses into the catalogue."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of
from bocage_client.errors import Exit, UsageError


def register(app: typer.Typer) -> None:
    app.command()(export)
    app.command()(load)


def export(
    context: typer.Context,
    output: Annotated[str, typer.Option("--output", "-o", help="File, or - for standard output.")] = "-",
    collection: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    ids: Annotated[list[str] | None, typer.Option(help="Item ids, with commas or repeated.")] = None,
    bbox: Annotated[str | None, typer.Option(help="west,south,east,north in degrees.")] = None,
    period: Annotated[str | None, typer.Option("--datetime", help="An instant, or an interval start/end.")] = None,
    filter_: Annotated[str | None, typer.Option("--filter", help="A condition in CQL2 text.")] = None,
    words: Annotated[str | None, typer.Option("--q", help="Words, with commas.")] = None,
    sortby: Annotated[str | None, typer.Option(help="Properties with + or -, with commas.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many items; all by default.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="ndjson, geojsonseq or geoparquet; by default by the file's name.")
    ] = None,
    json: AsJson = False,
) -> None:
    """All items of a search into one file: NDJSON or GeoParquet. The file has its name only when it is whole."""
    from bocage_client import exporting

    target = None if output == "-" else Path(output)
    terminal = terminal_of(context)
    if target is None and terminal.as_json:
        raise UsageError("With --json standard output holds the summary: name a file with -o.")
    chosen = exporting.format_of(format_, target)
    if target is None and chosen == "geoparquet" and sys.stdout.isatty():
        raise UsageError("GeoParquet is not for a terminal: name a file with -o.")
    question = _question(collection, ids, bbox, period, filter_, words, sortby, limit)
    made = exporting.export(connection(context).transport, question, chosen, target, terminal)
    if target is None:
        terminal.stop_bars()
        return
    size = f"{made.items:,} items" if made.items is not None else f"{made.bytes / 1e6:.1f} MB"
    terminal.result(made.document(), [f"{target}: {size}."])


def _question(
    collections: list[str] | None,
    ids: list[str] | None,
    bbox: str | None,
    period: str | None,
    filter_: str | None,
    words: str | None,
    sortby: str | None,
    limit: int | None,
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "collections": collections or None,
        "ids": [x for part in ids for x in part.split(",") if x] if ids else None,
        "bbox": numbers(bbox),
        "datetime": period,
        "filter": filter_,
        "filter-lang": "cql2-text" if filter_ else None,
        "q": [x.strip() for x in words.split(",")] if words else None,
        "sortby": [_order(x.strip()) for x in sortby.split(",")] if sortby else None,
        "limit": limit,
    }
    return {name: value for name, value in made.items() if value is not None}


def numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        found = [float(x) for x in text.split(",")]
    except ValueError:
        found = []
    if len(found) not in (4, 6):
        raise UsageError("--bbox is west,south,east,north in degrees, such as 1.5,43.2,1.9,43.7.")
    return found


def _order(part: str) -> dict[str, str]:
    return {"field": part.lstrip("+-"), "direction": "desc" if part.startswith("-") else "asc"}


def load(
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(help="NDJSON, GeoParquet, a static catalogue, a feature collection, an item; file or address."),
    ],
    collection: Annotated[str | None, typer.Option(help="Into this collection, whatever the items say.")] = None,
    upsert: Annotated[bool, typer.Option("--upsert", help="Replace items that are there and differ.")] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Go on past what can't be loaded.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Items sent at once.")] = 1000,
    failures: Annotated[Path | None, typer.Option(help="File for what could not be loaded, and why (NDJSON).")] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget what an earlier run of this load has done.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Items into the catalogue. Killed and started again, it goes on: nothing is lost, nothing is twice."""
    from bocage_client import loading
    from bocage_client.load_batches import Manner

    terminal = terminal_of(context)
    options = loading.Options(collection, Manner(upsert, partial), batch, failures, restart)
    made = loading.load(connection(context).transport, sources, options, terminal)
    shown = made.failures[:20]
    for failure in shown:
        terminal.say(f"bocage: {failure}")
    if made.failed > len(shown):
        terminal.say(f"bocage: and {made.failed - len(shown):,} more; --failures writes them to a file.")
    terminal.result(made.document(), made.lines())
    if made.failed:
        raise typer.Exit(int(made.failures[0].exit_code if len(made.failures) == 1 else Exit.INPUT))
