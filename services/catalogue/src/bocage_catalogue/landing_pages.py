"""The page to which a citable identifier leads, in French and English, with nothing from elsewhere. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from html import escape
from importlib import resources
from string import Template
from typing import Any

from bocage_kit.language import ENGLISH, FRENCH
from bocage_kit.licences import licences_of

from bocage_catalogue import citation as citing
from bocage_catalogue import language
from bocage_catalogue.citation import Name, Publication
from bocage_catalogue.deposits import WITHDRAWN, Row, landing_url, moment
from bocage_catalogue.minting import resolvable
from bocage_catalogue.present import Document, licence_url, stac
from bocage_catalogue.tombstones import successor_url

HEADERS = {
    # The description of the data set is no script that runs, but stands in an element of that name.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "public, max-age=60",
}
_FRENCH = {
    "Cite as": "Citer ainsi",
    "Identifier": "Identifiant",
    "for tests: it leads nowhere": "de test : il ne mène nulle part",
    "Version": "Version",
    "Published": "Publié le",
    "Authors": "Auteurs",
    "Contact": "Contact",
    "Licences": "Licences",
    "Period": "Période",
    "Area": "Emprise",
    "Keywords": "Mots-clés",
    "Data": "Données",
    "Collection (STAC)": "Collection (STAC)",
    "Items": "Objets",
    "Metadata (DataCite)": "Métadonnées (DataCite)",
    "Newer version": "Version plus récente",
    "Former version": "Version précédente",
    "This is not the latest version.": "Ceci n’est pas la dernière version.",
    "These data were withdrawn": "Ces données ont été retirées",
    "See in their place": "Voir à la place",
}


def _say(text: str, tongue: str) -> str:
    return _FRENCH[text] if tongue == FRENCH else text


@lru_cache
def _page() -> Template:
    return Template(resources.files("bocage_catalogue").joinpath("pages/landing.html").read_text("utf-8"))


def _link(href: str, text: str) -> str:
    """A link, where the href is one of the web; other schemes could run something."""
    if not href.startswith(("http://", "https://", "mailto:")):
        return escape(text)
    return f'<a href="{escape(href)}">{escape(text)}</a>'


def _person(name: Name) -> str:
    shown = escape(name.name)
    if name.affiliation:
        shown += f" ({escape(name.affiliation)})"
    if name.orcid:
        shown += f", ORCID {escape(name.orcid)}"
    return shown


def _contact(name: Name) -> str:
    return _person(name) + (f", {_link(f'mailto:{name.email}', name.email)}" if name.email else "")


def _facts(row: Row, document: Document, publication: Publication, tongue: str) -> Iterable[tuple[str, str]]:
    """(what, its HTML)."""
    test = "" if resolvable(publication.identifier) else f" ({_say('for tests: it leads nowhere', tongue)})"
    yield "Identifier", _link(citing.identifier_url(publication.identifier), f"doi:{publication.identifier}") + test
    yield "Version", escape(publication.version)
    yield "Published", escape(moment(publication.published)[:10])
    yield "Authors", "; ".join(_person(name) for name in citing.creators_of(document))
    yield "Contact", "; ".join(_contact(name) for name in citing.contacts_of(document))
    licences = licences_of(document)
    yield "Licences", ", ".join(_link(licence_url(publication.base, name), name) for name in licences)
    start, end = citing.period_of(document)
    yield "Period", escape(f"{start or '…'} – {end or '…'}") if start or end else ""
    boxes = citing.boxes_of(document)
    yield "Area", "; ".join(escape(", ".join(f"{edge:g}" for edge in box)) for box in boxes[:10])
    keywords = document.get("keywords")
    yield "Keywords", escape(", ".join(str(word) for word in keywords)) if isinstance(keywords, list) else ""
    for label, other in (("Newer version", row["superseded_by"]), ("Former version", row["supersedes"])):
        yield label, _link(landing_url(publication.base, other), other) if other else ""


def _notices(row: Row, publication: Publication, tongue: str) -> str:
    made = []
    if row["state"] == WITHDRAWN:
        text = f"{_say('These data were withdrawn', tongue)} ({moment(row['withdrawn'])[:10]}). {row['reason']}"
        following = successor_url(publication.base, row["successor"])
        more = f" {escape(_say('See in their place', tongue))}: {_link(following, following)}" if following else ""
        made.append(escape(text) + more)
    elif row["superseded_by"] is not None:
        newer = _link(landing_url(publication.base, row["superseded_by"]), _say("Newer version", tongue))
        made.append(f"{escape(_say('This is not the latest version.', tongue))} {newer}")
    return "\n".join(f'<p class="notice">{notice}</p>' for notice in made)


def _access(row: Row, base: str, tongue: str) -> str:
    name = row["collection"]
    own, data = stac(base, "collections", name), f"{stac(base, 'deposits', name)}/datacite"
    links = [] if row["state"] == WITHDRAWN else [(own, "Collection (STAC)"), (f"{own}/items", "Items")]
    links.append((data, "Metadata (DataCite)"))
    shown = "\n".join(f"<li>{_link(href, _say(text, tongue))}</li>" for href, text in links)
    return f"<h2>{escape(_say('Data', tongue))}</h2>\n<ul>\n{shown}\n</ul>"


def embedded(document: Document) -> str:
    """JSON within a page: nothing in it may end the element that it stands in."""
    text = json.dumps(document, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/ld+json">{text}</script>'


def page(row: Row, publication: Publication, tongue: str) -> str:
    """The landing page of a published deposit, or of one that was withdrawn."""
    document: dict[str, Any] = dict(row["document"])
    cited = citing.citation(document, publication)
    data = citing.schema_org(document, publication, stac(publication.base, "collections", row["collection"]))
    language.show(document, tongue)
    other = FRENCH if tongue == ENGLISH else ENGLISH
    facts = _facts(row, document, publication, tongue)
    return _page().substitute(
        lang=tongue,
        title=escape(citing.title_of(document)),
        data=embedded(data) if row["state"] != WITHDRAWN else "",
        publisher=escape(publication.publisher),
        other_url=escape(f"{publication.url}?language={other}"),
        other_lang=other,
        other_name=escape(str(language.about(other)["name"])),
        notices=_notices(row, publication, tongue),
        description="<br>\n".join(escape(line) for line in str(document.get("description") or "").splitlines()),
        cite_as=escape(_say("Cite as", tongue)),
        citation=escape(cited),
        facts="\n".join(f"<dt>{escape(_say(label, tongue))}</dt><dd>{shown}</dd>" for label, shown in facts if shown),
        access=_access(row, publication.base, tongue),
    )
