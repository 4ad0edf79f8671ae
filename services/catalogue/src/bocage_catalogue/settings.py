"""What the catalogue is told besides the usual."""

from __future__ import annotations

from bocage_kit.settings import ServiceSettings
from pydantic import Field


class CatalogueSettings(ServiceSettings):
    """Who publishes what is deposited, and how it is cited."""

    doi_prefix: str = Field("10.5072", pattern=r"^10\.[0-9]{4,9}$")
    """What citable identifiers begin with; the default is the prefix for tests, which leads nowhere."""
    doi_minter: str = Field("local", pattern=r"^local$|^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """Who registers them: `local`, nobody outside, or `package.module:factory`, called without arguments."""
    publisher: str = Field("Bocage", min_length=1, max_length=300)
    """Who publishes, as citations name it."""
