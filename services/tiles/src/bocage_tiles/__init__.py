"""Tiles, maps and values of Bocage, straight from the catalogue."""

VERSION = "0.1.0"
