"""HTTP within bounds: one session per account, a deadline over a whole call, 5 MB an answer.

`requests` has time-outs per read, which a server that drips a byte a second never reaches; here
every read of the socket, headers included, gets only what is left of the call's time. Proxies and
CA bundle are read from the environment once: looked up on every call they cost a third of the CPU.
Redirects are not followed (a token never goes to another host), cookies and netrc are not used.
"""

import contextlib
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies

from exporter import __version__
from exporter.helpscout.account import is_loopback
from exporter.helpscout.errors import BadResponse, Unreachable

MAX_BODY_BYTES: Final = 5_000_000
_CONNECT_SECONDS: Final = 10.0

_calls = threading.local()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the service, body decompressed."""

    status: int
    headers: CaseInsensitiveDict[str]
    body: bytes


class _DeadlineReader(io.RawIOBase):
    """The read side of a socket that gives each read only what is left of the call's time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        remaining = _calls.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(remaining)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_DeadlineReader(sock))


class _HttpConnection(urllib3.connection.HTTPConnection):
    response_class = _Response


class _HttpsConnection(urllib3.connection.HTTPSConnection):
    response_class = _Response


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """There is none; else `requests` reads its whole body, unbounded, though not to follow."""


class Transport:
    """Sends requests to one base URL. Thread-safe: the session is only read after this."""

    def __init__(self, base_url: str, connections: int, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        session = _Session()
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        if not is_loopback(urlsplit(base_url).hostname or ""):
            session.proxies = get_environ_proxies(base_url)
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        session.verify = bundle or True
        session.headers["User-Agent"] = f"helpscout-exporter/{__version__}"
        session.headers["Accept"] = "application/json, application/hal+json"
        session.headers["Accept-Encoding"] = "gzip"
        adapter = _Adapter(pool_connections=1, pool_maxsize=connections)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        self._session = session

    def send(
        self, method: str, url: str, *, auth: AuthBase | None, data: dict[str, str] | None = None
    ) -> Answer:
        """Return the whole answer, whatever its status.

        Raises Unreachable where none came in time, BadResponse where it is too large or does not
        decompress. Neither message holds the URL's query or a header.
        """
        _calls.deadline = time.monotonic() + self._timeout
        with _named_failures(self._timeout):
            response = self._session.request(
                method,
                url,
                data=data,
                auth=auth,
                timeout=(min(_CONNECT_SECONDS, self._timeout), self._timeout),
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
        raise Unreachable(_cause(error, timeout_seconds)) from None


def _cause(error: BaseException, timeout_seconds: float) -> str:
    chain, seen = [error], {id(error)}
    for link in chain:
        inner = (link.__cause__, link.__context__, getattr(link, "reason", None), *link.args)
        for each in inner:
            if isinstance(each, BaseException) and id(each) not in seen:
                seen.add(id(each))
                chain.append(each)
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    for wanted, words in (
        ("ProxyError", "the proxy refuses or does not answer"),
        ("SSLCertVerificationError", "its TLS certificate is not trusted"),
        ("SSLError", "the TLS handshake failed"),
        ("gaierror", "its name does not resolve"),
        ("ConnectionRefusedError", "connection refused"),
        ("RemoteDisconnected", "the connection was closed without an answer"),
        ("ConnectTimeoutError", "no connection in time"),
        ("TimeoutError", f"no whole answer within {timeout_seconds:g} s"),
        ("ConnectionResetError", "connection reset"),
        ("IncompleteRead", "the connection broke in the middle of the answer"),
    ):
        if wanted in names:
            return words
    return f"no connection ({type(error).__name__})"
