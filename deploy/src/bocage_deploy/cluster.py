"""The embedded PostgreSQL: a private cluster in the state folder, from the distribution's packages.

It never runs as root, opens no TCP port, and asks every role for its password, on the unix socket too.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bocage_deploy.home import Home, HomeError

SUPERUSER = "bocage_superuser"
MINIMUM_VERSION = 15


_MIB = 2**20
_LIMITS_OF_MEMORY = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class PostgresMissing(Exception):
    """No PostgreSQL with PostGIS on this machine; the message says what to install."""


def find_programs() -> Path:
    """The folder of `initdb` and `postgres`, of the newest version that has PostGIS. Raises PostgresMissing."""
    found: list[tuple[int, Path]] = []
    for folder in Path("/usr/lib/postgresql").glob("*/bin"):
        version = folder.parent.name
        extensions = Path("/usr/share/postgresql") / version / "extension"
        complete = (folder / "initdb").exists() and (extensions / "postgis.control").exists()
        if complete and version.isdigit() and int(version) >= MINIMUM_VERSION:
            found.append((int(version), folder))
    if found:
        return max(found)[1]
    if configured := shutil.which("pg_config"):
        answer = subprocess.run([configured, "--bindir", "--sharedir", "--version"], capture_output=True, text=True)
        lines = answer.stdout.splitlines()
        if len(lines) == 3 and (Path(lines[1]) / "extension" / "postgis.control").exists():
            major = re.search(r"(\d+)", lines[2])
            if major and int(major[1]) >= MINIMUM_VERSION and (Path(lines[0]) / "initdb").exists():
                return Path(lines[0])
    raise PostgresMissing(
        f"PostgreSQL {MINIMUM_VERSION} or newer with PostGIS is needed. Install it with\n"
        "    sudo apt-get install --no-install-recommends postgresql-15 postgresql-15-postgis-3\n"
        "(any version from 15 on will do), or point DATABASE_URL at a database that has PostGIS."
    )


def install_programs() -> Path:
    """`find_programs`, after an installation from the distribution's packages where this user may install."""
    try:
        return find_programs()
    except PostgresMissing:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    base = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=900"]
    subprocess.run([*base, "update"], check=True, env=quiet)
    listed = subprocess.run(
        ["apt-cache", "search", "--names-only", r"^postgresql-[0-9]+-postgis-3$"], capture_output=True, text=True
    ).stdout
    versions = [int(v) for v in re.findall(r"postgresql-(\d+)-postgis-3\b", listed) if int(v) >= MINIMUM_VERSION]
    if not versions:
        raise PostgresMissing("This distribution has no PostgreSQL 15 or newer with PostGIS; set DATABASE_URL.")
    version = max(versions)
    packages = [f"postgresql-{version}", f"postgresql-{version}-postgis-3"]
    # The package would start a cluster of its own; ours is private.
    subprocess.run([*base, "install", "-y", "--no-install-recommends", *packages], check=True, env=quiet)
    return find_programs()


def memory() -> int:
    """Bytes of memory that this machine has, or its container may use."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _LIMITS_OF_MEMORY:
        try:
            found = min(found, int(Path(name).read_text()))
        except (OSError, ValueError):
            continue  # no such limit, or "max"
    return found


def of_memory(size: int) -> dict[str, str]:
    """PostgreSQL's shares of `size` bytes, which it has together with the services, and jobs at times."""

    def share(part: int, least: int, most: int) -> str:
        return f"{min(max(size // part // _MIB, least), most)}MB"

    return {
        "shared_buffers": share(8, 128, 8192),
        "effective_cache_size": share(2, 512, 262_144),
        "work_mem": share(512, 8, 64),
        "maintenance_work_mem": share(32, 64, 1024),
    }


@dataclass(frozen=True)
class Cluster:
    """A cluster below `home.cluster`, run as `user` when the platform runs as root."""

    home: Home
    programs: Path

    @property
    def data(self) -> Path:
        return self.home.cluster / "data"

    @property
    def sockets(self) -> Path:
        return self.home.cluster / "run"

    @property
    def user(self) -> str | None:
        """The account that owns the cluster when root runs the platform; else nobody special."""
        return "postgres" if os.geteuid() == 0 else None

    def make(self) -> None:
        """Create the cluster when it is not there. Idempotent; a half-made one is made anew."""
        password = self.home.secret("postgres-superuser")
        self._passfile(SUPERUSER, password)
        if (self.data / "bocage-ready").exists():
            self._check_version()
            return
        shutil.rmtree(self.data, ignore_errors=True)
        for folder, mode in ((self.data, 0o700), (self.sockets, 0o711)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)
            if self.user:
                shutil.chown(folder, self.user)
        descriptor, name = tempfile.mkstemp(dir=self.home.cluster)
        try:
            with os.fdopen(descriptor, "w") as handle:
                handle.write(password)
            if self.user:
                shutil.chown(name, self.user)
            self._run(
                [
                    str(self.programs / "initdb"), "-D", str(self.data), "-U", SUPERUSER, f"--pwfile={name}",
                    "--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--lc-collate=C", "--no-instructions",
                ]
            )  # fmt: skip
        finally:
            Path(name).unlink()
        ready = self.data / "bocage-ready"
        ready.touch()
        if self.user:
            shutil.chown(ready, self.user)

    def command(self) -> list[str]:
        """The server in the foreground; whoever starts it as root must switch to `user`."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "max_connections": "120",
            **of_memory(memory()),
            "jit": "off",
            # Solid-state disks: a page anywhere costs as much as the next one, and many may be asked for at once.
            "random_page_cost": "1.1",
            "effective_io_concurrency": "200",
            # No more: what is written between two checkpoints is read again after a kill, before anybody is served.
            "max_wal_size": "2GB",
            "wal_compression": self._wal_compression(),
            # pgSTAC has a table for each collection, and deletes lock them all.
            "max_locks_per_transaction": "256",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Nearly every connection uses it: loaded once, it need not be linked by each.
            "shared_preload_libraries": "postgis-3",
            "logging_collector": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.data), *options]

    def _wal_compression(self) -> str:
        """What takes least, of what the server knows: after each checkpoint, a load writes whole pages to its log."""
        asked = ["-C", "wal_compression", "-D", str(self.data), "-c", "wal_compression=lz4"]
        done = subprocess.run([str(self.programs / "postgres"), *asked], capture_output=True)
        return "lz4" if done.returncode == 0 else "on"

    def url(self, database: str = "postgres", role: str = SUPERUSER) -> str:
        """A libpq URL; the password is in a file that only this user may read."""
        return f"postgresql://{role}@/{database}?host={self.sockets}&passfile={self._passfile_path(role)}"

    def set_passfile(self, role: str) -> str:
        """Make sure that `role` has a password in its passfile, and return the password."""
        password = self.home.secret(f"{role}.password")
        self._passfile(role, password)
        return password

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server as a child of this process and wait until it answers."""
        log = (self.home.logs / "postgres.log").open("ab")
        with log:
            process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, user=self.user,
                group=self._group(), extra_groups=[] if self.user else None, start_new_session=True,
                cwd=self.home.cluster,
            )  # fmt: skip
        self.wait_until_ready(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGINT)  # fast: ends sessions, loses nothing
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(10)

    def wait_until_ready(self, process: subprocess.Popen[bytes] | None = None, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=3).close()
                return
            except psycopg.OperationalError as error:
                if process is not None and process.poll() is not None:
                    raise HomeError(f"PostgreSQL ended at once; see {self.home.logs / 'postgres.log'}") from error
                if time.monotonic() > deadline:
                    raise HomeError(f"PostgreSQL does not answer; see {self.home.logs / 'postgres.log'}") from error
                time.sleep(0.1)

    def _passfile_path(self, role: str) -> Path:
        return self.home.secrets / f"{role}.pgpass"

    def _passfile(self, role: str, password: str) -> None:
        self.home.secret(f"{role}.pgpass", f"*:*:*:{role}:{password}\n")

    def _group(self) -> int | None:
        return pwd.getpwnam(self.user).pw_gid if self.user else None

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command, capture_output=True, text=True, user=self.user, group=self._group(),
            extra_groups=[] if self.user else None, cwd=self.home.cluster,
        )  # fmt: skip
        if done.returncode:
            raise HomeError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-500:]}")

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip() if os.access(self.data, os.R_OK) else None
        ours = self.programs.parent.name
        if made_by and ours.isdigit() and made_by != ours:
            raise HomeError(
                f"The database was made by PostgreSQL {made_by}, this machine runs {ours}. "
                f"Install postgresql-{made_by} and postgresql-{made_by}-postgis-3, or move {self.data} away."
            )
