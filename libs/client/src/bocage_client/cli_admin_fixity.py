"""For administrators: whether what is stored is still what was stored."""

from __future__ import annotations

from typing import Annotated

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of
from bocage_client.errors import Exit


def fixity(
    context: typer.Context,
    collection: Annotated[list[str] | None, typer.Option(help="Only this collection; repeatable.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Pass over what was found well since then, as 2026-01-31T00:00:00Z.")
    ] = None,
    rate: Annotated[float, typer.Option(min=0.001, max=100_000, help="Megabytes a second at most.")] = 50,
    json: AsJson = False,
) -> None:
    """Read every stored object again: exit code 1 when one is changed, missing, unreadable, or named by no item."""
    from bocage_client.fixity import read

    terminal = terminal_of(context)
    made = read(connection(context).transport, collection, since, rate, terminal)
    outcomes = [f"{number:,} {outcome}" for outcome, number in made["outcomes"].items() if number]
    passed = f", {made['passed_over']:,} passed over" if made["passed_over"] else ""
    terminal.result(made, [f"{', '.join(outcomes) or 'Nothing is stored'}{passed}: {made['bytes'] / 1e6:.1f} MB read."])
    if made["wrong"]:
        raise typer.Exit(int(Exit.INPUT))
