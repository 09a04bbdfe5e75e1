"""The productivity report as values: one answer, whatever the generation of the API.

What the fields mean: docs/api-facts.md#productivity-report. Which of them count as measured:
docs/behaviour.md#what-counts-as-measured.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from exporter.sla import EDGES

_REPLIES: Final = len(EDGES["replies_to_resolve"]) + 1


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


def _of_ranges(statistic: str) -> AfterValidator:
    """Take a distribution that has every range of its statistic: the state file may be damaged."""

    def check(found: Distribution | None) -> Distribution | None:
        if found is not None and len(found.counts) != len(EDGES[statistic]) + 1:
            raise ValueError("does not have one count for each range")
        return found

    return AfterValidator(check)


@dataclass(frozen=True, slots=True)
class ProductivityReport:
    """One answer, whatever the generation of the API, with what was not measured left out.

    A distribution that the answer lacks is None. `resolution_time_by_replies` is mean seconds
    for conversations resolved with 1, 2, 3, 4 and 5 or more replies. `previous` is None unless
    a second range was asked for.
    """

    current: Statistics
    previous: Statistics | None = None
    response_time: Annotated[Distribution | None, _of_ranges("response_time")] = None
    first_response_time: Annotated[Distribution | None, _of_ranges("first_response_time")] = None
    handle_time: Annotated[Distribution | None, _of_ranges("handle_time")] = None
    replies_to_resolve: Annotated[Distribution | None, _of_ranges("replies_to_resolve")] = None
    resolution_time_by_replies: Annotated[
        tuple[float | None, ...], Field(min_length=_REPLIES, max_length=_REPLIES)
    ] = (None,) * _REPLIES


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
