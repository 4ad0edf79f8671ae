"""From when on a collection is read, and what its end means: for sources of all kinds."""

from __future__ import annotations

from datetime import timedelta

from bocage_client.harvest_journal import Journal, Progress
from bocage_client.harvest_moments import parsed, written
from bocage_client.harvest_options import LAST, Options
from bocage_client.harvest_records import Records

# Catalogues show what is new to them a while after they say that it came.
_OVERLAP = timedelta(hours=1)


class Marks:
    def __init__(self, journal: Journal, options: Options, records: Records, base: str) -> None:
        self._journal, self._options, self._records, self._base = journal, options, records, base

    def begin(self, target: str) -> str | None:
        """From when on its items are wanted."""
        mark = self._journal.watermark(target) if self._options.since == LAST else None
        moment = parsed(mark)
        since = written(moment - _OVERLAP) if moment is not None else self._options.moment
        self._records.report.of(target).since = since
        return since

    def end(self, target: str, progress: Progress, whole: bool) -> None:
        """A collection was read to its end; `whole`: what did not come is not there."""
        own = self._records.report.of(target)
        own.complete = True
        if whole and own.since is None and self._options.bbox is None:
            self._records.writer.gone(target, self._base, self._journal, self._options.prune)
        if progress.newest is not None and not self._options.dry_run:
            # What came after the first request may lie on pages that were read before it came.
            self._journal.mark(target, min(progress.newest, progress.started))
