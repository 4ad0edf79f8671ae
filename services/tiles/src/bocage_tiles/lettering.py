"""Letters drawn with a pen: the labels of legend pictures, without a font file and without a library for one.

A glyph is its width and some strokes on a grid where capitals are 10 high and small letters 7: `l` joins points by
lines, `o` is part of an ellipse (middle, radii, from and to in degrees, anticlockwise). Accents are set upon letters as
Unicode takes them apart; raised and lowered figures are small ones.
"""

from __future__ import annotations

import math
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GAP = 2.5
_SPACE = 3.6
_ROUND = "o 2.9,3.5 2.9,3.5 0,360"
_S = "o 3.5,7.6 3.2,2.4 40,270 o 3.5,2.6 3.5,2.6 -140,90"
_GLYPHS = {
    "A": "8 l 0,0 4,10 8,0 l 1.4,3.4 6.6,3.4",
    "B": "6.7 l 3.7,0 0,0 0,10 3.5,10 o 3.5,7.6 2.6,2.4 -90,90 l 0,5.2 3.7,5.2 o 3.7,2.6 3,2.6 -90,90",
    "C": "8 o 4.6,5 4.6,5 45,315",
    "D": "8 l 3,0 0,0 0,10 3,10 o 3,5 5,5 -90,90",
    "E": "6 l 6,10 0,10 0,0 6,0 l 0,5.2 5.2,5.2",
    "F": "5.8 l 5.8,10 0,10 0,0 l 0,5.2 5,5.2",
    "G": "8.6 o 4.6,5 4.6,5 45,325 l 5.2,4.8 8.5,4.8 8.5,2",
    "H": "7.4 l 0,0 0,10 l 7.4,0 7.4,10 l 0,5.2 7.4,5.2",
    "I": "0 l 0,0 0,10",
    "J": "4.4 l 4.4,10 4.4,2.3 o 2.2,2.3 2.2,2.3 180,360",
    "K": "7 l 0,0 0,10 l 6.6,10 0,3.6 l 2.5,6 7,0",
    "L": "5.6 l 0,10 0,0 5.6,0",
    "M": "9 l 0,0 0,10 4.5,3 9,10 9,0",
    "N": "7.6 l 0,0 0,10 7.6,0 7.6,10",
    "O": "9.2 o 4.6,5 4.6,5 0,360",
    "P": "6.6 l 0,0 0,10 3.8,10 o 3.8,7.3 2.8,2.7 -90,90 l 3.8,4.6 0,4.6",
    "Q": "9.2 o 4.6,5 4.6,5 0,360 l 5.6,2.6 9,-.8",
    "R": "7 l 0,0 0,10 3.8,10 o 3.8,7.3 2.8,2.7 -90,90 l 3.8,4.6 0,4.6 l 3.8,4.6 7,0",
    "S": f"7 {_S}",
    "T": "7.6 l 0,10 7.6,10 l 3.8,10 3.8,0",
    "U": "7.4 l 0,10 0,3.7 o 3.7,3.7 3.7,3.7 180,360 l 7.4,3.7 7.4,10",
    "V": "8 l 0,10 4,0 8,10",
    "W": "11.4 l 0,10 2.9,0 5.7,9.6 8.5,0 11.4,10",
    "X": "7.2 l 0,10 7.2,0 l 7.2,10 0,0",
    "Y": "7.6 l 0,10 3.8,4.8 7.6,10 l 3.8,4.8 3.8,0",
    "Z": "7 l 0,10 7,10 0,0 7,0",
    "a": f"5.8 {_ROUND} l 5.8,7 5.8,0",
    "b": f"5.8 {_ROUND} l 0,10 0,0",
    "c": "5 o 3,3.5 3,3.5 50,310",
    "d": f"5.8 {_ROUND} l 5.8,10 5.8,0",
    "e": "5.8 l .1,3.7 5.8,3.7 o 2.9,3.5 2.9,3.5 3,315",
    "f": "3.6 o 3.4,8 2,2 75,180 l 1.4,8 1.4,0 l 0,6.6 3.6,6.6",
    "g": f"5.8 {_ROUND} l 5.8,7 5.8,-.5 o 2.9,-.5 2.9,2.6 200,360",
    "h": "5.4 l 0,10 0,0 o 2.7,4.3 2.7,2.7 0,180 l 5.4,4.3 5.4,0",
    "ı": "0 l 0,7 0,0",
    "i": "0 l 0,7 0,0 l 0,9.5 0,9.8",
    "ȷ": "1.6 l 1.6,7 1.6,-1.2 o 0,-1.2 1.6,1.8 270,360",
    "j": "1.6 l 1.6,7 1.6,-1.2 o 0,-1.2 1.6,1.8 270,360 l 1.6,9.5 1.6,9.8",
    "k": "5.2 l 0,10 0,0 l 4.8,7 0,2.4 l 1.9,4.2 5.2,0",
    "l": "0 l 0,10 0,0",
    "m": "9 l 0,7 0,0 o 2.25,4.7 2.25,2.3 0,180 l 4.5,4.7 4.5,0 o 6.75,4.7 2.25,2.3 0,180 l 9,4.7 9,0",
    "n": "5.4 l 0,7 0,0 o 2.7,4.3 2.7,2.7 0,180 l 5.4,4.3 5.4,0",
    "o": "6 o 3,3.5 3,3.5 0,360",
    "p": f"5.8 {_ROUND} l 0,7 0,-3",
    "q": f"5.8 {_ROUND} l 5.8,7 5.8,-3",
    "r": "3.4 l 0,7 0,0 o 3,4 3,3 80,180",
    "s": "4.8 o 2.4,5.3 2.2,1.7 40,270 o 2.4,1.8 2.4,1.8 -140,90",
    "t": "3.6 l 1.4,9.2 1.4,1.8 o 3.2,1.8 1.8,1.8 180,285 l 0,6.6 3.6,6.6",
    "u": "5.4 l 0,7 0,2.7 o 2.7,2.7 2.7,2.7 180,360 l 5.4,7 5.4,0",
    "v": "5.8 l 0,7 2.9,0 5.8,7",
    "w": "8.6 l 0,7 2.2,0 4.3,6.6 6.4,0 8.6,7",
    "x": "5.4 l 0,7 5.4,0 l 5.4,7 0,0",
    "y": "5.8 l 0,7 2.9,0 l 5.8,7 2.9,0 1.8,-2.6 .6,-3",
    "z": "5 l 0,7 5,7 0,0 5,0",
    "0": "6 o 3,5 3,5 0,360",
    "1": "6 l 1.4,8 3.6,10 3.6,0",
    "2": "6 o 3,7.2 2.8,2.8 -25,165 l 5.5,6 .2,0 6,0",
    "3": "6 o 2.8,7.6 2.6,2.4 -90,150 o 2.8,2.6 3,2.6 -150,90",
    "4": "6 l 4.5,0 4.5,10 0,3 6.2,3",
    "5": "6 l 5.4,10 1.1,10 .8,5.4 o 2.8,3.1 3.1,3.1 -150,130",
    "6": "6 o 3,3.2 3,3.2 0,360 o 5.2,3.2 5.2,6.8 98,180",
    "7": "6 l 0,10 6,10 2,0",
    "8": "6 o 3,7.6 2.6,2.4 0,360 o 3,2.6 3,2.6 0,360",
    "9": "6 o 3,6.8 3,3.2 0,360 o .8,6.8 5.2,6.8 -82,0",
    ".": "0 l 0,0 0,.3",
    ",": ".6 l .6,.4 0,-1.8",
    ":": "0 l 0,0 0,.3 l 0,5.6 0,5.9",
    ";": ".6 l .6,.4 0,-1.8 l .6,5.6 .6,5.9",
    "!": "0 l 0,10 0,3.2 l 0,0 0,.3",
    "?": "4.8 o 2.4,7.5 2.4,2.5 -90,170 l 2.4,5 2.4,3.2 l 2.4,0 2.4,.3",
    "'": "0 l 0,10 0,7.4",
    "’": ".7 l .7,10 0,7.4",
    '"': "2 l 0,10 0,7.4 l 2,10 2,7.4",
    "(": "1.8 o 4.4,3.5 4.4,7.4 127,233",
    ")": "1.8 o -2.6,3.5 4.4,7.4 -53,53",
    "[": "2 l 2,10.5 0,10.5 0,-2.5 2,-2.5",
    "]": "2 l 0,10.5 2,10.5 2,-2.5 0,-2.5",
    "{": "2.6 l 2.6,10.5 1.3,9.5 1.3,5 0,4 1.3,3 1.3,-1.5 2.6,-2.5",
    "}": "2.6 l 0,10.5 1.3,9.5 1.3,5 2.6,4 1.3,3 1.3,-1.5 0,-2.5",
    "|": "0 l 0,11 0,-3",
    "/": "4 l 0,-1.4 4,10.6",
    "\\": "4 l 4,-1.4 0,10.6",
    "-": "3.4 l 0,3.8 3.4,3.8",
    "−": "6 l 0,4 6,4",
    "–": "5.6 l 0,3.8 5.6,3.8",
    "—": "10 l 0,3.8 10,3.8",
    "_": "6 l 0,-1.5 6,-1.5",
    "+": "6 l 0,4 6,4 l 3,1 3,7",
    "±": "6 l 0,5 6,5 l 3,2.2 3,7.8 l 0,.2 6,.2",
    "=": "6 l 0,2.7 6,2.7 l 0,5.5 6,5.5",
    "≈": "6 l 0,5 1.5,6 4.5,5 6,6 l 0,2 1.5,3 4.5,2 6,3",
    "~": "6 l 0,3.4 1.5,4.6 4.5,3.4 6,4.6",
    "×": "4.8 l 0,1.6 4.8,6.4 l 4.8,1.6 0,6.4",
    "÷": "6 l 0,4 6,4 l 3,1.2 3,1.5 l 3,6.5 3,6.8",
    "<": "5.4 l 5.4,7.2 0,4 5.4,.8",
    ">": "5.4 l 0,7.2 5.4,4 0,.8",
    "≤": "5.4 l 5.4,8.6 0,5.4 5.4,2.2 l 0,.2 5.4,.2",
    "≥": "5.4 l 0,8.6 5.4,5.4 0,2.2 l 0,.2 5.4,.2",
    "*": "4.4 l 2.2,10 2.2,5.4 l 0,8.9 4.4,6.5 l 4.4,8.9 0,6.5",
    "#": "7 l 2.4,10 1.2,0 l 5.8,10 4.6,0 l .4,6.8 7,6.8 l 0,3.2 6.6,3.2",
    "%": "9 o 2,7.9 2,2.1 0,360 l 7.6,10 1.4,0 o 7,2.1 2,2.1 0,360",
    "‰": "14 o 2,7.9 2,2.1 0,360 l 7.6,10 1.4,0 o 7,2.1 2,2.1 0,360 o 12,2.1 2,2.1 0,360",
    "&": "7.4 l 7.4,0 1.5,7.2 1.4,8.6 2.2,9.8 3.6,9.9 4.6,9 4.5,7.6 1,4.5 0,2.8 .3,1.2 1.6,.1 3.6,.1 5.4,1.4 6.8,3.8",
    "@": "10.6 o 5.3,3.8 5.3,5.8 -60,300 o 5.2,3.8 2.1,2.4 0,360 l 7.4,6.2 7.4,2.4 8.4,1.6 9.8,2.4",
    "$": f"7 {_S} l 3.5,11.2 3.5,-1.2",
    "^": "5 l 0,6.4 2.5,10 5,6.4",
    "`": "1.4 l 0,10 1.4,8.4",
    "°": "3.2 o 1.6,8.4 1.6,1.6 0,360",
    "·": "0 l 0,3.7 0,4",
    "•": "1 o .5,3.9 .5,.5 0,360",
    "…": "6 l 0,0 0,.3 l 3,0 3,.3 l 6,0 6,.3",
    "«": "5.4 l 2.4,6 0,3.6 2.4,1.2 l 5.4,6 3,3.6 5.4,1.2",
    "»": "5.4 l 0,6 2.4,3.6 0,1.2 l 3,6 5.4,3.6 3,1.2",
    "“": "2.4 l .7,10 0,7.8 l 2.4,10 1.7,7.8",
    "”": "2.4 l .7,10 0,7.8 l 2.4,10 1.7,7.8",
    "→": "8 l 0,4 8,4 l 5.4,6.4 8,4 5.4,1.6",
    "µ": "5.4 l 0,7 0,-3 l 0,7 0,2.7 o 2.7,2.7 2.7,2.7 180,360 l 5.4,7 5.4,0",
    "ß": "5.4 l 0,0 0,7.6 o 2.4,7.6 2.4,2.4 -60,180 l 3.6,5.5 2.4,5.3 o 2.6,2.65 2.8,2.65 -110,90",
    "œ": "10.4 o 2.8,3.5 2.8,3.5 0,360 l 5.6,3.7 10.4,3.7 o 8,3.5 2.4,3.5 3,315 o 8,3.5 2.4,3.5 180,200",
    "Œ": "11.6 o 4.6,5 4.6,5 60,300 l 11.6,10 6.6,10 6.6,0 11.6,0 l 6.6,5.2 10.8,5.2",
    "æ": "10 o 2.6,2 2.6,2 0,360 l 5.2,0 5.2,4.6 o 2.7,4.6 2.5,2.4 0,150 l 5.2,3.7 10,3.7 o 7.6,3.5 2.4,3.5 3,315",
    "Æ": "11 l 0,0 4.8,10 11,10 l 5.6,10 5.6,0 11,0 l 5.6,5.2 10,5.2 l 1.7,3.4 5.6,3.4",
    "ø": "6 o 3,3.5 3,3.5 0,360 l .2,-.4 5.8,7.4",
    "Ø": "9.2 o 4.6,5 4.6,5 0,360 l .6,-.4 8.6,10.4",
    "€": "8 o 5,5 4.2,5 50,310 l 0,6 6,6 l 0,4 6,4",
    "Δ": "8 l 0,0 4,10 8,0 0,0",
    "α": "6.4 o 2.7,3.5 2.7,3.5 40,320 l 6.4,7 4.8,1.3 5.6,.1 6.4,.2 l 4.8,5.8 4.8,1.3",
    "λ": "6 l .6,10 1.6,9.8 5.8,0 l 2.9,6.6 0,0",
    "ε": "5 o 3,5.3 2.6,1.7 50,270 o 3,1.8 2.9,1.8 90,310",
    "σ": "6.4 o 2.9,3.4 2.9,3.4 0,360 l 2.9,6.8 6.4,6.8",
}
_MISSING = "5 l 0,0 0,10 5,10 5,0 0,0"
_SAME = {"\u00a0": " ", "\u202f": " ", "\u2009": " ", "‘": "’", "\u2011": "-", "\u2010": "-", "μ": "µ"}
# Marks above, from the middle of the letter and its top; the cedilla from its foot.
_MARKS = {
    "\u0300": "l -1.3,2.6 .5,1",
    "\u0301": "l 1.3,2.6 -.5,1",
    "\u0302": "l -1.6,1 0,2.6 1.6,1",
    "\u0303": "l -1.8,1.2 -.7,2 .7,1.4 1.8,2.2",
    "\u0304": "l -1.8,1.6 1.8,1.6",
    "\u0308": "l -1.4,1.5 -1.4,1.8 l 1.4,1.5 1.4,1.8",
    "\u030a": "o 0,1.9 1.1,1.1 0,360",
    "\u030c": "l -1.6,2.6 0,1 1.6,2.6",
}
_CEDILLA, _CEDILLA_STROKES = "\u0327", "l .2,0 0,-1 o 0,-2 1.1,1 -130,80"

Point = tuple[float, float]
Stroke = tuple[Point, ...]


def _strokes(text: str) -> tuple[Stroke, ...]:
    found: list[Stroke] = []
    points: list[Point] = []
    kind = ""
    for token in [*text.split(), "l"]:
        if token not in ("l", "o"):
            x, y = token.split(",")
            points.append((float(x), float(y)))
            continue
        if kind:
            found.append(_arc(*points) if kind == "o" else tuple(points))
        kind, points = token, []
    return tuple(found)


def _arc(middle: Point, radii: Point, turn: Point) -> Stroke:
    steps = max(4, math.ceil(abs(turn[1] - turn[0]) / 15))
    angles = [math.radians(turn[0] + (turn[1] - turn[0]) * i / steps) for i in range(steps + 1)]
    return tuple((middle[0] + radii[0] * math.cos(a), middle[1] + radii[1] * math.sin(a)) for a in angles)


def _moved(strokes: tuple[Stroke, ...], right: float, up: float, factor: float = 1.0) -> tuple[Stroke, ...]:
    return tuple(tuple((x * factor + right, y * factor + up) for x, y in stroke) for stroke in strokes)


@lru_cache(1024)
def glyph(sign: str) -> tuple[float, tuple[Stroke, ...]]:
    """Width and strokes of a character; a box for one that is not known."""
    sign = _SAME.get(sign, sign)
    if sign == " ":
        return _SPACE - _GAP, ()
    if sign in _GLYPHS:
        given, _, strokes = _GLYPHS[sign].partition(" ")
        return float(given), _strokes(strokes)
    taken_apart = unicodedata.decomposition(sign).split()
    if taken_apart and taken_apart[0] in ("<super>", "<sub>"):
        width, drawn = glyph(chr(int(taken_apart[1], 16)))
        return width * 0.6, _moved(drawn, 0, 4.6 if taken_apart[0] == "<super>" else -2, 0.6)
    letters = unicodedata.normalize("NFD", sign)
    base, marks = letters[0], letters[1:]
    if marks and base in _GLYPHS and all(mark in _MARKS or mark == _CEDILLA for mark in marks):
        width, drawn = glyph({"i": "ı", "j": "ȷ"}.get(base, base))
        # Under a wide accent a thin letter gets the room of the accent.
        width, drawn = max(width, 2.4), _moved(drawn, max(2.4 - width, 0) / 2, 0)
        top = 10 if base.isupper() or base in "bdfhkl" else 7
        for mark in marks:
            above = mark != _CEDILLA
            accent = _strokes(_MARKS[mark] if above else _CEDILLA_STROKES)
            drawn += _moved(accent, width / 2, top if above else 0)
        return width, drawn
    return 5.0, _strokes(_MISSING.partition(" ")[2])


def knows(sign: str) -> bool:
    """Whether a character is drawn as itself."""
    return glyph(sign)[1] != _strokes(_MISSING.partition(" ")[2])


def _unit(size: float) -> float:
    """Pixels of a unit of the grid, so that small letters are a whole number of pixels high."""
    return max(round(size * 0.5), 3) / 7


def width_of(text: str, size: float) -> float:
    """Width of a text in pixels, `size` being about the height of a line of it."""
    widths = [glyph(sign)[0] for sign in text]
    return (sum(widths) + _GAP * max(len(widths) - 1, 0)) * _unit(size)


@lru_cache(4096)
def _stamp(sign: str, size: float, quarters: int, bold: bool) -> tuple[int, int, NDArray[np.float32]]:
    """Coverage of a glyph, and where its upper left corner lies from the pen: pixels right, and above the baseline."""
    unit, reach = _unit(size), (0.85 if bold else 0.6) * max(size / 13, 0.9)
    points = [[(x * unit + quarters / 4, y * unit) for x, y in stroke] for stroke in glyph(sign)[1]]
    everywhere = [point for stroke in points for point in stroke]
    if not everywhere:
        return 0, 0, np.zeros((0, 0), np.float32)
    left, right = (math.floor(min(x for x, _ in everywhere)) - 2, math.ceil(max(x for x, _ in everywhere)) + 2)
    below, above = (math.floor(min(y for _, y in everywhere)) - 2, math.ceil(max(y for _, y in everywhere)) + 2)
    xs, ys = np.meshgrid(np.arange(left, right) + 0.5, np.arange(above, below, -1) - 0.5)
    nearest = np.full(xs.shape, 1e9)
    for stroke in points:
        for (x0, y0), (x1, y1) in pairwise(stroke):
            length = (x1 - x0) ** 2 + (y1 - y0) ** 2
            along = ((xs - x0) * (x1 - x0) + (ys - y0) * (y1 - y0)) / (length or 1.0)
            along = np.clip(along, 0, 1)
            nearest = np.minimum(nearest, np.hypot(xs - x0 - along * (x1 - x0), ys - y0 - along * (y1 - y0)))
    return left, above, np.clip(reach + 0.5 - nearest, 0, 1).astype(np.float32)


def write(
    picture: NDArray[np.uint8],
    text: str,
    at: Point,
    size: float,
    colour: tuple[int, int, int] = (30, 30, 30),
    *,
    bold: bool = False,
) -> None:
    """Write a line into an opaque picture (height, width, 3); `at`: pixels right and down to its baseline's start."""
    x, baseline = at
    unit, down = _unit(size), round(baseline)
    ink = np.array(colour, np.float32)
    for sign in text:
        whole = math.floor(x)
        quarters = min(int((x - whole) * 4), 3)
        left, above, coverage = _stamp(sign, size, quarters, bold)
        _press(picture, coverage, whole + left, down - above, ink)
        x += (glyph(sign)[0] + _GAP) * unit


def _press(picture: NDArray[np.uint8], coverage: NDArray[np.float32], left: int, top: int, ink: NDArray[Any]) -> None:
    height, width = coverage.shape
    rows = slice(max(top, 0), min(top + height, picture.shape[0]))
    columns = slice(max(left, 0), min(left + width, picture.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = coverage[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, None]
    under = picture[rows, columns].astype(np.float32)
    picture[rows, columns] = (under + (ink - under) * part).round().astype(np.uint8)
