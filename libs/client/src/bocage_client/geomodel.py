"""RPC models: from TIFF tags, from OSSIM `.geom` files, from Pléiades (DIMAP) RPC XML; and where the latter two lie."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from bocage_client.errors import InputError
from bocage_client.rpc_footprint import Rpc

REMEDY = (
    "Give an image in sensor geometry with its RPC model: in the TIFF's tags, or beside it as a .geom file of the same "
    "name or as the Pléiades RPC_….XML file (--geomodel names another place)."
)
_LARGEST_BYTES = 8 << 20


def side_car_of(image: Path) -> Path | None:
    """The `.geom` file with the image's name, else Pléiades' own: IMG_x_R1C1.TIF is described by RPC_x.XML."""
    names = [image.stem + ".geom"]
    if image.stem.upper().startswith("IMG_"):
        rest = image.stem[4:]
        names += [f"RPC_{stem}.xml" for stem in (rest, re.sub(r"_R\d+C\d+$", "", rest, flags=re.IGNORECASE))]
    beside = {path.name.lower(): path for path in image.parent.iterdir() if path.is_file()}
    return next((beside[name.lower()] for name in names if name.lower() in beside), None)


def from_tag(values: Sequence[float]) -> Rpc:
    """The 92 numbers of the TIFF tag RPCCoefficient (50844)."""
    if len(values) != 92:
        raise InputError("bad-rpc", f"The TIFF's RPC tag holds {len(values)} numbers instead of 92. {REMEDY}")
    v = [float(x) for x in values]
    polynomials = [tuple(v[start : start + 20]) for start in (12, 32, 52, 72)]
    return _made(
        lambda: Rpc(
            line=(polynomials[0], polynomials[1]),
            sample=(polynomials[2], polynomials[3]),
            line_offset=v[2],
            sample_offset=v[3],
            lat_offset=v[4],
            lon_offset=v[5],
            height_offset=v[6],
            line_scale=v[7],
            sample_scale=v[8],
            lat_scale=v[9],
            lon_scale=v[10],
            height_scale=v[11],
        ),
        "the TIFF's RPC tag",
    )


def from_file(path: Path) -> Rpc:
    """A `.geom` or DIMAP RPC XML file, told apart by content."""
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError("no-rpc", f"{path.name} is too large to be an RPC file. {REMEDY}")
        content = path.read_bytes()
    except OSError as error:
        raise InputError("no-rpc", f"{path.name} cannot be read: {error.strerror}.") from error
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return _from_dimap(content, path.name)
    return _from_geom(content, path.name)


def _from_geom(content: bytes, name: str) -> Rpc:
    keys = dict(re.findall(r"^([\w.]+):[ \t]*(.*?)[ \t\r]*$", content.decode("utf-8", "replace"), re.MULTILINE))
    if "line_num_coeff_00" not in keys:
        raise InputError("no-rpc", f"{name} holds no RPC model. {REMEDY}")
    if keys.get("polynomial_format", "B") != "B":
        raise InputError("bad-rpc", f"{name} holds an RPC model in the older form A; form B (RPC00B) is needed.")
    return _made(
        lambda: _assembled(
            lambda tag: float(keys[tag.lower()]),
            lambda tag: tuple(float(keys[f"{tag.lower()}_{i:02d}"]) for i in range(20)),
            first=0.0,
        ),
        name,
    )


def _from_dimap(content: bytes, name: str) -> Rpc:
    import defusedxml.ElementTree
    from defusedxml.common import DefusedXmlException

    try:
        root: Element = defusedxml.ElementTree.fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise InputError("no-rpc", f"{name} is not sound XML. {REMEDY}") from error
    version = root.find(".//Metadata_Identification/METADATA_FORMAT")
    third = version is not None and (version.get("version") or "2").startswith("3")
    polynomials = root.find(f".//Global_RFM/{'GroundtoImage_Values' if third else 'Inverse_Model'}")
    validity = root.find(".//Global_RFM/RFM_Validity")
    if polynomials is None or validity is None:
        raise InputError("no-rpc", f"{name} holds no RPC model (DIMAP 2 or 3). {REMEDY}")

    def number(parent: Element, tag: str) -> float:
        found = parent.find(f".//{tag}")
        if found is None or found.text is None:
            raise KeyError(tag)
        return float(found.text)

    return _made(
        lambda: _assembled(
            lambda tag: number(validity, tag),
            lambda tag: tuple(number(polynomials, f"{tag}_{i}") for i in range(1, 21)),
            # how the format counts the centre of the first pixel
            first=0.5 if third else 1.0,
        ),
        name,
    )


def _assembled(number: Callable[[str], float], polynomial: Callable[[str], tuple[float, ...]], first: float) -> Rpc:
    return Rpc(
        line=(polynomial("LINE_NUM_COEFF"), polynomial("LINE_DEN_COEFF")),
        sample=(polynomial("SAMP_NUM_COEFF"), polynomial("SAMP_DEN_COEFF")),
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


def _made(make: Callable[[], Rpc], name: str) -> Rpc:
    try:
        return make()
    except (ValueError, TypeError, KeyError) as error:
        raise InputError("bad-rpc", f"The RPC model in {name} is incomplete or not usable. {REMEDY}") from error
