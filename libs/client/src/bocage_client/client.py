"""The platform from Python: `bocage_client.connect()`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote as quoted

from bocage_client import configuration, exporting, ingest, jobs, loading
from bocage_client.errors import BocageError, JsonObject, Unreachable
from bocage_client.http import Transport, document
from bocage_client.jobs import Job
from bocage_client.load_batches import Manner


class Client:
    """One platform, one key. Close it, or use it in a `with` block."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.transport.close()

    def whoami(self) -> JsonObject:
        return dict(self.transport.get("/rights/me"))

    def processes(self) -> list[JsonObject]:
        return list(self.transport.get("/processing/processes", params={"limit": 1000})["processes"])

    def process(self, process: str) -> JsonObject:
        return dict(self.transport.get(f"/processing/processes/{quoted(process, safe='')}"))

    def quote(self, process: str, inputs: Mapping[str, Any] | None = None, /, **more: Any) -> JsonObject:
        """What a job would cost and use at most; nothing is charged."""
        path = f"/processing/processes/{quoted(process, safe='')}/quote"
        return dict(self.transport.post(path, {"inputs": {**(inputs or {}), **more}}, repeatable=True))

    def submit(
        self,
        process: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        audience: str | None = None,
        budget: str | float | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Job:
        """Start a job. A lost answer is asked for again under the same key, so that it counts once."""
        body: JsonObject = {"inputs": {**(inputs or {}), **more}, "response": "document"}
        if audience is not None:
            body["audience"] = audience
        if budget is not None:
            body["budget"] = budget
        key = idempotency_key or str(uuid.uuid4())
        try:
            answer = self.transport.send(
                "POST",
                f"/processing/processes/{quoted(process, safe='')}/execution",
                json=body,
                headers={"Idempotency-Key": key, "Prefer": "respond-async"},
                repeatable=True,
            )
        except Unreachable as error:
            detail = f"{error.detail} Submit again with --idempotency-key {key}: the job then counts once."
            raise BocageError(error.exit_code, error.code, detail) from error
        found = document(answer)
        if answer.status_code == 201 or (isinstance(found, dict) and "jobID" in found):
            return Job(self.transport, found)
        # a process that answers at once: its job, if it made one, is named by a link
        monitor = answer.links.get("monitor", {}).get("url")
        if monitor:
            return Job(self.transport, self.transport.get(monitor))
        return Job(self.transport, {"status": "successful", "processID": process, "results": found})

    def job(self, job: str) -> Job:
        return Job(self.transport, {"jobID": quoted(job, safe="")}).refresh()

    def jobs(self, status: str | None = None, process: str | None = None, limit: int = 50) -> Iterator[JsonObject]:
        return jobs.listed(self.transport, status, process, limit)

    def ingest(
        self,
        images: Sequence[str | Path],
        collection: str,
        *,
        geomodels: Iterable[str | Path] = (),
        options: ingest.Options | None = None,
        reporter: ingest.Reporter | None = None,
    ) -> list[str]:
        """Upload images in sensor geometry and describe them in a collection; `collection/item` of each."""
        scenes = ingest.read_scenes([Path(x) for x in images], [Path(x) for x in geomodels], options)
        return ingest.ingest(self.transport, scenes, collection, options, reporter)

    def export(self, target: str | Path, *, format: str | None = None, **question: Any) -> JsonObject:
        """All items of a search, given as the members of its body, in a file that is whole or not there."""
        path = Path(target)
        chosen = exporting.format_of(format, path)
        return exporting.export(self.transport, question, chosen, path, ingest.Silent()).document()

    def load(
        self,
        sources: Sequence[str | Path],
        collection: str | None = None,
        *,
        upsert: bool = False,
        partial: bool = False,
    ) -> JsonObject:
        """Items from files and addresses: how many are new, updated, unchanged, and what failed."""
        options = loading.Options(collection, Manner(upsert, partial))
        return loading.load(self.transport, [str(x) for x in sources], options, ingest.Silent()).document()

    def harvest(self, source: str, **options: Any) -> JsonObject:
        """The records of another catalogue; options as those of `bocage harvest`. What became of them."""
        from bocage_client.harvest import Options, harvest

        return harvest(self.transport, source, Options(**options), ingest.Silent()).document()


def connect(url: str | None = None, key: str | None = None) -> Client:
    """By what is given, else BOCAGE_URL and BOCAGE_API_KEY, else what `bocage login` stored."""
    return Client(Transport(configuration.load(url, key)))
