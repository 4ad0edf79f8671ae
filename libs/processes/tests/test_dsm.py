"""The process `dsm`: refusals without the engine, and one whole run with it (`BOCAGE_CARS` = path of `cars`)."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import rasterio
from bocage_processes.accuracy import compare_elevation, compare_ortho
from bocage_processes.dsm import DsmInputs, check, run
from bocage_processes.edges import upright_walls
from bocage_processes.imagery import read_image
from bocage_processes.ortho import true_ortho
from bocage_processes.process import (
    Cancelled,
    EngineFailed,
    InputRefused,
    Limits,
    LocalContext,
    Outcome,
    Provenance,
    Quote,
    StagedAsset,
    StagedItem,
)
from bocage_processes.report import report_schema
from bocage_processes.scene import Scene, make_scene
from jsonschema import Draft202012Validator
from numpy.typing import NDArray
from pydantic import ValidationError

SIZE = 700
NAMES = ("fwd", "nadir", "bwd")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"), size=SIZE)


@pytest.fixture
def engine() -> Path:
    path = os.environ.get("BOCAGE_CARS")
    if not path:
        pytest.skip("BOCAGE_CARS does not name the engine's executable")
    return Path(path)


def staged(scene: Scene) -> dict[str, StagedItem]:
    return {
        f"scenes/{name}": StagedItem(
            reference=f"scenes/{name}",
            assets={"image": StagedAsset(path=path, roles=("data",))},
            properties={"datetime": f"2026-03-0{number}T10:00:00Z", "platform": "demo"},
        )
        for number, (name, path) in enumerate(scene.views.items(), start=1)
    }


def surroundings(folder: Path, items: Mapping[str, StagedItem], **options: Any) -> LocalContext:
    folder.mkdir()
    return LocalContext(folder=folder, items=items, **options)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"images": ["a/b"]}, "two or three images"),
        ({"images": ["a/1", "a/2", "a/3", "a/4"]}, "two or three images"),
        ({"images": ["a/1", "a/1"]}, "same item"),
        ({"images": ["a/1", "file:///etc/passwd"]}, "pattern"),
        ({"images": ["a/1", "a/2"], "resolution": 0}, "greater than 0"),
        ({"images": ["a/1", "a/2"], "resolution": float("inf")}, "finite"),
        ({"images": ["a/1", "a/2"], "matching_window": 7}, "less than or equal to 6"),
        ({"images": ["a/1", "a/2"], "dem": "x"}, "Extra inputs"),
        ({"images": ["a/1", "a/2"], "crs": "+proj=utm"}, "pattern"),
        ({}, "Field required"),
    ],
)
def test_inputs_that_do_not_fit(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DsmInputs.model_validate(inputs)


def refusal(context: LocalContext, inputs: DsmInputs) -> InputRefused:
    with pytest.raises(InputRefused) as found:
        check(inputs, context)
    assert found.value.remedy
    return found.value


def test_the_quote_bounds_what_is_asked(scene: Scene, tmp_path: Path) -> None:
    context = surroundings(tmp_path / "job", staged(scene))
    quote = check(DsmInputs(images=[f"scenes/{name}" for name in NAMES], resolution=0.5), context)
    assert 0.9 < quote.usage.megapixels < 1.3
    assert quote.findings["convergence_deg"] == pytest.approx(8.7, abs=0.3)
    json.dumps(quote.model_dump(mode="json"), allow_nan=False)


def test_bad_sets_are_refused_before_anything_runs(scene: Scene, tmp_path: Path) -> None:
    items = staged(scene)
    copy = tmp_path / "copy.tif"
    shutil.copy(scene.views["nadir"], copy)
    text = tmp_path / "text.tif"
    text.write_text("not an image")
    cut = tmp_path / "cut.tif"
    cut.write_bytes(scene.views["fwd"].read_bytes()[:100_000])
    for name, path in {"copy": copy, "text": text, "cut": cut}.items():
        items[f"scenes/{name}"] = StagedItem(reference=f"scenes/{name}", assets={"image": StagedAsset(path=path)})
    context = surroundings(tmp_path / "job", items)

    def code(*names: str) -> str:
        return refusal(context, DsmInputs(images=[f"scenes/{name}" for name in names])).code

    assert code("nadir", "copy") == "same-image"
    assert code("nadir", "text") == "not-an-image"
    assert code("nadir", "cut") == "unreadable-image"
    assert code("nadir", "nowhere") == "no-item"


def test_an_area_too_large_is_refused_with_one_that_fits(scene: Scene, tmp_path: Path) -> None:
    context = surroundings(tmp_path / "job", staged(scene), limits=Limits(max_megapixels=0.3))
    found = refusal(context, DsmInputs(images=["scenes/nadir", "scenes/fwd"], resolution=0.5))
    assert found.code == "area-too-large"
    assert found.facts["proposed_aoi"]["type"] == "Polygon"


def test_without_an_engine_it_says_so(scene: Scene, tmp_path: Path) -> None:
    context = surroundings(tmp_path / "job", staged(scene), engines={"cars": tmp_path / "nowhere"})
    with pytest.raises(EngineFailed) as failure:
        run(DsmInputs(images=["scenes/nadir", "scenes/fwd"]), context)
    assert failure.value.code == "engine-missing"


@pytest.fixture(scope="module")
def result(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> tuple[Quote, Outcome, list[float]]:
    path = os.environ.get("BOCAGE_CARS")
    if not path:
        pytest.skip("BOCAGE_CARS does not name the engine's executable")
    seen: list[float] = []
    context = surroundings(
        tmp_path_factory.mktemp("job") / "work",
        staged(scene),
        engines={"cars": Path(path)},
        provenance=Provenance(job="j-1", inputs=("scenes/a",), licences={"ortho": "LicenseRef-demo"}, attribution="Us"),
        on_progress=lambda percent, message: seen.append(percent),
    )
    inputs = DsmInputs(images=[f"scenes/{name}" for name in NAMES], resolution=0.5)
    outcome = run(inputs, context)
    assert not (context.folder / "engine").exists()
    return check(inputs, context), outcome, seen


def on_grid(path: Path, of: Path) -> NDArray[Any]:
    with rasterio.open(of) as grid, rasterio.open(path) as src:
        window = src.window(*grid.bounds)
        return np.asarray(src.read(1, window=window, boundless=True, fill_value=np.nan), np.float64)


@pytest.mark.engine
@pytest.mark.slow
def test_elevation_is_near_the_truth(scene: Scene, result: tuple[Quote, Outcome, list[float]]) -> None:
    files = result[1].files
    validity = rasterio.open(files["validity"].path).read(1)
    with rasterio.open(files["dsm"].path) as src:
        heights = src.read(1, masked=True).filled(np.nan)
    accuracy = compare_elevation(
        heights.astype(np.float64), validity == 1, on_grid(scene.truth_dsm, files["dsm"].path), validity > 0
    )
    assert abs(accuracy.median) <= 0.3
    assert accuracy.nmad <= 1.0
    assert accuracy.rmse <= 1.7
    assert accuracy.rmse_flat <= 0.9
    assert accuracy.measured_fraction >= 0.97
    assert (np.isfinite(heights) == np.isin(validity, (1, 2))).all()


@pytest.mark.engine
@pytest.mark.slow
def test_the_ortho_is_near_the_true_texture(scene: Scene, result: tuple[Quote, Outcome, list[float]]) -> None:
    """From the nadir view as delivered; and from an oblique one, where much is hidden, on the same elevation."""
    files = result[1].files
    dsm, ortho = files["dsm"].path, files["ortho"].path
    texture, truth = on_grid(scene.truth_ortho, ortho), on_grid(scene.truth_dsm, dsm).astype(np.float32)
    with rasterio.open(ortho) as src:
        delivered = src.read(1, masked=True).filled(0).astype(np.float64)
        source = src.read(2)
    assert set(np.unique(source)) <= {0, 1, 2, 3}
    delivered[source == 0] = np.nan
    with rasterio.open(dsm) as src:
        heights, transform = src.read(1, masked=True).filled(np.nan), src.transform
    valid = np.isfinite(heights)
    images = {name: read_image(scene.views[name], None, name) for name in NAMES}

    def hidden_in(name: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        seen = true_ortho(truth, np.isfinite(truth), transform, "EPSG:32631", [images[name]], noise_m=0.1)
        return seen.source == 1, seen.hidden

    visible, hidden = hidden_in("nadir")
    naive = true_ortho(heights, valid, transform, "EPSG:32631", [images["nadir"]], noise_m=0.96, naive=True).naive
    assert naive is not None
    found = compare_ortho(delivered, naive[0].astype(np.float64), texture, visible, hidden)
    assert found.correlation >= 0.90
    assert found.hidden_cells > 1000
    assert found.hidden_gain >= 0.30

    for name in ("fwd", "bwd"):
        visible, hidden = hidden_in(name)
        order = [name, *(other for other in ("nadir", "fwd", "bwd") if other != name)]
        views = [images[other] for other in order]
        oblique = true_ortho(upright_walls(heights), valid, transform, "EPSG:32631", views, noise_m=0.96)
        naive = true_ortho(heights, valid, transform, "EPSG:32631", views[:1], noise_m=0.96, naive=True).naive
        assert naive is not None
        found = compare_ortho(
            oblique.values[0].astype(np.float64), naive[0].astype(np.float64), texture, visible, hidden
        )
        assert found.correlation >= 0.90
        assert found.hidden_cells > 1000
        assert found.hidden_gain >= 0.50


@pytest.mark.engine
@pytest.mark.slow
def test_all_files_tell_their_origin_and_the_report_is_whole(result: tuple[Quote, Outcome, list[float]]) -> None:
    quote, outcome, seen = result
    assert {"dsm", "hillshade", "ortho", "validity", "report", "quicklook"} <= set(outcome.files)
    for name, file in outcome.files.items():
        assert file.path.is_file()
        if file.path.suffix == ".tif":
            with rasterio.open(file.path) as src:
                assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG", name
                assert src.tags()["JOB"] == "j-1"
                assert src.crs.to_epsg() == 32631
    with rasterio.open(outcome.files["ortho"].path) as src:
        assert src.tags()["LICENSE"] == "LicenseRef-demo"
    report = json.loads(outcome.files["report"].path.read_text())
    Draft202012Validator(report_schema()).validate(report)
    assert report["valid_fraction"] >= 0.97
    assert report["failed_tiles"] == 0
    assert report["engine"].startswith("CARS 1.")
    assert outcome.usage.megapixels <= quote.usage.megapixels <= 2 * outcome.usage.megapixels
    assert outcome.usage.cpu_seconds <= quote.usage.cpu_seconds
    assert outcome.usage.peak_bytes <= quote.usage.peak_bytes
    assert outcome.usage.output_bytes <= quote.usage.output_bytes
    assert seen == sorted(seen)
    assert seen[-1] == 100
    assert outcome.properties["start_datetime"] == "2026-03-01T10:00:00Z"
    json.dumps(outcome.model_dump(mode="json"), allow_nan=False)


@pytest.mark.engine
@pytest.mark.slow
def test_cancelling_a_real_run_leaves_nothing(scene: Scene, engine: Path, tmp_path: Path) -> None:
    import time

    asked: list[float] = []

    def stop_when_it_works(percent: float, message: str) -> None:
        if percent > 4 and not asked:
            asked.append(time.monotonic())
        if asked:
            raise Cancelled("cancelled", "stop")

    context = surroundings(tmp_path / "job", staged(scene), engines={"cars": engine}, on_progress=stop_when_it_works)
    with pytest.raises(Cancelled):
        run(DsmInputs(images=["scenes/nadir", "scenes/fwd"]), context)
    assert time.monotonic() - asked[0] < 2
    assert list(context.folder.iterdir()) == []
    marker = str(context.folder)
    assert not [p for p in psutil.process_iter(["cmdline"]) if marker in " ".join(p.info["cmdline"] or [])]
