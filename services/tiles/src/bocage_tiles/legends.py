"""What a legend says: made of the very colours and ranges that a tile is painted with, in the units of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from bocage_kit import language

from bocage_tiles import ramps
from bocage_tiles.drawing import Painting, bands_of
from bocage_tiles.parameters import ReadWish
from bocage_tiles.styles import Style, bit_fields, named_field

Texts = Mapping[str, str]
Kind = Literal["ramp", "classes", "intervals", "bits", "composite"]
_NAMES = ("title", "description", "name")
# No unit is written after a number without dimension.
_DIMENSIONLESS = frozenset({"", "1", "none", "unitless", "dimensionless"})
_CHANNELS: tuple[tuple[str, ramps.Colour, Texts], ...] = (
    ("red", (220, 40, 40, 255), {"en": "Red", "fr": "Rouge"}),
    ("green", (40, 160, 60, 255), {"en": "Green", "fr": "Vert"}),
    ("blue", (45, 90, 210, 255), {"en": "Blue", "fr": "Bleu"}),
)


@dataclass(frozen=True)
class Entry:
    """One colour with its name, and the value, the range or the bits that it stands for."""

    colour: ramps.Colour
    names: Texts
    value: int | None = None
    low: float | None = None
    high: float | None = None
    bits: tuple[int, int] | None = None


@dataclass(frozen=True)
class Legend:
    """`stops` of a ramp: each colour holds from its value on; values are those of the data, in `unit`.

    Without `low` and `high` the range is another in each item.
    """

    kind: Kind
    titles: Texts
    units: Texts = field(default_factory=dict)
    stops: tuple[tuple[float | None, ramps.Colour], ...] = ()
    low: float | None = None
    high: float | None = None
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Band:
    """What is said about a band of an asset."""

    titles: Texts
    units: Texts
    scale: float = 1.0
    offset: float = 0.0


def _said(holder: Mapping[str, Any], members: Sequence[str], own: str) -> Texts:
    """The first of `members` that the holder has, in each language that has one of them."""
    found: dict[str, str] = {}
    for member in members:
        told = language.texts(holder, member, own)
        if isinstance(each := holder.get(member), Mapping):
            told |= {str(code): text for code, text in each.items() if isinstance(text, str)}
        found = told | found
    return found


def band_of(asset: Mapping[str, Any], index: int, own: str) -> Band:
    bands = bands_of(asset)
    band = bands[index - 1] if index <= len(bands) else {}
    several = len(bands) > 1
    titles = (_said(band, _NAMES, own) if several else {}) or _said(asset, _NAMES[:2], own) or _said(band, _NAMES, own)
    units = _said(band, ("unit",), own) or _said(asset, ("unit",), own)
    units = {code: "" if text.strip().lower() in _DIMENSIONLESS else text.strip() for code, text in units.items()}
    return Band(titles, units, _number(band, asset, "scale", 1.0), _number(band, asset, "offset", 0.0))


def _number(band: Mapping[str, Any], asset: Mapping[str, Any], name: str, otherwise: float) -> float:
    for holder in (band, asset):
        for member in (f"raster:{name}", name):
            found = holder.get(member)
            if isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found):
                return float(found)
    return otherwise


def legend_of(
    painting: Painting,
    bands: Sequence[tuple[str, int]],
    wish: ReadWish,
    assets: Mapping[str, Mapping[str, Any]],
    style: Style | None,
    own: str,
) -> Legend:
    """The legend of what is painted. `bands`: those that are read; `own`: the language of the collection's texts."""
    first = bands[0]
    asset = assets.get(first[0], {})
    band = band_of(asset, first[1], own)
    about = style.about if style is not None else {}
    titles = _said(about, ("title",), own) or ({} if wish.expression else band.titles) or {own: _name(style, first[0])}
    units = _said(about, ("unit",), own) or ({} if wish.expression else band.units)
    scaled = (1.0, 0.0) if wish.unscale or wish.expression or band.scale <= 0 else (band.scale, band.offset)
    colours = painting.colours
    formulas = [part.strip() for part in (wish.expression or "").split(";") if part.strip()]
    if colours is None and len(formulas or bands) == 3:
        return Legend("composite", titles, units, entries=_channels(painting, bands, formulas, wish, assets, own))
    if isinstance(colours, ramps.Bits):
        wanted = style.bits if style is not None else ()
        return Legend("bits", titles, entries=_bits(colours, bit_fields(asset), wanted, own))
    if painting.ranges is None and not painting.stretched and isinstance(colours, Mapping):
        return Legend("classes", titles, units, entries=_classes(colours, asset, own))
    if painting.ranges is None and colours is not None and not isinstance(colours, Mapping):
        return Legend("intervals", titles, units, entries=_intervals(colours, scaled))
    return _ramp(painting, titles, units, scaled)


def _name(style: Style | None, asset: str) -> str:
    return asset if style is None else style.name


def _ramp(painting: Painting, titles: Texts, units: Texts, scaled: tuple[float, float]) -> Legend:
    steps = np.arange(256, dtype=np.uint8)
    if painting.colours is None:
        table = [(int(i), int(i), int(i), 255) for i in steps]
    else:
        painted = ramps.paint(steps[None], painting.colours)[:, 0].T
        table = [(int(r), int(g), int(b), int(a)) for r, g, b, a in painted]
    told = None if painting.ranges is None else _told(*painting.ranges[0], *scaled)
    if told is None:
        return Legend("ramp", titles, units, tuple((None, colour) for colour in table))
    low, high = told
    values = [low + i * (high - low) / 255 for i in range(256)]
    return Legend("ramp", titles, units, tuple(zip(values, table, strict=True)), values[0], values[-1])


def _told(low: float, high: float, scale: float, offset: float) -> tuple[float, float] | None:
    """The range in the units of the data; None for one that can't be written, or has no width in them."""
    low, high = low * scale + offset, high * scale + offset
    most = max(abs(low), abs(high))
    return (low, high) if most <= 1e30 and high - low > max(most * 1e-9, 1e-30) else None


def _channels(
    painting: Painting,
    bands: Sequence[tuple[str, int]],
    formulas: Sequence[str],
    wish: ReadWish,
    assets: Mapping[str, Mapping[str, Any]],
    own: str,
) -> tuple[Entry, ...]:
    ranges = painting.ranges or ()
    found = []
    for i, (_, colour, names) in enumerate(_CHANNELS):
        span: tuple[float, float] | None = None
        scale, offset = 1.0, 0.0
        if formulas:
            told: Texts = {own: formulas[i]}
        else:
            asset, index = bands[i]
            band = band_of(assets.get(asset, {}), index, own)
            told = band.titles or {own: asset}
            if not wish.unscale and band.scale > 0:
                scale, offset = band.scale, band.offset
        if ranges:
            span = _told(*ranges[i if len(ranges) == 3 else 0], scale, offset)
        shown = {code: f"{language.best(names, code)}: {language.best(told, code)}" for code in language.OFFERED}
        shown["fr"] = shown["fr"].replace(": ", " : ", 1)
        low, high = span or (None, None)
        found.append(Entry(colour, shown, low=low, high=high))
    return tuple(found)


def _classes(colours: ramps.Discrete, asset: Mapping[str, Any], own: str) -> tuple[Entry, ...]:
    named = {entry["value"]: entry for entry in _described(asset) if type(entry.get("value")) is int}
    return tuple(
        Entry(colour, _said(named.get(value, {}), _NAMES, own) or {own: str(value)}, value=value)
        for value, colour in colours.items()
        if colour[3]
    )


def _described(asset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    for holder in (asset, *bands_of(asset)[:1]):
        found = holder.get("classification:classes")
        if isinstance(found, list) and found:
            return [entry for entry in found if isinstance(entry, Mapping)]
    return []


def _intervals(colours: Sequence[ramps.Interval], scaled: tuple[float, float]) -> tuple[Entry, ...]:
    spans = [(_told(low, high, *scaled), colour) for (low, high), colour in colours]
    return tuple(Entry(colour, {}, low=span[0], high=span[1]) for span, colour in spans if span and colour[3])


def _bits(
    bits: ramps.Bits, described: Sequence[Mapping[str, Any]], wanted: Sequence[str | int], own: str
) -> tuple[Entry, ...]:
    found = []
    for i, drawn in enumerate(bits.fields):
        key: str | int = wanted[i] if i < len(wanted) else drawn.offset
        about = named_field(described, key) or {}
        classes = [each for each in about.get("classes") or () if isinstance(each, Mapping)]
        for value, colour in drawn.colours.items():
            entry: Mapping[str, Any] = next((each for each in classes if each.get("value") == value), {})
            own_name = _said(about, _NAMES, own) or {own: str(key)}
            names = own_name if len(drawn.colours) == 1 and about else _said(entry, _NAMES, own) or own_name
            found.append(Entry(colour, names, value=value, bits=(drawn.offset, drawn.length)))
    return tuple(found)


def as_document(legend: Legend, style: str, tongue: str) -> dict[str, Any]:
    """The legend as JSON: texts in the language asked for, and in each that there is."""
    document: dict[str, Any] = {
        "style": style,
        "language": tongue,
        "kind": legend.kind,
        "title": language.best(legend.titles, tongue),
        "titles": dict(legend.titles),
        "unit": language.best(legend.units, tongue) or None,
    }
    if any(legend.units.values()):
        document["units"] = dict(legend.units)
    if legend.kind == "ramp":
        document |= {"minimum": legend.low, "maximum": legend.high}
        document["stops"] = [{"value": value, "colour": hexadecimal(colour)} for value, colour in _turns(legend.stops)]
        return document
    document["entries"] = [_entry(entry, tongue) for entry in legend.entries]
    return document


def _turns(stops: Sequence[tuple[float | None, ramps.Colour]]) -> list[tuple[float | None, ramps.Colour]]:
    """The stops where the colour changes, and the last; all of a ramp without values."""
    last = len(stops) - 1
    kept = [stop for i, stop in enumerate(stops) if i in (0, last) or stop[1] != stops[i - 1][1]]
    return list(stops) if stops and stops[0][0] is None else kept


def _entry(entry: Entry, tongue: str) -> dict[str, Any]:
    document: dict[str, Any] = {"colour": hexadecimal(entry.colour)}
    if entry.names:
        document |= {"name": language.best(entry.names, tongue), "names": dict(entry.names)}
    if entry.value is not None:
        document["value"] = entry.value
    if entry.low is not None:
        document |= {"minimum": entry.low, "maximum": entry.high}
    if entry.bits is not None:
        document["bits"] = {"offset": entry.bits[0], "length": entry.bits[1]}
    return document


def hexadecimal(colour: ramps.Colour) -> str:
    """`#rrggbb`, with the opacity where it isn't whole."""
    red, green, blue, alpha = colour
    return f"#{red:02x}{green:02x}{blue:02x}" + (f"{alpha:02x}" if alpha != 255 else "")


def round_values(low: float, high: float, most: int = 6) -> list[float]:
    """Values of 1, 2 or 5 times a power of ten between `low` and `high`: at most `most`, and two where there can be."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low] if math.isfinite(low) else []
    power = 10.0 ** math.floor(math.log10(span))
    found: list[float] = []
    for step in (power * factor for factor in (5, 2, 1, 0.5, 0.2, 0.1)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 > most:
            break
        found = [n * step for n in range(first, last + 1)]
    return found or [low, high]


def spelt(value: float, tongue: str, step: float | None = None) -> str:
    """A number as people write it: as many digits as `step` needs, a comma in French, and a real minus."""
    if step:
        digits = min(max(-math.floor(math.log10(abs(step)) + 1e-9), 0), 12)
        text = f"{value:.{digits}f}" if abs(value) < 1e7 else f"{value:.3g}"
    else:
        text = f"{value:.4g}"
    if "e" in text:
        text = f"{float(text):.0f}" if 1 <= abs(float(text)) < 1e7 else text
    text = "0" if float(text) == 0 else text
    return text.replace("-", "−").replace(".", "," if tongue == language.FRENCH else ".")
