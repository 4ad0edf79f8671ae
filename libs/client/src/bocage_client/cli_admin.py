"""For administrators and representatives: organisations, people, keys, grants, credits."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

import typer

from bocage_client import cli_admin_licences, cli_admin_quotas, cli_deposits
from bocage_client.cli_admin_audit import audit_list, audit_verify, register_write
from bocage_client.cli_admin_fixity import fixity
from bocage_client.cli_context import AsJson, connection, terminal_of
from bocage_client.errors import JsonObject

ROOT = "/rights/admin"
Organisation = Annotated[str, typer.Option("--org", help="Organisation: its slug or id.")]
AnyOrganisation = Annotated[str | None, typer.Option("--org", help="Only of this organisation: its slug or id.")]


def make_app(help_for_nothing: bool = True) -> typer.Typer:
    app = typer.Typer(no_args_is_help=help_for_nothing)
    parts: tuple[tuple[str, str, dict[str, Callable[..., None]]], ...] = (
        (
            "org",
            "Organisations.",
            {
                "create": org_create,
                "list": org_list,
                "verify": org_verify,
                "refuse": org_refuse,
                "activate": org_activate,
                "revoke": org_revoke,
            },
        ),
        (
            "person",
            "People.",
            {
                "create": person_create,
                "list": person_list,
                "activate": person_activate,
                "revoke": person_revoke,
                "erase": person_erase,
            },
        ),
        ("key", "API keys.", {"create": key_create, "list": key_list, "revoke": key_revoke}),
        (
            "grant",
            "Licences accepted on behalf of an organisation, on paper for instance.",
            {"create": grant_create, "list": grant_list, "revoke": grant_revoke},
        ),
        (
            "credits",
            "Credits of organisations.",
            {"create": credits_create, "list": credits_list, **cli_admin_quotas.CREDITS},
        ),
        *cli_admin_quotas.PARTS,
        *cli_admin_licences.PARTS,
        ("audit", "The audit chain.", {"list": audit_list, "verify": audit_verify}),
    )
    for name, help_, commands in parts:
        part = typer.Typer(no_args_is_help=help_for_nothing)
        for verb, function in commands.items():
            part.command(verb)(function)
        app.add_typer(part, name=name, help=help_)
    app.command("register")(register_write)
    app.command("fixity")(fixity)
    app.add_typer(cli_deposits.make_review_app(help_for_nothing), name="deposits", help="Deposits to be reviewed.")
    return app


def org_create(
    context: typer.Context,
    name: str,
    category: Annotated[str, typer.Option(help="public, research or private.")],
    slug: Annotated[str | None, typer.Option(help="Short name; made of the name by default.")] = None,
    country: Annotated[str | None, typer.Option(help="Two letters (ISO 3166).")] = None,
    representative: Annotated[str | None, typer.Option(help="Name of its legal representative.")] = None,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Nothing that needs acceptance until it is verified.")
    ] = False,
    domain: Annotated[list[str] | None, typer.Option(help="E-mail domain of its people; repeatable.")] = None,
    json: AsJson = False,
) -> None:
    """Make an organisation, verified unless you say otherwise."""
    body = {"name": name, "category": category, "slug": slug, "country": country, "representative": representative}
    _create(
        context,
        "organisations",
        body | {"verified": False if unverified else None, "email_domains": domain},
    )


def org_verify(
    context: typer.Context,
    org: str,
    reason: Annotated[str, typer.Option(help="On what grounds.")],
    json: AsJson = False,
) -> None:
    """Say that an organisation is what it says."""
    _verification(context, org, "verified", reason)


def org_refuse(
    context: typer.Context,
    org: str,
    reason: Annotated[str, typer.Option(help="Why; it is shown to its people.")],
    json: AsJson = False,
) -> None:
    """Refuse an organisation: its people hold nothing that needs acceptance."""
    _verification(context, org, "refused", reason)


def _verification(context: typer.Context, org: str, state: str, reason: str) -> None:
    path = f"{ROOT}/organisations/{quote(org, safe='')}/verification"
    changed = connection(context).transport.post(path, {"state": state, "reason": reason}, repeatable=True)
    terminal_of(context).result(changed, [f"{changed.get('name', org)}: {state}."])


def org_list(context: typer.Context, json: AsJson = False) -> None:
    """List organisations."""
    _list(context, "organisations", {}, ["id", "slug", "name", "category", "state", "verified"])


def org_revoke(context: typer.Context, org: str, json: AsJson = False) -> None:
    """Suspend an organisation: none of its keys works any more."""
    _set_state(context, "organisations", org, "suspended", "Suspended")


def org_activate(context: typer.Context, org: str, json: AsJson = False) -> None:
    """Let an organisation back in that was suspended: its keys work again."""
    _set_state(context, "organisations", org, "active", "Activated")


def person_create(
    context: typer.Context,
    name: str,
    org: Organisation,
    email: Annotated[str | None, typer.Option()] = None,
    role: Annotated[str, typer.Option(help="representative, referent or member.")] = "member",
    service: Annotated[bool, typer.Option("--service", help="An account for machines, such as CI.")] = False,
    json: AsJson = False,
) -> None:
    """Make a person, or an account for machines, of an organisation."""
    body = {"name": name, "organisation": org, "email": email, "role": role}
    _create(context, "people", body | {"kind": "service" if service else None})


def person_list(context: typer.Context, org: AnyOrganisation = None, json: AsJson = False) -> None:
    """List people."""
    _list(context, "people", {"organisation": org}, ["id", "name", "organisation", "kind", "role", "state"])


def person_activate(
    context: typer.Context,
    person: str,
    purpose: Annotated[str | None, typer.Option(help="Declared purpose of what they do signed in.")] = None,
    json: AsJson = False,
) -> None:
    """Let in a person who waits for it, or who was suspended."""
    body = {"state": "active"} | ({"purpose": purpose} if purpose else {})
    path = f"{ROOT}/people/{quote(person, safe='')}"
    changed = connection(context).transport.send("PATCH", path, json=body, repeatable=True).json()
    terminal_of(context).result(changed, [f"Activated: {changed.get('name', person)}."])


def person_erase(context: typer.Context, person: str, json: AsJson = False) -> None:
    """Forget who a person is; keys and logins stop at once, what they did stays without a name."""
    connection(context).transport.send("DELETE", f"{ROOT}/people/{quote(person, safe='')}")
    terminal_of(context).result({"erased": person}, [f"Erased: {person}."])


def person_revoke(context: typer.Context, person: str, json: AsJson = False) -> None:
    """Suspend a person: none of their keys works any more."""
    _set_state(context, "people", person, "suspended", "Suspended")


def key_create(
    context: typer.Context,
    person: Annotated[str | None, typer.Option(help="Id of the person.")] = None,
    service: Annotated[str | None, typer.Option(help="Name of a service account, instead of a person.")] = None,
    purpose: Annotated[
        str, typer.Option(help="commercial, research, public_service, education or undeclared.")
    ] = "undeclared",
    scope: Annotated[list[str] | None, typer.Option(help="For instance jobs:submit; repeatable.")] = None,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "made by an administrator",
    days: Annotated[int | None, typer.Option(help="How long it lives; for ever by default.", min=1)] = None,
    project: Annotated[str | None, typer.Option(help="What its use is counted under.")] = None,
    json: AsJson = False,
) -> None:
    """Make an API key. It is shown once, and never again."""
    expires = None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    body = {"person": person, "service": service, "name": name, "purpose": purpose, "scopes": scope or []}
    made = _create(context, "keys", body | {"expires": expires, "project": project})
    terminal_of(context).say(f"Keep the key of {made.get('id')} now: it cannot be shown again.")


def key_list(context: typer.Context, org: AnyOrganisation = None, json: AsJson = False) -> None:
    """List keys, without their secrets."""
    columns = ["id", "name", "person_name", "service", "purpose", "scopes", "expires", "revoked"]
    _list(context, "keys", {"organisation": org}, columns)


def key_revoke(context: typer.Context, key: str, json: AsJson = False) -> None:
    """End a key, at once."""
    _revoke(context, "keys", key.split(".")[0])


def grant_create(
    context: typer.Context,
    licence: str,
    org: Organisation,
    evidence: Annotated[str, typer.Option(help="Where the signed paper is.")] = "recorded by an administrator",
    purpose: Annotated[str | None, typer.Option(help="The purpose that was agreed.")] = None,
    json: AsJson = False,
) -> None:
    """Record that an organisation has accepted a licence on paper."""
    body = {"licence": licence, "organisation": org, "evidence": evidence, "purpose": purpose}
    _create(context, "acceptances", body)


def grant_list(context: typer.Context, org: AnyOrganisation = None, json: AsJson = False) -> None:
    """What an organisation has accepted and withdrawn, newest first; your own by default."""
    _list(context, "acceptances", {"organisation": org}, ["licence", "version", "action", "on_behalf", "purpose", "at"])


def grant_revoke(context: typer.Context, licence: str, org: Organisation, json: AsJson = False) -> None:
    """Withdraw an organisation's acceptance; it takes effect at once."""
    _revoke(context, f"acceptances/{quote(org, safe='')}", licence)


def credits_create(
    context: typer.Context,
    amount: Annotated[str, typer.Argument(help="Credits to add; below zero takes back.")],
    org: Organisation,
    reason: Annotated[str, typer.Option(help="Why, for the ledger.")],
    idempotency_key: Annotated[str | None, typer.Option(help="The same key again adds nothing.")] = None,
    json: AsJson = False,
) -> None:
    """Add credits to an organisation's account."""
    body = {"organisation": org, "amount": amount, "reason": reason}
    # the key keeps a request whose answer was lost from adding twice
    _create(context, "credits", body | {"idempotency_key": idempotency_key or str(uuid.uuid4())}, repeatable=True)


def credits_list(context: typer.Context, org: AnyOrganisation = None, json: AsJson = False) -> None:
    """Accounts: what is available, reserved and settled."""
    transport = connection(context).transport
    names = [org] if org else [str(x["id"]) for x in transport.get(f"{ROOT}/organisations")["organisations"]]
    found = [transport.get(f"{ROOT}/organisations/{quote(name, safe='')}") for name in names]
    rows = [{"organisation": x["slug"], **x["balance"]} for x in found]
    terminal_of(context).table({"credits": rows}, rows, ["organisation", "available", "reserved", "settled"])


def _create(context: typer.Context, what: str, body: dict[str, Any], repeatable: bool = False) -> JsonObject:
    given = {name: value for name, value in body.items() if value is not None}
    made: JsonObject = connection(context).transport.post(f"{ROOT}/{what}", given, repeatable=repeatable)
    terminal_of(context).result(made, [f"{name}: {value}" for name, value in made.items() if value is not None])
    return made


def _list(context: typer.Context, what: str, filters: dict[str, str | None], columns: list[str]) -> None:
    params = {name: value for name, value in filters.items() if value is not None}
    found = connection(context).transport.get(f"{ROOT}/{what}", params=params)
    terminal_of(context).table(found, found[what], columns)


def _set_state(context: typer.Context, what: str, name: str, state: str, told: str) -> None:
    path = f"{ROOT}/{what}/{quote(name, safe='')}"
    changed = connection(context).transport.send("PATCH", path, json={"state": state}, repeatable=True).json()
    terminal_of(context).result(changed, [f"{told}: {changed.get('name', name)}."])


def _revoke(context: typer.Context, what: str, name: str) -> None:
    connection(context).transport.send("DELETE", f"{ROOT}/{what}/{quote(name, safe='')}")
    terminal_of(context).result({"revoked": name}, [f"Revoked: {name}."])
