"""The operator's command: `bocage-platform`, which the Makefile calls."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from bocage_client import connect

from bocage_deploy import content, demo, engine
from bocage_deploy.cluster import PostgresMissing, install_programs
from bocage_deploy.contact_sheet import command as draw_contact_sheet
from bocage_deploy.engine import EngineMissing
from bocage_deploy.home import Home, HomeError, default_home
from bocage_deploy.platform import Accounts, Platform

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Runs Bocage on this machine.")

EnvFile = Annotated[Path, typer.Option("--env-file", help="Where the demonstration's keys are written (mode 600).")]
_DEFAULT_ENV_FILE = Path(".bocage/demo.env")


def say(text: str) -> None:
    typer.echo(text, err=True)


def _platform() -> Platform:
    return Platform(Home(default_home()), dict(os.environ), say)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Failures as one message that names the cause and the remedy."""
    try:
        yield
    except (HomeError, PostgresMissing, EngineMissing, content.ContentFailed, demo.DemoFailed) as error:
        say(f"bocage: {error}")
        raise typer.Exit(1) from error


@app.command()
def up(env_file: EnvFile = _DEFAULT_ENV_FILE) -> None:
    """Start the platform in the background, and return when it serves."""
    with _plain_errors():
        platform = _platform()
        platform.start()
        demo.write_env_file(env_file, platform.demonstration_accounts())
        say(f"Bocage serves at {platform.url} — keys of the demonstration: {env_file}. Next: make demo, make down.")


@app.command()
def down() -> None:
    """Stop the platform; running jobs are taken up again at the next start."""
    with _plain_errors():
        say("Stopped." if _platform().stop() else "Bocage was not running.")


@app.command()
def run(env_file: EnvFile = _DEFAULT_ENV_FILE) -> None:
    """Start the platform, make the demonstration's elevation model, print the links, serve until Ctrl-C."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        stop.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, on_signal)
    with _plain_errors():
        platform = _platform()
        mine = not platform.running()
        try:
            platform.start(with_parent=True)
            accounts = platform.demonstration_accounts()
            demo.write_env_file(env_file, accounts)
            _load_content(platform, accounts)
            demo.run_demo(accounts, platform.home, say)
            say("Serving until Ctrl-C.")
            while not stop.wait(1.0):
                if not platform.running():
                    raise HomeError(f"The supervisor ended; see {platform.home.logs / 'supervisor.log'}")
        except KeyboardInterrupt:
            say("\nStopping …")
        finally:
            if mine:
                platform.stop()


@app.command(name="demo")
def demonstrate(env_file: EnvFile = _DEFAULT_ENV_FILE) -> None:
    """Load the content and the demonstration's scene, and run its job, on the platform that is up."""
    with _plain_errors():
        platform, accounts = _running_platform(env_file)
        _load_content(platform, accounts)
        demo.run_demo(accounts, platform.home, say)


@app.command(name="content")
def load_content(
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="COLLECTION", help="This collection alone; may be repeated.")
    ] = None,
    env_file: EnvFile = _DEFAULT_ENV_FILE,
) -> None:
    """Load product lines, samples of them and the directory into the platform that is up; again changes nothing."""
    with _plain_errors():
        platform, accounts = _running_platform(env_file)
        _load_content(platform, accounts, only or [])


def _running_platform(env_file: Path) -> tuple[Platform, Accounts]:
    platform = _platform()
    if not platform.running():
        raise HomeError("Bocage is not running. Start it first: make up.")
    platform.wait_until_healthy(30)
    accounts = demo.read_env_file(env_file)
    if accounts is None:
        accounts = platform.demonstration_accounts()
        demo.write_env_file(env_file, accounts)
    return platform, accounts


def _load_content(platform: Platform, accounts: Accounts, only: Sequence[str] = ()) -> None:
    with connect(accounts.url, accounts.admin) as administrator:
        content.load(administrator, platform.home.root / "content", say, only)


@app.command()
def health() -> None:
    """Each service's state; exit code 1 unless all serve."""
    platform = _platform()
    with _plain_errors():
        platform.check_address()
    well, state = platform.health()
    for name, service in sorted(state.get("services", {}).items()):
        typer.echo(f"{name:12} {service if isinstance(service, str) else service.get('status')}")
    if not well:
        say("Not every service answers.")
        raise typer.Exit(1)


app.command(name="contact-sheet")(draw_contact_sheet)


@app.command()
def install() -> None:
    """Install what the platform needs besides Python packages: PostgreSQL with PostGIS, and the stereo engine."""
    with _plain_errors():
        say(f"PostgreSQL: {install_programs()}")
        typer.echo(engine.ensure_cars())
