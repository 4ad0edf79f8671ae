"""The measurement of a large catalogue as a page: what was found beside what was promised."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from typing import Any


def _row(what: str, found: str, bound: str, well: bool) -> str:
    return f"| {what} | {found} | {bound} | {'holds' if well else '**fails**'} |"


def _milliseconds(found: Mapping[str, Any], name: str, most: float) -> tuple[str, str, bool]:
    if "refused" in found:
        return str(found["refused"]), f"< {most:.0f} ms", False
    return f"{found[name]:.1f} ms", f"< {most:.0f} ms", bool(found[name] < most)


def report(results: Mapping[str, Any], each: int) -> tuple[str, bool]:
    """The page as Markdown, and whether everything holds."""
    searches, stopped, killed, settled = (results[name] for name in ("searches", "killed API", "killed", "settled"))
    bare, ours, sent = (results["loaded"][name] for name in ("bare", "ours", "sent"))
    rows: list[tuple[str, str, str, bool]] = [
        ("place + time + cloud cover, limit 10, p95", *_milliseconds(searches["search"], "p95", 100)),
        ("the same, p99", *_milliseconds(searches["search"], "p99", 250)),
    ]
    ratio = searches["last"]["p50"] / searches["first"]["p50"]
    rows.append(("page 100 beside the first page, p50", f"{ratio:.2f} ×", "≤ 1.5 ×", ratio <= 1.5))
    for name in ("by month", "by collection"):
        rows.append((f"aggregation {name}, p95", *_milliseconds(searches[name], "p95", 100)))
        rows.append(
            (
                f"aggregation {name}, place and time, slowest",
                *_milliseconds(searches[f"{name}, filtered"], "max", 30_000),
            )
        )
    rows += [
        ("ingest through the API", f"{sent:.0f} items/s", f"≥ {bare:.0f} items/s", sent >= bare),
        ("`pypgstac load` into ours", f"{bare / ours:.2f} × as long", "≤ 2 ×", bare / ours <= 2),
        (
            f"API killed half-way ({stopped['again']:.0f} batches sent again)",
            f"{stopped['missing']} lost, {stopped['differ']} not found", "0",
            not stopped["missing"] and not stopped["differ"],
        ),
        (
            f"`pypgstac load` killed after {killed['before']} of {each} items, and again",
            f"{killed['missing']} lost, {killed['differ']} not found", "0",
            not killed["missing"] and not killed["differ"],
        ),
        ("items that searches find otherwise than pgSTAC has them", str(settled["differ"]), "0", not settled["differ"]),
    ]  # fmt: skip
    well = all(row[3] for row in rows)
    search = searches["search"]
    text = f"""# The catalogue at {settled["items"]} items

Written by `make bench-large` on {time.strftime("%-d %B %Y")}: {os.cpu_count()} processors, {platform.system()}
{platform.release()}, everything on one machine, through the gateway with an API key, one request at a time; the items
({results["made"] / 1000:.1f} kB each, in {settled["items"] // each} collections) are made up, and the same each time.

| what | found | promised | |
|---|---|---|---|
{chr(10).join(_row(*row) for row in rows)}

Searches by place, time and cloud cover: {search["n"]} different ones, {search["hits"]:.1f} hits on the first page on average;
p50 {search["p50"]:.1f} ms, p95 {search["p95"]:.1f} ms, p99 {search["p99"]:.1f} ms, slowest {search["max"]:.1f} ms.
First page of everything in a period: p50 {searches["first"]["p50"]:.1f} ms; page 100, reached by links: p50 {searches["last"]["p50"]:.1f} ms.
`pypgstac load` of one collection: {bare:.0f} items/s into a pgSTAC with nothing beside it, {ours:.0f} items/s into ours while the
platform runs. All three rates are medians of five loads, each of another collection, in turn.
"""  # noqa: E501
    return text, well
