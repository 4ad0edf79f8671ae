"""Credentials are `<id>.<secret>`: the id is looked up, of the secret only an HMAC is stored."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from bocage_rights.keyring import Keyring

_ABSENT = bytes(32)


@dataclass(frozen=True)
class Minted:
    """A new credential. `text` is shown once and stored nowhere."""

    id: str
    text: str = field(repr=False)
    digest: bytes = field(repr=False)


def mint(keyring: Keyring, prefix: str) -> Minted:
    identifier, secret = prefix + secrets.token_hex(8), secrets.token_urlsafe(32)
    return Minted(identifier, f"{identifier}.{secret}", keyring.digest(secret))


def split(credential: str) -> tuple[str, str]:
    identifier, _, secret = credential.partition(".")
    return identifier, secret


def matches(keyring: Keyring, secret: str, stored: bytes | None) -> bool:
    """In the same time whether the credential is known or not."""
    return hmac.compare_digest(keyring.digest(secret), stored or _ABSENT) and stored is not None
