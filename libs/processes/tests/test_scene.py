"""The synthetic scene: the same every time, and what it promises."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from bocage_processes.geomodels import read_geomodel
from bocage_processes.scene import Scene, main, make_scene
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.ndimage import binary_dilation, map_coordinates


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"))


def band(path: Path) -> NDArray[np.float64]:
    with rasterio.open(path) as src:
        pixels: NDArray[np.float64] = src.read(1).astype(np.float64)
    return pixels


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        # two processes: nothing may hang on the order of hashes or on what ran before
        subprocess.run(
            [sys.executable, "-m", "bocage_processes.scene", str(tmp_path / name), "--size", "200"],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": str(len(name) + (name == "two"))},
        )
    assert sums(tmp_path / "one") == sums(tmp_path / "two")
    make_scene(tmp_path / "three", size=200, seed=7)
    other = sums(tmp_path / "three")
    assert all(other[name] != found for name, found in sums(tmp_path / "one").items())
    assert sorted(other) == ["bwd.tif", "fwd.tif", "nadir.tif", "truth_dsm.tif", "truth_label.tif", "truth_ortho.tif"]


def ground(scene: Scene) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Longitude, latitude and height of every true cell."""
    with rasterio.open(scene.truth_dsm) as src:
        height, transform, crs = src.read(1).astype(np.float64), src.transform, src.crs
    assert crs.to_epsg() == scene.epsg
    row, col = np.indices(height.shape)
    x, y = transform.c + (col + 0.5) * transform.a, transform.f + (row + 0.5) * transform.e
    lon, lat = Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    return lon, lat, height


def test_enough_ground_is_seen_by_all_with_enough_buildings(scene: Scene) -> None:
    lon, lat, height = ground(scene)
    seen = np.ones(height.shape, bool)
    for path in scene.views.values():
        col, row = read_geomodel(path).project(lon, lat, height)
        seen &= (col > 0) & (col < 699) & (row > 0) & (row < 699)
    rows, cols = np.flatnonzero(seen.mean(axis=1) > 0.5), np.flatnonzero(seen.mean(axis=0) > 0.5)
    assert (rows[-1] - rows[0]) * scene.gsd_m >= 300
    assert (cols[-1] - cols[0]) * scene.gsd_m >= 300

    label = band(scene.truth_label)
    inside = 0
    for number in range(1, scene.buildings + 1):
        building = label == number
        around = binary_dilation(building, iterations=3) & (label == 0)
        inside += bool(seen[building].all())
        roof = height[building]
        assert np.ptp(roof) == 0
        assert 5 <= (roof[0] - height[around]).max() <= 24
        assert 5 <= roof[0] - np.median(height[around]) <= 22
    assert inside >= 20


def test_there_is_relief_and_contrast(scene: Scene) -> None:
    height, label, texture = band(scene.truth_dsm), band(scene.truth_label), band(scene.truth_ortho)
    assert np.ptp(height[label == 0]) > 10
    contrast = [
        abs(texture[label == n].mean() - texture[binary_dilation(label == n, iterations=8) & (label == 0)].mean())
        for n in range(1, scene.buildings + 1)
    ]
    assert np.median(contrast) > 150


def test_images_show_the_truth_at_the_places_that_their_cameras_say(scene: Scene) -> None:
    lon, lat, height = ground(scene)
    texture = band(scene.truth_ortho)
    for name, path in scene.views.items():
        col, row = read_geomodel(path).project(lon, lat, height)
        ok = (col > 0) & (col < 699) & (row > 0) & (row < 699)
        image = band(path)

        right, low, high = (
            float(np.corrcoef(map_coordinates(image, [row[ok] + shift, col[ok] + shift], order=1), texture[ok])[0, 1])
            for shift in (0.0, -0.5, 0.5)
        )
        assert right > 0.92, name
        # half a pixel would be a mistaken convention
        assert right > max(low, high), name


def test_hidden_ground_is_not_shown(scene: Scene) -> None:
    """Behind a building, a picture drawn by its camera alone would repeat the roof: the images must not."""
    lon, lat, height = ground(scene)
    label, texture = band(scene.truth_label), band(scene.truth_ortho)
    fwd, bwd = scene.views["fwd"], scene.views["bwd"]
    foot = binary_dilation(label > 0, iterations=2) & (label == 0)
    errors = {}
    for name, path in (("fwd", fwd), ("bwd", bwd)):
        col, row = read_geomodel(path).project(lon, lat, height)
        errors[name] = np.abs(map_coordinates(band(path), [row, col], order=1) - texture)
    # each wall hides its foot from one of the two, so the worse of them is far off where the better is right
    worse = np.maximum(errors["fwd"], errors["bwd"])[foot]
    better = np.minimum(errors["fwd"], errors["bwd"])[foot]
    assert np.mean(worse) > 2 * np.mean(better)


def test_cameras_fit_and_noise_differs(scene: Scene) -> None:
    assert scene.rpc_residual_px < 0.01
    for path in scene.views.values():
        with rasterio.open(path) as src:
            assert src.dtypes == ("uint16",)
            assert src.rpcs is not None
            assert src.crs is None
    lon, lat, height = ground(scene)
    flat = {}
    for name in ("fwd", "nadir"):
        col, row = read_geomodel(scene.views[name]).project(lon, lat, height)
        ok = (col > 50) & (col < 650) & (row > 50) & (row < 650)
        flat[name] = np.where(ok, map_coordinates(band(scene.views[name]), [row, col], order=1), np.nan)
    # two views of the same ground differ by at least the noise of 1 %
    difference = flat["fwd"] - flat["nadir"]
    assert np.nanstd(difference) > 0.01 * np.nanmean(flat["nadir"])


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "tri-stereo" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / "x"), "--size", "7"])
    assert stop.value.code == 2
    assert not (tmp_path / "x").exists()


def test_sizes_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size"):
        make_scene(tmp_path, size=20)
