"""One dispatcher over all accounts, one pool of workers.

The dispatcher's thread owns every account's state: it hands out paid jobs as they fall due and
takes in the outcomes. A worker only calls Help Scout. One failing report leaves the others alone,
one failing account the other accounts.
"""

import heapq
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Final

from exporter.collectors import ask
from exporter.helpscout.account import Account
from exporter.helpscout.answering import PROBE_SECONDS
from exporter.helpscout.attempts import attempt, persistently
from exporter.helpscout.budget import Budget, Stopping, Usage
from exporter.helpscout.client import Client
from exporter.helpscout.errors import HelpScoutError
from exporter.poller.account import AccountPoller, Job
from exporter.poller.account_log import NotFoundLog
from exporter.questions import Learned, Mailbox
from exporter.schedule import Outlook
from exporter.settings import Configuration
from exporter.state_file import StateFile
from exporter.store import Store
from exporter.telemetry import Telemetry

STOP_SECONDS: Final = 10.0
_MAX_WORKERS: Final = 64
_TICK_SECONDS: Final = 1.0

Outcome = Callable[[], None]


def utc_now() -> datetime:
    """Return the wall clock's time, aware UTC."""
    return datetime.now(UTC)


class Poller:
    """Polls every account until stopped. `clock` is monotonic seconds.

    `now` is what is taken for the present when something is asked. `patient` repeats a
    mailbox list that a passing fault failed at once: a command has no next turn to wait for.
    """

    def __init__(
        self,
        store: Store,
        telemetry: Telemetry,
        state_file: StateFile,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        patient: bool = False,
    ) -> None:
        self._store, self._telemetry, self._state_file = store, telemetry, state_file
        self._clock, self._now, self._patient = clock, now, patient
        self._accounts: dict[str, AccountPoller] = {}
        self._wakes: list[tuple[float, int, AccountPoller]] = []
        self._turns = count()
        self._turn_of: dict[str, int] = {}
        self._jobs: queue.SimpleQueue[tuple[AccountPoller, Job] | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._dispatcher = threading.Thread(target=self._dispatch, name="dispatcher", daemon=True)
        self._stopping = threading.Event()
        self._ticked_at = clock()
        self._not_found = NotFoundLog()

    def start(self) -> None:
        """Begin to ask."""
        self._dispatcher.start()

    def stop(self) -> bool:
        """Ask nothing more and wait for what is in flight, at most STOP_SECONDS.

        Returns whether everything ended in that time; the threads are daemons all the same.
        """
        self._stopping.set()
        self._outcomes.put(lambda: None)
        for _ in self._workers:
            self._jobs.put(None)
        until = time.monotonic() + STOP_SECONDS
        threads = [*self._workers, *([self._dispatcher] if self._dispatcher.ident else [])]
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        if not self._dispatcher.is_alive():
            self._take_in(0)  # what arrived in the last moment is not lost
            self._tick(self._clock())
        for poller in self._accounts.values():
            poller.client.close()
        return not any(thread.is_alive() for thread in threads)

    def configure(self, settings: Configuration) -> None:
        """Poll this shard's accounts from now on; those that stay as they are go on undisturbed.

        Before the start that includes taking over what the state file knows.
        """
        wanted = tuple(a for a in settings.accounts if settings.shard.may_own(a.name))
        self._store.set_accounts([account.name for account in wanted])
        with self._telemetry.at_once:
            self._telemetry.shard_index.set(settings.shard.index)
            self._telemetry.shards.set(settings.shard.total)
        if self._dispatcher.ident is None:
            self._configure(wanted, settings)
        else:
            self._outcomes.put(partial(self._configure, wanted, settings))

    @property
    def alive(self) -> bool:
        """Whether the dispatcher's loop still turns."""
        return self._dispatcher.is_alive() and self._clock() - self._ticked_at < 60 * _TICK_SECONDS

    @property
    def attempted(self) -> bool:
        """Whether each account's login and discovery have been tried, whatever the result."""
        return all(p.attempted for p in list(self._accounts.values()))

    def progress(self) -> dict[str, tuple[Outlook, Usage]]:
        """Return each account's schedule, as of a second ago at most, and its budget now."""
        return {name: poller.progress for name, poller in list(self._accounts.items())}

    @property
    def first_round_done(self) -> bool:
        """Whether every report has been asked at least once.

        The dispatcher looks, between two outcomes: in the middle of one, an account whose plan is
        still being made looks as if there were nothing to ask.
        """
        if not self._dispatcher.is_alive():
            return self._is_first_round_done()
        found: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._outcomes.put(lambda: found.put(self._is_first_round_done()))
        try:
            return found.get(timeout=STOP_SECONDS)
        except queue.Empty:
            return False

    def _is_first_round_done(self) -> bool:
        return all(p.first_round_done for p in self._accounts.values())

    def _configure(self, accounts: tuple[Account, ...], settings: Configuration) -> None:
        before, after = self._accounts, dict[str, AccountPoller]()
        for account in accounts:
            poller = before.get(account.name)
            if poller is not None and poller.stays(account, settings):
                poller.configure(settings)
            else:
                poller = self._new(account, settings, poller)
            after[account.name] = poller
        self._accounts = after
        for poller in after.values():
            self._wake(poller, self._clock())
        for poller in before.values():
            if after.get(poller.account.name) is not poller:
                poller.client.close()
            if poller.account.name not in after:
                self._telemetry.forget(poller.account.name)
        needed = min(sum(account.concurrency for account in accounts), _MAX_WORKERS)
        while len(self._workers) < needed:
            worker = threading.Thread(
                target=self._work, name=f"worker-{len(self._workers)}", daemon=True
            )
            self._workers.append(worker)
            worker.start()

    def _new(
        self, account: Account, settings: Configuration, before: AccountPoller | None
    ) -> AccountPoller:
        """Return an account's poller, in place of the one before it, if there was one."""
        if before is not None and before.account.identity != account.identity:
            self._store.forget(account.name)
            before = None
        budget = Budget(
            account.name,
            account.requests_per_minute,
            account.budget * settings.shard.budget_share,
            self._telemetry,
            clock=self._clock,
            wait=self._stopping.wait,
        )
        client = Client(account, budget, self._telemetry, clock=self._clock)
        poller = AccountPoller(
            account,
            settings,
            client,
            budget,
            self._store,
            self._telemetry,
            self._state_file,
            self._clock,
            wall=lambda: self._now().timestamp(),
        )
        poller.recall(before)
        return poller

    def _dispatch(self) -> None:
        while not self._stopping.is_set():
            now = self._clock()
            if now - self._ticked_at >= _TICK_SECONDS:
                self._ticked_at = now
                self._tick(now)
            self._hand_out(now)
            wake = self._wakes[0][0] if self._wakes else now + _TICK_SECONDS
            self._take_in(min(wake - self._clock(), _TICK_SECONDS))

    def _tick(self, now: float) -> None:
        """Bring every account up to date; log which globs and ids match no mailbox of any."""
        for poller in self._accounts.values():
            with self._store.at_once:
                poller.tick(now)
        self._not_found.now(sorted(map(str, self._store.missing().get("", ()))))

    def _hand_out(self, now: float) -> None:
        while self._wakes and self._wakes[0][0] <= now:
            _, turn, poller = heapq.heappop(self._wakes)
            name = poller.account.name
            if self._accounts.get(name) is not poller or self._turn_of[name] != turn:
                continue
            job, again = poller.next_job(now)
            if job is not None:
                self._jobs.put((poller, job))
            self._wake(poller, again)

    def _take_in(self, timeout: float) -> None:
        try:
            outcome = self._outcomes.get(timeout=max(timeout, 0.0))
            while True:
                with self._store.at_once:
                    outcome()
                outcome = self._outcomes.get_nowait()
        except queue.Empty:
            pass

    def _wake(self, poller: AccountPoller, at: float) -> None:
        """Look at an account at `at`, and not when it was to be looked at before."""
        turn = self._turn_of[poller.account.name] = next(self._turns)
        heapq.heappush(self._wakes, (at, turn, poller))

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            poller, job = item
            if self._stopping.is_set():
                return
            outcome = self._attempt(poller, job)
            self._outcomes.put(partial(self._settle, poller, outcome))

    def _settle(self, poller: AccountPoller, outcome: Outcome) -> None:
        name = poller.account.name
        if self._accounts.get(name) is poller:
            outcome()
            self._wake(poller, self._clock())
        elif name not in self._accounts:
            self._telemetry.forget(name)  # its last calls were counted after it was removed

    def _attempt(self, poller: AccountPoller, job: Job) -> Outcome:
        """Do a job; return what follows from how it went. Never raises."""
        try:
            outcome = attempt(partial(self._do, poller, job), job)
        except Stopping:
            return lambda: None  # nothing is asked any more
        if not isinstance(outcome, HelpScoutError):
            return outcome
        if job.question is not None:
            return partial(poller.failed, job, outcome)
        return partial(poller.probe_failed if job.probe else poller.discovery_failed, outcome)

    def _do(self, poller: AccountPoller, job: Job) -> Outcome:
        """Do a job; return what follows. Raises HelpScoutError, Stopping."""
        if job.question is not None:
            reading = ask(poller.client, job.question, self._now(), paid=True)
            return partial(poller.answered, job, reading)
        if job.probe:
            poller.client.probe(PROBE_SECONDS)
            return poller.probed
        mailboxes = self._mailboxes(poller)
        return partial(poller.discovered, mailboxes, self._tags(poller) if job.tags else None)

    def _tags(self, poller: AccountPoller) -> Learned | None:
        """Return an account's tags, None where they cannot be listed: the rest works without."""
        try:
            return poller.client.tags()
        except HelpScoutError as error:
            poller.client.odd(f"{error}: segments wait until a conversation names their tags")
            return None

    def _mailboxes(self, poller: AccountPoller) -> list[Mailbox]:
        paid = iter((True,))

        def ask() -> list[Mailbox]:
            return poller.client.mailboxes(paid=next(paid, False))

        if not self._patient:
            return ask()
        return persistently(poller.account.name, ask, self._stopping.wait)
