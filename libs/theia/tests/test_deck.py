"""Every line of the deck has its record, with the facts that its sources give, compared by value."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from bocage_theia import product_pages, products
from bocage_theia.product_records import records, unknown_facts
from bocage_theia.vocabulary import vocabulary

Document = dict[str, Any]
MOST_UNKNOWN = 575
"""Facts that no source gives, all lines together: this may shrink."""


class Line(NamedTuple):
    """A line of the deck. `asset` is the file that its unit, scale and nodata are of; None: there is no such fact."""

    collection: str
    deck: str
    variables: str
    cds: str | None
    licence: str
    gsd: str | None
    revisit: str | None
    asset: str | None
    unit: str | None
    scale: float | None
    nodata: float | None
    legend: str | None
    source: str


def rows(table: str) -> list[Line]:
    """Rows of a table whose cells are split by bars; `-` is no value."""
    made = []
    for row in table.strip().splitlines():
        cells: list[Any] = [None if cell.strip() == "-" else cell.strip() for cell in row.split("|")]
        numbers = [None if cell is None else float(cell) for cell in cells[9:11]]
        made.append(Line(*cells[:9], *numbers, *cells[11:]))
    return made


# collection | line of the deck | variables | CDS | licence | resolution | revisit
#            | file | unit | scale | nodata | style | source
DECK = rows("""
sentinel2-l2a-maja | Réflectance de surface / bande spectrale | surface-reflectance aerosol-optical-thickness water-vapour cloud-mask | toulouse | etalab-2.0 | 10 20 | P5D | FRE_B4 | 1 | 0.0001 | -10000 | true-colour | MAJA
sentinel2-l3a-wasp | Réflectance de surface (synthèse mensuelle) | monthly-synthesis | toulouse | etalab-2.0 | 10 20 | P1M | FRC_B4 | 1 | 0.0001 | -10000 | true-colour | WASP
water-reflectance | Réflectance des surfaces en eau | water-reflectance | - | other | - | P5D | Rrs_B4 | sr-1 | - | -9999 | true-colour | deck
sentinel1-s1tiling | Micro-onde | microwave | toulouse | other | - | - | vv | 1 | - | 0 | vv | S1Tiling
cesbio-s2albedo | Albédo | albedo | toulouse | etalab-2.0 | 10 | - | albedo | 1 | 0.0001 | -10000 | albedo | THEIA-MTD
surface-emissivity | Emissivité | emissivity | - | other | - | - | emissivity | 1 | - | -9999 | emissivity | CES
thermocity-lst | Collection de données thermiques sur 5 grandes métropoles françaises | surface-temperature emissivity | montpellier | etalab-2.0 | 30 70 90 | - | lst | K | - | -9999 | temperature | THEIA-MTD
mns-pleiades | Topographie (3D : raster/nuage pts); DSM-OPT | topography | strasbourg | CC-BY-NC-4.0 | - | - | dsm | m | - | -9999 | height | DINAMIS
lidar-hd | Topographie (3D : raster/nuage pts); lidarHD | topography | - | other | - | - | points | - | - | - | - | lidarHD
lst-modis-1km | MODIS 1km (Nasa) | surface-temperature | - | other | 1000 | - | lst | K | - | -9999 | temperature | deck
lst-aster-90m | ASTER 90m (Nasa) | surface-temperature | - | other | 90 | - | lst | K | - | -9999 | temperature | deck
lst-desirex-4m | données aéroportées 4m (Campagne Desirex, ESA) | surface-temperature | - | other | 4 | - | lst | K | - | -9999 | temperature | deck
lst-solene-50cm | LST modélisée 0,5m (SOLENE-Microclimat) | surface-temperature | - | other | 0.5 | - | lst | K | - | -9999 | temperature | deck
lst-ground-2cm | mesures au sol ~2cm | surface-temperature | - | other | 0.02 | - | lst | K | - | -9999 | temperature | deck
s2mp-rpg-fr | Humidité du sol THRS | soil-moisture-thrs | montpellier | etalab-2.0 | - | P6D | soil_moisture | vol.% | 0.2 | 0 | soil-moisture | THEIA-MTD
soil-moisture-hrs | Humidité du sol HRS | soil-moisture-hrs | - | other | - | - | soil_moisture | vol.% | - | -9999 | soil-moisture | deck
water-spm | Concentration matières en suspension | suspended-matter | toulouse | other | - | P5D | SPM_B4 | mg/L | - | -10000 | suspended-matter | GEODES
water-turbidity | Turbidité | turbidity | toulouse | other | - | P5D | turbidity | FNU | - | -9999 | turbidity | Dogliotti
water-chlorophyll-a | Concentration en Chlorophylle-a | chlorophyll-a | toulouse | other | - | P5D | chlorophyll_a | mg m-3 | - | -9999 | chlorophyll-a | GRSl2bgen
water-cdom | Coefficient d'abs. de MO. | cdom | toulouse | other | - | P5D | acdom | m-1 | - | -9999 | cdom | GRSl2bgen
water-toxic-algae | Présence d'algues toxique | toxic-algae | toulouse | other | - | - | presence | - | - | 255 | presence | deck
sediment-flux | Débit sédimentaire et d'éléments | sediment-flux | toulouse | other | - | - | series | - | - | - | - | deck
element-flux | Débit sédimentaire et d'éléments | element-flux | toulouse | other | - | - | series | - | - | - | - | deck
et-heat-fluxes | Flux de chaleur de surface | surface-heat-flux | - | other | 10 1000 | P1D | latent_heat | W m-2 | - | -9999 | latent-heat | EVASPA
et-net-radiation | Rayonnement net | net-radiation | - | other | 10 1000 | P1D | net_radiation | W m-2 | - | -9999 | net-radiation | EVASPA
et-daily | Evapotranspiration journalière | daily-evapotranspiration | - | other | 10 1000 | P1D | evapotranspiration | mm d-1 | - | -9999 | evapotranspiration | EVASPA
et-ten-day | Evapotranspiration décadaire | ten-day-evapotranspiration | - | other | 10 1000 | P10D | evapotranspiration | mm | - | -9999 | evapotranspiration | EVASPA
et-stress-index | Indice de stress | stress-index | - | other | 10 1000 | - | stress_index | 1 | - | -9999 | stress-index | CES
hydroweb-lakes | Hauteur des lacs et des rivières | water-level | toulouse | etalab-2.0 | - | P10D | series | - | - | - | - | Hydroweb
hydroweb-rivers | Hauteur des lacs et des rivières | water-level | toulouse | etalab-2.0 | - | P10D | series | - | - | - | - | Hydroweb
surfwater | Surfaces en eau | water-surface | toulouse | other | 10 | P5D | occurrence | % | - | 255 | water | SurfWater
water-volumes | Volumes d'eau | water-volume | - | other | - | - | series | - | - | - | - | deck
irrigated-plots | Irrigation (parcelle irriguée) | irrigation | - | other | - | - | irrigated | - | - | 255 | irrigated | Irrigation
mangrove | Mangrove | mangrove | - | other | - | - | mangrove | - | - | 255 | mangrove | deck
wetlands | Zones humides | wetlands | - | other | - | - | wetland | - | - | 255 | wetland | deck
oso-raster | Occupation des sols | land-cover | toulouse | etalab-2.0 | 10 | P1Y | oso | - | - | 0 | land-cover | CNES Land Cover
oso-vector | Echelle : 10 ~20m | land-cover | toulouse | etalab-2.0 | 20 | P1Y | polygons | - | - | - | - | CNES Land Cover
oso-intercultures | Carte des couverts intermédiaires (types d'intercultures) | intermediate-crops | toulouse | other | - | - | cover | - | - | 255 | cover | deck
poplar-groves | Peupleraie | poplar-groves | - | other | - | - | poplar | - | - | 255 | poplar-groves | deck
hedgerows | Haie | hedgerows | - | other | - | - | hedgerows | - | - | - | - | deck
burned-areas | Surfaces brûlées | burned-areas | - | other | - | - | burned | - | - | 255 | burned | fires
fire-contours | Contours de feux | fire-contours | - | other | - | - | contours | - | - | - | - | fires
grassland | Prairie | grassland | - | other | - | - | grassland | - | - | 255 | grassland | deck
urban-artificialised | Tache artificialisée | artificialised-area | - | other | - | - | artificialised | - | - | 255 | artificialised | deck
spot-6-7-buildings-footprint | Empreinte des bâtiments | building-footprint | montpellier | CC-BY-NC-4.0 | 1.5 | P1Y | buildings | - | - | - | - | Buildings
urban-fabric | Tissus urbains (morpho-types) | urban-fabric | - | other | - | - | fabric | - | - | 255 | fabric | deck
urban-change | Changements urbains | urban-change | - | other | - | - | change | - | - | 255 | change | deck
urban-vegetation | Végétation urbaine | urban-vegetation | - | other | - | - | vegetation | - | - | 255 | vegetation | deck
forest-basal-area | Surfaces terrières | basal-area | - | other | - | - | basal_area | m2 ha-1 | - | -9999 | basal-area | deck
fordead-fit | Santé des forêts | forest-health | montpellier | CC-BY-SA-4.0 | - | - | coefficients | 1 | - | -9999 | mean | fordead
fordead-predict | Santé des forêts | forest-health | montpellier | CC-BY-SA-4.0 | - | - | dieback | - | - | 255 | dieback | fordead
reconfort-chene | Santé des forêts | forest-health | montpellier | CC-BY-NC-SA-4.0 | - | - | health | - | - | 255 | health | RECONFORT
deforestation | Zone déforestation | deforestation | - | other | - | - | deforested | - | - | 255 | deforested | deck
sufosat | Coupe rase | clear-cut | montpellier | other | 10 | - | clear_cut_date | d | - | 0 | date | THEIA-MTD
landscape-classes | Classes paysagères | landscape-classes | - | other | - | - | classes | - | - | 255 | classes | deck
infectious-diseases | Maladies Infectieuses | infectious-diseases | - | other | - | - | - | - | - | - | - | deck
agricarbon-co2-flux | Flux nets annuels de CO₂ sur grandes cultures | co2-flux | - | other | 10 | P1Y | flux | g m-2 a-1 | - | -9999 | flux | AgriCarbon
agricarbon-biomass | Biomasse des grandes cultures | crop-biomass | - | other | 10 | P1Y | biomass | Mg ha-1 | - | -9999 | biomass | AgriCarbon
agricarbon-yield | Rendement | crop-yield | - | other | 10 | P1Y | yield | Mg ha-1 | - | -9999 | yield | AgriCarbon
biophy-sentinel2-l2b | Fraction de couverture de la végétation; Surface foliaire (LAI) | fcover lai | toulouse | other | - | P5D | LAI | m2 m-2 | - | -9999 | lai | GEODES
forms-t | Hauteur/Volume/Biomasse | height-volume-biomass | montpellier | other | 10 30 | P1Y | height | m | - | -9999 | height | FORMS
vod-smos | Vegetation Optical Depth (Low Res) | vod-low-resolution | - | other | 25000 | P1D | vod | 1 | - | -9999 | vod | SMOS-IC
vod-s1 | Vegetation Optical Depth (S1) | vod-sentinel1 | - | other | - | - | vod | 1 | - | -9999 | vod | CES Vegetation
phenology | Indicateurs phénologiques | phenology | - | other | - | - | start | d | - | 0 | start | deck
dynamic-habitat-index | Dynamic Habitat Index | dynamic-habitat-index | - | other | - | - | cumulative | 1 | - | -9999 | cumulative | deck
carbon-stock | Stock carbone | carbon-stock | - | other | - | - | carbon | Mg ha-1 | - | -9999 | carbon | deck
fire-severity | Sévérité des feux | fire-severity | - | other | - | - | dnbr | 1 | - | -9999 | severity | fires
soil-properties-languedoc-roussillon | Cartes de prédiction de propriétés des sols en Languedoc-Roussillon | soil-properties | - | other | - | - | clay | g kg-1 | - | -9999 | clay | Languedoc-Roussillon
soil-properties-bretagne | Cartographie interactive de propriétés de sols en Bretagne | soil-properties | - | other | - | - | clay | g kg-1 | - | -9999 | clay | deck
""")  # noqa: E501


@pytest.fixture(scope="module")
def made() -> dict[str, Document]:
    return {document["id"]: document for document in products.collections()}


def concepts(document: Document, scheme: str) -> list[str]:
    return [
        concept["id"]
        for theme in document["themes"]
        if theme["scheme"] == f"vocabulary/{scheme}"
        for concept in theme["concepts"]
    ]


def test_the_deck_and_nothing_else(made: dict[str, Document]) -> None:
    assert sorted(made) == sorted(line.collection for line in DECK)
    assert len(DECK) == len({line.collection for line in DECK}) == 69


@pytest.mark.parametrize("line", DECK, ids=lambda line: line.collection)
def test_a_line_and_its_facts(made: dict[str, Document], line: Line) -> None:
    document = made[line.collection]
    assert concepts(document, "variables") == line.variables.split()
    assert concepts(document, "cds") == ([line.cds] if line.cds else [])
    # DSM-OPT was made for ForM@Ter, with Theia and DINAMIS.
    also = {"formater"} if document["id"] == "mns-pleiades" else set()
    assert {"theia", "data-terra"} | also == set(concepts(document, "portals"))
    assert document["license"] == line.licence
    assert document.get("bocage:revisit") == line.revisit
    assert document["summaries"].get("gsd", []) == [float(value) for value in (line.gsd or "").split()]
    wanted = "Presentation of the THEIA hub" if line.source == "deck" else line.source
    assert any(wanted in source["title"] for source in document["bocage:sources"]), document["bocage:sources"]
    if line.asset is None:
        assert "item_assets" not in document
        return
    asset = document["item_assets"][line.asset]
    told = (asset.get("unit"), asset.get("raster:scale"), asset.get("nodata"))
    assert told == (line.unit, line.scale, line.nodata)
    if line.legend is None:
        assert "renders" not in document
    else:
        assert document["renders"][line.legend]["title"]
        assert document["renders"][line.legend]["assets"]


def test_what_is_unknown_is_said_and_not_stated(made: dict[str, Document]) -> None:
    for name, document in made.items():
        missing = set(document.get("bocage:unknown", ()))
        interval = document["extent"]["temporal"]["interval"]
        assert ("period" in missing) == (interval == [[None, None]]), name
        assert ("licence" in missing) == (document["license"] == "other"), name
        assert not ("cds" in missing and concepts(document, "cds")), name
        assert not ("ces" in missing and concepts(document, "ces")), name
        assert ("status" in missing) == ("bocage:status" not in document), name
        assert not ("revisit" in missing and "bocage:revisit" in document), name
        assert not ("resolution" in missing and "gsd" in document["summaries"]), name
        producing = [p for p in document["providers"] if {"producer", "processor"} & set(p.get("roles", ()))]
        assert ("producer" in missing) == (not producing), name


def test_unknown_facts_stand_in_the_page_and_do_not_grow(made: dict[str, Document], pytestconfig: Any) -> None:
    missing = {name: unknown_facts(record) for name, record in records().items()}
    assert sum(map(len, missing.values())) <= MOST_UNKNOWN
    assert {name: document.get("bocage:unknown", []) for name, document in made.items()} == missing
    docs = pytestconfig.rootpath / "docs"
    for place, text in product_pages.pages().items():
        said = (docs / place).read_text("utf-8")
        assert said == text, f"docs/{place} is not what `python -m bocage_theia.product_pages docs` writes"


def test_the_command_writes_the_pages(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "bocage_theia.product_pages", str(tmp_path)], check=True)
    written = {file.relative_to(tmp_path): file.read_text("utf-8") for file in tmp_path.rglob("*.md")}
    assert written == product_pages.pages()


def test_the_page_lists_each_unknown_fact() -> None:
    page = product_pages.unknown_page(records())
    assert "| `s2mp-rpg-fr` | level |" in page
    assert "| `oso-raster` | crs, nodata |" in page
    listed = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(listed) == sum(1 for record in records().values() if unknown_facts(record))


def test_concepts_are_those_of_the_vocabulary_and_every_variable_has_a_product(made: dict[str, Document]) -> None:
    words = vocabulary()
    for name, document in made.items():
        for theme in document["themes"]:
            scheme = theme["scheme"].removeprefix("vocabulary/")
            missing = [each["id"] for each in theme["concepts"] if each["id"] not in words.schemes[scheme].concepts]
            assert not missing, (name, scheme, missing)
    variables = words.schemes["variables"].concepts
    broader = {parent for concept in variables.values() for parent in concept.broader}
    told = {concept for document in made.values() for concept in concepts(document, "variables")}
    assert set(variables) - broader <= told
