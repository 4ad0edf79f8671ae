"""`/stac/vocabulary`: schemes and concepts, in JSON and as SKOS, with what there is about each."""

from __future__ import annotations

from typing import Any

import pytest
import rdflib
from bocage_catalogue.skos import CONTEXT, JSON_LD
from bocage_theia.vocabulary import SCHEMES, vocabulary
from test_catalogue_subjects import MADE

BASE = "http://127.0.0.1:8000/stac/vocabulary"
SKOS = "http://www.w3.org/2004/02/skos/core#"


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any) -> None:
    for name, members in MADE.items():
        made = catalogue.collection(name, **{"bocage:audience": "public", "title": name.title(), **members})
        assert catalogue.service.post("/stac/collections", json=made | {"bocage:licences": ["CC-BY-NC-4.0"]})


def get(catalogue: Any, path: str = "", who: str = "anonymous", **headers: str) -> Any:
    answer = getattr(catalogue, who).get(f"/stac/vocabulary{path}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["vary"] == "Accept, Accept-Encoding, Accept-Language"
    return answer.json()


def test_the_root_leads_to_it(catalogue: Any) -> None:
    (link,) = [x for x in catalogue.anonymous.get("/stac").json()["links"] if x["rel"] == "vocabulary"]
    assert link["href"] == BASE
    told = get(catalogue)
    assert [scheme["id"] for scheme in told["schemes"]] == list(SCHEMES)
    assert {scheme["id"]: scheme.get("parameter") for scheme in told["schemes"]} == {
        "variables": "variable", "themes": "theme", "cds": "cds", "ces": "ces", "art": "art", "portals": "portal",
        "domains": None, "licences": None,
    }  # fmt: skip
    for scheme in told["schemes"]:
        shown = get(catalogue, f"/{scheme['id']}")
        assert shown["title"] == scheme["title"] and len(shown["concepts"]) == scheme["size"]


def test_every_concept_has_a_page_like_its_entry(catalogue: Any) -> None:
    for scheme in vocabulary().schemes.values():
        entries = {one["id"]: one for one in get(catalogue, f"/{scheme.id}")["concepts"]}
        assert list(entries) == list(scheme.concepts)
        for name, entry in entries.items():
            page = get(catalogue, f"/{scheme.id}/{name}")
            assert {k: v for k, v in page.items() if k != "links"} == {k: v for k, v in entry.items() if k != "links"}
            assert page["labels"] == dict(scheme.concepts[name].labels)


def test_what_is_told_of_a_concept(catalogue: Any) -> None:
    told = get(catalogue, "/variables/mangrove", **{"Accept-Language": "fr"})
    assert told["title"] == "Mangrove" and told["broader"] == ["descriptive-variables", "semi-natural-spaces"]
    assert told["themes"] == ["water", "land"]
    assert get(catalogue, "/variables/albedo", **{"Accept-Language": "fr"})["title"] == "Albédo"
    assert get(catalogue, "/art/bretagne")["state"] == "active"
    assert "state" not in get(catalogue, "/art/nouvelle-caledonie-pacifique")
    assert get(catalogue, "/cds/montpellier")["host"] == "INRAE-IRD"
    assert get(catalogue, "/ces/snow")["assumed"] is True and "assumed" not in get(catalogue, "/ces/fire")
    assert "evapotranspiration" in get(catalogue, "/themes/water")["variables"]
    theia = get(catalogue, "/portals/theia")
    assert theia["contacts"] == [{"name": "Pôle THEIA", "email": "theia@data-terra.org"}]


def test_counts_are_those_of_what_the_caller_sees(catalogue: Any) -> None:
    for who, bright in (("anonymous", ["bright"]), ("administrator", ["bright", "hidden"])):
        told = get(catalogue, "/variables/albedo", who)
        assert told["collections"] == len(bright)
        held = [x["href"].rpartition("/")[2] for x in told["links"] if x["rel"] == "collection"]
        assert held == bright
        assert get(catalogue, "/variables/direct-variables", who)["collections"] == len(bright)
        entries = {one["id"]: one["collections"] for one in get(catalogue, "/cds", who)["concepts"]}
        assert entries == {"toulouse": 2, "montpellier": 2, "grenoble": len(bright) - 1, "strasbourg": 0}
        assert get(catalogue, "/licences/CC-BY-NC-4.0", who)["collections"] == len(bright) + 5
    # The number is what the search behind it finds.
    for scheme in ("variables", "themes", "cds", "ces", "art", "portals"):
        for one in get(catalogue, f"/{scheme}")["concepts"]:
            (data,) = [x["href"] for x in one["links"] if x["rel"] == "data"]
            found = catalogue.anonymous.get(data.removeprefix(catalogue.base)).json()
            assert found["numberMatched"] == one["collections"], one["id"]


def test_tags_and_languages(catalogue: Any) -> None:
    client = catalogue.anonymous
    tags = set()
    for path in ("", "/variables", "/variables/albedo"):
        for headers in ({}, {"Accept-Language": "fr"}, {"Accept": JSON_LD}):
            answer = client.get(f"/stac/vocabulary{path}", headers=headers)
            tag = answer.headers["etag"]
            tags.add(tag)
            again = client.get(f"/stac/vocabulary{path}", headers={**headers, "If-None-Match": tag})
            assert again.status_code == 304 and again.content == b""
            assert client.head(f"/stac/vocabulary{path}", headers=headers).headers["etag"] == tag
    assert len(tags) == 9
    by_parameter = client.get("/stac/vocabulary/variables?language=fr")
    assert by_parameter.headers["content-language"] == "fr" and "Albédo" in by_parameter.text


@pytest.mark.parametrize(
    ("query", "accept", "skos"),
    [
        ("", "*/*", False), ("", "application/json", False), ("", JSON_LD, True), ("?f=jsonld", "*/*", True),
        ("?f=json", JSON_LD, False), ("", f"{JSON_LD}, application/json;q=0.5", True),
        ("", f"{JSON_LD};q=0.2, application/json", False), ("", f"{JSON_LD};q=0", False), ("", "text/html", False),
        ("", f"{JSON_LD};q=zero", True), ("", "", False),
    ],
)  # fmt: skip
def test_which_form(catalogue: Any, query: str, accept: str, skos: bool) -> None:
    answer = catalogue.anonymous.get(f"/stac/vocabulary/cds{query}", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == (JSON_LD if skos else "application/json")
    assert ("@graph" in answer.json()) == skos


@pytest.mark.parametrize(
    ("path", "said"),
    [("/variabels", "variables"), ("/variables/abledo", "albedo"), ("/variables/zzz", ""), ("/cds/albedo", "")],
)
def test_what_there_is_not(catalogue: Any, path: str, said: str) -> None:
    answer = catalogue.anonymous.get(f"/stac/vocabulary{path}")
    assert answer.status_code == 404 and said in answer.json()["detail"]
    assert catalogue.anonymous.get(f"/stac/vocabulary{path}?f=jsonld").status_code == 404
    assert catalogue.anonymous.get("/stac/vocabulary?f=turtle").status_code == 400


def triples(catalogue: Any, path: str) -> set[tuple[str, str, str, str]]:
    """What the document says, with the addresses of its context: subject, predicate, object, language."""
    document = catalogue.anonymous.get(f"/stac/vocabulary{path}?f=jsonld").json()
    context = document["@context"]
    assert context == CONTEXT
    found = set()
    for node in document.get("@graph", [document]):
        for name, value in node.items():
            if name in ("id", "@context"):
                continue
            term = context[name]
            predicate = term["@id"].replace("skos:", SKOS) if isinstance(term, dict) else "type"
            by_language = value if isinstance(term, dict) and term.get("@container") == "@language" else {"": value}
            for language, values in by_language.items():
                for one in values if isinstance(values, list) else [values]:
                    found.add((node["id"], predicate, one.replace("skos:", SKOS), language.removeprefix("@none")))
    return found


def test_it_is_valid_skos(catalogue: Any) -> None:
    told = triples(catalogue, "")

    def pairs(name: str) -> set[tuple[str, str]]:
        return {(s, o) for s, p, o, _ in told if p == SKOS + name}

    kinds = {(s, o.removeprefix(SKOS)) for s, p, o, _ in told if p == "type"}
    concepts, schemes = ({s for s, kind in kinds if kind == name} for name in ("Concept", "ConceptScheme"))
    assert not concepts & schemes  # S9
    assert len(schemes) == len(SCHEMES) and len(concepts) == len(list(vocabulary()))
    assert all(o in schemes for _, o in pairs("inScheme")) and {s for s, _ in pairs("inScheme")} == concepts
    assert pairs("topConceptOf") == {(o, s) for s, o in pairs("hasTopConcept")}  # S8
    assert pairs("topConceptOf") <= pairs("inScheme")  # S7
    preferred = {(s, language, o) for s, p, o, language in told if p == SKOS + "prefLabel"}
    assert {(s, language) for s, language, _ in preferred} == {(s, x) for s in concepts for x in ("fr", "en")}
    assert len(preferred) == 2 * len(concepts)  # S14
    other = {(s, language, o) for s, p, o, language in told if p == SKOS + "altLabel"}
    assert other and not preferred & other  # S13
    broader = pairs("broader")
    assert broader == {(o, s) for s, o in pairs("narrower")}  # S25
    assert all(one in concepts for pair in broader | pairs("relatedMatch") for one in pair)
    above = set(broader)
    while more := {(s, z) for s, o in above for x, z in broader if x == o} - above:
        above |= more
    assert not any(s == o for s, o in above) and not above & pairs("relatedMatch")  # S27, and no circle
    for scheme in SCHEMES:
        assert triples(catalogue, f"/{scheme}") <= told
    assert triples(catalogue, "/variables/mangrove") <= told


def test_rdf_software_reads_the_same(catalogue: Any) -> None:
    graph = rdflib.Graph().parse(data=catalogue.anonymous.get("/stac/vocabulary?f=jsonld").text, format="json-ld")
    skos = rdflib.Namespace(SKOS)
    mangrove = rdflib.URIRef(f"{BASE}/variables/mangrove")
    assert {str(x) for x in graph.objects(mangrove, skos.broader)} == {
        f"{BASE}/variables/descriptive-variables", f"{BASE}/variables/semi-natural-spaces",
    }  # fmt: skip
    assert rdflib.Literal("Albédo", lang="fr") in set(graph.objects(None, skos.prefLabel))
    assert rdflib.Literal("LAI") in set(graph.objects(None, skos.altLabel))
    ours = {(s, p, o) for s, p, o, _ in triples(catalogue, "") if p.startswith(SKOS)}
    theirs = {(str(s), str(p), str(o)) for s, p, o in graph if str(p).startswith(SKOS)}
    assert ours == theirs
