"""From the store to exposition bytes: rendered and joined when data changes, sent when scraped."""

from exporter.exposition.assembly import OPENMETRICS, TEXT, Body, Exposition
from exporter.exposition.render import Renderer

__all__ = ["OPENMETRICS", "TEXT", "Body", "Exposition", "Renderer"]
