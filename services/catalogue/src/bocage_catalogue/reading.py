"""The read half of the STAC API as stac-fastapi calls it."""

from __future__ import annotations

from typing import Any

import attr
from bocage_kit.access import caller
from bocage_kit.problems import Problem
from fastapi import Request
from stac_fastapi.pgstac.core import CoreCrudClient
from stac_fastapi.pgstac.types.search import PgstacSearch

from bocage_catalogue import collection_search, landing, searching, tombstones
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.conformance import CLASSES


@attr.s
class ReadingClient(CoreCrudClient):
    """stac-fastapi's routes, answered from filtered searches, with links by the kit's public base."""

    async def landing_page(self, **kwargs: Any) -> Any:
        about = {
            "id": self.landing_page_id,
            "title": self.title,
            "description": self.description,
            "stac_version": self.stac_version,
        }
        return await landing.landing_page(kwargs["request"], about, list(CLASSES))

    async def conformance(self, **kwargs: Any) -> Any:
        return answer({"conformsTo": list(CLASSES)})

    async def all_collections(self, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        return await collection_search.all_collections(request, **kwargs)

    async def get_collection(self, collection_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        try:
            return await collection_search.one_collection(request, collection_id)
        except Problem:
            await tombstones.check_missing(database_of(request), caller(request), collection_id)
            raise

    async def item_collection(self, collection_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        return await searching.items_of(request, collection_id, **kwargs)

    async def get_item(self, item_id: str, collection_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        return await searching.one_item(request, collection_id, item_id)

    async def get_search(self, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        return await searching.search_by_parameters(request, **kwargs)

    async def post_search(self, search_request: PgstacSearch, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        return await searching.search_by_body(request)
