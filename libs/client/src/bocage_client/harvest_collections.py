"""How collections of other catalogues are made valid: a rule for each way in which they break the standard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bocage_client import harvest_extensions, harvest_items, harvest_structure
from bocage_client.errors import JsonObject
from bocage_client.harvest_licences import LICENCES, OTHER, UNDECLARED, contradiction, licence
from bocage_client.harvest_moments import parsed, written
from bocage_client.harvest_normalising import NOTHING, Change, Kind, Normalised, Odd, Rule, run

Made = tuple[JsonObject, Sequence[Change]]

# Members of items that a collection says at its top in the place of its summaries.
_OF_ITEMS = ("platform", "constellation", "mission", "instruments", "instrument", "gsd", "processing:level")
_EVERYWHERE = [-180.0, -90.0, 180.0, 90.0]


def normalise(record: Any, kind: Kind = Kind.STAC) -> Normalised:
    """Raises Odd for what can't be made a collection. Of what has been normalised nothing changes again."""
    return run(record, rules(kind))


def rules(kind: Kind) -> list[Rule]:
    return [
        harvest_structure.version, collection_members, harvest_structure.identity, harvest_structure.rights,
        description, texts, summaries, doi, extent, moments_of_extent, collection_licence, doubtful(kind), licences,
        harvest_structure.signatures, harvest_structure.assets, harvest_structure.links,
        harvest_extensions.rule(strict=kind is Kind.GEODES),
    ]  # fmt: skip


def collection_members(record: JsonObject) -> Made:
    """Members that every collection has."""
    if record.get("type", "Collection") != "Collection":
        raise Odd("not-a-collection", f"its type is {record['type']!r}")
    missing: JsonObject = {"type": "Collection", "links": [], "license": OTHER}
    added = {name: value for name, value in missing.items() if record.get(name) is None}
    if not added:
        return record, NOTHING
    return {**record, **added}, (Change("missing-members", f"it lacked {', '.join(added)}"),)


def description(record: JsonObject) -> Made:
    """A description there must be: its title, else its id."""
    said = record.get("description")
    if isinstance(said, str) and said:
        return record, NOTHING
    title = record.get("title")
    made = title if isinstance(title, str) and title else record["id"]
    before = {"description": said} if said is not None else {}
    return {**record, "description": made}, (Change("description", "it had no description", before),)


def texts(record: JsonObject) -> Made:
    """Keywords as a list of texts, each once; a title that is a text."""
    made, before = dict(record), {}
    if "title" in record and not isinstance(record["title"], str):
        before["title"] = made.pop("title")
    said = record.get("keywords")
    if said is not None:
        listed = said.split(",") if isinstance(said, str) else said if isinstance(said, list) else []
        kept = list(dict.fromkeys(x.strip() for x in listed if isinstance(x, str) and x.strip()))
        if kept != said:
            before["keywords"] = said
            made["keywords"] = kept
    if "keywords" in record and not made["keywords"]:
        del made["keywords"]
    if not before:
        return made, NOTHING
    return made, (Change("texts", f"{', '.join(before)} were not of the form that they have", before),)


def summaries(record: JsonObject) -> Made:
    """What a collection says of its items stands in its summaries, as lists."""
    found = {name: record[name] for name in _OF_ITEMS if name in record}
    if not found:
        return record, NOTHING
    known = record.get("summaries")
    made = dict(known) if isinstance(known, dict) else {}
    for name, value in found.items():
        parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
        kept = list(dict.fromkeys(x.strip() if isinstance(x, str) else x for x in parts if _summed(x)))
        if kept:
            made.setdefault("instruments" if name == "instrument" else name, kept)
    rest = {name: value for name, value in record.items() if name not in found}
    if made:
        rest["summaries"] = made
    detail = f"{', '.join(found)} stood at the top: now in its summaries"
    return rest, (Change("summaries", detail, {n: v for n, v in found.items() if v is not None}),)


def _summed(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or type(value) in (int, float)


def doi(record: JsonObject) -> Made:
    """As of items."""
    said = record.get("sci:doi")
    found = harvest_items.dois(said)
    if said is None or (found and found[0] == said):
        return record, NOTHING
    made = {name: value for name, value in record.items() if name != "sci:doi"}
    if found:
        made["sci:doi"] = found[0]
    return made, (Change("doi", f"sci:doi {said!r} became {made.get('sci:doi')}", {"sci:doi": said}),)


def extent(record: JsonObject) -> Made:
    """Extents of the form that they have. The values stay; where there is none it is said that none is known."""
    said = record.get("extent")
    whole = said if isinstance(said, dict) else {}
    boxes, intervals = _listed(whole.get("spatial"), "bbox"), _listed(whole.get("temporal"), "interval")
    flags = []
    if not boxes or not all(_is_box(x) for x in boxes):
        flags.append(Change("extent", "its place is not known: everywhere was put", flag=True))
        boxes = [_EVERYWHERE]
    if not intervals or not all(_is_interval(x) for x in intervals):
        flags.append(Change("extent", "its time is not known: always was put", flag=True))
        intervals = [[None, None]]
    made = {**whole, "spatial": {**_object(whole.get("spatial")), "bbox": boxes}}
    made["temporal"] = {**_object(whole.get("temporal")), "interval": intervals}
    if made == said:
        return record, NOTHING
    before = {"extent": said} if said is not None else {}
    return {**record, "extent": made}, (*flags, Change("extent", "its extent had another form", before))


def moments_of_extent(record: JsonObject) -> Made:
    """The ends of its time in UTC."""
    temporal = record["extent"]["temporal"]
    made = [[_end(x) for x in interval] for interval in temporal["interval"]]
    if made == temporal["interval"]:
        return record, NOTHING
    new = {**record["extent"], "temporal": {**temporal, "interval": made}}
    change = Change("moment", "the ends of its time were written in UTC", {"extent": record["extent"]})
    return {**record, "extent": new}, (change,)


def _end(said: Any) -> Any:
    if not isinstance(said, str) or harvest_items.is_moment(said):
        return said
    moment = parsed(said)
    return written(moment) if moment is not None else None


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _listed(part: Any, name: str) -> list[Any] | None:
    """A list of boxes or intervals; one that stands alone is the only one."""
    found = _object(part).get(name)
    if not isinstance(found, list) or not found:
        return None
    return found if isinstance(found[0], list) else [found]


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) in (4, 6) and all(type(x) in (int, float) for x in box)


def _is_interval(interval: Any) -> bool:
    return isinstance(interval, list) and len(interval) == 2 and all(x is None or isinstance(x, str) for x in interval)


def collection_licence(record: JsonObject) -> Made:
    """Its licence as an SPDX id."""
    said = record.get("license")
    found = licence(said) if isinstance(said, str) else licence("")
    if found.id == said:
        return record, NOTHING
    change = Change("licence", f"license {said!r} became {found.id}", {"license": said})
    return {**record, "license": found.id}, (
        change,
        *([Change("licence", found.flag, flag=True)] if found.flag else []),
    )


def doubtful(kind: Kind) -> Rule:
    """A licence that contradicts what is known is told; it stays as the source says it."""

    def doubt(record: JsonObject) -> Made:
        words = [record["id"], record.get("title"), *(record.get("keywords") or [])]
        of_theia = kind is Kind.THEIA or any("theia" in x.casefold() for x in words if isinstance(x, str))
        found = contradiction(str(record["license"]), of_theia)
        return record, ((Change("licence-contradiction", found, flag=True),) if found else NOTHING)

    return doubt


def licences(record: JsonObject) -> Made:
    """What the platform decides by: the same licence, or that none is known."""
    if LICENCES in record:
        return record, NOTHING
    own = record["license"] if record["license"] != OTHER else UNDECLARED
    return {**record, LICENCES: [own]}, NOTHING
