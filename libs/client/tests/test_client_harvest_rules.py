"""Records of other catalogues, made valid: each rule, that nothing is lost, and that a second time changes nothing."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import harvest_sources as sources
import pytest
from bocage_client import harvest_collections, harvest_items, harvest_structure
from bocage_client.harvest_licences import contradiction, licence
from bocage_client.harvest_normalising import Kind, Odd
from bocage_kit.spdx import normalised
from hypothesis import given, settings
from hypothesis import strategies as st
from offline_schemas import SCHEMAS, faults, in_its_collection

Record = dict[str, Any]


def changed(kind: Kind = Kind.STAC, **properties: Any) -> harvest_items.Normalised:
    return harvest_items.normalise(sources.plain_item(1, **properties), kind)


@pytest.mark.parametrize(
    ("rule", "member", "said", "meant"),
    [
        ("instrument", "instrument", "MSI", None),
        ("list-as-text", "sar:polarizations", "VV VH", ["VV", "VH"]),
        ("list-as-text", "instruments", "OLI,TIRS", ["OLI", "TIRS"]),
        ("list-as-text", "keywords", "snow cover, Alps", ["snow cover", "Alps"]),
        ("text", "processing:version", 2.1, "2.1"),
        ("text", "platform", ["S2A"], "S2A"),
        ("text", "title", "", None),
        ("text", "constellation", {"name": "x"}, None),
        ("number", "eo:cloud_cover", "12.5", 12.5),
        ("number", "eo:cloud_cover", -1, None),
        ("number", "sat:absolute_orbit", "51075", 51075),
        ("number", "sat:relative_orbit", 0, None),
        ("number", "gsd", "ten", None),
        ("grid-code", "grid:code", "T14ULD", "MGRS-14ULD"),
        ("grid-code", "grid:code", "31tcj", "MGRS-31TCJ"),
        ("grid-code", "grid:code", "somewhere", None),
        ("grid-code", "grid:code", 31, None),
        ("doi", "sci:doi", "[]", None),
        ("doi", "sci:doi", '["10.24400/329360/F7Q52MNK"]', "10.24400/329360/F7Q52MNK"),
        ("doi", "sci:doi", "https://doi.org/10.5281/zenodo.1", "10.5281/zenodo.1"),
        ("doi", "sci:doi", "[10.5281/a, 10.5281/b]", "10.5281/a"),
        ("proj-bbox", "proj:bbox", "-102,53.2,-100.3,52.2", [-102.0, 52.2, -100.3, 53.2]),
        ("proj-bbox", "proj:bbox", "[1 2 3 4]", [1.0, 2.0, 3.0, 4.0]),
        ("proj-bbox", "proj:bbox", "1,2,3", None),
        ("proj-bbox", "proj:bbox", [1, "x", 3, 4], None),
        ("orbit-state", "sat:orbit_state", "Descending", "descending"),
        ("orbit-state", "sat:orbit_state", "sideways", None),
        ("timeliness", "product:timeliness", "Nominal", None),
        ("moment", "datetime", "2024-05-01T10:30:00+02:00", "2024-05-01T08:30:00Z"),
        ("moment", "created", "2024-05-01 10:30:00", "2024-05-01T10:30:00Z"),
        ("moment", "published", "yesterday", None),
        ("licence", "license", "CC BY-SA 4.0", "CC-BY-SA-4.0"),
    ],
)
def test_each_rule(rule: str, member: str, said: Any, meant: Any) -> None:
    found = changed(**{member: said})
    assert found.record["properties"].get(member) == meant
    assert rule in found.rules
    assert found.before[member] == said, "what the source said is kept"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("grid:code", "MGRS-14ULD"), ("grid:code", "WRS2-123045"), ("sci:doi", "10.5281/zenodo.1"),
        ("proj:bbox", [500000, 4000000.5, 609800, 4109800]), ("proj:bbox", [1, 2, 0, 3, 4, 9]),
        ("sat:orbit_state", "ascending"), ("product:timeliness", "PT3H"), ("eo:cloud_cover", 0),
        ("instruments", ["msi"]), ("created", "2024-05-01T10:30:00.123456789Z"),
        ("datetime", "2024-05-01T10:30:00+00:00"),
        ("license", "etalab-2.0"), ("license", "other"), ("platform", "sentinel-1a"),
    ],
)  # fmt: skip
def test_what_is_right_stays(member: str, value: Any) -> None:
    found = changed(**{member: value})
    assert found.record["properties"][member] == value
    assert found.rules == ["stac-version"]


def test_members_of_radar() -> None:
    optical = changed(**{"sar:instrument_mode": "INS-NOBS", "instruments": ["msi"]})
    assert "sar:instrument_mode" not in optical.record["properties"]
    assert optical.before["sar:instrument_mode"] == "INS-NOBS" and "sar-of-optical" in optical.rules
    for more in ({"sar:polarizations": ["VV"]}, {"instruments": ["c-sar"]}, {"platform": "S1A"}):
        assert changed(**{"sar:instrument_mode": "IW"}, **more).record["properties"]["sar:instrument_mode"] == "IW"


def test_a_time_of_publication_is_not_that_of_acquisition() -> None:
    said = {"datetime": "2025-04-03T09:00:26.809Z", "start_datetime": "2025-04-02T17:57:41.024Z"}
    both = said | {"end_datetime": said["start_datetime"]}
    made = changed(Kind.GEODES, **both).record
    assert made["properties"]["datetime"] == said["start_datetime"]
    assert made["properties"]["published"] == said["datetime"]
    assert any("timestamps" in x for x in made["stac_extensions"])
    assert changed(Kind.STAC, **both).record["properties"]["datetime"] == said["datetime"], "elsewhere it may differ"
    kept = changed(Kind.GEODES, **both, published="2025-04-03T00:00:00Z").record["properties"]
    assert kept["published"] == "2025-04-03T00:00:00Z"
    unknown = changed(Kind.GEODES)
    assert [x.rule for x in unknown.changes if x.flag] == ["publication-time"]


def test_a_time_of_ingestion_is_not_that_of_observation() -> None:
    said = {"datetime": "2026-01-02T03:00:00Z", "start_datetime": "2008-07-12T00:00:00Z"}
    series = changed(Kind.HYDROWEB, **said, end_datetime="2025-12-30T00:00:00Z", updated=None).record["properties"]
    assert series["datetime"] is None and series["updated"] == said["datetime"]
    scene = changed(Kind.HYDROWEB, **said, end_datetime=said["start_datetime"]).record["properties"]
    assert scene["datetime"] == said["start_datetime"]


def test_half_an_interval_and_no_time() -> None:
    made = changed(datetime=None, start_datetime="2024-01-01T00:00:00Z").record["properties"]
    assert made["datetime"] == "2024-01-01T00:00:00Z" and "start_datetime" not in made
    with pytest.raises(Odd, match="no datetime"):
        changed(datetime="yesterday")


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"type": "Topology"}, "not-an-item"), ({"properties": None}, "not-an-item"),
        ({"geometry": None}, "no-geometry"),
        ({"id": None}, "no-id"), ({"id": "a/b"}, "id"), ({"id": "é"}, "id"), ({"id": "a" * 256}, "id"),
        ({"id": ".a"}, "id"), ({"stac_version": "0.9.0"}, "stac-version"), ({"stac_version": 1}, "stac-version"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken(more: Record, rule: str) -> None:
    with pytest.raises(Odd) as refused:
        harvest_items.normalise(sources.plain_item(1) | more)
    assert refused.value.rule == rule
    for nothing in (None, [], "x", 5):
        with pytest.raises(Odd):
            harvest_items.normalise(nothing)


def test_structure() -> None:
    odd = sources.plain_item(1)
    for name in ("type", "bbox", "stac_extensions", "stac_version"):
        del odd[name]
    odd["links"] = [{"rel": "about"}, "x", {"rel": "about", "href": "https://a.org"}]
    odd["assets"] = {
        "web": {"href": "https://a.org/1.tif", "roles": "data overview"},
        "both": {"href": "s3://b/1.tif", "alternate": {"h": {"href": "https://a.org/2.tif"}, "s": {"href": "s3://c"}}},
        "nowhere": {"href": "s3://b/2.tif"}, "none": {}, "null": None,
    }  # fmt: skip
    found = harvest_items.normalise(odd)
    made = found.record
    assert made["bbox"] == sources.plain_item(1)["bbox"] and made["type"] == "Feature"
    assert made["links"] == [{"rel": "about", "href": "https://a.org"}]
    assert set(made["assets"]) == {"web", "both"} and made["assets"]["web"]["roles"] == ["data", "overview"]
    assert made["assets"]["both"]["href"] == "https://a.org/2.tif"
    assert found.before["assets.nowhere"] == {"href": "s3://b/2.tif"}


def test_extensions_that_are_declared_and_not_used() -> None:
    made = harvest_items.normalise(sources.geodes_item(3, "X"), Kind.GEODES).record
    names = {x.removeprefix(sources.EXTENSIONS).split("/")[1] for x in made["stac_extensions"]}
    assert names == {"product", "processing", "projection", "sat", "eo", "grid", "timestamps"}
    own = "https://example.org/own/v1.0.0/schema.json"
    item = sources.plain_item(1) | {"stac_extensions": ["eo", own, own]}
    assert harvest_items.normalise(item).record["stac_extensions"] == [own]
    assert harvest_items.normalise(item, Kind.GEODES).record["stac_extensions"] == []


def test_couples_by_their_links() -> None:
    def image(name: str, number: int, *others: tuple[str, int]) -> Record:
        links = [
            {"rel": "related", "href": f"https://a.org/items/{other}.json", "stereo-img:number": n}
            for other, n in others
        ]
        return sources.plain_item(number) | {"id": name, "links": links}

    one = harvest_items.normalise(image("one", 1, ("two", 2), ("three", 3))).record
    two = harvest_items.normalise(image("two", 2, ("one", 1), ("three", 3))).record
    last = harvest_items.normalise(image("three", 3, ("one", 1), ("two", 2))).record
    couple = [x["properties"] for x in (one, two, last)]
    assert {x["stereo-img:group"] for x in couple} == {"one+three+two"}
    assert [x["stereo-img:number"] for x in couple] == [1, 2, 3] and {x["stereo-img:count"] for x in couple} == {3}
    assert one["stac_extensions"] == [f"{sources.EXTENSIONS}/stereo-imagery/v1.0.0/schema.json"]
    told = {"stereo-img:group": "g", "stereo-img:count": 2, "stereo-img:number": 1}
    older = sources.plain_item(1, **told) | {
        "stac_extensions": [f"{sources.EXTENSIONS}/stereo-imagery/v0.0.1/schema.json"]
    }
    found = harvest_items.normalise(older)
    assert found.record["stac_extensions"] == one["stac_extensions"] and "stereo" in found.rules
    assert {x: found.record["properties"][x] for x in told} == told
    alone = harvest_items.normalise(sources.plain_item(1))
    assert not any(x.startswith("stereo-img:") for x in alone.record["properties"])


def test_addresses_that_are_signed() -> None:
    base = "https://s3.example.org/b/1.tif"
    for query, rest in (
        ("?X-Amz-Algorithm=A&X-Amz-Date=2026&X-Amz-Expires=900&X-Amz-Signature=f0", ""),
        ("?v=2&Expires=5&Signature=a%3D&Key-Pair-Id=K", "?v=2"),
        ("?st=1&se=2&sp=r&sv=3&sr=c&sig=abc", ""),
    ):
        item = sources.plain_item(1) | {"assets": {"data": {"href": base + query}}}
        found = harvest_items.normalise(item)
        assert found.record["assets"]["data"]["href"] == base + rest and "signature" in found.rules
        assert "f0" not in json.dumps(found.before)
    for href in (base, f"{base}?scope=gdh", f"{base}?se=2&x=%20a"):
        assert harvest_structure.unsigned(href) == href


def test_rights_of_another_platform_are_not_ours() -> None:
    said = {"bocage:owner": "eve", "bocage:audience": "owner", "bocage:shared_with": ["person:ada"], "title": "x"}
    made = harvest_items.normalise(sources.plain_item(1, **said)).record["properties"]
    assert made["title"] == "x" and not any(name in made for name in said if name != "title")
    record = sources.plain_collection("c") | {"bocage:write_scope": "service", "bocage:licences": ["etalab-2.0"]}
    own = harvest_collections.normalise(record).record
    assert "bocage:write_scope" not in own and own["bocage:licences"] == ["etalab-2.0"]


def test_an_item_with_a_licence_of_its_own() -> None:
    for said, own in (
        ("cc-by-nc", "CC-BY-NC-4.0"),
        ("etalab-2.0", "etalab-2.0"),
        ("proprietary", "LicenseRef-undeclared"),
    ):
        assert changed(license=said).record["properties"]["bocage:licences"] == [own], "not its collection's"
    assert "bocage:licences" not in changed().record["properties"]


# -- licences ----------------------------------------------------------------------------------------------------

SPELLINGS = [
    "CC BY-SA 4.0", "CC-BY-SA", "cc-by-nc", "CC-NC-BY-SA", "Etalab-2.0", "Licence Ouverte v2.0 (Etalab)", "cc0",
    "Creative Commons Attribution-NonCommercial 4.0 International", "CC-BY-3.0", "apache 2.0", "ODbL", "MIT",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_licence_means_what_the_platform_takes_it_for(spelling: str) -> None:
    assert licence(spelling).id == normalised(spelling) != spelling or spelling in ("CC-BY-3.0", "MIT")
    assert licence(spelling).flag is None


def test_licences_that_have_no_id() -> None:
    assert licence("proprietary").id == licence("various").id == licence(" ").id == "other"
    unknown = licence("Licence Pléiades")
    assert unknown.id == "other" and unknown.flag is not None and "Pléiades" in unknown.flag
    for kept in ("LicenseRef-Own", "OGL-Canada-2.0", "CC-BY-4.0 AND MIT", "CC-BY-3.0-IGO"):
        assert licence(kept) == (kept, None)
    assert contradiction("Apache-2.0", True) and "etalab-2.0" in str(contradiction("Apache-2.0", True))
    assert contradiction("MIT", False) and contradiction("CC-BY-4.0", True) is None


@given(st.text(max_size=40) | st.sampled_from(SPELLINGS))
def test_a_licence_read_again_is_the_same(spelling: str) -> None:
    once = licence(spelling).id
    assert licence(once) == (once, None)


# -- collections -------------------------------------------------------------------------------------------------


def test_a_collection_of_geodes() -> None:
    said = sources.geodes_collection("THEIA_X")
    found = harvest_collections.normalise(said, Kind.GEODES)
    made = found.record
    assert made["license"] == "Apache-2.0" and made["bocage:licences"] == ["Apache-2.0"], "told, not changed"
    assert [x.rule for x in found.changes if x.flag] == ["licence-contradiction"]
    assert made["summaries"]["constellation"] == ["spot-4", "spot-5"]
    assert made["summaries"]["processing:level"] == ["L2A", "L2B"] and "platform" not in made
    assert made["extent"] == said["extent"] and made["id"] == said["id"]
    assert found.before["constellation"] == "spot-4,spot-5"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"description": None, "title": "Snow"}, {"description": "Snow"}),
        ({"description": "", "title": None}, {"description": "c"}),
        ({"keywords": "a, b,a"}, {"keywords": ["a", "b"]}),
        ({"license": None}, {"license": "other", "bocage:licences": ["LicenseRef-undeclared"]}),
        ({"license": "cc-by-nc"}, {"license": "CC-BY-NC-4.0", "bocage:licences": ["CC-BY-NC-4.0"]}),
        ({"sci:doi": "[]"}, {"sci:doi": None}),
        ({"summaries": {"gsd": [10]}, "gsd": 20, "platform": None}, {"summaries": {"gsd": [10]}, "gsd": None}),
    ],
)
def test_what_collections_get_wrong(more: Record, expected: Record) -> None:
    made = harvest_collections.normalise(sources.plain_collection("c") | more).record
    assert {name: made.get(name) for name in expected} == expected


def test_extents_of_another_form() -> None:
    said = sources.plain_collection("c")
    said["extent"] = {"spatial": {"bbox": [1, 2, 3, 4]}, "temporal": {"interval": ["2020-01-01T01:00:00+01:00", None]}}
    made = harvest_collections.normalise(said).record["extent"]
    assert made["spatial"]["bbox"] == [[1, 2, 3, 4]]
    assert made["temporal"]["interval"] == [["2020-01-01T00:00:00Z", None]]
    for nothing in (None, {}, {"spatial": {"bbox": "all"}, "temporal": {"interval": [[1, 2]]}}):
        found = harvest_collections.normalise(said | {"extent": nothing})
        assert found.record["extent"]["spatial"]["bbox"] == [[-180, -90, 180, 90]]
        assert sum(x.flag for x in found.changes) == 2, "what is not known is told"


# -- for all records ---------------------------------------------------------------------------------------------

ODD = (
    st.none() | st.booleans() | st.integers(-200, 200) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12) | st.lists(st.text(max_size=4) | st.integers(0, 9), max_size=4)
    | st.dictionaries(st.text(max_size=4), st.integers(0, 9), max_size=2)
    | st.sampled_from(["T31TCJ", "[]", "1,2,3,4", "2024-01-01T00:00:00Z", "2024-01-01", "Descending", "VV VH", "CC-BY"])
)  # fmt: skip
PROPERTIES = st.sampled_from(
    [
        "datetime", "start_datetime", "end_datetime", "published", "updated", "instrument", "instruments", "platform",
        "grid:code", "sci:doi", "proj:bbox", "sar:instrument_mode", "sar:polarizations", "sat:orbit_state", "license",
        "eo:cloud_cover", "product:timeliness", "product:timeliness_category", "gsd", "keywords", "stereo-img:count",
        "stereo-img:group", "stereo-img:number", "sat:absolute_orbit", "constellation", "version",
    ]
)  # fmt: skip
MEMBERS = st.sampled_from(["bbox", "links", "assets", "stac_extensions", "stac_version", "collection", "centroid"])
OF_COLLECTIONS = st.sampled_from(
    [
        "title", "description", "keywords", "license", "extent", "platform", "constellation", "instruments", "gsd",
        "processing:level", "summaries", "sci:doi", "links", "assets", "stac_extensions", "bocage:licences",
    ]
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.sampled_from(list(Kind)), st.dictionaries(PROPERTIES, ODD, max_size=6), st.dictionaries(MEMBERS, ODD, max_size=2)
)
def test_an_item_once_normalised_stays(kind: Kind, properties: Record, members: Record) -> None:
    said = sources.geodes_item(4, "X") | members
    said["properties"] = said["properties"] | properties
    given_ = copy.deepcopy(said)
    try:
        once = harvest_items.normalise(said, kind)
    except Odd:
        return
    assert said == given_, "what was given is not touched"
    again = harvest_items.normalise(once.record, kind)
    assert again.record == once.record and again.rules == []
    assert once.record["id"] == said["id"] and once.record["geometry"] == said["geometry"]


@settings(max_examples=300)
@given(st.sampled_from(list(Kind)), st.dictionaries(OF_COLLECTIONS, ODD, max_size=5))
def test_a_collection_once_normalised_stays(kind: Kind, members: Record) -> None:
    said = sources.geodes_collection("X") | members
    given_ = copy.deepcopy(said)
    try:
        once = harvest_collections.normalise(said, kind)
    except Odd:
        return
    assert said == given_
    again = harvest_collections.normalise(once.record, kind)
    assert again.record == once.record and again.rules == []
    assert once.record["id"] == said["id"]


@given(st.lists(st.floats(-180, 180), min_size=2, max_size=2), st.lists(st.floats(-90, 90), min_size=2, max_size=2))
def test_corners_in_any_order(xs: list[float], ys: list[float]) -> None:
    west, east = xs
    south, north = sorted(ys)
    assert harvest_items.corners(f"{west},{north},{east},{south}") == [west, south, east, north]
    assert harvest_items.corners([west, south, east, north]) == [west, south, east, north]


def test_boxes_that_meet() -> None:
    assert harvest_structure.meets([0, 0, 2, 2], [1, 1, 3, 3]) and not harvest_structure.meets(
        [0, 0, 1, 1], [2, 0, 3, 1]
    )
    assert harvest_structure.meets([170, 0, -170, 1], [-175, 0, -171, 1])
    assert not harvest_structure.meets([170, 0, -170, 1], [0, 0, 1, 1])
    assert harvest_structure.meets([0, 0, 5, 1, 1, 9], [1, 1, 2, 2])


# -- by the published schemas ------------------------------------------------------------------------------------


@pytest.mark.skipif(not SCHEMAS, reason="set BOCAGE_TEST_SCHEMAS to a folder of published schemas")
def test_synthetic_records_are_valid_by_the_published_schemas() -> None:
    items = [harvest_items.normalise(sources.geodes_item(n, "X"), Kind.GEODES).record for n in range(5)]
    items += [harvest_items.normalise(sources.hydroweb_item(n, "X"), Kind.HYDROWEB).record for n in range(3)]
    made = harvest_collections.normalise(sources.geodes_collection("X"), Kind.GEODES).record
    assert [fault for record in (*map(in_its_collection, items), made) for fault in faults(record)] == []
    assert list(faults(in_its_collection(sources.geodes_item(1, "X")))) != [], "as they came they are not"


def test_real_records_are_made_valid(test_data: Path) -> None:
    folder = test_data / "stac_real"
    if not folder.is_dir():
        pytest.skip("no real records here: set BOCAGE_TEST_DATA to the folder that holds stac_real")
    known = json.loads((folder / "theia_geodes_collections.json").read_text())
    count = 0
    for provider, kind in (("theia", Kind.THEIA), ("geodes", Kind.GEODES)):
        for name, record in known[provider]["collections_config"].items():
            said = {"id": name, **record}
            found = harvest_collections.normalise(said, kind)
            made = found.record
            assert (made["id"], made["extent"]) == (name, record["extent"])
            assert licence(record["license"]).id == made["license"] == licence(made["license"]).id
            assert made["license"] == record["license"] or found.before["license"] == record["license"]
            assert harvest_collections.normalise(made, kind).record == made
            contradicts = "licence-contradiction" in [x.rule for x in found.changes if x.flag]
            assert contradicts == (record["license"] == "Apache-2.0")
            assert not SCHEMAS or list(faults(made)) == []
            count += 1
    assert count == 74
    (item,) = json.loads((folder / "geodes_search.json").read_text())["features"]
    found = harvest_items.normalise(item, Kind.GEODES)
    made, own = found.record, found.record["properties"]
    assert (made["id"], made["bbox"], made["geometry"]) == (item["id"], item["bbox"], item["geometry"])
    assert set(made["assets"]) == set(item["assets"])
    assert own["datetime"] == own["start_datetime"] == item["properties"]["start_datetime"]
    assert own["published"] == item["properties"]["datetime"] and own["instruments"] == ["MSI"]
    assert own["grid:code"] == "MGRS-14ULD" and not any(x.startswith(("sar:", "sci:")) for x in own)
    assert [x for x in made["links"] if x["rel"] == "license"] == [x for x in item["links"] if x["rel"] == "license"]
    assert harvest_items.normalise(made, Kind.GEODES).record == made
    assert not SCHEMAS or list(faults(in_its_collection(made))) == []
