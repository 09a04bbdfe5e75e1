"""The configuration of a command other than the daemon."""

import os
from pathlib import Path

from exporter import logs
from exporter.cli.words import warn
from exporter.settings import Configuration, load


def configured(config: Path | None) -> Configuration:
    """Return the configuration; print its warnings. Raises ConfigurationError."""
    configuration = load(config, os.environ)
    logs.configure(configuration.log.level, configuration.log.format)
    warn(configuration.warnings)
    return configuration
