"""The probes' part of an application, and a socket of their own beside client certificates.

Where clients must show a certificate, a probe on this machine has none. So the probes' paths lie
open on a socket besides, in Linux's abstract namespace: it has no place in the file system and is
reached from this machine (or container) only.
"""

import socket
import sys
from typing import Any

import structlog
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.probe import local_address
from exporter.web.doors import OPEN_PATHS


class Probes:
    """The part of an application that probes ask, for a listener without doors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if scope["path"] in OPEN_PATHS else PlainTextResponse("no\n", 404)
        await app(scope, receive, send)


def listen_for_probes(host: str, port: int) -> socket.socket | None:
    log: Any = structlog.get_logger()
    why = "this system has no such sockets"
    if sys.platform == "linux":
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(local_address(host, port))
            listener.listen(16)
        except OSError as error:
            listener.close()
            why = error.strerror or str(error)
        else:
            return listener
    log.warning("the healthcheck command will not work beside client certificates", error=why)
    return None
