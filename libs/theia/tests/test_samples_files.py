"""The files of the samples: encoded as the records say, laid out for reading from afar, small, the same each time."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from bocage_catalogue.validation import check_item
from bocage_theia.samples import encoding, recipes
from bocage_theia.samples.making import make
from made_samples import Made
from offline_schemas import faults, in_its_collection
from rasterio.crs import CRS
from shapely.geometry import box, shape

MOST_BYTES = 200_000
# Product lines of which there is nothing to make a file of: a point cloud, and one whose encoding nobody tells.
WITHOUT = {"lidar-hd", "infectious-diseases"}


def test_every_product_line_has_a_sample(made: Made) -> None:
    assert {sample.item["collection"] for sample in made.samples} == set(made.records) - WITHOUT
    assert len({(s.item["collection"], s.item["id"]) for s in made.samples}) == len(made.samples)


def test_every_asset_of_a_record_is_in_a_sample(made: Made) -> None:
    for name, record in made.records.items():
        if name not in WITHOUT:
            assert set(made.of(name).files) == set(record["item_assets"]), name


def test_small(made: Made) -> None:
    for sample in made.samples:
        sizes = [path.stat().st_size for path in sample.files.values()]
        assert sum(sizes) <= MOST_BYTES, (sample.item["collection"], sizes)


def test_numbers_are_those_of_the_record(made: Made) -> None:
    for sample in made.samples:
        offered = made.records[sample.item["collection"]]["item_assets"]
        for name, path in rasters(sample.files):
            with rasterio.open(path) as file:
                for index, band in enumerate(encoding.bands_of(offered[name])):
                    where = f"{sample.item['collection']}/{name} band {index + 1}"
                    numbers = file.read(index + 1)
                    assert numbers.dtype.name == band["data_type"], where
                    assert file.nodatavals[index] == band.get("nodata"), where
                    check_values(numbers, band, where)


def check_values(numbers: np.ndarray[Any, Any], band: dict[str, Any], where: str) -> None:
    values = encoding.decoded(numbers, band)
    known = np.isfinite(values)
    assert known.mean() > 0.02, f"{where} is almost empty"
    assert len(np.unique(numbers)) > 1, f"{where} is the same everywhere"
    if "classification:classes" in band:
        assert set(np.unique(numbers)) <= {each["value"] for each in band["classification:classes"]}, where
    if "classification:bitfields" in band:
        bits = sum(((1 << each["length"]) - 1) << each["offset"] for each in band["classification:bitfields"])
        assert not np.any(numbers & ~np.uint8(bits)), where
    if limits := band.get("bocage:valid_range"):
        assert limits[0] <= values[known].min() and values[known].max() <= limits[1], where


def test_grid_of_the_item_is_that_of_the_file(made: Made) -> None:
    for sample in made.samples:
        properties = sample.item["properties"]
        for name, path in rasters(sample.files):
            asset = {**properties, **sample.item["assets"][name]}
            with rasterio.open(path) as file:
                assert file.crs == CRS.from_string(asset["proj:code"]), name
                assert list(file.shape) == asset["proj:shape"], name
                assert list(file.transform)[:6] == asset["proj:transform"], name
                cell = file.transform.a
                # On the cells of the product's own grid: Sentinel-2's tiles begin at multiples of 60 m.
                step = 60.0 if file.crs.to_epsg() // 100 in (326, 327) and cell in (10, 20) else cell
                for corner in (file.transform.c, file.transform.f):
                    assert abs(corner / step - round(corner / step)) < 1e-6, (name, corner)
                found = shape(sample.item["geometry"])
                bounds = box(*rasterio.warp.transform_bounds(file.crs, 4326, *file.bounds))
                assert found.is_valid and found.within(bounds.buffer(1e-6)) and found.area > 0.7 * bounds.area


def test_inside_the_extent_of_the_product(made: Made) -> None:
    for sample in made.samples:
        extent = made.records[sample.item["collection"]]["extent"]
        footprint = shape(sample.item["geometry"])
        assert any(footprint.intersects(box(*each)) for each in extent["spatial"]["bbox"]), sample.item["collection"]
        first, last = extent["temporal"]["interval"][0]
        properties = sample.item["properties"]
        begin = moment(properties["datetime"] or properties["start_datetime"])
        end = moment(properties["datetime"] or properties["end_datetime"])
        assert first is None or moment(first) <= begin, sample.item["collection"]
        # The last day of an extent is a whole day.
        assert last is None or end < moment(last) + datetime.timedelta(days=1), sample.item["collection"]


def test_each_says_that_it_is_made_up(made: Made) -> None:
    for sample in made.samples:
        properties = sample.item["properties"]
        assert properties["bocage:synthetic"] is True
        assert properties["title"].startswith("Synthetic sample: ")
        assert properties["bocage:translations"]["fr"]["title"].startswith("Échantillon synthétique : ")
        assert sample.item["id"].startswith("synthetic-")


def test_checksums(made: Made) -> None:
    for sample in made.samples:
        for name, path in sample.files.items():
            asset = sample.item["assets"][name]
            assert asset["file:checksum"] == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
            assert asset["file:size"] == path.stat().st_size


def test_items_are_valid_by_what_they_declare(made: Made) -> None:
    for sample in made.samples:
        check_item(sample.item)


def test_items_are_valid_by_the_published_schemas(made: Made) -> None:
    for sample in made.samples:
        assert list(faults(in_its_collection(sample.item))) == []


def test_items_with_rasters_lead_to_their_tiles(made: Made) -> None:
    for sample in made.samples:
        relations = {link["rel"]: link["href"] for link in sample.item["links"]}
        own = f"/tiles/collections/{sample.item['collection']}/items/{sample.item['id']}/"
        assert all(href.startswith(own) for href in relations.values())
        assert set(relations) == ({"tilejson", "wmts", "legend"} if rasters(sample.files) else set())


def test_laid_out_for_reading_from_afar(made: Made) -> None:
    for sample in made.samples:
        for name, path in rasters(sample.files):
            directories = read_directories(path.read_bytes())
            where = f"{sample.item['collection']}/{name}"
            sizes = [directory["width"] for directory in directories]
            assert sizes == sorted(sizes, reverse=True), where
            assert sizes[-1] <= encoding.BLOCK, f"{where}: no overview fits into one tile"
            assert all(directory["tile"] == encoding.BLOCK for directory in directories), where
            # All directories come before all data, and the data of the small overviews before those of the whole.
            assert max(directory["at"] for directory in directories) < min(min(d["offsets"]) for d in directories), (
                where
            )
            firsts = [min(directory["offsets"]) for directory in directories]
            assert firsts == sorted(firsts, reverse=True), where


def test_the_same_bytes_in_another_process(made: Made, tmp_path: Path) -> None:
    """Neither the order of a set nor what was made before may change a sample."""
    chosen = ("sentinel2-l2a-maja", "oso-vector", "hydroweb-lakes", "thermocity-lst")
    program = (
        "import sys, pathlib\n"
        "from bocage_theia import products\n"
        "from bocage_theia.samples import samples\n"
        f"records = [r for r in products.collections() if r['id'] in {chosen!r}]\n"
        "for sample in reversed(list(samples(pathlib.Path(sys.argv[1]), reversed(records)))):\n"
        "    for name, asset in sorted(sample.item['assets'].items()):\n"
        "        print(sample.item['collection'], sample.item['id'], name, asset['file:checksum'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "77"},
    )  # fmt: skip
    expected = {
        f"{s.item['collection']} {s.item['id']} {name} {asset['file:checksum']}"
        for s in made.samples if s.item["collection"] in chosen for name, asset in s.item["assets"].items()
    }  # fmt: skip
    assert set(done.stdout.splitlines()) == expected


def test_made_once_and_again_only_when_something_changed(made: Made, tmp_path: Path) -> None:
    recipe = next(each for each in recipes() if each.collection == "oso-raster")
    record = made.records["oso-raster"]
    first = make(recipe, record, tmp_path)
    path = first.files["oso"]
    before = path.stat().st_mtime_ns
    assert make(recipe, record, tmp_path) == first and path.stat().st_mtime_ns == before

    path.write_bytes(path.read_bytes()[:-10])
    assert make(recipe, record, tmp_path) == first
    assert path.stat().st_size == first.item["assets"]["oso"]["file:size"]

    renamed = make(recipe, {**record, "title": "Something else"}, tmp_path)
    assert "Something else" in renamed.item["properties"]["title"]
    # Killed between the files and their description: made again.
    (path.parent / "sample.json").write_text('{"digest": "')
    assert make(recipe, record, tmp_path) == first


def test_a_record_that_does_not_fit_is_refused(made: Made, tmp_path: Path) -> None:
    recipe = next(each for each in recipes() if each.collection == "water-spm")
    record = json.loads(json.dumps(made.records["water-spm"]))
    record["item_assets"]["SPM_B4"]["data_type"] = "uint8"
    with pytest.raises(encoding.NotEncodable, match="water-spm/SPM_B4"):
        make(recipe, record, tmp_path)
    del record["item_assets"]["SPM_B8"]
    with pytest.raises(encoding.NotEncodable, match="SPM_B8"):
        make(recipe, record, tmp_path)


def rasters(files: Any) -> list[tuple[str, Path]]:
    return [(name, path) for name, path in files.items() if path.suffix == ".tif"]


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def read_directories(data: bytes) -> list[dict[str, Any]]:
    """Each image of a TIFF: width, side of its tiles, where its directory and its tiles lie."""
    assert data[:4] == b"II*\x00"
    (at,) = struct.unpack_from("<I", data, 4)
    found = []
    while at:
        (count,) = struct.unpack_from("<H", data, at)
        tags = {}
        for index in range(count):
            tag, kind, number = struct.unpack_from("<HHI", data, at + 2 + 12 * index)
            width = {3: "H", 4: "I"}.get(kind)
            if width is None:
                continue
            place = at + 10 + 12 * index
            if struct.calcsize(width) * number > 4:
                (place,) = struct.unpack_from("<I", data, place)
            tags[tag] = struct.unpack_from(f"<{number}{width}", data, place)
        found.append({"at": at, "width": tags[256][0], "tile": tags[322][0], "offsets": [x for x in tags[324] if x]})
        (at,) = struct.unpack_from("<I", data, at + 2 + 12 * count)
    return found
