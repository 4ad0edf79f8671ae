"""Files of the platform as rasterio datasets. Needs the extra `raster`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bocage_client.errors import UsageError
from bocage_client.http import Transport

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


def open_dataset(transport: Transport, url: str) -> DatasetReader:
    """Open by range requests. The key goes in a header, and only to the platform itself."""
    try:
        import rasterio
    except ImportError as error:
        raise UsageError(
            "Opening rasters needs rasterio: pip install 'bocage-client[raster]'", "no-rasterio"
        ) from error
    target = transport.final_url(url)
    headers = "".join(f"{name}: {value}" for name, value in transport.headers(target).items())
    # GDAL keeps the headers that were set when it opened the file, so the dataset outlives this block
    with rasterio.Env(
        GDAL_HTTP_HEADERS=headers or None,
        GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",
        GDAL_HTTP_MAX_RETRY="5",
        GDAL_HTTP_RETRY_DELAY="0.5",
    ):
        dataset: DatasetReader = rasterio.open(f"/vsicurl/{target}")
    return dataset
