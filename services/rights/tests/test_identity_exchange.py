"""Credentials for identities, over the service's socket."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from bocage_kit.identity import Level, Verifier
from bocage_rights.bootstrap import run

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights

DEMONSTRATION = "LicenseRef-Bocage-Demonstration"


def test_identities_of_the_accounts(rights: Rights) -> None:
    verifier = Verifier(rights.settings.public_keys)
    anonymous = verifier.verify(rights.headers()["Bocage-Identity"])
    researcher = verifier.verify(rights.headers("researcher")["Bocage-Identity"])
    company = verifier.verify(rights.headers("company")["Bocage-Identity"])
    admin = verifier.verify(rights.headers("admin")["Bocage-Identity"])
    assert anonymous.anonymous and anonymous.credential is None and anonymous.organisation is None
    assert anonymous.public_base == "http://bocage.test"
    assert anonymous.licences["etalab-2.0"] is Level.JOB
    assert anonymous.licences["CC-BY-NC-4.0"] is Level.PREVIEW
    assert DEMONSTRATION not in anonymous.licences
    assert researcher.scopes == {"catalogue:write", "jobs:submit", "rights:manage"}
    assert (researcher.category, researcher.purpose) == ("public", "research")
    assert researcher.licences[DEMONSTRATION] is Level.JOB
    assert researcher.licences["CC-BY-NC-4.0"] is Level.JOB
    assert (company.category, company.purpose) == ("private", "commercial")
    assert DEMONSTRATION not in company.licences
    assert company.licences["CC-BY-NC-4.0"] is Level.PREVIEW
    assert admin.has("admin") and admin.has("rights:manage") and not admin.has("service:read")
    for account in (researcher, company, admin):
        assert all(account.licences[x] >= level for x, level in anonymous.licences.items())


def test_services_have_keys(rights: Rights) -> None:
    verifier = Verifier(rights.settings.public_keys)
    for service in ("catalogue", "processing", "tiles"):
        path = rights.settings.secret(f"{service}.key")
        assert path.stat().st_mode & 0o777 == 0o600
        identity = verifier.verify(rights.exchange(api_key=path.read_text().strip()).json()["token"])
        assert identity.subject == f"service:{service}" and identity.has("service:assets") and not identity.has("admin")


@pytest.mark.parametrize("wrong", ["", "x", "bk0000000000000000.secret", ".", "a.b.c", "\u0000.x"])
def test_wrong_credentials_look_alike(rights: Rights, wrong: str) -> None:
    answers = [rights.exchange(api_key=wrong), rights.exchange(tile_token=wrong)]
    good = rights.keys["researcher"]
    answers.append(rights.exchange(api_key=good[:-1] + ("a" if good[-1] != "a" else "b")))
    answers.append(rights.exchange(tile_token=good))
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert "www-authenticate" in answer.headers
    assert len({a.json()["detail"] for a in answers}) == 1


def test_no_secret_is_stored(rights: Rights) -> None:
    secret = rights.keys["researcher"].partition(".")[2]
    with psycopg.connect(rights.database.url("rights")) as connection:
        rows = connection.execute("select row_to_json(k)::text from api_key k").fetchall()
    assert rows and all(secret not in row[0] for row in rows)
    assert secret not in (rights.settings.home / "rights.log").read_text()


def test_revocations_are_heard_at_once_and_refused(rights: Rights) -> None:
    heard: list[dict[str, object]] = []
    ready = threading.Event()

    def listen() -> None:
        with rights.client() as client, client.stream("GET", "/identity/revocations") as stream:
            assert stream.headers["content-type"].startswith("application/x-ndjson")
            for line in stream.iter_lines():
                heard.append(json.loads(line))
                ready.set()
                if heard[-1] == {"everything": True}:
                    return

    def within_a_second(wanted: dict[str, object]) -> None:
        deadline = time.monotonic() + 1
        while wanted not in heard:
            assert time.monotonic() < deadline, (wanted, heard)
            time.sleep(0.01)

    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(5) and heard[0] == {"alive": True}
    company = rights.keys["company"]
    with psycopg.connect(rights.database.url("rights"), autocommit=True) as connection:
        connection.execute("update organisation set state = 'suspended' where name = 'Demonstration company'")
        within_a_second({"credential": company.partition(".")[0]})
        assert rights.exchange(api_key=company).status_code == 401
        connection.execute("update organisation set state = 'active' where name = 'Demonstration company'")
        assert rights.exchange(api_key=company).status_code == 200
        connection.execute("update person set state = 'suspended' where name = 'Demonstration engineer'")
        assert rights.exchange(api_key=company).status_code == 401
        connection.execute("update person set state = 'active' where name = 'Demonstration engineer'")
        key = rights.keys["admin"].partition(".")[0]
        connection.execute("update api_key set expires_at = now() - interval '1 s' where id = %s", [key])
        within_a_second({"credential": key})
        assert rights.exchange(api_key=rights.keys["admin"]).status_code == 401
        connection.execute("update api_key set expires_at = null where id = %s", [key])
        connection.execute("update tariff set price = price where process = 'none'")
    within_a_second({"everything": True})
    thread.join(5)


def test_a_stream_ends_when_the_database_is_no_longer_heard(rights: Rights) -> None:
    with rights.client() as client, client.stream("GET", "/identity/revocations") as stream:
        lines = stream.iter_lines()
        assert next(lines)
        with psycopg.connect(rights.database.admin_url, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'rights announcements' and datname = current_database()"
            )
        started = time.monotonic()
        assert all(json.loads(line) == {"alive": True} for line in lines)
        assert time.monotonic() - started < 5
    deadline = time.monotonic() + 5
    while True:
        with rights.client() as client, client.stream("GET", "/identity/revocations") as stream:
            if stream.status_code == 200:
                return
            assert stream.status_code == 503 and time.monotonic() < deadline
        time.sleep(0.05)


def test_bootstrap_again_revokes_the_former_keys(rights: Rights, tmp_path: Path) -> None:
    former, service = dict(rights.keys), rights.settings.secret("tiles.key").read_text()
    output = tmp_path / "keys.json"
    asyncio.run(run(rights.settings, with_demonstration=True, output=output, admin=tmp_path / "admin.json"))
    assert output.stat().st_mode & 0o777 == 0o600
    fresh = json.loads(output.read_text())
    fresh |= json.loads((tmp_path / "admin.json").read_text())
    assert all(rights.exchange(api_key=key).status_code == 401 for key in former.values())
    assert all(rights.exchange(api_key=key).status_code == 200 for key in fresh.values())
    assert rights.settings.secret("tiles.key").read_text() == service, "a key that works is kept"
    rights.keys = fresh
    with psycopg.connect(rights.database.url("rights")) as connection:
        row = connection.execute("select count(*), sum(amount) from ledger_transaction where kind = 'grant'").fetchone()
    assert row == (2, 2000), "credits are granted once"


OPEN = """
import sys
from pathlib import Path
from bocage_rights.keyring import open_keyring
home = Path(sys.argv[1])
made = open_keyring(home / "secrets", home / "identity" / "public-keys.json")
print(made.pepper.hex(), made.signing.kid)
"""


def test_many_starters_agree_on_the_secrets(tmp_path: Path) -> None:
    starters = [
        subprocess.Popen([sys.executable, "-c", OPEN, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    opened = [starter.communicate(timeout=60)[0] for starter in starters]
    assert len(set(opened)) == 1
    assert opened[0].strip()
    assert sorted(p.name for p in (tmp_path / "secrets").iterdir()) == ["link-key", "pepper", "signing-key.json"]
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in (tmp_path / "secrets").iterdir())
    assert '"d"' not in (tmp_path / "identity" / "public-keys.json").read_text(), "the private half stays in"


def test_graceful_stop_does_not_wait_for_streams(rights: Rights) -> None:
    with rights.client() as client, client.stream("GET", "/identity/revocations") as stream:
        assert next(stream.iter_lines())
        started = time.monotonic()
        rights.stop()
        assert time.monotonic() - started < 5
    rights.start()


def test_bootstrap_command_prints_no_secret(rights: Rights, tmp_path: Path) -> None:
    environment = {
        "BOCAGE_HOME": str(rights.settings.home),
        "BOCAGE_DATABASE": rights.settings.database,
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, "-m", "bocage_rights.bootstrap"]
    refused = subprocess.run([*command, "--demonstration"], env=environment, capture_output=True, text=True)
    assert refused.returncode == 2 and "--output" in refused.stderr
    output = tmp_path / "admin.json"
    done = subprocess.run([*command, "--admin", str(output)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    (rights.keys["admin"],) = json.loads(output.read_text()).values()
    assert rights.keys["admin"].partition(".")[2] not in done.stderr
    assert rights.call("admin", "GET", "/rights/admin/organisations").status_code == 200
