"""What clients may ask of a picture, with bounds on everything."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

from bocage_kit.problems import Problem
from pydantic import BaseModel, Field, StringConstraints
from rasterio.enums import Resampling

from bocage_tiles import ramps
from bocage_tiles.assets import MAX_ASSETS
from bocage_tiles.expressions import MAX_LENGTH

Method = Literal["nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode"]
Ranges = tuple[tuple[float, float], ...]
AssetName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
StyleName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class ReadWish(Protocol):
    """What is to be read: a request's own words, or a style's with them."""

    @property
    def assets(self) -> Sequence[str]: ...
    @property
    def bidx(self) -> Sequence[int]: ...
    @property
    def expression(self) -> str | None: ...
    @property
    def nodata(self) -> float | None: ...
    @property
    def unscale(self) -> bool: ...
    def method(self, categorical: bool) -> Resampling: ...


class DrawWish(ReadWish, Protocol):
    """What is to be read, and how it is to be coloured."""

    @property
    def colormap_name(self) -> str | None: ...
    def ranges(self) -> Ranges | None: ...
    def colours(self) -> ramps.ColourMap | None: ...


class ReadParameters(BaseModel):
    """What is read."""

    assets: list[AssetName] = Field(
        default=[], max_length=MAX_ASSETS, description="Names of assets; default: the item's elevation or first raster."
    )
    bidx: list[Annotated[int, Field(ge=1, le=65535)]] = Field(
        default=[], max_length=8, description="Bands, counted from 1; for one asset."
    )
    expression: str | None = Field(
        default=None,
        max_length=MAX_LENGTH,
        description="One formula, or three separated by `;`, over b1, b2, … of what is read.",
    )
    nodata: float | None = Field(default=None, description="Value that means 'no data', instead of the file's own.")
    unscale: bool = Field(default=False, description="Apply the file's scale and offset.")
    resampling: Method | None = Field(default=None, description="Default: bilinear, nearest for classes.")
    style: StyleName | None = Field(
        default=None,
        description="Name of one of the `renders` of the item or its collection; other parameters win over it.",
    )

    def method(self, categorical: bool) -> Resampling:
        return Resampling[self.resampling or ("nearest" if categorical else "bilinear")]


class DrawParameters(ReadParameters):
    """What is read, and how it is coloured; without them, each asset has its own sensible drawing."""

    rescale: list[Annotated[str, StringConstraints(max_length=200)]] = Field(
        default=[], max_length=4, description="`min,max`, once or once per band."
    )
    colormap_name: str | None = Field(
        default=None, max_length=64, description="A ramp of `/tiles/colorMaps`, for one band."
    )
    colormap: str | None = Field(
        default=None, max_length=16_384, description="JSON: `{value: colour}` or `[[[min, max], colour], …]`."
    )

    def ranges(self) -> Ranges | None:
        if not self.rescale:
            return None
        try:
            numbers = [float(part) for text in self.rescale for part in text.split(",")]
        except ValueError:
            numbers = []
        pairs = tuple(zip(numbers[::2], numbers[1::2], strict=False))
        good = len(numbers) in (2, 6) and all(map(math.isfinite, numbers)) and all(low < high for low, high in pairs)
        if not good:
            raise Problem(400, "invalid-rescale", "rescale is `min,max` with min < max, once or for each of 3 bands.")
        return pairs

    def colours(self) -> ramps.ColourMap | None:
        if self.colormap is not None:
            return _colours(self.colormap)
        if self.colormap_name is None:
            return None
        if (found := ramps.ramp(self.colormap_name)) is None:
            raise Problem(400, "no-such-ramp", "colormap_name is none of the ramps that /tiles/colorMaps lists.")
        return found


class PreviewParameters(DrawParameters):
    """A picture of the whole asset."""

    max_size: int = Field(default=1024, ge=1, le=2048, description="Longest side, when width and height are not given.")
    width: int | None = Field(default=None, ge=1, le=2048)
    height: int | None = Field(default=None, ge=1, le=2048)


class StatisticsParameters(ReadParameters):
    """Statistics over the asset's pixels, from an overview of at most `max_size`."""

    max_size: int = Field(default=1024, ge=1, le=2048)
    p: list[Annotated[int, Field(ge=0, le=100)]] = Field(default=[2, 98], max_length=16, description="Percentiles.")
    histogram_bins: int = Field(default=10, ge=1, le=256)
    categorical: bool = False


def _colours(text: str) -> ramps.ColourMap:
    try:
        return ramps.read_colours(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        raise Problem(
            400,
            "invalid-colormap",
            'colormap is JSON: {"1": [255, 0, 0], "2": "#00ff00"} or [[[0, 10], [255, 0, 0]], [[10, 20], "#00ff00"]].',
        ) from None
