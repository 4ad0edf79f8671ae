"""The catalogue's application, made from stac-fastapi's parts and settings of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, cast

from bocage_kit.database import wait_until_ready
from bocage_kit.problems import Problem
from bocage_kit.problems import response as problem_response
from bocage_kit.service import Fronted, equip
from bocage_kit.store import LocalStore
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import (
    create_get_request_model,
    create_post_request_model,
    create_request_model,
)
from stac_fastapi.extensions import (
    FieldsExtension,
    ItemCollectionFilterExtension,
    SearchFilterExtension,
    TokenPaginationExtension,
)
from stac_fastapi.extensions.fields import FieldsConformanceClasses
from stac_fastapi.extensions.free_text import FreeTextConformanceClasses
from stac_fastapi.extensions.query import QueryConformanceClasses, QueryExtension
from stac_fastapi.extensions.sort import (
    ItemCollectionSortExtension,
    SearchSortExtension,
)
from stac_fastapi.pgstac.config import Settings
from stac_fastapi.pgstac.extensions import FreeTextExtension
from stac_fastapi.pgstac.types.search import PgstacSearch
from stac_fastapi.types.errors import (
    ConflictError,
    DatabaseError,
    ForeignKeyError,
    InvalidQueryParameter,
    NotFoundError,
)
from stac_fastapi.types.extension import ApiExtension
from stac_fastapi.types.search import APIRequest

from bocage_catalogue import (
    aggregating,
    changes,
    concept_words,
    deposit_routes,
    export,
    landing,
    minting,
    parameters,
    portals,
    queryables,
    vocabulary_pages,
    withdrawals,
    writing,
)
from bocage_catalogue.asking import SearchBody
from bocage_catalogue.authority import Reader
from bocage_catalogue.collection_search import CollectionsRequest
from bocage_catalogue.database import Database
from bocage_catalogue.direct import Direct, Quick
from bocage_catalogue.explaining import ExplainExtension
from bocage_catalogue.finished import keep_finishing
from bocage_catalogue.head import HeadAsGet, Negotiated
from bocage_catalogue.inline import gather_parameters_inline
from bocage_catalogue.items_request import ItemsRequest
from bocage_catalogue.openapi import describe
from bocage_catalogue.queryables import QueryablesClient
from bocage_catalogue.reading import ReadingClient
from bocage_catalogue.settings import CatalogueSettings
from bocage_catalogue.subject_parameters import SubjectExtension
from bocage_catalogue.tallies import keep_folding

PREFIX = "/stac"
TITLE = "Bocage catalogue"
DESCRIPTION = "Data and services about land surfaces, by collection, place, time and property."


class StacSettings(Settings):
    """stac-fastapi's settings from arguments alone: no environment, no file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class Api(StacApi):
    """stac-fastapi's API without its management routes: health is the platform's own."""

    def add_health_check(self) -> None:
        return None


def create_app(settings: CatalogueSettings) -> FastAPI:
    """The catalogue over the database and the store that `settings` name."""
    quick = Quick()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await wait_until_ready(settings.database)
        async with Database.open(settings.database) as database:
            app.state.database = quick.database = database
            await concept_words.learn(database)
            keepers = [asyncio.create_task(keeper(database)) for keeper in (keep_finishing, keep_folding)]
            try:
                yield
            finally:
                for keeper in keepers:
                    keeper.cancel()
                await asyncio.gather(*keepers, return_exceptions=True)
                quick.database = None

    async def health() -> dict[str, object]:
        database = getattr(app.state, "database", None)
        well = database is not None and await cast(Database, database).answers()
        return {"status": "ok" if well else "failing", "database": "ok" if well else "failing"}

    app = Fronted(
        title=TITLE,
        version=version("bocage-catalogue"),
        description=DESCRIPTION,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    _mount(app, LocalStore(settings.store_root))
    app.include_router(vocabulary_pages.router())
    app.include_router(landing.router())
    app.include_router(aggregating.router())
    app.include_router(changes.router())
    app.include_router(queryables.router())
    app.include_router(export.router())
    minter = minting.minter_of(settings.doi_minter)
    app.include_router(deposit_routes.router(LocalStore(settings.store_root), minter, settings))
    app.add_middleware(HeadAsGet)
    app.add_middleware(Negotiated)
    app.add_middleware(Direct)
    _add_refusals(app)
    equip(
        app,
        name="catalogue",
        version=app.version,
        public_keys=settings.public_keys,
        health=health,
        validation_status=400,
        quick=quick,
    )
    describe(app)
    parameters.gather(app)
    gather_parameters_inline(app)
    return app


def _reading_router() -> APIRouter:
    return APIRouter(prefix=PREFIX, dependencies=[Depends(Reader())])


def _mount(app: FastAPI, store: LocalStore) -> None:
    stac_settings = StacSettings(
        stac_fastapi_title=TITLE,
        stac_fastapi_description=DESCRIPTION,
        stac_fastapi_version=app.version,
        stac_fastapi_landing_id="bocage",
        openapi_url="/openapi.json",
        prefix_path=PREFIX,
        use_api_hydrate=True,
    )
    client_of_queryables = QueryablesClient()
    search: list[ApiExtension] = [
        QueryExtension(),
        SearchSortExtension(),
        FieldsExtension(),
        FreeTextExtension(conformance_classes=[FreeTextConformanceClasses.SEARCH]),
        ExplainExtension(),
        SubjectExtension(),
        SearchFilterExtension(client=client_of_queryables, router=_reading_router()),
        TokenPaginationExtension(),
    ]
    items: list[ApiExtension] = [
        QueryExtension(conformance_classes=[QueryConformanceClasses.ITEMS]),
        ItemCollectionSortExtension(),
        FieldsExtension(conformance_classes=[FieldsConformanceClasses.ITEMS]),
        FreeTextExtension(conformance_classes=[FreeTextConformanceClasses.ITEMS]),
        ExplainExtension(),
        SubjectExtension(),
        ItemCollectionFilterExtension(client=client_of_queryables, router=_reading_router()),
        TokenPaginationExtension(),
    ]
    post_model = create_post_request_model(search, base_model=SearchBody)
    get_model = create_get_request_model(search)
    client = ReadingClient(pgstac_search_model=cast(type[PgstacSearch], post_model), landing_page_id="bocage")
    Api(
        app=app,
        router=_reading_router(),
        settings=stac_settings,
        extensions=[*search, *items],
        client=client,
        response_class=JSONResponse,
        search_get_request_model=get_model,
        search_post_request_model=post_model,
        items_get_request_model=cast(
            type[APIRequest],
            create_request_model("ItemCollectionUri", base_model=ItemsRequest, extensions=items),
        ),
        collections_get_request_model=CollectionsRequest,
        middlewares=[],
        exceptions={},
    )
    app.include_router(writing.router(store))
    app.include_router(portals.router(get_model, post_model))
    app.include_router(withdrawals.router(store))


def _add_refusals(app: FastAPI) -> None:
    """stac-fastapi's own exceptions as problems."""
    statuses: dict[type[Exception], tuple[int, str]] = {
        NotFoundError: (404, "not-found"),
        ConflictError: (409, "exists"),
        ForeignKeyError: (404, "not-found"),
        DatabaseError: (400, "invalid-object"),
        InvalidQueryParameter: (400, "invalid-request"),
    }

    async def on_refusal(request: Request, error: Exception) -> JSONResponse:
        status, code = statuses[type(error)]
        identifier: Any = request.scope.get("state", {}).get("request_id")
        return problem_response(Problem(status, code, str(error) or code), identifier)

    for kind in statuses:
        app.add_exception_handler(kind, on_refusal)
