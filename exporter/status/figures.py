"""The table: one mailbox's figures over one window, with what they were before and should be."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from exporter.collectors.productivity.report import Distribution, ProductivityReport, Statistics
from exporter.questions import Key
from exporter.sla import EDGES, Compliance, Objective, change_ratio
from exporter.status import words
from exporter.status.facts import Facts
from exporter.store import Entry

COLUMNS: Final = (
    ("first_response_time", "First response time"),
    ("response_time", "Response time"),
    ("handle_time", "Handle time"),
    ("replies_to_resolve", "Replies to resolve"),
    ("resolved", "Resolved"),
)
"""Which fields of `Statistics` are shown, and under what heading."""

WIDTH, HEIGHT = 64, 18
"""Of the bars of a distribution, in CSS pixels."""
_GAP: Final = 1
_WORDS: Final = {
    "fresh": "",
    "late": "late",
    "stale": "stale",
    "failing": "never came",
    "waiting": "waiting for its turn",
}
_NUMBERS: Final = ("replies_to_resolve", "resolved")


@dataclass(frozen=True, slots=True)
class Change:
    """The change against the preceding period: short, in words, and how it is to be taken.

    `kind` is `better`, `worse`, or `even` where more is neither.
    """

    text: str
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Bars:
    """A distribution as outlines of bars, those within the target apart, and in words."""

    within: str
    beyond: str
    words: str


@dataclass(frozen=True, slots=True)
class Promise:
    """Whether an SLA is met: the share that is, and in words what was promised."""

    name: str
    met: bool
    share: str
    words: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure; `value` is None where nothing was measured."""

    heading: str
    value: str | None = None
    change: Change | None = None
    bars: Bars | None = None
    promises: tuple[Promise, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A report: its window, how good it is (`Facts.state`), its age, and its figures.

    `word` says it where it is not fresh, `age` is in words; `succeeded` and `succeeded_at` are the
    moment for people and for machines, empty before the first success.
    """

    window: str
    state: str
    word: str
    age: str
    succeeded: str
    succeeded_at: str
    cells: tuple[Cell, ...]


def row(facts: Facts, key: Key, entry: Entry) -> Row:
    """Return a report's row."""
    at, state = entry.succeeded_at, facts.state(key, entry)
    word = "last try failed" if state == "late" and not entry.success else _WORDS[state]
    return Row(
        key.window,
        state,
        word,
        "" if at is None else words.ago(_age(facts, entry)),
        "" if at is None else words.clock(at, facts.now),
        "" if at is None else words.instant(at),
        cells(key, entry, facts.configuration.objectives),
    )


def _age(facts: Facts, entry: Entry) -> float:
    return facts.clock - entry.fresh_since


def cells(key: Key, entry: Entry, objectives: Iterable[Objective]) -> tuple[Cell, ...]:
    """Return a report's figures, in the order of COLUMNS; without a report they are all unknown."""
    if entry.reading is None:
        return tuple(Cell(heading) for _, heading in COLUMNS)
    promised = [objective for objective in objectives if objective.covers(key, entry.mailbox)]
    report: ProductivityReport = entry.reading.value
    return tuple(_cell(report, field, heading, promised) for field, heading in COLUMNS)


def promises_kept(key: Key, entry: Entry, objectives: Iterable[Objective]) -> list[bool]:
    """Return for each SLA that can be told of a report whether it is met."""
    return [
        found.ratio >= objective.objective
        for objective in objectives
        if entry.reading is not None and objective.covers(key, entry.mailbox)
        if (found := _compliance(entry.reading.value, objective)) is not None
    ]


def _cell(report: ProductivityReport, field: str, heading: str, promised: list[Objective]) -> Cell:
    now = getattr(report.current, field)
    mine = [objective for objective in promised if objective.statistic == field]
    note = ""
    if field == "resolved":
        ratio = report.current.resolved_on_first_reply_ratio
        note = "" if ratio is None else f"{words.percent(ratio)} on first reply"
    return Cell(
        heading,
        None if now is None else _shown(field, now),
        _change(field, now, report.previous),
        _bars(field, getattr(report, field, None), mine) if field in EDGES else None,
        tuple(p for objective in mine if (p := _promise(report, objective)) is not None),
        note,
    )


def _shown(field: str, value: float) -> str:
    if field not in _NUMBERS:
        return words.duration(value)
    return words.count(value) if field == "resolved" else words.mean(value)


def _change(field: str, now: float | None, previous: Statistics | None) -> Change | None:
    before = getattr(previous, field, None)
    ratio = change_ratio(now, before)
    if now is None or before is None or ratio is None:
        return None
    text = words.change(ratio)
    up = ratio > 0
    even = field == "resolved" or round(ratio * 100) == 0
    how = ("more" if up else "fewer") if field in _NUMBERS else ("slower" if up else "faster")
    was = f"{_shown(field, before)} in the preceding period"
    return Change(
        text,
        "even" if even else "worse" if up else "better",
        was if round(ratio * 100) == 0 else f"{how} than {was}",
    )


def _promise(report: ProductivityReport, objective: Objective) -> Promise | None:
    found = _compliance(report, objective)
    if found is None:
        return None
    target = (
        f"{objective.target} replies"
        if objective.statistic == "replies_to_resolve"
        else words.duration(objective.target_value)
    )
    return Promise(
        words.name(objective.name),
        found.ratio >= objective.objective,
        words.percent(found.ratio),
        f"{words.name(objective.name)}: {words.precise_percent(objective.objective)}"
        f" within {target} are"
        f" promised, {words.percent(found.ratio)} of {words.count(found.conversations)} were",
    )


def _compliance(report: ProductivityReport, objective: Objective) -> Compliance | None:
    distribution: Distribution | None = getattr(report, objective.statistic)
    return objective.compliance(distribution.counts if distribution else None)


def _bars(field: str, distribution: Distribution | None, promised: list[Objective]) -> Bars | None:
    if distribution is None or not any(distribution.counts):
        return None
    edges, counts = EDGES[field], distribution.counts
    target = min((objective.target_value for objective in promised), default=float("inf"))
    within: list[str] = []
    beyond: list[str] = []
    step = WIDTH / len(counts)
    for place, (number, edge) in enumerate(zip(counts, (*edges, float("inf")), strict=True)):
        if number:
            # Few are not none: the lowest bar can still be seen.
            height = max(2.0, HEIGHT * number / max(counts))
            bar = f"M{place * step:.4g} {HEIGHT}v-{height:.3g}h{step - _GAP:.3g}v{height:.3g}z"
            (within if edge <= target else beyond).append(bar)
    told = (
        f"{text}: {words.count(number)}"
        for text, number in zip(_RANGES[field], counts, strict=True)
        if number
    )
    return Bars("".join(within), "".join(beyond), ", ".join(told))


def _ranges(field: str) -> tuple[str, ...]:
    edges = EDGES[field]
    if field == "replies_to_resolve":
        return ("1 reply", *(f"{edge} replies" for edge in edges[1:]), "5 or more replies")
    names = [words.duration(edge) for edge in edges]
    return (
        f"up to {names[0]}",
        *(f"{low} to {high}" for low, high in pairwise(names)),
        f"over {names[-1]}",
    )


_RANGES: Final = {field: _ranges(field) for field in EDGES}
