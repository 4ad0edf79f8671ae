"""Uploading images and describing them: ingest."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of
from bocage_client.errors import UsageError


def register(app: typer.Typer) -> None:
    app.command()(ingest)


def ingest(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(help="TIFF images in sensor geometry, two or three for a stereo.")],
    collection: Annotated[str, typer.Option("--collection", help="Made if absent, seen by your organisation.")],
    licence: Annotated[str | None, typer.Option(help="Licence id; by default a restricted one.")] = None,
    title: Annotated[str | None, typer.Option(help="Title of a new collection.")] = None,
    geomodel: Annotated[
        list[Path] | None, typer.Option(help="RPC file (.geom or Pléiades XML) that does not lie beside its image.")
    ] = None,
    id_prefix: Annotated[str, typer.Option(help="Put before the file names to make the item ids.")] = "",
    taken: Annotated[str | None, typer.Option("--datetime", help="When the images were taken (RFC 3339).")] = None,
    platform: Annotated[str | None, typer.Option(help="Satellite, for instance pleiades-1a.")] = None,
    instrument: Annotated[list[str] | None, typer.Option(help="Instrument; repeatable.")] = None,
    json: AsJson = False,
) -> None:
    """Upload images and make them items of a collection. Again changes nothing; broken off, it goes on."""
    from bocage_client import ingest as ingestion
    from bocage_client.scene_item import Details, check_collection_id

    check_collection_id(collection)
    options = ingestion.Options(
        licence=licence,
        title=title,
        id_prefix=id_prefix,
        details=Details(_datetime(taken), platform, tuple(instrument or ())),
    )
    terminal = terminal_of(context)
    scenes = ingestion.read_scenes(images, geomodel or [], options)
    items = ingestion.ingest(connection(context).transport, scenes, collection, options, terminal)
    terminal.result({"items": items}, items)


def _datetime(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--datetime {text!r} is no RFC 3339 time, such as 2026-01-31T10:30:00Z.") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
