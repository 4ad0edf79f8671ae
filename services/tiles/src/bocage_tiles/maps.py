"""What map clients read before they ask for tiles: TileJSON 3.0.0 and WMTS 1.0.0 capabilities."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import morecantile
from bocage_kit.urls import public_url

from bocage_tiles.admission import Admitted
from bocage_tiles.assets import Source
from bocage_tiles.raster import Bounds, Datasets, geographic_bounds, pixel_size
from bocage_tiles.styles import DRAWING

MATRIX_SET = "WebMercatorQuad"
MAX_ZOOM = 24
_TMS = morecantile.tms.get(MATRIX_SET)
_LATITUDE = 85.0511287798066
_OWS, _WMTS, _XLINK = (
    "http://www.opengis.net/ows/1.1",
    "http://www.opengis.net/wmts/1.0",
    "http://www.w3.org/1999/xlink",
)


Query = list[tuple[str, str]]


@dataclass(frozen=True)
class Listed:
    """A style as WMTS lists it."""

    identifier: str
    title: str
    legend: str
    default: bool


@dataclass(frozen=True)
class Extent:
    """Where tiles hold something: degrees, and the zooms between one tile for all and the native resolution."""

    bounds: Bounds
    minzoom: int
    maxzoom: int


def extent(datasets: Datasets, sources: Sequence[Source]) -> Extent:
    bounds, zooms = [], []
    for source in sources:
        dataset = datasets.open(source)
        bounds.append(geographic_bounds(dataset, source))
        size = pixel_size(dataset, _TMS.rasterio_crs, source)
        # An overview that shows the whole raster in one tile.
        whole = size * max(dataset.width, dataset.height) / 256
        zooms.append((_zoom(whole), _zoom(size)))
    west, south, east, north = zip(*bounds, strict=True)
    return Extent(
        (min(west), max(min(south), -_LATITUDE), max(east), min(max(north), _LATITUDE)),
        min(low for low, _ in zooms),
        max(high for _, high in zooms),
    )


def _zoom(size: float) -> int:
    """The first zoom whose pixels are no larger than `size` metres, give or take a tenth."""
    if not (math.isfinite(size) and size > 0):
        return 0
    return min(max(math.ceil(math.log2(156543.03392804097 / size) - 0.14), 0), MAX_ZOOM)


def tile_bounds(z: int, x: int, y: int) -> Bounds:
    """Web Mercator metres of a tile."""
    size = 40075016.685578488 / 2**z
    west, north = -20037508.342789244 + x * size, 20037508.342789244 - y * size
    return west, north - size, west + size, north


def item_url(at: Admitted, *segments: str) -> str:
    return public_url(at.identity.public_base, "tiles", "collections", at.collection_id, "items", at.item_id, *segments)


def with_query(url: str, query: Sequence[tuple[str, str]]) -> str:
    return f"{url}?{urlencode(query)}" if query else url


def repeated(at: Admitted, asked: Sequence[tuple[str, str]], style: str | None, assets: Sequence[str]) -> Query:
    """The drawing parameters of a request, with its style, or else its assets, made explicit, and the tile token kept.

    `style`: the style that is drawn, if one is.
    """
    query = [("assets", name) for name in assets] if style is None else [("style", style)]
    kept = DRAWING if style is not None else DRAWING - {"assets"}
    query += [(name, value) for name, value in asked if name in kept]
    return query + ([("token", at.token)] if at.token else [])


def attribution(at: Admitted) -> str:
    """Who provides the data and under which licence, as text that is safe in HTML."""
    properties = at.found.item.get("properties") or {}
    providers = properties.get("providers") or at.found.collection.get("providers") or []
    names = [str(each["name"]) for each in providers if isinstance(each, Mapping) and each.get("name")]
    licence = properties.get("license") or at.found.collection.get("license")
    said = [", ".join(dict.fromkeys(names))] if names else []
    if licence and licence not in ("other", "various", "proprietary"):
        said.append(str(licence))
    return html.escape(" · ".join(said))


def tilejson(at: Admitted, found: Extent, query: Sequence[tuple[str, str]], tile_format: str, scale: int) -> Any:
    west, south, east, north = found.bounds
    end = f"{{y}}@{scale}x.{tile_format}" if scale > 1 else f"{{y}}.{tile_format}"
    template = item_url(at, "tiles", MATRIX_SET) + "/{z}/{x}/" + end
    properties = at.found.item.get("properties") or {}
    return {
        "tilejson": "3.0.0",
        "name": str(properties.get("title") or at.item_id),
        "version": "1.0.0",
        "scheme": "xyz",
        "tiles": [with_query(template, query)],
        "attribution": attribution(at),
        "minzoom": found.minzoom,
        "maxzoom": found.maxzoom,
        "bounds": [west, south, east, north],
        "center": [(west + east) / 2, (south + north) / 2, max(found.minzoom, found.maxzoom - 2)],
    }


def capabilities(
    at: Admitted, found: Extent, title: str, layer_name: str, styles: Sequence[Listed], template: str, here: str
) -> bytes:
    """WMTS 1.0.0 capabilities with one layer, in WebMercatorQuad alone; GDAL and QGIS read the extent from it.

    `layer_name`: what is drawn, where that is not for the styles to say.
    """
    for prefix, name in (("ows", _OWS), ("xlink", _XLINK), ("", _WMTS)):
        ElementTree.register_namespace(prefix, name)
    root = ElementTree.Element(f"{{{_WMTS}}}Capabilities", {"version": "1.0.0"})

    def ows(parent: ElementTree.Element, name: str, text: str | None = None, **given: str) -> ElementTree.Element:
        return _child(parent, f"{{{_OWS}}}{name}", text, given)

    def wmts(parent: ElementTree.Element, name: str, text: str | None = None, **given: str) -> ElementTree.Element:
        return _child(parent, f"{{{_WMTS}}}{name}", text, given)

    service = ows(root, "ServiceIdentification")
    ows(service, "Title", title)
    ows(service, "ServiceType", "OGC WMTS")
    ows(service, "ServiceTypeVersion", "1.0.0")
    ows(service, "AccessConstraints", attribution(at) or "none")

    contents = wmts(root, "Contents")
    layer = wmts(contents, "Layer")
    ows(layer, "Title", f"{title} ({layer_name})" if layer_name else title)
    west, south, east, north = found.bounds
    box = ows(layer, "WGS84BoundingBox")
    ows(box, "LowerCorner", f"{west:.9f} {south:.9f}")
    ows(box, "UpperCorner", f"{east:.9f} {north:.9f}")
    ows(layer, "Identifier", "_".join(part for part in (at.collection_id, at.item_id, layer_name) if part))
    for listed in styles:
        style = wmts(layer, "Style", isDefault=str(listed.default).lower())
        ows(style, "Title", listed.title)
        ows(style, "Identifier", listed.identifier)
        wmts(style, "LegendURL", None, **{"format": "image/png", f"{{{_XLINK}}}href": listed.legend})
    wmts(layer, "Format", "image/png")
    link = wmts(layer, "TileMatrixSetLink")
    wmts(link, "TileMatrixSet", MATRIX_SET)
    limits = wmts(link, "TileMatrixSetLimits")
    for zoom in range(found.maxzoom + 1):
        first, last = _TMS.tile(west, north, zoom), _TMS.tile(east, south, zoom)
        limit = wmts(limits, "TileMatrixLimits")
        wmts(limit, "TileMatrix", str(zoom))
        edge = 2**zoom - 1
        for name, value in (
            ("MinTileRow", first.y),
            ("MaxTileRow", last.y),
            ("MinTileCol", first.x),
            ("MaxTileCol", last.x),
        ):
            wmts(limit, name, str(min(max(value, 0), edge)))
    wmts(layer, "ResourceURL", None, format="image/png", resourceType="tile", template=template)

    matrices = wmts(contents, "TileMatrixSet")
    ows(matrices, "Identifier", MATRIX_SET)
    ows(matrices, "SupportedCRS", "urn:ogc:def:crs:EPSG::3857")
    wmts(matrices, "WellKnownScaleSet", "urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible")
    for zoom in range(found.maxzoom + 1):
        matrix = wmts(matrices, "TileMatrix")
        ows(matrix, "Identifier", str(zoom))
        wmts(matrix, "ScaleDenominator", repr(559082264.0287178 / 2**zoom))
        wmts(matrix, "TopLeftCorner", "-20037508.342789244 20037508.342789244")
        for name in ("TileWidth", "TileHeight"):
            wmts(matrix, name, "256")
        for name in ("MatrixWidth", "MatrixHeight"):
            wmts(matrix, name, str(2**zoom))
    wmts(root, "ServiceMetadataURL", None, **{f"{{{_XLINK}}}href": here})
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return body


def _child(
    parent: ElementTree.Element, name: str, text: str | None, attributes: Mapping[str, str]
) -> ElementTree.Element:
    made = ElementTree.SubElement(parent, name, dict(attributes))
    made.text = text
    return made
