"""Windows, keys, and which of the figures count as measured."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.productivity.report import (
    Distribution,
    ProductivityReport,
    Statistics,
    only_measured,
)
from exporter.collectors.reports import remedy
from exporter.helpscout.errors import Foreign, HelpScoutError, NotAllowed, NotThere, Refused
from exporter.questions import Key, Mailbox, Question, TimeRange

SECOND = timedelta(seconds=1)
ranges = st.timedeltas(min_value=timedelta(minutes=1), max_value=timedelta(days=3650)).map(
    lambda length: timedelta(seconds=round(length.total_seconds()))
)
instants = st.datetimes(
    min_value=datetime(2011, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)
)


@given(ranges, instants)
def test_a_window_ends_at_the_instant_cut_to_the_second(
    length: timedelta, instant: datetime
) -> None:
    end = TimeRange.ending(instant, length).end
    assert end.microsecond == 0
    assert timedelta(0) <= instant - end < SECOND


@given(ranges, instants)
def test_a_window_holds_exactly_as_many_seconds_as_its_range(
    length: timedelta, instant: datetime
) -> None:
    period = TimeRange.ending(instant, length)
    # Both ends are part of it, so the number of its seconds is one more than their difference.
    assert period.end - period.start + SECOND == length


@given(ranges, instants)
def test_the_preceding_period_ends_a_second_before_and_is_as_long(
    length: timedelta, instant: datetime
) -> None:
    period = TimeRange.ending(instant, length)
    before = period.preceding()
    assert before.end == period.start - SECOND
    assert before.end - before.start == period.end - period.start
    assert before == TimeRange.ending(instant - length, length)


@given(ranges, instants)
def test_a_window_and_its_preceding_period_keep_the_time_zone(
    length: timedelta, instant: datetime
) -> None:
    period = TimeRange.ending(instant, length)
    before = period.preceding()
    assert {each.tzinfo for each in (period.start, period.end, before.start, before.end)} == {UTC}


def test_a_day_is_written_as_the_issue_has_it() -> None:
    day = TimeRange.ending(datetime(2026, 3, 11, 14, 30, 0, 999_999, UTC), timedelta(days=1))
    assert day == TimeRange(
        datetime(2026, 3, 10, 14, 30, 1, tzinfo=UTC), datetime(2026, 3, 11, 14, 30, tzinfo=UTC)
    )
    assert day.preceding() == TimeRange(
        datetime(2026, 3, 9, 14, 30, 1, tzinfo=UTC), datetime(2026, 3, 10, 14, 30, tzinfo=UTC)
    )


def test_keys_are_ordered_and_frozen() -> None:
    first = Key("productivity", "a", "1", "email", "7d", "false", "")
    assert first < first._replace(account="b")
    assert first < first._replace(office_hours="true")
    with pytest.raises(AttributeError):
        first.account = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("resolved", "on_first_reply", "expected"),
    [
        (14, 5, 5 / 14),
        (1, 0, 0.0),
        (3, 3, 1.0),
        (0, 0, None),
        (None, None, None),
        (None, 3, None),
        (3, None, None),
        (2, 3, None),  # no share is more than the whole: one of the two counts is wrong
    ],
)
def test_the_first_reply_ratio_is_computed_from_the_counts(
    resolved: int | None, on_first_reply: int | None, expected: float | None
) -> None:
    figures = Statistics(resolved=resolved, resolved_on_first_reply=on_first_reply)
    assert figures.resolved_on_first_reply_ratio == expected


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_first_reply_ratio_is_from_0_to_1_or_unknown(resolved: int, on_first: int) -> None:
    figures = Statistics(resolved=resolved, resolved_on_first_reply=on_first)
    ratio = figures.resolved_on_first_reply_ratio
    assert ratio is None or (0 <= ratio <= 1 and round(ratio * resolved) == on_first)


# --- when a mean is not a measurement -----------------------------------------------------------

# Mean, the count it averages, the distribution that speaks for it.
MEANS = [
    ("response_time", "replies_sent", "response_time"),
    ("first_response_time", "replies_sent", "first_response_time"),
    ("handle_time", "replies_sent", "handle_time"),
    ("resolution_time", "resolved", "replies_to_resolve"),
    ("replies_to_resolve", "resolved", "replies_to_resolve"),
]
EMPTY, FULL = (0, 0, 0), (0, 2, 0)


@pytest.mark.parametrize("period", ["current", "previous"])
@pytest.mark.parametrize(("mean", "count", "shape"), MEANS)
@pytest.mark.parametrize(
    ("value", "averaged", "ranges_", "expected"),
    [
        (None, 5, FULL, None),  # null or missing
        (None, 0, None, None),
        (0.0, 0, None, None),  # a zero over nothing
        (0.0, None, None, None),
        (0.0, 0, EMPTY, None),
        (0.0, None, EMPTY, None),
        (0.0, 1, None, 0.0),  # something was averaged
        (0.0, 1, EMPTY, 0.0),
        (0.0, 0, FULL, 0.0),  # the distribution is not empty
        (0.0, None, FULL, 0.0),
        (7.5, 0, None, 7.5),  # not 0
        (7.5, None, EMPTY, 7.5),
        (7.5, 3, FULL, 7.5),
    ],
)
def test_a_mean_is_a_measurement_only_by_the_rule(
    period: str,
    mean: str,
    count: str,
    shape: str,
    value: float | None,
    averaged: int | None,
    ranges_: tuple[int, ...] | None,
    expected: float | None,
) -> None:
    figures = Statistics(**{mean: value, count: averaged})  # type: ignore[arg-type]
    # The other period's ranges say the opposite: each period is judged by its own.
    opposite = EMPTY if ranges_ == FULL else FULL
    current = period == "current"
    distribution = None
    if ranges_ is not None:
        counts, previous = (ranges_, opposite) if current else (opposite, ranges_)
        distribution = Distribution(counts, previous)
    report = ProductivityReport(
        current=figures if current else Statistics(),
        previous=Statistics() if current else figures,
        **{shape: distribution},  # type: ignore[arg-type]
    )
    assert getattr(getattr(only_measured(report), period), mean) == expected


def test_another_statistics_distribution_and_count_are_not_evidence() -> None:
    full = Distribution(FULL, FULL)
    report = ProductivityReport(
        Statistics(response_time=0.0, resolution_time=0.0, conversations=9, closed=9, resolved=0),
        first_response_time=full,
        handle_time=full,
        response_time=Distribution(EMPTY, EMPTY),
    )
    current = only_measured(report).current
    assert (current.response_time, current.resolution_time) == (None, None)


def test_counts_and_distributions_are_left_as_they_are() -> None:
    figures = Statistics(0, resolved=0, resolved_on_first_reply=0, closed=0, replies_sent=0)
    shape = Distribution(EMPTY, EMPTY)
    report = ProductivityReport(
        figures, None, shape, shape, shape, shape, (1.0, None, 0.0, None, 2.0)
    )
    assert only_measured(report) == report


def test_nothing_is_invented_for_a_period_that_was_not_asked_for() -> None:
    assert only_measured(ProductivityReport(Statistics())).previous is None


def test_the_plain_key_is_that_of_everything_in_calendar_time() -> None:
    key = Key("productivity", "acme", "12", "email", "24h", "true", "vip")
    assert key.plain == Key("productivity", "acme", "12", "all", "24h", "false")
    queue = Key("folders", "acme", "12")
    assert queue.plain == queue


def test_mailboxes_of_equal_name_are_told_apart_by_id() -> None:
    assert Mailbox(1, "Support", "a", "b") != Mailbox(2, "Support", "a", "b")


OF_A_TYPE = Key("productivity", "acme", "12", "email", "24h")
OF_A_MAILBOX = OF_A_TYPE._replace(type="all")


@pytest.mark.parametrize(
    ("key", "spec", "error", "advice"),
    [
        (OF_A_TYPE, (), NotAllowed("no"), "the account may see reports of type email"),
        (OF_A_TYPE, (), NotThere("no"), "the account may see reports of type email"),
        (OF_A_TYPE, (), Refused("no"), ""),
        (OF_A_MAILBOX, (), NotAllowed("no"), "may the user behind the credentials see this"),
        (OF_A_MAILBOX, (), NotThere("no"), "was the mailbox deleted?"),
        (OF_A_MAILBOX._replace(mailbox_id="all"), (), NotAllowed("no"), ""),
        (OF_A_TYPE._replace(segment="vip"), ((), (7,)), Refused("no"), 'the tags of segment "vip"'),
        (OF_A_MAILBOX, (), Foreign("a page", status=504), ""),
    ],
)  # fmt: skip
def test_advice_for_a_refused_report_is_about_what_may_be_refused(
    key: Key, spec: tuple[tuple[int, ...], ...], error: HelpScoutError, advice: str
) -> None:
    said = remedy(Question(key, timedelta(minutes=5), timedelta(days=1), spec), error)
    assert advice in said
    assert bool(said) is bool(advice)
