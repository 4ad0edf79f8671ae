"""Buckets that the operator put beside the local store: where clients see them, and links that their servers honour.

`$BOCAGE_HOME/object-stores.json` lists them; the keys lie in files of the secrets folder, and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

import obstore
from bocage_kit.problems import Problem
from bocage_kit.store import BadKey, check_key
from obstore.exceptions import BaseError
from obstore.store import S3Store
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, TypeAdapter

_Address = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~-]+)*$")]

CHARGED_BYTES = "Bocage-Charged-Bytes"
"""The header by which the gateway is told of bytes that a bucket will send."""


class BucketSettings(BaseModel):
    """One entry of `object-stores.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    endpoint: _Address = Field(description="where this service reaches the server")
    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}$")] = "us-east-1"
    key_file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")] = Field(
        description="name of a file in the secrets folder"
    )
    public_base: _Address | None = Field(default=None, description="where clients reach it; absent: at the endpoint")


class _Key(BaseModel):
    model_config = ConfigDict(extra="forbid")

    access_key_id: str
    secret_access_key: SecretStr


@dataclass(frozen=True)
class Presigned:
    href: str = field(repr=False)
    size: int


@dataclass(frozen=True)
class Bucket:
    """Objects are asked for at the endpoint; links are signed for the public host, whose name is part of the seal."""

    settings: BucketSettings
    inside: S3Store
    outside: S3Store

    @property
    def public_root(self) -> str:
        return f"{self.settings.public_base or self.settings.endpoint}/{self.settings.bucket}/"

    def key_of_url(self, url: str) -> str | None:
        """The key of an object by its public address; None for any other address."""
        parts = urlsplit(url)
        plain = f"{parts.scheme}://{parts.netloc}{parts.path}"
        if parts.fragment or not plain.startswith(self.public_root):
            return None
        try:
            return check_key(unquote(plain.removeprefix(self.public_root)))
        except BadKey:
            return None

    async def size(self, key: str) -> int | None:
        """Bytes of an object; None when it is not there. Raises Problem when the store does not answer."""
        try:
            return int((await obstore.head_async(self.inside, key))["size"])
        except FileNotFoundError:
            return None
        except BaseError:
            # The error's own text holds inner addresses.
            raise Problem(
                503, "store-unavailable", "The object store does not answer; try again.", headers={"Retry-After": "5"}
            ) from None

    async def reading(self, key: str, seconds: int, method: Literal["GET", "HEAD"] = "GET") -> Presigned | None:
        """A link that the store's own server honours for so many seconds, and the bytes that whoever has it may take.

        None when there is no such object. What is read through it passes by us: the size is charged now or never.
        """
        size = await self.size(key)
        return None if size is None else Presigned(await self._link(method, key, seconds), size)

    async def writing(self, key: str, seconds: int) -> str:
        return await self._link("PUT", key, seconds)

    async def _link(self, method: Literal["GET", "HEAD", "PUT"], key: str, seconds: int) -> str:
        return str(await obstore.sign_async(self.outside, method, key, timedelta(seconds=max(1, seconds))))


ObjectStores = Mapping[str, Bucket]


def bucket_of(stores: ObjectStores, name: object) -> Bucket:
    """Raises a 409 for a store that the catalogue names and this platform does not have."""
    if (bucket := stores.get(str(name))) is None:
        raise Problem(
            409, "store-unknown", "The store of this collection is not set up on this platform; tell its operator."
        )
    return bucket


def open_object_stores(home: Path) -> dict[str, Bucket]:
    """The buckets that the operator listed, by name. Raises ValueError for what can't be meant."""
    listing = home / "object-stores.json"
    if not listing.is_file():
        return {}
    try:
        listed = TypeAdapter(list[BucketSettings]).validate_python(json.loads(listing.read_text()))
    except ValueError as error:
        raise ValueError(f"object-stores.json can't be read: {error}") from None
    if len({entry.name for entry in listed}) != len(listed):
        raise ValueError("object-stores.json names a store twice")
    return {entry.name: _opened(entry, home / "secrets") for entry in listed}


def _opened(settings: BucketSettings, secrets: Path) -> Bucket:
    try:
        key = _Key.model_validate_json((secrets / settings.key_file).read_text())
    except (OSError, ValueError):
        # What the file holds must not come out with the error.
        raise ValueError(
            f"the key of the store {settings.name} can't be read: secrets/{settings.key_file} must hold"
            ' {"access_key_id": …, "secret_access_key": …}'
        ) from None

    def at(address: str) -> S3Store:
        return S3Store(
            settings.bucket,
            endpoint=address,
            region=settings.region,
            access_key_id=key.access_key_id,
            secret_access_key=key.secret_access_key.get_secret_value(),
            virtual_hosted_style_request=False,
            client_options={"allow_http": address.startswith("http://"), "timeout": timedelta(seconds=10)},
            retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=10)},
        )

    return Bucket(settings, at(settings.endpoint), at(settings.public_base or settings.endpoint))
