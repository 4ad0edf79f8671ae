import base64
import time
from pathlib import Path
from typing import Any

import pytest
from bocage_processes.echo import EchoInputs, check, run
from bocage_processes.process import Cancelled, InputRefused, LocalContext
from pydantic import ValidationError

EVERYTHING: dict[str, Any] = {
    "stringInput": "café ☕",
    "choiceInput": "Value2",
    "integerInput": -7,
    "doubleInput": 3.25,
    "booleanInput": False,
    "dateInput": "2026-02-28",
    "dateTimeInput": "2026-02-28T12:00:00Z",
    "arrayInput": [1, 2.5, 3],
    "measureInput": {"measurement": 10.3, "uom": "m", "reference": None},
    "boundingBoxInput": {"bbox": [1, 43, 2, 44], "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"},
    "complexObjectInput": {"property1": "a", "property3": 1.5},
    "geometryInput": {"type": "Point", "coordinates": [2, 44]},
    "featureCollectionInput": {"type": "FeatureCollection", "features": []},
    "imageInput": base64.b64encode(b"\x89PNG").decode(),
}


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(entry) for key, entry in value.items() if entry is not None}
    return value


def test_everything_given_comes_back(tmp_path: Path) -> None:
    outcome = run(EchoInputs.model_validate(EVERYTHING), LocalContext(folder=tmp_path))
    assert outcome.values == {
        name.removesuffix("Input") + "Output": without_none(value) for name, value in EVERYTHING.items()
    }


@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_each_alone(tmp_path: Path, name: str) -> None:
    outcome = run(EchoInputs.model_validate({name: EVERYTHING[name]}), LocalContext(folder=tmp_path))
    assert list(outcome.values) == [name.removesuffix("Input") + "Output"]


@pytest.mark.parametrize(
    "inputs",
    [
        {"stringInput": 5},
        {"choiceInput": "Value9"},
        {"doubleInput": "NaN"},
        {"doubleInput": float("inf")},
        {"boundingBoxInput": {"bbox": [1, 2, 3]}},
        {"imageInput": "not base64!"},
        {"geometryInput": {"coordinates": [1, 2]}},
        {"pause": 61},
        {"pause": -1},
        {"fail": True},
        {"unknown": 1},
    ],
)
def test_what_does_not_fit_is_refused(inputs: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EchoInputs.model_validate(inputs)


def test_nothing_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused):
        run(EchoInputs(), LocalContext(folder=tmp_path))


def test_it_takes_its_time_and_says_so(tmp_path: Path) -> None:
    seen: list[float] = []
    begin = time.monotonic()
    inputs = EchoInputs(stringInput="a", pause=0.4)
    run(inputs, LocalContext(folder=tmp_path, on_progress=lambda percent, message: seen.append(percent)))
    assert 0.4 <= time.monotonic() - begin < 2
    assert seen == sorted(seen)
    assert len(seen) > 3
    assert seen[-1] == 100
    assert check(inputs, LocalContext(folder=tmp_path)).seconds >= 0.4


def test_it_stops_when_its_surroundings_say_so(tmp_path: Path) -> None:
    def stop(percent: float, message: str) -> None:
        if percent > 0:
            raise Cancelled("cancelled", "stop")

    begin = time.monotonic()
    with pytest.raises(Cancelled):
        run(EchoInputs(pause=30), LocalContext(folder=tmp_path, on_progress=stop))
    assert time.monotonic() - begin < 2
