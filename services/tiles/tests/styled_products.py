"""Small products with styles, as producers describe theirs: a ramp, classes, bits, a composite, and broken ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tiles_service import DEMANDED, RESTRICTED, SIZE, Service, write_raster

COLLECTION = "product"
FOLDER = "results/product/sample/1"
CLASSES = [
    {"value": 0, "name": "nodata", "nodata": True},
    {
        "value": 1,
        "name": "urban",
        "title": "Dense built-up area",
        "color_hint": "ff00ff",
        "bocage:translations": {"fr": {"title": "Bâti dense"}},
    },
    {
        "value": 2,
        "name": "meadow",
        "title": "Meadow & <moor>",
        "color_hint": "70a800",
        "bocage:translations": {"fr": {"title": "Prairie & <lande>"}},
    },
    {"value": 3, "name": "water", "color_hint": "0000ff"},
]
BITFIELDS = [
    {
        "name": "cloud",
        "title": "Cloud",
        "offset": 0,
        "length": 1,
        "classes": [{"value": 0, "name": "clear"}, {"value": 1, "name": "cloud", "color_hint": "ffffff"}],
        "bocage:translations": {"fr": {"title": "Nuage"}},
    },
    {
        "name": "shadow",
        "offset": 2,
        "length": 2,
        "classes": [
            {"value": 0, "name": "none"},
            {"value": 1, "name": "thin", "color_hint": "333333"},
            {"value": 3, "name": "deep", "color_hint": "000000"},
        ],
    },
    {"name": "snow", "offset": 5, "length": 1, "classes": [{"value": 0, "name": "no"}, {"value": 1, "name": "yes"}]},
]
ITEM_ASSETS: dict[str, Any] = {
    "albedo": {
        "title": "Albedo",
        "data_type": "uint16",
        "nodata": 65535,
        "unit": "1",
        "raster:scale": 0.0001,
        "raster:offset": 0,
    },
    "water": {
        "title": "Suspended matter",
        "unit": "mg·L⁻¹",
        "raster:scale": 0.1,
        "raster:offset": -5,
        "bocage:translations": {"fr": {"title": "Matières en suspension"}},
    },
    "classes": {"title": "Land cover", "classification:classes": CLASSES},
    "mask": {"title": "Clouds", "classification:bitfields": BITFIELDS},
    "image": {
        "title": "Reflectance",
        "bands": [{"name": "B4"}, {"name": "B3", "description": "Green band"}, {"name": "B2"}, {"name": "B8"}],
        "raster:scale": 0.0001,
    },
    "closed": {"title": "Closed"},
}
RENDERS: dict[str, Any] = {
    "albedo": {
        "title": "Surface albedo",
        "assets": ["albedo"],
        "rescale": [[0, 5000]],
        "colormap_name": "viridis",
        "minmax_zoom": [10, 17],
        "bocage:default": True,
        "bocage:translations": {"fr": {"title": "Albédo de surface"}},
    },
    "albedo-grey": {"assets": ["albedo"], "rescale": [[0, 10000]]},
    "water": {"assets": ["water"], "rescale": [[50, 550]], "colormap_name": "ylgnbu", "unit": "mg·L⁻¹"},
    "steps": {"assets": ["water"], "colormap": {"0,100": "#0000ff", "100,300": [0, 255, 0], "300,600": "#ff000080"}},
    "land-cover": {"title": "Land cover", "assets": ["classes"]},
    "towns": {"title": "Towns", "assets": ["classes"], "colormap": {"1": "#123456"}},
    "clouds": {"title": "Clouds", "assets": ["mask"], "bocage:bits": ["cloud", "shadow"]},
    "bit": {"assets": ["mask"], "bocage:bits": 1},
    "natural": {"title": "Natural colours", "assets": ["image"], "bidx": [1, 2, 3], "rescale": [[0, 3000]]},
    "ndvi": {
        "title": "NDVI",
        "assets": ["image"],
        "expression": "(b4-b1)/(b4+b1)",
        "rescale": [[-0.2, 0.9]],
        "colormap_name": "rdylgn",
    },
    "stretched": {"assets": ["water"], "colormap_name": "magma"},
    "closed": {"title": "Closed", "assets": ["closed"]},
    "missing": {"title": "Missing", "assets": ["nowhere"]},
    "formula": {"assets": ["albedo"], "color_formula": "gamma rgb 1.2"},
    "ramp": {"assets": ["albedo"], "colormap_name": "nothing"},
    "bits": {"assets": ["mask"], "bocage:bits": ["fog"]},
    "range": {"assets": ["albedo"], "rescale": [[5, 5]]},
    "odd": ["no object"],
}
BROKEN = ("missing", "formula", "ramp", "bits", "range", "odd")


def rasters(root: Path) -> dict[str, Any]:
    """The files, and the item's assets that name them."""
    folder = root / FOLDER
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    albedo = (x * 10).astype("uint16")
    albedo[:100, :100] = 65535
    write_raster(folder / "albedo.tif", albedo[None], nodata=65535)
    write_raster(folder / "water.tif", (50 + x * 0.625).astype("uint16")[None])
    write_raster(folder / "classes.tif", (x // 200).astype("uint8")[None], nodata=0)
    write_raster(folder / "mask.tif", ((x // 100) | ((y // 400) << 5)).astype("uint8")[None])
    bands = np.stack([x * 3, x * 2, x, 4000 - x]).astype("uint16")
    write_raster(folder / "image.tif", bands)
    write_raster(folder / "closed.tif", albedo[None])
    made = {name: {"href": f"store:{FOLDER}/{name}.tif", "type": "image/tiff"} for name in ITEM_ASSETS}
    made["closed"]["bocage:licences"] = [RESTRICTED]
    return made


def load_product(service: Service) -> None:
    assets = rasters(service.home / "store")
    service.load_collection(
        COLLECTION, item_assets=ITEM_ASSETS, renders=RENDERS, title="A product", **{"bocage:licences": [DEMANDED]}
    )
    hidden = {"bocage:audience": "owner", "bocage:owner": "r1"}
    service.load_collection("hidden-product", item_assets=ITEM_ASSETS, renders=RENDERS, **hidden)
    titles = {"title": "A sample", "bocage:translations": {"fr": {"title": "Échantillon"}}}
    service.load_item(service.item("sample", assets, **titles) | {"collection": COLLECTION})
    only = {name: assets[name] for name in ("classes", "mask")}
    service.load_item(service.item("few", only) | {"collection": COLLECTION})
    own = {"reds": {"assets": ["albedo"], "colormap_name": "reds", "rescale": [[0, 8000]]}}
    service.load_item(service.item("own", assets) | {"collection": COLLECTION, "renders": own})


def at(tail: str, item: str = "sample", collection: str = COLLECTION) -> str:
    return f"/tiles/collections/{collection}/items/{item}{tail}"
