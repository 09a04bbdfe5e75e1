"""The simulator as one object: a world behind a real HTTP server in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exporter.simulator.faults import Faults, Injector
from exporter.simulator.service import Service, SimulatorOptions
from exporter.simulator.world import World

_SILENT = logging.getLogger("exporter.simulator.silent")  # cutting a connection is no error here
_SILENT.disabled = True


class Simulator:
    """Serves both generations: base URLs are `url` + /v1 and `url` + /v2.

    `clock` gives the world's now (seconds since the epoch), `monotonic` moves rate limit and
    token expiry. Raises ValueError for options that make no sense.
    """

    def __init__(
        self,
        options: SimulatorOptions | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = options = options or SimulatorOptions()
        if options.now is not None and options.now.tzinfo is None:
            raise ValueError("now: needs a time zone")
        frozen = options.now
        self.world = World(options.seed, options.accounts, options.mailboxes)
        self.url = ""
        now = clock if frozen is None else frozen.timestamp
        self._service = Service(self.world, options, now, monotonic)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Returns when listening; port 0 takes a free one. Raises OSError if that fails."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1024)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or answers take 40 ms
        port = listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        quiet: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off"}
        config = uvicorn.Config(
            self._service, http=_Protocol, loop="asyncio", ws="none", timeout_keep_alive=75, **quiet
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.002)

    def stop(self) -> None:
        """Closes everything at once, calls in flight included. May be called twice."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=5)
            self._server = self._thread = None

    def credentials(self) -> list[tuple[str, str, str]]:
        """Per account: client id, client secret, API key."""
        numbers = range(1, self.options.accounts + 1)
        return [(f"demo-{n}", f"secret-{n}", f"key-{n}") for n in numbers]

    def set_faults(self, faults: Faults) -> None:
        """Replaces the faults while running, and starts their counting anew."""
        self._service.injector = Injector(faults)

    def stats(self) -> dict[str, Any]:
        """What GET /_stats answers."""
        return self._service.stats()


class _Protocol(HttpToolsProtocol):
    """uvicorn's own, but silent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _SILENT


class _Server(uvicorn.Server):
    """uvicorn's own, but it does not wait for anybody at the end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        for server in self.servers:
            server.close()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
