"""Asks Help Scout in the background, on schedule and within the budget; results go to the store."""

from exporter.poller.dispatcher import Poller

__all__ = ["Poller"]
