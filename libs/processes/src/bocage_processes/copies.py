"""One image under two names: seen before an engine makes a flat and false surface of it."""

from __future__ import annotations

import numpy as np

from bocage_processes.imagery import SensorImage, read_window
from bocage_processes.process import InputRefused


def same_image(first: SensorImage, second: SensorImage) -> InputRefused:
    return InputRefused(
        "same-image",
        f"{first.reference} and {second.reference} are the same image.",
        "Give images taken from different directions: one image against itself shows no relief.",
        items=[first.reference, second.reference],
    )


def check_not_a_copy(
    first: SensorImage, second: SensorImage, place: tuple[float, float, float], convergence: float
) -> None:
    """Copies under two names, re-encoded or cropped: they correlate far better than two views ever do."""
    size = 256
    starts = [((image.width - size) // 2, (image.height - size) // 2) for image in (first, second)]
    if starts[0] == starts[1] and _correlation(first, second, starts[0], starts[1], size) > 0.99:
        raise same_image(first, second)
    if convergence < 1.0:
        at = [image.model.project(*place) for image in (first, second)]
        corners = [(round(float(col)) - size // 4, round(float(row)) - size // 4) for col, row in at]
        if _correlation(first, second, corners[0], corners[1], size // 2) > 0.97:
            raise same_image(first, second)


def _correlation(
    first: SensorImage, second: SensorImage, at_first: tuple[int, int], at_second: tuple[int, int], size: int
) -> float:
    a, b = read_window(first, *at_first, size), read_window(second, *at_second, size)
    if a.shape != b.shape or min(a.shape, default=0) < 16:
        return 0.0
    # a few wild pixels must not hide a copy
    a, b = (np.clip(np.nan_to_num(pixels), *np.nanpercentile(pixels, [1, 99])) for pixels in (a, b))
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
