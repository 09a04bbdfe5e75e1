"""Prometheus exporter for Help Scout: queues and response times."""

import os

__version__ = "0.2.0"
REPOSITORY = "https://github.com/helpscout-exporter/helpscout-exporter"
"""Where the project lives. All else follows: see scripts/repository.py."""


def revision() -> str:
    """Return the source revision that an image was built from, or `unknown` outside of one."""
    return os.environ.get("EXPORTER_REVISION", "unknown")
