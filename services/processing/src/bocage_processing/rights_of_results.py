"""Which licences a result is under: pure, decided at submission and frozen in the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

Kept = Literal["pixels", "elevation", "index", "statistic", "none"]

OPEN_LICENCES = frozenset({"CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "PDDL-1.0", "ODC-By-1.0", "etalab-2.0"})
"""Licences that ask for attribution at most, so that what is derived may carry other terms."""
CONFIRMED_DERIVATION: frozenset[str] = frozenset()
"""Restricted licences whose holder has confirmed that elevation and the like derived from them are free of them."""


def licences_of_outputs(
    outputs: Mapping[str, Kept], inputs: Sequence[str], process_licence: str | None
) -> dict[str, tuple[str, ...]]:
    """The licence ids of each output; all of them hold together, so the most restrictive wins.

    `outputs` says what each output keeps of the inputs, `inputs` are the licences of all inputs together.
    """
    own = {process_licence} if process_licence else set()
    return {name: tuple(sorted(_kept(kept, inputs, bool(own)) | own)) for name, kept in outputs.items()}


def _kept(kept: Kept, inputs: Sequence[str], process_has_terms: bool) -> set[str]:
    if kept == "none":
        return set()
    if kept == "pixels":
        return set(inputs)
    free = OPEN_LICENCES | CONFIRMED_DERIVATION if process_has_terms else CONFIRMED_DERIVATION
    return set(inputs) - free


def expression(licences: Sequence[str]) -> str:
    """As one SPDX expression, for the files themselves."""
    return " AND ".join(licences)


def attribution(sources: Sequence[str]) -> str:
    """Whom to name, once each, in the order of the inputs."""
    return "; ".join(dict.fromkeys(source for source in sources if source))
