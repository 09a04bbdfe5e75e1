"""HTTP within bounds: one session per account, a deadline over a whole call, 5 MB an answer.

`requests` has time-outs per read, which a server that drips a byte a second never reaches; here
connecting gets what is left of the call's time, and so does every read of the socket, headers
included. Proxies and where the CA bundle is are read from the environment once: looked up on every
call they cost a third of the CPU. Redirects are not followed (a token never goes to another host),
cookies and netrc are not used.

An idle connection may have been forgotten on the way, by a firewall or NAT that says nothing to
either end. So keep-alive probes it, one that was idle for long is not used again, and a GET that
dies on a used one before any answer is sent once more on a new one.
"""

import contextlib
import io
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from exporter import __version__
from exporter.helpscout.account import Secret, is_loopback, proxy_flaw
from exporter.helpscout.causes import unreachable
from exporter.helpscout.connecting import KEEP_ALIVE, connect
from exporter.helpscout.errors import BadCredentials, BadResponse, Step, Unreachable
from exporter.helpscout.trust import Trust

MAX_BODY_BYTES: Final = 5_000_000
# Shorter than any firewall's memory; a burst of calls shares its connections all the same.
_IDLE_SECONDS: Final = 10.0

_calls = threading.local()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the service, body decompressed."""

    status: int
    headers: CaseInsensitiveDict[str]
    body: bytes


@dataclass(slots=True)
class _Call:
    """The call that a thread is making: what it may take and how far it got.

    `deadline` is monotonic seconds. `host` is the one connected to, the proxy where there is one.
    With `reconnect` no idle connection is used.
    """

    deadline: float
    reconnect: bool = False
    step: Step = "answer"
    host: str = ""
    opened: bool = False
    answering: bool = False

    @property
    def remaining(self) -> float:
        return self.deadline - time.monotonic()


def _call() -> _Call:
    call: _Call = _calls.current
    return call


class _DeadlineReader(io.RawIOBase):
    """The read side of a socket that gives each read only what is left of the call's time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        remaining = _call().remaining
        if remaining <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(remaining)
        size = self._file.readinto(buffer)
        if size and _call().step == "answer":
            _call().answering = True
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_DeadlineReader(sock))


class _Bounded(urllib3.connection.HTTPConnection):
    """What both kinds of connections share: the call's deadline, and not to trust a long rest."""

    response_class = _Response
    idle_since = 0.0

    @property
    def is_connected(self) -> bool:
        rested = time.monotonic() - self.idle_since
        return super().is_connected and rested < _IDLE_SECONDS and not _call().reconnect

    def connect(self) -> None:
        super().connect()
        _call().step = "answer"

    def request(self, *args: Any, **kwargs: Any) -> None:
        _call().host = f"{self._tunnel_host or self.host}:{self._tunnel_port or self.port}"
        super().request(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        call = _call()
        call.opened, call.step, call.host = True, "connect", f"{self.host}:{self.port}"
        host = self._dns_host.strip("[]")
        try:
            sock = connect(
                host, self.port or 0, call.deadline, (*(self.socket_options or ()), *KEEP_ALIVE)
            )
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error
        call.step = "tls"
        return sock

    def _tunnel(self) -> None:
        call = _call()
        call.step = "proxy"
        super()._tunnel()
        call.step, call.host = "tls", f"{self._tunnel_host}:{self._tunnel_port}"
        self.sock.settimeout(max(0.001, call.remaining))


class _HttpConnection(_Bounded):
    pass


class _HttpsConnection(_Bounded, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)


class _HttpPool(_Pool):
    ConnectionCls = _HttpConnection


class _HttpsPool(_Pool, urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    def __init__(self, connections: int, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(
            *args, ssl_context=self._context, proxy_ssl_context=self._context, **kwargs
        )
        manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager

    def cert_verify(self, *_args: Any, **_kwargs: Any) -> None:
        """The context verifies; `requests` would load the bundle again for each connection."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """There is none; else `requests` reads its whole body, unbounded, though not to follow."""


class Transport:
    """Sends requests to one base URL. Thread-safe.

    `ca_file` and `proxy` (a proxy's URL) go before what the environment says, which is read here
    and never again; their files are read when they are needed.
    """

    def __init__(
        self,
        base_url: str,
        connections: int,
        timeout_seconds: float,
        *,
        ca_file: Path | None = None,
        proxy: Secret | None = None,
    ) -> None:
        self._connections, self._timeout = connections, timeout_seconds
        self._trust = Trust.of(ca_file, os.environ)
        self._proxy = proxy
        self._usual_proxy = ""
        if proxy is None and not is_loopback(urlsplit(base_url).hostname or ""):
            usual = select_proxy(base_url, get_environ_proxies(base_url)) or ""
            self._usual_proxy = usual.strip()
        session = _Session()
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers["User-Agent"] = f"helpscout-exporter/{__version__}"
        session.headers["Accept"] = "application/json, application/hal+json"
        session.headers["Accept-Encoding"] = "gzip"
        self._session = session
        self._opening = threading.Lock()
        self._open = False

    def send(
        self,
        method: str,
        url: str,
        *,
        auth: AuthBase | None,
        data: dict[str, str] | None = None,
        again: Callable[[float], bool] = lambda _seconds: True,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """Return the whole answer, whatever its status, in `timeout_seconds` if that is less.

        A GET that dies on a used connection is sent once more if `again` says so, which is told
        how many seconds are left. Raises Unreachable where no answer arrived in time, BadResponse
        where it is too large or does not decompress. Neither message holds the URL's query, a
        header or a proxy's password.
        """
        seconds = min(self._timeout, timeout_seconds or self._timeout)
        call = _calls.current = _Call(time.monotonic() + seconds)
        try:
            return self._send(method, url, auth, data, seconds)
        except Unreachable:
            left = call.remaining
            on_used = call.step == "answer" and not call.opened and not call.answering
            if method != "GET" or not on_used or left <= 0 or not again(left):
                raise
        _calls.current = _Call(call.deadline, reconnect=True)
        return self._send(method, url, auth, data, seconds)

    def _send(
        self,
        method: str,
        url: str,
        auth: AuthBase | None,
        data: dict[str, str] | None,
        seconds: float,
    ) -> Answer:
        session, proxy = self._opened(), self._proxy_url()
        with _named_failures(seconds):
            response = session.request(
                method,
                url,
                data=data,
                auth=auth,
                proxies={"http": proxy, "https": proxy} if proxy else None,
                timeout=seconds,
                allow_redirects=False,
                stream=True,
            )
            try:
                body = response.raw.read(MAX_BODY_BYTES + 1, decode_content=True)
                if len(body) > MAX_BODY_BYTES:
                    response.raw.close()
                    raise BadResponse(
                        f"the answer is larger than {MAX_BODY_BYTES // 1_000_000} MB",
                        status=response.status_code,
                    )
            finally:
                response.close()
        return Answer(response.status_code, response.headers, body)

    def _opened(self) -> requests.Session:
        """Return the session, once it trusts the authorities that it should."""
        with self._opening:
            if not self._open:
                try:
                    adapter = _Adapter(self._connections, self._trust.context())
                except ValueError as error:
                    raise Unreachable(
                        str(error), step="trust", remedy="give a file of certificates in PEM form"
                    ) from None
                self._session.mount("https://", adapter)
                self._session.mount("http://", adapter)
                self._open = True
        return self._session

    def _proxy_url(self) -> str:
        url, source = self._usual_proxy, "the proxy of the environment"
        if self._proxy is not None:
            source = "proxy_url"
            try:
                url = self._proxy.read()
            except BadCredentials as error:
                raise Unreachable(
                    f"proxy_url_file: {error}",
                    step="proxy",
                    remedy="correct the file: it is read again at the next attempt",
                ) from None
        elif url and "://" not in url:
            url = f"http://{url}"
        if url and (why_not := proxy_flaw(url)):
            raise Unreachable(
                f"{source} {why_not}",
                step="proxy",
                remedy="correct proxy_url, or HTTPS_PROXY in the environment",
            )
        return url

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()


@contextlib.contextmanager
def _named_failures(timeout_seconds: float) -> Iterator[None]:
    """Turn what the libraries below raise into our tree, with a line a person can act on."""
    try:
        yield
    except (requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError):
        raise BadResponse("the answer does not decompress") from None
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        call, failure = _call(), unreachable(error, timeout_seconds)
        failure.step, failure.host = call.step, call.host
        raise failure from None
