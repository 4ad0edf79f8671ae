"""Descriptions of the processes, asked of a runner, so that the service imports no science."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from bocage_processing.settings import ProcessingSettings
from bocage_processing.subprocesses import RunnerFailed, ask
from bocage_processing.work import ProcessDescription, ProcessDescriptions, Work

_SECONDS = 60.0
_log = logging.getLogger("bocage.processing.descriptions")


@dataclass
class Descriptions:
    """Asked once, when first needed; again after a failure."""

    settings: ProcessingSettings
    _known: dict[str, ProcessDescription] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def all(self) -> dict[str, ProcessDescription]:
        """By process id. Raises RunnerFailed."""
        async with self._lock:
            if not self._known:
                task = Work(registry=self.settings.process_registry, process="", inputs={}, limits=self.settings.limits)
                folder = self.settings.jobs_root
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                answer = await ask("describe", task, ProcessDescriptions, folder, _SECONDS)
                self._known = {process.id: process for process in answer.processes}
        return self._known

    async def one(self, process: str) -> ProcessDescription:
        """Raises KeyError, RunnerFailed."""
        return (await self.all())[process]

    async def warm(self) -> None:
        try:
            await self.all()
        except RunnerFailed:
            _log.exception("the processes could not be described")
