"""Where the platform is, and with which key: the environment wins over what `bocage login` stored."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bocage_client.errors import UsageError

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Configuration:
    """`patience` is for how many seconds an unreachable or busy platform is asked again."""

    url: str
    key: str | None
    patience: float = DEFAULT_PATIENCE_SECONDS

    def __repr__(self) -> str:
        return f"Configuration(url={self.url!r}, key={'…' if self.key else None})"


def configuration_file(environment: Mapping[str, str] = os.environ) -> Path:
    """`BOCAGE_CONFIG` if set, else `bocage/client.json` in the user's configuration folder."""
    if named := environment.get("BOCAGE_CONFIG"):
        return Path(named)
    if folder := environment.get("XDG_CONFIG_HOME"):
        return Path(folder) / "bocage" / "client.json"
    if sys.platform == "win32" and (folder := environment.get("APPDATA")):
        return Path(folder) / "bocage" / "client.json"
    return Path.home() / ".config" / "bocage" / "client.json"


def checked_url(url: str) -> str:
    """The base without a trailing slash. Raises UsageError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not an address of the platform: give one such as {DEFAULT_URL}.", "bad-address")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError("The address must hold no user, password or query.", "bad-address")
    return url.rstrip("/")


def load(url: str | None = None, key: str | None = None, environment: Mapping[str, str] = os.environ) -> Configuration:
    """What was given, else the environment, else the stored login, else the default address without a key.

    A stored key belongs to the stored address: it is not sent to another one.
    """
    stored = _stored(configuration_file(environment))
    asked = url or environment.get("BOCAGE_URL")
    base = checked_url(asked or stored.get("url") or DEFAULT_URL)
    own_key = stored.get("key") if base == stored.get("url") else None
    patience = environment.get("BOCAGE_RETRY_SECONDS", "")
    try:
        seconds = float(patience) if patience else DEFAULT_PATIENCE_SECONDS
    except ValueError as error:
        raise UsageError("BOCAGE_RETRY_SECONDS must be a number.") from error
    return Configuration(base, key or environment.get("BOCAGE_API_KEY") or own_key, seconds)


def store(url: str, key: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Write the login, readable by its owner alone."""
    path = configuration_file(environment)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes the file with mode 600, so the key is never readable by others, not even for a moment
    descriptor, name = tempfile.mkstemp(prefix=".client-", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"url": checked_url(url), "key": key}, file)
    Path(name).replace(path)
    return path


def _stored(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: run bocage login again.", "bad-configuration") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is not a login: run bocage login again.", "bad-configuration")
    return {name: value for name, value in found.items() if isinstance(value, str)}
