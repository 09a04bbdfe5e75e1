"""The exporter's own health, asked by itself: what `healthcheck` runs in a container.

Where clients must show a certificate, a probe on this machine has none. So the probes' paths lie
open on a socket besides, in Linux's abstract namespace: it has no place in the file system and is
reached from this machine (or container) only.
"""

import contextlib
import http.client
import socket
import ssl
import sys
from typing import Any, Final, Literal

import structlog
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.settings import ConfigurationError, WebSettings
from exporter.web.doors import OPEN_PATHS
from exporter.web.webconfig import REQUIRED, Tls, read

_PROBE_SECONDS: Final = 5


class Probes:
    """The part of an application that probes ask, for a listener without doors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if scope["path"] in OPEN_PATHS else PlainTextResponse("no\n", 404)
        await app(scope, receive, send)


def url(scheme: str, host: str, port: int) -> str:
    host = _reachable(host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - compared, not bound


def _probe_address(host: str, port: int) -> str:
    return f"\0helpscout-exporter/{host}:{port}"


def listen_for_probes(host: str, port: int) -> socket.socket | None:
    log: Any = structlog.get_logger()
    why = "this system has no such sockets"
    if sys.platform == "linux":
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(_probe_address(host, port))
            listener.listen(16)
        except OSError as error:
            listener.close()
            why = error.strerror or str(error)
        else:
            return listener
    log.warning("the healthcheck command will not work beside client certificates", error=why)
    return None


class _Local(http.client.HTTPConnection):
    """To the probes' own socket."""

    def __init__(self, address: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._address)


def health_url(settings: WebSettings) -> str:
    """Return where the listener of these settings is asked."""
    scheme = "http" if settings.config_file is None or _tls(settings) is None else "https"
    return f"{url(scheme, settings.host, settings.port)}/-/healthy"


def ask_health(settings: WebSettings) -> tuple[int, str]:
    """Ask the listener of these settings whether it is healthy; return status and words.

    Its certificate is not checked: it need not name the loopback address. Raises OSError or
    http.client.HTTPException without an answer.
    """
    failure: OSError | http.client.HTTPException | None = None
    for connection in _ways(settings):
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/-/healthy")
                answer = connection.getresponse()
                return answer.status, answer.read(1000).decode(errors="replace").strip()
            except (OSError, http.client.HTTPException) as error:
                failure = failure or error
    assert failure is not None
    raise failure


def _tls(settings: WebSettings) -> Tls | Literal["unknown"] | None:
    """Return how the listener is encrypted, as far as its file can be read.

    The daemon goes on with the last good file, and a probe that failed for the new one would have
    it restarted into one that does not start.
    """
    try:
        return read(settings.config_file).tls if settings.config_file else None
    except ConfigurationError:
        return "unknown"


def _ways(settings: WebSettings) -> list[http.client.HTTPConnection]:
    host, port, seconds = _reachable(settings.host), settings.port, _PROBE_SECONDS
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    encrypted = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    clear = http.client.HTTPConnection(host, port, timeout=seconds)
    local = _Local(_probe_address(settings.host, port), seconds)
    tls = _tls(settings)
    if tls == "unknown":
        return [encrypted, local, clear]
    if tls is None:
        return [clear]
    return [local if tls.client_auth_type == REQUIRED else encrypted]
