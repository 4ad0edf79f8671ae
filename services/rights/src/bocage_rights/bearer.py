"""What makes a token of an OpenID Connect provider good: pure functions over it, the provider's keys and a time."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

LONGEST_TOKEN = 8192
LEEWAY_SECONDS = 60
SMALLEST_RSA_BITS = 2048
LARGEST_KEY_SET = 100
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_CURVES = {"ES256": "P-256", "ES384": "P-384", "Ed25519": "Ed25519"}
_ALGORITHMS: Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {
    "RS256": RSAKey, "RS384": RSAKey, "RS512": RSAKey, "PS256": RSAKey,
    "ES256": ECKey, "ES384": ECKey, "Ed25519": OKPKey,
}  # fmt: skip
"""Signatures that only the provider can make: none of these is computed with a key that is public."""

PublicKey = RSAKey | ECKey | OKPKey


class InvalidToken(Exception):
    """The token is not one to be believed; the text says why, without a word out of the token."""


@dataclass(frozen=True)
class Unverified:
    """What a token says before anybody has looked at its signature: enough to know whose keys to fetch."""

    text: str
    algorithm: str
    kid: str | None
    issuer: str


@dataclass(frozen=True)
class Claims:
    """What a verified token says of its bearer."""

    issuer: str
    subject: str
    expires: float
    scopes: frozenset[str]
    email: str | None = None
    """Only when the provider says that it has verified it."""
    name: str | None = None


def read(token: str) -> Unverified:
    """Raises InvalidToken. Where keys are is never the token's to say: `jku`, `x5u`, `jwk`, `x5c` are not read."""
    if len(token) > LONGEST_TOKEN or token.count(".") != 2:
        raise InvalidToken("it is no signed JSON Web Token, or too long")
    head, body, _ = token.split(".")
    header, claims = _object(head), _object(body)
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
        raise InvalidToken(f"its algorithm is none of {', '.join(sorted(_ALGORITHMS))}")
    if "crit" in header or "b64" in header:
        raise InvalidToken("its header asks for what is not understood here")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise InvalidToken("it is a token for something else")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= 256):
        raise InvalidToken("its key id is none")
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise InvalidToken("it names no issuer")
    return Unverified(token, algorithm, kid, issuer)


def public_keys(document: Any) -> list[PublicKey]:
    """The keys for signatures in a provider's key set; what can be none of these is left out. Raises ValueError."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > LARGEST_KEY_SET:
        raise ValueError("no key set")
    found: list[PublicKey] = []
    for entry in listed:
        if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        if entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid", ""), str):
            continue
        public = {name: entry[name] for name in ("kty", "kid", "alg", "n", "e", "crv", "x", "y") if name in entry}
        try:
            key = JWKRegistry.import_key(public)
            if isinstance(key, RSAKey) and key.raw_value.key_size < SMALLEST_RSA_BITS:
                continue
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, (RSAKey, ECKey, OKPKey)):
            found.append(key)
    return found


def key_for(keys: Sequence[PublicKey], token: Unverified) -> PublicKey | None:
    """The key that the token names; without a name the only one that fits."""
    fitting = [key for key in keys if _fits(key, token.algorithm)]
    if token.kid is not None:
        return next((key for key in fitting if key.kid == token.kid), None)
    return fitting[0] if len(fitting) == 1 else None


def _fits(key: PublicKey, algorithm: str) -> bool:
    stated: Mapping[str, Any] = key.as_dict(private=False)
    return (
        isinstance(key, _ALGORITHMS[algorithm])
        and stated.get("alg", algorithm) == algorithm
        and (algorithm not in _CURVES or stated.get("crv") == _CURVES[algorithm])
    )


def verify(token: Unverified, key: PublicKey, audience: str, now: float) -> Claims:
    """Raises InvalidToken."""
    registry = JWSRegistry(algorithms=[token.algorithm], strict_check_header=False)
    try:
        signed = jws.deserialize_compact(token.text, key, algorithms=[token.algorithm], registry=registry)
    except (JoseError, ValueError, TypeError) as error:
        raise InvalidToken("its signature is not the provider's") from error
    claims = _json_object(signed.payload)
    if claims.get("iss") != token.issuer:
        raise InvalidToken("its issuer is another one")
    if audience not in _listed(claims.get("aud")):
        raise InvalidToken("it was made for another audience")
    expires = _instant(claims, "exp")
    if expires is None or not expires > now - LEEWAY_SECONDS:
        raise InvalidToken("it has expired")
    begins = _instant(claims, "nbf")
    if begins is not None and not begins <= now + LEEWAY_SECONDS:
        raise InvalidToken("it is not valid yet")
    if "cnf" in claims:
        raise InvalidToken("it is bound to a key of its holder, and a bearer shows none")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or "\0" in subject:
        raise InvalidToken("it names no subject")
    return Claims(
        token.issuer,
        subject,
        expires,
        _scopes(claims.get("scope")),
        verified_email(claims),
        _name(claims.get("name")),
    )


def verified_email(claims: Mapping[str, Any]) -> str | None:
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str) or len(email) > 200:
        return None
    local, _, domain = email.rpartition("@")
    if not local or not domain or "@" in local or any(not c.isprintable() or c.isspace() for c in email):
        return None
    return f"{local}@{domain.lower()}"


def _name(value: Any) -> str | None:
    name = value.strip() if isinstance(value, str) else ""
    return name if 0 < len(name) <= 200 and name.isprintable() else None


def _scopes(value: Any) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(_listed(value))


def _listed(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [x for x in value if isinstance(x, str)] if isinstance(value, list) else []


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    """Absent: None. Raises InvalidToken for what is no instant."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
        raise InvalidToken(f"its {name} is no instant")
    return float(value)


def _object(part: str) -> dict[str, Any]:
    try:
        return _json_object(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidToken("it is no signed JSON Web Token, or too long") from error


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidToken("it holds no JSON object") from error
    if not isinstance(document, dict):
        raise InvalidToken("it holds no JSON object")
    return document


def _refuse_constant(name: str) -> NoReturn:
    # NaN is neither before nor after anything: it must not be taken for a time.
    raise ValueError(name)
