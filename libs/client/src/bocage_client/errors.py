"""What can go wrong, as exit codes and as problem documents."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

JsonObject = dict[str, Any]


class Exit(enum.IntEnum):
    """Exit codes of the command `bocage`; scripts rely on them."""

    SUCCESS = 0
    INPUT = 1
    USAGE = 2
    NOT_ALLOWED = 3
    INSUFFICIENT = 4
    PLATFORM = 5
    TIMEOUT = 6
    DISMISSED = 7
    INTERRUPTED = 130


class BocageError(Exception):
    """Something failed; `problem` says it as the platform would (RFC 9457)."""

    def __init__(
        self,
        exit_code: Exit,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        problem: Mapping[str, Any] | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.exit_code, self.code, self.detail, self.status = exit_code, code, detail, status
        self._problem = dict(problem) if problem else None
        self.document = dict(document) if document else None
        """What `--json` prints instead of the problem: the status document of a job."""

    @property
    def problem(self) -> JsonObject:
        if self._problem is not None:
            return self._problem
        made: JsonObject = {
            "type": f"urn:bocage:problem:{self.code}",
            "title": self.code.replace("-", " ").capitalize(),
            "detail": self.detail,
            "code": self.code,
            "description": self.detail,
        }
        return made if self.status is None else made | {"status": self.status}


class InputError(BocageError):
    """What was given cannot be used: a file, an input, a name that does not exist."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(Exit.INPUT, code, detail)


class UsageError(BocageError):
    """The command or the call was put wrongly."""

    def __init__(self, detail: str, code: str = "usage") -> None:
        super().__init__(Exit.USAGE, code, detail)


class Unreachable(BocageError):
    """The platform did not answer, for as long as the caller was ready to wait."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            Exit.PLATFORM,
            "unreachable",
            f"{url} does not answer ({reason}). Check the address (bocage login, BOCAGE_URL) and try again.",
        )


class Refused(BocageError):
    """The platform answered with a problem."""


def exit_of_status(status: int) -> Exit:
    """400, 404, 409, 413, 415, 422: what was asked for is at fault; 401 and 403: not allowed; 402 and 429: not paid."""
    if status in (401, 403):
        return Exit.NOT_ALLOWED
    if status in (402, 429):
        return Exit.INSUFFICIENT
    if status == 408 or status >= 500:
        return Exit.PLATFORM
    return Exit.INPUT


def refusal(status: int, problem: Mapping[str, Any] | None, fallback: str = "") -> Refused:
    """The error of an answer with an error status."""
    document = dict(problem or {})
    detail = str(
        document.get("detail") or document.get("description") or fallback or f"The platform answered {status}."
    )
    code = str(document.get("code") or f"http-{status}")
    if "type" not in document:
        document = {"type": "about:blank", "title": code, "status": status, "detail": detail, "code": code} | document
    return Refused(exit_of_status(status), code, detail, status=status, problem=document)


class JobEnded(BocageError):
    """A job ended without success, or is not over when the caller's patience is."""

    def __init__(self, exit_code: Exit, code: str, detail: str, document: Mapping[str, Any]) -> None:
        super().__init__(exit_code, code, detail, document=document)
