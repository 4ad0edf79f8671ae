"""What the rights service is told besides the usual."""

from __future__ import annotations

from bocage_kit.settings import ServiceSettings

GIBIBYTE = 1 << 30


class RightsSettings(ServiceSettings):
    """Limits; every one is shown to the account by `/rights/quotas`."""

    max_object_bytes: int = 32 * GIBIBYTE
    max_organisation_bytes: int = 512 * GIBIBYTE
    max_keys_per_person: int = 20
    max_tile_tokens_per_key: int = 200
    alive_seconds: float = 5.0
    """How often the stream of revocations says that it lives."""
