"""Every cell of the page of decisions, against the decision itself over the registry of a real database."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bocage_kit.database import engine
from bocage_kit.identity import Identity, Level
from bocage_kit.licences import decide
from bocage_rights import acceptances, accounts
from bocage_rights.decisions import CLASSES, PAGES, WORDS, Language, holders
from bocage_rights.registry import entries, levels
from bocage_rights.rules import read
from bocage_rights.terms import ANONYMOUS, Holder

if TYPE_CHECKING:
    from conftest import TestDatabase

DOCS = Path(__file__).parents[3] / "docs"
Granted = dict[tuple[Holder, bool], dict[str, Level]]


async def granted(url: str) -> Granted:
    """What each kind of holder may do, before and after accepting everything."""
    made = engine(url, name="test")
    found: Granted = {}
    async with made.begin() as connection:
        known = await entries(connection, ANONYMOUS, None, None)
        owner, _ = await accounts.ensure_organisation(connection, "Accepting", "public")
        for entry in known.values():
            await acceptances.record(
                connection, licence=entry.terms.licence, version=entry.terms.version, organisation=owner.id,
                recorded_by="test", text_sha256=entry.sha256["en"], purpose="research",
            )  # fmt: skip
        for holder, accepted in itertools.product(holders(), (False, True)):
            organisation = owner.id if accepted and holder.category is not None else None
            found[holder, accepted] = await levels(connection, holder, organisation, None)
    await made.dispose()
    return found


def tables(language: Language) -> Iterator[tuple[list[str], list[list[str]]]]:
    """The licences and the rows of each table of decisions."""
    sections = (DOCS / PAGES[language]).read_text().split("\n## ")[1 : len(CLASSES) + 1]
    for section in sections:
        lines = [line for line in section.splitlines()[1:] if line]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[3:]]
        yield [name.strip(" `") for name in lines[0].split(",")], rows


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_cell_is_what_is_decided(module_database: TestDatabase, language: Language) -> None:
    allowed = asyncio.run(granted(module_database.url("rights")))
    say, cells = WORDS[language], 0
    for licences, rows in tables(language):
        assert len(rows) == 16
        for holder, row in zip(holders(), rows, strict=True):
            assert row[:2] == [say["nobody" if holder.category is None else holder.category], say[holder.purpose]]
            for (licence, level), accepted in itertools.product(itertools.product(licences, Level), (False, True)):
                identity = Identity(
                    subject="anonymous" if holder.category is None else "p", category=holder.category,
                    purpose=holder.purpose, licences=allowed[holder, accepted],
                )  # fmt: skip
                written = row[2 + level]
                expected = written == say["yes"] or (accepted and written == say["accepted"])
                assert decide(identity, [licence], level).allowed is expected, (licence, holder, level, accepted)
                cells += 1
    assert cells == 7 * 16 * 5 * 2, "every licence, holder and level, before and after acceptance"


def test_whatever_anonymous_may_every_account_may(module_database: TestDatabase) -> None:
    allowed = asyncio.run(granted(module_database.url("rights")))
    anonymous = allowed[ANONYMOUS, False]
    assert anonymous
    for of in allowed.values():
        for licence, level in anonymous.items():
            assert of[licence] >= level


def test_the_page_speaks_of_the_licences_and_terms_of_the_registry(module_database: TestDatabase) -> None:
    async def known() -> dict[str, Any]:
        made = engine(module_database.url("rights"), name="test")
        async with made.connect() as connection:
            found = await entries(connection, ANONYMOUS, None, None)
        await made.dispose()
        return dict(found)

    registry = asyncio.run(known())
    assert sorted(registry) == sorted(licence for of in CLASSES for licence in of.licences)
    for of in CLASSES:
        for licence in of.licences:
            terms = registry[licence].terms
            assert (terms.needs, terms.purposes, terms.categories, terms.fallback) == (
                of.terms.needs, of.terms.purposes, of.terms.categories, of.terms.fallback,
            )  # fmt: skip


def test_every_licence_known_from_the_start_has_its_rules() -> None:
    assert {rule.licence for rule in read()} == {licence for of in CLASSES for licence in of.licences}
