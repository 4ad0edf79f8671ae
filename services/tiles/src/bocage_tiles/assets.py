"""Which assets of an item can be drawn, and the stored file behind each: never an address that a client gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bocage_kit.problems import Problem, not_found
from bocage_kit.store import LocalStore, in_bucket, key_of_href

MAX_ASSETS = 4
_PREFERRED = ("dsm", "ortho", "hillshade")
_GEOTIFF = ("image/tiff", "image/vnd.stac.geotiff")


@dataclass(frozen=True)
class Source:
    """A stored raster, as it is now; another upload under the same key is another source."""

    name: str
    path: Path
    size: int
    modified: int


def stored_raster(asset: Mapping[str, Any]) -> bool:
    """Whether the asset is a GeoTIFF in our own store."""
    href = str(asset.get("href", ""))
    if key_of_href(href) is None or asset.get("bocage:external"):
        return False
    media = str(asset.get("type") or "")
    return media.startswith(_GEOTIFF) if media else href.lower().endswith((".tif", ".tiff"))


def choose(assets: Mapping[str, Mapping[str, Any]], wanted: Sequence[str]) -> tuple[str, ...]:
    """The names of the assets to draw: those asked for, else the item's elevation, else its first data raster."""
    if wanted:
        if len(wanted) > MAX_ASSETS:
            raise Problem(400, "too-many-assets", f"At most {MAX_ASSETS} assets can be drawn together.")
        return tuple(dict.fromkeys(wanted))
    rasters = [name for name, asset in assets.items() if stored_raster(asset)]
    for name in _PREFERRED:
        if name in rasters:
            return (name,)
    with_data = [name for name in rasters if "data" in (assets[name].get("roles") or ())]
    if chosen := (with_data or rasters):
        return (chosen[0],)
    raise Problem(404, "nothing-to-draw", "The item has no raster asset that can be drawn as tiles.")


def source_of(store: LocalStore, name: str, asset: Mapping[str, Any]) -> Source:
    """The stored file of an asset. Raises 403 for external assets, 404 for missing ones, 400 for other formats."""
    href = str(asset.get("href", ""))
    if in_bucket(href) is not None:
        raise Problem(
            400,
            "not-tileable",
            f"The asset {name} lies in an object store, from which no tiles are drawn: download it.",
        )
    key = key_of_href(href)
    if key is None or asset.get("bocage:external"):
        raise Problem(
            403, "external-asset", f"The asset {name} is not stored on this platform; open it at its own address."
        )
    if not stored_raster(asset):
        kinds = f"its media type is {asset['type']}" if asset.get("type") else "it has no media type"
        raise Problem(
            400, "not-tileable", f"The asset {name} cannot be drawn: {kinds}; tiles are made of GeoTIFF assets."
        )
    root = store.root.resolve()
    path = store.path(key)
    try:
        status = path.stat()
        inside = path.resolve().is_relative_to(root)
    except OSError:
        raise not_found(f"The file of the asset {name}") from None
    if not inside or not path.is_file():
        raise not_found(f"The file of the asset {name}")
    return Source(name, path, status.st_size, status.st_mtime_ns)
