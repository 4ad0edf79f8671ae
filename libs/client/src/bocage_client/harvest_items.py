"""How items of other catalogues are made valid: a rule for each way in which they are known to break the standard."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from bocage_client import harvest_extensions, harvest_structure
from bocage_client.errors import JsonObject
from bocage_client.harvest_licences import LICENCES, OTHER, UNDECLARED, licence
from bocage_client.harvest_moments import parsed, written
from bocage_client.harvest_normalising import (
    NOTHING,
    Change,
    Kind,
    Normalised,
    Odd,
    Rule,
    properties,
    put,
    run,
)
from bocage_client.harvest_stereo import stereo

Made = tuple[JsonObject, Sequence[Change]]

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)\Z")
_TILE = re.compile(r"T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2})\Z")
_GRID = re.compile(r"[A-Z0-9]+-[-_.A-Za-z0-9]+\Z")
_DOI = re.compile(r"10\.[0-9a-zA-Z]{4,}/[^\s]+\Z")
_DURATION = re.compile(r"P(?=.)(?:\d+W|(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=.)(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?)\Z")
_TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated", "published", "expires", "unpublished")
_ORBITS = {
    "ascending": "ascending", "asc": "ascending", "descending": "descending", "desc": "descending",
    "dsc": "descending", "geostationary": "geostationary",
}  # fmt: skip
# Least and greatest value; whether a whole number is meant.
_NUMBERS: dict[str, tuple[float, float, bool]] = {
    "eo:cloud_cover": (0, 100, False), "eo:snow_cover": (0, 100, False), "gsd": (1e-9, math.inf, False),
    "sat:absolute_orbit": (1, math.inf, True), "sat:relative_orbit": (1, math.inf, True),
    "sat:orbit_cycle": (1, math.inf, True), "view:off_nadir": (0, 90, False), "view:incidence_angle": (0, 90, False),
    "view:azimuth": (0, 360, False), "view:sun_azimuth": (0, 360, False), "view:sun_elevation": (-90, 90, False),
    "proj:epsg": (1, math.inf, True), "stereo-img:count": (2, math.inf, True),
    "stereo-img:number": (1, math.inf, True), "sar:center_frequency": (0, math.inf, False),
}  # fmt: skip
_TEXTS = (
    "title", "description", "platform", "constellation", "mission", "version", "processing:level",
    "processing:version", "processing:facility", "processing:lineage", "product:type", "sar:instrument_mode",
)  # fmt: skip
_LISTS = ("instruments", "sar:polarizations", "sar:beam_ids", "keywords")


def normalise(record: Any, kind: Kind = Kind.STAC) -> Normalised:
    """Raises Odd for what can't be made an item. Of what has been normalised nothing changes again."""
    return run(record, rules(kind))


def rules(kind: Kind) -> list[Rule]:
    dated: dict[Kind, Rule] = {Kind.GEODES: acquired_not_published, Kind.HYDROWEB: acquired_not_ingested}
    return [
        harvest_structure.version, item_members, harvest_structure.identity, harvest_structure.rights, geometry,
        instrument, lists, texts, numbers, grid_code, doi, projected_box, radar_of_optical, stereo, orbit_state,
        timeliness, moments, *([dated[kind]] if kind in dated else []), time, box, item_licence,
        harvest_structure.signatures, harvest_structure.assets, harvest_structure.links,
        harvest_extensions.rule(strict=kind is Kind.GEODES),
    ]  # fmt: skip


def item_members(item: JsonObject) -> Made:
    """Members that every item has."""
    if item.get("type", "Feature") != "Feature":
        raise Odd("not-an-item", f"its type is {item['type']!r}")
    if not isinstance(item.get("properties"), dict):
        raise Odd("not-an-item", "it has no properties")
    missing: JsonObject = {"type": "Feature", "stac_extensions": [], "links": [], "assets": {}}
    added = {name: value for name, value in missing.items() if item.get(name) is None}
    made = {**item, **added}
    if not added or set(added) <= {"stac_extensions"}:
        return made, NOTHING
    return made, (Change("missing-members", f"it lacked {', '.join(added)}"),)


def geometry(item: JsonObject) -> Made:
    """The catalogue holds what lies somewhere."""
    found = item.get("geometry")
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise Odd("no-geometry", "it has no geometry")
    return item, NOTHING


def instrument(item: JsonObject) -> Made:
    """`instrument`, a text, for `instruments`, a list."""
    said = properties(item).get("instrument")
    if not isinstance(said, str):
        return item, NOTHING
    known = properties(item).get("instruments")
    changed: JsonObject = {"instrument": None}
    if not known:
        changed["instruments"] = _split(said) or None
    return put(item, changed, "instrument", f"instrument {said!r} became instruments")


def lists(item: JsonObject) -> Made:
    """Lists that are written as a text."""
    found = {name: v for name in _LISTS if isinstance(v := properties(item).get(name), str)}
    if not found:
        return item, NOTHING
    changed = {name: (_words(v) if name == "keywords" else _split(v)) or None for name, v in found.items()}
    return put(item, changed, "list-as-text", f"{', '.join(found)} became lists")


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(x for x in re.split(r"[\s,;/]+", text.strip("[](){} ")) if x))


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(x.strip() for x in text.split(",") if x.strip()))


def texts(item: JsonObject) -> Made:
    """Texts that are written as a number, or as a list of one; what is empty or no text says nothing."""
    changed: JsonObject = {}
    for name in _TEXTS:
        said = properties(item).get(name)
        if said is None or (isinstance(said, str) and said):
            continue
        one = said[0] if isinstance(said, list) and len(said) == 1 else said
        changed[name] = str(one) if type(one) in (int, float) else one if isinstance(one, str) and one else None
    if not changed:
        return item, NOTHING
    return put(item, changed, "text", f"{', '.join(sorted(changed))} became texts, or went")


def numbers(item: JsonObject) -> Made:
    """Numbers that are written as a text, or that can't be: a cloud cover of -1."""
    changed: JsonObject = {}
    for name, (least, most, whole) in _NUMBERS.items():
        said = properties(item).get(name)
        if said is None:
            continue
        value = _number(said)
        if value is None or not least <= value <= most or (whole and value != int(value)):
            changed[name] = None
        elif isinstance(said, str) or (whole and not isinstance(said, int)):
            changed[name] = int(value) if whole else value
    if not changed:
        return item, NOTHING
    return put(item, changed, "number", f"{', '.join(sorted(changed))}: not numbers of the range that they have")


def _number(said: Any) -> float | None:
    try:
        value = float(said) if isinstance(said, str) or type(said) in (int, float) else None
    except (ValueError, OverflowError):
        return None
    return value if value is not None and math.isfinite(value) else None


def grid_code(item: JsonObject) -> Made:
    """T14ULD is MGRS-14ULD."""
    said = properties(item).get("grid:code")
    if said is None or (isinstance(said, str) and _GRID.match(said)):
        return item, NOTHING
    tile = _TILE.match(said.strip().upper()) if isinstance(said, str) else None
    code = f"MGRS-{tile[1]}" if tile else None
    return put(item, {"grid:code": code}, "grid-code", f"grid:code {said!r} became {code}")


def doi(item: JsonObject) -> Made:
    """A list of DOIs, or an address, in the place of one DOI; "[]" says that there is none."""
    return _doi(item, properties(item).get("sci:doi"))


def _doi(item: JsonObject, said: Any) -> Made:
    if said is None or (isinstance(said, str) and _DOI.match(said)):
        return item, NOTHING
    found = dois(said)
    changed: JsonObject = {"sci:doi": found[0] if found else None}
    more = [{"doi": x} for x in found[1:]]
    if more and not properties(item).get("sci:publications"):
        changed["sci:publications"] = more
    return put(item, changed, "doi", f"sci:doi {said!r} became {changed['sci:doi']}")


def dois(said: Any) -> list[str]:
    """Those that a member holds, in whichever form."""
    if isinstance(said, str) and said.lstrip().startswith("["):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            said = [x.strip(" '\"") for x in said.strip("[] ").split(",")]
    listed = said if isinstance(said, list) else [said]
    plain = (re.sub(r"^(?:https?://(?:dx\.)?doi\.org/|doi:)", "", x.strip()) for x in listed if isinstance(x, str))
    return list(dict.fromkeys(x for x in plain if _DOI.match(x)))


def projected_box(item: JsonObject) -> Made:
    """`proj:bbox` as a text; of two opposite corners whichever."""
    said = properties(item).get("proj:bbox")
    if said is None:
        return item, NOTHING
    box = corners(said)
    if box == said:
        return item, NOTHING
    return put(item, {"proj:bbox": box}, "proj-bbox", f"proj:bbox {said!r} became {box}")


def corners(said: Any) -> list[float] | None:
    """West, south, east, north of a text or a list of four numbers; None of anything else. A list of six stays."""
    parts = re.split(r"[\s,;]+", said.strip("[]() ")) if isinstance(said, str) else said
    if not isinstance(parts, list):
        return None
    values = [_number(x) for x in parts]
    if len(values) not in (4, 6) or any(x is None for x in values):
        return None
    plain = [float(x) if isinstance(p, str) else p for x, p in zip(values, parts, strict=True) if x is not None]
    if len(plain) == 4 and plain[1] > plain[3]:
        plain = [plain[0], plain[3], plain[2], plain[1]]
    return plain


def radar_of_optical(item: JsonObject) -> Made:
    """Members of the extension sar on what no radar took."""
    own = properties(item)
    found = {name: None for name in own if name.startswith("sar:")}
    if not found or _is_radar(own):
        return item, NOTHING
    return put(item, found, "sar-of-optical", f"{', '.join(sorted(found))} on what is no radar image")


def _is_radar(own: JsonObject) -> bool:
    if own.get("sar:polarizations") or own.get("sar:frequency_band"):
        return True
    named = [own.get("platform"), own.get("constellation"), *_texts(own.get("instruments"))]
    return any("sar" in str(x).casefold() or re.match(r"(?:sentinel-?1|s1)", str(x).casefold()) for x in named if x)


def _texts(value: Any) -> list[str]:
    return [x for x in value if isinstance(x, str)] if isinstance(value, list) else []


def orbit_state(item: JsonObject) -> Made:
    """Descending is descending."""
    said = properties(item).get("sat:orbit_state")
    if said is None or said in _ORBITS.values():
        return item, NOTHING
    meant = _ORBITS.get(said.strip().casefold()) if isinstance(said, str) else None
    return put(item, {"sat:orbit_state": meant}, "orbit-state", f"sat:orbit_state {said!r} became {meant}")


def timeliness(item: JsonObject) -> Made:
    """`product:timeliness` is a duration; a word such as Nominal is none."""
    said = properties(item).get("product:timeliness")
    if said is None or (isinstance(said, str) and _DURATION.match(said)):
        return item, NOTHING
    changed = {"product:timeliness": None, "product:timeliness_category": None}
    return put(item, changed, "timeliness", f"product:timeliness {said!r} is no duration")


def moments(item: JsonObject) -> Made:
    """Times in UTC, and written as the standard has them."""
    changed: JsonObject = {}
    for name in _TIMES:
        said = properties(item).get(name)
        if said is None or is_moment(said):
            continue
        moment = parsed(said)
        changed[name] = written(moment) if moment is not None else None
    if not changed:
        return item, NOTHING
    return put(item, changed, "moment", f"{', '.join(sorted(changed))}: written as times in UTC, or none")


def is_moment(said: Any) -> bool:
    """Whether it is a time as the standard has it."""
    return isinstance(said, str) and _MOMENT.match(said) is not None and parsed(said) is not None


def acquired_not_published(item: JsonObject) -> Made:
    """`datetime` says when it was published; it was acquired at `start_datetime`."""
    own = properties(item)
    start, said = own.get("start_datetime"), own.get("datetime")
    if start is None:
        flagged = Change("publication-time", "no start_datetime: datetime may be the time of publication", flag=True)
        return item, (flagged,)
    if said is None or said == start:
        return item, NOTHING
    changed: JsonObject = {"datetime": start}
    if own.get("published") is None:
        changed["published"] = said
    made, changes = put(item, changed, "publication-time", "datetime was the time of publication: now published")
    return harvest_extensions.declared(made, harvest_extensions.TIMESTAMPS), changes


def acquired_not_ingested(item: JsonObject) -> Made:
    """`datetime` says when the source took it in; it was observed between `start_datetime` and `end_datetime`."""
    own = properties(item)
    start, end, said = own.get("start_datetime"), own.get("end_datetime"), own.get("datetime")
    if start is None:
        flagged = Change("ingestion-time", "no start_datetime: datetime may be the time of ingestion", flag=True)
        return item, (flagged,)
    if said is None or said == start:
        return item, NOTHING
    # A series has no one time of its own; an observation has.
    changed: JsonObject = {"datetime": start if end in (None, start) else None}
    if own.get("updated") is None:
        changed["updated"] = said
    return put(item, changed, "ingestion-time", "datetime was the time of ingestion: now updated")


def time(item: JsonObject) -> Made:
    """A time there must be: an instant, or both ends of an interval."""
    own = properties(item)
    start, end = own.get("start_datetime"), own.get("end_datetime")
    if own.get("datetime") is not None or (start is not None and end is not None):
        if (start is None) != (end is None):
            half = {"start_datetime": None, "end_datetime": None}
            return put(item, half, "half-interval", "an interval needs both ends: its one end went")
        if "datetime" not in own:
            return {**item, "properties": {**own, "datetime": None}}, NOTHING
        return item, NOTHING
    if (instant := start or end) is None:
        raise Odd("no-time", "it has no datetime that can be read, nor an interval")
    changed = {"datetime": instant, "start_datetime": None, "end_datetime": None}
    return put(item, changed, "half-interval", "of an interval it had one end, which became its datetime")


def box(item: JsonObject) -> Made:
    """`bbox`, of the geometry where it is missing or wrong."""
    said = item.get("bbox")
    if isinstance(said, list) and len(said) in (4, 6) and all(type(x) in (int, float) for x in said):
        return item, NOTHING
    places = list(harvest_structure.positions(item["geometry"]))
    if not places:
        raise Odd("no-geometry", "its geometry has no position")
    xs, ys = [p[0] for p in places], [p[1] for p in places]
    made = [min(xs), min(ys), max(xs), max(ys)]
    before = {"bbox": said} if said is not None else {}
    return {**item, "bbox": made}, (Change("bbox", "bbox was made from the geometry", before),)


def item_licence(item: JsonObject) -> Made:
    """The licence of an item, where it has one of its own, as an SPDX id; it is not its collection's then."""
    said = properties(item).get("license")
    if said is None:
        return item, NOTHING
    found = licence(said) if isinstance(said, str) else licence("")
    own = [UNDECLARED if found.id == OTHER else found.id]
    item = {**item, "properties": {LICENCES: own, **properties(item)}}
    if found.id == said:
        return item, NOTHING
    made, changes = put(item, {"license": found.id}, "licence", f"license {said!r} became {found.id}")
    return made, (*changes, *([Change("licence", found.flag, flag=True)] if found.flag else []))
