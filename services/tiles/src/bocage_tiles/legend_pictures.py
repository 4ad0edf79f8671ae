"""A legend as a picture: laid out once, then written as SVG with real text, or drawn as PNG."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from bocage_kit import language
from numpy.typing import NDArray

from bocage_tiles import lettering, ramps
from bocage_tiles.drawing import encode
from bocage_tiles.legends import Entry, Legend, hexadecimal, round_values, spelt

MOST_ROWS = 80
NO_BREAK = "\xa0"
_MARGIN, _TITLE, _LABEL, _ROW, _SWATCH, _STRIP = 10, 14, 12, 20, (26, 14), 18
_INK, _PALE = (33, 37, 41), (140, 146, 152)
_RAISED = str.maketrans("-−123456789", "⁻⁻¹²³⁴⁵⁶⁷⁸⁹")
_MORE = {"en": "and {} more", "fr": "et {} autres"}
_ENDS = {"en": ("low", "high"), "fr": ("bas", "haut")}


@dataclass(frozen=True)
class Box:
    """A rectangle filled with one colour, or with colours from left to right."""

    x: float
    y: float
    width: float
    height: float
    colours: tuple[ramps.Colour, ...]


@dataclass(frozen=True)
class Line:
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Text:
    """A line of text; `anchor`: which part of it stands at `x`, 0 for its start, 1 for its end."""

    x: float
    y: float
    text: str
    size: int
    bold: bool = False
    anchor: float = 0.0


Shape = Box | Line | Text


@dataclass
class Layout:
    """Shapes on a white sheet."""

    width: int
    height: float = _MARGIN
    shapes: list[Shape] = field(default_factory=list)


def lay_out(legend: Legend, tongue: str, width: int) -> Layout:
    """Place title, unit and colours on a sheet of that width; its height follows from what there is."""
    sheet = Layout(width)
    title, unit = language.best(legend.titles, tongue), language.best(legend.units, tongue)
    heading = f"{title} ({written(unit)})" if unit else title
    for line in wrapped(heading, _TITLE, width - 2 * _MARGIN, most=4, bold=True):
        sheet.height += _TITLE + 3
        sheet.shapes.append(Text(_MARGIN, sheet.height - 3, line, _TITLE, bold=True))
    sheet.height += 6
    if legend.kind == "ramp":
        _ramp(sheet, legend, tongue)
    else:
        _rows(sheet, legend, tongue)
    sheet.height = math.ceil(sheet.height + _MARGIN)
    return sheet


def written(unit: str) -> str:
    """A unit as people write it: `mg m-3` becomes mg m⁻³, and stays on one line."""
    unit = re.sub(r"(?<=[A-Za-zµ])[-−]\d\b", lambda found: found[0].translate(_RAISED), unit)
    unit = re.sub(r"(?<![A-Za-z])([kcdmµ]?m)([23])\b", lambda found: found[1] + found[2].translate(_RAISED), unit)
    return unit.replace(" ", NO_BREAK)


def _ramp(sheet: Layout, legend: Legend, tongue: str) -> None:
    left, wide, top = _MARGIN + 4, sheet.width - 2 * _MARGIN - 8, sheet.height
    sheet.shapes.append(Box(left, top, wide, _STRIP, tuple(colour for _, colour in legend.stops)))
    sheet.height = top + _STRIP + 5 + _LABEL
    if legend.low is None or legend.high is None:
        low, high = _ENDS[tongue]
        sheet.shapes += [Text(left, sheet.height, low, _LABEL), Text(left + wide, sheet.height, high, _LABEL, anchor=1)]
        return
    for at, label in ticks(legend.low, legend.high, tongue, wide):
        x = left + wide * at
        sheet.shapes.append(Line(x, top + _STRIP, x, top + _STRIP + 4))
        # Labels stay on the sheet: those at the ends lean inwards.
        half = lettering.width_of(label, _LABEL) / 2
        anchor = 0.5 + max(half - x + 2, 0) / (2 * half) * -1 + max(x + half - sheet.width + 2, 0) / (2 * half)
        sheet.shapes.append(Text(x, sheet.height, label, _LABEL, anchor=min(max(anchor, 0.0), 1.0)))


def ticks(low: float, high: float, tongue: str, room: float) -> list[tuple[float, str]]:
    """Positions along a ramp (0…1) and their labels: round values, as many as have room."""
    for most in (7, 6, 5, 4, 3):
        values = round_values(low, high, most)
        step = values[1] - values[0] if len(values) > 1 else None
        labels = [spelt(value, tongue, step) for value in values]
        if sum(lettering.width_of(label, _LABEL) + 10 for label in labels) <= room:
            break
    return [((value - low) / (high - low), label) for value, label in zip(values, labels, strict=True)]


def _rows(sheet: Layout, legend: Legend, tongue: str) -> None:
    room = sheet.width - 2 * _MARGIN - _SWATCH[0] - 8
    for entry in legend.entries[:MOST_ROWS]:
        lines = list(wrapped(label(entry, legend, tongue), _LABEL, room, most=3))
        sheet.shapes.append(Box(_MARGIN, sheet.height + 1, *_SWATCH, (entry.colour,)))
        for i, line in enumerate(lines):
            sheet.shapes.append(Text(_MARGIN + _SWATCH[0] + 8, sheet.height + 12 + i * 15, line, _LABEL))
        sheet.height += _ROW + (len(lines) - 1) * 15
    if (rest := len(legend.entries) - MOST_ROWS) > 0:
        sheet.height += _LABEL
        sheet.shapes.append(Text(_MARGIN, sheet.height, _MORE[tongue].format(rest), _LABEL))


def label(entry: Entry, legend: Legend, tongue: str) -> str:
    name = language.best(entry.names, tongue)
    if entry.low is None or entry.high is None:
        return name
    span = f"{spelt(entry.low, tongue)}{NO_BREAK}–{NO_BREAK}{spelt(entry.high, tongue)}"
    return f"{name} ({span})" if name else span


def wrapped(text: str, size: int, room: float, *, most: int, bold: bool = False) -> Iterator[str]:
    """Lines of at most `room` pixels; what has no place in `most` lines ends with an ellipsis."""
    words, line, told = [word for word in re.split(r"[ \t\r\n]+", text[:400]) if word], "", 0
    for i, word in enumerate(words):
        longer = f"{line} {word}" if line else word
        if lettering.width_of(longer, size) <= room:
            line = longer
            continue
        if line:
            told += 1
            if told == most:
                yield _cut(" ".join([line, *words[i:]]), size, room)
                return
            yield line
        line = _cut(word, size, room)
    if line:
        yield line


def _cut(text: str, size: int, room: float) -> str:
    if lettering.width_of(text, size) <= room:
        return text
    while text and lettering.width_of(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def as_svg(sheet: Layout, scale: int = 1) -> bytes:
    """The sheet as SVG; its texts can be selected and are read aloud."""
    width, height = sheet.width, int(sheet.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width * scale}" height="{height * scale}"'
        f' viewBox="0 0 {width} {height}" role="img" font-family="sans-serif" fill="{_rgb(_INK)}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, shape in enumerate(sheet.shapes):
        parts += _svg(shape, number)
    return "\n".join([*parts, "</svg>\n"]).encode()


def _svg(shape: Shape, number: int) -> Iterator[str]:
    if isinstance(shape, Text):
        anchor = {0.0: "start", 1.0: "end"}.get(shape.anchor, "middle")
        x = shape.x + (0.5 - shape.anchor) * lettering.width_of(shape.text, shape.size) * (anchor == "middle")
        weight = ' font-weight="600"' if shape.bold else ""
        where = f'x="{x:.1f}" y="{shape.y:.1f}" font-size="{shape.size}" text-anchor="{anchor}"{weight}'
        # Names come from documents: what XML can't hold is left out.
        text = "".join(sign for sign in shape.text if sign.isprintable() or sign == NO_BREAK)
        yield f"<text {where}>{escape(text)}</text>"
        return
    if isinstance(shape, Line):
        yield f'<path d="M{shape.x0:.1f} {shape.y0:.1f}V{shape.y1:.1f}" stroke="{_rgb(_INK)}"/>'
        return
    fill, opacity = "", ""
    if len(shape.colours) == 1:
        fill, opacity = _rgb(shape.colours[0][:3]), f' fill-opacity="{shape.colours[0][3] / 255:.3f}"'
    else:
        last = len(shape.colours) - 1
        yield f'<linearGradient id="ramp{number}">'
        for i, colour in enumerate(shape.colours):
            solid = f' stop-opacity="{colour[3] / 255:.3f}"' if colour[3] != 255 else ""
            yield f'<stop offset="{i / last:.4f}" stop-color="{_rgb(colour[:3])}"{solid}/>'
        yield "</linearGradient>"
        fill = f"url(#ramp{number})"
    yield (
        f'<rect x="{shape.x}" y="{shape.y}" width="{shape.width}" height="{shape.height}" fill={quoteattr(fill)}'
        f'{opacity} stroke="{_rgb(_PALE)}" stroke-width="0.7"/>'
    )


def _rgb(colour: Sequence[int]) -> str:
    return hexadecimal((colour[0], colour[1], colour[2], 255))


def as_pixels(sheet: Layout, scale: int = 1) -> NDArray[np.uint8]:
    """The sheet as (height, width, 3)."""
    picture = np.full((int(sheet.height) * scale, sheet.width * scale, 3), 255, np.uint8)
    for shape in sheet.shapes:
        if isinstance(shape, Text):
            size = shape.size * scale
            x = shape.x * scale - shape.anchor * lettering.width_of(shape.text, size)
            lettering.write(picture, shape.text, (x, shape.y * scale), size, _INK, bold=shape.bold)
        elif isinstance(shape, Line):
            x = round(shape.x0 * scale)
            picture[round(shape.y0 * scale) : round(shape.y1 * scale), x : x + scale] = _INK
        else:
            _fill(picture, shape, scale)
    return picture


def _fill(picture: NDArray[np.uint8], box: Box, scale: int) -> None:
    left, top = round(box.x * scale), round(box.y * scale)
    right, bottom = round((box.x + box.width) * scale), round((box.y + box.height) * scale)
    picture[top - 1 : bottom + 1, left - 1 : right + 1] = _PALE
    table = np.array(box.colours, np.float32)
    # As a tile does it: the colour of a value is that of the step below it.
    along = np.linspace(0, len(table) - 1, right - left).astype(int) if len(table) > 1 else np.zeros(right - left, int)
    colours = table[along]
    solid = colours[:, 3:] / 255
    picture[top:bottom, left:right] = (255 + (colours[:, :3] - 255) * solid).round().astype(np.uint8)[None]


def as_png(sheet: Layout, scale: int = 1) -> bytes:
    pixels = as_pixels(sheet, scale)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    return encode(np.ascontiguousarray(np.moveaxis(rgba, 2, 0)), "png")
