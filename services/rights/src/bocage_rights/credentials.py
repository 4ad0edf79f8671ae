"""Credentials are `<id>.<secret>`: the id is looked up, of the secret only an HMAC is stored."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field

from bocage_rights.keyring import Keyring

_ABSENT = bytes(32)
_ID = re.compile(r"[A-Za-z0-9_-]{8,40}")
_NOBODY = "-"  # what no stored id can be


@dataclass(frozen=True)
class Minted:
    """A new credential. `text` is shown once and stored nowhere."""

    id: str
    text: str = field(repr=False)
    digest: bytes = field(repr=False)


def mint(keyring: Keyring, prefix: str) -> Minted:
    identifier, secret = prefix + secrets.token_hex(8), secrets.token_urlsafe(32)
    return Minted(identifier, f"{identifier}.{secret}", keyring.digest(secret))


@dataclass(frozen=True)
class Shown:
    """A credential that a caller showed, before it is known whether it is one."""

    id: str
    digest: bytes = field(repr=False)


def shown(keyring: Keyring, credential: str) -> Shown:
    """The same work for whatever was shown: an HMAC, then one look-up of `id`, which is nobody's when malformed."""
    identifier, _, secret = credential.partition(".")
    return Shown(identifier if _ID.fullmatch(identifier) else _NOBODY, keyring.digest(secret))


def matches(given: Shown, stored: bytes | None) -> bool:
    """In the same time whether the credential is known or not."""
    return hmac.compare_digest(given.digest, stored or _ABSENT) and stored is not None
