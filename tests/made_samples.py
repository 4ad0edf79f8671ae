"""Samples that a test run made, and what stands in their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from bocage_theia.samples import Sample, encoding


@dataclass(frozen=True)
class Made:
    """The samples, with the records of their collections by id."""

    records: Mapping[str, dict[str, Any]]
    samples: tuple[Sample, ...]

    def of(self, collection: str, place: str = "") -> Sample:
        return next(x for x in self.samples if x.item["collection"] == collection and place in x.item["id"])

    def value(self, collection: str, asset: str, band: int = 1, place: str = "") -> np.ndarray[Any, Any]:
        """In physical units, NaN where there is none."""
        record = self.records[collection]["item_assets"][asset]
        with rasterio.open(self.of(collection, place).files[asset]) as file:
            return encoding.decoded(file.read(band), encoding.bands_of(record)[band - 1])
