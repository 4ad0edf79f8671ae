"""Collections and items made up for measurements: the same for the same numbers, on every machine."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

SINCE = datetime(2018, 1, 1, tzinfo=UTC)
DAYS = 2557  # seven years
_EXTENSIONS = "https://stac-extensions.github.io"
_TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"
_BANDS = (
    ("blue", "B02", 0.49, 10), ("green", "B03", 0.56, 10), ("red", "B04", 0.665, 10), ("nir", "B08", 0.842, 10),
    ("swir16", "B11", 1.61, 20), ("swir22", "B12", 2.19, 20), ("scl", "SCL", None, 20), ("visual", "TCI", None, 10),
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A catalogue that is made up: its collections with the share that each has of the items, and what items are."""

    collections: tuple[tuple[str, float], ...]
    area: tuple[float, float, float, float]
    bands: int = len(_BANDS)
    external: bool = False
    """Files on another host, as anybody may name them; else in the platform's store."""

    def counts(self, items: int) -> dict[str, int]:
        """How many items each collection has: the last one takes the rest."""
        found = {name: int(items * share) for name, share in self.collections[:-1]}
        return found | {self.collections[-1][0]: items - sum(found.values())}


FRANCE = Made(
    (("optical-2a", 0.40), ("optical-1c", 0.25), ("wide-optical", 0.20), ("radar", 0.149), ("campaign", 0.001)),
    (-5.0, 42.0, 9.0, 51.0),
)
"""As many scenes in one place as a national archive has; items of five and a half kilobytes."""

WORLD = Made(tuple((f"archive-{n:02d}", 0.05) for n in range(20)), (-20.0, -35.0, 50.0, 70.0), 2, external=True)
"""Twenty collections over Europe and Africa; items of two and a half kilobytes."""


def collection(name: str) -> dict[str, Any]:
    """A public collection that says of its items' assets what is common to them."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "title": f"Scenes of {name}",
        "description": "Scenes made up for a measurement.",
        "keywords": ["measurement", "scenes"],
        "license": "other",
        "bocage:licences": ["etalab-2.0"],
        "bocage:audience": "public",
        "providers": [{"name": "Measurement", "roles": ["host"], "url": "https://example.org"}],
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [[SINCE.isoformat().replace("+00:00", "Z"), None]]},
        },
        "links": [],
        "summaries": {"platform": ["mission-a", "mission-b"], "gsd": [10, 20]},
        "item_assets": {key: {"type": _TIFF, "roles": ["visual" if key == "visual" else "data"]} for key, *_ in _BANDS},
    }


def _footprint(dice: random.Random, area: tuple[float, float, float, float]) -> list[list[float]]:
    """A tile of a grid of one degree, slightly askew; a third of them cut by the edge of the orbit."""
    west = math.floor(dice.uniform(area[0], area[2]))
    south = math.floor(dice.uniform(area[1], area[3]))
    tilt, width = dice.uniform(-0.03, 0.03), 1.1
    ring = [
        [west, south + 1.0],
        [west + tilt, south],
        [west + width + tilt, south + 0.02],
        [west + width, south + 1.02],
    ]
    if dice.random() < 0.35:
        part = dice.uniform(0.3, 0.9)
        ring[2] = [west + width * part + tilt, south + 0.01]
        ring[3] = [west + width * (part - 0.15), south + 1.01]
    ring.append(ring[0])
    return [[round(x, 6), round(y, 6)] for x, y in ring]


def _asset(dice: random.Random, made: Made, place: str, number: int, epsg: int) -> tuple[str, dict[str, Any]]:
    key, band, wavelength, metres = _BANDS[number]
    size = 109_800 // metres
    raster = {"nodata": 0, "data_type": "uint16", "bits_per_sample": 15, "raster:scale": 0.0001, "raster:offset": -0.1}
    told: dict[str, Any] = {"name": band, **raster}
    if wavelength is not None:
        told |= {"eo:common_name": key, "eo:center_wavelength": wavelength, "eo:full_width_half_max": 0.07}
    asset = {
        "href": f"https://files.example.org/{place}/{key}.tif" if made.external else f"store:{place}/{key}",
        "type": _TIFF,
        "roles": ["visual" if key == "visual" else "data"],
        "title": f"{band} - {key} {metres} m",
        "gsd": metres,
        "proj:code": f"EPSG:{epsg}",
        "proj:shape": [size, size],
        "proj:transform": [metres, 0, 300_000 + dice.randrange(5) * 99_960, 0, -metres, 4_700_040],
        "file:size": dice.randrange(5_000_000, 220_000_000),
        "bands": [told] * (3 if key == "visual" else 1),
    }
    if made.external:
        asset["bocage:external"] = True
    else:
        asset["file:checksum"] = f"1220{dice.getrandbits(256):064x}"
    return key, asset


def item(made: Made, holder: str, number: int) -> dict[str, Any]:
    """The item with this number in a collection; no two have the same moment or cloud cover, but for rare chances."""
    dice = random.Random(f"{holder}/{number}")  # noqa: S311 - repeatable, not secret
    ring = _footprint(dice, made.area)
    moment = SINCE + timedelta(milliseconds=dice.randrange(DAYS * 86_400_000))
    zone = int((ring[0][0] + 180) // 6) + 1
    epsg, tile = 32600 + zone, f"{zone}T{dice.choice('KLMN')}{dice.choice('ABCD')}"
    name = f"{holder.upper()}_{tile}_{moment:%Y%m%dT%H%M%S}_{number:07d}"
    xs, ys = [x for x, _ in ring], [y for _, y in ring]
    place = f"collections/{holder}/{name}"
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            f"{_EXTENSIONS}/{extension}/schema.json"
            for extension in ("eo/v2.0.0", "projection/v2.0.0", "raster/v2.0.0", "view/v1.0.0")
        ],
        "id": name,
        "collection": holder,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [min(xs), min(ys), max(xs), max(ys)],
        "properties": {
            "datetime": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "created": "2025-01-10T00:00:00Z",
            "updated": "2025-01-10T00:00:00Z",
            "platform": f"mission-{dice.choice('ab')}",
            "constellation": "mission",
            "instruments": ["msi"],
            "gsd": 10,
            "eo:cloud_cover": round(min(100.0, dice.expovariate(1 / 30)), 6),
            "eo:snow_cover": round(dice.uniform(0, 10), 2),
            "view:sun_azimuth": round(dice.uniform(140, 180), 3),
            "view:sun_elevation": round(dice.uniform(12, 65), 3),
            "view:off_nadir": 0,
            "proj:code": f"EPSG:{epsg}",
            "processing:level": "L2A",
            "grid:code": f"MGRS-{tile}",
        },
        "assets": dict(_asset(dice, made, place, each, epsg) for each in range(made.bands)),
        "links": [{"rel": "license", "href": "https://example.org/licence"}],
    }


def items(made: Made, count: int) -> Iterator[dict[str, Any]]:
    """All items, the collections in turn as far as they go, as archives grow."""
    left = made.counts(count)
    done = dict.fromkeys(left, 0)
    while left:
        for holder in list(left):
            for number in range(done[holder], min(left[holder], done[holder] + 500)):
                yield item(made, holder, number)
            done[holder] = min(left[holder], done[holder] + 500)
            if done[holder] == left[holder]:
                del left[holder]


def write(made: Made, count: int, folder: Path) -> tuple[Path, Path]:
    """The collections and the items as NDJSON files in `folder`."""
    of_collections, of_items = folder / "collections.ndjson", folder / "items.ndjson"
    of_collections.write_bytes(b"".join(orjson.dumps(collection(name)) + b"\n" for name, _ in made.collections))
    with of_items.open("wb") as handle:
        for each in items(made, count):
            handle.write(orjson.dumps(each) + b"\n")
    return of_collections, of_items
