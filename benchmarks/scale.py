"""Scale, simulated: many mailboxes in one account, and many accounts, on a clock of its own.

`python -m benchmarks.scale` writes the section of RESULTS.md. There is no network: the exporter's own
`Schedule` and `Budget` decide what is asked when; around them the dispatcher is imitated, with 64
workers, four calls under way an account, and mailbox lists. Answers take half a second on average
(log-normal: median 0.4 s, one of a hundred above 2 s). The service counts each account's calls in
fixed minutes and refuses what is above the limit. A fifth of the mailboxes have more than one page of
open conversations. Everything is drawn from one seed.

What is measured and not simulated: memory and CPU of a process that holds so many series, each size in
a process of its own.
"""

import heapq
import math
import random
import resource
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.filled import SERIES_PER_REPORT, answer, fill, parsed
from benchmarks.results import machine, table, write
from exporter.collectors import imagined, questions_of
from exporter.durations import format_duration
from exporter.exposition import Exposition, Renderer
from exporter.exposition.assembly import TEXT
from exporter.helpscout.account import Account
from exporter.helpscout.budget import Budget
from exporter.planning import AccountPlan, plan
from exporter.questions import Key, Question
from exporter.schedule import DISCOVERY_SECONDS, Group, Schedule, Stretch, list_pages
from exporter.settings import Configuration, load
from exporter.store import Store
from exporter.telemetry import Telemetry

WORKERS: Final = 64
_SEED: Final = 16
_PAGES: Final = ((0.80, 1), (0.95, 2), (1.00, 4))
"""Cumulative shares of the mailboxes, and how many pages of open conversations they have."""


@dataclass(frozen=True)
class Scenario:
    """One run. `settings` are variables; `fresh` starts without a state file."""

    name: str
    mailboxes: int
    accounts: int = 1
    limit: int = 400
    settings: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False
    minutes: float = 60.0

    def configuration(self) -> Configuration:
        """Return it as the exporter would read it."""
        environ = {
            "HELPSCOUT_CLIENT_ID": "a",
            "HELPSCOUT_CLIENT_SECRET": "b",
            "HELPSCOUT_ACCOUNTS__0__REQUESTS_PER_MINUTE": str(self.limit),
            **self.settings,
        }
        return load(None, environ)


class Service:
    """One account's limit, in fixed minutes that begin at a moment of its own."""

    def __init__(self, limit: int, offset: float) -> None:
        self._limit, self._offset = limit, offset
        self._minute, self._used = -1, 0
        self.refused = self.calls = 0

    def call(self, now: float) -> tuple[bool, int, float]:
        """Return whether the call is answered, what remains, and the seconds until the next minute."""
        minute, second = divmod(now + self._offset, 60)
        if minute != self._minute:
            self._minute, self._used = int(minute), 0
        self.calls += 1
        if self._used >= self._limit:
            self.refused += 1
            return False, 0, 60 - second
        self._used += 1
        return True, self._limit - self._used, 60 - second


@dataclass(slots=True)
class _Asked:
    """An account and what is known of it. `arrived` has when each key's last answer arrived."""

    account: Account
    schedule: Schedule
    budget: Budget
    service: Service
    list_pages: int
    list_due: float
    arrived: dict[Key, float]
    running: int = 0
    listing: bool = False
    turn: int = 0


@dataclass(slots=True)
class _Job:
    of: _Asked
    question: Question | None
    asked_at: float
    pages: int
    left: int
    sent_at: float = 0.0


class Freshness(NamedTuple):
    """Ages of the readings of one group in seconds, as scrapes see them; `oldest` of all."""

    group: Group
    median: float
    p99: float
    oldest: float


@dataclass(slots=True)
class Outcome:
    """What came of a run; `first_round` is when the last question had its first answer."""

    calls_per_minute: float
    refused: int
    stretch: Stretch
    lag: float
    workers: float
    freshness: list[Freshness]
    first_round: float | None
    cpu_per_call: float


class Simulation:
    """The dispatcher and its workers, on a clock that jumps from event to event."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._chance = random.Random(_SEED)
        self._now = 0.0
        self._events: list[tuple[float, int, str, object]] = []
        self._turns = count()
        self._jobs: deque[_Job] = deque()
        self._free = WORKERS
        self._pages: dict[Key, int] = {}
        self._peaks: dict[Group, float] = {}
        self._ages: dict[Group, list[float]] = {}
        self._lag = 0.0
        self._busy = 0.0
        self._unknown = 0
        self._first_round: float | None = None
        configuration = scenario.configuration()
        (account,) = configuration.accounts
        within = imagined(account, configuration, scenario.mailboxes)
        questions = questions_of(within)
        self._group_of = {q.key: Group(*q.key.group, q.every.total_seconds()) for q in questions}
        self._keys = list(self._group_of)
        telemetry = Telemetry(process_metrics=False)
        self._accounts = [
            self._new(account, questions, telemetry) for _ in range(scenario.accounts)
        ]

    def _new(self, account: Account, questions: list[Question], telemetry: Telemetry) -> _Asked:
        scenario, chance = self._scenario, self._chance
        budget = Budget(
            account.name,
            scenario.limit,
            account.budget,
            telemetry,
            clock=lambda: self._now,
            wait=lambda _: True,
        )
        schedule, ages = Schedule(), dict[Key, float]()
        if not scenario.fresh:
            # Of a process that has run for long, and was started again.
            schedule.set(questions, 0.0, {})
            schedule.fit(budget.planned_per_minute, list_pages(scenario.mailboxes))
            ages = {q.key: chance.uniform(0, schedule.interval(q)) for q in questions}
            schedule = Schedule(schedule.stretch)
        schedule.set(questions, 0.0, ages)
        self._unknown += len(questions) - len(ages)
        return _Asked(
            account,
            schedule,
            budget,
            Service(scenario.limit, chance.uniform(0, 60)),
            list_pages(scenario.mailboxes),
            chance.uniform(0, DISCOVERY_SECONDS),
            {key: -age for key, age in ages.items()},
        )

    def run(self) -> Outcome:
        """Run it to its end; a start from nothing ends with the first round."""
        began = time.process_time()
        end = self._scenario.minutes * 60
        self._at(0.0, "tick", None)
        for of in self._accounts:
            self._look(of)
        while self._events[0][0] < end and self._first_round is None:
            self._now, _, kind, what = heapq.heappop(self._events)
            getattr(self, f"_{kind}")(what)
        calls = sum(of.service.calls for of in self._accounts)
        minutes = self._now / 60
        return Outcome(
            calls / minutes,
            sum(of.service.refused for of in self._accounts),
            self._accounts[0].schedule.stretch,
            self._lag,
            self._busy / (minutes * 60) / WORKERS,
            sorted(self._freshness(), key=lambda each: each.group[::-1]),
            self._first_round,
            (time.process_time() - began) / max(calls, 1),
        )

    def _freshness(self) -> Iterator[Freshness]:
        for group, ages in self._ages.items():
            ages.sort()
            oldest = max(ages[-1], self._peaks.get(group, 0.0))
            yield Freshness(group, ages[len(ages) // 2], ages[int(len(ages) * 0.99)], oldest)

    def _at(self, moment: float, kind: str, what: object) -> None:
        heapq.heappush(self._events, (moment, next(self._turns), kind, what))

    def _tick(self, _: None) -> None:
        """Look at the budget as the exporter does, and at the ages as a scrape does."""
        for of in self._accounts:
            if of.schedule.fit(of.budget.planned_per_minute, of.list_pages):
                self._look(of)
            self._lag = max(self._lag, self._now - of.schedule.next_due())
        for of in self._chance.sample(self._accounts, min(20, len(self._accounts))):
            for key in self._chance.sample(self._keys, min(100, len(self._keys))):
                if key in of.arrived:
                    age = self._now - of.arrived[key]
                    self._ages.setdefault(self._group_of[key], []).append(age)
        self._at(self._now + 10, "tick", None)

    def _wake(self, what: tuple[_Asked, int]) -> None:
        of, turn = what
        if of.turn == turn:
            self._look(of)

    def _look(self, of: _Asked) -> None:
        """Hand out what is due and can be paid for."""
        of.turn += 1
        while of.running < of.account.concurrency:
            listing = not of.listing and self._now >= of.list_due
            due = self._now if listing else of.schedule.next_due()
            if due > self._now:
                due = due if of.listing else min(due, of.list_due)
                self._at(due, "wake", (of, of.turn))
                return
            if delay := of.budget.try_spend():
                self._at(self._now + delay, "wake", (of, of.turn))
                return
            of.running += 1
            question = None
            pages = of.list_pages
            if listing:
                of.listing = True
            else:
                question = of.schedule.take(self._now)
                assert question is not None
                pages = self._pages_of(question)
            self._jobs.append(_Job(of, question, self._now, pages, pages))
            self._start()

    def _pages_of(self, question: Question) -> int:
        if question.key.collector != "waiting":
            return 1
        pages = self._pages.get(question.key)
        if pages is None:
            drawn = self._chance.random()
            pages = next(pages for share, pages in _PAGES if drawn <= share)
            self._pages[question.key] = pages
        return pages

    def _start(self) -> None:
        while self._free and self._jobs:
            self._free -= 1
            self._send(self._jobs.popleft())

    def _send(self, job: _Job) -> None:
        job.sent_at = self._now
        answered = job.of.service.call(self._now)
        latency = self._chance.lognormvariate(math.log(0.4), 0.7)
        self._busy += latency
        self._at(self._now + latency, "answer", (job, answered))

    def _answer(self, what: tuple[_Job, tuple[bool, int, float]]) -> None:
        job, (good, remaining, wait) = what
        of = job.of
        of.budget.observe(job.sent_at, self._scenario.limit, remaining)
        if good:
            job.left -= 1
            if job.left:
                self._page(job)
                return
        else:
            of.budget.close_gate(wait)
        self._free += 1
        of.running -= 1
        if job.question is None:
            of.listing, of.list_due = False, self._now + (DISCOVERY_SECONDS if good else wait)
        elif good:
            self._arrived(job, job.question)
        else:
            of.schedule.again(job.question.key, self._now + wait)
        self._look(of)
        self._start()

    def _page(self, job: _Job) -> None:
        """Ask for the next page as soon as it can be paid for; the worker waits for it."""
        if delay := job.of.budget.try_spend():
            self._at(self._now + delay, "page", job)
        else:
            self._send(job)

    def _arrived(self, job: _Job, question: Question) -> None:
        key, of = question.key, job.of
        before = of.arrived.get(key)
        if before is None:
            self._unknown -= 1
            if not self._unknown:
                self._first_round = self._now
        else:
            group = self._group_of[key]
            self._peaks[group] = max(self._peaks.get(group, 0.0), self._now - before)
        of.arrived[key] = self._now
        of.schedule.took(key, job.pages)
        of.schedule.done(key, job.asked_at)


DEFAULT: Final[Mapping[str, str]] = {}
WAITING: Final = {"HELPSCOUT_WAITING__ENABLED": "true"}
LEAN: Final = {
    "HELPSCOUT_TYPES": "[all]",
    "HELPSCOUT_WINDOWS": "[{range: 7d, every: 1h}]",
    "HELPSCOUT_FOLDERS": "{every: 1h}",
}
_DAY: Final = 24 * 60.0

SCENARIOS: Final = (
    Scenario("1,000 mailboxes, Plus", 1_000, minutes=180),
    Scenario("1,000 mailboxes, Plus, waiting", 1_000, settings=WAITING, minutes=180),
    Scenario("1,000 mailboxes, Pro", 1_000, limit=800, minutes=120),
    Scenario("1,000 mailboxes, Pro, waiting", 1_000, limit=800, settings=WAITING, minutes=120),
    Scenario("10,000 mailboxes, Plus", 10_000, minutes=300),
    Scenario("10,000 mailboxes, Pro, waiting", 10_000, limit=800, settings=WAITING, minutes=180),
    Scenario("10,000 mailboxes, Pro, LEAN", 10_000, limit=800, settings=LEAN, minutes=120),
    Scenario("400 accounts of 6", 6, 400, minutes=15),
    Scenario("400 accounts of 6, waiting", 6, 400, settings=WAITING, minutes=8),
    Scenario("800 accounts of 6", 6, 800, minutes=8),
    Scenario("1,000 accounts of 6", 6, 1_000, minutes=8),
    Scenario("1,000 mailboxes, Plus, from nothing", 1_000, fresh=True, minutes=_DAY),
    Scenario("10,000 mailboxes, Pro, from nothing", 10_000, limit=800, fresh=True, minutes=_DAY),
)


def planned(scenario: Scenario) -> AccountPlan:
    """Return what `plan` says of one of its accounts."""
    configuration = scenario.configuration()
    return plan(configuration, configuration.accounts[0], scenario.mailboxes)


def simulated() -> tuple[str, str]:
    """Return the table of runs and that of ages."""
    runs, ages = [], []
    for scenario in SCENARIOS:
        found, of_plan = Simulation(scenario).run(), planned(scenario)
        wanted = of_plan.per_minute * scenario.accounts
        possible = min(of_plan.per_minute, of_plan.budget) * scenario.accounts
        first = found.first_round
        runs.append(
            (
                scenario.name,
                f"{wanted:,.0f}",
                f"{possible:,.0f}",
                f"{found.calls_per_minute:,.0f}",
                str(found.refused),
                f"{found.stretch.now:.1f} / {found.stretch.windows:.1f}",
                f"{found.lag:,.0f} s",
                f"{found.workers:.0%}",
                f"{first / 3600:.1f} h" if first else "",
            )
        )
        ages += [(scenario.name, *_row(each)) for each in found.freshness]
        print(*runs[-1], sep=" | ", file=sys.stderr)
    titles = "run", "wanted", "by the plan", "calls/min", "429", "stretch", "lag", "workers busy"
    return (
        table((*titles, "first round"), runs),
        table(("run", "question", "every", "median age", "p99", "oldest", "in intervals"), ages),
    )


def _row(each: Freshness) -> tuple[str, ...]:
    every = each.group.every
    ages = each.median, each.p99, each.oldest
    return (
        f"{each.group.collector} {each.group.window}".strip(),
        format_duration(timedelta(seconds=every)),
        *(_minutes(age) for age in ages),
        " / ".join(f"{age / every:.1f}" for age in ages),
    )


def _minutes(seconds: float) -> str:
    return format_duration(timedelta(minutes=max(1, round(seconds / 60))))


class Process(NamedTuple):
    """What a process with so many series needs: MiB, and CPU of a change with its gzip in ms."""

    series: int
    resident: float
    change: float


def process(series: int) -> Process:
    """Fill the store and serve from it; run in a process of its own."""
    store, telemetry = Store(), Telemetry(process_metrics=False)
    keys = fill(store, series // SERIES_PER_REPORT) if series else []
    schedule = Schedule()
    every, length = timedelta(minutes=5), timedelta(hours=24)
    schedule.set([Question(key, every, length, ((1,), (), ())) for key in keys], 0.0, {})
    exposition = Exposition(store, telemetry, Renderer(Configuration(())))
    exposition.body(TEXT, gzipped=True).made()
    body, changes = parsed(answer(random.Random(2))), []
    for key in keys[:: max(1, len(keys) // 10)]:
        exposition.body(TEXT, gzipped=True).made()
        store.succeeded(key, body)
        began = time.process_time()
        exposition.assemble()
        exposition.body(TEXT, gzipped=True).made()
        changes.append(time.process_time() - began)
    return Process(series, _resident(), statistics.median(changes or [0.0]) * 1e3)


def _resident() -> float:
    """Return this process's resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / 2**20


def processes() -> str:
    """Return the table of what series cost, and the lines through the last two sizes."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        found = [pool.submit(process, size).result() for size in (0, 50_000, 100_000, 200_000)]
    rows = [
        (
            f"{each.series:,}",
            f"{each.resident:.0f} MiB",
            f"{each.change:.1f} ms" if each.series else "",
        )
        for each in found
    ]
    *_, small, middle, large = found
    kib = (large.resident - small.resident) * 1024 / (large.series - small.series)
    text = table(("series", "resident", "CPU of a change, gzip included"), rows)
    between = middle.resident - small.resident
    line = between / (middle.series - small.series) * (large.series - middle.series)
    return text + (
        f"\n{kib:.2f} KiB a series. The line through the first two sizes misses the third by"
        f" {abs(middle.resident + line - large.resident) / large.resident:.0%}.\n"
    )


def main() -> None:
    """Run all of it: about two minutes of one core."""
    costs = processes()
    runs, ages = simulated()
    write(
        "Scale",
        f"`python -m benchmarks.scale`; {machine('prometheus-client', 'isal')}\n\n"
        "Simulated: the real schedule and budget on a clock that jumps, 64 workers, answers in half a"
        " second on average. `wanted` is what `plan` counts, `by the plan` what of it the budget"
        " allows, in calls a minute. LEAN: type `all`, the window 7d, reports and folders each hour.\n\n"
        f"{runs}\n"
        "Ages of what is exported, as scrapes saw them, and the oldest there was; a run that is shorter"
        " than a stretched interval shows only a part of its questions asked again.\n\n"
        f"{ages}\n"
        "Measured, each size in a process of its own: memory, and CPU of one changed report.\n\n"
        f"{costs}",
    )


if __name__ == "__main__":
    main()
