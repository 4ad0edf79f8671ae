"""Whatever a document holds as styles, reading it and drawing legends of it ends in a picture or a problem."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from bocage_kit.problems import Problem
from bocage_tiles import ramps
from bocage_tiles.catalogue import Found
from bocage_tiles.legend_pictures import as_pixels, as_svg, lay_out
from bocage_tiles.legend_routes import collection_legend
from bocage_tiles.legends import as_document
from bocage_tiles.parameters import DrawParameters
from bocage_tiles.styles import choose_style, read_styles, styled
from hypothesis import given, settings
from hypothesis import strategies as st

ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NUMBER = st.floats(-1e300, 1e300) | st.sampled_from([0, 1, 5e-324, 1e308, -1e308])
COLOUR = st.sampled_from(["#102030", "#10203040", [1, 2, 3], [1, 2, 3, 4], "#12345", [1, 2], "red"]) | ODD
CLASSES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "value": st.integers(-5, 300) | ODD, "name": st.text(max_size=9) | ODD, "title": st.text(max_size=9) | ODD,
            "color_hint": st.sampled_from(["ff0000", "00FF00", "xyz", "#00ff00"]) | ODD, "nodata": ODD,
            "bocage:translations": st.dictionaries(st.sampled_from(["fr", "de"]), ODD, max_size=2) | ODD,
        },
    ),
    max_size=5,
)  # fmt: skip
FIELDS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "offset": st.integers(-1, 40) | ODD, "length": st.integers(0, 40) | ODD, "name": st.just("a") | ODD,
            "classes": CLASSES | ODD,
        },
    ),
    max_size=4,
)  # fmt: skip
RENDERED = [["a"], ["b", "a"], ["a", "b", "c"], []]
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "title": st.text(max_size=30) | ODD,
    "rescale": st.lists(st.lists(NUMBER, min_size=2, max_size=2).map(sorted), min_size=1, max_size=3) | ODD,
    "colormap_name": st.sampled_from(["viridis", "relief", "nothing"]) | ODD,
    "colormap": st.dictionaries(st.sampled_from(["1", "2", "0,5", "5,9", "x", "1,2,3"]), COLOUR, max_size=3) | ODD,
    "bocage:bits": st.sampled_from([["a"], [0, 3], 2, ["b"], []]) | ODD,
    "bidx": st.lists(st.integers(-1, 5), max_size=4) | ODD,
    "expression": st.sampled_from(["b1", "b1/b2", "b1;b2;b3", "b1;b2", "import os"]) | ODD,
    "nodata": NUMBER | st.sampled_from(["nan", "x"]) | ODD,
    "resampling": st.sampled_from(["nearest", "gauss"]) | ODD,
    "minmax_zoom": st.just([3, 12]) | ODD,
    "unscale": st.booleans() | ODD,
    "color_formula": ODD,
    "unit": st.text(max_size=6) | ODD,
    "bocage:default": ODD,
    "bocage:translations": ODD,
}
ASSET = st.fixed_dictionaries(
    {},
    optional={
        "title": ODD, "unit": st.text(max_size=5) | ODD, "raster:scale": NUMBER | ODD, "raster:offset": NUMBER | ODD,
        "classification:classes": CLASSES | ODD, "classification:bitfields": FIELDS | ODD,
        "bands": st.lists(st.dictionaries(st.sampled_from(["name", "unit", "scale"]), ODD), max_size=4) | ODD,
        "roles": ODD, "statistics": ODD,
    },
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    render=st.fixed_dictionaries(
        {"assets": st.sampled_from([["a"], ["a", "b"], ["a", "b", "c"], []])}, optional=MEMBERS
    ),
    assets=st.dictionaries(st.sampled_from(["a", "b", "dsm"]), ASSET | ODD, max_size=2),
    collection=st.dictionaries(st.sampled_from(["language", "title"]), ODD, max_size=2),
)
def test_any_document_gives_a_legend_or_a_problem(
    render: dict[str, Any], assets: dict[str, Any], collection: dict[str, Any]
) -> None:
    found = Found({}, {**collection, "id": "c", "renders": {"s": render}, "item_assets": assets}, "1")
    style = found.styles["s"]
    try:
        choose_style(found.styles, "s", ())
        legend = collection_legend(found, style)
    except Problem as problem:
        assert problem.status == 400 and problem.detail
        return
    for tongue in ("en", "fr"):
        json.dumps(as_document(legend, "s", tongue), allow_nan=False)
        sheet = lay_out(legend, tongue, 200)
        assert as_pixels(sheet).shape[1] == 200
        assert as_svg(sheet).endswith(b"</svg>\n")
    if legend.low is not None and legend.high is not None:
        assert math.isfinite(legend.high - legend.low) and legend.low < legend.high


@given(renders=ODD, assets=ODD, properties=ODD)
def test_any_item_can_be_read(renders: Any, assets: Any, properties: Any) -> None:
    item = {"assets": assets if isinstance(assets, dict) else {}, "renders": renders, "properties": properties}
    found = Found(item, {"id": "c", "renders": renders, "item_assets": assets}, "1")
    assert isinstance(found.styles, dict) and isinstance(found.described, dict)


@given(bits=st.lists(st.integers(0, 7), min_size=1, max_size=8, unique=True), value=st.integers(0, 255))
def test_the_first_bit_that_is_set_gives_the_colour(bits: list[int], value: int) -> None:
    fields = [
        {"name": f"f{bit}", "offset": bit, "length": 1, "classes": [{"value": 1, "color_hint": f"0000{bit + 1:02x}"}]}
        for bit in bits
    ]
    assets = {"a": {"classification:bitfields": fields}}
    render = {"assets": ["a"], "bocage:bits": [f"f{bit}" for bit in bits]}
    style = read_styles([{"renders": {"s": render}}], assets, whole=True)["s"]
    assert style.fault is None and style.colours is not None
    first = next((bit for bit in bits if value >> bit & 1), None)
    for kind in ("uint8", "uint16", "float32"):
        painted = ramps.paint(np.array([[value]], kind), style.colours)[:, 0, 0]
        assert tuple(painted) == ((0, 0, 0, 0) if first is None else (0, 0, first + 1, 255))


def test_classes_and_bits_are_never_mixed_by_resampling() -> None:
    assets = {"a": {"classification:bitfields": [{"name": "cloud", "offset": 0, "length": 1}]}}
    renders = {
        "bits": {"assets": ["a"], "bocage:bits": ["cloud"]},
        "values": {"assets": ["a"], "colormap": {"1": "#ff0000"}},
        "ramp": {"assets": ["a"], "colormap_name": "viridis"},
        "smooth": {"assets": ["a"], "colormap": {"1": "#ff0000"}, "resampling": "average"},
    }
    styles = read_styles([{"renders": renders}], assets, whole=True)
    asked = DrawParameters()
    methods = {name: styled(style, asked, ()).method(False).name for name, style in styles.items()}
    assert methods == {"bits": "nearest", "values": "nearest", "ramp": "bilinear", "smooth": "average"}


@pytest.mark.parametrize("member", ["renders", "properties"])
def test_styles_stand_in_the_item_or_its_properties(member: str) -> None:
    renders = {"x": {"assets": ["a"]}}
    item: dict[str, Any] = {"assets": {"a": {}}, "renders": renders}
    if member == "properties":
        item = {"assets": {"a": {}}, "properties": {"renders": renders}}
    found = Found(item, {"id": "c", "renders": {"y": {"assets": ["a"]}}}, "1")
    assert list(found.styles) == ["x"]
