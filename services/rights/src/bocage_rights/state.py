"""What the application made at start, reached by handlers through the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from bocage_kit.peers import Peers
from bocage_kit.store import LocalStore
from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine

from bocage_rights.announcements import Announcements
from bocage_rights.denials import Denials
from bocage_rights.exchange import Exchange
from bocage_rights.keyring import Keyring
from bocage_rights.object_stores import ObjectStores
from bocage_rights.register import Takings
from bocage_rights.settings import RightsSettings


@dataclass(frozen=True)
class RightsState:
    settings: RightsSettings
    engine: AsyncEngine
    keyring: Keyring
    exchange: Exchange
    announcements: Announcements
    store: LocalStore
    takings: Takings
    denials: Denials
    object_stores: ObjectStores
    peers: Peers


def _state(request: Request) -> RightsState:
    return cast(RightsState, request.state.rights)


State = Annotated[RightsState, Depends(_state)]
