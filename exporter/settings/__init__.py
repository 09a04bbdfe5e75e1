"""The configuration: file, environment, flags and defaults in, frozen domain objects out.

The contract is docs/behaviour.md#configuration. pydantic stays inside. Nothing here talks to Help
Scout, a secret's file is not read here, and no message ever holds the value of a secret.
"""

from exporter.settings.configuration import (
    Configuration,
    ConfigurationError,
    LogSettings,
    WebSettings,
)
from exporter.settings.keys import variable
from exporter.settings.load import load
from exporter.settings.schema import leaves

__all__ = [
    "Configuration",
    "ConfigurationError",
    "LogSettings",
    "WebSettings",
    "leaves",
    "load",
    "variable",
]
