"""What this machine has to give to jobs: cores and disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Grants:
    """`free_disk` tells the bytes free where jobs run; `spare_disk` of them are never given away."""

    cores: int
    spare_disk: int
    free_disk: Callable[[], int]
    _cores_used: int = field(default=0, init=False)
    _disk_promised: int = field(default=0, init=False)
    _freed: asyncio.Condition = field(default_factory=asyncio.Condition, init=False)

    @asynccontextmanager
    async def some_cores(self, wanted: int) -> AsyncIterator[None]:
        """Wait for as many cores; a job that wants more than there are gets all."""
        wanted = min(wanted, self.cores)
        async with self._freed:
            await self._freed.wait_for(lambda: self._cores_used + wanted <= self.cores)
            self._cores_used += wanted
        try:
            yield
        finally:
            self._cores_used -= wanted
            async with self._freed:
                self._freed.notify_all()

    def lacking_disk(self, wanted: int) -> int:
        """How many bytes are missing for a job; running jobs may still use all that they were quoted."""
        return max(0, wanted + self.spare_disk + self._disk_promised - self.free_disk())

    @asynccontextmanager
    async def some_disk(self, wanted: int) -> AsyncIterator[None]:
        self._disk_promised += wanted
        try:
            yield
        finally:
            self._disk_promised -= wanted
