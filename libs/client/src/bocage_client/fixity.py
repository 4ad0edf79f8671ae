"""Following a reading of the store: what is wrong, how far it is, how it ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from bocage_client.errors import BocageError, Exit, JsonObject, Unreachable
from bocage_client.http import Transport

PATH = "/rights/admin/fixity"
_MOST_TOLD = 10_000


class Follower(Protocol):
    """Told of what happens."""

    def say(self, message: str) -> None: ...

    def counting(self, name: str, done: int, total: int | None) -> None: ...


def read(
    transport: Transport, collections: Sequence[str] | None, since: str | None, rate: float, follower: Follower
) -> JsonObject:
    """The report, with its findings. Raises BocageError when it did not come to its end, saying how to go on."""
    body: JsonObject = {"rate": rate}
    if collections:
        body["collections"] = list(collections)
    if since is not None:
        body["since"] = since
    told: JsonObject = {"findings": []}
    try:
        with transport.stream("POST", PATH, json=body) as answer:
            follow(answer.iter_lines(), told, follower)
    except Unreachable as error:
        raise _broken_off(told, since, error.detail) from error
    if told.get("event") == "failed":
        raise _broken_off(told, since, f"The platform failed ({told.get('reason')}).")
    if told.get("event") != "finished":
        raise _broken_off(told, since, "The answer ended too early.")
    return {name: value for name, value in told.items() if name != "event"}


def follow(lines: Iterable[str], told: JsonObject, follower: Follower) -> None:
    """Take in the lines of a reading; `told` becomes its last word, with what was found on the way."""
    for line in lines:
        if not line.strip():
            continue
        event: dict[str, Any] = json.loads(line)
        kind = event.get("event")
        if kind == "finding":
            follower.say(f"{event['outcome']}: {event['key']} ({event.get('reason')})")
            if len(told["findings"]) < _MOST_TOLD:
                told["findings"].append({name: value for name, value in event.items() if name != "event"})
            continue
        told |= event
        if kind == "progress":
            follower.counting("read", int(event.get("items", 0)), None)


def _broken_off(told: JsonObject, since: str | None, why: str) -> BocageError:
    where = since or told.get("started")
    go_on = f" Go on with --since {where}" if where else ""
    return BocageError(Exit.PLATFORM, "broken-off", f"The reading broke off: {why}{go_on}")
