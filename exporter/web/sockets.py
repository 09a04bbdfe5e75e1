"""The sockets that are listened on: from addresses, from systemd, and one for local probes."""

import errno
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final

import structlog

from exporter.failure import Failure
from exporter.probe import SYSTEMD, host_and_port, local_address

_FIRST_DESCRIPTOR: Final = 3
"""systemd numbers the sockets that it passes from here."""
# What an address fails with that this machine does not have.
_ABSENT: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.ENOPROTOOPT)
_KNOWN_ADDRESSES: Final = {
    # One socket for both families, where there are both.
    "": ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")),  # noqa: S104 - asked for
    # Whatever the hosts file says: clients try either.
    "localhost": ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")),
}


class CannotListen(Failure):
    """The address cannot be listened on; the message says which and why."""


def listen(
    addresses: tuple[str, ...], environ: Mapping[str, str] = os.environ
) -> list[tuple[str, list[socket.socket]]]:
    """Return the sockets of each address of `web.listen`, by its host. Raises CannotListen."""
    if addresses == (SYSTEMD,):
        return [(_host(each), [each]) for each in _from_systemd(environ)]
    found: list[tuple[str, list[socket.socket]]] = []
    try:
        for address in addresses:
            host, port = host_and_port(address)
            found.append((host, _listen(host, port, address)))
    except CannotListen:
        for _, sockets in found:
            for each in sockets:
                each.close()
        raise
    return found


def _from_systemd(environ: Mapping[str, str]) -> list[socket.socket]:
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal() or not int(count):
        raise CannotListen(
            "web.listen: systemd has passed no socket to this process (LISTEN_PID, LISTEN_FDS):"
            " it does for a service with a .socket unit"
        )
    sockets: list[socket.socket] = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count)):
        try:
            os.set_inheritable(descriptor, False)
            sockets.append(socket.socket(fileno=descriptor))
            accepts = sockets[-1].getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            usable = accepts and sockets[-1].type == socket.SOCK_STREAM
        except OSError:
            usable = False
        if not usable:
            for each in sockets:
                each.close()
            raise CannotListen(
                f"web.listen: descriptor {descriptor} from systemd is not a socket to accept"
                " connections on: the .socket unit needs ListenStream= and Accept=no"
            )
    return sockets


def _host(listener: socket.socket) -> str:
    name = listener.getsockname()
    return str(name[0]) if isinstance(name, tuple) else ""


def _listen(host: str, port: int, where: str) -> list[socket.socket]:
    """Listen on every address of `host` that this machine has, all on one port.

    An empty host is every interface, over IPv6 and IPv4 or whichever of them there is.
    """
    listeners: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, address, *more in _addresses(host):
            own_port = listeners[0].getsockname()[1] if listeners else port
            try:
                listeners.append(_bound(family, (address, own_port, *more), everywhere=not host))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = absent or error
            else:
                if not host:
                    break
        if not listeners and absent:
            raise absent
    except (OSError, UnicodeError) as error:
        for listener in listeners:
            listener.close()
        raise CannotListen(f"web.listen: cannot listen on {where}: {_why(error)}") from None
    return listeners


def _bound(family: int, address: Any, *, everywhere: bool) -> socket.socket:
    # With the protocol named, asyncio turns Nagle's algorithm off; else answers wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and everywhere:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def _addresses(host: str) -> list[tuple[Any, ...]]:
    """Return family, address, and what else an address of IPv6 has."""
    if known := _KNOWN_ADDRESSES.get(host.lower()):
        return [*known]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, at[0], *at[2:]) for family, _, _, _, at in found))


def _why(error: OSError | UnicodeError) -> str:
    # UnicodeError: a label that is empty or too long for a host name.
    if isinstance(error, socket.gaierror | UnicodeError):
        return "the name does not resolve"
    if error.errno == errno.EAFNOSUPPORT:
        return "this machine has no IPv6"
    if error.errno == errno.EADDRINUSE:
        return f"{error.strerror}: stop what has it, or choose another port"
    return error.strerror or str(error)


def listen_for_probes(host: str, port: int) -> socket.socket | None:
    """Return a socket for probes from this machine (or container), None where there is none.

    It has a name in Linux's abstract namespace, and so no place in the file system.
    """
    log: Any = structlog.get_logger()
    why = "this system has no such sockets"
    if sys.platform == "linux":
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(local_address(host, port))
            listener.listen()
        except OSError as error:
            listener.close()
            why = error.strerror or str(error)
        else:
            return listener
    log.warning("the healthcheck command will not work beside client certificates", error=why)
    return None
