"""An item and a collection that declare most of the extensions that are known, valid in all of them."""

# ruff: noqa: E501 - tables are read by line
from __future__ import annotations

from typing import Any


def uri(extension: str, version: str) -> str:
    return f"https://stac-extensions.github.io/{extension}/v{version}/schema.json"


ITEM_EXTENSIONS = [
    ("projection", "2.0.0"), ("eo", "2.0.0"), ("raster", "2.0.0"), ("view", "1.1.0"), ("file", "2.1.0"),
    ("processing", "1.2.0"), ("scientific", "1.0.0"), ("sat", "1.2.0"), ("sar", "1.3.0"), ("timestamps", "1.1.0"),
    ("version", "1.2.0"), ("classification", "1.1.0"), ("render", "2.0.0"), ("themes", "1.0.0"), ("contacts", "1.0.0"),
    ("storage", "2.0.0"), ("authentication", "1.1.0"), ("mgrs", "1.0.0"), ("grid", "1.1.0"), ("stereo-imagery", "1.0.0"),
    ("accuracy", "1.0.0-beta.1"), ("product", "1.0.0"), ("web-map-links", "1.2.0"), ("alternate-assets", "1.1.0"),
    ("attribution", "0.1.0"), ("archive", "1.0.0"), ("order", "1.1.0"), ("language", "1.0.0"), ("datacube", "2.3.0"),
]  # fmt: skip
OLDER = [
    ("projection", "1.1.0"), ("eo", "1.1.0"), ("raster", "1.1.0"), ("view", "1.0.0"), ("file", "2.0.0"),
    ("processing", "1.1.0"), ("sat", "1.1.0"), ("sar", "1.1.0"), ("timestamps", "1.0.0"), ("product", "0.1.0"),
    ("storage", "1.0.0"), ("grid", "1.0.0"),
]  # fmt: skip


def item() -> dict[str, Any]:
    """One item with a field or two of each."""
    return {
        "type": "Feature", "stac_version": "1.1.0", "id": "one",
        "stac_extensions": [uri(*extension) for extension in ITEM_EXTENSIONS],
        "geometry": {"type": "Polygon", "coordinates": [[[1, 1], [2, 1], [2, 2], [1, 1]]]}, "bbox": [1, 1, 2, 2],
        "links": [
            {"rel": "xyz", "href": "https://example.org/{z}/{x}/{y}.png", "type": "image/png", "render": "plain"},
            {"rel": "wmts", "href": "https://example.org/wmts", "wmts:layer": "a", "file:size": 5},
            {"rel": "related", "href": "https://example.org/two", "stereo-img:number": 2},
        ],
        "properties": {
            "datetime": "2024-05-01T10:30:00Z", "created": "2024-05-02T00:00:00Z", "platform": "a", "gsd": 10,
            "proj:code": "EPSG:32631", "proj:shape": [10, 20], "proj:bbox": [0, 0, 1, 1], "proj:transform": [1, 0, 0, 0, 1, 0],
            "proj:centroid": {"lat": 45, "lon": 3}, "eo:cloud_cover": 12.5, "eo:snow_cover": 0, "raster:scale": 0.1,
            "view:sun_azimuth": 100, "view:sun_elevation": -3.5, "view:off_nadir": 3, "processing:level": "L1",
            "processing:software": {"a": "1"}, "processing:datetime": "2024-05-01T10:30:00Z", "sci:doi": "10.1234/abc",
            "sci:publications": [{"doi": "10.1234/def", "citation": "x"}], "sat:orbit_state": "crossing", "sat:absolute_orbit": 3,
            "sar:instrument_mode": "IW", "sar:frequency_band": "C", "sar:polarizations": ["VV", "VH"], "sar:looks_range": 2,
            "published": "2024-05-01T10:30:00Z", "expires": "2034-05-01T10:30:00Z", "version": "1", "deprecated": False,
            "renders": {"plain": {"assets": ["image"], "rescale": [[0, 1]], "nodata": 0}},
            "themes": [{"scheme": "https://example.org", "concepts": [{"id": "height", "url": "https://example.org/h"}]}],
            "contacts": [{"name": "A", "emails": [{"value": "a@example.org", "roles": ["owner"]}], "phones": [{"value": "+33123456789"}]}],
            "storage:schemes": {"s": {"type": "custom-s3", "platform": "https://s3.example.org", "requester_pays": False}},
            "auth:schemes": {"key": {"type": "apiKey", "name": "k", "in": "header"}, "web": {"type": "http", "scheme": "basic"}},
            "mgrs:latitude_band": "T", "mgrs:grid_square": "CJ", "mgrs:utm_zone": 31, "grid:code": "MGRS-31TCJ",
            "stereo-img:group": "g", "stereo-img:count": 2, "accuracy:geometric_rmse": 1.5, "product:type": "dsm",
            "product:timeliness": "P1D", "product:timeliness_category": "fast", "attribution": "who", "order:status": "orderable",
            "order:date": "2024-05-01T10:30:00Z", "language": {"code": "fr", "dir": "ltr"}, "languages": [{"code": "en-GB"}],
            "cube:dimensions": {
                "x": {"type": "spatial", "axis": "x", "extent": [0, 1]},
                "t": {"type": "temporal", "extent": ["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]},
                "band": {"type": "bands", "values": ["a", "b"]},
            },
            "cube:variables": {"v": {"dimensions": ["x", "t"], "unit": "m"}},
        },
        "assets": {
            "image": {
                "href": "https://example.org/a.tif", "title": "Image", "roles": ["data"], "type": "image/tiff",
                "proj:shape": [5, 6], "file:size": 12, "file:checksum": "1220ab", "file:local_path": "a/b.tif",
                "bands": [{"name": "b", "eo:common_name": "blue", "eo:center_wavelength": 0.5, "raster:sampling": "area"}],
                "classification:classes": [{"value": 1, "description": "water", "color_hint": "0000FF"}],
                "auth:refs": ["key"], "storage:refs": ["s"], "alternate": {"s3": {"href": "https://example.org/b"}},
                "archive": [{"href": "a.tif", "range": [0, 10]}],
            }
        },
    }  # fmt: skip


def older_item() -> dict[str, Any]:
    """The same of versions that are found in other catalogues."""
    made = item()
    made["stac_extensions"] = [uri(*extension) for extension in OLDER]
    kept = ("datetime", "proj:shape", "eo:cloud_cover", "view:off_nadir", "processing:level", "sar:instrument_mode",
            "sar:frequency_band", "sar:polarizations", "published", "product:type", "grid:code")  # fmt: skip
    made["properties"] = {name: value for name, value in made["properties"].items() if name in kept}
    made["properties"] |= {"proj:epsg": 32631, "sat:orbit_state": "ascending", "storage:platform": "AWS"}
    made["links"] = []
    made["assets"] = {"image": {
        "href": "https://example.org/a.tif", "file:size": 12,
        "eo:bands": [{"name": "b", "common_name": "blue"}],
        "raster:bands": [{"data_type": "uint16", "nodata": "nan", "statistics": {"mean": 1}}],
    }}  # fmt: skip
    return made


def collection() -> dict[str, Any]:
    """A collection with extensions of its own."""
    extensions = [
        ("item-assets", "1.0.0"), ("scientific", "1.0.0"), ("processing", "1.2.0"), ("projection", "2.0.0"), ("eo", "2.0.0"),
        ("themes", "1.0.0"), ("contacts", "1.0.0"), ("render", "2.0.0"), ("version", "1.2.0"), ("timestamps", "1.1.0"),
    ]  # fmt: skip
    return {
        "type": "Collection", "stac_version": "1.1.0", "id": "all", "description": "All.", "license": "other", "links": [],
        "stac_extensions": [uri(*extension) for extension in extensions],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}},
        "item_assets": {"image": {"type": "image/tiff", "roles": ["data"], "proj:shape": [1, 2], "eo:cloud_cover": 3}},
        "sci:doi": "10.1234/abc", "themes": item()["properties"]["themes"], "contacts": item()["properties"]["contacts"],
        "providers": [{"name": "P", "roles": ["producer"], "processing:level": "L2"}], "version": "2", "keywords": ["k"],
        "renders": {"plain": {"assets": ["image"]}}, "published": "2024-05-01T10:30:00Z",
        "summaries": {"gsd": {"minimum": 1, "maximum": 2}},
    }  # fmt: skip
