"""Readers of RPC models: TIFF tags, OSSIM `.geom`, Pléiades (DIMAP) RPC XML.

What their pixel offsets mean differs: in TIFF tags (as GDAL gives them) and in `.geom` files the centre of the first
pixel is 0; in DIMAP 2 it is 1, in DIMAP 3 it is 0.5. `RpcModel` counts from 0.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
import rasterio
from affine import Affine
from defusedxml.common import DefusedXmlException
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

from bocage_processes.process import InputRefused
from bocage_processes.rpc import RpcModel

DRIVERS: Mapping[bytes, str] = MappingProxyType({
    b"II*\x00": "GTiff",
    b"MM\x00*": "GTiff",
    b"II+\x00": "GTiff",
    b"MM\x00+": "GTiff",
    b"\x00\x00\x00\x0c": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
})  # fmt: skip
"""The only formats opened, by the first four bytes of the file."""
_MAX_SIDE_CAR_BYTES = 8 << 20
_RPC_REMEDY = (
    "Give an image in sensor geometry with its RPC model: in the TIFF's own tags, or beside it as an OSSIM .geom file "
    "or a Pléiades RPC XML file (RPC_….XML)."
)
_FIELDS = {
    "line_offset": "LINE_OFF",
    "line_scale": "LINE_SCALE",
    "sample_offset": "SAMP_OFF",
    "sample_scale": "SAMP_SCALE",
    "lon_offset": "LONG_OFF",
    "lon_scale": "LONG_SCALE",
    "lat_offset": "LAT_OFF",
    "lat_scale": "LAT_SCALE",
    "height_offset": "HEIGHT_OFF",
    "height_scale": "HEIGHT_SCALE",
}
_POLYNOMIALS = {
    "line_num": "LINE_NUM_COEFF",
    "line_den": "LINE_DEN_COEFF",
    "sample_num": "SAMP_NUM_COEFF",
    "sample_den": "SAMP_DEN_COEFF",
}


class UnknownFormat(OSError):
    """Neither a TIFF nor a JPEG 2000 file."""


def open_raster(path: Path) -> DatasetReader:
    """Open a local file as one of the image formats accepted, and as nothing else: no VRT, no network, no side-cars.

    Raises rasterio's own errors, and `UnknownFormat`.
    """
    with path.open("rb") as file:
        driver = DRIVERS.get(file.read(4))
    if driver is None:
        raise UnknownFormat(path.name)
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"), warnings.catch_warnings():
        # an image whose camera is in a side-car has no georeference of its own
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        src: DatasetReader = rasterio.open(path.resolve(), driver=driver)
    return src


def read_geomodel(image: Path, side_car: Path | None = None) -> RpcModel:
    """The model of an image file: from its side-car (.geom or DIMAP RPC XML) if given, else from its TIFF RPC tags.

    The offset of a crop, which the file carries in a geotransform without CRS, is applied.
    Raises `InputRefused`: `no-rpc`, `bad-rpc` (it cannot be used), `already-projected` (the image has a CRS);
    `unreadable-image` where the file cannot be opened.
    """
    try:
        with open_raster(image) as src:
            tags, transform, crs = src.rpcs, src.transform, src.crs
    except (rasterio.errors.RasterioError, OSError) as error:
        raise InputRefused("unreadable-image", "The image cannot be opened.", "Send the file again.") from error
    if crs is not None:
        raise InputRefused(
            "already-projected",
            "The image is in a map projection: its viewing geometry is gone, and an RPC model would not fit it.",
            "Give the image at the sensor level (Pléiades: PRIMARY / SENSOR), not an ortho-image.",
        )
    if side_car is not None:
        model = read_side_car(side_car)
    elif tags is None:
        raise InputRefused("no-rpc", "The image has no RPC model, nor a file that holds one.", _RPC_REMEDY)
    else:
        model = _made(lambda: _from_tags(tags.to_dict()))
    return model.with_crop(Affine(*tuple(transform)[:6]))


def read_side_car(path: Path) -> RpcModel:
    """The model of the full image in an OSSIM `.geom` or DIMAP RPC XML file, told apart by content.

    Raises `InputRefused`: `no-rpc`, `bad-rpc`.
    """
    try:
        if path.stat().st_size > _MAX_SIDE_CAR_BYTES:
            raise InputRefused("no-rpc", "The RPC file is far too large to be one.", _RPC_REMEDY)
        content = path.read_bytes()
    except OSError as error:
        raise InputRefused("no-rpc", "The RPC file cannot be read.", "Send the file again.") from error
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return _from_dimap(content)
    return _from_geom(content)


def geom_text(model: RpcModel) -> str:
    """The model of the full image (its crop left out) as an OSSIM `.geom` file, which stereo engines read."""
    lines = [f"{tag.lower()}:  {getattr(model, field)!r}" for field, tag in _FIELDS.items()]
    for field, tag in _POLYNOMIALS.items():
        lines += [f"{tag.lower()}_{i:02d}:  {value!r}" for i, value in enumerate(getattr(model, field))]
    return "\n".join([*lines, "polynomial_format:  B", "type:  ossimRpcModel", ""])


def _made(make: Callable[[], RpcModel]) -> RpcModel:
    try:
        return make()
    except (ValueError, TypeError, KeyError) as error:
        raise InputRefused("bad-rpc", "The RPC model is incomplete or not usable.", _RPC_REMEDY) from error


def _model(number: Callable[[str], float], polynomial: Callable[[str], Sequence[float]], first: float) -> RpcModel:
    """`first`: what the file calls the centre of the first pixel."""
    return RpcModel(
        line_num=tuple(polynomial("LINE_NUM_COEFF")),
        line_den=tuple(polynomial("LINE_DEN_COEFF")),
        sample_num=tuple(polynomial("SAMP_NUM_COEFF")),
        sample_den=tuple(polynomial("SAMP_DEN_COEFF")),
        line_offset=number("LINE_OFF") - first,
        line_scale=number("LINE_SCALE"),
        sample_offset=number("SAMP_OFF") - first,
        sample_scale=number("SAMP_SCALE"),
        lon_offset=number("LONG_OFF"),
        lon_scale=number("LONG_SCALE"),
        lat_offset=number("LAT_OFF"),
        lat_scale=number("LAT_SCALE"),
        height_offset=number("HEIGHT_OFF"),
        height_scale=number("HEIGHT_SCALE"),
    )


def _from_tags(tags: dict[str, float | list[float]]) -> RpcModel:
    lower = {key.lower(): value for key, value in tags.items()}

    def number(tag: str) -> float:
        value = lower[tag.lower()]
        if isinstance(value, list):
            raise ValueError(tag)
        return float(value)

    def polynomial(tag: str) -> Sequence[float]:
        value = lower[tag.lower()]
        if not isinstance(value, list):
            raise ValueError(tag)
        return value

    return _model(number, polynomial, first=0.0)


def _from_geom(content: bytes) -> RpcModel:
    found = re.findall(r"^([\w.]+):[ \t]*(.*?)[ \t\r]*$", content.decode("utf-8", "replace"), re.MULTILINE)
    keys = dict(found)
    if "line_num_coeff_00" not in keys:
        raise InputRefused("no-rpc", "The side-car file holds no RPC model.", _RPC_REMEDY)
    if keys.get("polynomial_format", "B") != "B":
        raise InputRefused("bad-rpc", "The RPC model is in the older form A.", "Give a model in form B (RPC00B).")
    return _made(
        lambda: _model(
            lambda tag: float(keys[tag.lower()]),
            lambda tag: [float(keys[f"{tag.lower()}_{i:02d}"]) for i in range(20)],
            first=0.0,
        )
    )


def _from_dimap(content: bytes) -> RpcModel:
    try:
        root: Element = defusedxml.ElementTree.fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise InputRefused("no-rpc", "The RPC file is not sound XML.", _RPC_REMEDY) from error
    version_tag = root.find(".//Metadata_Identification/METADATA_FORMAT")
    version = (version_tag.get("version") or "2" if version_tag is not None else "2").split(".")[0]
    newer = version.isdigit() and int(version) >= 3
    # the model that goes from ground to image; Pléiades files hold both
    inverse = root.find(f".//Global_RFM/{'GroundtoImage_Values' if newer else 'Inverse_Model'}")
    validity = root.find(".//Global_RFM/RFM_Validity")
    if inverse is None or validity is None:
        raise InputRefused("no-rpc", "The XML file holds no RPC model (DIMAP 2 or 3).", _RPC_REMEDY)

    def text(parent: Element, tag: str) -> float:
        element = parent.find(f".//{tag}")
        if element is None or element.text is None:
            raise KeyError(tag)
        return float(element.text)

    return _made(
        lambda: _model(
            lambda tag: text(validity, tag),
            lambda tag: [text(inverse, f"{tag}_{i}") for i in range(1, 21)],
            first=0.5 if newer else 1.0,
        )
    )
