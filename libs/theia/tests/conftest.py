"""All samples, made once a run."""

from __future__ import annotations

import pytest
from bocage_theia import products
from bocage_theia.samples import samples
from made_samples import Made


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("samples")
    records = {record["id"]: record for record in products.collections()}
    return Made(records, tuple(samples(folder, records.values())))
