"""What the gateway is told besides what every service is told."""

from __future__ import annotations

import ipaddress

from bocage_kit.settings import Listed, ServiceSettings
from bocage_kit.urls import PublicAddress
from pydantic import field_validator


class GatewaySettings(ServiceSettings):
    """Where to listen, and whom to believe about the public address."""

    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str | None = None
    trusted_proxies: Listed = ()
    allowed_hosts: Listed = ()
    oidc_issuers: Listed = ()
    """Providers whose tokens are taken; `rights` checks them."""
    upstream_seconds: float = 60.0
    """How long a service may stay silent before the caller gets 504."""
    client_seconds: float = 60.0
    """How long a caller may stay silent while it sends or reads."""
    restart_patience: float = 3.0
    """How long requests wait for a service that is just restarting."""
    json_body_limit: int = 16 * 1024 * 1024

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network, strict=False)
        return value

    def address(self) -> PublicAddress:
        return PublicAddress(
            public_url=self.public_url or None,
            trusted_proxies=self.trusted_proxies,
            allowed_hosts=frozenset({"127.0.0.1", "localhost", "[::1]", *(x.lower() for x in self.allowed_hosts)}),
        )
