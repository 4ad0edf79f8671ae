"""What the tiles service is told beyond the settings of every service."""

from __future__ import annotations

from bocage_kit.settings import ServiceSettings
from pydantic import Field


class TilesSettings(ServiceSettings):
    """Bounds of what the service keeps; all have working defaults."""

    tiles_threads: int = Field(default=4, ge=1, le=64)
    """How many pictures are drawn at once."""
    tiles_item_seconds: float = Field(default=5.0, ge=0, le=5)
    """For how long an item read from the catalogue may be used again."""
    tiles_open_datasets: int = Field(default=16, ge=1, le=256)
    """Datasets kept open by each drawing thread."""
