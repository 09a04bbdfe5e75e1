"""The configuration: file, environment, flags and defaults in, frozen objects out.

The contract is docs/behaviour.md#configuration. pydantic stays inside. Nothing here talks to Help
Scout, a secret's file is not read here, and no message ever holds the value of a secret.
"""

from exporter.settings.configuration import (
    Configuration,
    ConfigurationError,
    LogSettings,
    WebSettings,
)
from exporter.settings.keys import key_of, leaves, variable
from exporter.settings.load import load

__all__ = [
    "Configuration",
    "ConfigurationError",
    "LogSettings",
    "WebSettings",
    "key_of",
    "leaves",
    "load",
    "variable",
]
