"""What the tiles show: the right colours in the right place."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import morecantile
import numpy as np
import pytest
import rasterio
from bocage_tiles import ramps
from bocage_tiles.assets import Source
from bocage_tiles.drawing import Stretches, draw, plan
from bocage_tiles.maps import extent, tile_bounds
from bocage_tiles.parameters import DrawParameters
from bocage_tiles.raster import Datasets, Grid
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import from_bounds, from_origin
from rasterio.warp import transform
from tiles_service import CELL, NORTH, SIZE, WEST, Service, write_raster

TMS = morecantile.tms.get("WebMercatorQuad")


def pixels(body: bytes) -> NDArray[np.uint8]:
    with rasterio.open(io.BytesIO(body)) as picture:
        found: NDArray[np.uint8] = picture.read()
        return found


def middle_tile(service: Service, zoom: int) -> tuple[int, int, int]:
    west, south, east, north = service.bbox
    tile = TMS.tile((west + east) / 2, (south + north) / 2, zoom)
    return tile.z, tile.x, tile.y


def sampled(service: Service, z: int, x: int, y: int, size: int = 256) -> NDArray[np.float64]:
    """Heights under the middle of each pixel of a tile, found by coordinates alone."""
    grid = from_bounds(*TMS.xy_bounds(morecantile.Tile(x, y, z)), size, size)
    columns, rows = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    east, north = grid * (columns.ravel(), rows.ravel())
    xs, ys = transform("EPSG:3857", "EPSG:32631", east, north)
    column = np.floor((np.array(xs) - WEST) / CELL).astype(int)
    row = np.floor((NORTH - np.array(ys)) / CELL).astype(int)
    inside = (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE)
    heights = np.full(column.size, np.nan)
    heights[inside] = service.heights[row[inside], column[inside]]
    heights[heights == -9999] = np.nan
    return heights.reshape(size, size)


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


@pytest.mark.parametrize("zoom", [16, 18])
def test_elevation_is_drawn_with_the_relief_ramp_in_its_place(service: Service, zoom: int) -> None:
    z, x, y = middle_tile(service, zoom)
    answer = service.get(service.path(f"/tiles/WebMercatorQuad/{z}/{x}/{y}.png"), service.anybody)
    assert answer.status_code == 200, answer.text
    picture = pixels(answer.content)
    assert picture.shape == (4, 256, 256)
    heights = sampled(service, z, x, y)
    valid = ~np.isnan(heights)
    known = service.heights[service.heights > -9999]
    index = np.clip((heights - known.min()) / (known.max() - known.min()) * 255, 0, 255)[valid].astype(int)
    table = np.array(list(ramps.relief().values()))[:, :3]
    expected = np.zeros((256, 256, 3))
    expected[valid] = table[index]
    expected = np.moveaxis(expected, 2, 0)
    both = valid & (picture[3] > 0)
    assert both.sum() > 0.98 * valid.sum()
    here = correlation(picture[:3, both], expected[:, both])
    assert here >= 0.95
    colours = {tuple(c) for c in np.moveaxis(picture[:3], 0, 2).reshape(-1, 3)}
    assert len(colours) >= 64
    for axis in (1, 2):
        for shift in (-2, 2):
            assert correlation(np.roll(picture[:3], shift, axis)[:, both], expected[:, both]) < here


def test_what_has_no_data_is_clear(service: Service) -> None:
    z, x, y = middle_tile(service, 15)
    picture = pixels(service.get(service.path(f"/tiles/WebMercatorQuad/{z}/{x}/{y}"), service.anybody).content)
    empty = np.isnan(sampled(service, z, x, y))
    assert empty.any() and not empty.all()
    assert (picture[3][empty] == 0).mean() > 0.98
    assert (picture[3][~empty] == 255).mean() > 0.98


def test_a_tile_outside_is_clear_and_one_outside_the_matrix_is_absent(service: Service) -> None:
    for asset in ("dsm", "validity"):
        answer = service.get(
            service.path("/tiles/WebMercatorQuad/5/1/1.png"), service.anybody, params={"assets": asset}
        )
        assert answer.status_code == 200
        assert not pixels(answer.content).any()
    answer = service.get(service.path("/tiles/WebMercatorQuad/2/4/0.png"), service.anybody)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_low_zooms_show_the_item(service: Service) -> None:
    for zoom in (0, 8, 13):
        z, x, y = middle_tile(service, zoom)
        answer = service.get(service.path(f"/tiles/WebMercatorQuad/{z}/{x}/{y}.png"), service.anybody)
        assert answer.status_code == 200
    assert pixels(answer.content)[3].any()


@pytest.mark.parametrize(
    ("tail", "side", "kind"),
    [("@2x.png", 512, "png"), ("@2x", 512, "png"), (".webp", 256, "webp"), (".jpg", 256, "jpeg")],
)
def test_sizes_and_formats(service: Service, tail: str, side: int, kind: str) -> None:
    z, x, y = middle_tile(service, 17)
    answer = service.get(service.path(f"/tiles/WebMercatorQuad/{z}/{x}/{y}{tail}"), service.anybody)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == f"image/{kind}"
    assert pixels(answer.content).shape[1:] == (side, side)


def test_each_asset_has_its_own_drawing(service: Service) -> None:
    def tile(asset: str, zoom: int = 17) -> NDArray[np.uint8]:
        z, x, y = middle_tile(service, zoom)
        path = service.path(f"/tiles/WebMercatorQuad/{z}/{x}/{y}.png")
        answer = service.get(path, service.researcher, params={"assets": asset})
        assert answer.status_code == 200, answer.text
        return pixels(answer.content)

    shade = tile("hillshade")
    assert (shade[0] == shade[1]).all() and shade[0].max() > 220 and 20 < shade[0][shade[3] > 0].min() < 40
    ortho = tile("ortho")
    assert (ortho[0] == ortho[2]).all() and ortho[0].std() > 40
    rgb = tile("rgb")
    assert rgb[3].any() and rgb[:3].std() > 40
    shown = {tuple(c) for c in np.moveaxis(tile("validity", 15), 0, 2).reshape(-1, 4)}
    assert shown == {(0, 0, 0, 0), (0, 170, 0, 255), (255, 170, 0, 255), (170, 0, 0, 255)}


def test_the_stretch_of_an_image_is_the_same_in_every_tile(service: Service) -> None:
    z, x, y = middle_tile(service, 18)
    left, right = (
        pixels(
            service.get(
                service.path(f"/tiles/WebMercatorQuad/{z}/{column}/{y}@2x.png"),
                service.researcher,
                params={"assets": "ortho"},
            ).content
        )
        for column in (x, x + 1)
    )
    # Smooth image: the seam is no sharper than what is beside it.
    seam = np.abs(left[0, :, -1].astype(int) - right[0, :, 0]).mean()
    beside = np.abs(left[0, :, -1].astype(int) - left[0, :, -2]).mean()
    assert seam <= beside + 6


def test_the_client_may_choose_the_drawing(service: Service) -> None:
    z, x, y = middle_tile(service, 17)
    path = service.path(f"/tiles/WebMercatorQuad/{z}/{x}/{y}.png")

    def drawn(**asked: Any) -> NDArray[np.uint8]:
        answer = service.get(path, service.anybody, params={"assets": "dsm", **asked})
        assert answer.status_code == 200, answer.text
        return pixels(answer.content)

    default = drawn()
    assert (drawn(colormap_name="viridis") != default).any()
    low = drawn(rescale="1000,2000")
    assert {tuple(c) for c in low[:3, low[3] > 0].T} == {(13, 59, 52)}
    flat = drawn(expression="where(b1>0,1,0)", rescale="0,2")
    assert set(np.unique(flat[0][flat[3] > 0])) == {127}
    interval = drawn(colormap=json.dumps([[[-100, 10000], [1, 2, 3]]]))
    assert {tuple(c) for c in interval[:3, interval[3] > 0].T} == {(1, 2, 3)}
    assert (drawn(colormap=json.dumps({str(i): "#00ff00" for i in range(256)}))[1] == 255).any()
    three = drawn(expression="b1;b1*2;b1/3", rescale="0,500")
    assert three[1].mean() > three[0].mean() > three[2].mean()


def test_previews(service: Service) -> None:
    answer = service.get(service.path("/preview.png"), service.anybody, params={"max_size": 200})
    assert pixels(answer.content).shape == (4, 200, 200)
    sized = service.get(service.path("/preview"), service.anybody, params={"width": 60, "height": 90})
    assert pixels(sized.content).shape == (4, 90, 60)
    raw = service.get(service.path("/preview.jpg"), service.anybody, params={"assets": "raw", "width": 64})
    assert raw.status_code == 200 and pixels(raw.content).shape == (3, 64, 64)


def test_values(service: Service) -> None:
    xs, ys = transform("EPSG:32631", "EPSG:4326", [WEST + 200.25], [NORTH - 200.25])
    answer = service.get(service.path(f"/point/{xs[0]},{ys[0]}"), service.anybody)
    assert answer.json()["values"] == [pytest.approx(float(service.heights[400, 400]))]
    assert answer.json()["band_names"] == ["dsm_b1"]
    xs, ys = transform("EPSG:32631", "EPSG:4326", [WEST + 10], [NORTH - 10])
    assert service.get(service.path(f"/point/{xs[0]},{ys[0]}"), service.anybody).json()["values"] == [None]
    assert service.get(service.path("/point/10,10"), service.anybody).status_code == 404
    statistics = service.get(service.path("/statistics"), service.anybody).json()["dsm_b1"]
    known = service.heights[service.heights > -9999]
    assert statistics["mean"] == pytest.approx(float(known.mean()), abs=0.5)
    assert statistics["percentile_98"] == pytest.approx(float(np.percentile(known, 98)), abs=0.5)
    told = service.get(service.path("/info"), service.anybody, params={"assets": ["dsm", "rgb"]}).json()
    assert told["dsm"]["nodata_value"] == -9999 and told["rgb"]["count"] == 3


def test_ramps_and_legends(service: Service) -> None:
    listed = service.get("/tiles/colorMaps").json()
    assert {"relief", "viridis"} <= {entry["id"] for entry in listed["colormaps"]}
    relief = service.get("/tiles/colorMaps/relief").json()
    assert len({tuple(colour) for colour in relief.values()}) >= 128
    lightness = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b, _ in relief.values()]
    assert all(b >= a - 0.5 for a, b in itertools.pairwise(lightness))
    legend = service.get("/tiles/colorMaps/relief", params={"f": "png", "orientation": "vertical", "height": 300})
    strip = pixels(legend.content)
    assert strip.shape == (4, 300, 20)
    assert tuple(strip[:, 0, 0]) == tuple(relief["255"]) and tuple(strip[:, -1, 0]) == tuple(relief["0"])
    assert service.get("/tiles/colorMaps/nothing").status_code == 404


def test_classes_without_colours_get_some_and_nothing_stays_clear() -> None:
    found = ramps.class_colours(
        [{"value": 0, "name": "outside"}, {"value": 1, "name": "measured"}, {"value": 7, "color_hint": "0a0b0c"}]
    )
    assert found[0][3] == 0 and found[1][3] == 255 and found[7] == (10, 11, 12, 255)
    # A class of value 0 is a class like another.
    assert ramps.class_colours([{"value": 0, "name": "best"}])[0][3] == 255


@pytest.mark.parametrize(
    ("crs", "west", "north", "cell"),
    [
        ("EPSG:32760", 800_000, 6_000_000, 100),
        ("EPSG:3035", 3_000_000, 3_000_000, 50),
        ("EPSG:4326", -180, 90, 0.36),
        ("EPSG:2975", 300_000, 7_650_000, 10),
    ],
)
def test_tiles_near_and_far_of_any_projection(tmp_path: Path, crs: str, west: int, north: int, cell: float) -> None:
    path = tmp_path / "dsm.tif"
    values = np.add.outer(np.arange(500), np.arange(1000)).astype("float32")[None]
    write_raster(path, values, crs=crs, transform=from_origin(west, north, cell, cell))
    datasets, source = Datasets(4), Source("dsm", path, path.stat().st_size, path.stat().st_mtime_ns)
    found = extent(datasets, [source])
    drawing = plan(datasets, Stretches(datasets), {"dsm": {}}, [source], DrawParameters())
    assert drawing.painting.colours == ramps.relief() and found.minzoom <= found.maxzoom
    for zoom in range(found.maxzoom + 1):
        for lon, lat in (((found.bounds[0] + found.bounds[2]) / 2, (found.bounds[1] + found.bounds[3]) / 2), (9, 9)):
            tile = TMS.tile(lon, lat, zoom)
            grid = Grid(CRS.from_epsg(3857), tile_bounds(tile.z, tile.x, tile.y), 256, 256)
            drawn = draw(datasets, drawing, grid)
            assert lon == 9 or drawn[3].any()
