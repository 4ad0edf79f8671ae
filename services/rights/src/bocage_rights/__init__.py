"""Organisations, keys, licences, credits, assets and tile tokens of Bocage."""
