"""What every service is told: where its sockets, keys, store and database are. Values come from BOCAGE_* variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _listed(value: Any) -> Any:
    """Lists are written with commas in an environment variable."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class ServiceSettings(BaseSettings):
    """Paths and addresses; no secret is a value here, only the path of the file that holds it."""

    model_config = SettingsConfigDict(env_prefix="BOCAGE_", frozen=True, extra="ignore")

    home: Path
    database: str = ""
    """libpq URL of the service's own role, with a `passfile` option instead of a password."""
    log_level: str = "INFO"
    demonstration: bool = False

    @property
    def sockets(self) -> Path:
        return self.home / "run"

    @property
    def public_keys(self) -> Path:
        return self.home / "identity" / "public-keys.json"

    @property
    def store_root(self) -> Path:
        return self.home / "store"

    def secret(self, name: str) -> Path:
        return self.home / "secrets" / name
