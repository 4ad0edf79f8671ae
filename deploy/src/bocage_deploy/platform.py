"""A platform on one machine: made, started, asked for its health, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xmlrpc.client import Fault, ServerProxy

import httpx
from supervisor.xmlrpc import SupervisorTransport

from bocage_deploy import database, engine, programs
from bocage_deploy.cluster import Cluster, install_programs
from bocage_deploy.home import Home, HomeError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Accounts:
    """Keys of the demonstration, as `.bocage/demo.env` holds them."""

    url: str
    researcher: str
    company: str
    admin: str


@dataclass(frozen=True)
class Platform:
    """`environment` holds BOCAGE_* and DATABASE_URL as the operator set them."""

    home: Home
    environment: Mapping[str, str]
    say: Say

    @property
    def url(self) -> str:
        host = self.environment.get("BOCAGE_HOST", "127.0.0.1")
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
        return f"http://{shown}:{self.environment.get('BOCAGE_PORT', '8000')}"

    @property
    def database_name(self) -> str:
        """The database that DATABASE_URL names, else our own."""
        return unquote(urlsplit(self.environment.get("DATABASE_URL", "")).path.lstrip("/")) or database.DATABASE

    @property
    def address_file(self) -> Path:
        """Where the platform that runs serves, whatever this process was told."""
        return self.home.root / "address"

    @property
    def pid_file(self) -> Path:
        return self.home.root / "supervisor.pid"

    def start(self, *, with_parent: bool = False, with_engine: bool = True) -> None:
        """Bring the platform up and return when every service answers. Idempotent: a running platform is left alone."""
        if self.running():
            self.say("Bocage is up already.")
            self.wait_until_healthy(60)
            return
        self.home.make()
        cars = self._engine() if with_engine else None
        cluster = self._cluster()
        access = self._access(cluster)
        urls = {service: access.service(service, self.database_name) for service in database.SERVICES}
        listed = programs.programs(self.home, cluster, urls, cars, self.environment)
        configuration = self.home.root / "supervisord.conf"
        configuration.write_text(programs.supervisor_configuration(self.home, listed))
        self.address_file.write_text(self.url)
        self._start_supervisor(with_parent)
        try:
            if cluster is not None:
                cluster.wait_until_ready()
            self.say("Preparing the database …")
            database.provision(access, self.database_name)
            self._rights_command()
            self.say("Starting the services …")
            for program in listed:
                if not program.autostart:
                    self._supervisor_call("startProcess", program.name, False)
            self.wait_until_healthy(120)
        except BaseException:
            self.stop()
            raise

    def stop(self, seconds: float = 120.0) -> bool:
        """Stop everything, in the reverse order of the start. False when nothing ran."""
        pid = self._supervisor_pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self._supervisor_pid() is not None:
            if time.monotonic() > deadline:
                raise HomeError(f"The supervisor (process {pid}) did not end within {seconds:.0f} s.")
            time.sleep(0.1)
        return True

    def running(self) -> bool:
        return self._supervisor_pid() is not None

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether all services answer, and what each says."""
        try:
            answer = httpx.get(f"{self.url}/healthz", timeout=5)
            return answer.status_code == 200, answer.json()
        except (httpx.HTTPError, json.JSONDecodeError):
            return False, {}

    def check_address(self) -> None:
        """Raises HomeError when the platform of this home serves at another port than this process was told."""
        served = self.address_file.read_text() if self.running() and self.address_file.exists() else self.url
        if urlsplit(served).port != urlsplit(self.url).port:  # a host has several names
            raise HomeError(
                f"The platform of {self.home.root} serves at {served}, not at {self.url}: set BOCAGE_HOST and "
                "BOCAGE_PORT as they were when it was started, or start it again as they are now (make down, make up)."
            )

    def wait_until_healthy(self, seconds: float) -> None:
        """Raises HomeError when it is not in time, or never will be."""
        self.check_address()
        deadline = time.monotonic() + seconds
        while True:
            well, state = self.health()
            if well:
                return
            if time.monotonic() > deadline:
                raise HomeError(f"Not every service came up; see {self.home.logs}. Last state: {json.dumps(state)}")
            if not self.running():
                raise HomeError(f"The supervisor ended; see {self.home.logs / 'supervisor.log'}")
            time.sleep(0.2)

    def demonstration_accounts(self) -> Accounts:
        """Make the demonstration's accounts, with new keys; the former ones are revoked."""
        keys = self._rights_command("--demonstration")
        return Accounts(self.url, keys["researcher"], keys["company"], keys["admin"])

    def _rights_command(self, *arguments: str) -> dict[str, str]:
        """Run rights' bootstrap; keys come back in a private file, never in an argument list or on a terminal."""
        output = self.home.secrets / f"bootstrap-{os.getpid()}.json"
        access = self._access(self._cluster(install=False))
        done = subprocess.run(
            [sys.executable, "-m", "bocage_rights.bootstrap", *arguments, "--output", str(output)],
            env={
                "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                "BOCAGE_HOME": str(self.home.root),
                "BOCAGE_DATABASE": access.service("rights", self.database_name),
            },
            capture_output=True,
            text=True,
        )
        try:
            if done.returncode:
                raise HomeError(f"The accounts could not be made: {done.stderr.strip()[-600:]}")
            return dict(json.loads(output.read_text())) if output.exists() else {}
        finally:
            output.unlink(missing_ok=True)

    def _engine(self) -> Path:
        if not (engine.cars_folder(self.environment) / "bocage-complete").exists():
            self.say("Installing the stereo engine in its own environment (once, about 1.6 GB) …")
        return engine.ensure_cars(self.environment)

    def _cluster(self, install: bool = True) -> Cluster | None:
        if self.environment.get("DATABASE_URL"):
            return None
        cluster = Cluster(self.home, install_programs())
        if install:
            cluster.make()
        return cluster

    def _access(self, cluster: Cluster | None) -> database.Access:
        if cluster is not None:
            passwords = {s: cluster.set_passfile(database.role_of(s)) for s in database.SERVICES}
            return database.Access(cluster.url, lambda s, d: cluster.url(d, database.role_of(s)), passwords)
        given = self.environment["DATABASE_URL"]
        passwords = {s: self.home.secret(f"{database.role_of(s)}.password") for s in database.SERVICES}
        passfiles = {}
        for service, password in passwords.items():
            role = database.role_of(service)
            self.home.secret(f"{role}.pgpass", f"*:*:*:{role}:{password}\n")
            passfiles[service] = str(self.home.secrets / f"{role}.pgpass")

        def admin(wanted: str) -> str:
            return given if wanted == "postgres" else urlsplit(given)._replace(path=f"/{wanted}").geturl()

        def service_url(service: str, wanted: str) -> str:
            return database.service_url(given, database.role_of(service), wanted, passfiles[service])

        return database.Access(admin, service_url, passwords)

    def _start_supervisor(self, with_parent: bool) -> None:
        options = ["--with-parent"] if with_parent else []
        log = (self.home.logs / "supervisor-console.log").open("wb")
        with log:
            started = subprocess.Popen(
                [sys.executable, "-m", "bocage_deploy.supervise", str(self.home.root), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.home.root,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if started.poll() is not None:
                raise HomeError((self.home.logs / "supervisor-console.log").read_text().strip()[-600:])
            try:
                self._supervisor_call("getState")
                return
            except OSError:
                time.sleep(0.05)
        raise HomeError(f"The supervisor does not answer; see {self.home.logs / 'supervisor.log'}")

    def _supervisor_call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self.home.sockets / 'supervisor.sock'}")
        proxy = ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except Fault as fault:
            if "ALREADY_STARTED" in fault.faultString:
                return True
            raise HomeError(f"The supervisor refuses {method}: {fault.faultString}") from fault

    def _supervisor_pid(self) -> int | None:
        """The supervisor's process, when it is ours and alive: the file may outlive it and its number be another's."""
        try:
            pid = int(self.pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if b"bocage_deploy.supervise" in command and str(self.home.root).encode() in command else None
