"""What is asked and what comes back, as plain values: windows, keys and the productivity report.

Pure: no I/O, no clock, no knowledge of either API generation or of Prometheus. What the
fields mean: docs/api-facts.md#productivity-report. Which of them count as measured:
docs/behaviour.md#what-counts-as-measured.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

ALL: Final = "all"
"""Stands for every mailbox, or every type, together: a report of its own, never a sum."""

PRODUCTIVITY: Final = "productivity"
"""The label `collector` of everything that is about the productivity report."""

TYPES: Final = ("email", "chat", "phone")

# Upper edges of the ranges by id, the last one open; seconds, or replies for the last table.
RESPONSE_TIME_EDGES: Final = (900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800)
HANDLE_TIME_EDGES: Final = (60, 120, 300, 600)
REPLIES_EDGES: Final = (1, 2, 3, 4)

_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A closed range of whole seconds, both ends aware UTC, both inclusive as the API has it."""

    start: datetime
    end: datetime

    def preceding(self) -> "TimeRange":
        """Return the range just before this one, of the same length."""
        end = self.start - _SECOND
        return TimeRange(end - (self.end - self.start), end)


@dataclass(frozen=True, slots=True)
class Window:
    """A rolling window: how it is written (the label), its length and how often it is asked."""

    text: str
    range: timedelta
    every: timedelta

    def ending(self, instant: datetime) -> TimeRange:
        """Return the range of this window that ends at `instant` (aware UTC), cut to the second."""
        end = instant.replace(microsecond=0)
        return TimeRange(end - self.range + _SECOND, end)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox as the account lists it. Only the id is unique and lasting."""

    id: int
    name: str
    slug: str
    email: str


class ReportKey(NamedTuple):
    """Which cell of the table: one key is one request, and one set of series.

    A named tuple, not a dataclass: keys are hashed and compared all the time, and a tuple does
    both in C.

    `mailbox_id` is the id in decimal or `all`; `type` one of TYPES or `all`; `window` the
    window's text; `segment` empty without one. The mailbox's name is not here: it may change.
    """

    account: str
    mailbox_id: str
    type: str
    window: str
    office_hours: bool
    segment: str

    @property
    def collector(self) -> str:
        """Which kind of question it is."""
        return PRODUCTIVITY


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """A key with what the service must be told for it. Empty tuples mean no such filter."""

    key: ReportKey
    window: Window
    mailbox_ids: tuple[int, ...]
    tag_ids: tuple[int, ...]
    folder_ids: tuple[int, ...]
    compare: bool

    @property
    def types(self) -> tuple[str, ...]:
        """The `types` filter: none for all types together."""
        return () if self.key.type == ALL else (self.key.type,)


@dataclass(frozen=True, slots=True)
class Statistics:
    """The figures of one range. Times are mean seconds; None is a value that was not measured."""

    conversations: int | None = None
    response_time: float | None = None
    first_response_time: float | None = None
    handle_time: float | None = None
    resolution_time: float | None = None
    replies_to_resolve: float | None = None
    resolved: int | None = None
    resolved_on_first_reply: int | None = None
    closed: int | None = None
    replies_sent: int | None = None

    @property
    def resolved_on_first_reply_ratio(self) -> float | None:
        """Share of the resolved conversations, 0 to 1; None where none was resolved.

        From the counts: the unit of the API's own percentage is not reliable.
        """
        if not self.resolved or self.resolved_on_first_reply is None:
            return None
        ratio = self.resolved_on_first_reply / self.resolved
        return ratio if ratio <= 1 else None


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many conversations fell into each range, in the order of the range ids."""

    counts: tuple[int, ...]
    previous: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProductivityReport:
    """One answer, whatever the generation of the API, with what was not measured left out.

    A distribution that the answer lacks is None. `resolution_time_by_replies` is mean seconds
    for conversations resolved with 1, 2, 3, 4 and 5 or more replies. `previous` is None unless
    a second range was asked for.
    """

    current: Statistics
    previous: Statistics | None = None
    response_time: Distribution | None = None
    first_response_time: Distribution | None = None
    handle_time: Distribution | None = None
    replies_to_resolve: Distribution | None = None
    resolution_time_by_replies: tuple[float | None, ...] = (None,) * 5


def only_measured(report: ProductivityReport) -> ProductivityReport:
    """Return `report` without the means that are zeros over nothing."""
    shapes = (
        report.response_time,
        report.first_response_time,
        report.handle_time,
        report.replies_to_resolve,
    )
    seen = [shape is not None and any(shape.counts) for shape in shapes]
    seen_before = [shape is not None and any(shape.previous) for shape in shapes]
    return replace(
        report,
        current=_only_measured(report.current, *seen),
        previous=report.previous and _only_measured(report.previous, *seen_before),
    )


def _only_measured(
    figures: Statistics, response: bool, first_response: bool, handle: bool, replies: bool
) -> Statistics:
    sent, resolved = bool(figures.replies_sent), bool(figures.resolved)

    def mean(value: float | None, *evidence: bool) -> float | None:
        return value if value or any(evidence) else None

    return replace(
        figures,
        response_time=mean(figures.response_time, sent, response),
        first_response_time=mean(figures.first_response_time, sent, first_response),
        handle_time=mean(figures.handle_time, sent, handle),
        resolution_time=mean(figures.resolution_time, resolved, replies),
        replies_to_resolve=mean(figures.replies_to_resolve, resolved, replies),
    )
