"""How `healthcheck` asks the exporter on this machine whether it is healthy.

A container runs it every few seconds, for as long as the exporter runs. So the standard library is
all that is imported here, and PyYAML where there is a file to read.
"""

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

LISTEN: Final = "127.0.0.1:9877"
"""The default of `web.listen`."""
SYSTEMD: Final = "systemd"
"""As `web.listen`: the sockets that systemd passes."""
LISTEN_VARIABLE: Final = "EXPORTER_LISTEN"
"""The variable by which the image brings a default of its own."""
REQUIRED: Final = "RequireAndVerifyClientCert"
"""The `client_auth_type` that lets no client in without a certificate; probes have none."""
_PATH: Final = "/-/healthy"
_SECONDS: Final = 5.0
_FAILURES: Final = (OSError, http.client.HTTPException)


class Listener(NamedTuple):
    """Where the exporter listens first. `config_file` is `web.config_file`."""

    host: str
    port: int
    config_file: "Path | None" = None


class _Local(http.client.HTTPConnection):
    """A connection to the probes' own socket."""

    def __init__(self, address: str) -> None:
        super().__init__("localhost")
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._address)


def host_and_port(address: str) -> tuple[str, int]:
    """Return the parts of an address of `web.listen`. Raises ValueError."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise ValueError(f"{address} is not HOST:PORT")
    return host.strip("[]"), int(port)


def local_address(host: str, port: int) -> str:
    """Return the name of the probes' own socket in Linux's abstract namespace."""
    return f"\0helpscout-exporter/{host}:{port}"


def base_url(scheme: str, host: str, port: int) -> str:
    """Return the URL at which a listener is reached from this machine."""
    host = _reachable(host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - compared, not bound


def configured(config: "str | Path | None", environ: Mapping[str, str]) -> Listener | None:
    """Return the configured listener; None where only the whole loader can tell it.

    The rest of the configuration is not looked at. A running exporter keeps the last good one, so
    an error in it says nothing about the exporter's health.
    """
    web: Any = {}
    if config:
        from pathlib import Path

        from exporter.yaml_file import read_file

        try:
            web = read_file(Path(config)).get("web", {})
        except ValueError:
            return None
    indexed = any(name.startswith("HELPSCOUT_WEB__LISTEN__") for name in environ)
    if environ.get("HELPSCOUT_WEB") or indexed or not isinstance(web, dict):
        return None
    usual = environ.get(LISTEN_VARIABLE, "").strip() or LISTEN
    listen = environ.get("HELPSCOUT_WEB__LISTEN", "").strip() or web.get("listen", usual)
    if isinstance(listen, list):
        listen = listen[0] if listen else None
    file = environ.get("HELPSCOUT_WEB__CONFIG_FILE", "").strip() or web.get("config_file")
    if not isinstance(listen, str) or not isinstance(file, str | None):
        return None
    try:
        host, port = host_and_port(listen.partition(",")[0].strip())
    except ValueError:
        return None
    if port > 65_535 or file in ("null", "Null", "NULL"):
        return None
    if file is not None:
        from pathlib import Path

        return Listener(host, port, Path(file))
    return Listener(host, port)


def health_url(listener: Listener) -> str:
    """Return the URL under which a listener is asked."""
    scheme = "https" if _encryption(listener) else "http"
    return base_url(scheme, listener.host, listener.port) + _PATH


def ask_listener(listener: Listener) -> tuple[int, str]:
    """Ask a listener whether it is healthy; return status and words.

    Its certificate is not checked: it need not name the loopback address. Raises OSError or
    http.client.HTTPException without an answer within five seconds.
    """
    failure: Exception | None = None
    until = time.monotonic() + _SECONDS
    for connection in _ways(listener):
        try:
            return _ask(connection, _PATH, until)
        except _FAILURES as error:
            failure = failure or error
    assert failure is not None
    raise failure


def ask_url(url: str) -> tuple[int, str]:
    """Ask a URL; return status and words. Redirects are not followed.

    A certificate is checked against the system's authorities. Raises ValueError for what is not a
    URL, OSError or http.client.HTTPException without an answer within five seconds.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is not a URL like http://127.0.0.1:9877/-/healthy")
    headers = {}
    if parts.username is not None:
        from base64 import b64encode

        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + b64encode(login.encode()).decode()
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    until = time.monotonic() + _SECONDS
    return _ask(kind(parts.hostname, parts.port), target, until, headers)


def _ask(
    connection: http.client.HTTPConnection,
    target: str,
    until: float,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    connection.timeout = until - time.monotonic()
    if connection.timeout <= 0:
        raise TimeoutError
    with contextlib.closing(connection):
        connection.request("GET", target, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, " ".join(answer.read(1000).decode(errors="replace").split())


def _encryption(listener: Listener) -> str | None:
    """Return the listener's client_auth_type, None without TLS, `?` if its file cannot be read."""
    if listener.config_file is None:
        return None
    from exporter.yaml_file import read_file

    try:
        tls = read_file(listener.config_file).get("tls_server_config")
    except ValueError:
        return "?"
    return str(tls.get("client_auth_type", "")) or "?" if isinstance(tls, dict) else None


def _ways(listener: Listener) -> Iterator[http.client.HTTPConnection]:
    """Yield what the listener's file says first.

    Then the others: the exporter goes on with the last good file, and a probe that failed for the
    new one would have it restarted into one that does not start.
    """
    host, port = _reachable(listener.host), listener.port
    encryption = _encryption(listener)
    if encryption is None:
        yield http.client.HTTPConnection(host, port)
    if listener.config_file is None:
        return
    if encryption == REQUIRED:
        yield _Local(local_address(listener.host, port))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    yield http.client.HTTPSConnection(host, port, context=context)
    if encryption != REQUIRED:
        yield _Local(local_address(listener.host, port))
    if encryption is not None:
        yield http.client.HTTPConnection(host, port)
