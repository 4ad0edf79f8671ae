"""An image on disk, and the STAC Item and Collection that describe it. Nothing here touches the network."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bocage_client import geomodel, tiff
from bocage_client.errors import InputError, JsonObject, UsageError
from bocage_client.rpc_footprint import Footprint, OffTheGround, footprint

DEFAULT_LICENCE = "LicenseRef-Bocage-Restricted"
EXTENSIONS = [
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/view/v1.0.0/schema.json",
]
STEREO = "https://stac-extensions.github.io/stereo-imagery/v1.0.0/schema.json"
_ID = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Upload:
    """A file that becomes an asset."""

    asset: str
    path: Path
    media_type: str
    roles: tuple[str, ...]
    title: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def sha256(self, on_bytes: Callable[[int], None] | None = None) -> str:
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                if on_bytes:
                    on_bytes(len(chunk))
        return digest.hexdigest()


@dataclass(frozen=True)
class Details:
    """What the caller knows of the images better than their headers do."""

    taken: datetime | None = None
    platform: str | None = None
    instruments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """An image that was found whole and placed on the ground."""

    id: str
    header: tiff.TiffHeader
    ground: Footprint
    taken: datetime
    uploads: tuple[Upload, ...]
    details: Details = field(default_factory=Details)


def read_scene(path: Path, side_car: Path | None, prefix: str = "", details: Details | None = None) -> Scene:
    """Raises UsageError (no such file) and InputError (the file is at fault)."""
    details = details or Details()
    header = tiff.read_header(path)
    beside = side_car or geomodel.side_car_of(path)
    if beside is not None:
        model = geomodel.from_file(beside)
    elif header.rpc is not None:
        model = geomodel.from_tag(header.rpc)
    else:
        raise InputError(
            "no-rpc", f"{path.name} has no RPC model, nor a file beside it that holds one. {geomodel.REMEDY}"
        )
    try:
        ground = footprint(model, header.width, header.height, header.crop)
    except OffTheGround as error:
        raise InputError(
            "bad-rpc",
            f"The RPC model does not place {path.name} on the ground. Check that it belongs to this image, and that a "
            "crop kept its pixel offset in the geotransform.",
        ) from error
    profile = "; profile=cloud-optimized" if header.cloud_optimised else ""
    uploads = [
        Upload("image", path, f"image/tiff; application=geotiff{profile}", ("data",), "Image in sensor geometry")
    ]
    if beside is not None:
        kind = "application/xml" if beside.suffix.lower() == ".xml" else "text/plain"
        uploads.append(Upload("geomodel", beside, kind, ("metadata", "geomodel"), "RPC model"))
    modified = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
    return Scene(
        id=item_id(path.stem, prefix),
        header=header,
        ground=ground,
        taken=details.taken or header.taken or modified,
        uploads=tuple(uploads),
        details=details,
    )


def item_id(stem: str, prefix: str = "") -> str:
    """A file's stem as an item id: letters, digits, dots, dashes and underscores."""
    made = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9_.-]+", "-", prefix + stem)).strip("-.")[:128]
    if not _ID.match(made):
        raise UsageError(f"No item id can be made of {prefix + stem!r}: give one that starts with a letter.", "bad-id")
    return made


def check_collection_id(collection: str) -> str:
    if not _ID.match(collection) or ".." in collection:
        raise UsageError(
            f"{collection!r} is no collection id: use letters, digits, dots, dashes and underscores.", "bad-id"
        )
    return collection


def stereo_fields(scenes: Sequence[Scene]) -> dict[str, JsonObject]:
    """What tells that images given together, two or three, are one stereo acquisition; by item id."""
    if not 2 <= len(scenes) <= 3:
        return {}
    group = "+".join(scene.id for scene in scenes)
    return {
        scene.id: {"stereo-img:group": group, "stereo-img:count": len(scenes), "stereo-img:number": number}
        for number, scene in enumerate(scenes, 1)
    }


def partner_links(item_id: str, collection: str, stereo: Mapping[str, JsonObject]) -> list[JsonObject]:
    """Links to the other images of a stereo acquisition; `stereo` is what `stereo_fields` says of all."""
    return [
        {
            "rel": "related",
            "href": f"/stac/collections/{quote(collection, safe='')}/items/{quote(other, safe='')}",
            "type": "application/geo+json",
            "stereo-img:number": fields["stereo-img:number"],
        }
        for other, fields in stereo.items()
        if item_id in stereo and other != item_id
    ]


def item(
    scene: Scene,
    collection: str,
    hrefs: Mapping[str, str],
    checksums: Mapping[str, str],
    more: Mapping[str, Any] | None = None,
) -> JsonObject:
    """The STAC Item; `hrefs` and `checksums` (SHA-256) by asset; `more`: properties besides what the image tells."""
    header, ground = scene.header, scene.ground
    properties: JsonObject = {
        "datetime": scene.taken.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "gsd": round(ground.gsd_m, 3),
        "proj:code": None,
        "proj:shape": [header.height, header.width],
        "view:incidence_angle": round(ground.off_nadir_deg, 2),
        "view:azimuth": round(ground.azimuth_deg, 2),
    }
    if platform := scene.details.platform or header.platform:
        properties["platform"] = platform
    if scene.details.instruments:
        properties["instruments"] = list(scene.details.instruments)
    properties |= more or {}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [*EXTENSIONS, *([STEREO] if "stereo-img:count" in properties else [])],
        "id": scene.id,
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [[list(point) for point in ground.ring]]},
        "bbox": list(ground.bbox),
        "properties": properties,
        "assets": {
            upload.asset: _asset(upload, hrefs[upload.asset], checksums[upload.asset], header)
            for upload in scene.uploads
        },
        "links": [],
    }


def _asset(upload: Upload, href: str, checksum: str, header: tiff.TiffHeader) -> JsonObject:
    made: JsonObject = {
        "href": href,
        "type": upload.media_type,
        "title": upload.title,
        "roles": list(upload.roles),
        "file:size": upload.size,
        # a multihash: 0x12 is SHA-256, 0x20 its length
        "file:checksum": "1220" + checksum,
    }
    if upload.asset == "image":
        made["bands"] = [{"name": f"b{n + 1}", "data_type": header.dtype} for n in range(header.bands)]
    return made


def collection(identifier: str, title: str | None, licence: str, scenes: Sequence[Scene]) -> JsonObject:
    """The STAC Collection of these scenes, seen by the caller's organisation."""
    boxes = [scene.ground.bbox for scene in scenes]
    bbox = [f(box[i] for box in boxes) for i, f in enumerate((min, min, max, max))]
    times = sorted(scene.taken.astimezone(UTC) for scene in scenes)
    interval = [t.isoformat().replace("+00:00", "Z") for t in (times[0], times[-1])]
    made: JsonObject = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": identifier,
        "description": title or f"Images in sensor geometry: {identifier}.",
        "license": "other",
        "extent": {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [interval]}},
        "links": [],
        "bocage:licences": [licence],
        "bocage:audience": "organisation",
        # what their items lead to
        "bocage:processes": ["dsm"],
    }
    return made | {"title": title} if title else made


def holds(existing: Any, wanted: Any) -> bool:
    """Whether `existing` says all that `wanted` says; it may say more, and asset links may have another base."""
    if isinstance(wanted, dict):
        return isinstance(existing, dict) and all(
            holds(existing.get(name), value) for name, value in wanted.items() if name not in ("href", "links")
        )
    if isinstance(wanted, list | tuple):
        if not isinstance(existing, list) or len(existing) < len(wanted):
            return False
        if all(isinstance(x, str) for x in wanted):
            return set(wanted) <= {x for x in existing if isinstance(x, str)}
        return len(existing) == len(wanted) and all(map(holds, existing, wanted))
    if isinstance(wanted, float) and isinstance(existing, int | float):
        return abs(existing - wanted) < 1e-9
    return bool(existing == wanted) or (isinstance(wanted, str) and _same_time(existing, wanted))


def _same_time(existing: Any, wanted: str) -> bool:
    if not isinstance(existing, str) or not re.match(r"\d{4}-\d\d-\d\dT", wanted):
        return False
    try:
        return datetime.fromisoformat(existing) == datetime.fromisoformat(wanted)
    except (ValueError, TypeError):
        return False
