from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from bocage_processes.hillshade import HillshadeInputs, check, hillshade, process, run
from bocage_processes.process import InputRefused, LocalContext, Provenance, StagedAsset, StagedItem
from bocage_processes.raster import Band, Raster, write_cog
from numpy.typing import NDArray


def plane(east: float, north: float, cells: int = 12) -> NDArray[np.float64]:
    """Heights of a plane rising by these metres per metre, on cells of 1 m."""
    rows, cols = np.mgrid[0:cells, 0:cells]
    heights: NDArray[np.float64] = 100 + east * cols - north * rows
    return heights


def everywhere(heights: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.ones(heights.shape, np.bool_)


@pytest.mark.parametrize(
    ("east", "north", "cosine"),
    [
        (0.0, 0.0, np.sin(np.pi / 4)),
        # rising away from the light in the north-west: it faces it
        (1.0, -1.0, (np.sqrt(0.5) + np.sqrt(0.5) * np.sqrt(2)) / np.sqrt(3)),
        (-1.0, 1.0, -1.0),
        (0.5, 0.0, (np.sqrt(0.5) + np.sqrt(0.5) * 0.5 * np.sqrt(0.5)) / np.sqrt(1.25)),
    ],
)
def test_planes_have_the_shade_worked_out_by_hand(east: float, north: float, cosine: float) -> None:
    heights = plane(east, north)
    expected = 1 if cosine <= 0 else int(1 + 254 * cosine + 0.5)
    assert (hillshade(heights, everywhere(heights), (1.0, 1.0)) == expected).all()


def test_it_agrees_with_the_formula_of_gdaldem() -> None:
    heights = np.random.default_rng(1).normal(0, 3, (40, 50)).cumsum(0).cumsum(1) / 20
    shade = hillshade(heights, everywhere(heights), (2.0, 3.0), azimuth=120, altitude=30, exaggeration=1.5)
    az, alt = np.radians(120.0), np.radians(30.0)
    for row, col in [(1, 1), (7, 30), (20, 20), (38, 48)]:
        w = heights[row - 1 : row + 2, col - 1 : col + 2].ravel()
        x = ((w[0] + 2 * w[3] + w[6]) - (w[2] + 2 * w[5] + w[8])) / 2.0
        y = ((w[6] + 2 * w[7] + w[8]) - (w[0] + 2 * w[1] + w[2])) / -3.0
        slope, aspect, z = np.hypot(x, y), np.arctan2(y, x), 1.5 / 8
        lit = (np.sin(alt) - np.cos(alt) * slope * z * np.sin(aspect - az)) / np.sqrt(1 + (slope * z) ** 2)
        assert shade[row, col] == (1 if lit <= 0 else int(1 + 254 * lit + 0.5))


def test_a_hole_stays_empty_and_does_not_spread() -> None:
    heights = plane(0.3, 0.1)
    valid = everywhere(heights)
    valid[5, 5] = False
    heights[5, 5] = -32768
    shade = hillshade(heights, valid, (1.0, 1.0))
    assert shade[5, 5] == 0
    assert len(np.unique(shade[valid])) == 1


def test_strips_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    heights = np.random.default_rng(2).normal(0, 1, (64, 20))
    whole = hillshade(heights, everywhere(heights), (1.0, 1.0))
    monkeypatch.setattr("bocage_processes.hillshade._STRIP_ROWS", 7)
    assert (hillshade(heights, everywhere(heights), (1.0, 1.0)) == whole).all()


def test_many_lights_leave_no_slope_in_the_dark() -> None:
    heights = plane(-1.0, 1.0)
    one = hillshade(heights, everywhere(heights), (1.0, 1.0))
    many = hillshade(heights, everywhere(heights), (1.0, 1.0), multidirectional=True)
    assert one.max() == 1 < many.min()


def context(folder: Path, crs: str, asset: str = "dsm") -> LocalContext:
    path = folder / "in.tif"
    values = plane(0.5, 0.0, 64).astype(np.float32)[None]
    write_cog(path, Raster(values, Affine(1, 0, 500_000, 0, -1, 4_800_000), crs, [Band("elevation")], -32768.0))
    out = folder / "out"
    out.mkdir()
    item = StagedItem(reference="dems/a", assets={asset: StagedAsset(path=path, roles=("data",))})
    return LocalContext(folder=out, items={"dems/a": item}, provenance=Provenance(licences={"hillshade": "etalab-2.0"}))


def test_the_process_shades_an_item(tmp_path: Path) -> None:
    import rasterio

    surroundings = context(tmp_path, "EPSG:32631")
    inputs = HillshadeInputs(item="dems/a")
    quote, outcome = check(inputs, surroundings), run(inputs, surroundings)
    assert outcome.usage.megapixels <= quote.usage.megapixels
    with rasterio.open(outcome.files["hillshade"].path) as src:
        assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert src.tags()["LICENSE"] == "etalab-2.0"
        assert src.read(1).std() == 0
    assert outcome.geometry is not None
    assert outcome.geometry["type"] == "Polygon"
    assert process().id == "hillshade"


def test_a_raster_in_degrees_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused) as refusal:
        check(HillshadeInputs(item="dems/a"), context(tmp_path, "EPSG:4326"))
    assert refusal.value.code == "crs-unsuitable"


def test_an_asset_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="`slope`") as refusal:
        check(HillshadeInputs(item="dems/a", asset="slope"), context(tmp_path, "EPSG:32631", asset="height"))
    assert "height" in refusal.value.remedy
