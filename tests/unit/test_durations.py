"""Prometheus's durations, both ways."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.durations import format_duration, parse_duration

DURATIONS = st.integers(0, 10**13).map(lambda ms: timedelta(milliseconds=ms))
UNITS = ("y", "w", "d", "h", "m", "s", "ms")
LENGTHS = {
    "y": timedelta(days=365),
    "w": timedelta(days=7),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("1y", 31_536_000),
        ("1y2w3d4h5m6s7ms", 33_019_506.007),
        ("1500ms", 1.5),
        ("0s", 0),
        ("007d", 604_800),
    ],
)
def test_what_prometheus_writes_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "1", "s", "1 h", " 1h", "1h ", "1h\n", "-1h", "+1h", "1.5h", "1H", "1M", "7x"),
        *("1m1h", "1h1h", "1ms1s", "1h-30m", "1e3s", "٣s", "1hour", "1:30", "9999999999s"),
    ],
)
def test_anything_else_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == (
        f'"{text}" is not a duration: write it like 90s, 15m, 1h30m, 7d or 2w'
    )


def test_a_duration_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration("999999999y")
    assert str(caught.value) == '"999999999y" is longer than a duration can be'


@given(DURATIONS)
def test_what_is_written_is_read_back(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.dictionaries(st.sampled_from(UNITS), st.integers(0, 1000), min_size=1))
def test_units_add_up_in_their_order(numbers: dict[str, int]) -> None:
    text = "".join(f"{numbers[unit]}{unit}" for unit in UNITS if unit in numbers)
    expected = sum((number * LENGTHS[unit] for unit, number in numbers.items()), timedelta())
    assert parse_duration(text) == expected


@given(st.dictionaries(st.sampled_from(UNITS), st.integers(0, 1000), min_size=2))
def test_units_out_of_order_are_refused(numbers: dict[str, int]) -> None:
    text = "".join(f"{numbers[unit]}{unit}" for unit in reversed(UNITS) if unit in numbers)
    with pytest.raises(ValueError):
        parse_duration(text)


@given(st.text(max_size=12))
def test_no_text_breaks_it(text: str) -> None:
    with suppress(ValueError):
        assert parse_duration(text) >= timedelta()


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(days=14), "14d"),
        (timedelta(days=365), "365d"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(seconds=1.5), "1s500ms"),
        (timedelta(microseconds=1), "0s"),
    ],
)
def test_it_is_written_from_days_to_milliseconds(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


def test_a_negative_duration_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="not negative"):
        format_duration(timedelta(seconds=-1))
