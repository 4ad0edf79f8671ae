"""For administrators: the registry of licences, the rules of inheritance, and recalls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of
from bocage_client.errors import JsonObject

ROOT = "/rights/admin"


def licence_create(
    context: typer.Context,
    licence: Annotated[str, typer.Argument(help="SPDX id, however spelled, or LicenseRef-….")],
    title_en: Annotated[str, typer.Option(help="Title in English.")],
    title_fr: Annotated[str, typer.Option(help="Title in French.")],
    kind: Annotated[str, typer.Option(help="open, attribution, non-commercial or restricted.")],
    demonstration: Annotated[bool, typer.Option("--demonstration", help="Not a real contract.")] = False,
    json: AsJson = False,
) -> None:
    """Register a licence. It has no terms before it has a version."""
    title = {"en": title_en, "fr": title_fr}
    _post(context, "licences", {"id": licence, "title": title, "kind": kind, "demonstration": demonstration})


def licence_version(
    context: typer.Context,
    licence: str,
    version: str,
    text_en: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="File of the text in English.")],
    text_fr: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="File of the text in French.")],
    purpose: Annotated[list[str], typer.Option(help="Allowed purpose, `undeclared` for nobody is asked; repeatable.")],
    category: Annotated[list[str] | None, typer.Option(help="Allowed category; repeatable, all by default.")] = None,
    needs_acceptance: Annotated[str, typer.Option(help="none, user or organisation.")] = "none",
    keep_acceptances: Annotated[
        bool, typer.Option("--keep-acceptances", help="Acceptances of the former version still count.")
    ] = False,
    fallback: Annotated[str, typer.Option(help="Level left to others: metadata, preview, tile…")] = "metadata",
    embargo_from: Annotated[str | None, typer.Option(help="Beginning of an embargo, RFC 3339.")] = None,
    embargo_until: Annotated[str | None, typer.Option(help="End of an embargo, RFC 3339.")] = None,
    attribution_en: Annotated[str | None, typer.Option(help="Named with unaltered data.")] = None,
    attribution_fr: Annotated[str | None, typer.Option()] = None,
    derived_en: Annotated[str | None, typer.Option(help="Named with what is made of them.")] = None,
    derived_fr: Annotated[str | None, typer.Option()] = None,
    share_alike: Annotated[bool, typer.Option("--share-alike")] = False,
    url: Annotated[str | None, typer.Option(help="Where the full text is.")] = None,
    valid_from: Annotated[str | None, typer.Option(help="RFC 3339; now by default.")] = None,
    json: AsJson = False,
) -> None:
    """Add a version of a licence: its texts and terms. It never changes afterwards."""
    body = {
        "version": version,
        "text": {"en": text_en.read_text(), "fr": text_fr.read_text()},
        "purposes": purpose,
        "categories": category,
        "needs_acceptance": needs_acceptance,
        "reaccept": not keep_acceptances,
        "fallback": fallback,
        "embargo_from": embargo_from,
        "embargo_until": embargo_until,
        "attribution": _both(attribution_en, attribution_fr),
        "attribution_derived": _both(derived_en, derived_fr),
        "share_alike": share_alike,
        "url": url,
        "valid_from": valid_from,
    }
    _post(context, f"licences/{quote(licence, safe='')}/versions", body)


def licence_list(context: typer.Context, json: AsJson = False) -> None:
    """List all licences with their versions."""
    found = connection(context).transport.get(f"{ROOT}/licences")
    terminal_of(context).table(found, found["licences"], ["id", "kind", "version", "versions"])


def rule_create(
    context: typer.Context,
    licence: str,
    effect: Annotated[str, typer.Argument(help="pixels, elevation, index or statistic.")],
    outcome: Annotated[str, typer.Argument(help="keep, release, same or forbid.")],
    status: Annotated[str, typer.Option(help="confirmed or assumed.")],
    source: Annotated[str, typer.Option(help="Where it is written, or who confirmed it.")],
    date: Annotated[str, typer.Option(help="Of the source, YYYY-MM-DD.")],
    json: AsJson = False,
) -> None:
    """Record a new version of a rule: what results made under a licence inherit."""
    body = {"licence": licence, "effect": effect, "outcome": outcome, "status": status, "source": source, "date": date}
    _post(context, "derivation_rules", body)


def rule_list(context: typer.Context, json: AsJson = False) -> None:
    """The rules in force."""
    found = connection(context).transport.get("/rights/derivation_rules")
    columns = ["licence", "effect", "outcome", "status", "acts_as", "date"]
    terminal_of(context).table(found, found["rules"], columns)


def recall_create(
    context: typer.Context,
    item: Annotated[str, typer.Argument(help="As collection/item.")],
    reason: Annotated[str, typer.Option(help="Told to everybody who is refused.")],
    json: AsJson = False,
) -> None:
    """Take an item, and all that was made of it, out of use."""
    _post(context, "recalls", {"item": item, "reason": reason})


def recall_list(context: typer.Context, json: AsJson = False) -> None:
    """Recalls, newest first, with what was made of each item."""
    found = connection(context).transport.get(f"{ROOT}/recalls")
    terminal_of(context).table(found, found["recalls"], ["id", "item", "reason", "descendants", "lifted_at"])


def recall_revoke(context: typer.Context, recall: str, json: AsJson = False) -> None:
    """Lift a recall."""
    connection(context).transport.send("DELETE", f"{ROOT}/recalls/{quote(recall, safe='')}")
    terminal_of(context).result({"revoked": recall}, [f"Lifted: {recall}."])


PARTS: tuple[tuple[str, str, dict[str, Callable[..., None]]], ...] = (
    ("licence", "Licences and their versions.",
     {"create": licence_create, "version": licence_version, "list": licence_list}),
    ("rule", "What results inherit.", {"create": rule_create, "list": rule_list}),
    ("recall", "Recalled items.", {"create": recall_create, "list": recall_list, "revoke": recall_revoke}),
)  # fmt: skip


def _both(en: str | None, fr: str | None) -> dict[str, str | None] | None:
    return None if en is None and fr is None else {"en": en, "fr": fr}


def _post(context: typer.Context, what: str, body: dict[str, Any]) -> None:
    given = {name: value for name, value in body.items() if value is not None}
    made: JsonObject = connection(context).transport.post(f"{ROOT}/{what}", given)
    terminal_of(context).result(made, [f"{name}: {value}" for name, value in made.items() if value is not None])
