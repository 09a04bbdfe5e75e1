"""From the store to exposition bytes, made when data changes and not when somebody scrapes."""

from exporter.exposition.assembly import OPENMETRICS, TEXT, Body, Exposition, Ready
from exporter.exposition.render import Renderer

__all__ = ["OPENMETRICS", "TEXT", "Body", "Exposition", "Ready", "Renderer"]
