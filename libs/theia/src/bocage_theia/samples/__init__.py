"""Synthetic samples of the product lines: small files encoded like the products, and their STAC items."""

from __future__ import annotations

from bocage_theia.samples.making import Sample, samples
from bocage_theia.samples.recipes import recipes

__all__ = ["Sample", "recipes", "samples"]
