"""`python -m bocage_theia.product_pages DOCS`: writes the pages that are made from the records."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bocage_theia.product_records import NONE, UNKNOWN, Record, records, shared_words, unknown_facts

UNKNOWN_PAGE = Path("unknown-facts.md")
PRODUCTS_PAGE = Path("reference/products.md")
_MADE = (
    "Made by `python -m bocage_theia.product_pages docs` from the records in `libs/theia/src/bocage_theia/products`."
)


_MEMBERS = (
    ("bocage:status", "`operational`, `in-progress` or `planned`"),
    ("bocage:revisit", "how often there is a new one, an ISO 8601 duration"),
    ("bocage:unknown", "facts that no source gives"),
    ("bocage:sources", "where the facts come from: `title`, and `href` where there is one"),
    ("bocage:valid_range", "in files and bands: least and most in units of the quantity"),
    ("bocage:bits", "in styles: which of the `classification:bitfields` are drawn, the first on top"),
    ("bocage:translations", "in files, bands, classes and styles too: their French names"),
)


def pages() -> dict[Path, str]:
    """The pages by their place under the docs folder."""
    read, shared = records(), shared_words()
    return {UNKNOWN_PAGE: unknown_page(read), PRODUCTS_PAGE: products_page(read, shared)}


def unknown_page(read: Mapping[str, Record]) -> str:
    missing = {name: unknown_facts(record) for name, record in read.items()}
    counts = Counter(fact for facts in missing.values() for fact in facts)
    lines = [
        "# Facts that no source gives",
        "",
        f"{_MADE} A record says `unknown` rather than inventing; its collection lists the same under `bocage:unknown`.",
        "`encoding`: how numbers are written, and their plausible range, is the platform's own choice for its samples.",
        "",
        f"{sum(counts.values())} facts of {sum(map(bool, missing.values()))} product lines of {len(read)}:",
        ", ".join(f"{fact} {count}" for fact, count in sorted(counts.items(), key=lambda each: (-each[1], each[0])))
        + ".",
        "",
        "| product line | unknown |",
        "|---|---|",
        *(f"| `{name}` | {', '.join(facts)} |" for name, facts in sorted(missing.items()) if facts),
    ]
    return "\n".join(lines) + "\n"


def products_page(read: Mapping[str, Record], shared: Record) -> str:
    lines = [
        "# Product lines",
        "",
        f"{_MADE} `?` is a fact that no source gives ([all of them](../unknown-facts.md)), – one that there cannot be.",
        "How a record is written: [add a product line](../how-to/add-a-product-line.md).",
        "",
        "| collection | what | variables | CDS | resolution, m | revisit | licence | styles |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(name, record) for name, record in sorted(read.items())),
        "",
        "## Members of our own",
        "",
        "| member | what |",
        "|---|---|",
        *(f"| `{name}` | {what} |" for name, what in _MEMBERS),
        "",
        "## Sources",
        "",
        *(
            f"- {_source(source)}"
            for key, source in sorted(shared["sources"].items(), key=lambda each: str(each[1]["title"]))
            if any(key in (*record["sources"], *record.get("publications", ())) for record in read.values())
        ),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, record: Record) -> str:
    cells = [
        f"`{name}`",
        f"{record['title']['en']}<br>{record['title']['fr']}",
        ", ".join(record["variables"]),
        *(_fact(record[key]) for key in ("cds", "gsd", "revisit", "licence")),
        ", ".join(f"`{style}`" for style in record.get("styles", ())) or "–",
    ]
    return f"| {' | '.join(cells)} |"


def _fact(fact: Any) -> str:
    if isinstance(fact, list):
        return ", ".join(map(str, fact))
    return {UNKNOWN: "?", NONE: "–"}.get(fact, str(fact))


def _source(source: Record) -> str:
    return f"[{source['title']}]({source['href']})" if "href" in source else str(source["title"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the pages about product lines from their records.")
    parser.add_argument("docs", type=Path, help="the docs folder")
    folder: Path = parser.parse_args().docs
    for place, text in pages().items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
