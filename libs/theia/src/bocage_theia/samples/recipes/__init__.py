"""Which samples there are: for each product line with pictures, or with a small table, at least one."""

from __future__ import annotations

from bocage_theia.samples.recipe import Recipe
from bocage_theia.samples.recipes import direct, heat, land, plants, water

__all__ = ["recipes"]


def recipes() -> tuple[Recipe, ...]:
    return (*direct.RECIPES, *heat.RECIPES, *water.RECIPES, *land.RECIPES, *plants.RECIPES)
