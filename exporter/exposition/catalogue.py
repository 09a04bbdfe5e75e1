"""Every family that the exporter exposes: docs/metrics.md and the tests are made from it."""

from exporter import collectors, metrics, telemetry
from exporter.telemetry import Family


def catalogue() -> tuple[Family, ...]:
    """Return every family, in the order of the exposition."""
    return (*collectors.families(), *metrics.FAMILIES, *telemetry.FAMILIES)
