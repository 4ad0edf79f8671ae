"""Errors as RFC 9457 problem documents, with the `code` and `description` that STAC asks for."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from bocage_kit.redaction import redacted

MEDIA_TYPE = "application/problem+json"
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_log = logging.getLogger("bocage.problems")


class Problem(Exception):
    """An answer that is an error. `code` is short and stable; `detail` names the cause and the remedy."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        type_: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        detail = redacted(detail)  # it may quote what was sent
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.title = title or HTTPStatus(status).phrase
        self.type = type_ or f"urn:bocage:problem:{code}"
        self.headers, self.members = dict(headers or {}), members

    def document(self, request_id: str | None = None) -> dict[str, Any]:
        return {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "description": self.detail,
            "request_id": request_id,
            **self.members,
        }


def unauthenticated(detail: str = "A valid credential is needed: send it as X-API-Key.") -> Problem:
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": 'ApiKey realm="bocage", Bearer'})


def invalid_credential() -> Problem:
    """One answer, to the byte, whatever is wrong with a key or tile token: a caller learns nothing from it."""
    return unauthenticated("The credential is not valid: malformed, unknown, expired, revoked or of a closed account.")


def not_found(what: str) -> Problem:
    return Problem(404, "not-found", f"{what} does not exist, or you may not see it.")


def terms_required(required_terms: Sequence[Mapping[str, Any]]) -> Problem:
    names = ", ".join(str(term.get("licence")) for term in required_terms)
    return Problem(
        403,
        "licence-required",
        f"The licence terms do not allow this use: {names}. required_terms says what is missing and where to mend it.",
        title="Licence required",
        required_terms=list(required_terms),
    )


def quota_exceeded(detail: str, policies: Sequence[str], retry_after: float, **members: Any) -> Problem:
    """`policies` names the limits that are used up; `retry_after` is in seconds, and is rounded up."""
    return Problem(
        429,
        "quota-exceeded",
        detail,
        title="Quota exceeded",
        type_=QUOTA_EXCEEDED,
        headers={"Retry-After": str(max(1, math.ceil(retry_after)))},
        **{"violated-policies": list(policies)},
        **members,
    )


def response(problem: Problem, request_id: str | None = None) -> JSONResponse:
    return JSONResponse(problem.document(request_id), problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


def fault(error: Exception, request_id: str | None) -> Problem:
    """What the caller is told of a fault of ours; the log is told the rest."""
    _log.error("unhandled", exc_info=error, extra={"request_id": request_id})
    return Problem(500, "internal-error", "The service failed; quote the request_id when you report it.")


def _request_id(request: Request) -> str | None:
    value = request.scope.get("state", {}).get("request_id")
    return value if isinstance(value, str) else None


def add_handlers(app: FastAPI, validation_status: int = 422) -> None:
    """Every error of `app` leaves as a problem; `validation_status` is 400 where STAC asks for it."""

    @app.exception_handler(Problem)
    async def on_problem(request: Request, problem: Problem) -> JSONResponse:
        return response(problem, _request_id(request))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{"at": ".".join(str(part) for part in e["loc"]), "reason": e["msg"]} for e in error.errors()]
        first = f"{errors[0]['at']}: {errors[0]['reason']}" if errors else "The request is not valid."
        return response(Problem(validation_status, "invalid-request", first, errors=errors), _request_id(request))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        detail = error.detail if isinstance(error.detail, str) else HTTPStatus(error.status_code).phrase
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        if error.status_code >= 500:
            detail = "The service could not answer; try again."
        return response(Problem(error.status_code, code, detail, headers=error.headers), _request_id(request))

    @app.exception_handler(Exception)
    async def on_fault(request: Request, error: Exception) -> JSONResponse:
        return response(fault(error, _request_id(request)), _request_id(request))
