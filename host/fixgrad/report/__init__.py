"""A run as one HTML page: figures, tables and the proof, with nothing to load from elsewhere."""

from fixgrad.report.page import Page, render

__all__ = ["Page", "render"]
