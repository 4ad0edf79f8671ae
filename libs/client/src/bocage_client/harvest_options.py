"""What of a source is wanted, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bocage_client.errors import UsageError
from bocage_client.harvest_licences import licence
from bocage_client.harvest_moments import parsed, written
from bocage_client.harvest_normalising import Kind

AUDIENCES = ("public", "organisation", "owner")
LAST = "last"


@dataclass(frozen=True)
class Options:
    """`since`: a moment, or 'last' for where the last whole harvest ended."""

    collections: Sequence[str] = ()
    since: str | None = None
    bbox: tuple[float, ...] | None = None
    into: str | None = None
    audience: str = "public"
    licence: str | None = None
    """Of collections that are made, whatever the source says."""
    kind: Kind | None = None
    dry_run: bool = False
    prune: bool = False
    restart: bool = False
    key: str | None = field(default=None, repr=False)
    patience: float = 600.0

    def check(self) -> None:
        """Raises UsageError."""
        if self.audience not in AUDIENCES:
            raise UsageError(f"--audience is one of {', '.join(AUDIENCES)}.")
        if self.licence is not None and licence(self.licence).flag is not None:
            raise UsageError(f"{self.licence} is no SPDX id that is known; name a licence of your own LicenseRef-…")
        if self.into is not None and len(self.collections) > 1:
            raise UsageError("--into takes the items of one collection: ids of several might meet there.")
        if self.prune and (self.since is not None or self.bbox is not None):
            raise UsageError("--prune needs the whole: what was not read is not known to be gone.")
        if self.since not in (None, LAST) and parsed(self.since) is None:
            raise UsageError(f"--since is a moment such as 2024-05-01T00:00:00Z, or {LAST}; {self.since} is neither.")

    @property
    def moment(self) -> str | None:
        """`since` in UTC; None without one, and for 'last', which is each collection's own."""
        found = parsed(self.since) if self.since != LAST else None
        return written(found) if found is not None else None
