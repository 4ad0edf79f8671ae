"""Tokens of OpenID Connect providers at the door: carried to rights, never judged here."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest


def ask(platform: Any, shown: str) -> httpx.Response:
    return httpx.get(f"{platform.url}/stac/echo", headers={"Authorization": shown}, timeout=20)


def exchanges(platform: Any, secret: str) -> list[dict[str, str]]:
    return [shown for shown in platform.control("rights")["exchanges"] if secret in json.dumps(shown)]


def test_a_bearer_is_carried_to_rights_and_no_further(platform_with_issuer: Any) -> None:
    for scheme in ("Bearer", "bearer", "BEARER "):
        answer = ask(platform_with_issuer, f"{scheme} ada.claims.signature")
        assert answer.status_code == 200
        names = {name for name, _ in answer.json()["headers"]}
        assert "authorization" not in names and "bocage-identity" in names
    (shown,) = exchanges(platform_with_issuer, "ada.")
    assert shown["bearer"] == "ada.claims.signature" and "api_key" not in shown


def test_refusals_of_accounts_reach_the_caller(platform_with_issuer: Any) -> None:
    for _ in range(3):
        answer = ask(platform_with_issuer, "Bearer pending.a.b")
        assert (answer.status_code, answer.json()["code"]) == (403, "account-pending")
        assert answer.json()["detail"] == "Ask the referent of the lab."
    assert len(exchanges(platform_with_issuer, "pending.")) == 1
    for _ in range(2):
        answer = ask(platform_with_issuer, "Bearer away.a.b")
        assert (answer.status_code, answer.json()["code"]) == (503, "provider-unavailable")
        assert answer.headers["retry-after"]
    assert len(exchanges(platform_with_issuer, "away.")) == 2, "that the provider is away is not remembered"


@pytest.mark.parametrize(
    "shown", ["Basic YTpi", "Bearer", "Bearer opaque", "Bearer a.b", "Bearer a.b.c.d", "Bearer a..c", "Bearer a b.c.d",
              "Bearer " + "x" * 9000 + ".b.c", "a.b.c"],
)  # fmt: skip
def test_what_is_no_token_never_reaches_rights(platform_with_issuer: Any, shown: str) -> None:
    before = len(platform_with_issuer.control("rights")["exchanges"])
    answer = ask(platform_with_issuer, shown)
    assert answer.status_code == 401 and "Bearer" in answer.headers["www-authenticate"]
    assert len(platform_with_issuer.control("rights")["exchanges"]) == before


def test_the_contract_names_the_provider_even_while_it_is_away(platform_with_issuer: Any) -> None:
    schemes = httpx.get(f"{platform_with_issuer.url}/openapi.json", timeout=30).json()["components"]["securitySchemes"]
    assert schemes["OpenIdConnect"]["openIdConnectUrl"] == "http://127.0.0.1:9/.well-known/openid-configuration"
    assert "OAuth2PasswordBearer" not in schemes
