"""A whole platform as the end-to-end tests use it: real processes, a real database, real HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from bocage_deploy.platform import Accounts, Platform
from bocage_processes.scene import Scene


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Running:
    """A platform that serves, and its demonstration accounts."""

    platform: Platform
    accounts: Accounts

    @property
    def url(self) -> str:
        return self.platform.url

    def client(self, key: str | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"X-API-Key": key} if key else {}, timeout=60)

    @property
    def researcher(self) -> httpx.Client:
        return self.client(self.accounts.researcher)

    @property
    def company(self) -> httpx.Client:
        return self.client(self.accounts.company)

    @property
    def admin(self) -> httpx.Client:
        return self.client(self.accounts.admin)

    @property
    def anonymous(self) -> httpx.Client:
        return self.client()

    def bocage(self, *arguments: str, key: str | None = None, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """The command as a user runs it."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.platform.home.root),
            "BOCAGE_URL": self.url,
            "BOCAGE_API_KEY": key or self.accounts.researcher,
        }
        program = Path(sys.executable).parent / "bocage"
        return subprocess.run(
            [str(program), *arguments], env=environment, capture_output=True, text=True, timeout=timeout
        )

    def ledger(self, client: httpx.Client) -> dict[str, Any]:
        """Balance and newest entries, as the account sees them."""
        answer = client.get("/rights/ledger", params={"limit": 100})
        answer.raise_for_status()
        return dict(answer.json())


COLLECTION = "demonstration-scenes"
LICENCE = "LicenseRef-Bocage-Demonstration"


@dataclass(frozen=True)
class Made:
    """The scene, its items, and the job made of them."""

    scene: Scene
    folder: Path
    items: list[str]
    job: dict[str, Any]
    quote: dict[str, Any]
    ledger_before: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.job["jobID"])
