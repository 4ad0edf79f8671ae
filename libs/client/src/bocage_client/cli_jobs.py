"""Processes and jobs: processes, quote, submit, jobs, watch, results, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bocage_client.cli_context import AsJson, connection, terminal_of
from bocage_client.errors import BocageError, Exit, JobEnded, JsonObject, UsageError
from bocage_client.inputs import parse_inputs, read_json, schemas_of
from bocage_client.reporting import Terminal

if TYPE_CHECKING:
    from bocage_client.client import Client
    from bocage_client.jobs import Job

Assignments = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input; lists with commas; @file reads JSON."),
]
InputsFile = Annotated[Path | None, typer.Option("--inputs", help="JSON file with the inputs object.")]
Timeout = Annotated[float | None, typer.Option(help="Seconds to wait for the end (exit 6 when they pass).", min=0)]


def register(app: typer.Typer) -> None:
    for command in (processes, quote, submit, jobs, watch, results, cancel):
        app.command()(command)


def processes(
    context: typer.Context,
    process: Annotated[str | None, typer.Argument(help="Describe this one.")] = None,
    json: AsJson = False,
) -> None:
    """List the processes, or describe one."""
    client, terminal = connection(context), terminal_of(context)
    if process is None:
        found = client.processes()
        terminal.table({"processes": found}, found, ["id", "version", "title"])
        return
    described = client.process(process)
    terminal.result(described, _description(described))


def _description(described: JsonObject) -> list[str]:
    lines = [f"{described.get('id')} {described.get('version')}: {described.get('title')}"]
    if described.get("description"):
        lines.append(str(described["description"]))
    for kind in ("inputs", "outputs"):
        lines.append(f"\n{kind}:")
        for name, value in (described.get(kind) or {}).items():
            wanted = " (required)" if kind == "inputs" and value.get("minOccurs", 1) else ""
            lines.append(f"  {name}{wanted}: {value.get('title') or value.get('description') or ''}".rstrip())
    return lines


def quote(
    context: typer.Context,
    process: str,
    inputs: Assignments = None,
    inputs_file: InputsFile = None,
    json: AsJson = False,
) -> None:
    """What a job would cost at most; nothing runs and nothing is charged."""
    client = connection(context)
    found = client.quote(process, _inputs(client, process, inputs, inputs_file))
    plain = [f"{name}: {value}" for name, value in found.items() if not isinstance(value, dict | list)]
    prices = [_price(line) for line in found.get("prices") or ()]
    terminal_of(context).result(found, [*plain, *prices, *(f"warning: {x}" for x in found.get("warnings") or ())])


def _price(line: JsonObject) -> str:
    """One line of a quote; what the price was made for in particular stands behind it."""
    particular = [str(line[name]) for name in ("process", "collection", "category") if line.get(name)]
    return f"price: {line.get('quantity')} {line.get('unit')} at {line.get('price')} ({', '.join(particular) or 'all'})"


def submit(
    context: typer.Context,
    process: str,
    inputs: Assignments = None,
    inputs_file: InputsFile = None,
    audience: Annotated[str | None, typer.Option(help="Who sees the result: owner, organisation or public.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until the job has ended.")] = False,
    timeout: Timeout = None,
    budget: Annotated[str | None, typer.Option(help="Credits; a dearer job is refused before it starts.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key and inputs again are the same job.")] = None,
    json: AsJson = False,
) -> None:
    """Start a job."""
    client, terminal = connection(context), terminal_of(context)
    if budget is not None:
        _check_budget(budget)
    values = _inputs(client, process, inputs, inputs_file)
    job = client.submit(process, values, audience=audience, budget=budget, idempotency_key=idempotency_key)
    if wait or timeout is not None:
        _wait(terminal, job, timeout)
        return
    terminal.result(job.document, [f"Job {job.id} is {job.status}. Follow it: bocage watch {job.id}"])


def jobs(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="accepted, running, successful, failed or dismissed.")] = None,
    process: Annotated[str | None, typer.Option(help="Of this process.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    json: AsJson = False,
) -> None:
    """Your jobs, newest first."""
    found = list(connection(context).jobs(status, process, limit))
    columns = ["jobID", "processID", "status", "progress", "created", "message"]
    terminal_of(context).table({"jobs": found}, found, columns)


def watch(context: typer.Context, job: str, timeout: Timeout = None, json: AsJson = False) -> None:
    """Follow a job until it ends; the exit code tells how."""
    _wait(terminal_of(context), connection(context).job(job), timeout)


def results(
    context: typer.Context,
    job: str,
    download: Annotated[Path | None, typer.Option(help="Save the files in this folder.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this output; repeatable.")] = None,
    json: AsJson = False,
) -> None:
    """What a job made: values and links, or the files themselves."""
    client, terminal = connection(context), terminal_of(context)
    followed = client.job(job)
    if not followed.ended:
        raise UsageError(f"The job is {followed.status}: bocage watch {job}", "result-not-ready")
    found = followed.results()
    if unknown := set(only or ()) - set(found):
        raise UsageError(f"The job has no output {', '.join(sorted(unknown))}; it has {', '.join(found)}.", "no-output")
    chosen = {name: found[name] for name in only or found}
    if download is None:
        documents = {name: result.document for name, result in chosen.items()}
        terminal.result(documents, [f"{name}: {result.href or result.value}" for name, result in chosen.items()])
        return
    files = {name: str(result.download(download, terminal.downloads(name))) for name, result in chosen.items()}
    terminal.result({"files": files}, list(files.values()))


def cancel(context: typer.Context, job: str, json: AsJson = False) -> None:
    """Stop a job. What it had reserved is given back."""
    cancelled = connection(context).job(job).cancel()
    terminal_of(context).result(cancelled.document, [f"Job {job} is {cancelled.status}."])


def _wait(terminal: Terminal, job: Job, timeout: float | None) -> None:
    terminal.job(job.document)
    try:
        job.wait(timeout, terminal.job)
    except KeyboardInterrupt as error:
        detail = f"The job {job.id} goes on. Follow it: bocage watch {job.id}. Stop it: bocage cancel {job.id}."
        raise JobEnded(Exit.INTERRUPTED, "interrupted", detail, job.document) from error
    except JobEnded:
        raise
    except BocageError as error:
        detail = f"{error.detail} The job {job.id} goes on: bocage watch {job.id}"
        raise BocageError(error.exit_code, error.code, detail, status=error.status) from error
    if "results" in job.document and not job.id:
        terminal.result(job.document)
        return
    terminal.result(job.document, [f"Job {job.id} is {job.status}. See what it made: bocage results {job.id}"])


def _inputs(client: Client, process: str, assignments: list[str] | None, file: Path | None) -> JsonObject:
    document: Any = read_json(file) if file else {}
    if not isinstance(document, dict):
        raise UsageError(f"{file} holds no JSON object.", "bad-input")
    # both an execute request and its bare inputs are understood
    inner = document.get("inputs")
    if isinstance(inner, dict) and set(document) <= {"inputs", "outputs", "response", "audience", "budget"}:
        document = inner
    schemas = schemas_of(client.process(process)) if assignments else {}
    return parse_inputs(assignments or [], schemas, document)


def _check_budget(budget: str) -> None:
    try:
        valid = 0 <= float(budget) < float("inf")
    except ValueError:
        valid = False
    if not valid:
        raise UsageError("--budget must be a number of credits, zero or more.", "bad-budget")
