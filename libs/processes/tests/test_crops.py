from pathlib import Path

import numpy as np
import pytest
import rasterio
from bocage_processes.crops import window_for, write_crop
from bocage_processes.geomodels import geom_text
from bocage_processes.imagery import SensorImage, read_image
from bocage_processes.scene import make_scene
from bocage_processes.stereo import plan_stereo
from rasterio.windows import Window


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[SensorImage]:
    scene = make_scene(tmp_path_factory.mktemp("scene"), size=700)
    return [read_image(scene.views[name], None, f"scenes/{name}") for name in ("nadir", "fwd")]


def test_without_an_area_of_interest_the_image_stays_whole(images: list[SensorImage]) -> None:
    plan = plan_stereo(images, resolution=0.5)
    assert window_for(images[0], plan) == Window(0, 0, 700, 700)


def test_a_small_area_takes_a_part_that_holds_it(images: list[SensorImage]) -> None:
    lon, lat = images[0].model.localise(np.array([500.0, 600.0]), np.array([500.0, 600.0]), 120.0)
    west, east, south, north = lon.min(), lon.max(), lat.min(), lat.max()
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    plan = plan_stereo(images, resolution=0.5, aoi={"type": "Polygon", "coordinates": [ring]})
    for image in images:
        window = window_for(image, plan)
        assert window.width * window.height < 0.9 * 700 * 700
        assert min(window.width, window.height) >= 300
        for height in plan.altitude_range:
            col, row = image.model.project(np.array([west, east]), np.array([south, north]), height)
            inside = (col > window.col_off) & (col < window.col_off + window.width)
            inside &= (row > window.row_off) & (row < window.row_off + window.height)
            assert inside.all()


def test_a_cut_image_shows_the_same_ground(images: list[SensorImage], tmp_path: Path) -> None:
    image, window = images[1], Window(120, 75, 300, 200)
    write_crop(image, window, tmp_path / "cut.tif")
    (tmp_path / "cut.geom").write_text(geom_text(image.model))
    cut = read_image(tmp_path / "cut.tif", tmp_path / "cut.geom")
    assert (cut.width, cut.height) == (300, 200)
    ground, expected = cut.model.localise(10.0, 20.0, 130.0), image.model.localise(130.0, 95.0, 130.0)
    assert np.allclose(ground, expected, rtol=0, atol=1e-10)
    with rasterio.open(image.path) as whole, rasterio.open(cut.path) as part:
        assert (part.read(1) == whole.read(1, window=window)).all()
