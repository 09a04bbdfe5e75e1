"""Prometheus exporter for Help Scout's productivity report."""

import os
from importlib.metadata import version

__version__ = version("helpscout-exporter")


def revision() -> str:
    """Return the source revision that an image was built from, or `unknown` outside of one."""
    return os.environ.get("EXPORTER_REVISION", "unknown")
