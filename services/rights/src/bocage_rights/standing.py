"""What an account may do, what is missing and where that is mended: in plain words, English and French."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Protocol

from bocage_kit.identity import Identity, Level
from bocage_kit.urls import public_url

from bocage_rights.registry import Entry
from bocage_rights.required import term

Language = Literal["en", "fr"]
Words = Mapping[Language, str]

_READ: Words = {
    "en": "Search the catalogue and read the descriptions of everything that is shown to you.",
    "fr": "Chercher dans le catalogue et lire la description de tout ce qui vous est montré.",
}
_SCOPES: Mapping[str, Words] = {
    "catalogue:write": {
        "en": "Write collections and items of your organisation, and upload their files.",
        "fr": "Écrire les collections et les objets de votre organisme, et en déposer les fichiers.",
    },
    "catalogue:admin": {"en": "Administer the whole catalogue.", "fr": "Administrer tout le catalogue."},
    "jobs:submit": {
        "en": "Submit jobs, paid with your organisation's credits.",
        "fr": "Lancer des traitements, payés par les crédits de votre organisme.",
    },
    "rights:manage": {
        "en": "Manage the people, keys and licences of your organisation.",
        "fr": "Gérer les personnes, les clés et les licences de votre organisme.",
    },
    "admin": {"en": "Administer the platform.", "fr": "Administrer la plate-forme."},
}
_LEVELS: Mapping[Level, Words] = {
    Level.PREVIEW: {"en": "see previews", "fr": "voir les aperçus"},
    Level.TILE: {"en": "see tiles", "fr": "voir les tuiles"},
    Level.ASSET: {"en": "download", "fr": "télécharger"},
    Level.JOB: {
        "en": "see tiles, download and run jobs",
        "fr": "voir les tuiles, télécharger et lancer des traitements",
    },
}
_ANONYMOUS_JOB: Words = {"en": "see tiles, download", "fr": "voir les tuiles, télécharger"}
_OF: Words = {"en": "Of what is under {names}: {does}.", "fr": "De ce qui est sous {names} : {does}."}
_SEPARATOR: Words = {"en": "; ", "fr": " ; "}
_LICENCE: Words = {"en": "{title}: {why}.", "fr": "{title} : {why}."}
_WHY: Mapping[str, Words] = {
    "missing": {"en": "its terms are not accepted yet", "fr": "ses termes ne sont pas encore acceptés"},
    "outdated": {
        "en": "its terms have changed and must be accepted anew",
        "fr": "ses termes ont changé et sont à accepter de nouveau",
    },
    "purpose": {
        "en": "the declared purpose of this credential is not among those that it allows",
        "fr": "l'usage déclaré de cet accès n'est pas de ceux qu'elle permet",
    },
    "category": {
        "en": "it is not open to this category of organisation",
        "fr": "elle n'est pas ouverte à cette catégorie d'organisme",
    },
    "embargo": {"en": "it is under embargo", "fr": "elle est sous embargo"},
    "unverified": {
        "en": "your organisation is not verified, and this licence is for verified ones",
        "fr": "votre organisme n'est pas vérifié, et cette licence est pour ceux qui le sont",
    },
}
_ELSE: Words = {"en": "it does not allow this", "fr": "elle ne le permet pas"}
_MISSING: Mapping[str, Words] = {
    "account": {
        "en": "No credential was sent: send a key as X-API-Key.",
        "fr": "Aucun accès n'a été montré : envoyez une clé par X-API-Key.",
    },
    "verification": {
        "en": "Your organisation is not verified: until the operator has verified it, its people hold no licence that "
        "needs acceptance and run no job that costs. The link says where it stands.",
        "fr": "Votre organisme n'est pas vérifié : tant que l'opérateur ne l'a pas fait, ses membres n'ont aucune "
        "licence à accepter et ne lancent aucun traitement payant. Le lien dit où il en est.",
    },
    "purpose": {
        "en": "This credential declares no purpose, so licences that ask for one are closed: ask those whom the link "
        "names for a key with a purpose.",
        "fr": "Cet accès ne déclare aucun usage : les licences qui en demandent un sont fermées. Demandez une clé "
        "avec un usage à ceux que le lien nomme.",
    },
    "jobs:submit": {
        "en": "This credential can't submit jobs: use a key with the scope jobs:submit, or ask those whom the link "
        "names for one.",
        "fr": "Cet accès ne peut pas lancer de traitement : prenez une clé avec le droit jobs:submit, ou "
        "demandez-en une à ceux que le lien nomme.",
    },
}
_CREDITS: Words = {
    "en": "Your organisation has no credits left: jobs that cost something are refused until it is given more. "
    "The link shows its account.",
    "fr": "Votre organisme n'a plus de crédits : les traitements payants sont refusés tant qu'il n'en reçoit pas. "
    "Le lien montre son compte.",
}
_QUOTA: Words = {
    "en": "{percent} % of a limit are used: {used} of {amount} {unit} by {window}, counted for {counted}. "
    "It starts anew on {ends}.",
    "fr": "{percent} % d'une limite sont utilisés : {used} sur {amount} {unit} par {window}, comptés pour {counted}. "
    "Elle repart de zéro le {ends}.",
}
_TERMS: Mapping[str, Words] = {
    "credits": {"en": "credits", "fr": "crédits"},
    "km2": {"en": "km²", "fr": "km²"},
    "bytes": {"en": "bytes", "fr": "octets"},
    "requests": {"en": "requests", "fr": "requêtes"},
    "day": {"en": "day", "fr": "jour"},
    "month": {"en": "month", "fr": "mois"},
    "quarter": {"en": "quarter", "fr": "trimestre"},
    "person": {"en": "you", "fr": "vous"},
    "organisation": {"en": "your organisation", "fr": "votre organisme"},
}
WARNED_FROM = Decimal("0.8")


class Limit(Protocol):
    """A row of `quota_state`."""

    name: str
    counted: str
    unit: str
    period: str
    amount: Decimal
    used: Decimal
    ends: datetime


def preferred_language(accepted: str) -> Language:
    """The better of English and French by an Accept-Language header; English when it says nothing of either."""
    best: tuple[float, Language] = (0.0, "en")
    for part in accepted.lower().split(","):
        name, _, parameters = part.strip().partition(";")
        language: Language | None = {"fr": "fr", "en": "en"}.get(name.strip()[:2])  # type: ignore[assignment]
        try:
            weight = float(parameters.strip().removeprefix("q=")) if parameters else 1.0
        except ValueError:
            weight = 0.0
        if language is not None and weight > best[0]:
            best = weight, language
    return best[1]


def may(caller: Identity, known: Mapping[str, Entry], language: Language) -> list[str]:
    sentences = [_READ[language]]
    for level, words in _LEVELS.items():
        titles = sorted(entry.titles[language] for entry in known.values() if entry.level is level)
        if titles:
            does = _ANONYMOUS_JOB if caller.anonymous and level is Level.JOB else words
            sentences.append(_OF[language].format(names=_SEPARATOR[language].join(titles), does=does[language]))
    return sentences + [_SCOPES[scope][language] for scope in sorted(caller.scopes) if scope in _SCOPES]


def missing(
    caller: Identity, known: Mapping[str, Entry], language: Language, *, verified: bool
) -> list[dict[str, Any]]:
    """What stands in the way. `link` can be opened; where a request mends it, `mend` says which."""
    found = []
    for entry in known.values():
        if entry.level is Level.JOB or entry.reason is None:
            continue
        licence = entry.terms.licence
        stated = term(entry, licence, caller.public_base)
        why = _WHY.get(entry.reason, _ELSE)[language]
        told: dict[str, Any] = {
            "what": licence,
            "why": _LICENCE[language].format(title=entry.titles[language], why=why),
            "link": public_url(caller.public_base, "rights", "licences", licence),
        }
        if stated.get("acceptance_mends") and not caller.anonymous:
            told["mend"] = {"method": "POST", "href": stated["accept_url"]}
        found.append(told)
    if caller.anonymous:
        return [*found, _told("account", language, public_url(caller.public_base, "rights", "licences"))]
    if caller.organisation is None:
        return found
    own = public_url(caller.public_base, "rights", "organisation")
    if not verified:
        found.append(_told("verification", language, own))
    if caller.purpose == "undeclared" and not caller.has("admin"):
        found.append(_told("purpose", language, own))
    if not caller.has("jobs:submit"):
        found.append(_told("jobs:submit", language, own))
    return found


def _told(what: str, language: Language, link: str) -> dict[str, Any]:
    return {"what": what, "why": _MISSING[what][language], "link": link}


def running_out(
    caller: Identity, available: Decimal, limits: Iterable[Limit], language: Language
) -> list[dict[str, Any]]:
    """Credits that are gone, and limits by day, month or quarter of which 80 % are used."""
    found = []
    if available <= 0 and caller.has("jobs:submit"):
        link = public_url(caller.public_base, "rights", "ledger")
        found.append({"what": "credits", "why": _CREDITS[language], "link": link})
    for limit in limits:
        if limit.period == "minute" or limit.used < WARNED_FROM * limit.amount:
            continue
        why = _QUOTA[language].format(
            percent=min(100, int(100 * limit.used / limit.amount)) if limit.amount else 100,
            used=_number(limit.used),
            amount=_number(limit.amount),
            unit=_TERMS[limit.unit][language],
            window=_TERMS[limit.period][language],
            counted=_TERMS[limit.counted][language],
            ends=limit.ends.date().isoformat(),
        )
        found.append({"what": limit.name, "why": why, "link": public_url(caller.public_base, "rights", "quotas")})
    return found


def _number(value: Decimal) -> str:
    return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
