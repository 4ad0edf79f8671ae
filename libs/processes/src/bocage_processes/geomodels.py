"""Readers of RPC models: TIFF tags, OSSIM `.geom`, Pléiades (DIMAP) RPC XML."""

from __future__ import annotations

from pathlib import Path

from bocage_processes.rpc import RpcModel


def read_geomodel(image: Path, side_car: Path | None = None) -> RpcModel:
    """The model of an image file: from its side-car (.geom or DIMAP RPC XML) if given, else from its TIFF RPC tags.

    The offset of a crop, which the file carries in a geotransform without CRS, is applied.
    Raises `InputRefused`: `no-rpc`, `bad-rpc` (it cannot be used), `already-projected` (the image has a CRS).
    """
    raise NotImplementedError
