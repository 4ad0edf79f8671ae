"""What the processing service, its dispatcher and its runners are told, besides what every service is."""

from __future__ import annotations

import os
from pathlib import Path

from bocage_kit.settings import ServiceSettings
from bocage_processes.process import Limits
from pydantic import Field


class ProcessingSettings(ServiceSettings):
    """Durations in seconds. The leases are settings so that tests can shorten them."""

    process_registry: str = "bocage_processes.registry:processes"
    """`module:callable` that gives the processes."""
    engine_cars: Path | None = None
    """The stereo engine's executable."""

    job_slots: int = Field(default=2, ge=1)
    job_cores: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    job_max_attempts: int = Field(default=3, ge=1)
    job_lease_seconds: float = 30.0
    job_beat_seconds: float = 2.0
    job_reap_seconds: float = 5.0
    job_poll_seconds: float = 0.2
    job_stalled_seconds: float = 15.0
    job_wait_seconds: float = 10.0
    """After how long a job that lacked disk looks again."""
    job_grace_seconds: float = 1.0
    """From the request to stop until the whole process group is killed."""
    job_wall_factor: float = 20.0
    job_wall_minimum_seconds: float = 900.0
    job_spare_disk_bytes: int = Field(default=200_000_000, description="kept free beyond what jobs were quoted")
    job_keep_folder_seconds: float = 86_400.0
    check_seconds: float = 20.0
    sync_seconds: float = 60.0
    publish_backoff_seconds: float = 30.0
    publish_held_seconds: float = 2.0
    """How often it is asked whether results that are held may be published."""
    claim_names_seconds: float = 10.0
    """How often the collections of results are looked after."""

    max_megapixels: float = 16.0
    max_memory_bytes: int = 8 * 2**30

    @property
    def jobs_root(self) -> Path:
        return self.home / "jobs"

    @property
    def limits(self) -> Limits:
        return Limits(
            max_megapixels=self.max_megapixels, max_cores=self.job_cores, max_memory_bytes=self.max_memory_bytes
        )

    @property
    def engines(self) -> dict[str, Path]:
        return {"cars": self.engine_cars} if self.engine_cars else {}
