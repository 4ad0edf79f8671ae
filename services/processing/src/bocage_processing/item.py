"""A job's result as a STAC item, and the collection it goes to: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from bocage_kit.audience import AUDIENCE_FIELD, ORGANISATION_FIELD, OWNER_FIELD
from bocage_kit.licences import EMBARGO_FIELD, LICENCES_FIELD, NOTES_FIELD, WIDEST_AUDIENCE_FIELD
from bocage_kit.store import href_of
from bocage_kit.urls import public_url

from bocage_processing.jobs import Job
from bocage_processing.work import ProcessDescription

FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING_EXTENSION = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
WRITE_SCOPE_FIELD = "bocage:write_scope"
_SHA256_MULTIHASH = "1220"
_DERIVED = "derived_from"


def item_of(job: Job) -> dict[str, Any]:
    """The item of a job whose outcome was accepted. Its hrefs are the store's; the catalogue makes them public."""
    results = job.results or {}
    licences: dict[str, list[str]] = job.rights.get("licences", {})
    geometry = results.get("geometry")
    files: Mapping[str, Mapping[str, Any]] = results.get("files", {})
    union = sorted({licence for name in files for licence in licences.get(name, [])})
    properties = {
        "title": f"{job.process} {str(job.id)[:8]}",
        **results.get("properties", {}),
        **_times(job),
        "created": _instant(job.created),
        "updated": _instant(job.updated),
        "license": spdx(union),
        LICENCES_FIELD: union,
        AUDIENCE_FIELD: job.audience,
        ORGANISATION_FIELD: str(job.organisation),
        OWNER_FIELD: job.owner,
        "processing:software": {
            **results.get("properties", {}).get("processing:software", {}),
            f"bocage {job.process}": job.process_version,
        },
        "processing:datetime": _instant(job.started or job.created),
        "processing:expression": {
            "format": "ogc-api-processes",
            "expression": {"process": job.process, "version": job.process_version, "inputs": job.inputs},
        },
    }
    if attribution := job.rights.get("attribution"):
        properties.setdefault("attribution", attribution)
    if embargo := job.rights.get("embargo_until"):
        properties[EMBARGO_FIELD] = embargo
    if (widest := job.rights.get("audience", {}).get("widest", "public")) != "public":
        properties[WIDEST_AUDIENCE_FIELD] = widest
    if notes := job.rights.get("notes"):
        properties[NOTES_FIELD] = notes
    document: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": sorted({*results.get("extensions", []), FILE_EXTENSION, PROCESSING_EXTENSION}),
        "id": str(job.id),
        "collection": job.process,
        "geometry": geometry,
        "properties": properties,
        "links": _links(job, union),
        "assets": {name: _asset(file, licences.get(name, [])) for name, file in files.items()},
    }
    if geometry is not None:
        document["bbox"] = bbox_of(geometry)
    return document


def collection_of(process: ProcessDescription) -> dict[str, Any]:
    """The collection of a process's results; only services write it, everybody finds it."""
    licences = [process.licence] if process.licence else []
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": process.id,
        "title": f"Results: {process.title}",
        "description": process.description or process.title,
        "keywords": process.keywords,
        "license": process.licence or "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
        LICENCES_FIELD: licences,
        AUDIENCE_FIELD: "public",
        WRITE_SCOPE_FIELD: "service",
    }


def spdx(licences: Iterable[str]) -> str:
    """STAC's `license`: one listed licence, else `other`."""
    listed = list(licences)
    return listed[0] if len(listed) == 1 and not listed[0].startswith("LicenseRef-") else "other"


def bbox_of(geometry: Mapping[str, Any]) -> list[float]:
    """West, south, east, north of a GeoJSON geometry."""
    points = list(_points(geometry))
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    return [min(xs), min(ys), max(xs), max(ys)]


def _points(geometry: Mapping[str, Any]) -> Iterable[tuple[float, float]]:
    def walk(node: Any) -> Iterable[tuple[float, float]]:
        if isinstance(node[0], (int, float)):
            yield float(node[0]), float(node[1])
        else:
            for inner in node:
                yield from walk(inner)

    for part in geometry.get("geometries", [geometry]):
        yield from walk(part["coordinates"])


def _times(job: Job) -> dict[str, Any]:
    """When the ground was as the result shows it: the inputs' time or span, else the job's."""
    seen: list[datetime] = []
    for item in job.items:
        for name in ("datetime", "start_datetime", "end_datetime"):
            if isinstance(value := item["properties"].get(name), str):
                seen.append(_parsed(value))
    if not seen:
        return {"datetime": _instant(job.created)}
    first, last = min(seen), max(seen)
    if first == last:
        return {"datetime": _instant(first)}
    return {"datetime": _instant(first), "start_datetime": _instant(first), "end_datetime": _instant(last)}


def _parsed(value: str) -> datetime:
    moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _links(job: Job, licences: Iterable[str]) -> list[dict[str, Any]]:
    """Paths of this platform: the catalogue makes them public links of whoever asks."""
    links = [
        {
            "rel": _DERIVED,
            "href": public_url("", "stac", "collections", item["collection"], "items", item["item"]),
            "type": "application/geo+json",
            "title": item["reference"],
        }
        for item in job.items
    ]
    links += [
        {
            "rel": "license",
            "href": public_url("", "rights", "licences", licence),
            "type": "application/json",
            "title": licence,
        }
        for licence in licences
    ]
    links.append(
        {
            "rel": "via",
            "href": public_url("", "processing", "jobs", str(job.id)),
            "type": "application/json",
            "title": "The job that made this",
        }
    )
    return links


def _asset(file: Mapping[str, Any], licences: list[str]) -> dict[str, Any]:
    return {
        **file["fields"],
        "href": href_of(file["key"]),
        "type": file["media_type"],
        "title": file["title"],
        "roles": list(file["roles"]),
        "file:size": file["size"],
        "file:checksum": _SHA256_MULTIHASH + file["sha256"],
        LICENCES_FIELD: licences,
    }
