"""The whole page as frozen values: from the facts of one instant and a query. Pure.

The templates put them into words. Times are Unix seconds.
"""

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from exporter import __version__, revision
from exporter.helpscout.budget import Usage
from exporter.questions import ALL, Mailbox
from exporter.selection import Shard
from exporter.status.choice import Choice, Chooser, Selector
from exporter.status.facts import Facts, Level, State
from exporter.status.figures import COLUMNS, Column, Promise, Row, key_of, promises, row
from exporter.status.problems import Problem, problems
from exporter.status.queue import QUEUES, Backlog, Line, keys_of, line, waits
from exporter.status.timetable import AccountLine, GroupLine, account_lines, group_lines

MAILBOXES_A_PAGE: Final = 25

_NOTHING_TO_CHOOSE: Final = Choice("", ALL, office_hours=False, segment="")


class Verdict(StrEnum):
    """How the exporter is, as one sentence of the template says it; `level` is how it looks."""

    ACCOUNTS_DOWN = "accounts_down"
    REPORTS_MISSING = "reports_missing"
    PROBLEMS = "problems"
    NO_ACCOUNT = "no_account"
    LOGGING_IN = "logging_in"
    NOTHING_ASKED = "nothing_asked"
    FIRST_ROUND = "first_round"
    WELL = "well"

    @property
    def level(self) -> Level:
        """How good that is."""
        if self in (Verdict.ACCOUNTS_DOWN, Verdict.REPORTS_MISSING):
            return Level.BAD
        if self in (Verdict.PROBLEMS, Verdict.NOTHING_ASKED):
            return Level.WARN
        return Level.WELL if self is Verdict.WELL else Level.STARTING


class Empty(StrEnum):
    """Why there is nothing in the table."""

    NOT_FOUND = "not_found"
    SEGMENT_UNKNOWN = "segment_unknown"
    NOT_LISTED = "not_listed"
    OTHER_KINDS = "other_kinds"
    NOT_SELECTED = "not_selected"


@dataclass(frozen=True, slots=True)
class Kept:
    """How many SLAs are met, of how many that can be judged."""

    met: int
    of: int

    @classmethod
    def among(cls, judged: Iterable[Promise]) -> "Kept":
        """Count the ones that are met."""
        met = [promise.met for promise in judged]
        return cls(sum(met), len(met))

    @property
    def missed(self) -> int:
        """How many are not."""
        return self.of - self.met


@dataclass(frozen=True, slots=True)
class MailboxRows:
    """A mailbox's rows; `id` is `all` for all of them together."""

    name: str
    id: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Pager:
    """Which mailboxes are shown: from `first` to `last` of `total`. Links are empty at the ends."""

    first: int
    last: int
    total: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the templates show.

    `states` counts all reports; `next_poll` is the first of `groups`; `budget` is the account that
    uses the largest part of its own, among as many as `budgets`. `everywhere` is how all SLAs are
    kept, `kept` those of the choice, None where none is configured. `backlog` is which customers
    wait, by the choice, None where it is not known; `lines` are the queues of the mailboxes of the
    page, whose headings are `queues`.
    """

    now: float
    verdict: Verdict
    problems: tuple[Problem, ...]
    everywhere: Kept
    accounts: tuple[AccountLine, ...]
    groups: tuple[GroupLine, ...]
    states: Counter[State]
    next_poll: GroupLine | None
    budget: tuple[str, Usage] | None
    budgets: int
    kept: Kept | None
    choice: Choice
    selectors: tuple[Selector, ...]
    everything: str
    columns: tuple[Column, ...]
    queues: tuple[str, ...]
    backlog: Backlog | None
    lines: tuple[Line, ...]
    mailboxes: tuple[MailboxRows, ...]
    pager: Pager
    empty: Empty | None
    telemetry_path: str
    end_delay: float
    external_url: str | None
    versions: tuple[str, str, str]
    started_at: float
    loaded_at: float
    shard: Shard

    @property
    def level(self) -> Level:
        """How all of it is: the exporter works, and the support team keeps its promises."""
        level = self.verdict.level
        return Level.WARN if self.is_behind and level is Level.WELL else level

    @property
    def is_behind(self) -> bool:
        """Whether the team misses an SLA, or is about to: customers wait beyond the target."""
        return bool(self.everywhere.missed or (self.backlog and self.backlog.beyond))

    @property
    def has_folders(self) -> bool:
        """Whether the folders of a mailbox of the page are known."""
        return any(pile.conversations is not None for line in self.lines for pile in line.piles)

    @property
    def has_waits(self) -> bool:
        """Whether it is known of a mailbox of the page how many customers wait."""
        return any(line.waits for line in self.lines)

    @property
    def down(self) -> list[AccountLine]:
        """The accounts that do not answer, or not yet."""
        return [line for line in self.accounts if line.level in (Level.STARTING, Level.BAD)]

    @property
    def accounts_level(self) -> Level:
        """How the accounts are that do not answer."""
        if any(line.level is Level.BAD for line in self.down):
            return Level.BAD
        return Level.STARTING if self.down else Level.WELL

    @property
    def states_level(self) -> Level:
        """How the reports are, by the worst of them."""
        if self.states[State.STALE] or self.states[State.FAILING]:
            return Level.BAD
        if self.states[State.LATE]:
            return Level.WARN
        return Level.STARTING if self.states[State.WAITING] else Level.WELL


def view(facts: Facts, query: Mapping[str, str]) -> View:
    """Return the page for a query: see `Chooser.choose` for what it may hold."""
    found = problems(facts)
    states: dict[str, Counter[State]] = {name: Counter() for name in facts.snapshot.accounts}
    for key, entry in facts.snapshot.entries.items():
        states[key.account][facts.state(key, entry)] += 1
    total: Counter[State] = sum(states.values(), Counter())
    chooser = Chooser(states, facts.configuration) if states else None
    choice = chooser.choose(query) if chooser else _NOTHING_TO_CHOOSE
    of_account = sorted(
        (mailbox for account, mailbox in facts.snapshot.mailboxes if account == choice.account),
        key=lambda mailbox: (mailbox.name.casefold(), mailbox.id),
    )
    shown, pager, choice = _page(facts, choice, chooser, of_account)
    mailboxes = tuple(_mailbox_rows(facts, choice, shown))
    objectives = facts.configuration.objectives
    groups = tuple(group_lines(facts))
    budgets = [(name, usage) for name, (_, usage) in facts.progress.items() if name in states]
    return View(
        now=facts.now,
        verdict=_verdict(facts, found, total),
        problems=found,
        everywhere=Kept.among(
            promise
            for key, entry in facts.snapshot.entries.items()
            for promise in promises(key, entry, objectives)
        ),
        accounts=tuple(account_lines(facts, states)),
        groups=groups,
        states=total,
        next_poll=min(
            (line for line in groups if line.next_at is not None),
            key=lambda line: (line.next_at or 0.0, line.account, line.name),
            default=None,
        ),
        budget=max(budgets, key=lambda each: each[1].used / each[1].allowed, default=None),
        budgets=len(budgets),
        kept=_kept(facts, choice, of_account) if objectives and states else None,
        choice=choice,
        selectors=chooser.selectors(choice) if chooser else (),
        everything=chooser.href(choice, "q", "") if chooser else "./",
        columns=COLUMNS,
        queues=tuple(QUEUES.values()),
        backlog=_backlog(facts, choice, of_account),
        lines=tuple(its for id_, name in shown.items() if (its := line(facts, choice, name, id_))),
        mailboxes=mailboxes,
        pager=pager,
        empty=None if mailboxes else _why_empty(facts, choice),
        telemetry_path=facts.configuration.web.telemetry_path,
        end_delay=facts.configuration.end_delay.total_seconds(),
        external_url=facts.configuration.web.external_url,
        versions=(__version__, revision(), platform.python_version()),
        started_at=facts.started_at,
        loaded_at=facts.loaded_at,
        shard=facts.configuration.shard,
    )


def _verdict(facts: Facts, found: tuple[Problem, ...], states: Counter[State]) -> Verdict:
    statuses = facts.snapshot.accounts.values()
    if any(not status.up and status.problems for status in statuses):
        return Verdict.ACCOUNTS_DOWN
    if any(problem.bad for problem in found):
        return Verdict.REPORTS_MISSING
    if found:
        return Verdict.PROBLEMS
    if not statuses:
        return Verdict.NO_ACCOUNT
    if not all(status.up for status in statuses):
        return Verdict.LOGGING_IN
    if not states.total():
        return Verdict.NOTHING_ASKED
    return Verdict.FIRST_ROUND if states[State.WAITING] else Verdict.WELL


def _kept(facts: Facts, choice: Choice, mailboxes: Iterable[Mailbox]) -> Kept:
    entries, configuration = facts.snapshot.entries, facts.configuration
    return Kept.among(
        promise
        for mailbox_id in (ALL, *(str(mailbox.id) for mailbox in mailboxes))
        for window in configuration.windows
        if (entry := entries.get(key := key_of(choice, mailbox_id, window.text)))
        for promise in promises(key, entry, configuration.objectives)
    )


def _backlog(facts: Facts, choice: Choice, mailboxes: Iterable[Mailbox]) -> Backlog | None:
    of_each = (waits(facts, choice, str(mailbox.id)) for mailbox in mailboxes)
    return Backlog.of(each for each in of_each if each)


def _page(
    facts: Facts, choice: Choice, chooser: Chooser | None, mailboxes: list[Mailbox]
) -> tuple[dict[str, str], Pager, Choice]:
    """Return the names of the chosen page's mailboxes by id; a page beyond the last is the last."""
    entries, wanted = facts.snapshot.entries, choice.q.casefold()
    windows = [window.text for window in facts.configuration.windows]

    def is_asked(mailbox_id: str) -> bool:
        reports = (key_of(choice, mailbox_id, window) for window in windows)
        return any(key in entries for key in (*reports, *keys_of(choice.account, mailbox_id)))

    found = [
        (str(mailbox.id), mailbox.name)
        for mailbox in mailboxes
        if wanted in mailbox.name.casefold() or wanted.lstrip("#") == str(mailbox.id)
        if is_asked(str(mailbox.id))
    ]
    last_page = max(1, -(-len(found) // MAILBOXES_A_PAGE))
    choice = replace(choice, page=min(choice.page, last_page))
    first = (choice.page - 1) * MAILBOXES_A_PAGE
    shown = found[first : first + MAILBOXES_A_PAGE]
    if not wanted and choice.page == 1 and is_asked(ALL):
        shown.insert(0, (ALL, "All mailboxes"))

    def link(page: int) -> str:
        known = chooser is not None and 1 <= page <= last_page
        return chooser.href(replace(choice, page=page)) if chooser and known else ""

    last = min(first + MAILBOXES_A_PAGE, len(found))
    pager = Pager(
        min(first + 1, last), last, len(found), link(choice.page - 1), link(choice.page + 1)
    )
    return dict(shown), pager, choice


def _mailbox_rows(facts: Facts, choice: Choice, shown: Mapping[str, str]) -> Iterator[MailboxRows]:
    entries = facts.snapshot.entries
    windows = [window.text for window in facts.configuration.windows]
    for id_, name in shown.items():
        keys = (key_of(choice, id_, window) for window in windows)
        rows = tuple(row(facts, key, entries[key]) for key in keys if key in entries)
        if rows:
            yield MailboxRows(name, id_, rows)


def _why_empty(facts: Facts, choice: Choice) -> Empty:
    if choice.q:
        return Empty.NOT_FOUND
    if choice.segment:
        return Empty.SEGMENT_UNKNOWN
    if choice.account and not facts.snapshot.accounts[choice.account].up:
        return Empty.NOT_LISTED
    asked = any(key.account == choice.account for key in facts.snapshot.entries)
    return Empty.OTHER_KINDS if asked else Empty.NOT_SELECTED
