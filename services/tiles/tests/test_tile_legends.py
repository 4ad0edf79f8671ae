"""Legends say what tiles show: the same colours, the data's own values, in two languages."""

from __future__ import annotations

import io
import json
import math
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from bocage_kit.identity import Level
from bocage_tiles import lettering
from bocage_tiles.catalogue import Found
from bocage_tiles.drawing import colour, paint_with
from bocage_tiles.legend_pictures import as_pixels, as_svg, lay_out, written
from bocage_tiles.legend_routes import collection_legend
from bocage_tiles.legends import Legend, as_document, hexadecimal, round_values, spelt
from bocage_tiles.parameters import DrawParameters
from bocage_tiles.styles import styled
from hypothesis import example, given, settings
from hypothesis import strategies as st
from styled_products import BROKEN, COLLECTION, ITEM_ASSETS, RENDERS, at, load_product
from tiles_service import RESTRICTED, Service


@pytest.fixture(scope="module", autouse=True)
def product(service: Service) -> None:
    load_product(service)


def told(service: Service, style: str, tongue: str = "en", item: str | None = "sample") -> dict[str, Any]:
    path = f"/tiles/collections/{COLLECTION}/legends/{style}.json" if item is None else at("/legend.json", item)
    asked = {"language": tongue} | ({} if item is None else {"style": style})
    answer = service.get(path, service.anybody, params=asked)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def product_with(render: dict[str, Any], asset: dict[str, Any]) -> Found:
    return Found({}, {"id": "c", "renders": {"s": {"assets": ["a"], **render}}, "item_assets": {"a": asset}}, "1")


def colour_at(document: dict[str, Any], value: float) -> str:
    """What a reader of the legend takes the colour of a value to be."""
    below = [stop for stop in document["stops"] if stop["value"] <= value]
    found: str = (below[-1] if below else document["stops"][0])["colour"]
    return found


@settings(max_examples=200, deadline=None)
@given(
    low=st.floats(-1e5, 1e5),
    span=st.floats(1e-2, 1e6),
    scale=st.floats(1e-4, 1e3),
    offset=st.floats(-1e3, 1e3),
    ramp=st.sampled_from(["viridis", "relief", "rdylgn_r", "magma", None]),
    parts=st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=20),
)
def test_a_tile_has_the_colour_that_the_legend_has_at_its_value(
    low: float, span: float, scale: float, offset: float, ramp: str | None, parts: list[float]
) -> None:
    high = low + span
    found = product_with(
        {"rescale": [[low, high]], **({"colormap_name": ramp} if ramp else {})},
        {"raster:scale": scale, "raster:offset": offset, "unit": "K"},
    )
    style = found.styles["s"]
    document = as_document(collection_legend(found, style), "s", "en")
    stored = np.array([low + part * span for part in parts])
    painting = paint_with(styled(style, DrawParameters(), ()), 1, "a", found.described["a"])
    drawn = colour(np.ma.array(stored[None, None], mask=False), painting)[:, 0]
    assert document["minimum"] == pytest.approx(low * scale + offset, rel=1e-9, abs=1e-9)
    # On the very edge of two colours either is right.
    slack = max(abs(low), abs(high), span) * 1e-11 * scale + abs(offset) * 1e-11
    for value, rgba in zip(stored, drawn.T, strict=True):
        physical = float(value) * scale + offset
        near = {colour_at(document, physical + move) for move in (-slack, 0, slack)}
        assert hexadecimal(tuple(int(part) for part in rgba)) in near  # type: ignore[arg-type]


@given(
    colours=st.dictionaries(st.integers(0, 255), st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=30),
    kind=st.sampled_from(["uint8", "int16", "uint16"]),
)
def test_each_class_of_a_tile_is_in_the_legend_with_its_colour(
    colours: dict[int, tuple[int, int, int]], kind: str
) -> None:
    classes = [
        {"value": value, "name": f"c{value}", "color_hint": "{:02x}{:02x}{:02x}".format(*rgb)}
        for value, rgb in colours.items()
    ]
    found = product_with({}, {"classification:classes": classes})
    style = found.styles["s"]
    entries = as_document(collection_legend(found, style), "s", "en")["entries"]
    painting = paint_with(styled(style, DrawParameters(), ()), 1, "a", found.described["a"])
    values = np.arange(256).astype(kind)
    drawn = colour(np.ma.array(values[None, None], mask=False), painting)[:, 0]
    shown = {entry["value"]: entry["colour"] for entry in entries}
    assert {entry["name"] for entry in entries} == {f"c{value}" for value in colours}
    for value, rgba in zip(values, drawn.T, strict=True):
        if int(value) in colours:
            assert hexadecimal(tuple(int(part) for part in rgba)) == shown[int(value)]  # type: ignore[arg-type]
        else:
            assert rgba[3] == 0


def test_a_ramp_is_told_in_the_units_of_the_data_and_in_both_languages(service: Service) -> None:
    for item in ("sample", None):
        french = told(service, "albedo", "fr", item)
        assert french["kind"] == "ramp" and french["title"] == "Albédo de surface"
        assert french["titles"] == {"en": "Surface albedo", "fr": "Albédo de surface"}
        assert (french["minimum"], french["maximum"], french["unit"]) == (0, pytest.approx(0.5), None)
        water = told(service, "water", "en", item)
        # Stored 50…550, a tenth each, less five.
        assert (water["minimum"], water["maximum"], water["unit"]) == (0, 50, "mg·L⁻¹")
        assert water["title"] == "Suspended matter"
    assert told(service, "stretched")["minimum"] == pytest.approx(0.1 * (50 + 0.02 * 500) - 5, abs=0.3)
    anywhere = told(service, "stretched", item=None)
    assert anywhere["minimum"] is None and len(anywhere["stops"]) == 256


def test_classes_bits_intervals_and_composites_are_named(service: Service) -> None:
    for item in ("sample", None):
        cover = told(service, "land-cover", "fr", item)
        assert cover["kind"] == "classes"
        assert [(each["value"], each["colour"], each["name"]) for each in cover["entries"]] == [
            (1, "#ff00ff", "Bâti dense"), (2, "#70a800", "Prairie & <lande>"), (3, "#0000ff", "water"),
        ]  # fmt: skip
        assert cover["entries"][0]["names"] == {"en": "Dense built-up area", "fr": "Bâti dense"}
        assert [each["colour"] for each in told(service, "towns", item=item)["entries"]] == ["#123456"]
        clouds = told(service, "clouds", "fr", item)
        assert clouds["kind"] == "bits"
        assert [(each["name"], each["bits"], each["value"]) for each in clouds["entries"]] == [
            ("Nuage", {"offset": 0, "length": 1}, 1),
            ("thin", {"offset": 2, "length": 2}, 1),
            ("deep", {"offset": 2, "length": 2}, 3),
        ]
        steps = told(service, "steps", item=item)
        assert [(each["minimum"], each["maximum"], each["colour"]) for each in steps["entries"]] == [
            (-5, 5, "#0000ff"), (5, 25, "#00ff00"), (25, 55, "#ff000080"),
        ]  # fmt: skip
        natural = told(service, "natural", "fr", item)
        assert natural["kind"] == "composite"
        assert [each["name"] for each in natural["entries"]] == ["Rouge : B4", "Vert : Green band", "Bleu : B2"]
        assert natural["entries"][0]["maximum"] == pytest.approx(0.3)
        ndvi = told(service, "ndvi", item=item)
        assert (ndvi["minimum"], ndvi["maximum"], ndvi["unit"]) == (-0.2, pytest.approx(0.9), None)


def test_a_drawing_without_styles_has_a_legend_too(service: Service) -> None:
    found = service.get(service.path("/legend.json"), service.anybody).json()
    known = service.heights[service.heights > -9999]
    assert (found["kind"], found["unit"], found["style"]) == ("ramp", "m", "default")
    assert found["minimum"] == pytest.approx(float(known.min())) and found["maximum"] == pytest.approx(
        float(known.max())
    )
    classes = service.get(service.path("/legend.json"), service.anybody, params={"assets": "validity"}).json()
    assert [each["name"] for each in classes["entries"]] == ["measured", "filled", "hidden"]
    own = service.get(
        service.path("/legend.json"), service.anybody, params={"expression": "b1*2", "rescale": "0,7", "assets": "dsm"}
    ).json()
    assert (own["minimum"], own["maximum"]) == (0, 7) and own["stops"][-1]["colour"] == "#ffffff"
    # One formula over three bands is one band, and three are three.
    for expression, kind in (("b1/b2", "ramp"), ("b1;b2*2;b3/4", "composite")):
        asked = {"expression": expression, "assets": "rgb", "rescale": "0,5000"}
        told = service.get(service.path("/legend.json"), service.anybody, params=asked).json()
        assert told["kind"] == kind
    assert [each["name"] for each in told["entries"]] == ["Red: b1", "Green: b2*2", "Blue: b3/4"]


@pytest.mark.parametrize("style", [name for name in RENDERS if name not in (*BROKEN, "closed")])
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_every_style_has_a_picture(service: Service, style: str, kind: str) -> None:
    for path in (at(f"/legend.{kind}?style={style}"), f"/tiles/collections/{COLLECTION}/legends/{style}.{kind}"):
        answer = service.get(path, service.anybody)
        assert answer.status_code == 200, answer.text
        if kind == "png":
            with rasterio.open(io.BytesIO(answer.content)) as picture:
                assert picture.width == 280 and picture.height > 40
                pixels = picture.read()
                assert len(np.unique(pixels[:3].reshape(3, -1), axis=1).T) > 3 and (pixels[3] == 255).all()
        else:
            assert answer.headers["content-type"].startswith("image/svg+xml")
            assert ElementTree.fromstring(answer.content).tag == "{http://www.w3.org/2000/svg}svg"


def test_svg_holds_the_texts_escaped_and_in_the_language(service: Service) -> None:
    answer = service.get(
        f"/tiles/collections/{COLLECTION}/legends/land-cover.svg", service.anybody, headers={"Accept-Language": "fr-FR"}
    )
    texts = [node.text for node in ElementTree.fromstring(answer.content).iter("{http://www.w3.org/2000/svg}text")]
    assert "Prairie & <lande>" in texts and "Bâti dense" in texts
    assert "<lande>" not in answer.text
    natural = service.get(f"/tiles/collections/{COLLECTION}/legends/natural.svg", service.anybody).text
    assert "(0\xa0–\xa00.3)" in natural, "a range is not torn apart"
    assert "Accept-Language" in answer.headers["vary"]
    english = service.get(f"/tiles/collections/{COLLECTION}/legends/land-cover.svg", service.anybody)
    assert "Meadow" in english.text and english.headers["etag"] != answer.headers["etag"]


def test_the_picture_shows_the_colours(service: Service) -> None:
    answer = service.get(f"/tiles/collections/{COLLECTION}/legends/land-cover.png", service.anybody)
    with rasterio.open(io.BytesIO(answer.content)) as picture:
        shown = {tuple(pixel) for pixel in picture.read().reshape(4, -1).T}
    assert {(255, 0, 255, 255), (0x70, 0xA8, 0, 255), (0, 0, 255, 255)} <= shown


def test_sizes_are_bounded_and_what_is_unchanged_is_not_sent(service: Service) -> None:
    path = f"/tiles/collections/{COLLECTION}/legends/albedo.png"
    wide = service.get(path, service.anybody, params={"width": 600, "scale": 2})
    with rasterio.open(io.BytesIO(wide.content)) as picture:
        assert picture.width == 1200
    for asked in ({"width": 119}, {"width": 1025}, {"scale": 4}):
        assert service.get(path, service.anybody, params=asked).status_code == 422
        assert service.get(at("/legend.png"), service.anybody, params=asked).status_code == 422
    assert service.get(path.replace(".png", ".gif"), service.anybody).status_code == 422
    for there in (path, path.replace(".png", ".json"), at("/legend.svg?style=ndvi")):
        first = service.get(there, service.anybody)
        again = service.get(there, service.anybody, headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304 and not again.content
        assert "public" in first.headers["cache-control"]


def test_legends_of_what_one_may_not_see_are_not_there(service: Service) -> None:
    def answer(path: str, caller: Any) -> tuple[int, dict[str, Any]]:
        found = service.get(path, caller)
        return found.status_code, {**found.json(), "request_id": ""}

    stranger = service.researcher.model_copy(update={"subject": "r2"})
    hidden = answer("/tiles/collections/hidden-product/legends/albedo.json", stranger)
    assert hidden == answer("/tiles/collections/no-product/legends/albedo.json", stranger)
    assert hidden[0] == 404
    assert service.get("/tiles/collections/hidden-product/legends/albedo.json", service.researcher).status_code == 200
    status, problem = answer(f"/tiles/collections/{COLLECTION}/legends/albdo.json", service.anybody)
    assert status == 404 and "Did you mean albedo?" in problem["detail"]
    assert (
        answer(f"/tiles/collections/{COLLECTION}/legends/ramp.json", service.anybody)[1]["code"] == "style-not-drawable"
    )
    assert answer("/tiles/collections/a%00b/legends/albedo.json", service.anybody)[0] == 404


def test_an_items_legend_needs_what_its_preview_needs_and_a_collections_only_sight(service: Service) -> None:
    company = service.company
    assert service.get(at("/legend.png?style=albedo"), company).status_code == 403
    preview = service.identity(subject="p", licences={"CC-BY-NC-4.0": Level.PREVIEW})
    assert service.get(at("/legend.png?style=albedo"), preview).status_code == 200
    closed = service.get(at("/legend.png?style=closed"), preview)
    assert closed.status_code == 403 and closed.json()["required_terms"][0]["licence"] == RESTRICTED
    assert service.get(f"/tiles/collections/{COLLECTION}/legends/closed.png", company).status_code == 200
    path = f"/tiles/collections/{COLLECTION}/legends/albedo.png"
    assert service.get(path, service.tokened(items=frozenset({f"{COLLECTION}/sample"}))).status_code == 200
    assert service.get(path, service.tokened(collections=frozenset({COLLECTION}))).status_code == 200
    assert service.get(path, service.tokened(collections=frozenset({"dsm"}))).status_code == 403


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-6, 1e7), most=st.integers(3, 8))
@example(low=879609.9999999999, span=1e-06, most=6)
def test_ticks_are_few_round_and_within(low: float, span: float, most: int) -> None:
    values = round_values(low, low + span, most)
    assert 1 <= len(values) <= most
    # A multiple of a step is as exact as numbers of its size are.
    slack = max(span * 1e-6, 4 * math.ulp(max(abs(low), abs(low + span))))
    assert all(low - slack <= value <= low + span + slack for value in values)
    assert values == sorted(values)
    if len(values) > 1:
        labels = [spelt(value, "en", values[1] - values[0]) for value in values]
        assert len(set(labels)) == len(labels), labels


def test_numbers_are_spelt_as_people_write_them() -> None:
    assert spelt(0.25, "fr", 0.05) == "0,25" and spelt(0.25, "en", 0.05) == "0.25"
    assert spelt(-5, "fr", 5) == "−5" and spelt(-0.0, "en", 1) == "0" and spelt(1234.5678, "en") == "1235"
    assert spelt(300000, "en", 50000) == "300000" and spelt(0.000125, "en") == "0.000125"
    assert round_values(0, 0.5) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_units_are_written_as_people_write_them() -> None:
    for unit, shown in (
        ("W m-2", "W\xa0m⁻²"), ("m3 ha-1", "m³\xa0ha⁻¹"), ("vol.%", "vol.%"), ("mg.m-3", "mg.m⁻³"), ("m", "m"),
        ("gCO2 m-2", "gCO2\xa0m⁻²"), ("mg·L⁻¹", "mg·L⁻¹"), ("km2", "km²"), ("10-3", "10-3"),
    ):  # fmt: skip
        assert written(unit) == shown


def test_what_people_write_can_be_drawn() -> None:
    signs = (
        "Échantillon synthétique : Évapotranspiration potentielle, pâturages, forêt, âgé, naïve, Noël, où, brûlé, île, "
        "contrôle, garçon, cœur, ŒUVRE, ÀÂÇÈÊËÎÏÔÙÛ ²³⁻¹ · µ ° ’ « » – — … × ± ≤ ≥ % ‰ ₂ ñ č W·m⁻²·sr⁻¹ ABC 0123456789"
    )
    assert [sign for sign in signs if not lettering.knows(sign)] == []
    assert not lettering.knows("漢")
    # Each of them is another picture.
    drawn = {}
    for sign in "eéèêë2²aàâoôöcçnñuùûü·.,0OQ":
        sheet = np.full((30, 30, 3), 255, np.uint8)
        lettering.write(sheet, sign, (5, 22), 14)
        assert (sheet < 200).any(), sign
        drawn[sheet.tobytes()] = sign
    assert len(drawn) == 27


@settings(max_examples=60, deadline=None)
@given(title=st.text(max_size=300), width=st.integers(120, 1024), scale=st.integers(1, 3))
def test_any_title_has_its_place_on_the_sheet(title: str, width: int, scale: int) -> None:
    legend = Legend("ramp", {"en": title}, {"en": title[:9]}, ((0.0, (0, 0, 0, 255)), (1.0, (9, 9, 9, 255))), 0.0, 1.0)
    sheet = lay_out(legend, "en", width)
    assert sheet.height <= 4 * 17 + 80
    pixels = as_pixels(sheet, scale)
    assert pixels.shape == (sheet.height * scale, width * scale, 3)
    # Nothing is cut off at the right edge.
    assert (pixels[:, -2 * scale :] == 255).all()
    ElementTree.fromstring(as_svg(sheet, scale))


def test_item_assets_complete_what_an_item_says(service: Service) -> None:
    found = service.get(at("/legend.json", "few"), service.anybody, params={"assets": "classes"}).json()
    assert [each["name"] for each in found["entries"]] == ["Dense built-up area", "Meadow & <moor>", "water"]
    assert json.dumps(ITEM_ASSETS)
