"""What accounts put into the object store."""

from __future__ import annotations

import contextlib
import time

from bocage_kit.store import LocalStore

_STALE_SECONDS = 3600


def sweep(store: LocalStore) -> None:
    """Delete what writers that were killed left behind; no live writer leaves its file untouched for an hour."""
    for pending in (store.root / "collections").glob("*/*/.pending-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - pending.stat().st_mtime > _STALE_SECONDS:
                pending.unlink()
