"""When to ask what, for one account. Pure: times are passed in, nothing waits here.

The first round goes as fast as the budget lets it, short windows before long ones and what is
unknown before what is known. Afterwards each key has a place of its own on its window's grid, so
that the keys of a window are spread evenly over its interval and never come in a burst. A plan
that does not fit the budget is stretched by one factor (docs/behaviour.md#budget).
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from math import inf

from exporter.reports import ReportKey, ReportRequest, Window


def demand_per_minute(requests: Iterable[ReportRequest]) -> float:
    """Return how many calls a minute it takes to ask each request every `every`."""
    return sum(60 / request.window.every.total_seconds() for request in requests)


@dataclass(frozen=True, slots=True)
class WindowOutlook:
    """One window's part of a plan.

    `interval` is seconds, stretch included; `next_due` an instant of the schedule's clock, None
    while every report of the window is just being asked.
    """

    window: Window
    reports: int
    interval: float
    next_due: float | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an account's schedule is going to do, as it was at one moment.

    `lag` is for how many seconds the most overdue report had been due; `discovery_due` when login
    and mailbox list are next tried, on the schedule's clock.
    """

    windows: tuple[WindowOutlook, ...] = ()
    stretch: float = 1.0
    lag: float = 0.0
    discovery_due: float = 0.0


@dataclass(slots=True)
class _Task:
    request: ReportRequest
    rank: tuple[bool, float]
    due: float
    place: float = 0.0
    running: bool = False
    asked: bool = False
    turn: int = 0
    paused: bool = False


class Schedule:
    """The due times of one account's reports, in seconds of the clock that the caller uses."""

    def __init__(self) -> None:
        self._tasks: dict[ReportKey, _Task] = {}
        self._heap: list[tuple[float, tuple[bool, float], int, ReportKey]] = []
        self._turns = count()
        self._epoch = 0.0
        self._demand = 0.0
        self.stretch = 1.0
        """By how much every interval is longer than configured; 1 where the plan fits."""

    def plan(
        self, requests: Collection[ReportRequest], now: float, ages: Mapping[ReportKey, float]
    ) -> None:
        """Ask exactly these from now on; those already planned keep their time.

        `ages` gives the seconds since the last success of keys whose report is known already.
        """
        wanted = {request.key for request in requests}
        for key in [key for key in self._tasks if key not in wanted]:
            del self._tasks[key]
        if not self._tasks:
            self._epoch = now
        totals = Counter(request.window.text for request in requests)
        positions: Counter[str] = Counter()
        for request in requests:
            window = request.window
            place = positions[window.text] / totals[window.text]
            positions[window.text] += 1
            task = self._tasks.get(request.key)
            if task is not None:
                # Where the question changed, what is known answers another one.
                changed = replace(request, window=task.request.window) != task.request
                latest = now if changed else now + self.interval(window)
                task.request, task.place = request, place
                if task.due > latest and not task.running and (changed or not task.paused):
                    task.due, task.paused = latest, False
                    self._push(request.key)
                continue
            age = ages.get(request.key)
            due = now if age is None else max(now, now - age + self.interval(window))
            rank = (age is not None, window.range.total_seconds())
            self._tasks[request.key] = _Task(request, rank, due, place, asked=age is not None)
            self._push(request.key)

        self._demand = demand_per_minute(requests)

    def fit(self, calls_per_minute: float) -> bool:
        """Stretch the intervals so that they fit the budget; tell whether the factor changed."""
        stretch = max(1.0, self._demand / calls_per_minute)
        changed = abs(stretch - self.stretch) > 0.01 * self.stretch
        if changed:
            self.stretch = stretch
        return changed

    @property
    def first_round_done(self) -> bool:
        """Whether every report has been asked at least once, or was known from before."""
        return all(task.asked and not task.running for task in self._tasks.values())

    def interval(self, window: Window) -> float:
        """Return how often a report of this window is asked, in seconds, stretch included."""
        return window.every.total_seconds() * self.stretch

    def windows(self) -> list[tuple[Window, int]]:
        """Return each window that is asked and how many reports it has."""
        found: dict[str, tuple[Window, int]] = {}
        for task in self._tasks.values():
            window = task.request.window
            found[window.text] = (window, found.get(window.text, (window, 0))[1] + 1)
        return list(found.values())

    def next_due(self) -> float:
        """Return when the next report is due, infinity where none is."""
        while self._heap and not self._is_current(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else float("inf")

    def peek(self) -> ReportKey:
        """Return the key that is due next. There must be one: see `next_due`."""
        return self._heap[0][3]

    def take(self, now: float) -> ReportRequest | None:
        """Return the most urgent report that is due, which then counts as being asked."""
        if self.next_due() > now:
            return None
        key = heapq.heappop(self._heap)[3]
        task = self._tasks[key]
        task.running = task.asked = True
        task.paused = False
        return task.request

    def done(self, key: ReportKey, asked_at: float) -> None:
        """Put the key back on its grid after an attempt that began at `asked_at`.

        The next turn is at least half an interval away: who is late skips a turn instead of
        asking twice in a row.
        """
        task = self._tasks.get(key)
        if task is None:
            return
        interval = self.interval(task.request.window)
        offset = self._epoch + task.place * interval
        turns = -((offset - asked_at - interval / 2) // interval)
        task.due = offset + turns * interval
        task.running = False
        self._push(key)

    def again(self, key: ReportKey, at: float) -> None:
        """Ask the key again at `at`: a retry."""
        task = self._tasks.get(key)
        if task is not None:
            task.due, task.running = at, False
            self._push(key)

    def pause(self, key: ReportKey, until: float) -> None:
        """Ask the key again at `until`: what was refused is left alone, whatever its interval."""
        self.again(key, until)
        if key in self._tasks:
            self._tasks[key].paused = True

    def hurry(self, keys: Iterable[ReportKey], now: float) -> None:
        """Make these due now, unless they are being asked: the account works again."""
        for key in keys:
            task = self._tasks.get(key)
            if task is not None and not task.running:
                task.due, task.paused = now, False
                self._push(key)

    def outlook(self, now: float, discovery_due: float) -> Outlook:
        """Return what is going to happen, in one pass over the reports."""
        windows: dict[str, Window] = {}
        numbers: dict[str, int] = {}
        dues: dict[str, float] = {}
        for key, task in self._tasks.items():
            text = key.window
            if text in numbers:
                numbers[text] += 1
            else:
                windows[text], numbers[text], dues[text] = task.request.window, 1, inf
            if task.due < dues[text] and not task.running:
                dues[text] = task.due
        return Outlook(
            tuple(
                WindowOutlook(
                    window,
                    numbers[text],
                    self.interval(window),
                    dues[text] if dues[text] < inf else None,
                )
                for text, window in windows.items()
            ),
            self.stretch,
            max(0.0, now - min(dues.values(), default=now)),
            discovery_due,
        )

    def lag(self, now: float) -> float:
        """Return for how long the most overdue report has been due, in seconds."""
        waiting = (task.due for task in self._tasks.values() if not task.running)
        return max(0.0, now - min(waiting, default=now))

    def _push(self, key: ReportKey) -> None:
        task = self._tasks[key]
        task.turn = next(self._turns)
        heapq.heappush(self._heap, (task.due, task.rank, task.turn, key))

    def _is_current(self, item: tuple[float, tuple[bool, float], int, ReportKey]) -> bool:
        task = self._tasks.get(item[3])
        return task is not None and not task.running and task.turn == item[2]
