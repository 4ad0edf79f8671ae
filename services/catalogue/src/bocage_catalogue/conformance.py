"""The conformance classes that are advertised: each has a test of its own (`test_catalogue_conformance.py`)."""

from __future__ import annotations

_STAC, _OGC = "https://api.stacspec.org", "http://www.opengis.net/spec"

CORE = (
    *(f"{_STAC}/v1.0.0/{name}" for name in ("core", "collections", "ogcapi-features", "item-search")),
    *(f"{_OGC}/ogcapi-features-1/1.0/conf/{name}" for name in ("core", "oas30", "geojson")),
)
TREE = (f"{_STAC}/v1.0.0-rc.2/children", f"{_STAC}/v1.0.0-rc.3/browseable", f"{_STAC}/v1.0.0-rc.2/language")
# pystac-client takes v1.0.* alone.
SORT = (
    f"{_STAC}/v1.0.0/item-search#sort",
    f"{_STAC}/v1.0.0/ogcapi-features#sort",
    f"{_STAC}/v1.1.0/item-search#sort",
    f"{_STAC}/v1.1.0/ogcapi-features#sort",
)
SORTABLES = (
    f"{_STAC}/v1.1.0/item-search#sortables",
    f"{_STAC}/v1.1.0/ogcapi-features#sortables",
    f"{_OGC}/ogcapi-features-5/1.0/conf/sortables",
)
FIELDS = (f"{_STAC}/v1.0.0/item-search#fields", f"{_STAC}/v1.0.0/ogcapi-features#fields")
QUERY = (f"{_STAC}/v1.0.0/item-search#query", f"{_STAC}/v1.0.0/ogcapi-features#query")
# The class was renamed with the extension's fourth candidate; clients know the names before.
FILTER = (
    f"{_STAC}/v1.0.0/item-search#filter",
    f"{_STAC}/v1.0.0-rc.2/item-search#filter",
    f"{_OGC}/ogcapi-features-3/1.0/conf/filter",
    f"{_OGC}/ogcapi-features-3/1.0/conf/features-filter",
)
CQL2 = tuple(
    f"{_OGC}/cql2/1.0/conf/{name}"
    for name in (
        *("cql2-text", "cql2-json", "basic-cql2", "advanced-comparison-operators", "case-insensitive-comparison"),
        *("accent-insensitive-comparison", "basic-spatial-functions", "basic-spatial-functions-plus"),
        *("spatial-functions", "temporal-functions", "array-functions", "property-property", "arithmetic"),
    )
)
FREE_TEXT = (f"{_STAC}/v1.0.0-rc.1/item-search#free-text", f"{_STAC}/v1.0.0-rc.1/ogcapi-features#free-text")
COLLECTION_SEARCH = (
    f"{_STAC}/v1.0.0-rc.1/collection-search",
    *(f"{_STAC}/v1.0.0-rc.1/collection-search#{name}" for name in ("fields", "filter", "free-text", "query", "sort")),
    f"{_STAC}/v1.1.0/collection-search#sort",
    f"{_OGC}/ogcapi-common-2/1.0/conf/simple-query",
)
AGGREGATION = (f"{_STAC}/v0.3.0/aggregation", f"{_STAC}/v0.3.0/aggregation#query", f"{_STAC}/v0.3.0/aggregation#filter")
TRANSACTION = (
    f"{_STAC}/v1.0.0/ogcapi-features/extensions/transaction",
    f"{_STAC}/v1.0.0/collections/extensions/transaction",
)

# Of the view of a portal, whose collections and items have their own places below the root.
PORTAL_CLASSES = (
    *(f"{_STAC}/v1.0.0/{name}" for name in ("core", "collections", "item-search")),
    *(name for name in (*SORT, *FIELDS, *QUERY, *FILTER, *FREE_TEXT) if "item-search" in name),
    *COLLECTION_SEARCH,
)

CLASSES = tuple(
    sorted(
        (
            *(*CORE, *TREE, *SORT, *SORTABLES, *FIELDS, *QUERY, *FILTER, *CQL2, *FREE_TEXT),
            *(*COLLECTION_SEARCH, *AGGREGATION, *TRANSACTION),
        )
    )
)
