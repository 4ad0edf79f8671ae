"""The one public door of Bocage."""

__version__ = "0.1.0"
