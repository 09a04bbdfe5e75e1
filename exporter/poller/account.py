"""One account's side of polling: what to ask next, and what follows from how it went.

A state machine without a lock: every method belongs to the dispatcher's thread. It decides and
pays; a worker makes exactly one attempt. A retry is a due time like any other, so nothing sleeps
through a back-off.
"""

import random
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from exporter.collectors import COLLECTORS, lists_tags, questions_of, scope, segments_of
from exporter.health import AccountHealth, AccountStatus, Failure, Missing, Refusals
from exporter.helpscout.account import Account
from exporter.helpscout.budget import Budget, Usage
from exporter.helpscout.client import Client
from exporter.helpscout.errors import HelpScoutError, ShortList
from exporter.helpscout.retries import RETRIES, pause_seconds
from exporter.missing import folders_of, mailbox_patterns, tags_of
from exporter.poller.account_log import AccountLog
from exporter.questions import Key, Learned, Mailbox, Question, Reading
from exporter.schedule import Outlook, Schedule
from exporter.selection import Segment
from exporter.settings import Configuration
from exporter.state_file import StateFile
from exporter.store import Store
from exporter.telemetry import Telemetry

DISCOVERY_SECONDS: Final = 600.0
MIN_LIFETIME_SECONDS: Final = 600.0
_DISCOVERY_RETRY_SECONDS: Final = 15.0
_EMPTY_LISTS: Final = 3
"""So many lists in a row have to be empty before an account that had mailboxes has none."""
_PAUSE_SECONDS: Final = 900.0
"""How long a question that is refused is left alone, at least."""
_TICK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """One paid attempt: a question asked at `asked_at` (monotonic), or (None) the mailbox list.

    Of the list, a `probe` asks the first page only. With `tags` the account's tags are listed, too.
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
        state: StateFile,
        clock: Callable[[], float],
        *,
        jitter: Callable[[], float] = random.random,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.account, self.client = account, client
        self._settings = settings
        self._budget, self._store, self._telemetry = budget, store, telemetry
        self._state = state
        self._clock, self._jitter, self._wall = clock, jitter, wall
        self._log = AccountLog(account.name, clock)
        self._schedule = Schedule()
        self._health = AccountHealth(clock())
        self._refusals: dict[str, Refusals] = {}
        """By collector."""
        self._status = AccountStatus()
        self._outlook = Outlook(discovery_due=clock())
        self._mailboxes: list[Mailbox] | None = None
        self._learned = Learned()
        self._tags_said = False
        self._renamed: dict[str, str] = {}
        self._asked_segments: tuple[Segment, ...] = ()
        self._lists_tags = lists_tags(account, settings)
        self._segments: tuple[tuple[str, bool], ...] = ()
        self._unmatched: list[Missing] = []
        """The globs and ids that match none of this account's mailboxes."""
        self._discovery_due = clock()
        self._discovery_failures = self._empty_lists = 0
        self._listing = self._list_again = False
        self._listing_since = clock()
        self._running = 0
        self._scheduled: dict[Key, Question] = {}
        self._attempts: dict[Key, int] = {}
        self._locked_out: HelpScoutError | None = None
        self._last_error: HelpScoutError | None = None
        self.attempted = False
        """Whether login and discovery have been tried once, whatever the result."""

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

    def stays(self, account: Account, settings: Configuration) -> bool:
        """Return whether this poller can go on under another configuration of its account."""
        mine, other = (
            replace(each, office_schedule=None, collectors=()) for each in (self.account, account)
        )
        return mine == other and self._settings.shard == settings.shard

    def configure(self, settings: Configuration) -> None:
        """Poll by other settings from now on, keeping what is known and when it is due.

        The mailboxes are listed again at once, and what is refused is asked again: an operator
        who reloads wants to see what is there.
        """
        self._settings = settings
        self.account = next(a for a in settings.accounts if a.name == self.account.name)
        self._lists_tags = lists_tags(self.account, settings)
        self._discovery_due = self._clock()
        self._list_again = self._listing
        for refusals in self._refusals.values():
            refusals.forget()
        if self._mailboxes is not None:
            self._reschedule(self._clock())
            self._schedule.hurry(self._log.failing, self._clock())
        self._judge(self._clock())

    def recall(self) -> None:
        """Take over what an earlier process left in the state file, before anything is asked."""
        self._judge(self._clock())
        remembered = self._state.recall(self.account.identity, self.account.name)
        if remembered is None:
            return
        now = self._clock()
        self._mailboxes, self._learned = remembered.mailboxes, remembered.learned
        self._reschedule(now)
        for key, question in self._scheduled.items():
            found = remembered.readings.get(key)
            if found is None or found[0] != question.fingerprint:
                continue
            if self._store.restore(key, *found[1:]):
                self._of(key).note(key, None)
        self._schedule = Schedule(self._schedule.stretch)
        self._reschedule(now)

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
            probe = now < self._discovery_due
            return Job(None, now, probe, tags=self._lists_tags and not probe), now
        question = self._schedule.take(now)
        if question is not None and (refusals := self._of(question.key)).collector_rests:
            refusals.trial_at = now + _PAUSE_SECONDS
        return Job(question, now), now

    def _of(self, key: Key) -> Refusals:
        return self._refusals[key.collector]

    def _due(self, now: float) -> float:
        """Return when the next report is to be asked; what is left alone loses its turn."""
        if self._held:
            return now + _TICK_SECONDS
        if self._locked_out is not None:
            self._fail_without_asking(now, self._locked_out)
        while (due := self._schedule.next_due()) <= now:
            key = self._schedule.peek(now)
            if key is None or not self._rests(key, now):
                break
            self._schedule.take(now)
            self._schedule.done(key, now)
        return due

    @property
    def _held(self) -> bool:
        """Whether a probe is under way that shows if a report's 401 is the account's."""
        return self._listing and self._last_error is not None and self._last_error.locks_out

    def _rests(self, key: Key, now: float) -> bool:
        refusals = self._of(key)
        plain = refusals.is_plain(key)
        if refusals.collector_rests:
            return not plain or now < refusals.trial_at
        return not plain and refusals.mailbox_rests(key.mailbox_id)

    def tick(self, now: float) -> None:
        """Bring status and self-metrics up to date; about once a second."""
        self._budget.publish()
        self._refit()
        self._outlook = self._schedule.outlook(now, self._discovery_due)
        self._telemetry.lag.labels(self.account.name).set(self._outlook.lag)
        self._look_for_missing()
        self._judge(now)

    def discovered(self, mailboxes: list[Mailbox], said: Learned | None = None) -> None:
        """Take the account's mailboxes as they are now: new, renamed and deleted ones.

        `said` is what the list of tags says, None where it was not asked, or failed.

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
        self._log.mailboxes(self._mailboxes, mailboxes)
        self._log.clock_skew(self.client.skew_seconds)
        self._log.round_ended(self._outlook.lag, self._budget.per_minute)
        self._mailboxes = mailboxes
        self._remember()
        self._reschedule(now)
        if said is not None:
            self._learn(said)
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
        self._log.discovery_failed(error, wait)
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
            self._reschedule(self._clock())

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
        if error.locks_out:
            self._locked_out = error
        self._judge(now)

    def answered(self, job: Job, reading: Reading) -> None:
        """An answer arrived: into the store, and its key back to its place."""
        assert job.question is not None
        now, key = self._clock(), job.question.key
        self._running -= 1
        if key not in self._scheduled:
            self._ok(now)
            return  # what was asked is not wanted any more
        self._attempts.pop(key, None)
        at = self._store.succeeded(key, reading.kept)
        self._state.remember(self.account.identity, job.question, reading.kept, at)
        self._schedule.took(key, reading.calls)
        self._schedule.done(key, job.asked_at)
        refusals = self._of(key)
        all_rested = refusals.collector_rests
        rested = refusals.mailbox_rests(key.mailbox_id)
        refusals.note(key, None)
        if rested:
            again = [
                other
                for other in self._scheduled
                if other.collector == key.collector
                and (all_rested or other.mailbox_id == key.mailbox_id)
                and other != key
            ]
            self._schedule.hurry(again, now)
        self._log.report_succeeded(key)
        self._learn(reading.learned)
        self._ok(now)

    def _learn(self, said: Learned) -> None:
        """Add to what is known: an answer that leaves something out does not take it away."""
        tags = said.tags if self._settings.needs_tags else {}
        folders = said.folders if self._settings.needs_folders else {}
        known = self._learned
        if self._settings.needs_tags:
            for line in said.odd:
                self.client.odd(line)
        if tags and said.has_all_tags:
            self._tags_said = True
            names = {id_: name for name, id_ in tags.items()}
            self._renamed = {
                name: names[id_]
                for name, id_ in known.tags.items()
                if name not in tags and id_ in names
            }
        learned = Learned({**known.tags, **tags}, {**known.folders, **folders})
        if learned != known:
            self._learned = learned
            self._remember()
            if learned.tags != known.tags:  # a folder is asked for by its id, known or not
                self._reschedule(self._clock())

    def _look_for_missing(self) -> None:
        """Say what the configuration names and the account does not have, once that is certain."""
        if self._mailboxes is None:
            return
        segments, tags = self._asked_segments, self._learned.tags
        found: list[Missing] = []
        if self._tags_said or (self.first_round_done and not self._lists_tags):
            found += tags_of(segments, tags, self._renamed)
        if self._settings.needs_folders:
            refused = set[str]().union(*(r.refused_segments() for r in self._refusals.values()))
            found += folders_of(segments, tags, self._every_folder, refused)
        missing = {each.segment for each in found}
        postponed = {s.name for s in segments if s.tag_ids(tags) is None}
        self._segments = tuple((s.name, s.name not in missing | postponed) for s in segments)
        self._store.set_missing(self.account.name, found, self._unmatched)
        self._log.not_found.now([str(each) for each in found])

    @property
    def _every_folder(self) -> Collection[int] | None:
        """The ids of the folders of all selected mailboxes, None while some are not known."""
        known = self._learned.folders
        chosen = {str(each.id) for each in self._settings.mailboxes.chosen(self._mailboxes or ())}
        return known if chosen and chosen <= set(known.values()) else None

    def failed(self, job: Job, error: HelpScoutError) -> None:
        """A question failed: try again soon if that can help, else at its next turn."""
        assert job.question is not None
        now, key = self._clock(), job.question.key
        self._running -= 1
        self._last_error = error
        self._health.failed(
            now, job.asked_at, error.reason, error.evidence, answered=error.status is not None
        )
        if key not in self._scheduled:
            return  # what was asked is not wanted any more: its mailbox may be gone
        if error.evidence != "neutral":
            self._of(key).note(key, error.reason)
        failures = self._attempts.get(key, 0) + 1
        wait = pause_seconds(error, failures, self._jitter())
        in_time = wait < self._schedule.interval(job.question)
        if error.transient and failures <= RETRIES and in_time:
            self._attempts[key] = failures
            self._telemetry.api_retries.labels(self.account.name, error.reason).inc()
            self._schedule.again(key, now + wait)
        else:
            self._give_up(job.question, error, job.asked_at)
        if error.locks_out:
            self._health.hasten(now)
        self._judge(now)

    def abandoned(self, job: Job) -> None:
        """A job was not done: the exporter stops."""
        self._running -= 1
        self._listing = self._listing and job.question is not None

    def _remember(self) -> None:
        mailboxes = self._mailboxes or []
        self._state.remember_account(self.account.identity, mailboxes, self._learned)

    def _reschedule(self, now: float) -> None:
        name, mailboxes = self.account.name, self._mailboxes or []
        within = scope(self.account, self._settings, mailboxes, self._learned.tags)
        self._asked_segments = segments_of(self.account, self._settings)
        keys = self._scheduled = {question.key: question for question in questions_of(within)}
        ages = {
            key: now - entry.fresh_since
            for key, entry in self._store.snapshot().entries.items()
            if key.account == name and entry.reading is not None
        }
        self._schedule.set(keys.values(), now, ages)
        self._store.set_mailboxes(name, self._settings.mailboxes.chosen(mailboxes))
        whole = self._settings.shard.total == 1  # another shard may have what this one lacks
        self._unmatched = (
            list(mailbox_patterns(self._settings.named_mailboxes, mailboxes)) if whole else []
        )
        self._store.schedule(name, list(keys))
        self._log.keep(keys)
        self._keep_refusals()
        self._attempts = {key: tried for key, tried in self._attempts.items() if key in keys}
        self._refit(always=True)

    def _keep_refusals(self) -> None:
        of_kind: dict[str, list[Key]] = {}
        for key in self._scheduled:
            of_kind.setdefault(key.collector, []).append(key)
        known = self._refusals
        self._refusals = {
            kind: known.get(kind) or Refusals(needs_reports=COLLECTORS[kind].needs_reports)
            for kind in of_kind
        }
        for kind, keys in of_kind.items():
            self._refusals[kind].keep(keys)

    def _refit(self, *, always: bool = False) -> None:
        name, before = self.account.name, self._schedule.stretch.windows
        if not self._schedule.fit(self._budget.planned_per_minute) and not always:
            return
        stretch = self._schedule.stretch.windows
        self._log.stretched(before, stretch, self._budget.planned_per_minute)
        self._telemetry.stretch.labels(name).set(stretch)
        outlook = self._schedule.outlook(self._clock(), self._discovery_due)
        self._telemetry.set_groups(
            name,
            [(o.group.collector, o.group.window, o.reports, o.interval) for o in outlook.groups],
        )
        after = self._settings.stale_after
        lifetimes = {
            key: max(MIN_LIFETIME_SECONDS, after * interval)
            for key, interval in self._schedule.intervals().items()
        }
        self._store.set_lifetimes(name, lifetimes)

    def _give_up(self, question: Question, error: HelpScoutError, asked_at: float) -> None:
        key = question.key
        self._attempts.pop(key, None)
        self._store.failed(key, _failure(error))
        next_try = self._schedule.interval(question)
        if error.refusal:
            next_try = max(next_try, _PAUSE_SECONDS)
            self._schedule.pause(key, self._clock() + next_try)
        else:
            self._schedule.done(key, asked_at)
        self._log.report_failed(key, self._store.mailbox_name(key), error, next_try)

    def _fail_without_asking(self, now: float, error: HelpScoutError) -> None:
        while (question := self._schedule.take(now)) is not None:
            self._give_up(question, error, now)

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
            self._schedule.hurry(self._log.failing_for(lambda reason: reason.locks_out), now)
        self._judge(now)

    def _judge(self, now: float) -> None:
        for refusals in self._refusals.values():
            if not refusals.collector_rests:
                refusals.trial_at = now + _PAUSE_SECONDS
        status = self._health.status(
            self._refusals, self._segments, gate_closed=self._budget.closed
        )
        if (schedule := self.account.office_schedule) is not None:
            status = replace(status, office_open=schedule.is_open(self._wall()))
        if status == self._status:
            return
        before, self._status = self._status, status
        self._store.set_status(self.account.name, status)
        self._log.status(before, status, self._last_error)
        if status.up and not before.up:
            if self._discovery_failures:
                self._discovery_due = now
            self._schedule.hurry(self._log.failing_for(lambda reason: reason.may_pass), now)


def _failure(error: HelpScoutError) -> Failure:
    return Failure(error.reason, error.what, error.reference, error.remedy)
