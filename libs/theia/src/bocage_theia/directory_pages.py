"""`python -m bocage_theia.directory_pages DOCS`: writes the page of the directory from its records."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bocage_theia import directory

Document = dict[str, Any]

PAGE = Path("reference/directory.md")


def page() -> str:
    records = directory.items()
    return "\n".join(
        [
            "# The directory",
            "",
            "Made by `python -m bocage_theia.directory_pages docs` from the records in"
            " `libs/theia/src/bocage_theia/directory`, the vocabulary and the product lines.",
            "",
            "Services, organisations, networks, uses and trainings are items of five collections with"
            ' `"bocage:records": true`. A search that names neither collections nor ids nor a text leaves them out.',
            "",
            "| member of a record | what |",
            "|---|---|",
            "| `bocage:service` | of services: `kind`, `status` (`internal`: our `process` does it; `external`),"
            " the columns of the presentation's table, `spdx` |",
            "| `bocage:record` | of others: `kind`, and what is told, such as `host`, `state`, `members`,"
            " `participants`, `days` |",
            "| `themes`, `contacts` | concepts of the vocabulary; who answers |",
            "| `bocage:unknown`, `bocage:sources` | what no source tells; where the rest comes from |",
            "| links `related`, `about`, `process` | product lines and other records; pages; our process |",
            "",
            "The links of a tool to product lines are of what it can take as input, and are our reading. The"
            " geometry is the town, region or country that the record is about, or else the world. A record without"
            " dates holds for the year of the presentation, 2024.",
            "",
            "## Services as the presentation lists them",
            "",
            "| | Produit | Zone | Licence | Accès |",
            "|---|---|---|---|---|",
            *(f"| {' | '.join(row)} |" for row in directory.services_table()),
            "",
            f"## All {len(records)} records",
            "",
            "`?`: what no source tells.",
            *_lists(records),
            "",
        ]
    )


def _lists(records: Iterable[Document]) -> Iterable[str]:
    holder = ""
    for record in records:
        if record["collection"] != holder:
            holder = record["collection"]
            yield from ("", f"### `{holder}`", "", "| record | what | ? |", "|---|---|---|")
        properties = record["properties"]
        missing = ", ".join(properties.get("bocage:unknown", ()))
        kind = (properties.get("bocage:service") or properties["bocage:record"])["kind"]
        yield f"| `{record['id']}` | {properties['title']} ({kind}) | {missing} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bocage_theia.directory_pages", description=__doc__)
    parser.add_argument("docs", type=Path, help="the folder of the documentation")
    (parser.parse_args().docs / PAGE).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
