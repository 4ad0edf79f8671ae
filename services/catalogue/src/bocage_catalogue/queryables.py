"""What may be filtered by, for collections that the caller sees."""

from __future__ import annotations

from typing import Any

import attr
from bocage_kit.access import caller
from fastapi import Request
from stac_fastapi.pgstac.extensions import FiltersClient

from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.collection_search import stored_collection
from bocage_catalogue.present import stac

_EMPTY: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "title": "STAC Queryables.",
    "properties": {},
    "additionalProperties": True,
}


@attr.s
class QueryablesClient(FiltersClient):
    """pgSTAC's queryables, behind the audience of the collection."""

    async def get_queryables(self, request: Request, collection_id: str | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        identity, database = caller(request), database_of(request)
        names = ["queryables"] if collection_id is None else ["collections", collection_id, "queryables"]
        if collection_id is not None:
            await stored_collection(database, identity, collection_id)
        async with database.reading() as connection:
            found = await connection.fetchval("select pgstac.get_queryables($1::text)", collection_id)
        document = {**(found or _EMPTY), "$id": stac(identity.public_base, *names)}
        return answer(document, "application/schema+json")
