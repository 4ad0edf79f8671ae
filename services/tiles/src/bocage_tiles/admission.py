"""Who may have a picture of what: visibility first, then the token's reach, then the licence of each asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from bocage_kit.access import Caller
from bocage_kit.audience import item_visible
from bocage_kit.identity import Identity, Level
from bocage_kit.licences import Decision, condition_of, decide, licences_of, refusal
from bocage_kit.peers import Peers
from bocage_kit.problems import Problem, not_found
from bocage_kit.store import LocalStore
from fastapi import Depends, Path, Request

from bocage_tiles.assets import Source, choose, source_of
from bocage_tiles.catalogue import Found, Items
from bocage_tiles.drawing import Stretches
from bocage_tiles.parameters import DrawParameters, DrawWish, ReadParameters, ReadWish
from bocage_tiles.raster import Datasets
from bocage_tiles.recalls import Recalls
from bocage_tiles.styles import Style, choose_style, styled

# A client that names a file or an address is told so, rather than left to think that it was read.
REFUSED_PARAMETERS = frozenset({"url", "urls", "src_path", "dataset", "datasets", "href", "file", "path", "source"})
CollectionId = Annotated[str, Path(min_length=1, max_length=256)]
ItemId = Annotated[str, Path(min_length=1, max_length=256)]


@dataclass(frozen=True)
class Parts:
    """What the service holds while it runs."""

    items: Items
    recalls: Recalls
    store: LocalStore
    datasets: Datasets
    stretches: Stretches
    peers: Peers


def parts(request: Request) -> Parts:
    held = request.state.parts
    assert isinstance(held, Parts)
    return held


def no_addresses(request: Request) -> None:
    """400 for parameters that name files or addresses: rasters are named by collection, item and asset."""
    for name in request.query_params:
        if name.lower() in REFUSED_PARAMETERS:
            raise Problem(
                400, "address-refused", f"{name} is not accepted: name rasters by collection, item and asset."
            )


@dataclass(frozen=True)
class Admitted:
    """A caller before an item that it may see."""

    identity: Identity
    collection_id: str
    item_id: str
    found: Found
    token: str | None
    parts: Parts
    explicit: frozenset[str]
    """Names of the parameters that the request holds."""

    @property
    def assets(self) -> Mapping[str, Mapping[str, Any]]:
        return self.found.assets

    @property
    def described(self) -> Mapping[str, Mapping[str, Any]]:
        return self.found.described

    def style(self, asked: ReadParameters) -> Style | None:
        """The style to draw with, when there is one. Raises a 400 problem for one that can't be drawn."""
        return choose_style(self.found.styles, asked.style, self.explicit)

    def drawn(self, asked: DrawParameters) -> DrawWish:
        """What to draw: the style's words where the request has none of its own."""
        return styled(self.style(asked), asked, self.explicit)

    def read(self, asked: ReadParameters) -> ReadWish:
        """What to read for values: a style counts when it is named."""
        return asked if asked.style is None else styled(self.style(asked), asked, self.explicit)

    def _decide(self, names: Sequence[str], level: Level) -> tuple[Decision, set[str]]:
        needed = {x for name in names for x in licences_of(self.found.collection, self.found.item, self.assets[name])}
        recalled = self.parts.recalls.reason(self.collection_id, self.item_id)
        condition = condition_of(self.found.collection, self.found.item, recalled)
        return decide(self.identity, needed, level, condition), needed

    def usable(self, style: Style, level: Level) -> tuple[Source, ...]:
        """The stored files that a style draws; none when the caller can't have them, or they aren't there."""
        if style.fault is not None or not self._decide(style.assets, level)[0].allowed:
            return ()
        try:
            return tuple(source_of(self.parts.store, name, self.assets[name]) for name in style.assets)
        except Problem:
            return ()

    async def sources(self, wanted: Sequence[str], level: Level) -> tuple[Source, ...]:
        """The stored files of the assets asked for. Raises 403 with the terms that are missing, 404, or 400."""
        names = choose(self.assets, wanted)
        for name in names:
            if name not in self.assets:
                raise not_found(f"The asset {name[:64]}")
        decision, needed = self._decide(names, level)
        if not decision.allowed:
            target = f"{self.collection_id}/{self.item_id}"
            terms = await self.parts.peers.required_terms(self.identity, decision.missing, level, target)
            raise refusal(decision, needed, terms)
        return tuple(source_of(self.parts.store, name, self.assets[name]) for name in names)


async def admitted(request: Request, collection_id: CollectionId, item_id: ItemId, identity: Caller) -> Admitted:
    """404 for an item that the caller may not see, 403 for one that its tile token does not cover."""
    held = parts(request)
    absent = not_found("The item")
    if "\x00" in collection_id or "\x00" in item_id:
        raise absent
    found = await held.items.get(collection_id, item_id, request.query_params.get("style"))
    if found is None or not item_visible(identity, found.collection, found.item):
        raise absent
    if identity.tiles is not None and not identity.tiles.covers(collection_id, item_id):
        raise Problem(403, "token-scope", "The tile token does not cover this item; ask for one that names it.")
    token = request.query_params.get("token") if identity.tiles is not None else None
    return Admitted(identity, collection_id, item_id, found, token, held, frozenset(request.query_params))


AtItem = Annotated[Admitted, Depends(admitted)]
