"""The parameters of the items of one collection."""

# Annotations stay as they are: FastAPI reads those of ItemsRequest where their names mean nothing.
from typing import Annotated

import attr
from fastapi import Query
from stac_fastapi.api.models import ItemCollectionUri

_LONGEST = 100_000


@attr.s
class ItemsRequest(ItemCollectionUri):
    """As stac-fastapi has them, and those of a search that clients send here too."""

    ids: Annotated[str | None, Query(max_length=_LONGEST, description="Ids of items, by commas.")] = attr.ib(
        default=None
    )
    collections: Annotated[
        str | None,
        Query(max_length=_LONGEST, description="Ids of collections, by commas; without this one nothing is found."),
    ] = attr.ib(default=None)
