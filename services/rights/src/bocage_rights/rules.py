"""The rules of inheritance that ship with the platform, and the check that none changes without source and date.

`python -m bocage_rights.rules --check` (in `make check`) compares the rules with their lock file and the pages made of
them; `--write` renews lock and pages, and refuses a rule that says something else with the source or date that it had.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights.derivation import Effect, Outcome, Rule, Rules, Status

HERE = Path(__file__).parent
RULES, LOCK = HERE / "rules.json", HERE / "rules.lock.json"


class Entry(BaseModel):
    """One line of `rules.json`: a licence and the effects for which it says the same."""

    model_config = ConfigDict(extra="forbid")

    licence: str = Field(pattern=r"^[A-Za-z0-9.-]{1,80}$")
    effects: list[Effect] = Field(min_length=1)
    outcome: Outcome
    status: Status
    source: str = Field(min_length=10, max_length=1000)
    date: date


class RuleFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rules: list[Entry]


class Locked(BaseModel):
    """What is remembered of a rule: a digest of what it says, and on the strength of what."""

    digest: str
    source: str
    date: date


_LOCKS = TypeAdapter(dict[str, Locked])


def read(path: Path = RULES) -> list[Rule]:
    """Raises ValueError: a rule without source or date, or two for the same."""
    found: dict[tuple[str, Effect], Rule] = {}
    for entry in RuleFile.model_validate_json(path.read_bytes()).rules:
        for effect in entry.effects:
            if effect == "none" or (entry.licence, effect) in found:
                raise ValueError(f"{entry.licence}, {effect}: there is no such rule, or there are two")
            found[entry.licence, effect] = Rule(
                entry.licence, effect, entry.outcome, entry.status, entry.source, entry.date
            )
    return list(found.values())


def by_pair(rules: Sequence[Rule]) -> Rules:
    return {(rule.licence, rule.effect): rule for rule in rules}


def locks_of(rules: Sequence[Rule]) -> dict[str, Locked]:
    return {_name(rule): Locked(digest=_digest(rule), source=rule.source, date=rule.date or date.min) for rule in rules}


def unfounded(rules: Sequence[Rule], locked: Mapping[str, Locked]) -> list[str]:
    """What is wrong with the changes since the lock was written: pure."""
    now = locks_of(rules)
    wrong = [
        f"{name}: the rule is gone; rules are not taken away but changed, with source and date"
        for name in locked.keys() - now.keys()
    ]
    for name in sorted(now.keys() & locked.keys()):
        new, old = now[name], locked[name]
        if new.digest == old.digest:
            continue
        if new.source == old.source or new.date <= old.date:
            wrong.append(f"{name}: the rule says something else, so it needs a source of its own and a later date")
    return sorted(wrong)


def read_lock(path: Path = LOCK) -> dict[str, Locked]:
    return _LOCKS.validate_json(path.read_bytes()) if path.exists() else {}


def lock_text(rules: Sequence[Rule]) -> str:
    locks = {name: lock.model_dump(mode="json") for name, lock in sorted(locks_of(rules).items())}
    return json.dumps(locks, indent=1) + "\n"


def _name(rule: Rule) -> str:
    return f"{rule.licence}/{rule.effect}"


def _digest(rule: Rule) -> str:
    return hashlib.sha256(json.dumps([rule.outcome, rule.status]).encode()).hexdigest()


_SEED = text(
    """insert into derivation_rule (licence, effect, version, outcome, status, source, date, recorded_by)
       select :licence, :effect, 1, :outcome, :status, :source, :date, 'bocage'
        where not exists (select 1 from derivation_rule
                           where licence = :licence and effect = :effect and (date >= :date or source = :source))"""
)


async def seed(connection: AsyncConnection, rules: Sequence[Rule]) -> None:
    """Add what is new. What an administrator recorded since stands."""
    await connection.execute(text("select pg_advisory_xact_lock(hashtext('derivation_rule'))"))
    for rule in rules:
        values: dict[str, Any] = {name: getattr(rule, name) for name in ("licence", "effect", "outcome", "status")}
        await connection.execute(_SEED, values | {"source": rule.source, "date": rule.date})


async def in_force(connection: AsyncConnection) -> Rules:
    rows = await connection.execute(
        text("select licence, effect, outcome, status, source, date, version from rule_in_force")
    )
    return by_pair([Rule(**row._mapping) for row in rows])


def main() -> int:
    from bocage_rights.decisions import pages

    parser = argparse.ArgumentParser(prog="python -m bocage_rights.rules", description=__doc__)
    doing = parser.add_mutually_exclusive_group(required=True)
    doing.add_argument("--check", action="store_true", help="fail when a rule changed without source and date")
    doing.add_argument("--write", action="store_true", help="renew the lock file and the pages")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder of the documentation")
    options = parser.parse_args()
    try:
        rules = read()
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    wrong = unfounded(rules, read_lock())
    made = {LOCK: lock_text(rules)} | {options.docs / name: page for name, page in pages(rules).items()}
    if options.write and not wrong:
        for path, content in made.items():
            path.write_text(content)
    elif not wrong:
        stale = [path for path, content in made.items() if not path.exists() or path.read_text() != content]
        wrong = [f"{path.name} is stale: run python -m bocage_rights.rules --write" for path in stale]
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
