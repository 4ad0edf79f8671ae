"""Processor time of running programs, with all that they started: read from the kernel, to the microsecond."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path


def children() -> dict[int, list[int]]:
    """The processes of this machine by their parents."""
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it has ended
            parent = int(stat[stat.rindex(")") + 2 :].split()[1])
            found.setdefault(parent, []).append(int(entry.name))
    return found


def tree(roots: Iterable[int], by_parent: Mapping[int, list[int]]) -> set[int]:
    """`roots` and all their descendants."""
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        process = waiting.pop()
        if process not in seen:
            seen.add(process)
            waiting += by_parent.get(process, ())
    return seen


def below(root: int, words: str) -> int:
    """The descendant of `root` whose command line holds `words`. Raises LookupError."""
    for process in sorted(tree([root], children())):
        try:
            command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in command and process != root:
            return process
    raise LookupError(f"no process below {root} runs {words}")


def used(process: int) -> float:
    """Seconds of processor time that a process has used, all its threads; 0 when it has ended."""
    try:
        return time.clock_gettime((~process << 3) | 2)  # what clock_getcpuclockid(3) makes of a process's number
    except OSError:
        return 0.0


class Meter:
    """What named groups of processes use between `begin` and `end`. One that ends meanwhile takes nothing back.

    Which processes these are is looked up by `refresh`, since that is work enough to push what is measured out of the
    processor's caches.
    """

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = roots
        self._groups: dict[str, set[int]] = {}
        self._before: dict[int, float] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look again at what the roots have started."""
        by_parent = children()
        self._groups = {name: tree([root], by_parent) for name, root in self._roots.items()}

    def begin(self) -> None:
        self._before = {process: used(process) for group in self._groups.values() for process in group}

    def end(self) -> dict[str, float]:
        """Seconds of each group."""
        return {
            name: sum(max(0.0, used(process) - self._before[process]) for process in group)
            for name, group in self._groups.items()
        }
