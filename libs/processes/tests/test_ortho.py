from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from bocage_processes.accuracy import compare_elevation, compare_ortho, nmad
from bocage_processes.edges import centre_seen, upright_walls
from bocage_processes.imagery import SensorImage, read_image
from bocage_processes.ortho import Ortho, true_ortho
from bocage_processes.scene import Scene, make_scene
from numpy.typing import NDArray

SIZE = 300


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    yield make_scene(tmp_path_factory.mktemp("scene"), size=SIZE, seed=3)


@pytest.fixture(scope="module")
def images(scene: Scene) -> list[SensorImage]:
    return [read_image(scene.views[name], None, f"scenes/{name}") for name in ("fwd", "nadir", "bwd")]


def truth(scene: Scene) -> tuple[NDArray[Any], NDArray[Any], Any]:
    with rasterio.open(scene.truth_dsm) as src:
        heights, transform = src.read(1).astype(np.float32), src.transform
    with rasterio.open(scene.truth_ortho) as src:
        return heights, src.read(1).astype(np.float64), transform


def made(scene: Scene, images: list[SensorImage], **options: Any) -> tuple[Ortho, NDArray[Any]]:
    heights, texture, transform = truth(scene)
    ortho = true_ortho(
        heights, np.isfinite(heights), transform, f"EPSG:{scene.epsg}", images, noise_m=0.3, naive=True, **options
    )
    return ortho, texture


def test_hidden_cells_come_from_another_image_and_are_closer_to_the_truth(
    scene: Scene, images: list[SensorImage]
) -> None:
    ortho, texture = made(scene, images)
    assert ortho.naive is not None
    result = compare_ortho(ortho.values[0], ortho.naive[0], texture, ortho.source == 1, ortho.hidden)
    assert result.correlation > 0.9
    assert result.hidden_cells > 200
    assert result.hidden_gain > 0.3
    assert set(np.unique(ortho.source[ortho.hidden])) <= {0, 2, 3}
    assert (ortho.source[ortho.hidden] > 0).mean() > 0.8


def test_one_image_alone_leaves_holes(scene: Scene, images: list[SensorImage]) -> None:
    ortho, _ = made(scene, images[:1])
    assert np.isnan(ortho.values[0][ortho.hidden]).all()
    assert (ortho.source[ortho.hidden] == 0).all()
    assert (ortho.source == 1).sum() > 0.8 * SIZE * SIZE


def test_what_is_hidden_lies_behind_walls_only(scene: Scene, images: list[SensorImage]) -> None:
    ortho, _ = made(scene, images)
    with rasterio.open(scene.truth_label) as src:
        label = src.read(1)
    assert ortho.hidden.mean() < 0.1
    # roofs are seen: nothing is above them
    assert ortho.hidden[label > 0].mean() < 0.02


def test_a_darker_image_is_brought_to_the_reference(scene: Scene, images: list[SensorImage], tmp_path: Path) -> None:
    with rasterio.open(scene.views["nadir"]) as src:
        pixels, rpcs = src.read(), src.rpcs
    with rasterio.open(
        tmp_path / "dark.tif", "w", driver="GTiff", width=SIZE, height=SIZE, count=1, dtype="uint16"
    ) as dst:
        dst.write((pixels * 0.4 + 50).astype(np.uint16))
        dst.rpcs = rpcs
    dark = read_image(tmp_path / "dark.tif", None, "scenes/dark")
    ortho, texture = made(scene, [images[0], dark])
    filled = ortho.source == 2
    assert filled.sum() > 200
    assert abs(float(np.median(ortho.values[0][filled] - texture[filled]))) < 60


def test_a_coarse_grid_leaves_no_gap_to_look_through(scene: Scene, images: list[SensorImage]) -> None:
    heights, _, transform = truth(scene)
    from affine import Affine

    coarse = heights[1::4, 1::4]
    ortho = true_ortho(
        coarse, np.isfinite(coarse), transform @ Affine.scale(4), f"EPSG:{scene.epsg}", images, noise_m=0.3
    )
    fine, _ = made(scene, images)
    assert ortho.hidden.mean() == pytest.approx(fine.hidden.mean(), rel=0.6)


def test_cells_without_height_have_no_value(scene: Scene, images: list[SensorImage]) -> None:
    heights, _, transform = truth(scene)
    valid = np.ones(heights.shape, np.bool_)
    middle = np.s_[heights.shape[0] // 2 - 5 : heights.shape[0] // 2 + 5, 200:210]
    valid[middle] = False
    ortho = true_ortho(heights, valid, transform, f"EPSG:{scene.epsg}", images, noise_m=0.3)
    assert np.isnan(ortho.values[0][middle]).all()
    assert (ortho.source[middle] == 0).all()


def test_accuracy_of_a_known_error() -> None:
    rng = np.random.default_rng(0)
    flat = np.zeros((100, 100))
    measured = np.ones(flat.shape, np.bool_)
    measured[:10] = False
    found = compare_elevation(rng.normal(0.2, 1.0, flat.shape), measured, flat, np.ones(flat.shape, np.bool_))
    assert found.median == pytest.approx(0.2, abs=0.05)
    assert found.nmad == pytest.approx(1.0, abs=0.05)
    assert found.measured_fraction == 0.9
    assert nmad(np.array([0.0, 0.0, 0.0, 0.0, 99.0])) == 0
    with pytest.raises(ValueError, match="no cell"):
        compare_elevation(flat, ~np.ones(flat.shape, np.bool_), flat, measured)


def test_a_ramp_becomes_a_wall_and_a_slope_stays() -> None:
    heights = np.full((30, 40), 100, np.float32)
    heights[:, 20:] = 112
    heights[:, 19:21] = [104, 109]
    heights[3, 3] = np.nan
    upright = upright_walls(heights)
    assert np.isnan(upright[3, 3])
    assert (upright[:, 19] == 100).all()
    assert (upright[:, 20] == 112).all()
    slope = np.broadcast_to(np.arange(40, dtype=np.float32) * 1.5, (30, 40))
    assert (upright_walls(slope) == slope).all()


def test_the_centre_of_a_cell_is_seen_past_a_wall_or_not() -> None:
    heights = np.zeros((5, 30), np.float32)
    heights[:, :10] = 20
    everywhere = np.ones(heights.shape, np.bool_)
    # per metre 0.02 cells to the west: 0.4 cells from the roof's height down, less than half a cell
    assert centre_seen(heights, everywhere, (0.0, -0.02)).all()
    assert not centre_seen(heights, everywhere, (0.0, -0.02), margin=0.25)[:, 10].any()
    leaning = centre_seen(heights, everywhere, (0.0, -0.2))
    assert not leaning[:, 10:13].any()
    assert leaning[:, 14:].all()
    assert centre_seen(heights, everywhere, (0.0, 0.0), margin=0.25).all()
