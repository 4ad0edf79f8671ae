"""The header of a TIFF: size, kind, camera, date; and whether the file is whole."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bocage_client.errors import InputError, UsageError
from bocage_client.rpc_footprint import IDENTITY, Affine6

_MAGIC = frozenset({b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"})
_RPC, _SCALE, _TIEPOINT, _TRANSFORMATION, _GEOKEYS = 50844, 33550, 33922, 34264, 34735
_GDAL_METADATA, _DATETIME = 42112, 306
_MODEL_TYPE_KEY, _PROJECTED, _GEOGRAPHIC = 1024, 1, 2


@dataclass(frozen=True)
class TiffHeader:
    """`crop`: the geotransform of a file without CRS, else the identity."""

    width: int
    height: int
    bands: int
    dtype: str
    rpc: tuple[float, ...] | None
    crop: Affine6
    taken: datetime | None
    platform: str | None
    cloud_optimised: bool


def read_header(path: Path) -> TiffHeader:
    """Raises UsageError for a missing file, InputError for one that is no whole TIFF in sensor geometry."""
    import tifffile

    try:
        with path.open("rb") as file:
            magic = file.read(4)
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist.", "no-such-file") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "no-such-file") from error
    if magic not in _MAGIC:
        raise InputError("not-an-image", f"{path.name} is not a TIFF, whatever its name says. Give a GeoTIFF.")
    # tifffile reports damage to the log; ours is said in the error
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(path) as tiff:
            return _described(tiff.pages.first, path.name, size)
    except InputError:
        raise
    # a damaged file makes tifffile fail in any way
    except Exception as error:
        raise _damaged(path.name) from error


def _described(page: Any, name: str, size: int) -> TiffHeader:
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not ends or max(ends) > size or not page.dtype:
        raise _damaged(name)
    tags = {tag.code: tag.value for tag in page.tags.values()}
    if _model_type(tags.get(_GEOKEYS, ())) in (_PROJECTED, _GEOGRAPHIC):
        raise InputError(
            "already-projected",
            f"{name} is in a map projection: its viewing geometry is gone. Give the image at the sensor level "
            "(Pléiades: PRIMARY / SENSOR), not an ortho-image.",
        )
    rpc = tags.get(_RPC)
    fields = _gdal_fields(str(tags.get(_GDAL_METADATA, "")))
    return TiffHeader(
        width=int(page.imagewidth),
        height=int(page.imagelength),
        bands=int(page.samplesperpixel),
        dtype=str(page.dtype),
        rpc=tuple(float(x) for x in rpc) if rpc is not None else None,
        crop=_transform(tags),
        taken=_taken(fields, name, str(tags.get(_DATETIME, ""))),
        platform=_platform(fields),
        cloud_optimised=bool(page.is_tiled) and page.offset < min(ends),
    )


def _damaged(name: str) -> InputError:
    return InputError("unreadable-image", f"{name} is damaged or cut short. Get the whole file again.")


def _model_type(geokeys: Sequence[int]) -> int | None:
    entries = list(geokeys)[4:]
    for key, location, _, value in zip(*(iter(entries),) * 4, strict=False):
        if key == _MODEL_TYPE_KEY and location == 0:
            return int(value)
    return None


def _transform(tags: dict[int, Any]) -> Affine6:
    if (matrix := tags.get(_TRANSFORMATION)) is not None and len(matrix) >= 8:
        m = [float(x) for x in matrix]
        return m[0], m[1], m[3], m[4], m[5], m[7]
    scale, tie = tags.get(_SCALE), tags.get(_TIEPOINT)
    if scale is None or tie is None or len(scale) < 2 or len(tie) < 6:
        return IDENTITY
    # GeoTIFF counts rows downwards with a positive scale, so the y axis is turned over
    sx, sy = float(scale[0]), -float(scale[1])
    return sx, 0.0, float(tie[3]) - float(tie[0]) * sx, 0.0, sy, float(tie[4]) - float(tie[1]) * sy


def _gdal_fields(text: str) -> dict[str, str]:
    return dict(re.findall(r'<Item name="([A-Z_]+)"[^>]*>([^<]{1,80})</Item>', text))


def _taken(fields: dict[str, str], name: str, tag: str) -> datetime | None:
    """When the image was taken: from its metadata, from a Pléiades-like name, from the TIFF's own date."""
    candidates = [f"{fields.get('IMAGING_DATE', '')}T{fields.get('IMAGING_TIME', '').rstrip('Z')}"]
    candidates += [
        "{}-{}-{}T{}:{}:{}".format(*found)
        for found in re.findall(r"(?<!\d)(20\d\d)(\d\d)(\d\d)T?(\d\d)(\d\d)(\d\d)\d?(?!\d)", name)
    ]
    candidates.append(re.sub(r"^(\d{4}):(\d\d):(\d\d) ", r"\1-\2-\3T", tag))
    return next(_dates(candidates), None)


def _dates(candidates: Iterable[str]) -> Iterator[datetime]:
    for text in candidates:
        if not re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", text):
            continue
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            continue
        yield found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _platform(fields: dict[str, str]) -> str | None:
    mission, index = fields.get("MISSION", ""), fields.get("MISSION_INDEX", "")
    if mission == "PHR":
        return {"1A": "pleiades-1a", "1B": "pleiades-1b"}.get(index.upper(), "pleiades")
    return mission.lower() or None
