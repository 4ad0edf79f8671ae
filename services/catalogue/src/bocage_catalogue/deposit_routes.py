"""`/stac/deposits`: drafts, their review, and what is told of those that are published."""

from __future__ import annotations

from typing import Annotated, Any

from bocage_kit.access import Caller, caller
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem, unauthenticated
from bocage_kit.store import LocalStore
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from bocage_catalogue import bodies, deposit_validation, deposits, landing_pages, language
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.authority import Reader, Writer, is_administrator
from bocage_catalogue.citation import datacite, schema_org
from bocage_catalogue.deposit_validation import Report
from bocage_catalogue.depositing import Depositor, DepositReview, NewDeposit, read
from bocage_catalogue.deposits import CITABLE, DATACITE, STATES, WITHDRAWN, Row
from bocage_catalogue.minting import Minter
from bocage_catalogue.paging import with_query
from bocage_catalogue.present import JSON, Document, link, stac
from bocage_catalogue.settings import CatalogueSettings

HTML, LINKED = "text/html", "application/ld+json"
MOST, LIMIT, MOST_OFFSET = 1000, 100, 1_000_000
Name = Annotated[str, Path(max_length=255, description="The deposit's id, which is its collection's.")]


def preferred(accept: str, offered: tuple[str, ...]) -> str:
    """The offered type that `accept` likes best; the first of them when it says nothing of any."""
    weights: dict[str, float] = {}
    for part in accept[:2000].split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        weights[kind] = max(weight, weights.get(kind, 0.0))
    rest = weights.get("*/*", 0.0)
    return max(offered, key=lambda kind: weights.get(kind, rest * 0.001))


def _documented(model: type[Any]) -> dict[str, Any]:
    """A body that is read past the framework, with bounds of our own, as the document of the API has it."""
    return {"requestBody": {"required": True, "content": {JSON: {"schema": model.model_json_schema()}}}}


def router(store: LocalStore, minter: Minter, settings: CatalogueSettings) -> APIRouter:
    """The routes of deposits."""
    publisher = settings.publisher
    reading = APIRouter(prefix="/stac/deposits", dependencies=[Depends(Reader())], tags=["Deposits"])
    writing = APIRouter(prefix="/stac/deposits", dependencies=[Depends(Writer())], tags=["Deposits"])

    def depositor(request: Request) -> Depositor:
        return Depositor(database_of(request), store, minter, settings)

    async def told(request: Request, row: Row, status: int = 200, **headers: str) -> Response:
        identity = caller(request)
        events = None
        if deposits.may_follow(identity, row):
            events = await deposits.history(database_of(request), row["collection"])
        return answer(deposits.told(row, identity, publisher, events), status=status, headers=headers)

    async def citable(request: Request, name: str) -> Row:
        row = await deposits.seen(database_of(request), caller(request), name)
        if row["state"] not in CITABLE:
            raise deposits.misplaced(row, *sorted(CITABLE))
        if row["document"] is None:  # somebody deleted it past the API
            raise deposits.missing(name)
        return row

    @reading.get("", summary="The deposits that the caller follows", response_class=Response)
    async def listing(
        request: Request,
        identity: Caller,
        state: Annotated[
            str | None,
            Query(max_length=200, description=f"With commas: {', '.join(STATES)}; by default all but the last."),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = LIMIT,
        offset: Annotated[int, Query(ge=0, le=MOST_OFFSET)] = 0,
    ) -> Response:
        """Of one's own organisation; administrators of the catalogue, who review them, see all."""
        _check_account(identity)
        states = [part.strip() for part in state.split(",")] if state else list(STATES[:-1])
        if unknown := [part for part in states if part not in STATES]:
            raise Problem(400, "invalid-request", f"state: {unknown[0]!r} is none of {', '.join(STATES)}.")
        rows, matched = await deposits.listed(database_of(request), identity, states, limit, offset)
        here = stac(identity.public_base, "deposits")
        links = [link("root", stac(identity.public_base)), link("self", with_query(request, here))]
        if offset + limit < matched:
            links.append(link("next", with_query(request, here, offset=str(offset + limit)), method="GET"))
        shown = [deposits.told(row, identity, publisher) for row in rows]
        return answer({"deposits": shown, "links": links, "numberMatched": matched, "numberReturned": len(shown)})

    @writing.post(
        "",
        summary="A draft: a collection that is to be published",
        response_class=Response,
        status_code=201,
        openapi_extra=_documented(NewDeposit),
    )
    async def create(request: Request) -> Response:
        """Add items to its collection, submit it for review; it is seen by the producer's organisation until then."""
        body = await bodies.body_of(request)
        identity = caller(request)
        row = await depositor(request).create(identity, read(NewDeposit, body.document), body.nulls)
        return await told(request, row, 201, Location=stac(identity.public_base, "deposits", row["collection"]))

    @reading.get("/{deposit_id}", summary="How a deposit fares", response_class=Response)
    async def show(request: Request, deposit_id: Name) -> Response:
        """With its history for those who follow it; of published ones what is cited, for everyone."""
        return await told(request, await deposits.seen(database_of(request), caller(request), deposit_id))

    @reading.get("/{deposit_id}/validation", summary="What is wrong with a deposit", response_class=Response)
    async def validate(request: Request, deposit_id: Name) -> Response:
        """Errors stand in the way of its publication, warnings don't."""
        identity, database = caller(request), database_of(request)
        row = await deposits.seen(database, identity, deposit_id)
        if not deposits.may_follow(identity, row):
            raise deposits.missing(deposit_id)
        report: Report | None = await deposit_validation.validated(database, store, deposit_id)
        if report is None:
            raise deposits.misplaced(row, *STATES[:5])
        own = stac(identity.public_base, "deposits", deposit_id)
        links = [link("self", f"{own}/validation"), link("up", own), link("root", stac(identity.public_base))]
        return answer({"deposit": deposit_id, **report.document(), "links": links})

    @writing.post("/{deposit_id}/submission", summary="Hand a deposit over for review", response_class=Response)
    async def submit(request: Request, deposit_id: Name) -> Response:
        """It stays as it is until it is returned."""
        return await told(request, await depositor(request).submit(caller(request), deposit_id))

    @writing.post(
        "/{deposit_id}/review",
        summary="Accept and publish a deposit, or return it",
        response_class=Response,
        openapi_extra=_documented(DepositReview),
    )
    async def review(request: Request, deposit_id: Name) -> Response:
        """By an administrator of the catalogue who did not produce it."""
        identity = caller(request)
        _check_reviewer(identity)
        decided = read(DepositReview, (await bodies.body_of(request)).document)
        return await told(request, await depositor(request).review(identity, deposit_id, decided))

    @writing.post("/{deposit_id}/publication", summary="Publish a deposit that was accepted", response_class=Response)
    async def publish(request: Request, deposit_id: Name) -> Response:
        """Needed only when its identifier could not be registered, or the platform stopped in between."""
        return await told(request, await depositor(request).publish(caller(request), deposit_id))

    @reading.get("/{deposit_id}/datacite", summary="DataCite metadata", response_class=Response)
    async def metadata(request: Request, deposit_id: Name) -> Response:
        """Of a published deposit, also after it was withdrawn."""
        row = await citable(request, deposit_id)
        return _datacite(row, deposits.publication_of(row, caller(request).public_base, publisher))

    @reading.get("/{deposit_id}/landing", summary="The page that the identifier leads to", response_class=Response)
    async def landing(request: Request, deposit_id: Name) -> Response:
        """A page in French or English; as Accept says, DataCite JSON, JSON-LD or JSON. 410 when it was withdrawn."""
        row, identity = await citable(request, deposit_id), caller(request)
        publication = deposits.publication_of(row, identity.public_base, publisher)
        kind = preferred(request.headers.get("accept", ""), (HTML, DATACITE, LINKED, JSON))
        if kind == DATACITE:
            return _datacite(row, publication)
        if kind == LINKED:
            address = stac(identity.public_base, "collections", deposit_id)
            return answer(schema_org(row["document"], publication, address), LINKED)
        if kind == JSON:
            return await told(request, row)
        tongue = language.of(request)
        page = landing_pages.page(row, publication, tongue)
        status = 410 if row["state"] == WITHDRAWN else 200
        return HTMLResponse(page, status, headers={**landing_pages.HEADERS, "Content-Language": tongue})

    made = APIRouter()
    made.include_router(reading)
    made.include_router(writing)
    return made


def _datacite(row: Row, publication: Any) -> Response:
    made: Document = datacite(row["document"], publication)
    if row["state"] == WITHDRAWN:
        made["dates"].append({"date": f"{row['withdrawn']:%Y-%m-%d}", "dateType": "Withdrawn"})
    return answer(made, DATACITE)


def _check_account(identity: Identity) -> None:
    if identity.anonymous:
        raise unauthenticated()


def _check_reviewer(identity: Identity) -> None:
    if not is_administrator(identity):
        raise Problem(
            403, "scope-required", "The credential lacks the scope catalogue:admin.", required_scope="catalogue:admin"
        )
