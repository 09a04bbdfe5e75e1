"""The table: one mailbox's figures over one window, with what they were before and should be.

It shows productivity reports. The rest of the page knows no kind of question.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from exporter.collectors.productivity import Productivity
from exporter.collectors.productivity.report import Distribution, ProductivityReport
from exporter.questions import Key, flag
from exporter.sla import EDGES, Compliance, Objective, change_ratio
from exporter.status.choice import Choice
from exporter.status.facts import Facts, State
from exporter.store import Entry


@dataclass(frozen=True, slots=True)
class Column:
    """One field of `Statistics`: its heading, what it measures, and how a change is said.

    `unit` names the filter that writes it. More of it is `worse`, or neither where `neutral`.
    """

    field: str
    heading: str
    unit: str = "duration"
    more: str = "slower"
    less: str = "faster"
    neutral: bool = False


COLUMNS: Final = (
    Column("first_response_time", "First response time"),
    Column("response_time", "Response time"),
    Column("handle_time", "Handle time"),
    Column("replies_to_resolve", "Replies to resolve", "mean", "more", "fewer"),
    Column("resolved", "Resolved", "count", "more", "fewer", neutral=True),
)


@dataclass(frozen=True, slots=True)
class Change:
    """The change against the preceding period: the ratio is 0.5 for half as much again."""

    ratio: float
    before: float

    @property
    def is_even(self) -> bool:
        """Whether it is none in whole percents."""
        return round(self.ratio * 100) == 0


@dataclass(frozen=True, slots=True)
class Bars:
    """A distribution: how many conversations fell into each range of its statistic.

    `target` is that of the strictest SLA, infinite without one.
    """

    statistic: str
    counts: tuple[int, ...]
    target: float


@dataclass(frozen=True, slots=True)
class Promise:
    """An SLA, and how much of what it promises was kept."""

    objective: Objective
    found: Compliance

    @property
    def met(self) -> bool:
        """Whether as much as promised was within the target."""
        return self.found.ratio >= self.objective.objective


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure; `value` is None where nothing was measured.

    `on_first_reply` is the share (0 to 1) that was resolved on the first reply, where it is known.
    """

    column: Column
    value: float | None = None
    change: Change | None = None
    bars: Bars | None = None
    promises: tuple[Promise, ...] = ()
    on_first_reply: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A report: its window, how good it is, its age in seconds, and its figures.

    `succeeded_at` is Unix seconds, None before the first success; `failed`: the last attempt did.
    """

    window: str
    state: State
    failed: bool
    age: float
    succeeded_at: float | None
    cells: tuple[Cell, ...]


def key_of(choice: Choice, mailbox_id: str, window: str) -> Key:
    """Return the key of a mailbox's report."""
    hours = flag(choice.office_hours)
    return Key(
        Productivity.name, choice.account, mailbox_id, choice.type, window, hours, choice.segment
    )


def row(facts: Facts, key: Key, entry: Entry) -> Row:
    """Return a report's row."""
    return Row(
        key.window,
        facts.state(key, entry),
        entry.success is False,
        facts.clock - entry.fresh_since,
        entry.succeeded_at,
        tuple(_cells(key, entry, facts.configuration.objectives)),
    )


def promises(key: Key, entry: Entry, objectives: Iterable[Objective]) -> list[Promise]:
    """Return the SLAs of a report that can be judged; other kinds of question have none here."""
    if entry.reading is None or key.collector != Productivity.name:
        return []
    report: ProductivityReport = entry.reading.value
    found: list[Promise] = []
    for objective in objectives:
        if objective.covers(key, entry.mailbox):
            distribution: Distribution | None = getattr(report, objective.statistic)
            kept = objective.compliance(distribution.counts if distribution else None)
            if kept is not None:
                found.append(Promise(objective, kept))
    return found


def _cells(key: Key, entry: Entry, objectives: Iterable[Objective]) -> Iterator[Cell]:
    if entry.reading is None:
        yield from map(Cell, COLUMNS)
        return
    report: ProductivityReport = entry.reading.value
    promised = promises(key, entry, objectives)
    for column in COLUMNS:
        field = column.field
        mine = tuple(each for each in promised if each.objective.statistic == field)
        now, before = getattr(report.current, field), getattr(report.previous, field, None)
        ratio = change_ratio(now, before)
        distribution = getattr(report, field) if field in EDGES else None
        yield Cell(
            column,
            now,
            None if ratio is None or before is None else Change(ratio, before),
            _bars(field, distribution, mine),
            mine,
            report.current.resolved_on_first_reply_ratio if field == "resolved" else None,
        )


def _bars(
    statistic: str, distribution: Distribution | None, promised: Iterable[Promise]
) -> Bars | None:
    if distribution is None or not any(distribution.counts):
        return None
    targets = (promise.objective.target_value for promise in promised)
    return Bars(statistic, distribution.counts, min(targets, default=float("inf")))
