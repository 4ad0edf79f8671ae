"""Identity tokens: what was signed comes back, and nothing else is believed."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from bocage_kit.identity import (
    ISSUER,
    LIFETIME_SECONDS,
    Identity,
    InvalidIdentity,
    Level,
    TileScope,
    Verifier,
    new_key,
    sign,
)
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

NOW = 1_800_000_000.0
KEY = new_key()

identities = st.builds(
    Identity,
    subject=st.text(min_size=1, max_size=20),
    organisation=st.none() | st.text(max_size=10),
    category=st.none() | st.sampled_from(["public", "research", "private"]),
    purpose=st.sampled_from(["commercial", "research", "undeclared"]),
    scopes=st.frozensets(st.sampled_from(["admin", "jobs:submit", "service:*"])),
    licences=st.dictionaries(st.sampled_from(["CC-BY-4.0", "LicenseRef-x"]), st.sampled_from(list(Level))),
    hidden=st.frozensets(st.text(max_size=5), max_size=3),
    public_base=st.sampled_from(["http://127.0.0.1:8000", "https://eo.example/x"]),
    credential=st.none() | st.text(max_size=8),
    tiles=st.none() | st.builds(TileScope, collections=st.frozensets(st.text(max_size=5), max_size=3)),
)


def publish(path: Path, *keys: OKPKey) -> None:
    path.write_text(json.dumps({"keys": [key.as_dict(private=False) for key in keys]}))


@pytest.fixture(scope="module")
def public_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("identity") / "public-keys.json"
    publish(path, KEY)
    return path


def forge(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    return ".".join([part(json.dumps(header).encode()), part(json.dumps(claims).encode()), part(signature)])


def claims(**more: Any) -> dict[str, Any]:
    return {"iss": ISSUER, "sub": "eve", "iat": int(NOW), "exp": int(NOW) + 60, "scopes": ["admin"], **more}


def refused(public_keys: Path, token: str, now: float = NOW) -> None:
    with pytest.raises(InvalidIdentity):
        Verifier(public_keys).verify(token, now)


@given(identity=identities)
def test_what_was_signed_comes_back(public_keys: Path, identity: Identity) -> None:
    token = sign(identity, KEY, NOW)
    seen = Verifier(public_keys).verify(token, NOW)
    assert seen == identity.model_copy(update={"expires": int(NOW) + LIFETIME_SECONDS, "token": token})


def test_tokens_live_for_a_minute(public_keys: Path) -> None:
    verifier = Verifier(public_keys)
    token = sign(Identity(subject="a"), KEY, NOW)
    assert verifier.verify(token, NOW + LIFETIME_SECONDS - 1).subject == "a"
    with pytest.raises(InvalidIdentity):
        verifier.verify(token, NOW + LIFETIME_SECONDS)  # remembered, and yet expired
    refused(public_keys, token, NOW + LIFETIME_SECONDS)


def test_tokens_that_would_live_longer_are_refused(public_keys: Path) -> None:
    header = {"alg": "Ed25519", "kid": KEY.kid}
    long = jwt.encode(header, claims(exp=int(NOW) + 3600), KEY, algorithms=["Ed25519"])
    refused(public_keys, long)


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "elsewhere"},
        {"iss": None},
        {"exp": None},
        {"exp": "soon"},
        {"sub": None},
        {"licences": {"x": 99}},
        {"category": "royal"},
    ],
)
def test_wrong_claims_are_refused(public_keys: Path, wrong: dict[str, Any]) -> None:
    held = {name: value for name, value in claims(**wrong).items() if value is not None}
    refused(public_keys, jwt.encode({"alg": "Ed25519", "kid": KEY.kid}, held, KEY, algorithms=["Ed25519"]))


@pytest.mark.parametrize("alg", ["none", "None", "", "NONE"])
def test_unsigned_tokens_are_refused(public_keys: Path, alg: str) -> None:
    refused(public_keys, forge({"alg": alg, "kid": KEY.kid}, claims()))


def test_the_public_key_is_no_shared_secret(public_keys: Path) -> None:
    for secret in (public_keys.read_bytes(), base64.urlsafe_b64decode(str(KEY.as_dict(private=False)["x"]) + "==")):
        shared = OctKey.import_key(secret)
        refused(public_keys, jwt.encode({"alg": "HS256", "kid": KEY.kid}, claims(), shared, algorithms=["HS256"]))


def test_foreign_keys_are_refused(public_keys: Path) -> None:
    foreign = new_key()
    refused(public_keys, sign(Identity(subject="eve"), foreign, NOW))
    # even under the kid of ours, or when the token brings its own key along
    header = {"alg": "Ed25519", "kid": KEY.kid}
    refused(public_keys, jwt.encode(header, claims(), foreign, algorithms=["Ed25519"]))
    brought = {"alg": "Ed25519", "jwk": foreign.as_dict(private=False), "kid": foreign.kid}
    refused(public_keys, jwt.encode(brought, claims(), foreign, algorithms=["Ed25519"]))
    refused(public_keys, forge({"alg": "Ed25519", "kid": "../../etc/passwd"}, claims(), b"x" * 64))


@given(position=st.integers(0, 2), offset=st.integers(0, 40))
def test_tampered_tokens_are_refused(public_keys: Path, position: int, offset: int) -> None:
    parts = sign(Identity(subject="a"), KEY, NOW).split(".")
    part = parts[position]
    place = offset % (len(part) - 1)  # the last character carries bits that nothing decodes
    parts[position] = part[:place] + ("A" if part[place] != "A" else "B") + part[place + 1 :]
    refused(public_keys, ".".join(parts))


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c", "a.b.c.d.e", "....", "é.é.é", "\x00", "a" * 100_000])
def test_no_tokens_are_refused(public_keys: Path, token: str) -> None:
    refused(public_keys, token)


def test_without_a_key_file_nothing_is_believed(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.json", sign(Identity(subject="a"), KEY, NOW))


def test_a_broken_key_file_believes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for text in ("", "{", "{}", '{"keys": []}', '{"keys": [{"kty": "x"}]}', "[]", "null"):
        path.write_text(text)
        refused(path, sign(Identity(subject="a"), KEY, NOW))


def test_a_new_key_is_found_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    publish(path, KEY)
    verifier = Verifier(path)
    clock = time.monotonic()
    monkeypatch.setattr("bocage_kit.identity.time.monotonic", lambda: clock)
    verifier.verify(sign(Identity(subject="a"), KEY, NOW), NOW)
    second = new_key()
    publish(path, KEY, second)
    token = sign(Identity(subject="b"), second, NOW)
    with pytest.raises(InvalidIdentity):  # the file was read less than a second ago
        verifier.verify(token, NOW)
    clock += 1.1
    assert verifier.verify(token, NOW).subject == "b"


def test_memory_is_bounded(public_keys: Path) -> None:
    verifier = Verifier(public_keys, remembered=3)
    for number in range(10):
        assert verifier.verify(sign(Identity(subject=str(number)), KEY, NOW), NOW).subject == str(number)
    assert len(verifier._known) <= 3


@pytest.mark.parametrize(
    ("scopes", "asked", "held"),
    [
        ({"admin"}, "jobs:submit", True),
        ({"admin"}, "service:read", False),
        ({"service:*"}, "service:read", True),
        ({"service:*"}, "jobs:submit", False),
        ({"jobs:submit"}, "jobs:submit", True),
        ({"jobs:submit"}, "catalogue:write", False),
        (set(), "admin", False),
    ],
)
def test_what_scopes_cover(scopes: set[str], asked: str, held: bool) -> None:
    assert Identity(subject="a", scopes=frozenset(scopes)).has(asked) is held


def test_the_token_is_in_no_repr(public_keys: Path) -> None:
    token = sign(Identity(subject="a"), KEY, NOW)
    seen = Verifier(public_keys).verify(token, NOW)
    assert token not in repr(seen)
    assert "token" not in seen.model_dump()


def test_tile_scopes_cover_what_they_name() -> None:
    scope = TileScope(collections=frozenset({"c"}), items=frozenset({"d/1"}))
    assert scope.covers("c", "anything")
    assert scope.covers("d", "1")
    assert not scope.covers("d", "2")
    assert not scope.covers("e", "c")
