"""In which language an answer is: what a request asks for, and objects that hold translations of themselves.

An object's own texts are in its `language`, English unless it says otherwise; others stand in `bocage:translations`, by
language code. Shown in another language the two change places, so that nothing is lost, and a body that was read in any
language is the same object when it is written back (`native`).
"""

from __future__ import annotations

import re
from typing import Any

from bocage_kit.language import ENGLISH, FRENCH, OFFERED, TRANSLATIONS_FIELD, of_scope
from fastapi import Request

Document = dict[str, Any]

EXTENSION = "https://stac-extensions.github.io/language/v1.0.0/schema.json"
KEPT_FIELD = "bocage:language"
"""Of an object with translations, as it is shown: the language that its own texts are in."""
_NAMES = {ENGLISH: ("English", "English"), FRENCH: ("Français", "French")}
_TEXTS = ("title", "description", "keywords")
_MOST = 50
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")

# What the platform itself says, by its English.
_IN_FRENCH = {
    "Bocage catalogue": "Catalogue de Bocage",
    "Data and services about land surfaces, by collection, place, time and property.": (
        "Données et services sur les surfaces continentales, par collection, lieu, date et propriété."
    ),
    "This document": "Ce document",
    "Root": "Racine",
    "Collections": "Collections",
    "Children": "Collections de la racine",
    "Conformance classes": "Classes de conformité",
    "Search": "Recherche",
    "Search [GET]": "Recherche [GET]",
    "Search [POST]": "Recherche [POST]",
    "Queryables": "Propriétés interrogeables",
    "Sortables": "Propriétés de tri",
    "Aggregate": "Agrégation",
    "Aggregations": "Agrégations",
    "All items of a search": "Tous les objets d’une recherche",
    "Changes": "Changements",
    "Vocabulary": "Vocabulaire",
    "Entry portals": "Portails d’entrée",
    "Deposits": "Dépôts",
    "Legend:": "Légende :",
    "Items": "Objets",
    "OpenAPI": "OpenAPI",
    "Documentation of the API": "Documentation de l’API",
    "The process": "Le traitement",
    "Run on this item:": "Lancer sur cet objet :",
    "In English": "En anglais",
    "In French": "En français",
    "all collections": "toutes les collections",
    "Identifier": "Identifiant",
    "Collection": "Collection",
    "Footprint": "Emprise",
    "Acquired": "Date d’acquisition",
    "Start of acquisition": "Début de l’acquisition",
    "End of acquisition": "Fin de l’acquisition",
    "Metadata created": "Création des métadonnées",
    "Metadata updated": "Mise à jour des métadonnées",
    "Published": "Publication",
    "Expires": "Expiration",
    "Unpublished": "Retrait",
    "Title": "Titre",
    "Description": "Description",
    "Keywords": "Mots-clés",
    "License": "Licence",
    "Licences": "Licences",
    "Audience": "Audience",
    "Cloud cover": "Couverture nuageuse",
    "Snow cover": "Couverture neigeuse",
    "Platform": "Plate-forme",
    "Instruments": "Instruments",
    "Constellation": "Constellation",
    "Mission": "Mission",
    "Gsd": "Résolution au sol",
    "Code": "Système de coordonnées",
    "Sun azimuth": "Azimut du soleil",
    "Sun elevation": "Élévation du soleil",
    "Off nadir": "Angle de visée",
    "Incidence angle": "Angle d’incidence",
    "Azimuth": "Azimut",
    "Version": "Version",
    "Level": "Niveau de traitement",
}


def of(request: Request) -> str:
    """The language of the answer: the parameter `language`, else what the header asks for, else English."""
    return of_scope(request.scope)


def say(text: str, tongue: str) -> str:
    """A text of the platform's own in `tongue`; in English when there is no other."""
    return _IN_FRENCH.get(text, text) if tongue == FRENCH else text


def about(code: str) -> Document:
    """A language as the language extension describes one."""
    names = _NAMES.get(code)
    return {"code": code} if names is None else {"code": code, "name": names[0], "alternate": names[1]}


def others(tongue: str) -> list[Document]:
    """The languages that an answer is offered in besides `tongue`."""
    return [about(code) for code in OFFERED if code != tongue]


def translations_of(holder: Document) -> dict[str, Document]:
    """The translations that `holder` has by its own word; what is no translation is none."""
    stated = holder.get(TRANSLATIONS_FIELD)
    if not isinstance(stated, dict):
        return {}
    return {str(code): texts for code, texts in stated.items() if isinstance(texts, dict)}


def fault(holder: Document) -> str | None:
    """What is wrong with the translations of an object that is written; None when nothing is."""
    stated = holder.get(TRANSLATIONS_FIELD)
    if stated is None:
        return None
    if not isinstance(stated, dict) or len(stated) > _MOST:
        return f"{TRANSLATIONS_FIELD} must be an object of at most {_MOST} languages."
    for code, texts in stated.items():
        if not _TAG.fullmatch(code):
            return f"{TRANSLATIONS_FIELD}: {code[:30]!r} is no language code such as fr or pt-BR."
        if not isinstance(texts, dict) or not texts.keys() <= set(_TEXTS):
            return f"{TRANSLATIONS_FIELD}.{code} must be an object of {', '.join(_TEXTS)}."
        for name, text in texts.items():
            among = text if name == "keywords" else [text]
            if not isinstance(among, list) or not all(isinstance(part, str) and part for part in among):
                return (
                    f"{TRANSLATIONS_FIELD}.{code}.{name} must be {'a list of texts' if name == 'keywords' else 'text'}."
                )
    return None


def spoken(holder: Document) -> str | None:
    """The language that an object says its texts are in."""
    stated = holder.get("language")
    code = stated.get("code") if isinstance(stated, dict) else None
    return code if isinstance(code, str) and code else None


def show(holder: Document, tongue: str) -> bool:
    """Turn `holder`'s texts, in place, into those of `tongue` where it has them; whether it has translations."""
    translations = translations_of(holder)
    if not translations:
        return False
    own = spoken(holder) or ENGLISH
    shown = _turned(holder, own, tongue)
    holder["language"] = about(shown)
    holder["languages"] = [about(code) for code in translations_of(holder) if code != shown]
    holder[KEPT_FIELD] = own
    return True


def native(holder: Document) -> bool:
    """Undo `show`, in place, whichever language it showed; whether there was something to undo."""
    kept = holder.pop(KEPT_FIELD, None)
    if not translations_of(holder):
        return False
    own = spoken(holder) or ENGLISH
    kept = _turned(holder, own, kept if isinstance(kept, str) else own)
    holder.pop("languages", None)
    holder.pop("language", None)
    if kept != ENGLISH:
        holder["language"] = about(kept)
    return True


def _turned(holder: Document, own: str, tongue: str) -> str:
    """Change the texts of `own` for those of `tongue`, in place; the language that the texts are in then."""
    translations: dict[str, Any] = dict(holder[TRANSLATIONS_FIELD])
    mine = translations.pop(own, None)
    twice = frozenset(_TEXTS).intersection(holder)
    mine = {name: text for name, text in mine.items() if name not in twice} if isinstance(mine, dict) else {}
    theirs = translations.get(tongue) if tongue != own else None
    # What an object does not say in its own language is no translation of anything: it stays where it is.
    names = [name for name in _TEXTS if name in theirs and name in holder] if isinstance(theirs, dict) else []
    if isinstance(theirs, dict) and names:
        mine |= {name: holder[name] for name in names}
        holder.update({name: theirs[name] for name in names})
        translations[tongue] = {name: text for name, text in theirs.items() if name not in names}
    if mine:
        translations[own] = mine
    holder[TRANSLATIONS_FIELD] = {code: texts for code, texts in sorted(translations.items()) if texts != {}}
    return tongue if names else own
