"""Secret halves leave every text; nothing else does."""

from __future__ import annotations

import base64
import json
import logging

from bocage_kit.logs import JsonFormatter
from bocage_kit.problems import not_found
from bocage_kit.redaction import redacted
from hypothesis import given
from hypothesis import strategies as st


@given(st.sampled_from(["bk", "bt"]), st.binary(min_size=8, max_size=8), st.binary(min_size=32, max_size=32))
def test_no_secret_half_is_left(prefix: str, identifier: bytes, secret: bytes) -> None:
    half = base64.urlsafe_b64encode(secret).decode().rstrip("=")
    name = prefix + identifier.hex()
    for text in (f"{name}.{half}", f"/rights/keys/{name}.{half}", f'"{name}.{half}", twice {name}.{half}'):
        assert half not in redacted(text)
        assert name in redacted(text)


def test_other_texts_stay() -> None:
    for text in ("bk43552dcba5e8364e", "/assets/c/bk43552dcba5e8364e.tif", "", "a.b"):
        assert redacted(text) == text


def test_neither_logs_nor_problems_hold_one() -> None:
    key = f"bk43552dcba5e8364e.{'x' * 43}"
    record = logging.makeLogRecord({"msg": "request", "path": f"/rights/keys/{key}", "levelname": "INFO"})
    line = JsonFormatter("rights").format(record)
    assert "x" * 43 not in line
    assert json.loads(line)["path"].startswith("/rights/keys/bk43552dcba5e8364e")
    assert "x" * 43 not in json.dumps(not_found(f"The key {key}").document())
