"""How far a result is from the truth: robust statistics for elevation, correlation for images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
EDGE_RANGE_M = 2.0
EDGE_WINDOW = 7


@dataclass(frozen=True)
class ElevationAccuracy:
    """Of computed minus true heights, metres."""

    cells: int
    median: float
    nmad: float
    rmse: float
    rmse_flat: float
    """Where the truth varies by less than 2 m within 7 × 7 cells."""
    measured_fraction: float
    """Measured cells / cells that should be."""


@dataclass(frozen=True)
class OrthoAccuracy:
    """Against the true texture."""

    correlation: float
    """Over visible cells."""
    hidden_cells: int
    hidden_rmse: float
    hidden_rmse_naive: float

    @property
    def hidden_gain(self) -> float:
        """How much closer to the truth than the naive ortho in hidden cells, 0 to 1."""
        return 1 - self.hidden_rmse / self.hidden_rmse_naive if self.hidden_rmse_naive else 0.0


def nmad(errors: Floats) -> float:
    """Normalised median absolute deviation: the standard deviation of a normal error, deaf to outliers."""
    return float(1.4826 * np.median(np.abs(errors - np.median(errors))))


def rmse(errors: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(errors, dtype=np.float64))))


def compare_elevation(elevation: Floats, measured: Bools, truth: Floats, expected: Bools) -> ElevationAccuracy:
    """All arrays on one grid (rows, cols). expected: cells that ought to be measured.

    Cells without truth (NaN) are left out. Raises `ValueError` where nothing can be compared.
    """
    known = np.isfinite(truth)
    both = measured & known & np.isfinite(elevation)
    if not both.any():
        raise ValueError("no cell has both a computed and a true height")
    error = elevation.astype(np.float64) - truth
    filled = np.where(known, truth, np.nanmedian(truth))
    flat = maximum_filter(filled, EDGE_WINDOW) - minimum_filter(filled, EDGE_WINDOW) < EDGE_RANGE_M
    wanted = expected & known
    on_flat = error[both & flat]
    return ElevationAccuracy(
        cells=int(both.sum()),
        median=float(np.median(error[both])),
        nmad=nmad(error[both]),
        rmse=rmse(error[both]),
        rmse_flat=rmse(on_flat) if on_flat.size else float("nan"),
        measured_fraction=float((both & wanted).sum() / max(wanted.sum(), 1)),
    )


def compare_ortho(ortho: Floats, naive: Floats, truth: Floats, visible: Bools, hidden: Bools) -> OrthoAccuracy:
    """One band each, on one grid; NaN = no value.

    visible, hidden: as the *true* surface is seen from the reference image.
    """
    seen = visible & np.isfinite(ortho) & np.isfinite(truth)
    behind = hidden & np.isfinite(ortho) & np.isfinite(naive) & np.isfinite(truth)
    if seen.sum() < 2:
        raise ValueError("no visible cell to compare")
    return OrthoAccuracy(
        correlation=float(np.corrcoef(ortho[seen], truth[seen])[0, 1]),
        hidden_cells=int(behind.sum()),
        hidden_rmse=rmse((ortho - truth)[behind]) if behind.any() else 0.0,
        hidden_rmse_naive=rmse((naive - truth)[behind]) if behind.any() else 0.0,
    )
