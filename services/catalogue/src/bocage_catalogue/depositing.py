"""From a draft to a citable record: what producers and reviewers do, each step in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import asyncpg
from bocage_kit import deposits as state
from bocage_kit.audience import AUDIENCE_FIELD, ORGANISATION_FIELD
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem
from bocage_kit.store import LocalStore
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bocage_catalogue import (
    authority,
    deposit_validation,
    deposits,
    documents,
    minting,
    storing,
    tombstones,
    validation,
)
from bocage_catalogue.acceptance import Acceptance
from bocage_catalogue.bodies import Body
from bocage_catalogue.citation import CONTACT, citation, datacite, identifier_url
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.deposits import Row
from bocage_catalogue.minting import Minter
from bocage_catalogue.present import Document, declare
from bocage_catalogue.settings import CatalogueSettings

_CONTACTS = "https://stac-extensions.github.io/contacts/v0.1.1/schema.json"
_SCIENTIFIC = "https://stac-extensions.github.io/scientific/v1.0.0/schema.json"
_TIMESTAMPS = "https://stac-extensions.github.io/timestamps/v1.1.0/schema.json"
_VERSION = "https://stac-extensions.github.io/version/v1.2.0/schema.json"
_PREDECESSOR, _SUCCESSOR, _LATEST = "predecessor-version", "successor-version", "latest-version"
# What publication writes itself.
_OWN_RELATIONS = frozenset((_PREDECESSOR, _SUCCESSOR, _LATEST, "cite-as", "about", "describedby"))
_ENTER = """
insert into catalogue.deposit (collection, organisation, producer, version, supersedes, actor)
values ($1, $2, $3, $4, $5, $3)
on conflict (collection) do update set state = 'draft', organisation = excluded.organisation,
    producer = excluded.producer, version = excluded.version, supersedes = excluded.supersedes, reviewer = null,
    comment = null, actor = excluded.actor
where deposit.state = 'discarded' returning collection
"""
_MOVE = """
update catalogue.deposit set state = $2, actor = $3, comment = $4, reviewer = coalesce($5, reviewer),
    identifier = coalesce(identifier, $6), published = $7
where collection = $1
"""

Plain = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00]*$")]


class DepositContact(BaseModel):
    """Whom users ask."""

    model_config = ConfigDict(extra="forbid")

    name: Plain
    email: Annotated[str, Field(max_length=300, pattern=r"^[^@\s\x00<>]+@[^@\s\x00<>]+$")]
    organisation: Plain | None = None
    orcid: Annotated[str, Field(pattern=r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$")] | None = None
    author: bool = Field(False, description="Whether the contact is an author too.")

    def entry(self) -> Document:
        """As the contacts extension has it."""
        made: Document = {
            "name": self.name,
            "emails": [{"value": self.email}],
            "roles": [CONTACT, *(["author"] if self.author else [])],
        }
        if self.organisation is not None:
            made["organization"] = self.organisation
        if self.orcid is not None:
            made["identifier"] = f"https://orcid.org/{self.orcid}"
        return made


class NewDeposit(BaseModel):
    """A draft: what is to be published, and whom to ask about it."""

    model_config = ConfigDict(extra="forbid")

    collection: dict[str, Any] = Field(description="A STAC collection; its id becomes the deposit's.")
    contact: DepositContact | None = Field(None, description="Needed unless the collection has contacts.")
    supersedes: str | None = Field(None, max_length=255, description="The published deposit of which it is a version.")


class DepositReview(BaseModel):
    """What a reviewer decides."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["accept", "return"]
    comment: str | None = Field(None, max_length=4000, pattern=r"^[^\x00]*$", description="Needed to return it.")


def read(kind: type[BaseModel], document: Any) -> Any:
    """A body as one of these. Raises Problem 400."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        errors = [
            {"at": ".".join(str(part) for part in one["loc"]), "reason": one["msg"]}
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Problem(400, "invalid-request", f"{errors[0]['at']}: {errors[0]['reason']}", errors=errors) from error


def next_version(before: str | None) -> str:
    """The version of a deposit that does not say its own. Raises Problem 400 where none follows."""
    if before is None:
        return "1"
    if not before.isdecimal():
        raise documents.bad(f"version: say which version follows {before}.")
    return str(int(before) + 1)


def _with_links(document: Document, *more: tuple[str, str, str]) -> None:
    """Put links that publication makes in the place of those that it made before."""
    kept = [one for one in document.get("links") or [] if one.get("rel") not in {rel for rel, _, _ in more}]
    document["links"] = [*kept, *({"rel": rel, "href": href, "type": type_} for rel, href, type_ in more)]


def drafted(made: Document, new: NewDeposit, before: Row | None) -> Document:
    """An accepted collection as that of a draft. Raises Problem 400."""
    version = made.get("version", next_version(before["version"] if before is not None else None))
    if not isinstance(version, str) or not 1 <= len(version) <= 40:
        raise documents.bad("version must be a text of at most 40 characters.")
    if before is not None and version == before["version"]:
        raise documents.bad(f"version: {version} is that of the deposit {before['collection']} already.")
    made = {**made, "version": version, state.FIELD: state.DRAFT, AUDIENCE_FIELD: "organisation"}
    made["links"] = [one for one in made.get("links") or [] if one.get("rel") not in _OWN_RELATIONS]
    declare(made, add=_VERSION)
    if new.contact is not None:
        mine = new.contact.entry()
        made["contacts"] = [mine, *(one for one in made.get("contacts") or [] if one != mine)]
        declare(made, add=_CONTACTS)
    if before is not None:
        _with_links(made, (_PREDECESSOR, f"/stac/collections/{before['collection']}", "application/json"))
    return made


def published(document: Document, row: Row, base: str, publisher: str, at: datetime) -> Document:
    """The collection of an accepted deposit as it is published."""
    publication = deposits.publication_of({**row, "published": at}, base, publisher)
    name = row["collection"]
    made = {
        **document,
        state.FIELD: state.PUBLISHED,
        AUDIENCE_FIELD: "public",
        "version": row["version"],
        "published": deposits.moment(at),
        "sci:doi": row["identifier"],
        "sci:citation": citation(document, publication),
    }
    made.pop("deprecated", None)
    for extension in (_SCIENTIFIC, _TIMESTAMPS, _VERSION):
        declare(made, add=extension)
    older = row["supersedes"]
    before = [(_PREDECESSOR, f"/stac/collections/{older}", "application/json")] if older is not None else []
    citable = [("cite-as", identifier_url(row["identifier"]), "text/html")]
    _with_links(
        made,
        *(citable if minting.resolvable(row["identifier"]) else []),
        ("about", f"/stac/deposits/{name}/landing", "text/html"),
        ("describedby", f"/stac/deposits/{name}/datacite", deposits.DATACITE),
        (_LATEST, f"/stac/collections/{name}", "application/json"),
        *before,
    )
    return made


def outdated(document: Document, latest: str, *, directly: bool) -> Document:
    """The collection of a version that is not the latest any more."""
    made = {**document, "deprecated": True}
    declare(made, add=_VERSION)
    address = f"/stac/collections/{latest}"
    _with_links(
        made,
        (_LATEST, address, "application/json"),
        *([(_SUCCESSOR, address, "application/json")] if directly else []),
    )
    return made


@dataclass(frozen=True)
class Depositor:
    """Each step of a deposit. What was done is not done twice, and what follows from it is done all the same."""

    database: Database
    store: LocalStore
    minter: Minter
    settings: CatalogueSettings

    async def create(self, identity: Identity, new: NewDeposit, nulls: bool) -> Row:
        """A draft with its collection. Raises Problem 400, 403, 404, 409."""
        if identity.organisation is None:
            raise Problem(403, "no-organisation", "Deposits belong to an organisation, and the account has none.")
        made = Acceptance(identity, self.store).collection(Body(new.collection, nulls))
        name = str(made["id"])
        made[ORGANISATION_FIELD] = identity.organisation

        async def write(connection: Connection) -> Row:
            before = await self._predecessor(connection, identity, new.supersedes, name)
            document = drafted(made, new, before)
            validation.check_collection(document)
            if await connection.fetchval("select 1 from pgstac.collections where id = $1", name):
                raise Problem(409, "exists", f"Collection {name} exists already.")
            await tombstones.check_free(connection, name)
            entered = await connection.fetchval(
                _ENTER, name, identity.organisation, identity.subject, document["version"], new.supersedes
            )
            if entered is None:
                raise Problem(409, "exists", f"There was a deposit {name} before, which stays: choose another id.")
            await connection.execute("select pgstac.create_collection($1)", document)
            return await deposits.held(connection, identity, name)

        return await storing.transaction(self.database, name, write, alone=True)

    async def _predecessor(
        self, connection: Connection, identity: Identity, name: str | None, itself: str
    ) -> Row | None:
        if name is None:
            return None
        before = await deposits.held(connection, identity, name)
        if before["state"] != state.PUBLISHED:
            raise deposits.misplaced(before, state.PUBLISHED)
        authority.may_own(identity, before["document"])
        other = await connection.fetchval(
            "select collection from catalogue.deposit where supersedes = $1 and state <> 'discarded'", name
        )
        if other is not None and other != itself:
            raise Problem(
                409, "superseded", f"The deposit {other} supersedes {name} already: supersede that one, or discard it."
            )
        return before

    async def submit(self, identity: Identity, name: str) -> Row:
        """Hand a draft over for review. Raises Problem 403, 404, 409."""
        row = await deposits.seen(self.database, identity, name)
        if not deposits.may_follow(identity, row):
            raise deposits.missing(name)
        if row["document"] is not None:
            authority.may_own(identity, row["document"])
        if row["state"] in (state.DRAFT, state.RETURNED):
            report = await deposit_validation.validated(self.database, self.store, name)
            if report is None:
                raise deposits.missing(name)
            if report.errors:
                first = report.errors[0]
                raise Problem(
                    409,
                    "deposit-invalid",
                    f"The deposit {name} can't be submitted: {first.at}: {first.reason}"
                    f" ({len(report.errors)} in all; see validation).",
                    validation=report.document(),
                )
            looked_at = report.mark
        else:
            looked_at = None

        async def write(connection: Connection) -> Row:
            row = await deposits.held(connection, identity, name)
            if row["state"] == state.SUBMITTED:
                return row  # it was submitted, and its answer was lost
            if row["state"] not in (state.DRAFT, state.RETURNED):
                raise deposits.misplaced(row, state.DRAFT, state.RETURNED)
            found = await deposit_validation.mark(connection, name)
            if found is None or found[1] != looked_at:
                raise Problem(409, "changed", f"The deposit {name} was changed while it was looked at; submit again.")
            await self._move(connection, row, state.SUBMITTED, identity, None)
            return await deposits.held(connection, identity, name)

        return await storing.transaction(self.database, name, write, alone=True)

    async def review(self, identity: Identity, name: str, review: DepositReview) -> Row:
        """Return a deposit, or accept and publish it. Raises Problem 400, 403, 404, 409, 503."""
        comment = (review.comment or "").strip() or None
        if review.decision == "return" and comment is None:
            raise documents.bad("comment: say what is to be changed.")

        async def write(connection: Connection) -> Row:
            row = await deposits.held(connection, identity, name)
            if row["producer"] == identity.subject:
                raise Problem(
                    403, "own-deposit", "Whoever produced a deposit does not review it: ask another reviewer."
                )
            outcome = state.ACCEPTED if review.decision == "accept" else state.RETURNED
            same = (state.ACCEPTED, state.PUBLISHED) if outcome == state.ACCEPTED else (state.RETURNED,)
            if row["state"] in same and row["reviewer"] == identity.subject:
                return row
            if row["state"] != state.SUBMITTED:
                raise deposits.misplaced(row, state.SUBMITTED)
            await self._move(connection, row, outcome, identity, comment)
            return await deposits.held(connection, identity, name)

        row = await storing.transaction(self.database, name, write, alone=True)
        return await self.publish(identity, name) if row["state"] == state.ACCEPTED else row

    async def publish(self, identity: Identity, name: str) -> Row:
        """Publish what was accepted; again, when registering its identifier failed. Raises Problem 404, 409, 503."""
        row = await deposits.seen(self.database, identity, name)
        if not deposits.may_follow(identity, row):
            raise deposits.missing(name)
        if row["state"] == state.PUBLISHED:
            return row
        if row["state"] != state.ACCEPTED:
            raise deposits.misplaced(row, state.ACCEPTED)
        base, publisher, at = identity.public_base, self.settings.publisher, datetime.now(UTC)
        publication = deposits.publication_of({**row, "published": at}, base, publisher)
        metadata = datacite(row["document"], publication)
        await minting.registered(self.minter, publication.identifier, publication.url, metadata)

        async def write(connection: Connection) -> Row:
            row = await deposits.held(connection, identity, name)
            if row["state"] == state.ACCEPTED:
                await self._move(connection, row, state.PUBLISHED, identity, None, at)
                await self._outdate(connection, row)
            return await deposits.held(connection, identity, name)

        return await storing.transaction(self.database, name, write, alone=True)

    async def _move(
        self,
        connection: Connection,
        row: Row,
        to: str,
        identity: Identity,
        comment: str | None,
        at: datetime | None = None,
    ) -> None:
        """The deposit and its collection, together."""
        reviewer = identity.subject if to in (state.ACCEPTED, state.RETURNED) else None
        identifier = minting.new_identifier(self.settings.doi_prefix) if to == state.ACCEPTED else None
        try:
            await connection.execute(_MOVE, row["collection"], to, identity.subject, comment, reviewer, identifier, at)
        except asyncpg.CheckViolationError as error:
            raise deposits.misplaced(row, "reviewed by another") from error
        document: Mapping[str, Any] = row["document"]
        if to == state.PUBLISHED:
            assert at is not None
            made = published(dict(document), row, identity.public_base, self.settings.publisher, at)
        else:
            made = {**document, state.FIELD: to}
        await connection.execute("select pgstac.update_collection($1)", made)

    async def _outdate(self, connection: Connection, row: Row) -> None:
        """The versions before point at the new one."""
        older, directly = row["supersedes"], True
        while older is not None:
            before = await deposits.found(connection, older)
            if before is None:
                return
            if before["state"] == state.PUBLISHED and before["document"] is not None:
                made = outdated(before["document"], row["collection"], directly=directly)
                await connection.execute("select pgstac.update_collection($1)", made)
            older, directly = before["supersedes"], False
