"""Asks an account for one step after the other, the newest first, within its budget.

The newest first, because a 400 then says where the service's history ends: nothing older of that
key is asked. A step that fails is left for the end and asked again there. An account that fails
as a whole is waited for, and given up when it stays away.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import structlog

from exporter.backfill.grid import Grid, moment, newest_first, written
from exporter.backfill.journal import Journal
from exporter.backfill.series import Book
from exporter.helpscout.account import Account
from exporter.helpscout.budget import Stopping
from exporter.helpscout.client import Client
from exporter.helpscout.errors import (
    BadCredentials,
    HelpScoutError,
    NotAllowed,
    NotThere,
    Refused,
    Suspended,
)
from exporter.reports import ReportKey, ReportRequest

PATIENCE_SECONDS: Final = 600.0
_PAUSES_BEFORE_RETRIES: Final = (0.5, 2.0, 8.0)
_ISOLATED: Final = 5
_LONGEST_PAUSE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """A report that ends at `at`, Unix seconds."""

    request: ReportRequest
    at: int


class Asker:
    """One account's threads. `stopping` ends them; what is in flight is still kept."""

    def __init__(
        self,
        account: Account,
        client: Client,
        requests: Iterable[ReportRequest],
        grids: dict[str, Grid],
        book: Book,
        journal: Journal,
        stopping: threading.Event,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self.account, self._client = account, client
        self._grids, self._book, self._journal = grids, book, journal
        self._stopping, self._clock = stopping, clock
        self._wait = wait or stopping.wait
        self._log: Any = structlog.get_logger().bind(account=account.name)
        self._of_window: dict[str, list[ReportRequest]] = {text: [] for text in grids}
        for request in requests:
            self._of_window[request.key.window].append(request)
        self._lock = threading.Lock()
        self._ends = journal.ends()
        self._in_a_row, self._good_at, self._again = 0, clock(), False
        self.passed = self.answered = 0
        """Steps that were come to in this run, and those that were answered."""
        self.failures: dict[Step, HelpScoutError] = {}
        self.shut: dict[str, HelpScoutError] = {}
        """Mailboxes, by id, that the service refuses altogether."""
        self.given_up: HelpScoutError | None = None
        """Why the account was given up, if it was."""
        self.broken: Exception | None = None
        """What went wrong on our side."""
        # Not the thread's own join: Ctrl-C in it makes Python take the thread for ended.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"asker-{account.name}", daemon=True)

    @property
    def total(self) -> int:
        """The number of steps."""
        return sum(len(self._grids[text]) * len(each) for text, each in self._of_window.items())

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so long; tell whether it has come."""
        return self._ended.wait(seconds)

    def _run(self) -> None:
        try:
            self._ask_everything()
        finally:
            self._ended.set()

    def _ask_everything(self) -> None:
        self._ask_all(self._steps())
        for pause in _PAUSES_BEFORE_RETRIES:
            if not self.failures or self._over or self._wait(pause):
                return
            self._log.info("asking again what failed", reports=len(self.failures))
            self._again = True
            self._ask_all(iter(list(self.failures)))

    @property
    def _over(self) -> bool:
        return self._stopping.is_set() or bool(self.given_up or self.broken)

    def _steps(self) -> Iterator[Step]:
        for at, window in newest_first(self._grids):
            for request in self._of_window[window]:
                self.passed += 1
                if not self._journal.has(request.key, at):
                    yield Step(request, at)

    def _ask_all(self, steps: Iterator[Step]) -> None:
        threads = [
            threading.Thread(target=self._work, args=(steps,), daemon=True)
            for _ in range(self.account.concurrency)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, steps: Iterator[Step]) -> None:
        try:
            while (step := self._next(steps)) is not None:
                self._ask(step)
        except Stopping:
            pass
        except Exception as error:  # kept for the main thread, which says or raises it
            self.broken = error

    def _next(self, steps: Iterator[Step]) -> Step | None:
        if self._in_a_row >= _ISOLATED:
            doublings = min(self._in_a_row - _ISOLATED, 10)
            self._wait(min(2.0**doublings, _LONGEST_PAUSE_SECONDS))
        with self._lock:
            while not self._over and (step := next(steps, None)) is not None:
                key = step.request.key
                if key.mailbox_id not in self.shut and self._ends.get(key, step.at - 1) < step.at:
                    return step
                self.failures.pop(step, None)
        return None

    def _ask(self, step: Step) -> None:
        key = step.request.key
        range_ = step.request.window.ending(moment(step.at))
        try:
            answer = self._client.report(step.request, range_, tags=False)
        except HelpScoutError as error:
            with self._lock:
                self._failed(step, error)
            return
        self._journal.keep(key, step.at, self._book.figures(key, answer.report))
        with self._lock:
            self.answered += 1
            self.failures.pop(step, None)
            self._in_a_row, self._good_at = 0, self._clock()

    def _failed(self, step: Step, error: HelpScoutError) -> None:
        key = step.request.key
        self.failures.pop(step, None)
        if isinstance(error, Refused) and error.status == 400:
            self._in_a_row = 0
            self._ends[key] = max(step.at, self._ends.get(key, step.at))
            if self._journal.keep_end(key, step.at):
                self._log.warning(
                    "history ends here: the service refuses this range and what is older",
                    report=describe(key),
                    end=written(step.at),
                    error=str(error),
                )
            return
        if isinstance(error, NotAllowed | NotThere):
            self._in_a_row = 0
            self.shut[key.mailbox_id] = error
            return
        self.failures[step] = error
        self._in_a_row += not self._again  # what failed before says nothing of the account
        silent = self._clock() - self._good_at
        if isinstance(error, BadCredentials | Suspended) or (
            self._in_a_row >= _ISOLATED and silent >= PATIENCE_SECONDS
        ):
            self.given_up = error
        elif self._in_a_row == _ISOLATED:
            self._log.warning("the account fails, waiting for it", error=str(error))


def describe(key: ReportKey) -> str:
    """Return a key in words."""
    hours = "true" if key.office_hours else "false"
    segment = f", segment {key.segment}" if key.segment else ""
    return (
        f"account {key.account}, mailbox {key.mailbox_id}, type {key.type}, window {key.window},"
        f" office_hours {hours}{segment}"
    )
