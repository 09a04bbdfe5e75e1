"""One account's side of polling: what to ask next, and what follows from how it went.

A state machine without a lock: every method belongs to the dispatcher's thread. It decides and
pays; a worker makes exactly one attempt. A retry is a due time like any other, so nothing sleeps
through a back-off.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from exporter.health import LOCKED_OUT, PASSING, AccountHealth, AccountStatus, Failure, Refusals
from exporter.helpscout.account import Account
from exporter.helpscout.budget import Budget, Usage
from exporter.helpscout.client import Client, ReportAnswer
from exporter.helpscout.errors import (
    BadCredentials,
    HelpScoutError,
    NotAllowed,
    NotThere,
    Refused,
    ShortList,
    Suspended,
)
from exporter.missing import mailbox_patterns, of_segments
from exporter.poller.journal import Journal
from exporter.reports import PRODUCTIVITY, Mailbox, ReportKey, ReportRequest
from exporter.schedule import Outlook, Schedule
from exporter.selection import Selection, requests_for
from exporter.state import State, question
from exporter.store import Store
from exporter.telemetry import Telemetry

DISCOVERY_SECONDS: Final = 600.0
MIN_LIFETIME_SECONDS: Final = 600.0
_DISCOVERY_RETRY_SECONDS: Final = 15.0
_EMPTY_LISTS: Final = 3
"""So many lists in a row have to be empty before an account that had mailboxes has none."""
_PAUSE_SECONDS: Final = 900.0
"""How long a question that is refused is left alone, at least."""
_RETRIES: Final = 3
_FIRST_RETRY_SECONDS: Final = 0.5
_TICK_SECONDS: Final = 1.0


_REFUSALS: Final = (NotAllowed, NotThere, Refused, BadCredentials, Suspended)
"""Errors after which the same question is left alone for a while."""


@dataclass(frozen=True, slots=True)
class Job:
    """One paid attempt: a report asked at `asked_at` (monotonic), or (None) the mailbox list.

    Of the list, a `probe` asks the first page only.
    """

    request: ReportRequest | None
    asked_at: float
    probe: bool = False


class AccountPoller:
    """Polls one account. Times are monotonic seconds; `jitter` gives numbers from 0 to 1."""

    def __init__(
        self,
        account: Account,
        selection: Selection,
        stale_after: float,
        client: Client,
        budget: Budget,
        store: Store,
        telemetry: Telemetry,
        state: State,
        clock: Callable[[], float],
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.account, self.client = account, client
        self.selection, self._stale_after = selection, stale_after
        self._budget, self._store, self._telemetry = budget, store, telemetry
        self._state = state
        self._clock, self._jitter = clock, jitter
        self._journal = Journal(account.name, clock)
        self._schedule = Schedule()
        self._health = AccountHealth(clock())
        self._refusals = Refusals()
        self._status = AccountStatus()
        self._outlook = Outlook(discovery_due=clock())
        self._mailboxes: list[Mailbox] | None = None
        self._tags: dict[str, int] = {}
        self._tags_said = False
        self._renamed: dict[str, str] = {}
        self._segments: tuple[tuple[str, bool], ...] = ()
        self._discovery_due = clock()
        self._discovery_failures = self._empty_lists = 0
        self._listing = self._list_again = False
        self._listing_since = clock()
        self._trial_at = clock()
        self._running = 0
        self._planned: dict[ReportKey, None] = {}
        self._attempts: dict[ReportKey, int] = {}
        self._locked_out: HelpScoutError | None = None
        self._last_error: HelpScoutError | None = None
        self.attempted = False
        """Whether login and discovery have been tried once, whatever came of it."""

    @property
    def needs_tags(self) -> bool:
        """Whether the reports' filter tags are of use: a segment has one."""
        return self.selection.needs_tags

    @property
    def first_round_done(self) -> bool:
        """Whether every report has been asked, or cannot be: there is no way in."""
        if self._mailboxes is None:
            return self.attempted
        return not self._attempts and self._schedule.first_round_done

    @property
    def progress(self) -> tuple[Outlook, Usage]:
        """What is going to be asked, as of the last tick, and the budget now. For any thread."""
        return self._outlook, self._budget.usage()

    def stays(self, account: Account, selection: Selection) -> bool:
        """Whether this poller can go on under another configuration of its account."""
        return self.account == account and self.selection.shard == selection.shard

    def configure(self, selection: Selection, stale_after: float) -> None:
        """Poll another selection from now on, keeping what is known and when it is due.

        The mailboxes are listed again at once, and what is refused is asked again: an operator
        who reloads wants to see what is there.
        """
        self.selection, self._stale_after = selection, stale_after
        self._discovery_due = self._clock()
        self._list_again = self._listing
        self._refusals.forget()
        if self._mailboxes is not None:
            self._plan(self._clock())
            self._schedule.hurry(self._journal.failing, self._clock())

    def recall(self) -> None:
        """Take over what an earlier process left in the state file, before anything is asked."""
        remembered = self._state.recall(self.account.identity, self.account.name)
        if remembered is None:
            return
        now = self._clock()
        self._mailboxes, self._tags = remembered.mailboxes, remembered.tags
        for request in self._plan(now):
            found = remembered.reports.get(request.key)
            if found is not None and found[0] == question(request):
                self._store.restore(request.key, *found[1:])
        self._schedule = Schedule()
        self._plan(now)

    def next_job(self, now: float) -> tuple[Job | None, float]:
        """Return a job that is paid for, or None and the time when to look again."""
        if self._running >= self.account.concurrency:
            return None, now + _TICK_SECONDS
        probe_due = self._health.probe_due()
        listing = not self._listing and now >= min(self._discovery_due, probe_due)
        if not listing:
            due = self._due(now)
            if due > now:
                lists = float("inf") if self._listing else min(self._discovery_due, probe_due)
                return None, min(due, lists)
        delay = self._budget.try_spend()
        if delay:
            return None, now + delay
        self._running += 1
        if listing:
            self._listing, self._listing_since = True, now
            self._health.probing(now)
            return Job(None, now, probe=now < self._discovery_due), now
        if self._refusals.collector_rests:
            self._trial_at = now + _PAUSE_SECONDS
        return Job(self._schedule.take(now), now), now

    def _due(self, now: float) -> float:
        """Return when the next report is to be asked; what is left alone loses its turn."""
        if self._held:
            return now + _TICK_SECONDS
        if self._locked_out is not None:
            self._fail_without_asking(now, self._locked_out)
        while (due := self._schedule.next_due()) <= now:
            key = self._schedule.peek()
            if not self._rests(key, now):
                break
            self._schedule.take(now)
            self._schedule.done(key, now)
        return due

    @property
    def _held(self) -> bool:
        """Whether the probe is out that tells if a report's 401 is the account's."""
        return self._listing and isinstance(self._last_error, BadCredentials | Suspended)

    def _rests(self, key: ReportKey, now: float) -> bool:
        plain = self._refusals.is_plain(key)
        if self._refusals.collector_rests:
            return not plain or now < self._trial_at
        return not plain and self._refusals.mailbox_rests(key.mailbox_id)

    def tick(self, now: float) -> None:
        """Bring status and self-metrics up to date; about once a second."""
        self._budget.publish()
        self._refit()
        self._outlook = self._schedule.outlook(now, self._discovery_due)
        self._telemetry.lag.labels(self.account.name).set(self._outlook.lag)
        self._look_for_missing()
        self._judge(now)

    def discovered(self, mailboxes: list[Mailbox]) -> None:
        """Take the account's mailboxes as they are now: new, renamed and deleted ones.

        That none is left is believed when several lists in a row say so.
        """
        if self._mailboxes and not mailboxes and self._empty_lists + 1 < _EMPTY_LISTS:
            self._empty_lists += 1
            self.discovery_failed(
                ShortList(
                    f"the list is empty, where {len(self._mailboxes)} mailboxes were before: they"
                    f" are kept until {_EMPTY_LISTS} lists in a row are empty"
                )
            )
            return
        self._empty_lists = 0
        now = self._clock()
        self._end_listing()
        # A list under way when the configuration changed is not the one that was wanted then.
        self._discovery_due = now if self._list_again else now + DISCOVERY_SECONDS
        self._list_again = False
        self._discovery_failures = 0
        self._health.listed(None)
        self._store.set_login(self.account.name, None)
        self._journal.mailboxes(self._mailboxes, mailboxes)
        self._journal.clock_skew(self.client.skew_seconds)
        self._journal.round_ended(self._schedule.lag(now), self._budget.per_minute)
        self._mailboxes = mailboxes
        self._remember()
        self._plan(now)
        self._ok(now)

    def discovery_failed(self, error: HelpScoutError) -> None:
        """Keep the last list and try again soon, then less and less often.

        A list that is not whole adds what is new in it: the account answers, its list is at fault.
        """
        now = self._clock()
        backoff = min(_DISCOVERY_RETRY_SECONDS * 2**self._discovery_failures, DISCOVERY_SECONDS)
        wait = max(backoff, error.retry_after or 0.0)
        self._discovery_due = now if self._list_again else now + wait
        self._list_again = False
        self._discovery_failures += 1
        self._health.listed(error.reason)
        self._journal.discovery_failed(error, wait)
        if not isinstance(error, ShortList):
            self.probe_failed(error)
            return
        self._end_listing()
        self._store.set_login(self.account.name, _failure(error))
        self._add(error.found)
        due = self._discovery_due
        self._ok(now)
        self._discovery_due = due  # it has just been listed

    def _add(self, mailboxes: Iterable[Mailbox]) -> None:
        known = {mailbox.id: mailbox for mailbox in self._mailboxes or ()}
        merged = list((known | {mailbox.id: mailbox for mailbox in mailboxes}).values())
        if merged != self._mailboxes:
            self._mailboxes = merged
            self._remember()
            self._plan(self._clock())

    def probed(self) -> None:
        """The list's first page arrived: the account answers."""
        self._end_listing()
        now = self._clock()
        if self._discovery_failures:
            self._discovery_due = now
        else:
            self._store.set_login(self.account.name, None)
        self._ok(now)

    def probe_failed(self, error: HelpScoutError) -> None:
        """Nor does the list's first page arrive: if that is an outage, it is judged now."""
        now = self._clock()
        self._end_listing()
        self._last_error = error
        self._health.probe_failed(
            now,
            self._listing_since,
            error.reason,
            error.evidence,
            answered=error.status is not None,
        )
        self._store.set_login(self.account.name, _failure(error))
        if isinstance(error, BadCredentials | Suspended):
            self._locked_out = error
        self._judge(now)

    def reported(self, job: Job, answer: ReportAnswer) -> None:
        """A report arrived: into the store, and its key back to its place."""
        assert job.request is not None
        now, key = self._clock(), job.request.key
        self._running -= 1
        if key not in self._planned:
            self._ok(now)
            return  # what was asked is not wanted any more
        self._attempts.pop(key, None)
        at = self._store.succeeded(key, answer.report)
        self._state.remember_report(self.account.identity, job.request, answer.report, at)
        self._schedule.done(key, job.asked_at)
        all_rested = self._refusals.collector_rests
        rested = self._refusals.mailbox_rests(key.mailbox_id)
        self._refusals.note(key, None)
        if rested:
            again = [k for k in self._planned if all_rested or k.mailbox_id == key.mailbox_id]
            self._schedule.hurry([each for each in again if each != key], now)
        self._journal.report_succeeded(key)
        if self.needs_tags and answer.tags:
            self._learn_tags(answer.tags)
        self._ok(now)

    def _learn_tags(self, said: Mapping[str, int]) -> None:
        """Add to the tags that are known: an answer that leaves one out does not take it away."""
        self._tags_said = True
        names = {id_: name for name, id_ in said.items()}
        self._renamed = {
            name: names[id_]
            for name, id_ in self._tags.items()
            if name not in said and id_ in names
        }
        tags = self._tags | dict(said)
        if tags != self._tags:
            self._tags = tags
            self._remember()
            self._plan(self._clock())

    def _look_for_missing(self) -> None:
        """Say what the configuration names and the account does not have, once that is certain."""
        if self._mailboxes is None:
            return
        refused = self._refusals.refused_segments() if self._has_folders else set()
        found = list(of_segments(self.selection, self._tags, self._renamed, refused))
        if not self._tags_said and not self.first_round_done:
            found = [each for each in found if each.segment in refused]
        missing = {each.segment for each in found}
        postponed = {s.name for s in self.selection.segments if s.tag_ids(self._tags) is None}
        self._segments = tuple(
            (segment.name, segment.name not in missing | postponed)
            for segment in self.selection.segments
        )
        whole = self.selection.shard.total == 1  # another shard may have what this one lacks
        patterns = list(mailbox_patterns(self.selection, self._mailboxes)) if whole else []
        self._store.set_missing(self.account.name, found, patterns)
        self._journal.missing([str(each) for each in found])

    @property
    def _has_folders(self) -> bool:
        return any(segment.folders for segment in self.selection.segments)

    def report_failed(self, job: Job, error: HelpScoutError) -> None:
        """A report failed: try again soon if that can help, else at its next turn."""
        assert job.request is not None
        now, key = self._clock(), job.request.key
        self._running -= 1
        self._last_error = error
        self._health.failed(
            now, job.asked_at, error.reason, error.evidence, answered=error.status is not None
        )
        if key not in self._planned:
            return  # what was asked is not wanted any more: its mailbox may be gone
        if error.evidence != "neutral":
            self._refusals.note(key, error.reason)
        attempt = self._attempts.get(key, 0)
        backoff = _FIRST_RETRY_SECONDS * 2**attempt * self._jitter()
        wait = max(backoff, error.retry_after or 0.0)
        in_time = wait < self._schedule.interval(job.request.window)
        if error.transient and attempt < _RETRIES and in_time:
            self._attempts[key] = attempt + 1
            self._telemetry.api_retries.labels(self.account.name, error.reason).inc()
            self._schedule.again(key, now + wait)
        else:
            self._give_up(job.request, error, job.asked_at)
        if isinstance(error, BadCredentials | Suspended):
            self._health.hasten(now)
        self._judge(now)

    def abandoned(self, job: Job) -> None:
        """A job was not done: the exporter stops."""
        self._running -= 1
        self._listing = self._listing and job.request is not None

    def _remember(self) -> None:
        mailboxes = self._mailboxes or []
        self._state.remember_account(self.account.identity, mailboxes, self._tags)

    def _plan(self, now: float) -> list[ReportRequest]:
        name, mailboxes = self.account.name, self._mailboxes or []
        requests = requests_for(name, self.selection, mailboxes, self._tags)
        ages = {
            key: now - entry.fresh_since
            for key, entry in self._store.snapshot().entries.items()
            if key.account == name and entry.report is not None
        }
        self._schedule.plan(requests, now, ages)
        keys = self._planned = {request.key: None for request in requests}
        self._store.set_mailboxes(name, self.selection.mailboxes.chosen(mailboxes))
        self._store.schedule(name, list(keys))
        self._journal.keep(keys)
        self._refusals.keep(keys)
        self._attempts = {key: tried for key, tried in self._attempts.items() if key in keys}
        self._refit(always=True)
        return requests

    def _refit(self, *, always: bool = False) -> None:
        name, before = self.account.name, self._schedule.stretch
        if not self._schedule.fit(self._budget.planned_per_minute) and not always:
            return
        self._journal.stretched(before, self._schedule.stretch, self._budget.planned_per_minute)
        self._telemetry.stretch.labels(name).set(self._schedule.stretch)
        windows = [
            (window.text, number, self._schedule.interval(window))
            for window, number in self._schedule.windows()
        ]
        self._telemetry.set_windows(name, PRODUCTIVITY, windows)
        for window, _, interval in windows:
            lifetime = max(MIN_LIFETIME_SECONDS, self._stale_after * interval)
            self._store.set_lifetime(name, window, lifetime)

    def _give_up(self, request: ReportRequest, error: HelpScoutError, asked_at: float) -> None:
        key = request.key
        self._attempts.pop(key, None)
        self._store.failed(key, _failure(error))
        next_try = self._schedule.interval(request.window)
        if isinstance(error, _REFUSALS):
            next_try = max(next_try, _PAUSE_SECONDS)
            self._schedule.pause(key, self._clock() + next_try)
        else:
            self._schedule.done(key, asked_at)
        self._journal.report_failed(key, self._store.mailbox_name(key), error, next_try)

    def _fail_without_asking(self, now: float, error: HelpScoutError) -> None:
        while (request := self._schedule.take(now)) is not None:
            self._give_up(request, error, now)

    def _end_listing(self) -> None:
        self._running -= 1
        self._listing = False
        self.attempted = True

    def _ok(self, now: float) -> None:
        """Something usable arrived: the account answers, and what failed with it is asked again."""
        self._health.ok(now)
        self._last_error = None
        locked_out, self._locked_out = self._locked_out, None
        if locked_out is not None:
            self._schedule.hurry(self._journal.failing_for(LOCKED_OUT), now)
        self._judge(now)

    def _judge(self, now: float) -> None:
        if not self._refusals.collector_rests:
            self._trial_at = now + _PAUSE_SECONDS
        status = self._health.status(
            self._refusals, self._segments, gate_closed=self._budget.closed
        )
        if status == self._status:
            return
        before, self._status = self._status, status
        self._store.set_status(self.account.name, status)
        self._journal.status(before, status, self._last_error)
        if status.up and not before.up:
            if self._discovery_failures:
                self._discovery_due = now
            self._schedule.hurry(self._journal.failing_for(PASSING), now)


def _failure(error: HelpScoutError) -> Failure:
    return Failure(error.reason, error.what, error.reference, error.remedy)
