"""Licences of other catalogues as SPDX ids: what was meant, and what contradicts what is known."""

from __future__ import annotations

import re
from typing import NamedTuple

OTHER = "other"
# What a record means that says none, or one without an id: a licence that nobody holds until somebody decides.
UNDECLARED = "LicenseRef-undeclared"
LICENCES = "bocage:licences"
ETALAB = "etalab-2.0"
_LISTED = (
    "CC0-1.0", "PDDL-1.0", "ODC-By-1.0", "ODbL-1.0", "OGL-UK-3.0", "etalab-2.0", "MIT", "Apache-2.0", "BSD-3-Clause",
    "GPL-2.0-only", "GPL-3.0-only", "GPL-3.0-or-later", "AGPL-3.0-only", "LGPL-3.0-only", "MPL-2.0",
)  # fmt: skip
_SOFTWARE = frozenset({*_LISTED[_LISTED.index("MIT") :], "BSD-2-Clause", "ISC"})
_NAMES = {
    "cc0": "CC0-1.0", "cczero": "CC0-1.0", "apache2": "Apache-2.0", "odbl": "ODbL-1.0",
    **dict.fromkeys(("etalab", "etalab2", "ouverte", "ouverte2", "ouverte20", "lo2", "lo20"), ETALAB),
    **dict.fromkeys(("ouverteetalab", "ouverte20etalab", "etalabopen20", "openetalab", "openetalab20"), ETALAB),
}  # fmt: skip
_WORDS = {
    "attribution": "by", "non-commercial": "nc", "noncommercial": "nc", "share-alike": "sa", "sharealike": "sa",
    "no-derivatives": "nd", "noderivatives": "nd", "noderivs": "nd", "creative-commons": "cc", "creativecommons": "cc",
}  # fmt: skip
_NOISE = re.compile(r"\b(?:licen[cs]e|international|version|v(?=\d))\b|\bv(?=\d)")
_COMMONS = re.compile(r"cc-((?:(?:by|nc|sa|nd)-?)+)-?(\d(?:\.\d)?)?\Z")
_CURRENT = "4.0"
# An id of the list has words, dashes and a version; whether it is listed is not known here.
_LIKE_AN_ID = re.compile(r"[A-Za-z][A-Za-z0-9.+]*(?:-[A-Za-z0-9.+]+)*-\d[\d.]*(?:-[A-Za-z-]+)?\Z")
_EXPRESSION = re.compile(r" (?:AND|OR|WITH) ")
_NO_ID = frozenset({"", "other", "proprietary", "various", "unknown", "none"})


class Licence(NamedTuple):
    """`id`: for the member `license`. `flag`: why somebody should look at it, if somebody should."""

    id: str
    flag: str | None = None


def licence(spelling: str) -> Licence:
    """What `spelling` means. Reading the result again gives the same id."""
    said = spelling.strip()
    if said.casefold() in _NO_ID:
        return Licence(OTHER)
    if said.startswith("LicenseRef-"):
        return Licence(said)
    found = _listed(said)
    if found is not None:
        return Licence(found)
    if _LIKE_AN_ID.match(said) or all(_listed(x.strip("() ")) for x in _EXPRESSION.split(said)):
        return Licence(said)
    return Licence(OTHER, f"{said!r} is no SPDX id that is known: the licence became 'other'")


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())


def _listed(spelling: str) -> str | None:
    plain = re.sub(r"[\s_/,()-]+", "-", _NOISE.sub(" ", spelling.casefold()).strip()).strip("-")
    for word, short in _WORDS.items():
        plain = plain.replace(word, short)
    if (found := _COMMONS.match(plain)) is not None:
        elements = set(re.findall("by|nc|sa|nd", found[1]))
        if "by" not in elements or {"sa", "nd"} <= elements:
            return None
        version = found[2] or _CURRENT
        ordered = [x.upper() for x in ("by", "nc", "nd", "sa") if x in elements]
        return "-".join(["CC", *ordered, version if "." in version else f"{version}.0"])
    squeezed = _squeezed(plain)
    return next((x for x in _LISTED if _squeezed(x) == squeezed), _NAMES.get(squeezed))


def contradiction(name: str, of_theia: bool) -> str | None:
    """Why a licence of data is doubtful; it is told, and never changed for that."""
    if name not in _SOFTWARE:
        return None
    if of_theia:
        return f"it says {name}, a licence of software, while THEIA's products are under {ETALAB}"
    return f"it says {name}, which is a licence of software, not of data"
