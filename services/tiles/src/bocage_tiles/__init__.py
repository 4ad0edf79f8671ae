"""Tiles, maps and values of Bocage, straight from the catalogue."""
