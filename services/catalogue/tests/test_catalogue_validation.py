"""Objects are accepted and refused as the published schemas do, and what is at fault is named."""

# ruff: noqa: E501 - tables are read by line
from __future__ import annotations

import copy
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import stac_examples
from bocage_catalogue import validation
from bocage_catalogue.extension_schemas import known_extensions
from bocage_kit.problems import Problem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# Copies of the published schemas, laid out as <host>/<path>; of real records, GeoJSON feature collections.
_SCHEMAS, _RECORDS = os.environ.get("BOCAGE_TEST_SCHEMAS", ""), os.environ.get("BOCAGE_TEST_RECORDS", "")
CHECKS = {"Feature": validation.check_item, "Collection": validation.check_collection}


def errors_of(document: dict[str, Any]) -> list[dict[str, str]]:
    """What is wrong with it, by ours."""
    try:
        CHECKS[document["type"]](document)
    except Problem as problem:
        assert problem.status == 400
        found: list[dict[str, str]] = problem.members["errors"]
        assert 1 <= len(found) <= 10
        return found
    return []


@pytest.mark.parametrize("made", [stac_examples.item, stac_examples.older_item, stac_examples.collection])
def test_examples_are_valid(made: Any) -> None:
    assert errors_of(made()) == []


def test_all_known_extensions_make_schemas() -> None:
    known = list(known_extensions())
    assert len({name for name, _ in known}) >= 28
    for name, version in known:
        for kind in ("item", "collection"):
            assert validation._known(stac_examples.uri(name, version)) == (name, version)
            assert validation._extension(kind, name, version) is not validation._core(kind)


@pytest.mark.parametrize(
    ("path", "value", "field", "reason"),
    [
        ("properties.eo:cloud_cover", 101, "properties.eo:cloud_cover", "must be at most 100"),
        ("properties.eo:cloud_cover", "much", "properties.eo:cloud_cover", "must be of type number"),
        ("properties.eo:cloudcover", 5, "properties.eo:cloudcover", "is no field of the extension eo"),
        ("properties.sar:frequency_band", "Q", "properties.sar:frequency_band", "must be one of P, L, S, C, X, Ku, K, Ka"),
        ("properties.grid:code", None, "properties.grid:code", "is missing"),
        ("properties.datetime", "yesterday", "properties.datetime", "must be a date-time"),
        ("properties.datetime", None, "properties.datetime", "must be a time, or start_datetime and end_datetime must be given"),
        ("properties.created", "2024-05-01T10:30:00+02:00", "properties.created", "must match (\\+00:00|Z)$"),
        ("properties.gsd", 0, "properties.gsd", "must be more than 0"),
        ("assets.image.proj:shape", [1], "assets.image.proj:shape", "must have at least 2 elements"),
        ("assets.image.bands", [{"eo:common_name": "bleu"}], "assets.image.bands.0.eo:common_name", "must be one of"),
        ("assets.image.roles", "data", "assets.image.roles", "must be of type array"),
        ("geometry.coordinates", [[["a", 1], [2, 1], [2, 2], [1, 1]]], "geometry.coordinates.0.0.0", "must be of type number"),
        ("links", [{"rel": "about"}], "links.0.href", "is missing"),
        ("bbox", [1, 2, 3], "bbox", "must have at least 4 elements"),
        ("properties.contacts", [{"name": "a", "emails": [{"value": "nobody"}]}], "properties.contacts.0.emails.0.value", "must be a email"),
    ],
)  # fmt: skip
def test_the_field_at_fault_is_named(path: str, value: Any, field: str, reason: str) -> None:
    changed = put(stac_examples.item(), path.split("."), value)
    found = errors_of(changed)
    assert any(e["field"] == field and e["reason"].startswith(reason) for e in found), found


def test_several_faults_at_once() -> None:
    changed = put(stac_examples.item(), ["properties", "eo:cloud_cover"], -1)
    changed = put(changed, ["assets", "image", "file:size"], -1)
    changed = put(changed, ["id"], None)
    assert {e["field"] for e in errors_of(changed)} == {"properties.eo:cloud_cover", "assets.image.file:size", "id"}
    many = stac_examples.item()
    many["assets"] = {f"a{n}": {} for n in range(50)}
    assert len(errors_of(many)) == 10


def test_unknown_extensions_are_nobodys_error() -> None:
    made = stac_examples.item()
    made["stac_extensions"] += ["https://example.org/ours/v1.0.0/schema.json", stac_examples.uri("eo", "9.9.9")]
    made["properties"] |= {"ours:field": {"anything": [1]}}
    assert errors_of(made) == []


def put(document: Any, path: list[Any], value: Any) -> Any:
    """A copy with `value` at `path`; None takes it away."""
    made = copy.deepcopy(document)
    node = made
    for part in path[:-1]:
        node = node[part]
    if value is None and isinstance(node, dict):
        node.pop(path[-1], None)
    else:
        node[path[-1]] = value
    return made


def paths(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here] if here else []
    if isinstance(node, dict):
        for name, inner in node.items():
            found += paths(inner, (*here, name))
    elif isinstance(node, list):
        for place, inner in enumerate(node):
            found += paths(inner, (*here, place))
    return found


@lru_cache
def published() -> dict[str, Any]:
    """A validator of each published schema, by its address."""
    root = Path(_SCHEMAS)
    names = {name for name, _ in known_extensions()}
    folders = [root / "geojson.org", root / "proj.org", *(root / "schemas.stacspec.org").glob("v1.?.0")]
    folders += [root / "stac-extensions.github.io" / name for name in names]
    released = [file for folder in folders for file in folder.rglob("*.json")]
    files = {f"https://{file.relative_to(root)}": json.loads(file.read_text()) for file in released}
    resources = list(files.items())
    resources += [(address.replace("proj.org/schemas/v0.7/", f"proj.org/schemas/v0.{n}/"), schema)
                  for address, schema in resources if "/v0.7/projjson" in address for n in range(1, 7)]  # fmt: skip
    for draft in ("draft-07",):
        metaschema = json.loads((root / "json-schema.org" / draft / "schema").read_text())
        resources.append((f"http://json-schema.org/{draft}/schema", metaschema))
    registry = jsonschema_rs.Registry(resources, draft=jsonschema_rs.Draft7)
    wanted = {stac_examples.uri(*known) for known in known_extensions()} | set(validation.CORE.values())
    return {
        address: jsonschema_rs.Draft7Validator(
            {"$ref": address}, registry=registry, validate_formats=True, offline=True,
            formats={"iri-reference": lambda _value: True},
        )
        for address in wanted
        if address in files
    }  # fmt: skip


def refused_by_published(document: dict[str, Any]) -> list[str]:
    core = validation.CORE["item" if document["type"] == "Feature" else "collection"]
    declared = document.get("stac_extensions")
    addresses = [core, *(x for x in (declared if isinstance(declared, list) else []) if isinstance(x, str))]
    return [x for x in addresses if x in published() and not published()[x].is_valid(document)]


MUTATIONS = st.one_of(
    st.none(), st.booleans(), st.integers(-400, 400), st.floats(-400, 400), st.text("aZ9:-+ é", max_size=4),
    st.sampled_from([[], {}, "", "2024-05-01T10:30:00Z", "EPSG:4326", "https://example.org", ["data"], [0, 1], {"type": "x"},
                     [1, 2, 3, 4], {"a": 1}, "VV", "fr", "P1D", 1e9, [[0, 1]], "10.1/x"]),
)  # fmt: skip
EXAMPLES = [stac_examples.item(), stac_examples.older_item(), stac_examples.collection()]


def verdicts(document: dict[str, Any]) -> tuple[bool, bool]:
    """Of the schema that says all at once, and of those that it is made of."""
    kind = "item" if document["type"] == "Feature" else "collection"
    declared = document.get("stac_extensions")
    uris = tuple(x for x in declared if isinstance(x, str)) if isinstance(declared, list) else ()
    apart = [validation._core(kind), *(validation._extension(kind, *one) for one in validation._all_known(uris))]
    return validation._declared(kind, uris).is_valid(document), all(one.is_valid(document) for one in apart)


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_all_at_once_says_what_each_says(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(EXAMPLES))
    for _ in range(data.draw(st.integers(0, 2))):
        path = data.draw(st.sampled_from(paths(document)))
        if path != ("type",):
            document = put(document, list(path), data.draw(MUTATIONS))
    at_once, apart = verdicts(document)
    assert at_once == apart


def test_bands_are_looked_into_at_any_depth() -> None:
    for depth in range(1, 6):
        for fault, valid in (({"eo:common_name": "red"}, True), ({"gsd": -1}, False), ({"name": 5}, False)):
            band: dict[str, Any] = {"name": "b", **fault}
            for _ in range(depth):
                band = {"name": "b", "bands": [band]}
            assert verdicts(put(stac_examples.item(), ["assets", "image", "bands"], [band])) == (valid, valid), (
                depth,
                fault,
            )
    strange = put(stac_examples.item(), ["assets", "image", "bands"], [{"eo:mist": 1}])
    assert verdicts(strange) == (False, False)


@pytest.mark.skipif(not _SCHEMAS, reason="BOCAGE_TEST_SCHEMAS names no folder of the published schemas")
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_as_the_published_schemas(data: st.DataObject) -> None:
    """The same verdict on mutations of the examples, one or two at once."""
    document = data.draw(st.sampled_from(EXAMPLES))
    for _ in range(data.draw(st.integers(0, 2))):
        path = data.draw(st.sampled_from(paths(document)))
        if path not in (("type",), ("collection",)):
            document = put(document, list(path), data.draw(MUTATIONS))
    theirs, ours = refused_by_published(document), errors_of(document)
    assert bool(ours) == bool(theirs), (ours, theirs)


@pytest.mark.skipif(not (_SCHEMAS and _RECORDS), reason="BOCAGE_TEST_RECORDS names no folder of real records")
def test_real_records_as_the_published_schemas() -> None:
    seen = 0
    for file in sorted(Path(_RECORDS).glob("*.json")):
        found = json.loads(file.read_text())
        for record in found.get("features") or ():
            record = {**record, "stac_version": "1.1.0"}
            record["links"] = [link for link in record.get("links") or () if link.get("rel") != "collection"]
            record.pop("collection", None)
            for changed in [record, *(put(record, list(path), value) for path in paths(record)
                                      for value in (None, -1, "x", []) if path[0] != "type")]:  # fmt: skip
                seen += 1
                assert bool(errors_of(changed)) == bool(refused_by_published(changed)), errors_of(changed)
    assert seen
