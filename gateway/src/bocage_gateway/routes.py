"""Which service answers a path. Routing and forwarding see the same bytes; a path that could mean two is refused."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from bocage_kit.problems import Problem

SERVICES = ("catalogue", "tiles", "processing", "rights")
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")


@dataclass(frozen=True)
class Route:
    """A public prefix; `body_limit` is None where the service counts for itself."""

    service: str
    limited: bool = True


ROUTES = {
    "stac": Route("catalogue"),
    "tiles": Route("tiles"),
    "processing": Route("processing"),
    "rights": Route("rights"),
    "assets": Route("rights", limited=False),
}


def prefixes_of(service: str) -> tuple[str, ...]:
    """The public paths that `service` answers."""
    return tuple(f"/{prefix}" for prefix, route in ROUTES.items() if route.service == service)


def route_of(raw_path: bytes) -> Route | None:
    """The service of a checked path; None when the gateway itself must answer."""
    return ROUTES.get(raw_path.split(b"/", 2)[1].decode("ascii"))


def check_path(raw_path: bytes) -> None:
    """Raises a 400 for a path that two programs could read in two ways: dot segments, empty segments, backslashes,
    control characters, broken escapes, and an encoded slash where the service is chosen."""
    if not raw_path.startswith(b"/"):
        raise _ambiguous("it does not start with a slash")
    if b"//" in raw_path:
        raise _ambiguous("it has an empty segment")
    if b"%" not in raw_path:
        _check_decoded(raw_path)
        return
    for after in raw_path.split(b"%")[1:]:
        if len(after) < 2 or after[0] not in _HEXADECIMAL or after[1] not in _HEXADECIMAL:
            raise _ambiguous("it has a broken percent escape")
    if any(b"%" in segment for segment in raw_path.split(b"/", 2)[1:2]):
        raise _ambiguous("its first segment is percent-encoded")
    if b"%2f" in b"/".join(raw_path.lower().split(b"/", 3)[:3]):
        raise _ambiguous("it has an encoded slash")
    decoded = unquote_to_bytes(raw_path)
    _check_decoded(decoded)
    _check_decoded(unquote_to_bytes(decoded))
    try:
        decoded.decode()
    except UnicodeDecodeError:
        raise _ambiguous("it is not UTF-8") from None


def _check_decoded(path: bytes) -> None:
    if b"\\" in path or any(byte < 0x20 or byte == 0x7F for byte in path):
        raise _ambiguous("it has a backslash or a control character")
    if b"/." in path and any(segment in (b".", b"..") for segment in path.split(b"/")):
        raise _ambiguous("it has a dot segment")


def _ambiguous(why: str) -> Problem:
    return Problem(400, "ambiguous-path", f"The path is refused because {why}; send the plain path.")
