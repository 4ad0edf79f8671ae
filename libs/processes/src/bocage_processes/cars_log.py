"""What the engine's plain log means: how far it is, and why it failed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bocage_processes.process import EngineFailed, InputRefused, ProcessError

_PREFIX = re.compile(r"^\S+ \S+ :: (?P<level>[A-Z]+) :: (?P<text>.*)$")
_RESOLUTION = re.compile(r"Starting surface modeling pipeline for resolution \S*?(\d+)$")
_STARTED = re.compile(r"Started task (?P<task>\S+) in pipeline (?P<pipeline>.+), total: \d+")
_DONE = re.compile(r"Data list to process: (?P<percent>\d+)% complete \(.*?\)(?: \[run (?P<run>\d+)/(?P<runs>\d+)\])?")
_FAILED_TILES = re.compile(r"Pipeline will pursue without failed tiles|all tiles are None")

# share of a resolution's time, in the order in which the engine goes (measured on CARS 1.3)
_STAGES: Sequence[tuple[str, str, float]] = (
    ("tie_points", "matching points", 0.35),
    ("disparity_to_depth_maps", "matching densely", 0.50),
    ("rasterize_point_cloud", "making the grid", 0.15),
)
_START, _LAST = 4.0, 97.0


@dataclass
class LogReader:
    """Fed with the log line by line; its percentage never falls."""

    resolutions: Sequence[int]
    """Of the pyramid, coarse to fine."""
    pairs: int
    percent: float = 0.0
    message: str = "starting"
    failed_tiles: int = 0
    tail: list[str] = field(default_factory=list)
    _level: int = -1
    _stage: int = -1
    _starts: dict[tuple[int, str], int] = field(default_factory=dict)

    def feed(self, line: str) -> bool:
        """True when there is something new to tell."""
        line = line.rstrip()
        if not line:
            return False
        self.tail = [*self.tail[-39:], line]
        parsed = _PREFIX.match(line)
        text = parsed["text"] if parsed else line
        before = self.percent, self.message
        if _FAILED_TILES.search(text):
            self.failed_tiles += 1
        elif "Starting subsampling" in text:
            self._to(_START / 2, "preparing the images")
        elif _RESOLUTION.search(text):
            self._level = min(self._level + 1, len(self.resolutions) - 1)
            self._stage = -1
            self._to(self._floor(0.0), self._label("surface"))
        elif started := _STARTED.search(text):
            self._start(started["task"])
        elif done := _DONE.search(text):
            self._progress(int(done["percent"]), int(done["run"] or 1), int(done["runs"] or 1))
        elif "successfully completed" in text:
            self._to(_LAST + 1, "checking")
        return (self.percent, self.message) != before

    def _start(self, task: str) -> None:
        if task == "Formatting":
            self._to(_LAST, "formatting")
            return
        self._stage = -1
        for index, (name, label, _) in enumerate(_STAGES):
            if name != task or self._level < 0:
                continue
            self._stage = index
            runs = self._starts[self._level, task] = self._starts.get((self._level, task), 0) + 1
            expected = self.pairs if task != "rasterize_point_cloud" else 2
            self._to(self._floor(self._within(index, min((runs - 1) / expected, 1.0))), self._label(label))

    def _progress(self, percent: int, run: int, runs: int) -> None:
        if self._stage < 0 or self._level < 0:
            return
        done = min((run - 1 + percent / 100) / max(runs, 1), 1.0)
        self._to(self._floor(self._within(self._stage, done)), self.message)

    def _within(self, stage: int, fraction: float) -> float:
        return sum(share for _, _, share in _STAGES[:stage]) + _STAGES[stage][2] * fraction

    def _floor(self, fraction: float) -> float:
        """Percentage at a fraction of the current resolution; the last resolution takes four times the others."""
        weights = [1.0] * (len(self.resolutions) - 1) + [4.0]
        done = sum(weights[: self._level]) + weights[self._level] * fraction
        return _START + (_LAST - _START) * done / sum(weights)

    def _label(self, text: str) -> str:
        return f"{text} at 1/{self.resolutions[self._level]}"

    def _to(self, percent: float, message: str) -> None:
        self.percent = max(self.percent, percent)
        self.message = message


@dataclass(frozen=True)
class _Cause:
    pattern: str
    input_at_fault: bool
    code: str
    detail: str
    remedy: str


_OTHER_SENSOR = "Give two images of one place, taken from different directions, with little cloud, water or snow."
_AGAIN = "Try again; if it happens again, tell the operator the job's id."
_CAUSES = (
    _Cause(
        r"can not read rpc file|no rpc|RPC.*not (found|valid)",
        True, "no-rpc", "The engine cannot read an image's RPC model.",
        "Give the RPC model in the TIFF's tags, or beside it as a .geom or RPC XML file.",
    ),
    _Cause(
        r"envelopes do not intersect|Intersection is empty|does not intersect|outside the extent",
        True, "no-overlap", "The images do not show a common area.", _OTHER_SENSOR,
    ),
    _Cause(
        r"RasterioIOError|not recognized as being in a supported file format|Read failed|TIFFReadDirectory",
        True, "unreadable-image", "The engine cannot read an image.", "Send the whole file again, as a GeoTIFF.",
    ),
    _Cause(
        r"No match have been found|too few matches|Not enough matches|generated at resolution\s*\d+ is (empty|full)|"
        r"matches.{0,40}(insufficient|not enough|minimum)",
        True, "no-matches", "Too few points were found again from one image to the other.", _OTHER_SENSOR,
    ),
    _Cause(
        r"MemoryError|Cannot allocate memory|bad_alloc|Unable to allocate|Killed",
        False, "out-of-memory", "The engine ran out of memory.", "Ask for a smaller area, or try again later.",
    ),
    _Cause(r"No space left on device", False, "disk-full", "The disk is full.", "Try again later."),
    _Cause(
        r"json_checker|MissKeyCheckerError|DictCheckerError|CheckerError",
        False, "engine-refused", "The engine refused its settings.", _AGAIN,
    ),
)  # fmt: skip


def cause_of_failure(tail: Sequence[str], return_code: int) -> ProcessError:
    """What to tell the user, from the last lines of the log; the last match counts."""
    if return_code in (137, -9):
        return EngineFailed(
            "out-of-memory", "The engine was killed, most likely for want of memory.", "Ask for a smaller area."
        )
    for line in reversed(tail):
        for cause in _CAUSES:
            if re.search(cause.pattern, line, re.IGNORECASE):
                kind = InputRefused if cause.input_at_fault else EngineFailed
                return kind(cause.code, cause.detail, cause.remedy)
    return EngineFailed("engine-failed", "The stereo engine stopped without saying why.", _AGAIN)
