"""Colour ramps: our own for relief, beside those that come with rio-tiler."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rio_tiler.colormap import cmap as library
from rio_tiler.errors import InvalidColorMapName

Colour = tuple[int, int, int, int]
Discrete = Mapping[int, Colour]
Interval = tuple[tuple[float, float], Colour]


@dataclass(frozen=True)
class BitField:
    """Some bits of a value, and the colours of what they may say; a value without a colour is clear."""

    offset: int
    length: int
    colours: Discrete


@dataclass(frozen=True)
class Bits:
    """Fields drawn over one another, the first on top."""

    fields: tuple[BitField, ...]


Ramp = Discrete | Sequence[Interval]
ColourMap = Ramp | Bits

RELIEF = "relief"
# Position along the ramp, and colour: lightness only grows, so that height reads in grey print and to the colour-blind.
_RELIEF_STOPS: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (0.00, (13, 59, 52)),
    (0.18, (34, 103, 67)),
    (0.36, (108, 140, 73)),
    (0.54, (181, 165, 88)),
    (0.70, (205, 170, 118)),
    (0.85, (223, 200, 178)),
    (1.00, (255, 252, 250)),
)
# Classes without a colour of their own, in their order.
_CLASS_COLOURS: tuple[Colour, ...] = (
    (46, 125, 80, 255),
    (240, 178, 50, 255),
    (190, 60, 60, 255),
    (70, 120, 190, 255),
    (140, 90, 170, 255),
    (120, 120, 120, 255),
)
_NOTHING = frozenset({"outside", "none", "nodata", "no data", "no_data", "background"})


def relief() -> dict[int, Colour]:
    """The relief ramp: 256 colours from deep green through ochre to near white."""
    at = np.linspace(0, 1, 256)
    positions = [position for position, _ in _RELIEF_STOPS]
    bands = [np.interp(at, positions, [colour[band] for _, colour in _RELIEF_STOPS]).round() for band in range(3)]
    return {i: (int(bands[0][i]), int(bands[1][i]), int(bands[2][i]), 255) for i in range(256)}


def names() -> list[str]:
    return sorted([RELIEF, *library.list()])


@lru_cache(256)
def ramp(name: str) -> Ramp | None:
    """The ramp of that name, or None; not to be changed."""
    if name == RELIEF:
        return relief()
    try:
        found = library.get(name)
    except InvalidColorMapName:
        return None
    if isinstance(found, Mapping):
        return {int(key): _colour(value) for key, value in found.items()}
    return [((float(low), float(high)), _colour(value)) for (low, high), value in found]


def _colour(value: Sequence[Any]) -> Colour:
    red, green, blue, *alpha = (int(part) for part in value)
    return red, green, blue, alpha[0] if alpha else 255


def hinted(hint: Any) -> Colour | None:
    """The colour of a `color_hint` (RRGGBB), or None."""
    text = str(hint or "").removeprefix("#")
    return read_colour("#" + text) if len(text) == 6 and _hexadecimal(text) else None


def _hexadecimal(text: str) -> bool:
    return all(sign in "0123456789abcdefABCDEF" for sign in text)


def read_colour(value: Any) -> Colour:
    """`#rrggbb`, `#rrggbbaa`, or three or four numbers of 0…255. Raises ValueError."""
    if isinstance(value, str) and value.startswith("#") and len(value) in (7, 9) and _hexadecimal(value[1:]):
        value = list(bytes.fromhex(value[1:]))
    if (
        isinstance(value, list | tuple)
        and len(value) in (3, 4)
        and all(type(x) is int and 0 <= x <= 255 for x in value)
    ):
        return _colour(value)
    raise ValueError


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def read_colours(document: Any) -> Ramp:
    """A colour map as JSON has it: `{value: colour}`, `{"min,max": colour}` or `[[[min, max], colour], …]`.

    Raises ValueError or TypeError.
    """
    if isinstance(document, Mapping) and 1 <= len(document) <= 512:
        if any("," in str(key) for key in document):
            ranges = [[[float(part) for part in str(key).split(",")], value] for key, value in document.items()]
            return read_colours(ranges)
        return {int(key): read_colour(value) for key, value in document.items()}
    if isinstance(document, list) and 1 <= len(document) <= 256:
        return [((_number(low), _number(high)), read_colour(value)) for (low, high), value in document]
    raise ValueError


def class_colours(classes: Sequence[Mapping[str, Any]]) -> dict[int, Colour]:
    """Colours of `classification:classes`: each class's `color_hint`, else one of ours.

    Classes that mean "nothing here" are clear.
    """
    colours: dict[int, Colour] = {}
    coloured = 0
    for entry in classes[:256]:
        value = entry.get("value")
        if not isinstance(value, int):
            continue
        if entry.get("nodata") or str(entry.get("name", "")).lower() in _NOTHING:
            colours[value] = (0, 0, 0, 0)
        elif (hint := hinted(entry.get("color_hint"))) is not None:
            colours[value] = hint
        else:
            colours[value] = _CLASS_COLOURS[coloured % len(_CLASS_COLOURS)]
            coloured += 1
    return colours


def bit_field(field: Mapping[str, Any], spare: int = 0) -> BitField:
    """The colours of one of `classification:bitfields`: the classes that have a `color_hint` and are not 'no data'.

    Where none has one, all but the value 0 share one of our colours, the `spare`th. Raises ValueError.
    """
    offset, length = field.get("offset"), field.get("length", 1)
    if (
        type(offset) is not int
        or type(length) is not int
        or not (offset >= 0 and length >= 1 and offset + length <= 32)
    ):
        raise ValueError
    classes = [entry for entry in field.get("classes") or () if isinstance(entry, Mapping)]
    colours = {
        entry["value"]: hint
        for entry in classes
        if type(entry.get("value")) is int and not entry.get("nodata") and (hint := hinted(entry.get("color_hint")))
    }
    if not colours:
        own = _CLASS_COLOURS[spare % len(_CLASS_COLOURS)]
        named = {entry["value"]: own for entry in classes if type(entry.get("value")) is int and entry["value"] > 0}
        colours = named or dict.fromkeys(range(1, min(2**length, 256)), own)
    return BitField(offset, length, colours)


def is_table(colours: ColourMap) -> bool:
    """Whether the map has one colour for each of 0…255, to be looked up after rescaling."""
    return isinstance(colours, Mapping) and len(colours) == 256 and min(colours) == 0 and max(colours) == 255


def paint(values: NDArray[Any], colours: ColourMap) -> NDArray[np.uint8]:
    """RGBA of one band: (height, width) → (4, height, width); values without a colour are clear."""
    if isinstance(colours, Mapping) and is_table(colours):
        table = np.array([colours[i] for i in range(256)], np.uint8)
        return np.moveaxis(table[values.astype(np.uint8)], 2, 0)
    if values.dtype == np.uint8:
        # Each value is coloured once, and looked up.
        return paint(np.arange(256, dtype=np.int16)[None], colours)[:, 0][:, values]
    painted = np.zeros((4, *values.shape), np.uint8)
    if isinstance(colours, Bits):
        whole = np.nan_to_num(values).astype(np.int64)
        for field in reversed(colours.fields):
            said = (whole >> field.offset) & (2**field.length - 1)
            for value, colour in field.colours.items():
                painted[:, said == value] = np.array(colour, np.uint8)[:, None]
    elif isinstance(colours, Mapping):
        for value, colour in colours.items():
            painted[:, values == value] = np.array(colour, np.uint8)[:, None]
    else:
        for (low, high), colour in colours:
            painted[:, (values >= low) & (values < high)] = np.array(colour, np.uint8)[:, None]
    return painted
