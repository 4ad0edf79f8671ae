"""Colour ramps: our own for relief, beside those that come with rio-tiler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rio_tiler.colormap import cmap as library
from rio_tiler.errors import InvalidColorMapName

Colour = tuple[int, int, int, int]
Discrete = Mapping[int, Colour]
Interval = tuple[tuple[float, float], Colour]
ColourMap = Discrete | Sequence[Interval]

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


def ramp(name: str) -> ColourMap | None:
    """The ramp of that name, or None."""
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
        hint = str(entry.get("color_hint") or "")
        if entry.get("nodata") or str(entry.get("name", "")).lower() in _NOTHING:
            colours[value] = (0, 0, 0, 0)
        elif len(hint) == 6 and all(sign in "0123456789abcdefABCDEF" for sign in hint):
            colours[value] = (int(hint[:2], 16), int(hint[2:4], 16), int(hint[4:], 16), 255)
        else:
            colours[value] = _CLASS_COLOURS[coloured % len(_CLASS_COLOURS)]
            coloured += 1
    return colours


def is_table(colours: ColourMap) -> bool:
    """Whether the map has one colour for each of 0…255, to be looked up after rescaling."""
    return isinstance(colours, Mapping) and len(colours) == 256 and min(colours) == 0 and max(colours) == 255


def paint(values: NDArray[Any], colours: ColourMap) -> NDArray[np.uint8]:
    """RGBA of one band: (height, width) → (4, height, width); values without a colour are clear."""
    if isinstance(colours, Mapping) and is_table(colours):
        table = np.array([colours[i] for i in range(256)], np.uint8)
        return np.moveaxis(table[values.astype(np.uint8)], 2, 0)
    painted = np.zeros((4, *values.shape), np.uint8)
    if isinstance(colours, Mapping):
        for value, colour in colours.items():
            painted[:, values == value] = np.array(colour, np.uint8)[:, None]
    else:
        for (low, high), colour in colours:
            painted[:, (values >= low) & (values < high)] = np.array(colour, np.uint8)[:, None]
    return painted
