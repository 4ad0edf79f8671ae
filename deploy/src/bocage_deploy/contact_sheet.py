"""Every synthetic sample in each of its styles, with its legend, on one sheet: to be looked at by people.

What can be told without eyes is told too: a picture that isn't sent, or shows nothing, or one colour where there ought
to be many.
"""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import numpy as np
import rasterio
import typer
from bocage_client import connect
from bocage_client.client import Client
from bocage_client.errors import BocageError
from bocage_tiles import lettering
from bocage_tiles.drawing import encode
from bocage_tiles.legend_pictures import wrapped
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from bocage_deploy.demo import read_env_file
from bocage_deploy.platform import Accounts

Say = Callable[[str], None]
Pixels = NDArray[np.uint8]
_CARD, _GAP, _PICTURE, _COLUMNS = 264, 12, (240, 200), 6
_AT_ONCE = 4
_SAMPLES = {"op": "=", "args": [{"property": "bocage:synthetic"}, True]}


class NoSamples(Exception):
    """The platform holds nothing to look at."""


@dataclass(frozen=True)
class Wanted:
    """A sample in one of its styles."""

    collection: str
    item: str
    title: str
    style: str

    @property
    def name(self) -> str:
        return f"{self.collection}/{self.item} {self.style}"

    @property
    def path(self) -> str:
        return f"/tiles/collections/{quote(self.collection, safe='')}/items/{quote(self.item, safe='')}"


@dataclass(frozen=True)
class Card:
    """What came of it: PNG pictures, or why there are none. `fault` may come with pictures."""

    wanted: Wanted
    preview: bytes = b""
    legend: bytes = b""
    fault: str | None = None


def command(
    output: Annotated[Path, typer.Option(help="A picture, or a page where it ends in .html.")] = Path("samples.png"),
    language: Annotated[Literal["en", "fr"], typer.Option(help="Of titles and legends.")] = "en",
    env_file: Annotated[Path, typer.Option(help="Where `make up` wrote the keys.")] = Path(".bocage/demo.env"),
) -> None:
    """Draw every synthetic sample in each of its styles, with its legend, on one sheet; exit code 1 if any failed."""

    def say(text: str) -> None:
        typer.echo(text, err=True)

    # Pictures have no place on earth, and need none here.
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    accounts = read_env_file(env_file)
    try:
        if accounts is None:
            raise NoSamples(f"{env_file} holds no keys. Start the platform first: make up.")
        failed = make_sheet(accounts, output, language, say)
    except (NoSamples, BocageError, OSError) as error:
        say(f"bocage: {error}")
        raise typer.Exit(1) from error
    typer.echo(output)
    for card in failed:
        say(f"failed: {card.wanted.name}: {card.fault}")
    if failed:
        raise typer.Exit(1)


def make_sheet(accounts: Accounts, output: Path, language: str, say: Say) -> list[Card]:
    """Draw all and write the sheet (`.html`, else PNG). The cards that failed. Raises NoSamples and BocageError."""
    with connect(accounts.url, accounts.researcher) as client:
        wanted = list(_wanted(client, language))
        if not wanted:
            raise NoSamples("There are no synthetic samples with styles. Load them first: make demo.")
        say(f"{len(wanted)} pictures of {len({(each.collection, each.item) for each in wanted})} samples …")
        cards = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done, card in enumerate(pool.map(lambda each: _card(client, each, language), wanted), 1):
                cards.append(card)
                if done % 20 == 0 or done == len(wanted):
                    say(f"  {done} of {len(wanted)}")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(as_html(cards) if output.suffix == ".html" else as_png(cards))
    return [card for card in cards if card.fault is not None]


def _wanted(client: Client, language: str) -> Iterator[Wanted]:
    styles = {
        collection["id"]: collection["renders"]
        for collection in _pages(client, "GET", "/stac/collections", {"limit": 100}, "collections")
        if collection.get("renders")
    }
    spoken = {"Accept-Language": language}
    question = {"filter-lang": "cql2-json", "filter": _SAMPLES, "limit": 100}
    items = sorted(
        _pages(client, "POST", "/stac/search", question, "features", spoken),
        key=lambda item: (item["collection"], item["id"]),
    )
    for item in items:
        for style in sorted(item.get("renders") or styles.get(item["collection"]) or {}):
            title = str(item["properties"].get("title") or item["id"])
            yield Wanted(item["collection"], item["id"], title, style)


def _pages(
    client: Client,
    method: str,
    path: str,
    question: Mapping[str, Any],
    member: str,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Any]:
    """All there is, page after page, as the links say."""
    options: dict[str, Any] = {"params": question} if method == "GET" else {"json": question}
    while True:
        page = client.transport.send(method, path, repeatable=True, headers=headers, **options).json()
        yield from page[member]
        following = next((link for link in page["links"] if link["rel"] == "next"), None)
        if following is None:
            return
        method, path = following.get("method", "GET"), following["href"]
        options = {"json": following["body"]} if "body" in following else {}


def _card(client: Client, wanted: Wanted, language: str) -> Card:
    asked: dict[str, str | int] = {"style": wanted.style}
    sized = {"max_size": max(_PICTURE)}
    labelled = asked | {"language": language}
    try:
        preview = client.transport.send("GET", f"{wanted.path}/preview.png", params=asked | sized).content
        about = client.transport.send("GET", f"{wanted.path}/legend.json", params=labelled).json()
        size = {"width": _PICTURE[0]}
        legend = client.transport.send("GET", f"{wanted.path}/legend.png", params=labelled | size).content
    except BocageError as error:
        return Card(wanted, fault=str(error))
    return Card(wanted, preview, legend, looks_wrong(decoded(preview), about["kind"]))


def looks_wrong(picture: Pixels, kind: str) -> str | None:
    """What a machine can see: nothing drawn, or one colour where values ought to differ."""
    drawn = picture[picture[..., 3] > 0]
    if not len(drawn):
        return "the picture shows nothing"
    if kind in ("ramp", "composite") and len(np.unique(drawn[:, :3], axis=0)) < 2:
        return "the picture has one colour only: is the range that of the data?"
    return None


def decoded(png: bytes) -> Pixels:
    """(height, width, 4) of a PNG."""
    with rasterio.open(io.BytesIO(png)) as picture:
        bands = picture.read()
    if len(bands) == 3:
        bands = np.concatenate([bands, np.full((1, *bands.shape[1:]), 255, np.uint8)])
    pixels: Pixels = np.moveaxis(bands, 0, 2)
    return pixels


def as_png(cards: Sequence[Card]) -> bytes:
    """The cards in columns, each beneath the shortest."""
    drawn = [_drawn(card) for card in cards]
    columns = min(_COLUMNS, len(drawn))
    heights, places = [_GAP] * columns, []
    for picture in drawn:
        column = heights.index(min(heights))
        places.append((column, heights[column]))
        heights[column] += len(picture) + _GAP
    sheet = np.full((max(heights), columns * (_CARD + _GAP) + _GAP, 3), 225, np.uint8)
    for picture, (column, top) in zip(drawn, places, strict=True):
        left = _GAP + column * (_CARD + _GAP)
        sheet[top : top + len(picture), left : left + _CARD] = picture
    opaque = np.dstack([sheet, np.full(sheet.shape[:2], 255, np.uint8)])
    return encode(np.ascontiguousarray(np.moveaxis(opaque, 2, 0)), "png")


def _drawn(card: Card) -> Pixels:
    """One card: where it is from, the picture on a chequered ground, the legend, and what is wrong."""
    room = _CARD - 2 * _GAP
    wanted = card.wanted
    parts = [_written(wanted.collection, 13, room, bold=True), _written(f"{wanted.style} · {wanted.item}", 12, room)]
    parts.append(_written(wanted.title, 12, room))
    if card.preview:
        parts.append(_on_ground(decoded(card.preview)))
    if card.legend:
        parts.append(decoded(card.legend)[..., :3])
    if card.fault is not None:
        parts.append(_written(card.fault, 12, room, colour=(200, 20, 20)))
    picture = np.full((sum(len(part) + 6 for part in parts) + _GAP, _CARD, 3), 255, np.uint8)
    top = 8
    for part in parts:
        picture[top : top + len(part), _GAP : _GAP + part.shape[1]] = part
        top += len(part) + 6
    return picture


def _written(
    text: str, size: int, room: int, *, bold: bool = False, colour: tuple[int, int, int] = (40, 40, 40)
) -> Pixels:
    lines = list(wrapped(text, size, room, most=6, bold=bold))
    made = np.full((len(lines) * (size + 4) + 2, room, 3), 255, np.uint8)
    for number, line in enumerate(lines, 1):
        lettering.write(made, line, (2, number * (size + 4) - 3), size, colour, bold=bold)
    return made


def _on_ground(picture: Pixels) -> Pixels:
    """The picture shrunk or enlarged by whole steps to its frame, over squares that show where it is clear."""
    width, height = _PICTURE
    step = max(1, -(-picture.shape[0] // height), -(-picture.shape[1] // width))
    picture = picture[::step, ::step]
    larger = max(1, min(height // picture.shape[0], width // picture.shape[1]))
    picture = picture.repeat(larger, 0).repeat(larger, 1)
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    ground = np.where((rows // 8 + columns // 8) % 2, 235, 210)[..., None]
    solid = picture[..., 3:] / 255
    return (ground + (picture[..., :3] - ground) * solid).round().astype(np.uint8)


def as_html(cards: Sequence[Card]) -> bytes:
    """The same as one page that needs nothing else."""

    def image(png: bytes, about: str) -> str:
        return f'<img alt="{html.escape(about)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'

    def card(each: Card) -> str:
        name, title = html.escape(each.wanted.name), html.escape(each.wanted.title)
        preview = image(each.preview, f"Preview of {each.wanted.name}") if each.preview else ""
        legend = image(each.legend, f"Legend of {each.wanted.name}") if each.legend else ""
        fault = f'<p class="fault">{html.escape(each.fault)}</p>' if each.fault is not None else ""
        return f"<figure><figcaption><b>{name}</b><br>{title}</figcaption>{preview}{legend}{fault}</figure>"

    failed = [f"<li>{html.escape(c.wanted.name)}: {html.escape(c.fault)}</li>" for c in cards if c.fault is not None]
    listed = f"<h2>Failed</h2><ul>{''.join(failed)}</ul>" if failed else ""
    style = (
        "body{font:14px sans-serif;background:#e1e1e1}main{display:flex;flex-wrap:wrap;gap:12px;align-items:start}"
        "figure{background:#fff;width:240px;padding:12px;margin:0}img{display:block;max-width:240px;margin-top:6px}"
        ".fault{color:#c81414}figcaption{overflow-wrap:anywhere}"
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Contact sheet</title><style>{style}</style>'
        f"<h1>{len(cards)} samples in their styles</h1>{listed}<main>{''.join(map(card, cards))}</main></html>\n"
    )
    return page.encode()
