"""The words that concepts are found by, kept in the database: it finds the words of a collection when it is written."""

from __future__ import annotations

import re

from bocage_theia.vocabulary import Concept, Vocabulary, vocabulary

from bocage_catalogue.concepts import key_of
from bocage_catalogue.database import Database

_LOCK = "catalogue.concept"
# A variable is what a collection is about; centres, networks and portals only stand behind it.
_WEIGHTS = {"variables": "B", "themes": "B"}
_OTHERS = "D"
_BRACKETS = re.compile(r"\s*\([^)]*\)")


async def learn(database: Database) -> None:
    """Give the database the words of the vocabulary; where nothing changed, nothing is written."""
    rows = told(vocabulary())
    async with database.writing(_LOCK) as connection:
        changed = await connection.fetchval(
            "select catalogue.learn_concepts($1, $2, $3, $4)", *map(list, zip(*rows, strict=True))
        )
        if changed:
            await connection.execute("update catalogue.finished_collection set body = body where concepts <> '{}'")


def told(words: Vocabulary) -> list[tuple[str, str, str, str]]:
    """Of each concept its key, its own names, their weight, and the names of what is broader."""
    return [
        (key_of(one.scheme, one.id), _text(one), _WEIGHTS.get(one.scheme, _OTHERS), _above(words, one)) for one in words
    ]


def _above(words: Vocabulary, concept: Concept) -> str:
    # The highest stand for all below them: by « variables » everything would be found.
    # What they have in brackets is included in them, and not what the narrower concept is about.
    above = (_text(one) for one in words.ancestors(concept.scheme, concept.id) if one.broader)
    return _BRACKETS.sub("", "\n".join(above))


def _text(concept: Concept) -> str:
    return "\n".join((*concept.names, *([concept.host] if concept.host else [])))
