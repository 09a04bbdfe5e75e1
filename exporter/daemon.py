"""Puts the parts together, runs them until told to stop, changes them on a reload.

The signals belong to this module: SIGTERM and SIGINT end, SIGHUP reloads.
"""

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from exporter import __version__, logs
from exporter.core import Exporter
from exporter.settings import Configuration, ConfigurationError
from exporter.status import Facts, ReloadFailure, Rendered, render, view
from exporter.web.access import Access, BasicAuth, WithHeaders
from exporter.web.application import Backend, application
from exporter.web.server import Server


def hang_ups() -> threading.Event:
    """Return what SIGHUP sets from now on.

    To be called before the configuration is read: a change after that is not missed.
    """
    hang_up = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: hang_up.set())
    return hang_up


class Daemon:
    """The exporter with its listener and its signals.

    `load` reads the configuration again; `hang_up` is set where that is wanted.
    """

    def __init__(
        self,
        configuration: Configuration,
        load: Callable[[], Configuration],
        hang_up: threading.Event,
    ) -> None:
        """Raises StateFileInUse, and ConfigurationError for an unusable `web.config_file`."""
        access = Access(configuration.web.config_file)
        self._load = load
        self._log: Any = structlog.get_logger()
        self._reloading = threading.Lock()
        self._reload_failure: ReloadFailure | None = None
        self.exporter = Exporter(configuration)
        backend = Backend(
            exposition=self.exporter.exposition,
            configuration=lambda: self.exporter.configuration.masked(),
            healthy=lambda: self.exporter.healthy,
            ready=lambda: self.exporter.ready,
            reload=self.reload,
            page=self._page,
        )
        app = WithHeaders(BasicAuth(application(configuration.web, backend), access), access)
        self.server = Server(configuration.web, app, access)
        self._stop = threading.Event()
        self._hang_up = hang_up

    def run(self, announce: Callable[[str], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT. Raises CannotListen.

        `announce` is called with the URL once the exporter listens.
        """
        signal.signal(signal.SIGTERM, lambda *_: self._stop.set())
        signal.signal(signal.SIGINT, lambda *_: self._stop.set())
        self._warn(self.exporter.configuration.warnings)
        self.server.start()
        for url in self.server.urls:
            self._log.info("listening", url=url, version=__version__)
        if external_url := self.exporter.configuration.web.external_url:
            self._log.info("reached from outside", url=external_url)
        # What is there now stays: to look through all of it for cycles, again and again, would stop
        # every thread for 0.09 s (measured at 100,000 series), and the answer to a scrape, too.
        gc.freeze()
        with self._reloading:  # a client may ask for one by now
            self.exporter.start()
        if announce is not None:
            announce(self.server.url)
        while not self._stop.wait(0.2):
            if self._hang_up.is_set():
                self._hang_up.clear()
                self.reload()
        self._log.info("stopping")
        ended = self.exporter.stop()
        self.server.stop()
        self._log.info("stopped", in_flight_ended=ended)

    def _page(self, query: Mapping[str, str]) -> Rendered:
        return render(view(self._facts(), query))

    def _facts(self) -> Facts:
        exporter = self.exporter
        snapshot, troubles = exporter.store.picture()
        return Facts(
            now=time.time(),
            clock=time.monotonic(),
            configuration=exporter.configuration,
            snapshot=snapshot,
            troubles=troubles,
            progress=exporter.poller.progress(),
            started_at=exporter.started_at,
            loaded_at=exporter.loaded_at,
            reload_failure=self._reload_failure,
        )

    def _warn(self, warnings: Iterable[str]) -> None:
        for warning in warnings:
            self._log.warning(warning)

    def reload(self) -> tuple[str, ...]:
        """Read the configuration again; return what is wrong with it, nothing if it is in force.

        A bad one changes nothing. `web` and `state_file` cannot change while they are in use: that
        is said, not done, and `/config` shows what is in force.
        """
        with self._reloading:
            try:
                configuration = self._load()
            except ConfigurationError as error:
                self._reload_failure = ReloadFailure(error.messages, time.time())
                self.exporter.reload_failed()
                self._log.error(
                    "reload failed, the old configuration stays", problems=error.messages
                )
                self._warn(error.warnings)
                return error.messages
            in_force = self.exporter.configuration
            if configuration.web != in_force.web:
                self._log.warning("a change of web takes effect at the next start")
            if configuration.state_file != in_force.state_file:
                self._log.warning("a change of state_file takes effect at the next start")
            configuration = replace(configuration, web=in_force.web, state_file=in_force.state_file)
            logs.configure(configuration.log.level, configuration.log.format)
            self.exporter.configure(configuration)
            self._reload_failure = None
            self._warn(configuration.warnings)
            self._log.info("configuration reloaded")
            return ()
