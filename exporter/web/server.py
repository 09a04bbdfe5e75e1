"""Serves the application in a thread: uvicorn, on our sockets, over our connections.

The signals stay with the daemon.
"""

import asyncio
import errno
import logging
import resource
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from exporter.probe import REQUIRED, SYSTEMD, base_url
from exporter.settings import WebSettings
from exporter.web.access import Access, ProbesOnly
from exporter.web.connection import KEEP_ALIVE_SECONDS, Connection, Connections
from exporter.web.sockets import listen, listen_for_probes
from exporter.web.tls import Encryption

MAX_CONNECTIONS: Final = 512
STOP_SECONDS: Final = 3
_BACKLOG: Final = 128
"""Also how many connections asyncio accepts before one of them is counted."""
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# How long a thread may keep the interpreter while another waits for it; Python's own is 5 ms.
# Beside eight poll threads at full speed an answer waits for each of them several times over:
# measured, the 99th percentile of a scrape of 100,000 series falls from 50 to 18 ms, and as much is
# polled. Still shorter, and switching itself begins to cost.
_SWITCH_SECONDS: Final = 0.0005


class Server:
    """Listens and serves in a thread. `urls` are known once it listens.

    Where clients must show a certificate, a probe on this machine cannot. So the paths for probes
    are also served in the clear on a socket that is reached from this machine (or container) only.
    """

    def __init__(self, settings: WebSettings, app: ASGIApp, access: Access) -> None:
        self._settings = settings
        self._access = access
        self._app = app
        self._listening: list[tuple[str, list[socket.socket]]] = []
        self._served: list[tuple[uvicorn.Server, list[socket.socket]]] = []
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._no_room_since = float("-inf")
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Calls to Help Scout and the state file need descriptors, too.
        most = MAX_CONNECTIONS if files == resource.RLIM_INFINITY else max(8, files // 2)
        self.connections = Connections(min(MAX_CONNECTIONS, most))
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)

    @property
    def urls(self) -> list[str]:
        """Where a person on this machine reaches it."""
        return [self._url(host, sockets[0]) for host, sockets in self._listening]

    @property
    def url(self) -> str:
        """The first of the URLs."""
        return self.urls[0]

    def _url(self, host: str, listener: socket.socket) -> str:
        name = listener.getsockname()
        if not isinstance(name, tuple):
            return f"unix:{name}"
        return base_url("https" if self._access.tls else "http", host, name[1])

    @property
    def alive(self) -> bool:
        """Whether the server's loop runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Listen. Raises CannotListen."""
        self._listening = listen(self._settings.listen)
        sockets = [each for _, several in self._listening for each in several]
        self._add(self._app, sockets, lambda: self._access.context)
        tls = self._access.tls
        if tls and tls.client_auth_type == REQUIRED and self._settings.listen != (SYSTEMD,):
            host, (first, *_) = self._listening[0]
            probes = listen_for_probes(host, first.getsockname()[1])
            if probes is not None:
                self._add(ProbesOnly(self._app), [probes], lambda: None)
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._thread.start()

    def stop(self) -> None:
        """Finish the answers under way, for a few seconds at most, and close."""
        for server, _ in self._served:
            server.should_exit = True
        if self._served:
            self._thread.join(STOP_SECONDS + 2)

    def _add(
        self,
        app: ASGIApp,
        sockets: list[socket.socket],
        context: Callable[[], Encryption | None],
    ) -> None:
        http: Any = partial(Connection, connections=self.connections, context=context)
        config = uvicorn.Config(
            app,
            http=http,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self._served.append((uvicorn.Server(config), sockets))

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        asyncio.get_running_loop().set_exception_handler(self._troubled)
        await asyncio.gather(*(server.serve(sockets) for server, sockets in self._served))
        for server, sockets in self._served:
            # Told to stop before it had begun, uvicorn leaves its listeners open.
            for listener in [*getattr(server, "servers", ()), *sockets]:
                listener.close()
        # What has not taken its answer is dropped, and what was accepted a moment ago: that becomes
        # a connection within the loop's next turns.
        for _ in range(5):
            self.connections.drop(MAX_CONNECTIONS)
            await asyncio.sleep(0)

    def _troubled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Make room where the kernel has none; asyncio accepts again after a second."""
        error = context.get("exception")
        if all(server.should_exit for server, _ in self._served):
            return  # what is closed is not accepted on again
        if not isinstance(error, OSError) or error.errno not in _NO_ROOM:
            loop.default_exception_handler(context)
        elif loop.time() > self._no_room_since + 0.5:  # asyncio may say it many times over
            self._no_room_since = loop.time()
            self.connections.drop(len(self.connections.held) // 2 + 1)
