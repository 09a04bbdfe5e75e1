"""When to ask what, for one account. Pure: times are passed in, nothing waits here.

The first round goes as fast as the budget lets it: what is unknown before what is known, short
windows before long ones. Afterwards each key has a place of its own on the grid of its group, so
that the keys of a group are spread evenly over its interval and are never asked in a burst.
A question about now that is due comes before any window: a first round of hours does not make
queues old. A plan that does not fit the budget is stretched (docs/behaviour.md#budget).
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from math import ceil, inf
from typing import Final, NamedTuple

from exporter.health import SILENCE_SECONDS
from exporter.questions import Key, Question

DISCOVERY_SECONDS: Final = 600.0
"""How long after one list of the mailboxes the next is asked."""
_LIST_PAGE: Final = 50


class Group(NamedTuple):
    """Questions of one collector and window, which are asked equally often; seconds."""

    collector: str
    window: str
    every: float


def list_pages(mailboxes: int, tags: int | None = None) -> int:
    """Return how many pages, and so calls, the account's lists take; `tags` is None for no list."""
    return sum(max(1, ceil(each / _LIST_PAGE)) for each in (mailboxes, tags) if each is not None)


@dataclass(frozen=True, slots=True)
class Demand:
    """Calls a minute that it takes to ask everything as often as configured, without a stretch.

    `now` is for questions about now, `windows` for all others, `lists` for mailboxes and tags.
    """

    now: float = 0.0
    windows: float = 0.0
    lists: float = 0.0

    @classmethod
    def of(cls, now: float, windows: float, pages: int) -> "Demand":
        """Return the demand of an account whose lists have so many pages together.

        An account that would be silent for a minute is asked its list, to see whether it answers.
        """
        lists = max(pages * 60 / DISCOVERY_SECONDS, 60 / SILENCE_SECONDS - now - windows)
        return cls(now, windows, lists)

    @classmethod
    def of_questions(cls, asked: Iterable[tuple[Question, int]], pages: int) -> "Demand":
        """Return the demand of questions, each with the number of mailboxes that it stands for."""
        rates = {True: 0.0, False: 0.0}
        for question, number in asked:
            rates[question.range is None] += number * question.calls_per_minute
        return cls.of(rates[True], rates[False], pages)

    @property
    def per_minute(self) -> float:
        """All of it."""
        return self.now + self.windows + self.lists


@dataclass(frozen=True, slots=True)
class Stretch:
    """By how much intervals are longer than configured, 1 where they fit.

    `now` is the factor for questions about now, `windows` the one for all others.
    """

    now: float = 1.0
    windows: float = 1.0

    @classmethod
    def fitting(cls, demand: Demand, budget: float) -> "Stretch":
        """Return what fits a demand into a budget of so many calls a minute.

        Lists are never stretched, so questions have what those leave, and at least half of the
        budget. Questions about now keep their interval first: they have at least half of that, and
        all that the windows do not need.
        """
        now, windows = demand.now, demand.windows
        left = max(budget - demand.lists, budget / 2)
        if now + windows <= left:
            return cls()
        granted = min(now, max(left / 2, left - windows))
        return cls(now / granted if now else 1.0, windows / (left - granted) if windows else 1.0)

    def of(self, question: Question) -> float:
        """Return the factor of a question."""
        return self.now if question.range is None else self.windows


_NONE: Final = Stretch()


@dataclass(frozen=True, slots=True)
class GroupOutlook:
    """One group's part of a plan.

    `interval` is seconds, stretch included; `next_due` an instant of the schedule's clock, None
    while all of it is just being asked.
    """

    group: Group
    reports: int
    interval: float
    next_due: float | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an account's schedule is going to do, as it was at one moment.

    `stretch` is that of the windows; `lag` is for how many seconds the most overdue report had been
    due; `discovery_due` when login and mailbox list are next tried, on the schedule's clock.
    """

    groups: tuple[GroupOutlook, ...] = ()
    stretch: float = 1.0
    lag: float = 0.0
    discovery_due: float = 0.0


@dataclass(slots=True)
class _Task:
    question: Question
    group: Group
    calls: int
    rank: tuple[bool, float]
    due: float
    place: float = 0.0
    running: bool = False
    asked: bool = False
    turn: int = 0
    paused: bool = False
    changed: bool = False
    """Whether the question was another one when it began to be asked."""


_Heap = list[tuple[float, tuple[bool, float], int, Key]]


class Schedule:
    """The due times of one account's questions, in seconds of the clock that the caller uses."""

    def __init__(self, stretch: Stretch = _NONE) -> None:
        self._tasks: dict[Key, _Task] = {}
        self._heaps: dict[bool, _Heap] = {True: [], False: []}
        """What is due when: questions about now (True) and windows."""
        self._turns = count()
        self._epoch = 0.0
        self._demands = {True: 0.0, False: 0.0}
        """Calls a minute for questions about now (True) and about windows, without a stretch."""
        self.stretch = stretch

    def set(self, questions: Collection[Question], now: float, ages: Mapping[Key, float]) -> None:
        """Ask exactly these from now on; those already planned keep their time.

        `ages` gives the seconds since the last success of keys whose reading is known already.
        """
        wanted = {question.key for question in questions}
        for key in [key for key in self._tasks if key not in wanted]:
            del self._tasks[key]
        if not self._tasks:
            self._epoch = now
        groups = [_group(question) for question in questions]
        totals, positions = Counter(groups), Counter[Group]()
        for question, group in zip(questions, groups, strict=True):
            place = positions[group] / totals[group]
            positions[group] += 1
            task = self._tasks.get(question.key)
            if task is not None:
                # Where the question changed, what is known answers another one.
                old, task.question, task.group, task.place = task.question, question, group, place
                changed = old.asked != question.asked
                if changed:
                    task.asked, task.changed = task.running, task.running
                latest = now if changed else now + self.interval(question)
                if task.due > latest and (changed or not task.paused):
                    task.due, task.paused = latest, False
                    self._push(question.key)
                continue
            age = ages.get(question.key)
            known = age is not None
            due = now if age is None else max(now, now - age + self.interval(question))
            rank = (known, question.range.total_seconds() if question.range else 0.0)
            self._tasks[question.key] = _Task(
                question, group, question.calls, rank, due, place, asked=known
            )
            self._push(question.key)
        self._demands = {True: 0.0, False: 0.0}
        for task in self._tasks.values():
            self._demands[task.question.range is None] += task.calls * 60 / task.group.every

    def fit(self, calls_per_minute: float, pages: int) -> bool:
        """Stretch the intervals to fit the budget; return whether a factor changed by a percent.

        `pages` is how many pages the account's lists have together.
        """
        demand = Demand.of(self._demands[True], self._demands[False], pages)
        new, old = Stretch.fitting(demand, calls_per_minute), self.stretch
        changed = (
            abs(new.now - old.now) > 0.01 * old.now
            or abs(new.windows - old.windows) > 0.01 * old.windows
        )
        if changed:
            self.stretch = new
        return changed

    @property
    def first_round_done(self) -> bool:
        """Whether every question has been asked at least once, or was known from before."""
        return all(task.asked and not task.running for task in self._tasks.values())

    def interval(self, question: Question) -> float:
        """Return how often a question is asked, in seconds, stretch included."""
        return question.every.total_seconds() * self.stretch.of(question)

    def intervals(self) -> dict[Key, float]:
        """Return how often each key is asked, in seconds, stretch included."""
        return {key: self.interval(task.question) for key, task in self._tasks.items()}

    def next_due(self) -> float:
        """Return when the next question is due, infinity where none is."""
        return min(self._next_of(about_now) for about_now in self._heaps)

    def peek(self, now: float) -> Key | None:
        """Return the key of what `take` would return."""
        for about_now, heap in self._heaps.items():
            if self._next_of(about_now) <= now:
                return heap[0][3]
        return None

    def take(self, now: float) -> Question | None:
        """Return the most urgent question that is due, which then counts as being asked."""
        key = self.peek(now)
        if key is None:
            return None
        task = self._tasks[key]
        task.running = task.asked = True
        task.paused = False
        return task.question

    def took(self, key: Key, calls: int) -> None:
        """Note how many calls the key's last ask took: the next one will take as many."""
        task = self._tasks.get(key)
        if task is not None and task.calls != calls:
            more = (calls - task.calls) * 60 / task.group.every
            self._demands[task.question.range is None] += more
            task.calls = calls

    def done(self, key: Key, asked_at: float) -> None:
        """Put the key back on its grid after an attempt that began at `asked_at`.

        The next turn is at least half an interval away: what is late skips a turn instead of
        asking twice in a row. A question that was changed meanwhile is due at once.
        """
        task = self._tasks.get(key)
        if task is None:
            return
        interval = self.interval(task.question)
        offset = self._epoch + task.place * interval
        turns = -((offset - asked_at - interval / 2) // interval)
        task.due = asked_at if task.changed else offset + turns * interval
        task.asked, task.changed = not task.changed, False
        task.running = False
        self._push(key)

    def again(self, key: Key, at: float) -> None:
        """Ask the key again at `at`: a retry."""
        task = self._tasks.get(key)
        if task is not None:
            task.due, task.running, task.changed = at, False, False
            self._push(key)

    def pause(self, key: Key, until: float) -> None:
        """Ask the key again at `until`: what was refused is left alone, whatever its interval."""
        self.again(key, until)
        if key in self._tasks:
            self._tasks[key].paused = True

    def hurry(self, keys: Iterable[Key], now: float) -> None:
        """Make these due now: the account works again. What is being asked goes on."""
        for key in keys:
            task = self._tasks.get(key)
            if task is not None:
                task.due, task.paused = now, False
                self._push(key)

    def outlook(self, now: float, discovery_due: float) -> Outlook:
        """Return what is going to happen, in one pass over the questions."""
        numbers: Counter[Group] = Counter()
        intervals: dict[Group, float] = {}
        dues: dict[Group, float] = {}
        for task in self._tasks.values():
            group = task.group
            if not numbers[group]:
                intervals[group], dues[group] = self.interval(task.question), inf
            numbers[group] += 1
            if task.due < dues[group] and not task.running:
                dues[group] = task.due
        return Outlook(
            tuple(
                GroupOutlook(
                    group,
                    number,
                    intervals[group],
                    dues[group] if dues[group] < inf else None,
                )
                for group, number in numbers.items()
            ),
            self.stretch.windows,
            max(0.0, now - min(dues.values(), default=now)),
            discovery_due,
        )

    def _push(self, key: Key) -> None:
        task = self._tasks[key]
        task.turn = next(self._turns)
        heap = self._heaps[task.question.range is None]
        heapq.heappush(heap, (task.due, task.rank, task.turn, key))

    def _next_of(self, about_now: bool) -> float:
        heap = self._heaps[about_now]
        while heap and not self._is_current(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else inf

    def _is_current(self, item: tuple[float, tuple[bool, float], int, Key]) -> bool:
        task = self._tasks.get(item[3])
        return task is not None and not task.running and task.turn == item[2]


def _group(question: Question) -> Group:
    return Group(*question.key.group, question.every.total_seconds())
