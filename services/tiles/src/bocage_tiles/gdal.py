"""GDAL opens local GeoTIFFs and nothing else: what could follow a reference or the network is switched off."""

from __future__ import annotations

import os

import rasterio

# Formats whose content names other files or addresses, and services on the network.
REFUSED_DRIVERS = frozenset(
    {
        "VRT",
        "DERIVED",
        "GTI",
        "TIL",
        "WMS",
        "WCS",
        "WMTS",
        "OGCAPI",
        "HTTP",
        "PLMOSAIC",
        "EEDA",
        "EEDAI",
        "DAAS",
        "STACIT",
        "STACTA",
        "ESRIC",
        "Rasterlite",
        "MRF",
        "Zarr",
        "netCDF",
        "HDF5",
        "HDF5Image",
        "PDF",
        "KMLSUPEROVERLAY",
        "DIMAP",
        "SAFE",
        "SENTINEL2",
        "MBTiles",
        "GPKG",
        "SQLite",
        "NITF",
        "OSM",
        "GNMFile",
        "GNMDatabase",
        "ESRIJSON",
        "GeoJSON",
        "TopoJSON",
        "PostgreSQL",
        "PostGISRaster",
        "WFS",
        "OAPIF",
        "CSW",
        "AmigoCloud",
        "Carto",
        "Elastic",
        "S102",
        "S104",
        "S111",
        "BAG",
    }
)

OPTIONS = {
    "GDAL_SKIP": ",".join(sorted(REFUSED_DRIVERS)),
    # Nothing beside the opened file is looked at: no .aux.xml, .ovr or world file of somebody else's asset.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "/nothing",
    "CPL_VSIL_CURL_USE_HEAD": "NO",
    "GDAL_HTTP_MAX_RETRY": "0",
    "GDAL_CACHEMAX": "256",
    "GDAL_NUM_THREADS": "1",
}


class NotHardened(RuntimeError):
    """A driver is registered that must not be."""


def harden() -> None:
    """Set GDAL's options; to be called before the process first uses GDAL, which registers its drivers once."""
    os.environ.update(OPTIONS)


def refuse_unless_hardened() -> None:
    """Raise NotHardened when a driver that follows references is registered, or side-files would be read."""
    with rasterio.Env() as environment:
        found = sorted(REFUSED_DRIVERS & set(environment.drivers()))
    if found:
        raise NotHardened(f"GDAL drivers are registered that must not be: {', '.join(found)}. Call harden() first.")
    missing = sorted(name for name, value in OPTIONS.items() if os.environ.get(name) != value)
    if missing:
        raise NotHardened(f"GDAL options differ from what the service needs: {', '.join(missing)}.")
