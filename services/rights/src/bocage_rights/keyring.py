"""The secrets of this service: the pepper of API keys, and the keys that sign identities and links.

Nobody else reads them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bocage_kit.identity import new_key
from joserfc.jwk import KeySet, OKPKey


@dataclass(frozen=True)
class Keyring:
    pepper: bytes = field(repr=False)
    signing: OKPKey
    links: bytes = field(repr=False)

    def digest(self, secret: str) -> bytes:
        """What is stored of the secret half of a credential."""
        return hmac.new(self.pepper, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def open_keyring(secrets_folder: Path, public_keys: Path) -> Keyring:
    """Read the secrets, making those that are absent, and publish the public keys."""
    pepper = _read_or_make(secrets_folder / "pepper", lambda: secrets.token_hex(32))
    links = _read_or_make(secrets_folder / "link-key", lambda: secrets.token_hex(32))
    document = _read_or_make(secrets_folder / "signing-key.json", _new_key_set)
    keys = [key for key in KeySet.import_key_set(json.loads(document)).keys if isinstance(key, OKPKey)]
    if not keys:
        raise ValueError("signing-key.json holds no Ed25519 key: restore it, or move it away to have a new one made")
    _replace(public_keys, json.dumps({"keys": [key.as_dict(private=False) for key in keys]}), 0o644)
    return Keyring(bytes.fromhex(pepper.strip()), keys[0], bytes.fromhex(links.strip()))


def _new_key_set() -> str:
    return json.dumps({"keys": [new_key().as_dict(private=True)]})


def _read_or_make(path: Path, make: Callable[[], str]) -> str:
    """The content of `path`. Of several processes that find it absent, one makes it and all read the same."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = _write(path, make(), 0o600)
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            pass  # another process was first; its secret counts
        finally:
            fresh.unlink()
    return path.read_text()


def _replace(path: Path, content: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, content, mode).replace(path)


def write_secret(path: Path, content: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    _replace(path, content, 0o600)


def _write(beside: Path, content: str, mode: int) -> Path:
    fresh = beside.with_name(f".{beside.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    return fresh
