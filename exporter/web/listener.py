"""Holds the connections: accepts, bounds and times them, and hands their requests to the web.

uvicorn parses and answers, in a thread of its own, and leaves the signals to the daemon. How
many connections there are is bounded here: when there are too many, the one that has kept us
waiting longest is closed, so that who has something to ask gets in.
"""

import asyncio
import contextlib
import errno
import logging
import resource
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from exporter.failure import Failure
from exporter.probe import REQUIRED, base_url
from exporter.settings import WebSettings
from exporter.web.connection import ANSWER_SECONDS, Connection
from exporter.web.doors import Doors
from exporter.web.probes import Probes, listen_for_probes

MAX_CONNECTIONS: Final = 512
_HANDSHAKE_SECONDS: Final = 10.0
_KEEP_ALIVE_SECONDS: Final = 75
_STOP_SECONDS: Final = 5
_ACCEPT_AGAIN_SECONDS: Final = 0.1
# What an address fails with that this machine does not have.
_ABSENT: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.ENOPROTOOPT)
_KNOWN_ADDRESSES: Final = {
    # One socket for both families, where there are both.
    "": ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")),  # noqa: S104 - asked for
    # Whatever the hosts file says: clients try either.
    "localhost": ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")),
}
# How long a thread may keep the interpreter while another waits for it; Python's own is 5 ms.
# Beside eight poll threads at full speed an answer waits for each of them several times over:
# measured, the 99th percentile of a scrape of 100,000 series falls from 50 to 18 ms, and as much is
# polled. Still shorter, and switching itself begins to cost.
_SWITCH_SECONDS: Final = 0.0005


class CannotListen(Failure):
    """The address cannot be listened on; the message says which and why."""


class _Accepting(uvicorn.Server):
    """uvicorn's server, accepting by itself: bounded, and encrypted anew for each connection."""

    def __init__(
        self,
        listeners: list[tuple[socket.socket, uvicorn.Config, Callable[[], ssl.SSLContext | None]]],
    ) -> None:
        super().__init__(listeners[0][1])
        self._listeners = listeners
        self._tasks: list[asyncio.Task[None]] = []
        self._held: dict[asyncio.Task[None], Connection] = {}
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = MAX_CONNECTIONS
        if files != resource.RLIM_INFINITY:
            # Calls to Help Scout and the state file need theirs.
            self._most = max(8, min(MAX_CONNECTIONS, files // 2))

    @property
    def accepting(self) -> bool:
        """Whether every listener is still listened on."""
        return not any(task.done() for task in self._tasks)

    async def startup(self, sockets: Any = None) -> None:  # noqa: ARG002 - has its own
        await super().startup(sockets=[])
        loop = asyncio.get_running_loop()
        for listener, config, context in self._listeners:
            if not config.loaded:
                config.load()
            listener.setblocking(False)
            self._tasks.append(loop.create_task(self._accept(listener, config, context)))

    async def shutdown(self, sockets: Any = None) -> None:  # noqa: ARG002 - has its own
        for task in (*self._tasks, *self._held):
            task.cancel()
        await super().shutdown(sockets=[listener for listener, _, _ in self._listeners])
        for connection in self.server_state.connections:
            connection.transport.abort()  # has not taken its answer in all that time
        await asyncio.sleep(0)

    async def _accept(
        self,
        listener: socket.socket,
        config: uvicorn.Config,
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._make_room()
                    await asyncio.sleep(_ACCEPT_AGAIN_SECONDS)
                continue
            if len(self.server_state.connections) + len(self._handshakes) >= self._most:
                self._make_room()
            protocol = Connection(config, self.server_state, {}, loop)
            protocol.waiting_since = loop.time()
            task = loop.create_task(self._hold(connection, protocol, context()))
            self._held[task] = protocol
            task.add_done_callback(self._held.pop)
            # Who gives way is gone after a turn of the loop, which accepting alone would not take.
            await asyncio.sleep(0)

    async def _hold(
        self,
        connection: socket.socket,
        protocol: Connection,
        context: ssl.SSLContext | None,
    ) -> None:
        more: dict[str, Any] = {}
        if context is not None:
            more = {
                "ssl": context,
                "ssl_handshake_timeout": _HANDSHAKE_SECONDS,
                # It counts while the last answer is on its way, too.
                "ssl_shutdown_timeout": ANSWER_SECONDS,
            }
        # Who speaks no TLS, or shows no good certificate, is hung up on.
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, connection, **more
            )

    @property
    def _handshakes(self) -> list[tuple[asyncio.Task[None], float]]:
        """What is accepted and not a connection yet, and since when."""
        return [
            (task, protocol.waiting_since)
            for task, protocol in self._held.items()
            if protocol not in self.server_state.connections and not task.cancelling()
        ]

    def _make_room(self) -> None:
        """Close what has kept us waiting longest: half requests, then idle ones, then answers."""
        waiting: list[tuple[bool, bool, float, Callable[[], object]]] = [
            (each.answering, each.idle, each.waiting_since, each.give_up)
            for each in self.server_state.connections
            if isinstance(each, Connection) and not each.given_up
        ]
        waiting += [(False, False, since, task.cancel) for task, since in self._handshakes]
        if waiting:
            min(waiting, key=lambda one: one[:3])[3]()


class Server:
    """Listens and serves in a thread. `url` is known once it listens.

    Where clients must show a certificate, a probe on this machine cannot, so the probes' paths lie
    open on a socket besides that has no place in the file system and is reached from this machine
    (or container) only.
    """

    def __init__(self, settings: WebSettings, app: ASGIApp, doors: Doors) -> None:
        self._settings = settings
        self._doors = doors
        self._app = app
        self._scheme = "https" if doors.tls else "http"
        self._server: _Accepting | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._sockets: list[socket.socket] = []
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)

    @property
    def url(self) -> str:
        """Where a person on this machine reaches it."""
        host, port = self._settings.host, self._settings.port
        if self._sockets:
            port = self._sockets[0].getsockname()[1]
        return base_url(self._scheme, host, port)

    @property
    def alive(self) -> bool:
        """Whether the server's loop runs."""
        return self._thread.is_alive() and self._server is not None and self._server.accepting

    def start(self) -> None:
        """Listen. Raises CannotListen."""
        self._sockets = _listen(self._settings.host, self._settings.port)
        config = _config(self._app)
        listeners = [(each, config, lambda: self._doors.context) for each in self._sockets]
        tls = self._doors.tls
        if tls is not None and tls.client_auth_type == REQUIRED:
            probes = listen_for_probes(self._settings.host, self._sockets[0].getsockname()[1])
            if probes is not None:
                listeners.append((probes, _config(Probes(self._app)), lambda: None))
        self._server = _Accepting(listeners)
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._thread.start()

    def stop(self) -> None:
        """Finish the answers under way, for a few seconds at most, and close."""
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join(_STOP_SECONDS + 2)

    def _run(self) -> None:
        assert self._server is not None
        self._server.run(sockets=[])


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


def _listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of `host` that this machine has, all on one port.

    An empty host is every interface, over IPv6 and IPv4 or whichever of them there is.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
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
        listener.listen(512)
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
    return error.strerror or str(error)
