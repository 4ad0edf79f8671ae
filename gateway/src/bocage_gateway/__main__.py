"""Runs the gateway on its TCP port."""

from __future__ import annotations

import uvicorn
from bocage_kit import logs
from bocage_kit.serve import settle

from bocage_gateway.app import create_app
from bocage_gateway.front import Front
from bocage_gateway.settings import GatewaySettings


def main() -> None:
    settings = GatewaySettings()
    logs.configure("gateway", settings.log_level)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Front,
        ws="none",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
    )
    settle()
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
