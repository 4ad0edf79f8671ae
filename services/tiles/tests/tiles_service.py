"""What the tiles tests share: rasters, a catalogue that names them, and callers of several kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import rasterio
from bocage_kit.identity import HEADER, Identity, Level, TileScope, sign
from joserfc.jwk import OKPKey
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import from_origin

SIZE, WEST, NORTH, CELL = 800, 500_000.0, 5_000_000.0, 0.5
RESTRICTED = "LicenseRef-Bocage-Demonstration"
DEMANDED = "CC-BY-NC-4.0"

# The service as it runs, but on a TCP port of its own choosing, as GDAL's clients need one.
SERVE = """
import socket, sys, uvicorn
from bocage_tiles import gdal
gdal.harden()
from bocage_tiles.app import create_app
from bocage_tiles.settings import TilesSettings
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(create_app(TilesSettings()), access_log=False)).run(sockets=[listening])
"""


def write_raster(path: Path, bands: NDArray[Any], nodata: float | None = None, **profile: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = profile.pop("names", None)
    options = {
        "driver": "GTiff",
        "width": bands.shape[2],
        "height": bands.shape[1],
        "count": bands.shape[0],
        "dtype": bands.dtype,
        "crs": "EPSG:32631",
        "transform": from_origin(WEST, NORTH, CELL, CELL),
        "nodata": nodata,
        "tiled": True,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **(options | profile)) as raster:
        raster.write(bands)
        for index, name in enumerate(names or (), 1):
            raster.set_band_description(index, name)
    if bands.shape[1] > 256:
        with rasterio.open(path, "r+") as raster:
            raster.build_overviews([2, 4], Resampling.nearest)


def terrain() -> NDArray[np.float32]:
    """A slope with a wave and some blocks; the corner has no data."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    heights = 100 + 0.05 * x + 8 * np.sin(y / 90)
    generator = np.random.default_rng(7)
    for top, left in generator.integers(50, SIZE - 90, (15, 2)):
        heights[top : top + 40, left : left + 40] += generator.uniform(5, 20)
    heights[:120, :120] = -9999
    made: NDArray[np.float32] = heights.astype("float32")
    return made


@dataclass
class Service:
    """A running service with what it serves."""

    base: str
    home: Path
    key: OKPKey
    admin_url: str
    heights: NDArray[np.float32]
    bbox: tuple[float, float, float, float]
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    def identity(self, **given: Any) -> Identity:
        return Identity(**({"subject": "anonymous", "public_base": self.base} | given))

    def get(self, path: str, identity: Identity | None = None, method: str = "GET", **options: Any) -> httpx.Response:
        token = sign(identity or self.identity(), self.key)
        headers = {HEADER: token} | options.pop("headers", {})
        return self.client.request(method, self.base + path, headers=headers, **options)

    @property
    def anybody(self) -> Identity:
        return self.identity(licences={DEMANDED: Level.JOB})

    @property
    def researcher(self) -> Identity:
        licences = {DEMANDED: Level.JOB, RESTRICTED: Level.JOB}
        return self.identity(subject="r1", organisation="lab", category="research", licences=licences)

    @property
    def company(self) -> Identity:
        return self.identity(subject="c1", organisation="firm", category="private", purpose="commercial")

    def tokened(self, **scope: Any) -> Identity:
        return self.researcher.model_copy(update={"tiles": TileScope(**scope)})

    def load_item(self, item: Mapping[str, Any]) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute("select pgstac.upsert_item(%s::jsonb)", [json.dumps(item)])

    def load_collection(self, name: str, **members: Any) -> None:
        collection = {
            "type": "Collection",
            "stac_version": "1.1.0",
            "id": name,
            "description": name,
            "license": "other",
            "extent": {"spatial": {"bbox": [list(self.bbox)]}, "temporal": {"interval": [[None, None]]}},
            "links": [],
        }
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute("select pgstac.create_collection(%s::jsonb)", [json.dumps(collection | members)])

    def item(self, name: str, assets: Mapping[str, Any], **properties: Any) -> dict[str, Any]:
        west, south, east, north = self.bbox
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        return {
            "type": "Feature",
            "stac_version": "1.1.0",
            "stac_extensions": [],
            "id": name,
            "collection": "dsm",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "bbox": list(self.bbox),
            "properties": {"datetime": "2026-01-01T00:00:00Z", "bocage:licences": [DEMANDED], **properties},
            "links": [],
            "assets": dict(assets),
        }

    def path(self, tail: str, item: str = "result") -> str:
        return f"/tiles/collections/dsm/items/{item}{tail}"


def tiff(key: str, **fields: Any) -> dict[str, Any]:
    return {"href": f"store:results/dsm/{key}", "type": "image/tiff; application=geotiff", "roles": ["data"], **fields}


def fill_store(root: Path, heights: NDArray[np.float32]) -> None:
    generator = np.random.default_rng(3)
    _, x = np.mgrid[0:SIZE, 0:SIZE]
    job = root / "results" / "dsm" / "job" / "1"
    write_raster(job / "dsm.tif", heights[None], nodata=-9999)
    shade = (127 + 100 * np.sin(x / 15)).astype("uint8")
    write_raster(job / "hillshade.tif", shade[None], nodata=0)
    image = (400 + 1500 * (np.sin(x / 30) + 1) + generator.normal(0, 20, x.shape)).astype("uint16")
    write_raster(
        job / "ortho.tif", np.stack([image, (x // 400 + 1).astype("uint16")]), nodata=0, names=["pan", "source"]
    )
    write_raster(job / "rgb.tif", np.stack([image, image // 2, image // 3]))
    write_raster(job / "validity.tif", (x // 200).astype("uint8")[None])
    (job / "quicklook.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    write_raster(job / "raw.tif", image[None], crs=None, transform=None)
    (job / "text.tif").write_text("not an image\n")
    secret = root.parent / "secret.tif"
    write_raster(secret, heights[None], nodata=-9999)
    (job / "virtual.tif").write_text(
        f"<VRTDataset rasterXSize='10' rasterYSize='10'><VRTRasterBand dataType='Float32' band='1'><SimpleSource>"
        f"<SourceFilename>{secret}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    (job / "escape.tif").symlink_to(secret)
    whole = (job / "dsm.tif").read_bytes()
    (job / "truncated.tif").write_bytes(whole[: len(whole) // 3])


def load(service: Service) -> None:
    collection = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": "dsm",
        "description": "Surface models",
        "license": "other",
        "bocage:licences": [RESTRICTED],
        "providers": [{"name": "Théia & friends", "roles": ["producer"]}],
        "extent": {"spatial": {"bbox": [list(service.bbox)]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
    }
    with psycopg.connect(service.admin_url, autocommit=True) as connection:
        connection.execute("select pgstac.create_collection(%s::jsonb)", [json.dumps(collection)])
    valid = service.heights[service.heights > -9999]
    statistics = {"minimum": float(valid.min()), "maximum": float(valid.max())}
    classes = [
        {"value": 0, "name": "outside"},
        {"value": 1, "name": "measured", "color_hint": "00aa00"},
        {"value": 2, "name": "filled", "color_hint": "ffaa00"},
        {"value": 3, "name": "hidden", "color_hint": "aa0000"},
    ]
    assets = {
        "quicklook": {"href": "store:results/dsm/job/1/quicklook.png", "type": "image/png"},
        "report": {"href": "store:results/dsm/job/1/report.json", "type": "application/json"},
        "ortho": tiff("job/1/ortho.tif", **{"bocage:licences": [RESTRICTED]}),
        "rgb": tiff("job/1/rgb.tif"),
        "hillshade": tiff("job/1/hillshade.tif"),
        "validity": tiff("job/1/validity.tif", **{"classification:classes": classes}),
        "dsm": tiff("job/1/dsm.tif", bands=[{"name": "elevation", "unit": "m", "statistics": statistics}]),
        "raw": tiff("job/1/raw.tif"),
        "missing": tiff("job/1/nothing.tif"),
        "text": tiff("job/1/text.tif"),
        "virtual": tiff("job/1/virtual.tif"),
        "escape": tiff("job/1/escape.tif"),
        "truncated": tiff("job/1/truncated.tif"),
        "external": {"href": "https://example.org/a.tif", "type": "image/tiff", "bocage:external": True},
        "passwd": {"href": "file:///etc/passwd", "type": "image/tiff"},
        "plain": {"href": "/etc/passwd", "type": "image/tiff"},
        "curl": {"href": "/vsicurl/http://127.0.0.1:9/x.tif", "type": "image/tiff"},
        "stored_curl": {"href": "store:/vsicurl/http://127.0.0.1:9/x.tif", "type": "image/tiff"},
        "bucket": {"href": "s3:frozen:collections/scenes/result/bucket", "type": "image/tiff"},
        "dots": {"href": "store:../secret.tif", "type": "image/tiff"},
    }
    service.load_item(service.item("result", assets, title="A result <of> ours"))
    own = {"bocage:audience": "owner", "bocage:owner": "r1", "bocage:organisation": "lab"}
    service.load_item(service.item("private", {"dsm": tiff("job/1/dsm.tif")}, **own))
