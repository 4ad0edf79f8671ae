"""`python -m bocage_rights.bootstrap`: the services' keys, and on request the demonstration's accounts.

Keys go into files that only their owner may read; nothing secret is an argument or is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from bocage_kit.database import engine, wait_until_ready
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import acceptances, accounts, rules
from bocage_rights.exchange import Credential, Exchange, InvalidCredential
from bocage_rights.keyring import Keyring, open_keyring, write_secret
from bocage_rights.registry import entries
from bocage_rights.settings import RightsSettings
from bocage_rights.terms import ANONYMOUS

SERVICES = ("catalogue", "processing", "tiles")
OPERATOR = "Platform operator"
RESEARCH = "Demonstration institute"
COMPANY = "Demonstration company"
KEY_NAME = "bootstrap"
CREDITS = Decimal(1000)


async def ensure_service_keys(exchange: Exchange, secrets: Path) -> None:
    """Each service has a key that works; one that works already is kept."""
    for service in SERVICES:
        path = secrets / f"{service}.key"
        if path.exists():
            try:
                await exchange.identify(Credential(api_key=path.read_text().strip()))
                continue
            except InvalidCredential:
                pass  # of another database, or revoked: a new one takes its place
        async with exchange.engine.begin() as connection:
            await accounts.ensure_service(connection, service)
            minted = await accounts.make_key(
                connection, exchange.keyring, name=KEY_NAME, scopes=["service:*"], service=service
            )
            await accounts.revoke_keys_named(connection, KEY_NAME, service=service, but=minted.id)
        write_secret(path, minted.text + "\n")


async def administrator(connection: AsyncConnection, keyring: Keyring) -> str:
    """A new key of the platform's administrator; the former one is revoked."""
    return await _account(
        connection, keyring, OPERATOR, "public", "Platform administrator", ["admin"], "public_service"
    )


async def demonstration(connection: AsyncConnection, keyring: Keyring) -> dict[str, str]:
    """The demonstration's accounts, with new keys."""
    keys = {
        "researcher": await _account(
            connection,
            keyring,
            RESEARCH,
            "public",
            "Demonstration researcher",
            ["catalogue:write", "jobs:submit", "rights:manage"],
            "research",
        ),
        "company": await _account(
            connection, keyring, COMPANY, "private", "Demonstration engineer", ["jobs:submit"], "commercial"
        ),
        "admin": await administrator(connection, keyring),
    }
    for name in (RESEARCH, COMPANY):
        owner = await accounts.organisation(connection, name)
        assert owner is not None
        await connection.execute(
            text("select credit_grant(cast(:id as uuid), :amount, 'demonstration', 'demonstration', 'bootstrap')"),
            {"id": owner.id, "amount": CREDITS},
        )
    for licence in ("LicenseRef-Bocage-Demonstration", "LicenseRef-Bocage-Restricted"):
        await _accept(connection, RESEARCH, licence)
    return keys


async def _account(
    connection: AsyncConnection,
    keyring: Keyring,
    organisation: str,
    category: str,
    person: str,
    scopes: Sequence[str],
    purpose: str,
) -> str:
    owner, _ = await accounts.ensure_organisation(connection, organisation, category, country="FR")
    who, _ = await accounts.ensure_person(connection, owner.id, person, "representative")
    minted = await accounts.make_key(connection, keyring, name=KEY_NAME, scopes=scopes, owner=who.id, purpose=purpose)
    await accounts.revoke_keys_named(connection, KEY_NAME, owner=who.id, but=minted.id)
    return minted.text


async def _accept(connection: AsyncConnection, organisation: str, licence: str) -> None:
    owner = await accounts.organisation(connection, organisation)
    assert owner is not None
    entry = (await entries(connection, ANONYMOUS, owner.id, None))[licence]
    if entry.standing == "accepted":
        return
    await acceptances.record(
        connection,
        licence=licence,
        version=entry.terms.version,
        organisation=owner.id,
        recorded_by="bootstrap",
        text_sha256=entry.sha256["en"],
        purpose="research",
        evidence={"note": "demonstration account"},
    )


async def run(settings: RightsSettings, *, with_demonstration: bool, output: Path | None, admin: Path | None) -> None:
    keyring = open_keyring(settings.home / "secrets", settings.public_keys)
    await wait_until_ready(settings.database)
    database = engine(settings.database, name="rights bootstrap", pool_size=1)
    try:
        await ensure_service_keys(Exchange(database, keyring), settings.home / "secrets")
        async with database.begin() as connection:
            await rules.seed(connection, rules.read())
        if with_demonstration and output is not None:
            async with database.begin() as connection:
                keys = await demonstration(connection, keyring)
                # Within the transaction: when the file cannot be written the former keys stay good.
                write_secret(output, json.dumps(keys))
        if admin is not None:
            async with database.begin() as connection:
                write_secret(admin, json.dumps({"admin": await administrator(connection, keyring)}))
    finally:
        await database.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bocage_rights.bootstrap", description=__doc__)
    parser.add_argument("--demonstration", action="store_true", help="make the demonstration's accounts, with new keys")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the demonstration's keys go, as JSON")
    parser.add_argument("--admin", type=Path, metavar="FILE", help="mint an administrator's key into FILE, as JSON")
    options = parser.parse_args()
    if options.demonstration and options.output is None:
        parser.error("--demonstration needs --output FILE: keys are not printed")
    settings = RightsSettings()
    asyncio.run(run(settings, with_demonstration=options.demonstration, output=options.output, admin=options.admin))


if __name__ == "__main__":
    main()
