"""What a configuration costs, before anything is asked: calls a minute, intervals, series.

No network and no clock. What does not fit the budget gets the cheapest ways out named: what to
slow down or to drop, and what each saves.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from exporter.collectors import COLLECTORS, Meaning, imagined, lists_tags, questions_of
from exporter.durations import format_duration
from exporter.helpscout.account import Account
from exporter.questions import ALL, Question, Reading, Window, flag
from exporter.schedule import Demand, Stretch, list_pages
from exporter.selection import MailboxChoice, Shard
from exporter.settings import Configuration
from exporter.state_file import mailbox_counts

_LONGEST_EVERY: Final = timedelta(days=1)
_LONGEST_NOW: Final = timedelta(hours=1)
"""What is about now says little if it is asked less often: then it can as well be turned off."""
_WAYS_OUT: Final = 3
_SOME_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OWN_SERIES: Final = 2
"""Of every question: when it last succeeded, and whether it did the last time."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One window of one account, or one kind of question about now, whose `window` is empty.

    `every` and `effective` are how often a question is asked, without and with stretch.
    """

    collector: str
    window: str
    reports: int
    per_minute: float
    every: timedelta
    effective: timedelta
    series: int

    @property
    def name(self) -> str:
        """What a user calls it."""
        return f"{self.collector} {self.window}".strip()


@dataclass(frozen=True, slots=True)
class WayOut:
    """A change of the configuration and how many calls a minute it saves an account."""

    words: str
    saves_per_minute: float
    fits: bool


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """One account's share: `limit` and `budget` in calls a minute, `overhead` what lists cost."""

    account: str
    costs: tuple[Cost, ...]
    overhead: float
    limit: float
    budget: float
    ways_out: tuple[WayOut, ...]

    @property
    def per_minute(self) -> float:
        """Calls a minute that the configuration asks for."""
        return self.overhead + sum(cost.per_minute for cost in self.costs)

    @property
    def fits(self) -> bool:
        """Whether that is within the budget."""
        return self.per_minute <= self.budget


def plan(configuration: Configuration, account: Account, mailboxes: int) -> AccountPlan:
    """Return what `configuration` costs an account with so many selected mailboxes.

    Names and ids are not known here, so every mailbox counts as selected.
    """
    numbers = _numbers(configuration.shard, account, mailboxes)
    asked = _asked(account, configuration, numbers)
    # How many tags there are is not known here: one page.
    pages = list_pages(mailboxes, 0 if lists_tags(account, configuration) else None)
    demand = Demand.of_questions(asked, pages)
    budget = account.requests_per_minute * account.budget * configuration.shard.budget_share
    stretch = Stretch.fitting(demand, budget)
    groups: dict[tuple[str, str], list[_Asked]] = {}
    for each in asked:
        groups.setdefault(each.question.key.group, []).append(each)
    everywhere = (replace(objective, mailboxes=("*",)) for objective in configuration.objectives)
    meaning = Meaning(replace(configuration, objectives=tuple(everywhere)))
    costs = tuple(
        Cost(
            collector,
            window,
            sum(each.number for each in of_it),
            _demand(of_it),
            of_it[0].question.every,
            of_it[0].question.every * stretch.of(of_it[0].question),
            sum(each.number * _series(each.question, meaning) for each in of_it),
        )
        for (collector, window), of_it in groups.items()
    )
    excess = demand.per_minute - budget
    return AccountPlan(
        account.name,
        costs,
        demand.lists,
        account.requests_per_minute,
        budget,
        tuple(_ways_out(account, configuration, numbers, excess)) if excess > 0 else (),
    )


class _Asked(NamedTuple):
    """A question of one mailbox, or of `all`, and of how many such mailboxes it is asked."""

    question: Question
    number: int


def _numbers(shard: Shard, account: Account, mailboxes: int) -> tuple[int, int]:
    """Return how many of an account's mailboxes are this shard's, and (0 or 1) how many `all`."""
    if not mailboxes:
        return 0, 0
    own = sum(shard.owns(account.name, str(number)) for number in range(1, mailboxes + 1))
    return own, int(shard.owns(account.name, ALL))


def _asked(
    account: Account, configuration: Configuration, numbers: tuple[int, int]
) -> list[_Asked]:
    """Return every question that there is.

    Mailboxes differ in nothing but their ids, so one of them stands for the others.
    """
    own, of_all = numbers
    one = imagined(account, replace(configuration, shard=Shard()), 1)
    asked = (
        _Asked(question, of_all if question.key.mailbox_id == ALL else own)
        for question in questions_of(one)
    )
    return [each for each in asked if each.number]


def _demand(asked: Iterable[_Asked]) -> float:
    """Return how many calls a minute it takes to ask each as often as configured."""
    return sum(each.number * each.question.calls_per_minute for each in asked)


def _series(question: Question, meaning: Meaning) -> int:
    """Return how many series a question has if everything is measured."""
    collector = COLLECTORS[question.key.collector]
    reading = Reading(collector.specimen(question), _SOME_TIME)
    samples = collector.samples(question.key, reading, "", meaning)
    return sum(1 for _ in samples) + _OWN_SERIES


def assumptions(configuration: Configuration, account: Account) -> Iterator[str]:
    """Yield the assumptions of a plan, the number of mailboxes aside; each is one clause."""
    if configuration.mailboxes != MailboxChoice(all=configuration.mailboxes.all):
        yield "that all of them are selected: include and exclude go by names, not known here"
    plans = "; Plus plans have 400, Pro plans 800" if account.api == "v2" else ""
    limit = f"a limit of {account.requests_per_minute:g} calls a minute, by requests_per_minute"
    yield f"{limit}, until Help Scout says otherwise{plans}"
    if configuration.needs_tags:
        yield "that the tags of every segment exist"
    if any(objective.mailboxes != ("*",) for objective in configuration.objectives):
        yield "that every SLA covers every mailbox: sla[].mailboxes goes by names, not known here"
    for each in _asked(account, configuration, (1, 1)):
        question = each.question
        if question.most > question.calls:
            more = replace(question, calls=question.most - question.calls).calls_per_minute
            yield (
                f"that each question of {question.key.collector} takes one call: a mailbox with a"
                f" long list takes up to {question.most}, {more:.1f} calls/min more"
            )


def table(plan_: AccountPlan) -> str:
    """Return the plan as lines of text."""
    rows = [("question", "reports", "calls/min", "of limit", "every", "stretched", "series")]
    for cost in plan_.costs:
        stretched = cost.effective - cost.every > cost.every * 0.005
        rows.append(
            (
                cost.name,
                str(cost.reports),
                f"{cost.per_minute:.1f}",
                f"{cost.per_minute / plan_.limit:.1%}",
                format_duration(cost.every),
                _rounded(cost.effective) if stretched else "-",
                str(cost.series),
            )
        )
    rows.append(
        (
            "lists",
            "-",
            f"{plan_.overhead:.1f}",
            f"{plan_.overhead / plan_.limit:.1%}",
            "-",
            "-",
            "-",
        )
    )
    rows.append(
        (
            "together",
            str(sum(cost.reports for cost in plan_.costs)),
            f"{plan_.per_minute:.1f}",
            f"{plan_.per_minute / plan_.limit:.1%}",
            "-",
            "-",
            str(sum(cost.series for cost in plan_.costs)),
        )
    )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"account {plan_.account}"]
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join((row[0].ljust(widths[0]), *cells)))
    lines.append(_verdict(plan_))
    lines += [
        f"  {way.words}: saves {way.saves_per_minute:.1f} calls/min"
        + ("" if way.fits else ", not enough alone")
        for way in plan_.ways_out
    ]
    return "\n".join(lines) + "\n"


def _verdict(plan_: AccountPlan) -> str:
    numbers = f"{plan_.per_minute:.1f} calls/min of {plan_.budget:.1f} in the budget"
    if plan_.fits:
        return f"fits: {numbers}"
    return f"does not fit: {numbers}; intervals would be stretched. Ways out:"


def _ways_out(
    account: Account, configuration: Configuration, numbers: tuple[int, int], excess: float
) -> list[WayOut]:
    """Return the cheapest: what alone is enough and loses least first, else what saves most."""
    asked = _asked(account, configuration, numbers)
    before, ways = _demand(asked), []
    for words, changed in _changes(configuration, asked, excess):
        saved = before - _demand(_asked(account, changed, numbers))
        if saved > 0:
            ways.append(WayOut(words, saved, saved >= excess))
    enough = sorted((way for way in ways if way.fits), key=lambda way: way.saves_per_minute)
    others = sorted((way for way in ways if not way.fits), key=lambda way: -way.saves_per_minute)
    return (enough + others)[:_WAYS_OUT]


def _changes(
    configuration: Configuration, asked: list[_Asked], excess: float
) -> Iterable[tuple[str, Configuration]]:
    yield from _slower_windows(configuration, asked, excess)
    yield from _of_collectors(configuration, asked, excess)
    for window in configuration.windows:
        if len(configuration.windows) > 1:
            rest = tuple(w for w in configuration.windows if w is not window)
            yield f"drop the window {window.text}", replace(configuration, windows=rest)
    for type_ in configuration.types:
        if len(configuration.types) > 1:
            kept = tuple(t for t in configuration.types if t != type_)
            yield f"drop the type {type_}", replace(configuration, types=kept)
    for hours in configuration.office_hours:
        if len(configuration.office_hours) > 1:
            others = tuple(h for h in configuration.office_hours if h is not hours)
            yield f"drop office_hours {flag(hours)}", replace(configuration, office_hours=others)
    for segment in configuration.segments:
        remaining = tuple(s for s in configuration.segments if s is not segment)
        yield f"drop the segment {segment.name}", replace(configuration, segments=remaining)
    if configuration.mailboxes.all:
        alone = replace(configuration.mailboxes, all=False)
        yield "set mailboxes.all to false", replace(configuration, mailboxes=alone)


def _slower_windows(
    configuration: Configuration, asked: list[_Asked], excess: float
) -> Iterator[tuple[str, Configuration]]:
    every_of = {q.key.window: q.every for q, _ in asked if q.key.window}
    for text, every in every_of.items():
        own = _demand(each for each in asked if each.question.key.window == text)
        if slower := _slower(every, own, excess):
            yield (
                _words(f"the window {text}", slower, every),
                _with_window(configuration, text, slower),
            )


def _with_window(configuration: Configuration, text: str, every: timedelta) -> Configuration:
    """Return a configuration in which a window is asked so often, wherever it is named."""

    def slowed(windows: tuple[Window, ...]) -> tuple[Window, ...]:
        return tuple(replace(w, every=every) if w.text == text else w for w in windows)

    own = {
        name: replace(block, windows=slowed(block.windows))
        for name, block in _blocks(configuration)
        if hasattr(block, "windows")
    }
    return replace(configuration, windows=slowed(configuration.windows), **own)


def _of_collectors(
    configuration: Configuration, asked: list[_Asked], excess: float
) -> Iterator[tuple[str, Configuration]]:
    """Yield how a kind with an interval or windows of its own is asked less often, or not at all.

    The others ask by the keys of the root, each of which is a way out by itself.
    """
    names = {each.question.key.collector for each in asked}
    for name, block in _blocks(configuration):
        if name not in names:
            continue
        own = _demand(each for each in asked if each.question.key.collector == name)
        if hasattr(block, "every"):
            slower = _slower(block.every, own, excess, _LONGEST_NOW)
            if slower and own > excess:
                changed: Any = replace(block, every=slower)
                yield _words(name, slower, block.every), replace(configuration, **{name: changed})
        if len(names) > 1 and (hasattr(block, "every") or hasattr(block, "windows")):
            changed = replace(block, enabled=False)
            yield f"turn {name} off", replace(configuration, **{name: changed})


def _blocks(configuration: Configuration) -> Iterator[tuple[str, Any]]:
    """Yield the settings of each kind that has some, under its name."""
    for name in COLLECTORS:
        if (block := getattr(configuration, name, None)) is not None:
            yield name, block


def _slower(
    every: timedelta, own: float, excess: float, longest: timedelta = _LONGEST_EVERY
) -> timedelta | None:
    """Return an interval at which questions that take `own` calls a minute save `excess` of them.

    In whole minutes, the longest there is if none is long enough; None where that is not longer.
    """
    factor = own / (own - excess) if own > excess else math.inf
    seconds = min(every.total_seconds() * factor, longest.total_seconds())
    slower = timedelta(minutes=math.ceil(seconds / 60))
    return slower if slower > every else None


def _words(what: str, slower: timedelta, every: timedelta) -> str:
    return f"ask {what} every {format_duration(slower)} instead of {format_duration(every)}"


def _rounded(duration: timedelta) -> str:
    return format_duration(timedelta(seconds=round(duration.total_seconds())))


def known_mailboxes(configuration: Configuration) -> dict[str, int]:
    """Return how many mailboxes each account had, as far as the state file knows."""
    path = configuration.state_file
    if path is None or not path.exists():
        return {}
    found = mailbox_counts(path, [account.identity for account in configuration.accounts])
    return {a.name: found[a.identity] for a in configuration.accounts if a.identity in found}
