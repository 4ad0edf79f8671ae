"""Named styles: the `renders` of an item or its collection (render extension 2), read once and kept with the item.

What a style says is checked when it is read, and what is wrong with it is told when it is asked for: one broken style
leaves the others as they are. Values of `rescale` and `colormap` are values as they are stored, unless the style says
`unscale: true`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, overload

from bocage_kit.problems import Problem
from rasterio.enums import Resampling

from bocage_tiles import expressions, ramps
from bocage_tiles.assets import MAX_ASSETS
from bocage_tiles.parameters import DrawParameters, DrawWish, Method, Ranges, ReadParameters, ReadWish

DEFAULT = "default"
BITS_FIELD = "bocage:bits"
DEFAULT_FIELD = "bocage:default"
DRAWING = frozenset(DrawParameters.model_fields) - {"style"}
"""The parameters that say what is drawn and how."""
_MOST = 64
_COLOURING = frozenset({"colormap", "colormap_name"})
_MEANT = {"bidx", "expression", "nodata", "resampling", "unscale"}


class _Broken(ValueError):
    """A member of a style says what can't be drawn."""


@dataclass(frozen=True)
class Style:
    """A preset, checked. `fault` says why it can't be drawn, where it can't."""

    name: str
    about: Mapping[str, Any] = field(default_factory=dict, hash=False)
    assets: tuple[str, ...] = ()
    bidx: tuple[int, ...] = ()
    expression: str | None = None
    nodata: float | None = None
    unscale: bool = False
    resampling: Method | None = None
    ranges: Ranges | None = None
    colours: ramps.ColourMap | None = field(default=None, hash=False)
    ramp: str | None = None
    bits: tuple[str | int, ...] = ()
    zooms: tuple[int, int] | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Styled:
    """What is to be drawn: a style, and what a request says otherwise."""

    style: Style
    asked: ReadParameters
    assets: tuple[str, ...]
    bidx: tuple[int, ...]
    expression: str | None
    nodata: float | None
    unscale: bool
    resampling: Method | None
    colormap_name: str | None
    own_colours: bool
    own_ranges: bool

    def method(self, categorical: bool) -> Resampling:
        colours = self.style.colours
        discrete = isinstance(colours, Mapping | ramps.Bits) and not ramps.is_table(colours)
        categorical = categorical or (self.own_colours and discrete)
        return Resampling[self.resampling or ("nearest" if categorical else "bilinear")]

    def ranges(self) -> Ranges | None:
        if self.own_ranges or not isinstance(self.asked, DrawParameters):
            return self.style.ranges
        return self.asked.ranges()

    def colours(self) -> ramps.ColourMap | None:
        if self.own_colours or not isinstance(self.asked, DrawParameters):
            return self.style.colours
        return self.asked.colours()


def read_styles(
    holders: Sequence[Mapping[str, Any]], assets: Mapping[str, Mapping[str, Any]], *, whole: bool
) -> dict[str, Style]:
    """The styles of the first of `holders` that has any; `whole`: the assets are all that there are."""
    for holder in holders:
        renders = holder.get("renders")
        if isinstance(renders, Mapping) and renders:
            named = sorted(renders.items(), key=lambda pair: _rank(*pair))[:_MOST]
            return {name: _read(name, render, assets, whole) for name, render in named}
    return {}


def _rank(name: str, render: Any) -> int:
    """The default comes first; the database keeps no order of an object's members, so that a style must say it is."""
    if isinstance(render, Mapping) and render.get(DEFAULT_FIELD) is True:
        return 0
    return 1 if name == DEFAULT else 2


def _read(name: str, render: Any, assets: Mapping[str, Mapping[str, Any]], whole: bool) -> Style:
    if not isinstance(render, Mapping):
        return Style(name, fault="it is no object")
    try:
        return Style(name=name, about=render, **_members(render, assets, whole))
    except _Broken as broken:
        return Style(name=name, about=render, fault=str(broken))


def _members(render: Mapping[str, Any], assets: Mapping[str, Mapping[str, Any]], whole: bool) -> dict[str, Any]:
    names = render.get("assets")
    if not isinstance(names, list) or not names or not all(isinstance(each, str) for each in names):
        raise _Broken("it names no assets")
    if len(names) > MAX_ASSETS:
        raise _Broken(f"it draws {len(names)} assets, and at most {MAX_ASSETS} can be drawn together")
    if whole and (missing := [each for each in names if each not in assets]):
        raise _Broken(f"the item has no asset {missing[0][:64]}")
    if render.get("color_formula"):
        raise _Broken("color_formula is not supported; say rescale and expression instead")
    found: dict[str, Any] = {"assets": tuple(dict.fromkeys(names)), "unscale": render.get("unscale") is True}
    found["bidx"] = _bands(render.get("bidx"))
    found["expression"] = _expression(render.get("expression"))
    found["nodata"] = _nodata(render.get("nodata"))
    found["resampling"] = _resampling(render.get("resampling"))
    found["ranges"] = _ranges(render.get("rescale"))
    found["zooms"] = _zooms(render.get("minmax_zoom"))
    found |= _colours(render, assets.get(names[0], {}))
    colours = found.get("colours")
    if colours is not None and found["ranges"] is not None and not ramps.is_table(colours):
        raise _Broken("rescale goes with a ramp, and its colours belong to values or ranges of their own")
    return found


def _bands(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not 1 <= len(value) <= 8 or not all(_whole(each, 1) for each in value):
        raise _Broken("bidx is a list of band numbers, counted from 1")
    return tuple(int(each) for each in value)


def _whole(value: Any, least: int) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return number and value == int(value) and value >= least


def _expression(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _Broken("only an expression that is a text can be drawn")
    try:
        return expressions.parse(value).text
    except Problem as problem:
        raise _Broken(problem.detail) from problem


def _nodata(value: Any) -> float | None:
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        raise _Broken("nodata is a number") from None
    # What is not finite is never drawn.
    return number if number is not None and math.isfinite(number) else None


def _resampling(value: Any) -> Method | None:
    if value is None:
        return None
    if value not in get_args(Method):
        raise _Broken(f"resampling is one of {', '.join(get_args(Method))}")
    method: Method = value
    return method


def _ranges(value: Any) -> Ranges | None:
    if value is None:
        return None
    try:
        pairs = tuple((float(low), float(high)) for low, high in value)
    except (TypeError, ValueError, OverflowError):
        pairs = ()
    good = len(pairs) in (1, 3) and all(math.isfinite(high - low) and low < high for low, high in pairs)
    if not good:
        raise _Broken("rescale is [[min, max]] with min < max, once or for each of 3 bands")
    return pairs


def _zooms(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(_whole(each, 0) for each in value):
        raise _Broken("minmax_zoom is [least, most]")
    return int(value[0]), int(value[1])


def _colours(render: Mapping[str, Any], asset: Mapping[str, Any]) -> dict[str, Any]:
    """The colour map: of bits, else written out, else by name."""
    if (wanted := render.get(BITS_FIELD)) is not None:
        return _bits(wanted, asset)
    if (document := render.get("colormap")) is not None:
        try:
            return {"colours": ramps.read_colours(document)}
        except (ValueError, TypeError, RecursionError):
            raise _Broken("colormap gives colours to whole values, to ranges 'min,max', or is a list of both") from None
    name = render.get("colormap_name")
    if name is None:
        return {}
    found = ramps.ramp(name) if isinstance(name, str) else None
    if found is None:
        raise _Broken(f"colormap_name {str(name)[:64]!r} is none of the ramps that /tiles/colorMaps lists")
    return {"colours": found, "ramp": name}


def bit_fields(asset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """`classification:bitfields` of an asset, or of its first band."""
    bands = asset.get("bands")
    first = bands[:1] if isinstance(bands, list) else []
    for holder in (asset, *(band for band in first if isinstance(band, Mapping))):
        fields = holder.get("classification:bitfields")
        if isinstance(fields, list) and fields:
            return [each for each in fields if isinstance(each, Mapping)]
    return []


def named_field(fields: Sequence[Mapping[str, Any]], wanted: str | int) -> Mapping[str, Any] | None:
    """The field of that name, or that begins at that bit."""
    key = "offset" if isinstance(wanted, int) else "name"
    return next((each for each in fields if each.get(key) == wanted), None)


def _bits(wanted: Any, asset: Mapping[str, Any]) -> dict[str, Any]:
    names = wanted if isinstance(wanted, list) else [wanted]
    if not 1 <= len(names) <= 32 or not all(isinstance(each, str) or _whole(each, 0) for each in names):
        raise _Broken(f"{BITS_FIELD} lists names of bit fields, or bits counted from 0")
    names = [each if isinstance(each, str) else int(each) for each in names]
    fields = bit_fields(asset)
    drawn: list[ramps.BitField] = []
    for each in names:
        # A bit that nothing describes is a field of its own.
        described = named_field(fields, each) or ({"offset": each, "length": 1} if isinstance(each, int) else None)
        if described is None:
            known = ", ".join(str(one.get("name")) for one in fields) or "none"
            raise _Broken(f"{BITS_FIELD} names {each[:64]!r}; the asset's bit fields are {known}")
        try:
            drawn.append(ramps.bit_field(described, len(drawn)))
        except (ValueError, TypeError):
            raise _Broken(f"the bit field {str(each)[:64]!r} says no bits") from None
    return {"colours": ramps.Bits(tuple(drawn)), "bits": tuple(names)}


def drawable(styles: Mapping[str, Style]) -> list[Style]:
    return [style for style in styles.values() if style.fault is None]


def choose_style(styles: Mapping[str, Style], name: str | None, explicit: Collection[str]) -> Style | None:
    """The style that a request means: the one it names, or the first where it says nothing about the drawing.

    Raises a 400 problem for a name that there isn't, and for a style that can't be drawn.
    """
    if name is not None and name in styles:
        found = styles[name]
        if found.fault is not None:
            raise Problem(400, "style-not-drawable", f"The style {name[:64]} can't be drawn: {found.fault}.")
        return found
    if name is not None and name != DEFAULT:
        raise unknown_style(name, styles)
    if DRAWING.isdisjoint(explicit):
        return next(iter(drawable(styles)), None)
    return None


def unknown_style(name: str, styles: Iterable[str], status: int = 400) -> Problem:
    names = list(styles)
    near = difflib.get_close_matches(name[:128], names, n=1)
    guess = f" Did you mean {near[0]}?" if near else ""
    listed = f"The styles are {', '.join(names)}." if names else "There are no styles: leave the parameter out."
    return Problem(status, "no-such-style", f"There is no style {name[:64]}.{guess} {listed}", styles=names)


@overload
def styled(style: Style | None, asked: DrawParameters, explicit: Collection[str]) -> DrawWish: ...
@overload
def styled(style: Style | None, asked: ReadParameters, explicit: Collection[str]) -> ReadWish: ...
def styled(style: Style | None, asked: ReadParameters, explicit: Collection[str]) -> ReadWish:
    """`asked`, with what the style says where the request says nothing."""
    if style is None:
        return asked
    own = {name: getattr(asked if name in explicit else style, name) for name in _MEANT}
    assets = tuple(asked.assets) if asked.assets else style.assets
    own_colours = _COLOURING.isdisjoint(explicit)
    return Styled(
        style,
        asked,
        assets,
        tuple(own.pop("bidx")),
        colormap_name=style.ramp if own_colours else getattr(asked, "colormap_name", None),
        own_colours=own_colours,
        own_ranges="rescale" not in explicit,
        **own,
    )
