"""Where samples lie: real places of France, of which the invented landscapes have the general character only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Water(Enum):
    RIVER = "river"
    LAKE = "lake"
    COAST = "coast"


@dataclass(frozen=True)
class Place:
    """What a landscape is like. Shares are of the whole ground; crops are classes of the land cover nomenclature."""

    name: str
    lon: float
    lat: float
    seed: int
    water: Water | None = Water.RIVER
    water_share: float = 0.04
    forest: float = 0.15
    conifers: float = 0.2
    town: float = 0.06
    crops: tuple[int, ...] = (6, 6, 5, 9, 10, 10, 8, 7, 13, 13)
    parcel_m: float = 170.0
    altitude: float = 180.0
    relief: float = 25.0
    air_k: float = 298.0
    turbidity: float = 1.0
    """Of the water, against that of a river in summer."""
    mangrove: bool = False


LAURAGAIS = Place("Lauragais", 1.72, 43.46, 1)
TOULOUSE = Place(
    "Toulouse", 1.44, 43.60, 2, town=0.62, forest=0.06, air_k=301.0, crops=(6, 9, 13), altitude=145, relief=6
)
STRASBOURG = Place(
    "Strasbourg", 7.75, 48.58, 3, town=0.6, forest=0.1, air_k=299.0, crops=(6, 10, 13), altitude=142, relief=4
)
MONTPELLIER = Place(
    "Montpellier", 3.88, 43.61, 4, town=0.6, forest=0.08, air_k=302.0, crops=(15, 13), altitude=40, relief=12
)
MEDOC = Place("Médoc", -0.82, 45.19, 5, Water.COAST, 0.4, crops=(15, 15, 13, 6), turbidity=8.0, altitude=8, relief=8)
GIRONDE = Place("Gironde", -0.86, 45.42, 6, Water.COAST, 0.62, crops=(15, 13, 6), turbidity=5.0, altitude=5, relief=6)
BERRE = Place(
    "Étang de Berre", 5.12, 43.45, 7, Water.COAST, 0.55, town=0.08, forest=0.1, turbidity=1.6, altitude=20, relief=20
)
LEMAN = Place("Léman", 6.45, 46.39, 8, Water.COAST, 0.6, town=0.06, turbidity=0.25, altitude=372, relief=30)
NAUSSAC = Place(
    "Naussac",
    3.82,
    44.75,
    9,
    Water.LAKE,
    0.22,
    forest=0.4,
    conifers=0.7,
    town=0.01,
    crops=(13, 13, 18),
    turbidity=0.5,
    altitude=945,
    relief=60,
    air_k=293.0,
)
CAMARGUE = Place(
    "Camargue",
    4.58,
    43.55,
    10,
    Water.LAKE,
    0.3,
    forest=0.02,
    town=0.01,
    crops=(11, 11, 13, 18, 6),
    turbidity=1.8,
    altitude=2,
    relief=1.5,
)
VOSGES = Place(
    "Vosges",
    7.02,
    48.05,
    11,
    None,
    0.0,
    forest=0.78,
    conifers=0.6,
    town=0.015,
    crops=(13, 13, 18),
    altitude=780,
    relief=190,
    air_k=292.0,
)
CHAMPENOUX = Place(
    "Lorraine",
    6.35,
    48.74,
    12,
    Water.RIVER,
    0.015,
    forest=0.6,
    conifers=0.12,
    town=0.03,
    crops=(6, 5, 10, 13),
    altitude=250,
    relief=25,
)
SOLOGNE = Place(
    "Sologne",
    1.95,
    47.55,
    13,
    Water.LAKE,
    0.04,
    forest=0.68,
    conifers=0.25,
    town=0.01,
    crops=(13, 10),
    altitude=125,
    relief=10,
)
LANDES = Place(
    "Landes de Gascogne",
    -0.75,
    44.35,
    14,
    Water.RIVER,
    0.01,
    forest=0.72,
    conifers=0.92,
    town=0.01,
    crops=(10, 10, 13),
    parcel_m=350,
    altitude=65,
    relief=6,
)
GARONNE = Place(
    "Vallée de la Garonne",
    1.05,
    44.02,
    15,
    Water.RIVER,
    0.06,
    forest=0.12,
    crops=(10, 10, 14, 6, 9, 13),
    altitude=85,
    relief=8,
)
BRETAGNE = Place(
    "Bretagne",
    -2.05,
    48.35,
    16,
    Water.RIVER,
    0.01,
    forest=0.14,
    town=0.05,
    crops=(10, 6, 13, 13, 13, 12),
    parcel_m=120,
    altitude=95,
    relief=30,
    air_k=291.0,
)
LANGUEDOC = Place(
    "Languedoc",
    3.35,
    43.50,
    17,
    Water.RIVER,
    0.02,
    forest=0.16,
    conifers=0.5,
    town=0.06,
    crops=(15, 15, 15, 13, 19, 6),
    altitude=110,
    relief=70,
    air_k=301.0,
)
CORBIERES = Place(
    "Corbières",
    2.62,
    43.05,
    18,
    Water.RIVER,
    0.008,
    forest=0.58,
    conifers=0.6,
    town=0.01,
    crops=(15, 19, 19, 18),
    altitude=320,
    relief=120,
    air_k=303.0,
)
MAYOTTE = Place(
    "Mayotte",
    45.20,
    -12.92,
    19,
    Water.COAST,
    0.45,
    forest=0.34,
    conifers=0.0,
    town=0.05,
    crops=(14, 19),
    altitude=15,
    relief=15,
    turbidity=1.2,
    air_k=301.0,
    mangrove=True,
)
BOURGOGNE = Place(
    "Charolais",
    4.35,
    46.45,
    20,
    Water.RIVER,
    0.01,
    forest=0.16,
    town=0.03,
    crops=(13, 13, 13, 13, 6),
    parcel_m=190,
    altitude=310,
    relief=40,
    air_k=294.0,
)
BEAUCE = Place(
    "Beauce",
    1.75,
    48.15,
    21,
    None,
    0.0,
    forest=0.05,
    town=0.04,
    crops=(6, 6, 6, 5, 10, 7, 12),
    parcel_m=330,
    altitude=140,
    relief=8,
    air_k=296.0,
)
CATALOGNE = Place(
    "Catalogne",
    0.75,
    41.68,
    23,
    Water.RIVER,
    0.02,
    forest=0.05,
    town=0.04,
    crops=(10, 10, 14, 14, 6, 6, 13),
    parcel_m=140,
    altitude=210,
    relief=12,
    air_k=303.0,
)
GUYANE = Place(
    "Guyane",
    -52.35,
    4.15,
    22,
    Water.RIVER,
    0.02,
    forest=0.94,
    conifers=0.0,
    town=0.004,
    crops=(14, 13),
    altitude=60,
    relief=40,
    air_k=300.0,
)

# Scales at which a town is not the same thing: a region with towns in it, one street, a patch of ground.
REGION = replace(TOULOUSE, seed=31, town=0.07, forest=0.22, water_share=0.012, crops=(6, 9, 10, 13, 5, 15))
STREET = replace(STRASBOURG, seed=32, water=None, town=0.93, forest=0.1, crops=(13, 13, 4))
PATCH = replace(STRASBOURG, seed=33, water=None, town=0.0, forest=0.0, crops=(13, 18, 20, 21, 19))
