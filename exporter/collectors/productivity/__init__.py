"""The productivity report: how long customers waited, and how many replies it took."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from itertools import accumulate, product
from typing import Final

from exporter.collectors.base import Meaning, Sample, Scope
from exporter.collectors.productivity import figures
from exporter.collectors.productivity.report import Distribution, ProductivityReport, Statistics
from exporter.collectors.productivity.wire import parse_report
from exporter.collectors.reports import instant, remedy, report_query
from exporter.helpscout.account import Api, path_in
from exporter.helpscout.errors import HelpScoutError
from exporter.questions import Get, Key, Question, Reading, TimeRange, flag
from exporter.sla import change_ratio

_FLAGS: Final = {"v1": {"false": "0", "true": "1"}, "v2": {"false": "false", "true": "true"}}
_COMPARE: Final = "compare"
_NO_LABELS: Final[tuple[tuple[str, str], ...]] = ()

_LE: Final = {
    shape.field: tuple((("le", bound),) for bound in shape.bounds) for shape in figures.SHAPES
}
_REPLIES_LABELS: Final = tuple((("replies", replies),) for replies in figures.REPLIES)


class Productivity:
    """A question for each mailbox, type, window, time and segment; one call each."""

    name: Final = "productivity"
    operation: Final = "report"
    needs_reports: Final = True
    families: Final = figures.FAMILIES
    value_type: Final = ProductivityReport

    def questions(self, scope: Scope) -> Iterator[Question]:
        """Yield each mailbox's plain question first: where that is refused, no other is asked.

        A question's `spec` is the ids of mailboxes, tags and folders, and whether it compares.
        """
        settings = scope.settings
        compare = (_COMPARE,) if settings.compare else ()
        for window, type_, hours, cut, (mailbox_id, ids) in product(
            settings.windows, settings.types, settings.office_hours, scope.cuts, scope.mailboxes
        ):
            key = Key(
                self.name, scope.account, mailbox_id, type_, window.text, flag(hours), cut.segment
            )
            yield Question(
                key,
                window.every,
                window.range,
                (ids, cut.tag_ids, cut.folder_ids, *compare),
            )

    def ask(self, question: Question, api: Api, at: datetime, get: Get) -> Reading:
        """Ask for the report over the question's range up to `at`. Raises HelpScoutError."""
        odd: list[str] = []
        try:
            body = get(path_in(api, "/reports/productivity"), _query(question, api, at))
        except HelpScoutError as error:
            error.remedy = error.remedy or remedy(question, error)
            raise
        report, learned = parse_report(body, compare=_compares(question), odd=odd.append)
        return Reading(report, at, learned, odd=tuple(odd))

    def samples(
        self, key: Key, reading: Reading, mailbox: str, meaning: Meaning
    ) -> Iterator[Sample]:
        """Yield what was measured, in the order of the families."""
        report: ProductivityReport = reading.value
        yield from _figures(report.current, previous=False)
        for shape in figures.SHAPES:
            distribution: Distribution | None = getattr(report, shape.field)
            if distribution is not None:
                counts = accumulate(distribution.counts)
                for le, count in zip(_LE[shape.field], counts, strict=True):
                    yield Sample(shape.family, le, count)
        for labels, mean in zip(_REPLIES_LABELS, report.resolution_time_by_replies, strict=True):
            if mean is not None:
                yield Sample(figures.RESOLUTION_BY_REPLIES, labels, mean)
        if report.previous is not None:
            yield from _figures(report.previous, previous=True)
            yield from _changes(report.current, report.previous)
        yield from _service_levels(key, report, mailbox, meaning)

    def specimen(self, question: Question) -> ProductivityReport:
        """Return a report in which everything is measured."""
        shapes = {
            shape.field: Distribution((10,) * len(shape.bounds), ()) for shape in figures.SHAPES
        }
        return ProductivityReport(
            _measured(90, 3456.789),
            _measured(80, 3333.333) if _compares(question) else None,
            **shapes,
            resolution_time_by_replies=(12345.678,) * len(figures.REPLIES),
        )


def _measured(count: int, mean: float) -> Statistics:
    """Return statistics with every figure measured: the same for each count and for each mean."""
    values = {each.name: count if each.type == int | None else mean for each in fields(Statistics)}
    return Statistics(**values)  # type: ignore[arg-type]


def _compares(question: Question) -> bool:
    return _COMPARE in question.spec


def _query(question: Question, api: Api, at: datetime) -> dict[str, str]:
    assert question.range is not None
    range_ = TimeRange.ending(at, question.range)
    query = report_query(range_, question)
    if _compares(question):
        before = range_.preceding()
        query |= {"previousStart": instant(before.start), "previousEnd": instant(before.end)}
    query["officeHours"] = _FLAGS[api][question.key.office_hours]
    return query


def _figures(statistics: Statistics, *, previous: bool) -> Iterator[Sample]:
    for figure in figures.FIGURES:
        value = getattr(statistics, figure.field)
        if value is not None:
            yield Sample(figure.previous if previous else figure.family, _NO_LABELS, value)


def _changes(current: Statistics, previous: Statistics) -> Iterator[Sample]:
    for figure in figures.FIGURES:
        ratio = change_ratio(getattr(current, figure.field), getattr(previous, figure.field))
        if ratio is not None:
            yield Sample(figures.CHANGE, (("statistic", figure.statistic),), ratio)


def _service_levels(
    key: Key, report: ProductivityReport, mailbox: str, meaning: Meaning
) -> Iterator[Sample]:
    for objective in meaning.objectives:
        if not objective.covers(key, mailbox):
            continue
        distribution: Distribution | None = getattr(report, objective.statistic)
        within = objective.compliance(distribution.counts if distribution else None)
        if within is not None:
            labels = (("sla", objective.name), ("horizon", objective.horizon(key.window)))
            yield Sample(figures.SLA_COMPLIANCE, labels, within.ratio)
            yield Sample(figures.SLA_CONVERSATIONS, labels, within.conversations)
