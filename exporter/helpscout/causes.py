"""From what the network's libraries raise to words: what failed, and what to do about it."""

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final, NamedTuple

from exporter.helpscout.errors import Unreachable


class _Cause(NamedTuple):
    words: str
    remedy: str


_NETWORK: Final = "look at the firewall, the proxy and base_url"
_LATER: Final = "look at Help Scout's status page and at the network; it is tried again"
_PROXY: Final = "check the proxy's address (proxy_url, HTTPS_PROXY) and that it runs"
_AUTHORITY: Final = (
    "if a proxy inspects TLS here, add its authority's certificate with ca_file or"
    " REQUESTS_CA_BUNDLE"
)
_CLOCK: Final = "check this machine's clock; else the certificate of that server must be renewed"
_OTHER_SERVER: Final = "check base_url, the DNS entry and the proxy: another server answers"

_BY_ERRNO: Final = {
    errno.ECONNREFUSED: _Cause("connection refused", _NETWORK),
    errno.EHOSTUNREACH: _Cause("there is no route to the host", _NETWORK),
    errno.ENETUNREACH: _Cause("the network is unreachable", _NETWORK),
    errno.ETIMEDOUT: _Cause("no connection in time", _NETWORK),
    errno.EACCES: _Cause("this machine does not allow the connection", _NETWORK),
    errno.EPERM: _Cause("this machine does not allow the connection", _NETWORK),
    errno.EADDRNOTAVAIL: _Cause("this machine has no address to connect from", _NETWORK),
    errno.EMFILE: _Cause("too many open files", "raise this process's limit of open files"),
    errno.ECONNRESET: _Cause("connection reset", _LATER),
    errno.EPIPE: _Cause("connection reset", _LATER),
}
_BY_VERIFY_CODE: Final = {
    9: _Cause("its TLS certificate is not valid yet", _CLOCK),
    10: _Cause("its TLS certificate has expired", _CLOCK),
    18: _Cause("its TLS certificate is not trusted: it is self-signed", _AUTHORITY),
    19: _Cause("its TLS certificate is not trusted: its authority is not known", _AUTHORITY),
    20: _Cause("its TLS certificate is not trusted: its authority is not known", _AUTHORITY),
    21: _Cause("its TLS certificate is not trusted: its authority is not known", _AUTHORITY),
    62: _Cause("its TLS certificate is for another name", _OTHER_SERVER),
    64: _Cause("its TLS certificate is for another address", _OTHER_SERVER),
}
_VERSION: Final = _Cause("no TLS version in common", "it must offer TLS 1.2 or newer")
_NO_TLS: Final = _Cause(
    "it does not speak TLS", "check the scheme and port of base_url and of the proxy's address"
)
_BY_TLS_REASON: Final = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "TLSV1_ALERT_PROTOCOL_VERSION": _VERSION,
    "UNSUPPORTED_PROTOCOL": _VERSION,
    "VERSION_TOO_LOW": _VERSION,
    "UNEXPECTED_EOF_WHILE_READING": _Cause(
        "the connection was closed in the TLS handshake", _NETWORK
    ),
}
_BY_NAME: Final = {
    "RemoteDisconnected": _Cause("the connection was closed without an answer", _LATER),
    "ConnectTimeoutError": _Cause("no connection in time", _NETWORK),
    "IncompleteRead": _Cause("the connection broke in the middle of the answer", _LATER),
    "InvalidChunkLength": _Cause("the connection broke in the middle of the answer", _LATER),
    "BadStatusLine": _Cause("what answers does not speak HTTP", _OTHER_SERVER),
    "LineTooLong": _Cause("the headers of the answer are too large", _OTHER_SERVER),
    "HTTPException": _Cause("the headers of the answer are too large", _OTHER_SERVER),
}
_UNUSABLE: Final = frozenset(
    {"InvalidProxyURL", "InvalidSchema", "InvalidURL", "URLSchemeUnknown", "LocationValueError"}
)
_TUNNEL: Final = re.compile(r"Tunnel connection failed: (\d{3})")


def unreachable(error: BaseException, timeout_seconds: float) -> Unreachable:
    """Return the error of our tree for one of the libraries. It holds no secret."""
    links = list(_chain(error))
    names = {kind.__name__ for link in links for kind in type(link).__mro__}
    if names & _UNUSABLE:
        return _error(
            "the proxy's address or base_url cannot be used",
            "write them like http://proxy.example.com:3128 (proxy_url, HTTPS_PROXY)",
        )
    cause = _cause(links, names, timeout_seconds)
    if "ProxyError" in names:
        return _of_proxy(cause, _TUNNEL.search(" ".join(map(str, links))))
    return _error(*cause)


def proxy_wants_login() -> Unreachable:
    """Return an error for 407, which no other than a proxy answers."""
    return _error(
        "the proxy demands a login (407)",
        "put user and password into its address: http://USER:PASSWORD@HOST:PORT",
    )


def _of_proxy(cause: _Cause, refusal: re.Match[str] | None) -> Unreachable:
    if refusal is None:
        return _error(f"the proxy cannot be used: {cause.words}", _PROXY)
    if refusal[1] == "407":
        return proxy_wants_login()
    return _error(
        f"the proxy refuses the connection ({refusal[1]})", "let the proxy pass this host"
    )


def _cause(links: list[BaseException], names: set[str], timeout_seconds: float) -> _Cause:
    for link in links:
        if isinstance(link, ssl.SSLCertVerificationError):
            return _BY_VERIFY_CODE.get(
                link.verify_code,
                _Cause(
                    f"its TLS certificate is not trusted: {link.verify_message}"[:150], _AUTHORITY
                ),
            )
    for link in links:
        if isinstance(link, ssl.SSLError) and link.reason:
            words = link.reason.lower().replace("_", " ")
            return _BY_TLS_REASON.get(
                link.reason, _Cause(f"the TLS handshake failed: {words}", _NETWORK)
            )
        if isinstance(link, socket.gaierror):
            again = link.errno == socket.EAI_AGAIN
            why = ": the name server does not answer" if again else ""
            return _Cause(
                f"its name does not resolve{why}", "check base_url and the DNS of this machine"
            )
        if isinstance(link, OSError) and link.errno in _BY_ERRNO:
            return _BY_ERRNO[link.errno]
    for name, cause in _BY_NAME.items():
        if name in names:
            return cause
    if "TimeoutError" in names or "Timeout" in names:
        return _Cause(
            f"no whole answer within {timeout_seconds:g} s",
            "if long windows take Help Scout that long, raise timeout; else look at the network",
        )
    said = next((link.strerror for link in links if isinstance(link, OSError) and link.errno), "")
    return _Cause(f"no connection ({said or type(links[-1]).__name__})", _NETWORK)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that are behind it: the libraries nest them in three ways."""
    chain, seen = [error], {id(error)}
    for link in chain:
        yield link
        inner = (link.__cause__, link.__context__, getattr(link, "reason", None), *link.args)
        for each in inner:
            if isinstance(each, BaseException) and id(each) not in seen:
                seen.add(id(each))
                chain.append(each)


def _error(words: str, remedy: str) -> Unreachable:
    return Unreachable(words, remedy=remedy)
