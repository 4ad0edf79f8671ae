"""Runs one service behind its unix socket."""

from __future__ import annotations

import asyncio
import gc
import os
from functools import partial
from pathlib import Path
from typing import cast

import uvicorn
from fastapi import FastAPI

from bocage_kit import logs
from bocage_kit.front import Front, Memory
from bocage_kit.service import Fronted


def settle() -> None:
    """What was made before the first request stays until the end: it is not searched for cycles again and again."""
    gc.collect()
    gc.freeze()


def serve(app: FastAPI, *, name: str, sockets: Path, log_level: str = "INFO") -> None:
    """Serve `app` on `<sockets>/<name>.sock` until SIGTERM; only this user may connect."""
    logs.configure(name, log_level)
    os.umask(0o077)
    sockets.mkdir(parents=True, exist_ok=True)
    quick = app.quick if isinstance(app, Fronted) else None
    config = uvicorn.Config(
        app,
        uds=str(sockets / f"{name}.sock"),
        loop="uvloop",
        http=cast("type[asyncio.Protocol]", partial(Front, memory=Memory(), quick=quick)),
        interface="asgi3",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
    )
    settle()
    uvicorn.Server(config).run()
