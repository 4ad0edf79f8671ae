"""Lines of the log: whole, in order, and the same whether they pass the logging module or not."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
from bocage_kit.logs import Answered, JsonFormatter, Requests, Together
from hypothesis import given
from hypothesis import strategies as st

_TEXT = st.text(max_size=40)


@given(
    answered=st.builds(
        Answered, st.floats(0, 4e9), _TEXT, st.sampled_from(("GET", "PUT")), _TEXT, st.integers(0, 599),
        st.floats(0, 1e6), _TEXT,
    )
)  # fmt: skip
def test_a_request_is_told_as_a_record_of_it_would_be(answered: Answered) -> None:
    formatter = JsonFormatter("test")
    record = logging.makeLogRecord(
        {"name": "bocage.request", "levelno": logging.INFO, "levelname": "INFO", "msg": "request"}
        | dict(zip(Answered._fields[1:], answered[1:], strict=True))
    )
    record.created = answered.moment
    assert formatter.answered(answered) == formatter.format(record)


@pytest.fixture
def told() -> Iterator[tuple[io.StringIO, Together, Requests]]:
    stream = io.StringIO()
    handler = Together(stream, JsonFormatter("test"))
    requests = Requests()
    requests.attach(handler)
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield stream, handler, requests
    root.removeHandler(handler)
    root.setLevel(before)


def answer(path: str) -> Answered:
    return Answered(1e9, "0123456789", "GET", path, 200, 0.5, "somebody")


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_keep_their_order_and_a_warning_waits_for_nothing(told: tuple[io.StringIO, Together, Requests]) -> None:
    stream, _, requests = told

    async def work() -> None:
        requests.answered(answer("/one"))
        logging.getLogger("x").info("between", extra={"path": "/two"})
        requests.answered(answer("/three"))
        assert lines(stream) == []
        logging.getLogger("x").warning("now", extra={"path": "/four"})
        assert [line["path"] for line in lines(stream)] == ["/one", "/two", "/three", "/four"]
        requests.answered(answer("/five"))
        await asyncio.sleep(0.5)
        assert lines(stream)[-1]["path"] == "/five"

    asyncio.run(work())


def test_without_a_loop_a_line_is_written_at_once(told: tuple[io.StringIO, Together, Requests]) -> None:
    stream, _, requests = told
    requests.answered(answer("/rights/keys/ba0123456789abcdef.abcdefghijklmnopqrstuvwxyz"))
    (line,) = lines(stream)
    assert line["path"] == "/rights/keys/ba0123456789abcdef.…", "a key in a path loses its secret half"
    assert (line["logger"], line["message"], line["level"], line["service"]) == (
        "bocage.request", "request", "info", "test",
    )  # fmt: skip


def test_the_level_holds_for_requests_too(told: tuple[io.StringIO, Together, Requests]) -> None:
    stream, _, requests = told
    logging.getLogger().setLevel(logging.WARNING)
    requests.answered(answer("/"))
    assert stream.getvalue() == ""


def test_where_no_handler_holds_them_the_logger_tells(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Requests().answered(answer("/path"))
    (record,) = caplog.records
    assert (record.name, record.getMessage(), vars(record)["path"]) == ("bocage.request", "request", "/path")
