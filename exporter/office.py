"""When the team works: the office schedule of an account, which Help Scout's API does not say.

The rule: the office is open at an instant if the local clock then shows a time inside a span of a
day that is not closed. A span that ends before it starts runs into the next day and belongs to the
day that it starts on. Pure: no clock. docs/behaviour.md#office-schedule is the contract.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from itertools import accumulate
from typing import Annotated, Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator

from exporter.values import COMMAS, MAP, WHOLE, Listed, Once, Problem, Problems, shown, text

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_WEEK: Final = 7 * _DAY
_FIRST_YEAR: Final = 1970
_MONDAY: Final = date(_FIRST_YEAR, 1, 5).toordinal()
_MONDAY_SECONDS: Final = 4 * _DAY
"""The first Monday's midnight: weeks are counted from it."""

Span = tuple[int, int]
"""Start and end in seconds after the midnight of its day; the end may be on the next day."""
Week = tuple[tuple[Span, ...], ...]
"""The spans of each day, from Monday."""


def _timezone(value: object) -> ZoneInfo:
    name = text(value)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        close = get_close_matches(name, available_timezones(), 1)
        hint = f", did you mean {close[0]}?" if close else ""
        example = "" if close else " like Europe/Berlin"
        raise ValueError(f"{shown(name)} is not a time zone{example}{hint}") from None


def _week(value: object) -> Week:
    """Return the spans of each day. Raises Problems."""
    if not isinstance(value, Mapping):
        raise ValueError(f'takes a mapping like {{mon-fri: "09:00-17:00"}}, not {shown(value)}')
    entries = {str(name): spans for name, spans in value.items() if name is not WHOLE}
    problems: list[Problem] = []
    found: dict[int, tuple[tuple[Span, ...], str]] = {}
    for name, spans in entries.items():
        try:
            read = _spans(spans)
            for day in _days(name):
                if day in found:
                    raise ValueError(f'{DAYS[day]} is in "{found[day][1]}" too')
                found[day] = read, name
        except ValueError as error:
            problems.append(((name,), str(error)))
    if not problems:
        problems += _overlaps(found)
    if not problems and not any(spans for spans, _ in found.values()):
        problems.append(((), "has no hours, so the office would never be open"))
    if problems:
        raise Problems(*problems)
    return tuple(found[day][0] if day in found else () for day in range(len(DAYS)))


def _days(name: str) -> Iterator[int]:
    first, dash, last = name.partition("-")
    if first not in DAYS or (dash and last not in DAYS):
        known = ", ".join(DAYS)
        raise ValueError(f"{shown(name)} is not a day or a range of days like mon-fri: {known}")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    yield from (day % 7 for day in range(begin, (end if end >= begin else end + 7) + 1))


def _spans(value: object) -> tuple[Span, ...]:
    return tuple(sorted(_span(each) for each in (value if isinstance(value, list) else [value])))


def _span(value: object) -> Span:
    times = re.fullmatch(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)", str(value), re.ASCII)
    if times is None:
        raise ValueError(f"{shown(value)} is not HH:MM-HH:MM like 09:00-17:30")
    hours, minutes, end_hours, end_minutes = map(int, times.groups())
    start, end = hours * _HOUR + minutes * _MINUTE, end_hours * _HOUR + end_minutes * _MINUTE
    if max(minutes, end_minutes) > 59 or start >= _DAY or end > _DAY:
        raise ValueError(f"{shown(value)} has a time that is not from 00:00 to 24:00")
    if start == end:
        raise ValueError(f"{shown(value)} is empty: a whole day is 00:00-24:00")
    return start, end if end > start else end + _DAY


def _overlaps(found: Mapping[int, tuple[tuple[Span, ...], str]]) -> Iterator[Problem]:
    """Yield the spans that begin before the one before them ends; Monday's follow Sunday's."""
    spans = [
        (day * _DAY + start, day * _DAY + end, day)
        for day in sorted(found)
        for start, end in found[day][0]
    ]
    following = [*spans[1:], *((s + _WEEK, e + _WEEK, day) for s, e, day in spans[:1])]
    for (_, end, day), (start, _, next_day) in zip(spans, following, strict=True):
        if end > start:
            words = f"{_clock(start % _DAY)} on {DAYS[next_day]} is before the end of a span of"
            yield (found[next_day][1],), f"{words} {DAYS[day]}: spans must not overlap"


def _clock(seconds: int) -> str:
    return f"{seconds // _HOUR:02}:{seconds % _HOUR // _MINUTE:02}"


def _written(week: Week) -> dict[str, list[str]]:
    """Return the hours as the file may have them, days without hours left out."""
    return {
        name: [f"{_clock(s)}-{_clock(e if e <= _DAY else e - _DAY)}" for s, e in spans]
        for name, spans in zip(DAYS, week, strict=True)
        if spans
    }


def _date(value: object) -> date:
    try:
        if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            raise ValueError
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{shown(value)} is not a date like 2026-12-25") from None


@dataclass(frozen=True, slots=True)
class OfficeSchedule:
    """Hours per weekday in a time zone, and days on which no span starts.

    Instants are Unix time in seconds. Where the clock is put forward or back, the hours are those
    that the local clock shows: a skipped hour does not count, a repeated one counts twice.
    """

    timezone: Annotated[
        ZoneInfo,
        PlainValidator(_timezone),
        PlainSerializer(str),
        Field(description="a time zone like Europe/Berlin"),
    ]
    hours: Annotated[Week, PlainValidator(_week), PlainSerializer(_written), MAP]
    closed: Annotated[
        tuple[Annotated[date, BeforeValidator(_date), PlainSerializer(str)], ...],
        Field(description="a date like 2026-12-25"),
        Once,
        Listed,
        COMMAS,
    ] = ()

    def is_open(self, at: float) -> bool:
        """Return whether the office is open at an instant."""
        return _hours(self).contain(at + _offset(self.timezone, at))

    def seconds(self, start: float, end: float) -> float:
        """Return how many seconds of the time from `start` to `end` the office is open.

        0 where `end` is not after `start`. The cost does not grow with the number of days.
        """
        return _until(self, end) - _until(self, start) if end > start else 0.0


class _Hours(NamedTuple):
    """A schedule on the local clock, whose instants are seconds since 1970 without a time zone.

    Spans are sorted and do not overlap, so that a sum up to an instant is found by bisection.
    """

    week: "_Spans"
    closed: "_Spans"
    """The spans of closed days, since 1970."""

    def contain(self, local: float) -> bool:
        """Return whether the office is open when the local clock shows this."""
        in_week = self.week.contain((local - _MONDAY_SECONDS) % _WEEK)
        return in_week and not self.closed.contain(local)

    def until(self, local: float) -> float:
        """Return the open seconds up to a time of the local clock."""
        weeks, rest = divmod(local - _MONDAY_SECONDS, _WEEK)
        return weeks * self.week.total + self.week.until(rest) - self.closed.until(local)


class _Spans(NamedTuple):
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    sums: tuple[int, ...]
    """The seconds of all spans before each, and of all."""

    @classmethod
    def of(cls, spans: list[Span]) -> "_Spans":
        spans = sorted(spans)
        sums = accumulate((end - start for start, end in spans), initial=0)
        return cls(tuple(s for s, _ in spans), tuple(e for _, e in spans), tuple(sums))

    @property
    def total(self) -> int:
        return self.sums[-1]

    def contain(self, at: float) -> bool:
        index = bisect_right(self.starts, at) - 1
        return index >= 0 and at < self.ends[index]

    def until(self, at: float) -> float:
        index = bisect_right(self.starts, at) - 1
        if index < 0:
            return 0
        return self.sums[index] + min(at, self.ends[index]) - self.starts[index]


@cache
def _hours(schedule: OfficeSchedule) -> _Hours:
    week = list[Span]()
    for day, spans in enumerate(schedule.hours):
        for start, end in spans:
            begin, finish = day * _DAY + start, day * _DAY + end
            week.append((begin, min(finish, _WEEK)))
            if finish > _WEEK:  # Sunday's night belongs to the beginning of the week, too
                week.append((0, finish - _WEEK))
    closed = list[Span]()
    for date_ in schedule.closed:
        midnight = (date_.toordinal() - _MONDAY) * _DAY + _MONDAY_SECONDS
        spans = schedule.hours[date_.weekday()]
        closed += [(midnight + start, midnight + end) for start, end in spans]
    return _Hours(_Spans.of(week), _Spans.of(closed))


def _until(schedule: OfficeSchedule, at: float) -> float:
    """Return the open seconds up to an instant, from 1970 or from the beginning of its year."""
    year = datetime.fromtimestamp(at, UTC).year
    return _before(schedule, year) + _between(schedule, year, _new_year(year), at)


@cache
def _before(schedule: OfficeSchedule, year: int) -> float:
    """Return the open seconds from 1970 up to a UTC year: the sum of all years before it."""
    if year <= _FIRST_YEAR:
        return 0.0
    start, end = _new_year(year - 1), _new_year(year)
    return _before(schedule, year - 1) + _between(schedule, year - 1, start, end)


def _between(schedule: OfficeSchedule, year: int, start: float, end: float) -> float:
    """Return the open seconds of a part of a UTC year: between changes the local clock is even."""
    hours, total, offset = _hours(schedule), 0.0, _offset(schedule.timezone, start)
    for change, new in (*_changes(schedule.timezone, year), (end, 0)):
        until = min(change, end)
        if until > start:
            total += hours.until(until + offset) - hours.until(start + offset)
            start, offset = until, new
    return total


@cache
def _changes(zone: ZoneInfo, year: int) -> tuple[tuple[int, int], ...]:
    """Return the instants of a UTC year at which the offset changes, each with the new offset."""
    found = []
    for day in range(_new_year(year), _new_year(year + 1), _DAY):
        before, after = _offset(zone, day), _offset(zone, day + _DAY)
        if before != after:
            seconds = range(day, day + _DAY + 1)
            index = bisect_right(seconds, False, key=lambda at: _offset(zone, at) != before)
            found.append((seconds[index], after))
    return tuple(found)


def _offset(zone: ZoneInfo, at: float) -> int:
    offset = datetime.fromtimestamp(at, zone).utcoffset() or timedelta()
    return int(offset.total_seconds())


def _new_year(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
