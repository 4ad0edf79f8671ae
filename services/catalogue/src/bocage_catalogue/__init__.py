"""STAC API of Bocage over pgSTAC."""
