"""A synthetic tri-stereo scene with its truth, the same bytes every time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Scene:
    """Where the files of a scene are, and what is known of it."""

    folder: Path
    views: Mapping[str, Path]
    """`fwd`, `nadir`, `bwd`: uint16 images with RPC tags."""
    truth_dsm: Path
    """Ellipsoidal heights, metres."""
    truth_ortho: Path
    truth_label: Path
    """0 = ground, k = building k."""
    epsg: int
    gsd_m: float
    buildings: int
    rpc_residual_px: float
    """Largest distance between the RPC and the exact geometry."""


def make_scene(folder: Path, *, size: int = 700, seed: int = 42) -> Scene:
    """Write fwd.tif, nadir.tif, bwd.tif, truth_dsm.tif, truth_ortho.tif, truth_label.tif of `size` pixels across."""
    raise NotImplementedError
