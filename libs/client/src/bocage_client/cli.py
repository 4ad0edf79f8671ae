"""The command `bocage`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from bocage_client import (
    cli_account,
    cli_admin,
    cli_deposits,
    cli_harvest,
    cli_ingest,
    cli_jobs,
    cli_keys,
    cli_licences,
    cli_quotas,
    cli_signing,
    cli_transfer,
)
from bocage_client.errors import BocageError, Exit, JobEnded, UsageError
from bocage_client.reporting import Terminal

HELP = """Bocage: find, process and look at land-surface data.

The address and the key come from BOCAGE_URL and BOCAGE_API_KEY, else from `bocage login`.

Exit codes: 0 done; 1 the input or the job is at fault; 2 usage; 3 not allowed (key, licence, purpose); 4 quota, credits
or budget; 5 platform at fault or unreachable: try again; 6 --timeout passed; 7 dismissed; 130 interrupted.
"""


def make_app(help_for_nothing: bool = True) -> typer.Typer:
    """`help_for_nothing`: an incomplete line shows the help, besides being an error."""
    app = typer.Typer(
        name="bocage", help=HELP, no_args_is_help=help_for_nothing, add_completion=False, pretty_exceptions_enable=False
    )

    @app.callback()
    def root(
        context: typer.Context,
        url: Annotated[str | None, typer.Option(help="Address of the platform, instead of BOCAGE_URL.")] = None,
        json: Annotated[
            bool, typer.Option("--json", help="One JSON document on stdout, anywhere on the line.")
        ] = False,
    ) -> None:
        context.obj.url = url

    cli_account.register(app)
    cli_keys.register(app)
    cli_licences.register(app)
    cli_jobs.register(app)
    cli_ingest.register(app)
    cli_transfer.register(app)
    cli_harvest.register(app)
    cli_signing.register(app)
    cli_quotas.register(app)
    app.add_typer(cli_deposits.make_app(help_for_nothing), name="deposit", help="From a draft to a citable record.")
    app.add_typer(
        cli_admin.make_app(help_for_nothing),
        name="admin",
        help="Organisations, people, keys, licences, credits, limits, recalls, registers, audit, deposits, fixity.",
    )
    return app


def run(arguments: Sequence[str]) -> int:
    """The exit code."""
    own = list(arguments)
    if "--" in own:
        own = own[: own.index("--")]
    as_json = "--json" in own
    # one switch for the whole line, wherever it stands: it must hold for usage errors too
    rest = [x for x in own if x != "--json"] + list(arguments)[len(own) :]
    with Terminal(as_json) as terminal:
        try:
            code = make_app(not as_json)(rest, prog_name="bocage", obj=terminal, standalone_mode=False)
        except BocageError as error:
            return _failed(terminal, error)
        except TyperException as error:
            return _failed(terminal, UsageError(error.format_message() or "Nothing to do: see bocage --help."))
        except (KeyboardInterrupt, Abort):
            return _failed(terminal, BocageError(Exit.INTERRUPTED, "interrupted", "Interrupted."))
        except BrokenPipeError:
            # whoever read our output has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.PLATFORM
        except OSError as error:
            named = f"{error.filename}: " if error.filename else ""
            return _failed(terminal, UsageError(f"{named}{error.strerror or error}", "file"))
    # typer answers --help and an empty line with a code of its own
    return code if isinstance(code, int) else Exit.SUCCESS


def main() -> None:
    sys.exit(int(run(sys.argv[1:])))


def _failed(terminal: Terminal, error: BocageError) -> int:
    terminal.stop_bars()
    terminal.say(f"bocage: {error.detail}")
    for term in error.problem.get("required_terms") or ():
        if isinstance(term, dict):
            where = term["accept_url"] if term.get("acceptance_mends") else term.get("url") or ""
            terminal.say(
                f"  {term.get('licence')} {term.get('version', '')}: {term.get('reason', '')} {where}".rstrip()
            )
    if terminal.as_json:
        document = error.document if isinstance(error, JobEnded) and error.document else error.problem
        terminal.document(document)
    return int(error.exit_code)
