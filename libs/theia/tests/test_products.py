"""The collections of product lines: facts by value, styles, both languages, and every schema that they declare."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from bocage_catalogue.validation import check_collection
from bocage_kit.spdx import normalised
from bocage_theia import product_assets, product_records, products
from bocage_tiles.ramps import names as ramp_names
from hypothesis import given
from hypothesis import strategies as st
from offline_schemas import faults

Document = dict[str, Any]
MADE = {document["id"]: document for document in products.collections()}
RECORD = product_records.records()["oso-raster"]
OSO = {
    1: ("Bâtis denses", "Dense built-up", "FF00FF"), 2: ("Bâtis diffus", "Diffuse built-up", "FF55FF"),
    3: ("Zones industrielles et commerciales", "Industrial and commercial areas", "FFAAFF"),
    4: ("Surfaces routes", "Roads", "00FFFF"), 5: ("Colza", "Rapeseed", "FFFF00"),
    6: ("Céréales à pailles", "Straw cereals", "D0FF00"), 7: ("Protéagineux", "Protein crops", "A1D600"),
    8: ("Soja", "Soy", "FFAB44"), 9: ("Tournesol", "Sunflower", "D6D600"), 10: ("Maïs", "Maize", "FF5500"),
    11: ("Riz", "Rice", "C5FFFF"), 12: ("Tubercules et racines", "Tubers and roots", "AAAA61"),
    13: ("Prairies", "Grassland", "AAAA00"), 14: ("Vergers", "Orchards", "AAAAFF"),
    15: ("Vignes", "Vineyards", "550000"), 16: ("Forêts de feuillus", "Broad-leaved forest", "009C00"),
    17: ("Forêts de conifères", "Coniferous forest", "003200"), 18: ("Pelouses", "Natural grassland", "AAFF00"),
    19: ("Landes ligneuses", "Woody moorlands", "55AA7F"), 20: ("Surfaces minérales", "Bare rock", "FF0000"),
    21: ("Plages et dunes", "Beaches and dunes", "FFB802"), 22: ("Glaciers ou neiges", "Glaciers and snow", "BEBEBE"),
    23: ("Eau", "Water", "0000FF"),
}  # fmt: skip


def french(holder: Document) -> Document:
    found: Document = holder["bocage:translations"]["fr"]
    return found


def band(collection: str, asset: str, name: str) -> Document:
    bands = MADE[collection]["item_assets"][asset]["bands"]
    return next(each for each in bands if each["name"] == name)


def value_of(number: float, holder: Document) -> float:
    """What a stored number means."""
    return number * holder.get("raster:scale", 1) + holder.get("raster:offset", 0)


def test_the_23_classes_of_oso() -> None:
    classes = band("oso-raster", "oso", "OCS")["classification:classes"]
    assert {c["value"]: (french(c)["title"], c["title"], c["color_hint"]) for c in classes} == OSO
    vector = MADE["oso-vector"]["item_assets"]["polygons"]["classification:classes"]
    assert vector == classes
    style = MADE["oso-raster"]["renders"]["land-cover"]
    assert style["bidx"] == [1]
    assert style["colormap"] == {str(k): [*bytes.fromhex(colour), 255] for k, (_, _, colour) in OSO.items()}
    assert style["colormap"]["23"] == [0, 0, 255, 255]
    assert band("oso-raster", "oso", "Confidence")["bocage:valid_range"] == [1, 100]
    assert [each["name"] for each in MADE["oso-raster"]["item_assets"]["oso"]["bands"]] == [
        "OCS", "Confidence", "Validity",
    ]  # fmt: skip


def test_soil_moisture_is_a_fifth_of_the_number() -> None:
    asset = MADE["s2mp-rpg-fr"]["item_assets"]["soil_moisture"]
    assert value_of(100, asset) == 20 and asset["unit"] == "vol.%"
    assert (asset["data_type"], asset["nodata"]) == ("uint8", 0)
    assert asset["bocage:valid_range"][1] == value_of(255, asset) == 51
    assert MADE["s2mp-rpg-fr"]["summaries"]["proj:code"] == ["EPSG:4326"]
    style = MADE["s2mp-rpg-fr"]["renders"]["soil-moisture"]
    assert style["rescale"] == [[0, 200]], "0 to 40 vol.%, as stored"


def test_reflectance_aerosols_and_water_vapour() -> None:
    l2a = MADE["sentinel2-l2a-maja"]["item_assets"]
    for kind in ("SRE", "FRE"):
        bands = {name.split("_")[1]: asset["gsd"] for name, asset in l2a.items() if name.startswith(kind)}
        assert bands == {
            "B2": 10,
            "B3": 10,
            "B4": 10,
            "B8": 10,
            "B5": 20,
            "B6": 20,
            "B7": 20,
            "B8A": 20,
            "B11": 20,
            "B12": 20,
        }
    assert value_of(1234, l2a["FRE_B4"]) == pytest.approx(0.1234)
    assert (l2a["FRE_B4"]["data_type"], l2a["FRE_B4"]["nodata"]) == ("int16", -10000)
    assert [each["name"] for each in l2a["ATB_R1"]["bands"]] == ["WVC", "AOT"]
    assert l2a["ATB_R1"]["data_type"] == "uint8"
    assert value_of(40, band("sentinel2-l2a-maja", "ATB_R1", "AOT")) == pytest.approx(0.2)
    vapour = band("sentinel2-l2a-maja", "ATB_R1", "WVC")
    assert value_of(20, vapour) == pytest.approx(1) and vapour["unit"] == "g cm-2"
    assert value_of(255, vapour) == pytest.approx(12.75) == vapour["bocage:valid_range"][1]
    assert MADE["sentinel2-l2a-maja"]["renders"]["true-colour"]["rescale"] == [[0, 1500]] * 3


def test_the_bits_of_the_cloud_mask() -> None:
    fields = MADE["sentinel2-l2a-maja"]["item_assets"]["CLM_R1"]["classification:bitfields"]
    assert [(each["offset"], each["length"], each["name"]) for each in fields] == [
        (0, 1, "all"), (1, 1, "clouds"), (2, 1, "reflectance"), (3, 1, "variation"), (4, 1, "extension"),
        (5, 1, "shadows-inside"), (6, 1, "shadows-outside"), (7, 1, "cirrus"),
    ]  # fmt: skip
    assert all(french(each)["title"] and each["classes"][1]["color_hint"] for each in fields)
    style = MADE["sentinel2-l2a-maja"]["renders"]["clouds"]
    assert set(style["bocage:bits"]) <= {each["offset"] for each in fields}


def test_the_monthly_synthesis() -> None:
    l3a = MADE["sentinel2-l3a-wasp"]["item_assets"]
    assert value_of(5000, l3a["FRC_B8"]) == pytest.approx(0.5) and l3a["FRC_B8"]["nodata"] == -10000
    assert value_of(717, l3a["WGT_R1"]) == pytest.approx(0.717)
    assert l3a["DTS_R1"]["unit"] == "d"
    flags = {each["value"]: each["name"] for each in l3a["FLG_R1"]["classification:classes"]}
    assert flags == {0: "no-data", 1: "cloud", 2: "snow", 3: "water", 4: "land", 5: "shadow", 6: "saturated"}


def test_albedo_and_suspended_matter_and_heights() -> None:
    albedo = MADE["cesbio-s2albedo"]
    for name in ("albedo", "uncertainty"):
        assert albedo["item_assets"][name]["raster:scale"] == 0.0001
    assert albedo["renders"]["albedo"]["rescale"] == [[0, 10000]]
    assert "−0.01" in albedo["description"] and "0.02" in albedo["description"]
    assert albedo["extent"]["temporal"]["interval"] == [["2022-06-01T00:00:00Z", "2022-09-30T23:59:59Z"]]
    spm = MADE["water-spm"]["item_assets"]
    assert set(spm) == {"SPM_B4", "SPM_B8"}
    assert (spm["SPM_B8"]["unit"], spm["SPM_B8"]["nodata"], spm["SPM_B8"]["bocage:valid_range"]) == (
        "mg/L", -10000, [0, 2000],
    )  # fmt: skip
    units = {name: asset["unit"] for name, asset in MADE["forms-t"]["item_assets"].items()}
    assert units == {"height": "m", "volume": "m3 ha-1", "biomass": "Mg ha-1"}
    columns = [each["name"] for each in MADE["hydroweb-rivers"]["item_assets"]["series"]["table:columns"]]
    assert columns == ["datetime", "height_m", "uncertainty_m"]
    assert MADE["hydroweb-rivers"]["sci:doi"] == "10.24400/329360/HYDROWEB_WATER_LEVEL"
    five = [c for c in MADE if c.startswith("lst-")]
    assert [MADE[c]["summaries"]["gsd"][0] for c in five] == [1000, 90, 4, 0.5, 0.02]
    assert MADE["agricarbon-co2-flux"]["bocage:status"] == "in-progress"


@pytest.mark.parametrize("name", MADE)
def test_styles_can_be_drawn(name: str) -> None:
    document = MADE[name]
    assets = document.get("item_assets", {})
    rasters = [asset for asset in assets.values() if asset["type"] == product_assets.COG]
    assert bool(document.get("renders")) == bool(rasters)
    assert all("data_type" in asset for asset in rasters)
    for title, style in document.get("renders", {}).items():
        drawn = [
            product_assets.described(assets[each], number)
            for each in style["assets"] for number in style.get("bidx", [1])
        ]  # fmt: skip
        assert len(drawn) in (1, 3)
        ways = {"colormap_name", "colormap", "bocage:bits"} & set(style)
        assert len(ways) == (1 if len(drawn) == 1 else 0), "a ramp, classes or bits; three bands are colours themselves"
        # Heights differ so much from place to place that each item is stretched by itself; so is what is named so.
        if (style.get("colormap_name", "relief") != "relief" and title != "contrast") or len(drawn) == 3:
            assert len(style["rescale"]) == len(drawn)
            assert all(low < high for low, high in style["rescale"])
        assert style.get("colormap_name", "gray") in ramp_names()
        if classes := drawn[0].get("classification:classes"):
            assert set(style["colormap"]) == {str(each["value"]) for each in classes}
            for each in classes:
                shown = style["colormap"][str(each["value"])]
                assert (shown[3] == 255) == ("color_hint" in each)
                assert not (each.get("nodata") and shown[3])
        if "nodata" in drawn[0]:
            assert style["nodata"] == drawn[0]["nodata"]


@given(
    value=st.floats(-1e4, 1e4), scale=st.sampled_from([1, 0.2, 0.05, 0.005, 0.001, 0.0001]),
    offset=st.sampled_from([0, -273.15, 10]),
)  # fmt: skip
def test_what_is_stored_means_the_value(value: float, scale: float, offset: float) -> None:
    holder = {"raster:scale": scale, "raster:offset": offset}
    assert value_of(product_assets.stored(value, holder), holder) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("name", MADE)
def test_both_languages(name: str) -> None:
    document = MADE[name]
    own = french(document)
    assert set(own) == {"title", "description", "keywords"}
    assert own["description"] != document["description"]
    assert len(own["keywords"]) >= 3 and len(document["keywords"]) >= 3
    assert len(document["description"]) > 60 and len(own["description"]) > 60
    for part in (*document.get("item_assets", {}).values(), *document.get("renders", {}).values()):
        assert part["title"] and french(part)["title"]
        for each in part.get("classification:classes", ()):
            assert each["title"] and french(each)["title"]


@pytest.mark.parametrize("name", MADE)
def test_the_catalogue_takes_it(name: str) -> None:
    check_collection(MADE[name])


@pytest.mark.parametrize("name", MADE)
def test_valid_by_core_and_every_extension_declared(name: str) -> None:
    document = MADE[name]
    assert len(document["stac_extensions"]) >= 1
    assert list(faults(document)) == []


def test_a_wrong_collection_is_refused_by_the_schemas() -> None:
    broken = json.loads(json.dumps(MADE["s2mp-rpg-fr"]))
    broken["item_assets"]["soil_moisture"]["raster:scale"] = "0.2"
    assert any("/raster/" in fault for fault in faults(broken))


def test_licences_are_spdx_and_known_to_the_platform(module_database: Any) -> None:
    with psycopg.connect(module_database.admin_url) as connection:
        known = {row[0] for row in connection.execute("select id from rights.licence")}
    for name, document in MADE.items():
        licence = document["license"]
        assert licence == normalised(licence), name
        assert set(document["bocage:licences"]) <= known, name
        if licence in known:
            assert document["bocage:licences"] == [licence], name
            assert [link["title"] for link in document["links"] if link["rel"] == "license"] == [licence], name
        else:
            assert document["bocage:licences"] == ["LicenseRef-Bocage-Restricted"], name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: {en: Height, fr: Hauteur, en mètres}", "put texts with commas in quotes"),
        ("a: {title: x}\na: {title: y}", "stands twice"),
        ("a:\n  title:\n", "has no value"),
    ],
)
def test_what_an_editor_would_not_notice_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        product_records.read(text, "new.yaml")


@pytest.mark.parametrize("fact", product_records.FACTS)
def test_a_record_says_something_of_every_fact(fact: str) -> None:
    record = dict(RECORD)
    product_records.check(record, "land.yaml: oso-raster")
    del record[fact]
    with pytest.raises(ValueError, match=fact):
        product_records.check(record, "land.yaml: oso-raster")
    with pytest.raises(ValueError, match="colour"):
        product_records.check({**record, fact: "none", "colour": "red"}, "land.yaml: oso-raster")


def test_making_collections_changes_no_record() -> None:
    before = json.dumps(product_records.records(), default=str)
    first = json.dumps(products.collections())
    assert json.dumps(products.collections()) == first
    assert json.dumps(product_records.records(), default=str) == before
