"""Signed links: a stable asset link that says, under an HMAC, what it reaches, until when, and for whom it stands.

A link holds no rights of its own. Whoever serves it looks up the credential that it stands for and decides anew, so
that links end with the key, the account or the acceptance behind them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from bocage_kit.identity import LinkScope
from pydantic import ValidationError

from bocage_rights.registry import Entry

PARAMETER = "link"
RESTRICTED_SECONDS = 300
OPEN_SECONDS = 8 * 3600
JOB_SECONDS = 24 * 3600
_VERSION = "1"
# What is sealed of a scope, by names that keep links short.
_SHORT = {"collection": "c", "item": "i", "asset": "a", "upload": "u", "signed": "t", "expires": "e", "job": "j"}


class InvalidLink(Exception):
    """Not a link that was signed here, or one whose time is over."""


@dataclass(frozen=True)
class Link:
    """What a link says; `credential` is the id of the key that it stands for."""

    scope: LinkScope
    credential: str


def seal(link: Link, key: bytes) -> str:
    """The link's text, for an address."""
    stated = {_SHORT[name]: value for name, value in link.scope.model_dump(exclude_defaults=True).items()}
    body = json.dumps(stated | {"k": link.credential}, separators=(",", ":"), sort_keys=True).encode()
    text = f"{_VERSION}.{_encoded(body)}"
    return f"{text}.{_encoded(_mac(text, key))}"


def unseal(sealed: str, key: bytes, now: float) -> Link:
    """Raises InvalidLink. The seal is checked before anything is read of what it closes."""
    text, _, mac = sealed.rpartition(".")
    if not hmac.compare_digest(_encoded(_mac(text, key)).encode(), mac.encode("utf-8", "surrogatepass")):
        raise InvalidLink
    version, _, body = text.partition(".")
    try:
        stated = json.loads(_decoded(body))
        credential = str(stated["k"])
        scope = LinkScope.model_validate({name: stated[short] for name, short in _SHORT.items() if short in stated})
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise InvalidLink from error
    if version != _VERSION or scope.expires <= now:
        raise InvalidLink
    return Link(scope, credential)


def query_of(link: Link, key: bytes) -> str:
    """What follows the `?` of a signed link.

    Date and life are said once more in the words of S3, which clients read to see whether a link is still good.
    """
    scope = link.scope
    return urlencode(
        {
            "X-Amz-Date": f"{datetime.fromtimestamp(scope.signed, UTC):%Y%m%dT%H%M%SZ}",
            "X-Amz-Expires": scope.expires - scope.signed,
            PARAMETER: seal(link, key),
        }
    )


def restricted(known: Mapping[str, Entry], licences: Iterable[str]) -> bool:
    """Whether any of these licences must be accepted, is of the restricted kind, or is not known at all."""
    found = [known.get(licence) for licence in licences]
    return any(
        entry is None
        or entry.kind == "restricted"
        or entry.terms.needs != "none"
        or entry.terms.embargo_until is not None
        for entry in found
    )


def lifetime(is_restricted: bool, asked: int | None, job: bool = False) -> int:
    """Seconds that a new link lives: what was asked for may only shorten it."""
    most = JOB_SECONDS if job else RESTRICTED_SECONDS if is_restricted else OPEN_SECONDS
    return most if asked is None else max(1, min(asked, most))


def too_old(scope: LinkScope, is_restricted: bool, now: float) -> bool:
    """Whether a link may not be served any more: for what it reaches, and not only by its own date.

    A link to a whole collection may reach assets that are more restricted than the collection is.
    """
    limit = JOB_SECONDS if scope.job is not None else RESTRICTED_SECONDS if is_restricted else OPEN_SECONDS
    return now >= min(scope.expires, scope.signed + limit)


def _mac(text: str, key: bytes) -> bytes:
    return hmac.new(key, b"bocage signed link\0" + text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
