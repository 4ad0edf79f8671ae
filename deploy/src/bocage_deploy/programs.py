"""What the platform runs: each program, its command and environment, and the supervisor's configuration for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bocage_deploy.cluster import Cluster
from bocage_deploy.home import Home

SERVICES = ("rights", "catalogue", "processing", "tiles")
_OURS = frozenset({"BOCAGE_HOME", "BOCAGE_DATABASE", "BOCAGE_URL", "BOCAGE_ENGINES"})


@dataclass(frozen=True)
class Program:
    """One child of the supervisor."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    priority: int = 100
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    autostart: bool = False


def programs(
    home: Home, cluster: Cluster | None, urls: Mapping[str, str], cars: Path | None, environment: Mapping[str, str]
) -> list[Program]:
    """Every program in the order of its start. `urls` holds each service's database URL, without a secret."""
    shared = {name: value for name, value in environment.items() if _is_setting(name)}
    shared |= {"BOCAGE_HOME": str(home.root), "PATH": environment.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"}
    made: list[Program] = []
    if cluster is not None:
        made.append(
            Program(
                "postgres", tuple(cluster.command()), {"LANG": "C.UTF-8"}, cluster.user,
                priority=1, stop_signal="INT", stop_seconds=60, autostart=True,
            )
        )  # fmt: skip
    engines = {"BOCAGE_ENGINE_CARS": str(cars)} if cars else {}
    for service in SERVICES:
        own = {"BOCAGE_DATABASE": urls[service]} | (engines if service == "processing" else {})
        made.append(Program(service, (sys.executable, "-m", f"bocage_{service}"), shared | own))
    worker = {"BOCAGE_DATABASE": urls["processing"]} | engines
    made.append(
        Program("dispatcher", (sys.executable, "-m", "bocage_processing.dispatcher"), shared | worker, priority=110)
    )
    made.append(Program("gateway", (sys.executable, "-m", "bocage_gateway"), shared, priority=120))
    return made


def _is_setting(name: str) -> bool:
    """What the operator set for the services; never a key, which a shell that sourced the demonstration's file has."""
    return name.startswith("BOCAGE_") and not name.endswith("_KEY") and name not in _OURS


def _escaped(value: str) -> str:
    return value.replace("%", "%%")


def _quoted(value: str) -> str:
    return '"' + _escaped(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def supervisor_configuration(home: Home, listed: Iterable[Program]) -> str:
    """The configuration file of supervisord, in the foreground, restarting whatever ends."""
    lines = [
        "[supervisord]",
        "nodaemon=true",
        f"logfile={_escaped(str(home.logs / 'supervisor.log'))}",
        "logfile_maxbytes=5MB",
        "logfile_backups=1",
        f"pidfile={_escaped(str(home.root / 'supervisor.pid'))}",
        f"childlogdir={_escaped(str(home.logs))}",
        "umask=077",
        *(["user=root"] if os.geteuid() == 0 else []),
        "[unix_http_server]",
        f"file={_escaped(str(home.sockets / 'supervisor.sock'))}",
        "chmod=0700",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for program in listed:
        # The kernel ends the child when the supervisor is killed: nothing stays behind holding sockets or the database.
        command = ["setpriv", "--pdeathsig", program.stop_signal, "--", *program.command]
        lines += [
            f"[program:{program.name}]",
            "command=" + " ".join(_quoted(part) for part in command),
            "environment=" + ",".join(f"{k}={_quoted(v)}" for k, v in program.environment.items()),
            f"directory={_escaped(str(home.cluster if program.user else home.root))}",
            f"priority={program.priority}",
            f"autostart={'true' if program.autostart else 'false'}",
            "autorestart=true",
            "startsecs=1",
            "startretries=1000000",
            f"stopsignal={program.stop_signal}",
            f"stopwaitsecs={program.stop_seconds}",
            "redirect_stderr=true",
            f"stdout_logfile={_escaped(str(home.logs / (program.name + '.log')))}",
            "stdout_logfile_maxbytes=20MB",
            "stdout_logfile_backups=2",
            *([f"user={program.user}"] if program.user else []),
        ]
    return "\n".join(lines) + "\n"
