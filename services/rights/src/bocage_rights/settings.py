"""What the rights service is told besides the usual."""

from __future__ import annotations

from typing import Self

from bocage_kit.settings import Listed, ServiceSettings
from pydantic import field_validator, model_validator

from bocage_rights.providers import check_issuer

GIBIBYTE = 1 << 30


class RightsSettings(ServiceSettings):
    """Limits; every one is shown to the account by `/rights/quotas`."""

    max_object_bytes: int = 32 * GIBIBYTE
    max_organisation_bytes: int = 512 * GIBIBYTE
    max_keys_per_person: int = 20
    max_tile_tokens_per_key: int = 200
    oidc_issuers: Listed = ()
    """OpenID Connect providers whose tokens are taken."""
    oidc_audience: str = ""
    """What a token must have been made for: the name of this platform at the providers."""
    alive_seconds: float = 5.0
    """How often the stream of revocations says that it lives."""

    @field_validator("oidc_issuers")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_issuer(issuer) for issuer in value)

    @model_validator(mode="after")
    def _audience(self) -> Self:
        if self.oidc_issuers and not self.oidc_audience:
            raise ValueError("BOCAGE_OIDC_ISSUERS needs BOCAGE_OIDC_AUDIENCE: else tokens made for others would do")
        return self
