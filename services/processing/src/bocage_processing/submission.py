"""From an execute request to a job: validate, resolve, pre-check, price, and then all in one transaction."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal

import procrastinate
import psycopg
from bocage_kit.identity import Identity
from bocage_kit.json_values import impossible
from bocage_kit.peers import Peers
from bocage_kit.problems import Problem, quota_exceeded
from bocage_kit.store import LocalStore
from bocage_processes.process import Quote
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bocage_processing import inheritance, jobs
from bocage_processing.queue import Pool, enqueue
from bocage_processing.references import input_errors, item_references
from bocage_processing.resolution import ResolvedItem, resolve
from bocage_processing.settings import ProcessingSettings
from bocage_processing.subprocesses import RunnerFailed, RunnerSlow, ask
from bocage_processing.work import CheckAnswer, ProcessDescription, Work

Credits = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=4)]


class OutputWish(BaseModel):
    """How an output is wanted."""

    model_config = ConfigDict(extra="allow")

    transmissionMode: Literal["value", "reference"] | None = None


class ExecuteRequest(BaseModel):
    """An OGC execute request, with who may see the result and the most it may cost."""

    model_config = ConfigDict(extra="ignore")

    inputs: dict[str, Any] = Field(default_factory=dict)
    outputs: dict[str, OutputWish] | None = None
    response: Literal["raw", "document"] | None = None
    subscriber: dict[str, Any] | None = Field(default=None, description="not supported: ask for the job's status")
    audience: Literal["owner", "organisation", "public"] = "owner"
    budget: Credits | None = Field(default=None, description="credits; a dearer job is refused before it starts")

    @model_validator(mode="before")
    @classmethod
    def can_be_kept(cls, document: Any) -> Any:
        """Before anything reads it: what a job's row cannot hold is the request's fault."""
        if reason := impossible(document):
            raise ValueError(f"the request cannot be kept: {reason}")
        return document

    def digest(self, process: str) -> str:
        document = {"process": process, **self.model_dump(mode="json")}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Quoted:
    """What a request will use at most, and cost at most."""

    quote: Quote
    credits: Decimal
    items: list[ResolvedItem]
    rights: dict[str, Any]
    """What the results inherit, as `rights` says."""
    prices: list[dict[str, Any]]
    """The entries of the price list that make up `credits`."""


@dataclass
class Submissions:
    """What submissions need of their surroundings."""

    settings: ProcessingSettings
    pool: Pool
    queue: procrastinate.App
    peers: Peers
    store: LocalStore
    checks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    async def quote(self, process: ProcessDescription, request: ExecuteRequest, identity: Identity) -> Quoted:
        """Raises Problem. Reserves and writes nothing."""
        _check_request(process, request)
        items = await resolve(item_references(request.inputs, process.inputs), identity, self.peers, self.store)
        rights = await inheritance.derive(self.peers, process, items, request.audience, identity.organisation)
        quote = await self._check(process, request.inputs, items)
        async with self.pool.connection() as connection:
            try:
                usage, collections = quote.usage.model_dump(mode="json"), sorted({item.collection for item in items})
                credits = await jobs.price(connection, process.id, usage, identity.category, collections)
                prices = await jobs.price_lines(connection, process.id, usage, identity.category, collections)
            except psycopg.errors.DatabaseError as error:
                if error.sqlstate != "P0404":
                    raise
                raise Problem(
                    503, "no-price", f"The process {process.id} has no price yet; ask the operator to set one."
                ) from error
        return Quoted(quote, credits, items, rights, prices)

    async def submit(
        self, process: ProcessDescription, request: ExecuteRequest, identity: Identity, key: str | None
    ) -> tuple[jobs.Job, bool]:
        """The job, and whether it is new. Raises Problem."""
        organisation = _organisation(identity)
        digest = request.digest(process.id)
        if key is not None and (known := await self._known(identity.subject, key, digest)):
            return known, False
        quoted = await self.quote(process, request, identity)
        if request.budget is not None and quoted.credits > request.budget:
            raise Problem(
                402,
                "budget-exceeded",
                f"This costs up to {quoted.credits:f} credits, more than the budget of {request.budget:f}. "
                "Raise the budget, or ask for less.",
                quote=float(quoted.credits),
                budget=float(request.budget),
            )
        new = self._new(process, request, identity, organisation, digest, key, quoted)
        try:
            async with self.pool.connection() as connection, connection.transaction():
                inserted = await jobs.insert(connection, new)
                if inserted:
                    await jobs.reserve(connection, new, identity.project)
                    await jobs.take(connection, new, identity.project)
                    await enqueue(self.queue, connection, str(new.id))
        except psycopg.errors.DatabaseError as error:
            if (limit := _quota(error)) is not None:
                async with self.pool.connection() as connection:
                    await jobs.quota_refused(connection, organisation, identity.subject, limit["name"])
            raise _refusal(error, quoted.credits) from error
        if not inserted:
            assert key is not None
            known = await self._known(identity.subject, key, digest)
            assert known is not None
            return known, False
        async with self.pool.connection() as connection:
            job = await jobs.get(connection, new.id)
        assert job is not None
        return job, True

    async def _known(self, owner: str, key: str, digest: str) -> jobs.Job | None:
        async with self.pool.connection() as connection:
            job = await jobs.by_key(connection, owner, key)
        if job is not None and job.request_hash != digest:
            raise Problem(
                422,
                "idempotency-key-reused",
                "This Idempotency-Key belongs to another request. Use a new key for a new request.",
                job=str(job.id),
            )
        return job

    async def _check(self, process: ProcessDescription, inputs: dict[str, Any], items: list[ResolvedItem]) -> Quote:
        task = Work(
            registry=self.settings.process_registry,
            process=process.id,
            inputs=inputs,
            items=[item.staged(self.store) for item in items],
            limits=self.settings.limits,
            engines=self.settings.engines,
        )
        try:
            async with self.checks:
                answer = await ask("check", task, CheckAnswer, self.settings.jobs_root, self.settings.check_seconds)
        except RunnerFailed as error:
            cause = "in time" if isinstance(error, RunnerSlow) else "by a fault of the platform"
            raise Problem(
                503,
                "check-failed",
                f"The inputs could not be checked {cause}; try again, and report it if it happens again.",
                headers={"Retry-After": "10"},
            ) from error
        if answer.errors:
            raise _invalid(answer.errors)
        if answer.trouble is not None:
            trouble = answer.trouble
            raise Problem(
                422 if answer.refused else 503,
                trouble.code,
                " ".join(filter(None, (trouble.detail, trouble.remedy))),
                title="Input refused" if answer.refused else "Check failed",
                remedy=trouble.remedy,
                **_safe(trouble.facts),
            )
        assert answer.quote is not None
        return answer.quote

    def _new(
        self,
        process: ProcessDescription,
        request: ExecuteRequest,
        identity: Identity,
        organisation: uuid.UUID,
        digest: str,
        key: str | None,
        quoted: Quoted,
    ) -> jobs.NewJob:
        return jobs.NewJob(
            id=uuid.uuid4(),
            owner=identity.subject,
            organisation=organisation,
            category=identity.category,
            purpose=identity.purpose,
            public_base=identity.public_base,
            process=process.id,
            process_version=process.version,
            inputs=request.inputs,
            items=[item.model_dump(mode="json") for item in quoted.items],
            outputs=None
            if request.outputs is None
            else {name: wish.model_dump(mode="json") for name, wish in request.outputs.items()},
            response=request.response,
            audience=quoted.rights["audience"]["given"],
            request_hash=digest,
            idempotency_key=key,
            cores=process.cores,
            publishes=process.publishes,
            max_attempts=self.settings.job_max_attempts,
            quote=quoted.quote.model_dump(mode="json"),
            budget=request.budget,
            reserved=quoted.credits,
            rights=quoted.rights,
        )


def _check_request(process: ProcessDescription, request: ExecuteRequest) -> None:
    if request.subscriber is not None:
        raise Problem(
            400, "no-callbacks", "Callbacks (subscriber) are not supported: ask for the job's status instead."
        )
    for name, wish in (request.outputs or {}).items():
        if name not in process.outputs:
            known = ", ".join(process.outputs)
            raise Problem(400, "no-such-output", f"{process.id} has no output {name}. It has: {known}.")
        if wish.transmissionMode not in (None, transmission(process)):
            raise Problem(
                400, "transmission-mode", f"The outputs of {process.id} are given by {transmission(process)} only."
            )
    if errors := input_errors(request.inputs, process.inputs):
        raise _invalid(errors)


def transmission(process: ProcessDescription) -> Literal["value", "reference"]:
    """Results that become catalogue items are files, given by their links."""
    return "reference" if process.publishes else "value"


def _invalid(errors: list[dict[str, str]]) -> Problem:
    return Problem(
        400, "invalid-inputs", f"{errors[0]['at']}: {errors[0]['reason']}", title="Invalid inputs", errors=errors
    )


def _safe(facts: Mapping[str, Any]) -> dict[str, Any]:
    taken = {"status", "code", "detail", "title", "type_", "headers", "remedy", "request_id", "description", "type"}
    return {name: value for name, value in facts.items() if name not in taken}


def _organisation(identity: Identity) -> uuid.UUID:
    try:
        return uuid.UUID(identity.organisation or "")
    except ValueError:
        raise Problem(
            403,
            "organisation-required",
            "Jobs are paid by an organisation: use the key of a person who belongs to one.",
        ) from None


def _quota(error: psycopg.errors.DatabaseError) -> dict[str, Any] | None:
    """The limit that a reservation met."""
    if error.sqlstate != "P0429":
        return None
    found: dict[str, Any] = json.loads(error.diag.message_detail or "{}")
    return found


def _refusal(error: psycopg.errors.DatabaseError, credits: Decimal) -> Exception:
    if error.sqlstate == "P0402":
        return Problem(
            402,
            "insufficient-credits",
            f"This costs up to {credits:f} credits, more than your organisation has. Ask the operator for credits.",
            quote=float(credits),
        )
    if (limit := _quota(error)) is not None:
        whose = "your organisation" if limit["counted"] == "organisation" else "you"
        return quota_exceeded(
            f"This would take {whose} over the limit of {limit['amount']} {limit['unit']} a {limit['period']}, of which"
            f" {limit['used']} are used. Ask for less, or come back in {limit['seconds']} s.",
            [limit["name"]],
            limit["seconds"],
        )
    if error.sqlstate == "P0404":
        return Problem(
            403,
            "organisation-inactive",
            "Your organisation has no active account, or is not verified yet: "
            "GET /rights/organisation says which, and whom to ask.",
        )
    return error
