"""For administrators: the audit chain, and the registers of what was taken."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Annotated

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of
from bocage_client.errors import BocageError, Exit

ROOT = "/rights/admin"


def audit_list(
    context: typer.Context,
    since: Annotated[str | None, typer.Option("--from", help="A time, such as 2026-01-31T00:00:00Z.")] = None,
    kind: Annotated[str | None, typer.Option(help="job, money, administration or acceptance.")] = None,
    actor: Annotated[str | None, typer.Option(help="Id of a person, or of a service.")] = None,
    after: Annotated[int, typer.Option(help="Only rows younger than this id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    json: AsJson = False,
) -> None:
    """What was decided and changed, by whom; oldest first."""
    asked = {"from": since, "kind": kind, "actor": actor}
    params: dict[str, str | int] = {name: value for name, value in asked.items() if value is not None}
    found = connection(context).transport.get(f"{ROOT}/audit", params=params | {"after": after, "limit": limit})
    terminal_of(context).table(found, found["audit"], ["id", "at", "actor", "action", "target", "seq"])


def audit_verify(
    context: typer.Context,
    head: Annotated[str | None, typer.Option(help="A head noted earlier: it must still be in the chain.")] = None,
    json: AsJson = False,
) -> None:
    """Recompute the chain of hashes; names the first row that does not fit."""
    params = {"head": head} if head else {}
    found = connection(context).transport.get(f"{ROOT}/audit/verification", params=params, patience=0)
    broken = found["broken"]
    if broken:
        where = f"seq {broken['seq']}, id {broken['id']}"
        raise BocageError(Exit.PLATFORM, "audit-broken", f"The audit chain is broken at {where}: {broken['reason']}.")
    said = f"Intact: {found['sealed']} rows sealed, {found['pending']} to be sealed."
    terminal_of(context).result(found, [said, f"Head: {found['head']}"])


def register_write(
    context: typer.Context,
    licence: str,
    output: Annotated[Path, typer.Option("-o", "--output", help="The CSV file to write.")],
    first: Annotated[str | None, typer.Option("--from", help="First day; the last 90 days by default.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, included; today by default.")] = None,
    json: AsJson = False,
) -> None:
    """Who took what under a licence, as CSV; its SHA-256 is kept in the audit chain."""
    params = {name: day for name, day in (("licence", licence), ("from", first), ("to", last)) if day is not None}
    answer = connection(context).transport.send(
        "GET", f"{ROOT}/registers", params=params, headers={"Accept": "text/csv"}
    )
    digest = hashlib.sha256(answer.content)
    if answer.headers.get("repr-digest") != f"sha-256=:{base64.b64encode(digest.digest()).decode()}:":
        raise BocageError(Exit.PLATFORM, "digest-mismatch", "The register did not arrive as it was sent; try again.")
    output.write_bytes(answer.content)
    told = {"file": str(output), "bytes": len(answer.content), "sha256": digest.hexdigest()}
    terminal_of(context).result(told, [f"Written to {output}.", f"SHA-256: {digest.hexdigest()}"])
