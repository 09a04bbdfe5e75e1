"""Puts the parts together, runs them until told to stop, changes them on a reload.

The signals belong to this module: SIGTERM and SIGINT end, SIGHUP reloads.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import structlog

from exporter import __version__, logs
from exporter.exposition import Exposition, Renderer
from exporter.helpscout.account import Account
from exporter.helpscout.budget import Budget
from exporter.helpscout.client import Client
from exporter.helpscout.errors import NotThere
from exporter.poller import Poller
from exporter.poller.dispatcher import utc_now
from exporter.schedule import demand_per_minute
from exporter.selection import requests_for
from exporter.settings import Configuration, ConfigurationError
from exporter.state import State, mailbox_counts
from exporter.status import Facts, ReloadFailure, Rendered, render, view
from exporter.store import Store
from exporter.telemetry import Telemetry
from exporter.web import Backend, Doors, Guarded, Server, application

_READY_ANYWAY_SECONDS: Final = 30.0
_ROUND_LOOK_SECONDS: Final = 0.05
_PROGRESS_SECONDS: Final = 10.0
_FIXED: Final = ("web", "state_file")
"""What of the configuration takes a restart to change."""


class Exporter:
    """Store, poller and exposition under one configuration, without a listener.

    `now` is the instant that windows end at, `process_metrics` whether the client library's
    process and Python metrics are part of the exposition. Raises StateFileInUse.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        now: Callable[[], datetime] = utc_now,
        process_metrics: bool = True,
    ) -> None:
        self.configuration = configuration
        self.telemetry = Telemetry(process_metrics=process_metrics)
        self.store = Store()
        self._state = State(configuration.state_file)
        if configuration.state_file is not None:
            self.telemetry.watch_state_file(lambda: bool(self._state.ok))
        self.poller = Poller(self.store, self.telemetry, self._state, now=now)
        self._configured(configuration)
        self.exposition = Exposition(self.store, self.telemetry, _renderer(configuration))
        self._stopping = threading.Event()
        self._assembler = threading.Thread(
            target=self.exposition.run, args=(self._stopping,), name="assembler", daemon=True
        )
        self._started_at, self._started_wall = time.monotonic(), time.time()

    @property
    def healthy(self) -> bool:
        """Whether the loops turn. Never depends on Help Scout."""
        return self.poller.alive and self._assembler.is_alive()

    @property
    def ready(self) -> bool:
        """Whether each account's login has been tried, or that took too long to wait for."""
        waited = time.monotonic() - self._started_at
        return self.poller.attempted or waited >= _READY_ANYWAY_SECONDS

    def start(self) -> None:
        """Begin to poll and to assemble."""
        self.poller.start()
        self._assembler.start()

    def stop(self) -> bool:
        """Stop asking; tell whether what was in flight ended in time."""
        ended = self.poller.stop()
        self._stopping.set()
        self.store.changed.set()
        self._state.close()
        return ended

    def configure(self, configuration: Configuration) -> None:
        """Go on under another configuration, keeping what is still wanted."""
        self.configuration = configuration
        self._configured(configuration)
        self.exposition.configure(_renderer(configuration))

    def facts(self, reload_failure: ReloadFailure | None) -> Facts:
        """Return what the status page is made of, as of now."""
        return Facts(
            now=time.time(),
            clock=time.monotonic(),
            configuration=self.configuration,
            snapshot=self.store.snapshot(),
            troubles=self.store.troubles(),
            progress=self.poller.progress(),
            started_at=self._started_wall,
            loaded_at=self._loaded_at,
            reload_failure=reload_failure,
        )

    def _configured(self, configuration: Configuration) -> None:
        shard = configuration.selection.shard
        accounts = [a for a in configuration.accounts if shard.may_own(a.name)]
        self.poller.configure(accounts, configuration.selection, configuration.stale_after)
        self.telemetry.reload_successful.set(1)
        self._loaded_at = time.time()
        self.telemetry.reload_timestamp.set(self._loaded_at)


def _renderer(configuration: Configuration) -> Renderer:
    return Renderer(configuration.objectives, configuration.selection.windows)


class Daemon:
    """The exporter with its listener and its signals. `load` reads the configuration anew."""

    def __init__(self, configuration: Configuration, load: Callable[[], Configuration]) -> None:
        """Raises StateFileInUse, and ConfigurationError for an unusable `web.config_file`."""
        doors = Doors(configuration.web.config_file)
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
        app = Guarded(application(configuration.web, backend), doors)
        self.server = Server(configuration.web, app, doors)
        self._stop = threading.Event()
        self._hang_up = threading.Event()

    def run(self, announce: Callable[[str], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT. Raises CannotListen.

        `announce` is called with the URL once the exporter listens.
        """
        signal.signal(signal.SIGTERM, lambda *_: self._stop.set())
        signal.signal(signal.SIGINT, lambda *_: self._stop.set())
        signal.signal(signal.SIGHUP, lambda *_: self._hang_up.set())
        self._warn(self.exporter.configuration.warnings)
        self.server.start()
        self._log.info("listening", url=self.server.url, version=__version__)
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
        return render(view(self.exporter.facts(self._reload_failure), query))

    def _warn(self, warnings: Iterable[str]) -> None:
        for warning in warnings:
            self._log.warning(warning)

    def reload(self) -> tuple[str, ...]:
        """Read the configuration anew; return what is wrong with it, nothing if it is in force.

        A bad one changes nothing. `web` and `state_file` cannot change while they are in use: that
        is said, not done, and `/config` shows what is in force.
        """
        with self._reloading:
            try:
                configuration = self._load()
            except ConfigurationError as error:
                self.exporter.telemetry.reload_successful.set(0)
                self._reload_failure = ReloadFailure(error.messages, time.time())
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
            configuration = _keeping(configuration, in_force)
            logs.configure(configuration.log.level, configuration.log.format)
            self.exporter.configure(configuration)
            self._reload_failure = None
            self._warn(configuration.warnings)
            self._log.info("configuration reloaded")
            return ()


def _keeping(configuration: Configuration, in_force: Configuration) -> Configuration:
    """Return `configuration` with what only a restart changes as it is in force."""
    fixed = {name: value for name, value in in_force.shown.items() if name in _FIXED}
    merged = {**configuration.shown, **fixed}
    return replace(
        configuration,
        web=in_force.web,
        state_file=in_force.state_file,
        shown={name: merged[name] for name in merged if name in fixed or name not in _FIXED},
    )


def one_round(
    configuration: Configuration, now: Callable[[], datetime] = utc_now
) -> tuple[bytes, bool]:
    """Ask every report once; return the text exposition and whether all of them came.

    An account whose login or mailbox list fails ends its part at once. KeyboardInterrupt passes.
    The state file is left alone: what it knows would not be asked, and a daemon may be using it.
    """
    exporter = Exporter(replace(configuration, state_file=None), now=now, process_metrics=False)
    log: Any = structlog.get_logger()
    exporter.poller.start()
    try:
        tell_at = time.monotonic() + _PROGRESS_SECONDS
        while not exporter.poller.first_round_done:
            time.sleep(_ROUND_LOOK_SECONDS)
            if time.monotonic() >= tell_at:
                tell_at += _PROGRESS_SECONDS
                entries = exporter.store.snapshot().entries.values()
                asked = sum(entry.success is not None for entry in entries)
                log.info("round under way", asked=asked, reports=len(entries))
    finally:
        exporter.stop()
    exporter.exposition.assemble()
    snapshot = exporter.store.snapshot()
    complete = (
        all(entry.success for entry in snapshot.entries.values())
        and all(status.up for status in snapshot.accounts.values())
        and not exporter.store.troubles().accounts  # a mailbox list that is not whole
    )
    return b"".join(exporter.exposition.ready.text.parts), complete


def known_mailboxes(configuration: Configuration) -> dict[str, int]:
    """Return how many mailboxes each account had, as far as the state file knows."""
    path = configuration.state_file
    if path is None or not path.exists():
        return {}
    found = mailbox_counts(path, [account.identity for account in configuration.accounts])
    return {a.name: found[a.identity] for a in configuration.accounts if a.identity in found}


def check_account(configuration: Configuration, account: Account) -> str:
    """Log in, list the mailboxes, ask one report; return a line that says what was found.

    Raises HelpScoutError.
    """
    telemetry = Telemetry(process_metrics=False)
    budget = Budget(
        account.name, account.requests_per_minute, 1.0, telemetry, wait=threading.Event().wait
    )
    client = Client(account, budget, telemetry)
    try:
        mailboxes = client.mailboxes()
        requests = requests_for(account.name, configuration.selection, mailboxes, {})
        found = f"{account.name}: login good (API {account.api[1]}.0), {len(mailboxes)} mailboxes"
        if not requests:
            raise NotThere(
                f"login good, {len(mailboxes)} mailboxes, but none of them is selected: look at"
                " mailboxes.include and mailboxes.exclude"
            )
        request = requests[0]
        client.report(request, request.window.ending(utc_now()), tags=False)
    finally:
        client.close()
    per_minute = demand_per_minute(requests)
    return (
        f"{found}, report good; {len(requests)} reports, {per_minute:.1f} calls a minute"
        f" of {budget.per_minute * account.budget:.0f} in the budget"
    )
