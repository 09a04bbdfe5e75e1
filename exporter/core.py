"""What polls and what assembles, under one configuration: the daemon without its listener.

`once` runs it for a single round, the daemon until it is told to stop.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import structlog

from exporter.collectors import codec
from exporter.exposition import TEXT, Exposition, Renderer
from exporter.poller import Poller
from exporter.poller.dispatcher import utc_now
from exporter.settings import Configuration
from exporter.state_file import StateFile
from exporter.store import Store
from exporter.telemetry import Telemetry

_READY_ANYWAY_SECONDS: Final = 30.0
_ROUND_LOOK_SECONDS: Final = 0.05
_PROGRESS_SECONDS: Final = 10.0


class Exporter:
    """Store, poller and exposition under one configuration, without a listener.

    `now` is what is taken for the present, `process_metrics` whether the client library's process
    and Python metrics are part of the exposition where they are configured, `patient` as the poller
    has it. Raises StateFileInUse.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        now: Callable[[], datetime] = utc_now,
        process_metrics: bool = True,
        patient: bool = False,
    ) -> None:
        self.configuration = configuration
        self.telemetry = Telemetry(
            process_metrics=process_metrics and configuration.web.process_metrics
        )
        self.store = Store()
        self._state_file = StateFile(configuration.state_file, codec)
        if configuration.state_file is not None:
            self.telemetry.watch_state_file(lambda: bool(self._state_file.ok))
        self.poller = Poller(self.store, self.telemetry, self._state_file, now=now, patient=patient)
        self._configured(configuration)
        self.exposition = Exposition(self.store, self.telemetry, Renderer(configuration))
        self._stopping = threading.Event()
        self._assembler = threading.Thread(
            target=self.exposition.run, args=(self._stopping,), name="assembler", daemon=True
        )
        self._started, self.started_at = time.monotonic(), time.time()
        self._is_running = False

    @property
    def healthy(self) -> bool:
        """Whether the loops turn, or are about to. Never depends on Help Scout."""
        if not self._is_running:
            return True  # a socket of systemd's may have a connection before we start
        return self.poller.alive and self._assembler.is_alive()

    @property
    def ready(self) -> bool:
        """Whether each account's login has been tried, or that took too long to wait for."""
        waited = time.monotonic() - self._started
        return self.poller.attempted or waited >= _READY_ANYWAY_SECONDS

    def start(self) -> None:
        """Begin to poll and to assemble."""
        self.poller.start()
        self._assembler.start()
        self._is_running = True

    def stop(self) -> bool:
        """Stop asking; return whether what was in flight ended in time."""
        ended = self.poller.stop()
        self._stopping.set()
        self.store.changed.set()
        self._state_file.close()
        return ended

    def configure(self, configuration: Configuration) -> None:
        """Go on under another configuration, keeping what is still wanted."""
        self.configuration = configuration
        self._configured(configuration)
        self.exposition.configure(Renderer(configuration))

    def reload_failed(self) -> None:
        """Say so from the next scrape on."""
        self.telemetry.reload_successful.set(0)
        self.exposition.assemble()

    def _configured(self, configuration: Configuration) -> None:
        self.poller.configure(configuration)
        self.loaded_at = time.time()
        with self.telemetry.at_once:
            self.telemetry.reload_timestamp.set(self.loaded_at)
            self.telemetry.reload_successful.set(1)


def one_round(
    configuration: Configuration, now: Callable[[], datetime] = utc_now
) -> tuple[bytes, bool]:
    """Ask every report once; return the text exposition and whether all of them arrived.

    KeyboardInterrupt passes.
    An account whose login or mailbox list fails, after retries, ends its part. The state file is
    left alone: what it knows would not be asked, and a daemon may be using it.
    """
    exporter = Exporter(
        replace(configuration, state_file=None), now=now, process_metrics=False, patient=True
    )
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
        and not exporter.store.troubles().accounts  # login, or a mailbox list that is not whole
        and not exporter.store.missing()
    )
    return b"".join(exporter.exposition.body(TEXT, gzipped=False).made()), complete
