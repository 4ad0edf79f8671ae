"""For administrators: credits moved, prices, quotas, plans."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of

ROOT = "/rights/admin"
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
Key = Annotated[str | None, typer.Option(help="The same key again moves nothing.")]
Organisation = Annotated[str | None, typer.Option("--org", help="Organisation: its slug or id.")]
Person = Annotated[str | None, typer.Option(help="Id of a person.")]
Category = Annotated[str | None, typer.Option(help="public, research or private.")]


def credits_transfer(
    context: typer.Context,
    amount: str,
    source: Annotated[str, typer.Option("--from", help="Organisation that gives.")],
    target: Annotated[str, typer.Option("--to", help="Organisation that takes.")],
    reason: Reason,
    idempotency_key: Key = None,
    json: AsJson = False,
) -> None:
    """Move credits from one organisation to another."""
    body = {"source": source, "target": target, "amount": amount, "reason": reason}
    _move(context, "credits/transfers", body, idempotency_key)


def credits_refund(
    context: typer.Context,
    job: str,
    amount: str,
    reason: Reason,
    idempotency_key: Key = None,
    json: AsJson = False,
) -> None:
    """Give back what a job cost, or a part of it, after a fault of the platform."""
    _move(context, "credits/refunds", {"job": job, "amount": amount, "reason": reason}, idempotency_key)


def credits_adjust(
    context: typer.Context,
    amount: Annotated[str, typer.Argument(help="Credits to add; below zero takes back (after --).")],
    org: Annotated[str, typer.Option("--org", help="Organisation: its slug or id.")],
    reason: Reason,
    idempotency_key: Key = None,
    json: AsJson = False,
) -> None:
    """Correct an organisation's balance."""
    body = {"organisation": org, "amount": amount, "reason": reason, "kind": "adjust"}
    _move(context, "credits", body, idempotency_key)


def tariff_create(
    context: typer.Context,
    price: Annotated[str, typer.Argument(help="Credits a unit; `none`: the more general price holds again.")],
    unit: Annotated[str, typer.Option(help="job, megapixels, area_km2, cpu_seconds or output_bytes.")],
    process: Annotated[str | None, typer.Option(help="Any process by default.")] = None,
    category: Category = None,
    collection: Annotated[str | None, typer.Option(help="Collection of the inputs; any by default.")] = None,
    valid_from: Annotated[str | None, typer.Option(help="Moment with time zone; now by default.")] = None,
    json: AsJson = False,
) -> None:
    """Set a price; the one that it follows is closed."""
    given = {"unit": unit, "process": process, "category": category, "collection": collection}
    _post(context, "tariffs", given | {"price": None if price == "none" else price, "valid_from": valid_from})


def tariff_list(context: typer.Context, json: AsJson = False) -> None:
    """Prices in force and to come."""
    found = connection(context).transport.get("/rights/tariffs")
    columns = ["process", "collection", "category", "unit", "price", "valid_from", "valid_to"]
    terminal_of(context).table(found, found["tariffs"], columns)


def quota_set(
    context: typer.Context,
    amount: Annotated[str, typer.Argument(help="The limit; `none`: no limit.")],
    unit: Annotated[str, typer.Option(help="credits, km2, bytes or requests.")],
    window: Annotated[str, typer.Option(help="minute (bytes, requests), day, month or quarter.")],
    reason: Reason,
    plan: Annotated[str | None, typer.Option(help="For everybody on this plan.")] = None,
    category: Category = None,
    org: Organisation = None,
    person: Person = None,
    counted: Annotated[str, typer.Option(help="person or organisation: whose use is added up.")] = "person",
    valid_from: Annotated[str | None, typer.Option(help="Moment with time zone; now by default.")] = None,
    valid_to: Annotated[str | None, typer.Option(help="Moment with time zone; for ever by default.")] = None,
    json: AsJson = False,
) -> None:
    """Set a limit for a plan, a category, an organisation or a person."""
    holder = {"plan": plan, "category": category, "organisation": org, "person": person}
    limit = {"unit": unit, "window": window, "counted": counted, "amount": None if amount == "none" else amount}
    _post(context, "quotas", holder | limit | {"valid_from": valid_from, "valid_to": valid_to, "reason": reason})


def quota_list(context: typer.Context, org: Organisation = None, person: Person = None, json: AsJson = False) -> None:
    """Limits that are set; of an organisation or a person those that hold, and what is used."""
    params = {name: value for name, value in {"organisation": org, "person": person}.items() if value}
    found = connection(context).transport.get(f"{ROOT}/quotas", params=params)
    if "limits" in found:
        columns = ["name", "limit", "used", "of", "state", "until", "set_for"]
        terminal_of(context).table(found, found["limits"], columns)
        return
    columns = ["id", "holder", "counted", "unit", "window", "amount", "valid_from", "valid_to", "reason"]
    terminal_of(context).table(found, found["quotas"], columns)


def quota_revoke(context: typer.Context, quota: int, json: AsJson = False) -> None:
    """End a limit; from then on the less specific one holds."""
    connection(context).transport.send("DELETE", f"{ROOT}/quotas/{quota}")
    terminal_of(context).result({"revoked": quota}, [f"Revoked: {quota}."])


def quota_warnings(context: typer.Context, json: AsJson = False) -> None:
    """Who reached 80 or 100 % of a limit."""
    found = connection(context).transport.get(f"{ROOT}/quota_warnings")
    columns = ["at", "holder", "unit", "window", "level", "used", "amount"]
    terminal_of(context).table(found, found["quota_warnings"], columns)


def plan_create(
    context: typer.Context,
    name: str,
    description: Annotated[str, typer.Option(help="For whom it is.")],
    json: AsJson = False,
) -> None:
    """Make a plan; its limits are set by `quota set --plan`."""
    _post(context, "plans", {"name": name, "description": description})


def plan_list(context: typer.Context, json: AsJson = False) -> None:
    """Plans, and in the document who is on which."""
    found = connection(context).transport.get(f"{ROOT}/plans")
    terminal_of(context).table(found, found["plans"], ["name", "description"])


def plan_assign(
    context: typer.Context,
    plan: str,
    reason: Reason,
    org: Organisation = None,
    person: Person = None,
    json: AsJson = False,
) -> None:
    """Put an organisation or a person on a plan; `standard` is for everybody else."""
    body = {"organisation": org, "person": person, "reason": reason}
    given = {name: value for name, value in body.items() if value is not None}
    path = f"{ROOT}/plans/{quote(plan, safe='')}/assignment"
    made = connection(context).transport.send("PUT", path, json=given).json()
    terminal_of(context).result(made, [f"{org or person} is on the plan {plan}."])


def _move(context: typer.Context, what: str, body: dict[str, Any], key: str | None) -> None:
    # the key keeps a request whose answer was lost from moving twice
    _post(context, what, body | {"idempotency_key": key or str(uuid.uuid4())}, repeatable=True)


def _post(context: typer.Context, what: str, body: dict[str, Any], repeatable: bool = False) -> None:
    given = {name: value for name, value in body.items() if value is not None}
    made = connection(context).transport.post(f"{ROOT}/{what}", given, repeatable=repeatable)
    terminal_of(context).result(made, [f"{name}: {value}" for name, value in made.items() if value is not None])


CREDITS: dict[str, Callable[..., None]] = {
    "transfer": credits_transfer,
    "refund": credits_refund,
    "adjust": credits_adjust,
}
PARTS: tuple[tuple[str, str, dict[str, Callable[..., None]]], ...] = (
    ("tariff", "The price list.", {"create": tariff_create, "list": tariff_list}),
    (
        "quota",
        "Limits.",
        {"set": quota_set, "list": quota_list, "revoke": quota_revoke, "warnings": quota_warnings},
    ),
    ("plan", "Plans: limits by name.", {"create": plan_create, "list": plan_list, "assign": plan_assign}),
)
