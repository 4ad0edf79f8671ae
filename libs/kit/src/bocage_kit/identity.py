"""Who is asking: the short-lived token that `rights` signs and every service verifies for itself."""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

HEADER = "Bocage-Identity"
ISSUER = "bocage-rights"
LIFETIME_SECONDS = 60
_ALGORITHMS = ["Ed25519"]

Category = Literal["public", "research", "private"]
Purpose = Literal["commercial", "research", "public_service", "education", "undeclared"]


class Level(enum.IntEnum):
    """What is done with an object, from the least to the most; a grant covers its level and those below."""

    METADATA = 0
    PREVIEW = 1
    TILE = 2
    ASSET = 3
    JOB = 4


class TileScope(BaseModel):
    """What a tile token is good for; anything else is refused."""

    model_config = ConfigDict(frozen=True)

    collections: frozenset[str] = frozenset()
    items: frozenset[str] = Field(default=frozenset(), description="as `collection/item`")
    search: str | None = None

    def covers(self, collection: str, item: str) -> bool:
        return collection in self.collections or f"{collection}/{item}" in self.items


class LinkScope(BaseModel):
    """What a signed link is good for: one asset, or every asset of a collection; reading, or one upload."""

    model_config = ConfigDict(frozen=True)

    collection: str
    item: str | None = None
    asset: str | None = None
    upload: bool = False
    job: str | None = Field(default=None, description="set for links that live as long as a job")
    signed: int
    expires: int

    def covers(self, collection: str, item: str, asset: str) -> bool:
        return self.collection == collection and self.item in (None, item) and self.asset in (None, asset)


class Identity(BaseModel):
    """The verified caller. `licences` holds what the caller may use for the declared purpose, up to which level."""

    model_config = ConfigDict(frozen=True)

    subject: str = Field(description="`anonymous`, a person's id, or `service:<name>`")
    organisation: str | None = None
    category: Category | None = None
    purpose: Purpose = "undeclared"
    scopes: frozenset[str] = frozenset()
    licences: Mapping[str, Level] = Field(default_factory=dict)
    hidden: frozenset[str] = Field(default=frozenset(), description="hidden collections granted")
    public_base: str = "http://127.0.0.1:8000"
    credential: str | None = Field(default=None, description="id of the key, token or login behind this identity")
    project: str | None = Field(default=None, description="what the key is for, as its maker named it")
    tiles: TileScope | None = Field(default=None, description="set when a tile token is behind this identity")
    link: LinkScope | None = Field(default=None, description="set when a signed link is behind this identity")
    expires: int = 0
    token: str = Field(default="", repr=False, exclude=True)

    @property
    def anonymous(self) -> bool:
        return self.subject == "anonymous"

    @property
    def service(self) -> bool:
        return self.subject.startswith("service:")

    def has(self, scope: str) -> bool:
        """`admin` covers every scope of people; `service:*` covers every scope of services."""
        if scope in self.scopes:
            return True
        if scope.startswith("service:"):
            return "service:*" in self.scopes
        return "admin" in self.scopes


class InvalidIdentity(Exception):
    """The identity token is missing, malformed, expired or not ours."""


def new_key() -> OKPKey:
    """A private Ed25519 key with its thumbprint as `kid`."""
    key = OKPKey.generate_key("Ed25519", private=True)
    key.ensure_kid()
    return key


def sign(identity: Identity, key: OKPKey, now: float | None = None, ends: int | None = None) -> str:
    """The token of `identity`, valid for at most a minute, and not beyond `ends`."""
    issued = int(time.time() if now is None else now)
    longest = issued + LIFETIME_SECONDS
    claims = identity.model_dump(mode="json", exclude={"token", "expires", "subject"}, exclude_defaults=True)
    claims |= {
        "iss": ISSUER,
        "sub": identity.subject,
        "iat": issued,
        "exp": longest if ends is None else min(ends, longest),
    }
    return jwt.encode({"alg": "Ed25519", "kid": key.kid}, claims, key, algorithms=_ALGORITHMS)


class Verifier:
    """Verifies tokens against the public keys in a file, read again when a key id is unknown."""

    def __init__(self, public_keys: Path, remembered: int = 4096) -> None:
        self._path, self._remembered = public_keys, remembered
        self._keys: KeySet | None = None
        self._read_at = 0.0
        self._known: dict[str, Identity] = {}

    def _load(self) -> KeySet:
        self._read_at = time.monotonic()
        try:
            self._keys = KeySet.import_key_set(json.loads(self._path.read_text()))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("the key file holds no key set") from error
        return self._keys

    def verify(self, token: str, now: float | None = None) -> Identity:
        """Raises InvalidIdentity."""
        clock = time.time() if now is None else now
        if (known := self._known.get(token)) is not None:
            if known.expires > clock:
                return known
            del self._known[token]
        claims = self._claims(token)
        if claims.get("iss") != ISSUER or not isinstance(claims.get("exp"), int) or claims["exp"] <= clock:
            raise InvalidIdentity
        if claims["exp"] - clock > LIFETIME_SECONDS + 5:
            raise InvalidIdentity
        fields = {name: value for name, value in claims.items() if name in Identity.model_fields}
        try:
            identity = Identity.model_validate(
                fields | {"subject": claims["sub"], "expires": claims["exp"], "token": token}
            )
        except (ValidationError, KeyError) as error:
            raise InvalidIdentity from error
        if len(self._known) >= self._remembered:
            self._known.clear()
        self._known[token] = identity
        return identity

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            return dict(jwt.decode(token, self._keys or self._load(), algorithms=_ALGORITHMS).claims)
        except (JoseError, ValueError, OSError) as error:
            # Another key may have been added since; look again, at most once a second.
            if time.monotonic() - self._read_at < 1:
                raise InvalidIdentity from error
        try:
            return dict(jwt.decode(token, self._load(), algorithms=_ALGORITHMS).claims)
        except (JoseError, ValueError, OSError) as error:
            raise InvalidIdentity from error
