"""HTTP: sends what lies ready, behind the doors asked for. Nothing here asks Help Scout."""

from exporter.web.application import Backend, application
from exporter.web.doors import Doors, Guarded
from exporter.web.listener import CannotListen, Server
from exporter.web.probes import ask_health, health_url

__all__ = [
    "Backend",
    "CannotListen",
    "Doors",
    "Guarded",
    "Server",
    "application",
    "ask_health",
    "health_url",
]
