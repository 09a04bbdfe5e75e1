"""One account's side of polling: what to ask next, and what follows from how it went.

A state machine without a lock: every method belongs to the dispatcher's thread. It decides and
pays; a worker makes exactly one attempt. A retry is a due time like any other, so nothing sleeps
through a back-off.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from exporter.health import AccountStatus
from exporter.helpscout.account import Account
from exporter.helpscout.answering import AccountHealth
from exporter.helpscout.budget import Budget, Usage
from exporter.helpscout.client import Client
from exporter.helpscout.errors import HelpScoutError, ShortList
from exporter.poller.account_log import AccountLog
from exporter.poller.agenda import Agenda
from exporter.poller.discovery import Discovery
from exporter.poller.names import Names
from exporter.poller.turns import Turns
from exporter.questions import Learned, Mailbox, Question, Reading
from exporter.schedule import Outlook, Schedule
from exporter.settings import Configuration
from exporter.state_file import StateFile
from exporter.store import Store
from exporter.telemetry import Telemetry

_TICK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """One paid attempt: a question asked at `asked_at` (monotonic), or (None) the mailbox list.

    Of the list, a `probe` asks the first page only. With `tags` the account's tags follow the list.
    """

    question: Question | None
    asked_at: float
    probe: bool = False
    tags: bool = False


class AccountPoller:
    """Polls one account. Times are monotonic seconds; `jitter` gives numbers from 0 to 1.

    `wall` is Unix time in seconds: the office schedule goes by it.
    """

    def __init__(
        self,
        account: Account,
        settings: Configuration,
        client: Client,
        budget: Budget,
        store: Store,
        telemetry: Telemetry,
        state_file: StateFile,
        clock: Callable[[], float],
        *,
        jitter: Callable[[], float] = random.random,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.account, self._settings, self.client = account, settings, client
        self._budget, self._store, self._telemetry = budget, store, telemetry
        self._state_file = state_file
        self._clock, self._wall = clock, wall
        self._log = AccountLog(account.name, clock)
        self._turns = Turns(jitter)
        self._discovery = Discovery(clock())
        self._names = Names()
        self._health = AccountHealth(clock())
        self._status = AccountStatus()
        self._outlook = Outlook(discovery_due=clock())
        self._running = 0
        names, turns, log = self._names, self._turns, self._log
        self._agenda = Agenda(account, settings, names, turns, budget, store, telemetry, log)

    @property
    def attempted(self) -> bool:
        """Whether login and discovery have been tried once, whatever the result."""
        return self._discovery.attempted

    @property
    def first_round_done(self) -> bool:
        """Whether every report has been asked, or cannot be: there is no way in."""
        if self._discovery.mailboxes is None:
            return self.attempted
        return self._turns.first_round_done

    @property
    def progress(self) -> tuple[Outlook, Usage]:
        """What is going to be asked, as of the last tick, and the budget now. For any thread."""
        return self._outlook, self._budget.usage()

    def stays(self, account: Account, settings: Configuration) -> bool:
        """Return whether this poller can go on under another configuration of its account."""
        mine, other = (
            replace(each, office_schedule=None, collectors=()) for each in (self.account, account)
        )
        return mine == other and self._settings.shard == settings.shard

    def configure(self, settings: Configuration) -> None:
        """Poll by other settings from now on, keeping what is known and when it is due.

        The mailboxes are listed again at once, and what is refused is asked again: after a
        reload an operator wants to see what is there.
        """
        now = self._clock()
        self.account = next(a for a in settings.accounts if a.name == self.account.name)
        self._settings = settings
        self._agenda.configure(self.account, settings)
        self._discovery.ask_at_once(now)
        self._turns.forget_refusals()
        if self._discovery.mailboxes is not None:
            self._follow(now)
            self._turns.schedule.hurry(self._log.failing, now)
        self._judge(now)

    def recall(self, before: "AccountPoller | None" = None) -> None:
        """Take over, before anything is asked, what is known of the account already.

        That is what its poller until now knows, whose readings are in the store, or what an earlier
        process left in the state file.
        """
        now = self._clock()
        self._judge(now)
        if before is not None and before._discovery.mailboxes is not None:
            self._discovery.mailboxes = before._discovery.mailboxes
            self._names.known = before._names.known
            self._agenda.resume(before._turns, now)
            self._follow(now)
            return
        remembered = self._state_file.recall(self.account.identity, self.account.name)
        if remembered is None:
            return
        self._discovery.mailboxes, self._names.known = remembered.mailboxes, remembered.learned
        self._follow(now)
        for key, question in self._turns.questions.items():
            found = remembered.readings.get(key)
            if found is None or found[0] != question.fingerprint:
                continue
            if self._store.restore(key, *found[1:]):
                self._turns.restored(key)
        self._turns.schedule = Schedule(self._turns.schedule.stretch)
        self._follow(now)

    def next_job(self, now: float) -> tuple[Job | None, float]:
        """Return a job that is paid for, or None and the time when to look again."""
        if self._running >= self.account.concurrency:
            return None, now + _TICK_SECONDS
        list_due = self._discovery.next_due(self._health.probe_due())
        if now < list_due:
            due = self._next_question_due(now)
            if now < due:
                return None, min(due, list_due)
        delay = self._budget.try_spend()
        if delay:
            return None, now + delay
        self._running += 1
        if now < list_due:
            return Job(self._turns.take(now), now), now
        probe = self._discovery.begin(now)
        self._health.probing(now)
        return Job(None, now, probe, tags=self._agenda.lists_tags), now

    def _next_question_due(self, now: float) -> float:
        error, locked_out = self._health.error, self._health.locked_out
        if self._discovery.under_way and error is not None and error.locks_out:
            return now + _TICK_SECONDS  # a probe shows whether a report's 401 is the account's
        if locked_out is not None:
            for question in self._turns.take_all(now):
                self._give_up(question, locked_out, now)
        return self._turns.next_due(now)

    def tick(self, now: float) -> None:
        """Bring status and self-metrics up to date; about once a second."""
        self._budget.publish()
        self._agenda.fit(now)
        self._outlook = self._turns.schedule.outlook(now, self._discovery.due)
        self._telemetry.lag.labels(self.account.name).set(self._outlook.lag)
        if self._discovery.mailboxes is not None:
            self._agenda.look_for_missing(self._discovery.mailboxes)
        self._judge(now)

    def discovered(self, mailboxes: list[Mailbox], said: Learned | None = None) -> None:
        """Take the account's mailboxes as they are now: new, renamed and deleted ones.

        `said` is what the list of tags says, None where it was not asked, or failed.
        """
        if (suddenly := self._discovery.emptied(mailboxes)) is not None:
            self.discovery_failed(suddenly)
            return
        now = self._clock()
        self._end_listing()
        self._health.listed(None)
        self._store.set_login(self.account.name, None)
        self._log.mailboxes(self._discovery.mailboxes, mailboxes)
        self._log.clock_skew(self.client.skew_seconds)
        self._log.round_ended(self._outlook.lag, self._budget.per_minute)
        self._discovery.arrived(mailboxes, now)
        self._remember()
        self._follow(now)
        if said is not None:
            self._learn(said)
        self._ok(now)

    def discovery_failed(self, error: HelpScoutError) -> None:
        """Keep the last list and try again soon, then less and less often.

        A list that is not whole adds what is new in it: the account answers, its list is at fault.
        """
        now = self._clock()
        wait = self._discovery.failed(error, now)
        self._health.listed(error.reason)
        self._log.discovery_failed(error, wait)
        if not isinstance(error, ShortList):
            self.probe_failed(error)
            return
        self._end_listing()
        self._store.set_login(self.account.name, error.failure)
        if self._discovery.add(error.found):
            self._remember()
            self._follow(now)
        due = self._discovery.due
        self._ok(now)
        self._discovery.due = due  # it has just been listed

    def probed(self) -> None:
        """The list's first page arrived: the account answers."""
        now = self._clock()
        self._end_listing()
        if not self._discovery.failures:
            self._store.set_login(self.account.name, None)
        self._discovery.works_again(now)
        self._ok(now)

    def probe_failed(self, error: HelpScoutError) -> None:
        """Nor does the list's first page arrive: if that is an outage, it is judged now."""
        now = self._clock()
        self._end_listing()
        self._health.probe_failed(now, self._discovery.since, error)
        self._store.set_login(self.account.name, error.failure)
        self._judge(now)

    def answered(self, job: Job, reading: Reading) -> None:
        """An answer arrived: into the store, and its key back to its place."""
        assert job.question is not None
        now, key = self._clock(), job.question.key
        self._running -= 1
        if key in self._turns.questions:  # else what was asked is not wanted any more
            at = self._store.succeeded(key, reading.kept)
            self._state_file.remember(self.account.identity, job.question, reading.kept, at)
            self._turns.answered(key, reading.calls, job.asked_at, now)
            self._log.report_succeeded(key)
            self._learn(reading.learned)
        self._ok(now)

    def failed(self, job: Job, error: HelpScoutError) -> None:
        """A question failed: try again soon if that can help, else at its next turn."""
        assert job.question is not None
        now = self._clock()
        self._running -= 1
        self._health.failed(now, job.asked_at, error)
        if job.question.key not in self._turns.questions:
            return  # what was asked is not wanted any more: its mailbox may be gone
        if self._turns.retried(job.question, error, now):
            self._telemetry.api_retries.labels(self.account.name, error.reason).inc()
        else:
            self._give_up(job.question, error, job.asked_at)
        self._judge(now)

    def _give_up(self, question: Question, error: HelpScoutError, asked_at: float) -> None:
        key = question.key
        self._store.failed(key, error.failure)
        next_try = self._turns.give_up(question, error, asked_at, self._clock())
        self._log.report_failed(key, self._store.mailbox_name(key), error, next_try)

    def _learn(self, said: Learned) -> None:
        settings, known = self._settings, self._names.known
        if settings.needs_tags:
            for line in said.odd:
                self.client.odd(line)
        self._names.add(said, tags=settings.needs_tags, folders=settings.needs_folders)
        if self._names.known != known:
            self._remember()
        if self._names.known.tags != known.tags:  # a folder is asked for by its id, known or not
            self._follow(self._clock())

    def _remember(self) -> None:
        mailboxes = self._discovery.mailboxes or []
        self._state_file.remember_account(self.account.identity, mailboxes, self._names.known)

    def _follow(self, now: float) -> None:
        self._agenda.follow(self._discovery.mailboxes or (), now)

    def _end_listing(self) -> None:
        self._running -= 1
        self._discovery.end()

    def _ok(self, now: float) -> None:
        """Something usable arrived: the account answers, and what failed with it is asked again."""
        locked_out = self._health.locked_out
        self._health.ok(now)
        if locked_out is not None:
            failing = self._log.failing_for(lambda reason: reason.locks_out)
            self._turns.schedule.hurry(failing, now)
        self._judge(now)

    def _judge(self, now: float) -> None:
        status = self._health.status(
            self._turns.refusals, self._agenda.segments, gate_closed=self._budget.closed
        )
        if (schedule := self.account.office_schedule) is not None:
            status = replace(status, office_open=schedule.is_open(self._wall()))
        if status == self._status:
            return
        before, self._status = self._status, status
        self._store.set_status(self.account.name, status)
        self._log.status(before, status, self._health.error)
        if status.up and not before.up:
            self._discovery.works_again(now)
            failing = self._log.failing_for(lambda reason: reason.may_pass)
            self._turns.schedule.hurry(failing, now)
