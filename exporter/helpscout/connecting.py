"""Connects to a host within a deadline: the name, every address, and what keeps the way open.

`socket.create_connection` gives each address the whole time-out, one after the other, and a name
as long as the resolver likes. Here all of it shares one deadline, and an address that does not
answer costs the next one only a short head start (as in RFC 8305, Happy Eyeballs).
"""

import errno
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from itertools import chain, zip_longest
from typing import Any, Final

_HEAD_START_SECONDS: Final = 0.25
_PENDING: Final = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)
# Says more about this machine than about the other side.
_LESS_TELLING: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.ENETUNREACH)

_Address = tuple[int, int, int, str, Any]
_Option = tuple[int, int, int]


def _known(level: int, **values: int) -> list[_Option]:
    return [
        (level, getattr(socket, name), n) for name, n in values.items() if hasattr(socket, name)
    ]


# A firewall or NAT forgets idle connections, most of them after some minutes: a probe comes before
# that. TCP_USER_TIMEOUT (in ms): a request that nobody acknowledges is given up, so that it can be
# sent again on another connection; how long an acknowledged one may take is the call's business.
KEEP_ALIVE: Final = (
    *_known(socket.SOL_SOCKET, SO_KEEPALIVE=1),
    *_known(socket.IPPROTO_TCP, TCP_KEEPIDLE=15, TCP_KEEPINTVL=5, TCP_KEEPCNT=3),
    *_known(socket.IPPROTO_TCP, TCP_USER_TIMEOUT=10_000),
)

_lookups: dict[tuple[str, int], "Future[list[_Address]]"] = {}
_lock = threading.Lock()


def connect(
    host: str, port: int, deadline: float, options: Iterable[_Option] = KEEP_ALIVE
) -> socket.socket:
    """Return a connected socket whose time-out is what is left until `deadline` (monotonic).

    Raises TimeoutError at the deadline, gaierror for a name that does not resolve, or the OSError
    of an address when every one has failed.
    """
    return _race(_in_turns(resolve(host, port, deadline)), deadline, options)


def resolve(host: str, port: int, deadline: float) -> list[_Address]:
    """Return the addresses of a name. Raises gaierror, or TimeoutError at the deadline.

    getaddrinfo cannot be interrupted, so it runs in a thread, one for each name at a time. A
    daemon thread, not an executor's: those are joined at exit, which a stuck resolver would delay.
    """
    with _lock:
        found = _lookups.get((host, port))
        if found is None:
            found = Future()
            threading.Thread(
                target=_look_up, args=(host, port, found), name="resolver", daemon=True
            ).start()
            _lookups[host, port] = found
    return found.result(max(0.0, deadline - time.monotonic()))


def _look_up(host: str, port: int, found: "Future[list[_Address]]") -> None:
    answer: list[_Address] = []
    failure: Exception | None = None
    try:
        answer = [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except UnicodeError:  # a label that is empty or too long
        failure = socket.gaierror(socket.EAI_NONAME, "not a host name")
    except Exception as error:
        failure = error
    with _lock:
        del _lookups[host, port]
    if failure:
        found.set_exception(failure)
    else:
        found.set_result(answer)


def _in_turns(addresses: list[_Address]) -> list[_Address]:
    """Alternate the families, so that a dead one of them costs a head start only."""
    families: dict[int, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None]


def _race(addresses: list[_Address], deadline: float, options: Iterable[_Option]) -> socket.socket:
    failures: list[OSError] = []
    next_at = time.monotonic()
    with selectors.DefaultSelector() as racing:
        try:
            while addresses or racing.get_map():
                now = time.monotonic()
                if now >= deadline:
                    raise TimeoutError("timed out")
                if addresses and now >= next_at:
                    next_at = now
                    try:
                        racing.register(_begin(addresses.pop(0)), selectors.EVENT_WRITE)
                    except OSError as error:
                        failures.append(error)
                        continue
                    next_at = now + _HEAD_START_SECONDS
                until = min(deadline, next_at) if addresses else deadline
                for key, _ in racing.select(max(0.0, until - now)):
                    sock: Any = key.fileobj
                    racing.unregister(sock)
                    if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                        sock.close()
                        failures.append(OSError(code, os.strerror(code)))
                        next_at = 0.0
                    else:
                        return _ready(sock, deadline, options)
        finally:
            for key in list(racing.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]  # a socket
    telling = (each for each in failures if each.errno not in _LESS_TELLING)
    raise next(telling, failures[0] if failures else OSError(errno.ENXIO, "has no address"))


def _begin(address: _Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        code = sock.connect_ex(where)
        if code not in _PENDING:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def _ready(sock: socket.socket, deadline: float, options: Iterable[_Option]) -> socket.socket:
    try:
        for option in options:
            sock.setsockopt(*option)
    except OSError:  # it broke already
        sock.close()
        raise
    sock.settimeout(max(0.001, deadline - time.monotonic()))
    return sock
