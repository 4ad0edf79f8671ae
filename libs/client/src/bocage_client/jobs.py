"""Jobs: follow them, end them, read what they made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bocage_client.errors import BocageError, Exit, JobEnded, JsonObject, Refused, refusal
from bocage_client.http import Transport, document
from bocage_client.results import Results

if TYPE_CHECKING:
    from typing import Self

OPEN = frozenset({"accepted", "running"})
OnStatus = Callable[[JsonObject], None]
_FIRST_POLL, _LONGEST_POLL = 0.25, 3.0
_WAITING_PATIENCE = 120.0
"""A platform that restarts does not lose its jobs, so whoever waits for one waits longer for the platform."""


class Job:
    """A job on the platform; `document` is its latest known status document."""

    def __init__(self, transport: Transport, document: Mapping[str, Any]) -> None:
        self._transport = transport
        self.document: JsonObject = dict(document)

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.status}>"

    @property
    def id(self) -> str:
        return str(self.document.get("jobID") or self.document.get("id") or "")

    @property
    def path(self) -> str:
        return f"/processing/jobs/{self.id}"

    @property
    def status(self) -> str:
        return str(self.document.get("status", ""))

    @property
    def ended(self) -> bool:
        return self.status not in OPEN

    def refresh(self, patience: float | None = None) -> Self:
        self.document = dict(self._transport.get(self.path, patience=patience))
        return self

    def cancel(self) -> Self:
        self.document = dict(self._transport.send("DELETE", self.path).json())
        return self

    def wait(self, timeout: float | None = None, on_status: OnStatus | None = None) -> Self:
        """Until the job has ended well. Raises JobEnded: it failed, was dismissed, or `timeout` seconds passed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_POLL
        while not self.ended:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise JobEnded(
                    Exit.TIMEOUT,
                    "timeout",
                    f"The job {self.id} is still {self.status}. It goes on: bocage watch {self.id}",
                    self.document,
                )
            time.sleep(pause if left is None else min(pause, left))
            pause = min(pause * 1.5, _LONGEST_POLL)
            patience = max(_WAITING_PATIENCE, self._transport.patience)
            try:
                self.refresh(patience if left is None else min(patience, max(left, 1.0)))
            except BocageError as error:
                if error.exit_code is Exit.PLATFORM and deadline is not None and time.monotonic() >= deadline - 1:
                    continue
                raise
            if on_status:
                on_status(self.document)
        return self.check()

    def check(self) -> Self:
        """Raises JobEnded when the job did not end well."""
        if self.status == "dismissed":
            raise JobEnded(Exit.DISMISSED, "dismissed", f"The job {self.id} was dismissed.", self.document)
        if self.status == "failed":
            problem = self._failure()
            self.document.setdefault("exception", problem)
            detail = str(problem.get("detail") or self.document.get("message") or "The job failed.")
            remedy = str(problem.get("remedy") or "")
            if remedy and remedy not in detail:
                detail = f"{detail} {remedy}"
            raise JobEnded(_fault(problem), str(problem.get("code", "job-failed")), detail, self.document)
        return self

    def results(self) -> Results:
        """What the job made, by output. Raises JobEnded or Refused."""
        self.check()
        if not self.id:
            # a process that answered at once, without making a job
            answer = self.document.get("results")
        else:
            sent = self._transport.send("GET", f"{self.path}/results")
            links = {name: {"href": x["url"], "type": x.get("type")} for name, x in sent.links.items()}
            # a job that asked for raw results by reference answers with links alone
            answer = links if sent.status_code == 204 else document(sent)
        return Results(self._transport, answer if isinstance(answer, dict) else {"result": answer})

    def _failure(self) -> JsonObject:
        for member in ("exception", "error"):
            if isinstance(own := self.document.get(member), dict):
                return dict(own)
        try:
            self._transport.get(f"{self.path}/results")
        except Refused as error:
            return error.problem
        return refusal(500, None, str(self.document.get("message", ""))).problem


def _fault(problem: Mapping[str, Any]) -> Exit:
    """Whose fault a failure was: said by `fault`, else by the status that the problem carries."""
    fault = problem.get("fault")
    if fault in ("input", "platform"):
        return Exit.INPUT if fault == "input" else Exit.PLATFORM
    status = problem.get("status")
    return Exit.INPUT if isinstance(status, int) and 400 <= status < 500 else Exit.PLATFORM


def listed(transport: Transport, status: str | None, process: str | None, limit: int) -> Iterator[JsonObject]:
    """The caller's jobs, newest first."""
    params: dict[str, str | int] = {"limit": min(limit, 1000)}
    if status:
        params["status"] = status
    if process:
        params["processID"] = process
    path: str | None = "/processing/jobs"
    left = limit
    while path and left > 0:
        page = transport.get(path, params=params or None)
        for job in page.get("jobs", [])[:left]:
            left -= 1
            yield job
        path = next((link["href"] for link in page.get("links", []) if link.get("rel") == "next"), None)
        # a link to the next page holds the parameters already
        params = {}
