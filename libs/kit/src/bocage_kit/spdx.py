"""Licence ids as SPDX writes them, from the many ways in which catalogues do."""

from __future__ import annotations

import re
from functools import lru_cache

_LISTED = (
    "CC0-1.0", "PDDL-1.0", "ODC-By-1.0", "ODbL-1.0", "OGL-UK-3.0", "etalab-2.0", "MIT", "Apache-2.0", "BSD-3-Clause",
    "GPL-2.0-only", "GPL-3.0-only", "GPL-3.0-or-later", "AGPL-3.0-only", "LGPL-3.0-only", "MPL-2.0",
)  # fmt: skip
_OTHER_NAMES = {
    "cc0": "CC0-1.0", "cczero": "CC0-1.0", "etalab": "etalab-2.0", "etalab2": "etalab-2.0", "lo20": "etalab-2.0",
    "ouverte20": "etalab-2.0", "ouverteetalab": "etalab-2.0", "ouverte20etalab": "etalab-2.0", "ouvert20": "etalab-2.0",
    "etalabopen20": "etalab-2.0", "openetalab": "etalab-2.0", "openetalab20": "etalab-2.0", "ouverte": "etalab-2.0",
    "ouverteopen": "etalab-2.0",
    "odbl": "ODbL-1.0", "apache2": "Apache-2.0",
}  # fmt: skip
_CREATIVE_COMMONS = re.compile(r"^(?:cc|creative-?commons)-((?:(?:by|nc|sa|nd)-?)+)-?(\d(?:\.\d)?)?(-[a-z-]+)?$")
_NAMES = {
    "attribution": "by", "noncommercial": "nc", "non-commercial": "nc", "sharealike": "sa", "share-alike": "sa",
    "noderivatives": "nd", "noderivs": "nd",
}  # fmt: skip
_NOISE = re.compile(r"\b(?:licen[cs]e|international|version|v(?=\d))\b|\bv(?=\d)")
_GAPS = re.compile(r"[\s_/,()-]+")
_CURRENT = "4.0"


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())


_BY_SQUEEZED = {_squeezed(name): name for name in _LISTED} | _OTHER_NAMES


@lru_cache(1024)
def normalised(spelling: str) -> str:
    """The SPDX id that `spelling` means; `LicenseRef-…` and what is not recognised stay as they are.

    Creative Commons without a version means the current one. Normalising again changes nothing.
    """
    stripped = spelling.strip()
    if stripped.startswith("LicenseRef-"):
        return stripped
    plain = _GAPS.sub("-", _NOISE.sub(" ", stripped.casefold()).strip()).strip("-")
    for name, short in _NAMES.items():
        plain = plain.replace(name, short)
    if found := _CREATIVE_COMMONS.match(plain):
        elements = set(re.findall("by|nc|sa|nd", found[1]))
        if "by" in elements and not {"sa", "nd"} <= elements and found[3] is None:
            version = found[2] or _CURRENT
            ordered = [element.upper() for element in ("by", "nc", "nd", "sa") if element in elements]
            return "-".join(["CC", *ordered, version if "." in version else f"{version}.0"])
    return _BY_SQUEEZED.get(_squeezed(plain), stripped)
