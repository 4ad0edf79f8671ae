"""Assets of items under test."""

from __future__ import annotations

from typing import Any


def asset(href: str, **members: Any) -> dict[str, Any]:
    return {"href": href, "type": "image/tiff; application=geotiff", "roles": ["data"], **members}


def uploaded(catalogue: Any, item: str, name: str = "image", collection: str = "scenes") -> dict[str, Any]:
    catalogue.put_file(f"collections/{collection}/{item}/{name}")
    return asset(f"{catalogue.base}/assets/{collection}/{item}/{name}")
