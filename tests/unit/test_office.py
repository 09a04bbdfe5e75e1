"""The office schedule: which instants are inside it, and how many seconds of a wait."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from exporter.office import DAYS, OfficeSchedule
from exporter.settings import ConfigurationError, load
from tests.readings import office_schedule

_MINUTE = 60


def schedule(
    hours: Mapping[str, object], closed: Sequence[str] = (), zone: str = "Europe/Berlin"
) -> OfficeSchedule:
    return office_schedule(hours, closed, zone)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


HOURS: dict[str, object] = {"mon-thu": "09:00-17:30", "fri": ["08:00-12:00", "13:00-16:00"]}
NIGHTS: dict[str, object] = {"fri-sun": "22:00-06:00", "mon": ["06:00-07:00", "23:00-24:00"]}


@pytest.mark.parametrize(
    ("hours", "instant", "is_open"),
    [
        (HOURS, "2026-03-02T08:59:59+01:00", False),
        (HOURS, "2026-03-02T09:00:00+01:00", True),
        (HOURS, "2026-03-02T17:29:59+01:00", True),
        (HOURS, "2026-03-02T17:30:00+01:00", False),
        (HOURS, "2026-03-06T12:30:00+01:00", False),  # Friday's break
        (HOURS, "2026-03-06T13:00:00+01:00", True),
        (HOURS, "2026-03-07T10:00:00+01:00", False),  # Saturday is not named
        (HOURS, "2026-03-02T07:30:00+00:00", False),  # the zone's clock counts
        (HOURS, "2026-12-25T10:00:00+01:00", False),  # a Friday, closed
        (NIGHTS, "2026-03-06T21:59:59+01:00", False),
        (NIGHTS, "2026-03-06T23:00:00+01:00", True),
        (NIGHTS, "2026-03-07T05:59:59+01:00", True),
        (NIGHTS, "2026-03-07T06:00:00+01:00", False),
        (NIGHTS, "2026-03-09T03:00:00+01:00", True),  # Sunday's night, on Monday
        (NIGHTS, "2026-03-09T06:30:00+01:00", True),
        (NIGHTS, "2026-03-09T23:59:59+01:00", True),
        (NIGHTS, "2026-03-10T00:00:00+01:00", False),
        (NIGHTS, "2026-12-25T23:00:00+01:00", False),  # closed, and so is its night:
        (NIGHTS, "2026-12-26T03:00:00+01:00", False),
        (NIGHTS, "2026-12-26T23:00:00+01:00", True),
    ],
)
def test_the_office_is_open_at_an_instant_by_the_local_clock(
    hours: dict[str, object], instant: str, is_open: bool
) -> None:
    assert schedule(hours, ["2026-12-25"]).is_open(at(instant)) is is_open


@pytest.mark.parametrize(
    ("hours", "start", "end", "expected"),
    [
        # The example of Help Scout's own documentation.
        (HOURS, "2026-03-02T18:00:00+01:00", "2026-03-03T09:30:00+01:00", "0:30:00"),
        (HOURS, "2026-03-06T11:00:00+01:00", "2026-03-09T09:00:01+01:00", "4:00:01"),
        (HOURS, "2026-03-03T10:00:00+01:00", "2026-03-02T10:00:00+01:00", "0:00:00"),
        (HOURS, "2026-12-24T17:00:00+01:00", "2026-12-28T10:00:00+01:00", "1:30:00"),
        # From Thursday over New Year to Monday, and over two of them.
        (HOURS, "2026-12-31T17:00:00+01:00", "2027-01-04T10:00:00+01:00", "8:30:00"),
        (
            {"thu": "09:00-10:00"},
            "2025-12-31T00:00:00+01:00",
            "2027-01-02T00:00:00+01:00",
            "53:00:00",
        ),
        # The clock is put forward at 02:00 on 29 March, back at 03:00 on 25 October 2026.
        (NIGHTS, "2026-03-28T12:00:00+01:00", "2026-03-29T12:00:00+02:00", "7:00:00"),
        (NIGHTS, "2026-10-24T12:00:00+02:00", "2026-10-25T12:00:00+01:00", "9:00:00"),
        ({"sun": "02:15-02:45"}, "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00", "0:0:0"),
        ({"sun": "02:15-02:45"}, "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00", "1:0:0"),
    ],
)
def test_a_wait_counts_the_seconds_inside_the_schedule(
    hours: dict[str, object], start: str, end: str, expected: str
) -> None:
    hour, minute, second = map(int, expected.split(":"))
    length = timedelta(hours=hour, minutes=minute, seconds=second).total_seconds()
    assert schedule(hours, ["2026-12-25"]).seconds(at(start), at(end)) == length


ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Asia/Kathmandu",
    "Pacific/Apia",  # has no 30 December 2011
    "UTC",
)
# Around a change of clocks or of the calendar in each of them, and a time without any.
STARTS = [
    int(at(day)) // _MINUTE
    for day in (
        "2026-03-26T00:00:00+00:00",
        "2026-10-22T00:00:00+00:00",
        "2026-03-06T00:00:00+00:00",
        "2026-10-30T00:00:00+00:00",
        "2026-04-02T00:00:00+00:00",
        "2011-12-27T00:00:00+00:00",
        "2026-12-30T00:00:00+00:00",
        "2026-06-10T00:00:00+00:00",
    )
]


@st.composite
def schedules(draw: st.DrawFn) -> tuple[OfficeSchedule, dict[int, list[tuple[int, int]]]]:
    """Draw a schedule, and its spans in minutes of each weekday."""
    # Cut the week at random minutes; every other piece is open, none is as long as a day.
    cuts = draw(st.lists(st.integers(0, 7 * 1440 - 1), min_size=2, max_size=24, unique=True))
    cuts.sort()
    spans: dict[int, list[tuple[int, int]]] = {}
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        day, minute = divmod(start, 1440)
        spans.setdefault(day, []).append((minute, minute + min(end - start, 1439)))
    if draw(st.booleans()) and cuts[0] > 0:  # and one from Sunday into Monday
        last = max((day * 1440 + end for day, of in spans.items() for _, end in of), default=0)
        if last <= 7 * 1440 - 10:
            spans.setdefault(6, []).append((1430, 1440 + min(cuts[0], 1000)))
    hours: dict[str, object] = {
        DAYS[day]: [f"{_time(start)}-{_time(end % 1440)}" for start, end in of]
        for day, of in spans.items()
    }
    start = draw(st.sampled_from(STARTS))
    first = datetime.fromtimestamp(start * _MINUTE, UTC).date()
    closed = sorted({first + timedelta(n) for n in draw(st.lists(st.integers(0, 6), max_size=2))})
    zone = draw(st.sampled_from(ZONES))
    return schedule(hours, [str(day) for day in closed], zone), spans


def _time(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _counts(office: OfficeSchedule, spans: dict[int, list[tuple[int, int]]], minute: int) -> bool:
    """Look one minute up, as one reads a sign on a door."""
    local = datetime.fromtimestamp(minute * _MINUTE, office.timezone)
    for days_ago in (0, 1):
        day: date = local.date() - timedelta(days_ago)
        into = local.hour * 60 + local.minute + days_ago * 1440
        if day not in office.closed and any(s <= into < e for s, e in spans.get(day.weekday(), ())):
            return True
    return False


@settings(max_examples=80, deadline=None)
@given(
    drawn=schedules(),
    start=st.sampled_from(STARTS),
    after=st.integers(0, 5 * 1440),
    length=st.integers(0, 2000),
    seconds=st.tuples(st.integers(0, 59), st.integers(0, 59)),
)
def test_the_seconds_are_those_of_a_count_minute_by_minute(
    drawn: tuple[OfficeSchedule, dict[int, list[tuple[int, int]]]],
    start: int,
    after: int,
    length: int,
    seconds: tuple[int, int],
) -> None:
    office, spans = drawn
    first, last = start + after, start + after + length
    minutes = [_counts(office, spans, minute) for minute in range(first, last + 1)]
    looked_at = range(0, length + 1, 7)
    assert [office.is_open((first + n) * _MINUTE) for n in looked_at] == minutes[::7]
    expected = (
        sum(minutes[:-1]) * _MINUTE + minutes[-1] * seconds[1] - minutes[0] * seconds[0]
        if length
        else minutes[0] * max(0, seconds[1] - seconds[0])
    )
    begin, end = first * _MINUTE + seconds[0], last * _MINUTE + seconds[1]
    assert office.seconds(begin, end) == expected


@pytest.mark.no_cover
def test_ten_thousand_long_waits_cost_little() -> None:
    office = schedule(HOURS, ["2026-12-25"])
    end = at("2026-12-31T12:00:00+00:00")
    office.seconds(0, end)
    begun = process_time()
    for start in range(10_000):
        office.seconds(start * 100_000.0, end)
    assert process_time() - begun < 3


REFUSED = [
    ("{moon: 09:00-17:00}", '.moon: "moon" is not a day or a range of days like mon-fri: '),
    ("{mon-moon: 09:00-17:00}", '.mon-moon: "mon-moon" is not a day or a range of days'),
    ("{mon: 9-17}", '.mon: "9-17" is not HH:MM-HH:MM like 09:00-17:30'),
    ("{mon: [09:00-17:00, 9]}", ".mon: 9 is not HH:MM-HH:MM like 09:00-17:30"),
    ("{mon: null}", ".mon: null is not HH:MM-HH:MM like 09:00-17:30"),
    ("{mon: 09:00-24:01}", '.mon: "09:00-24:01" has a time that is not from 00:00 to 24:00'),
    ("{mon: 24:00-08:00}", '.mon: "24:00-08:00" has a time that is not from 00:00 to 24:00'),
    ("{mon: 08:60-09:00}", '.mon: "08:60-09:00" has a time that is not from 00:00 to 24:00'),
    ("{mon: 08:00-09:60}", '.mon: "08:00-09:60" has a time that is not from 00:00 to 24:00'),
    (
        "{mon-: 09:00-17:00}",
        '.mon-: "mon-" is not a day or a range of days like mon-fri: mon, tue,',
    ),
    ("{mon: 09:00-09:00}", '.mon: "09:00-09:00" is empty: a whole day is 00:00-24:00'),
    ("{mon-fri: 09:00-17:00, wed: 10:00-12:00}", '.wed: wed is in "mon-fri" too'),
    ("{mon: [09:00-12:00, 11:00-13:00]}", ".mon: 11:00 on mon is before the end of a span of mon"),
    ("{sun: 22:00-08:00, mon: 07:00-12:00}", ".mon: 07:00 on mon is before the end of a span of s"),
    ("{}", ": has no hours, so the office would never be open"),
    ("{mon: []}", ": has no hours, so the office would never be open"),
    ("[mon]", ": takes a mapping, not a list"),
]


@pytest.mark.parametrize(("hours", "message"), REFUSED)
def test_hours_that_cannot_be_meant_are_refused_with_file_and_key(
    hours: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(
        "accounts: [{client_id: a, client_secret: b, office_schedule: "
        f"{{timezone: UTC, hours: {hours}}}}}]\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    where = f"{path}: accounts[0].office_schedule.hours"
    assert str(caught.value).startswith(where + message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Europe/Berln", '"Europe/Berln" is not a time zone, did you mean Europe/Berlin?'),
        ("nowhere near", '"nowhere near" is not a time zone like Europe/Berlin'),
    ],
)
def test_a_time_zone_that_is_not_known_is_refused_with_the_likely_one(
    name: str, message: str
) -> None:
    environ = {
        "HELPSCOUT_ACCOUNTS__0__API_KEY": "a",
        "HELPSCOUT_ACCOUNTS__0__OFFICE_SCHEDULE__TIMEZONE": name,
        "HELPSCOUT_ACCOUNTS__0__OFFICE_SCHEDULE__HOURS": '{mon: "09:00-17:00"}',
    }
    with pytest.raises(ConfigurationError) as caught:
        load(None, environ)
    assert str(caught.value).endswith(message)


def test_a_range_of_days_may_wrap_and_what_is_shown_is_read_again() -> None:
    office = schedule({"fri-mon": ["22:00-02:00", "9:00-12:00"], "tue": "02:00-24:00"})
    assert [bool(spans) for spans in office.hours] == [True, True, False, False, True, True, True]
    assert office.timezone == ZoneInfo("Europe/Berlin")
    shown = TypeAdapter(OfficeSchedule).dump_python(office)["hours"]
    assert shown == {
        day: ["09:00-12:00", "22:00-02:00"] if day != "tue" else ["02:00-24:00"]
        for day in ("mon", "tue", "fri", "sat", "sun")
    }
    assert schedule(shown) == office
