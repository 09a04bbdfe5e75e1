"""The instants that are asked for: arithmetic that holds for every range and step."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from exporter.backfill.grid import Grid, default_step, newest_first, written

INSTANTS = st.datetimes(datetime(2011, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
STEPS = st.integers(1, 40 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


@given(start=INSTANTS, length=st.integers(0, 30 * 86_400), step=STEPS)
def test_every_step_is_in_the_range_on_a_multiple_and_none_is_left_out(
    start: datetime, length: int, step: timedelta
) -> None:
    end, seconds = start + timedelta(seconds=length), int(step.total_seconds())
    grid = Grid.between(start, end, step)
    if not grid:
        assert end.timestamp() // seconds == (start.timestamp() - 1e-6) // seconds
        return
    assert start.timestamp() <= grid.first < start.timestamp() + seconds
    assert end.timestamp() - seconds < grid.last <= end.timestamp()
    assert grid.first % seconds == grid.last % seconds == 0
    assert len(grid) == (grid.last - grid.first) // seconds + 1


@given(start=INSTANTS, step=STEPS, steps=st.integers(0, 50))
def test_the_steps_are_the_same_forwards_and_backwards(
    start: datetime, step: timedelta, steps: int
) -> None:
    grid = Grid.between(start, start + steps * step, step)
    forwards = list(grid)
    assert len(forwards) == len(grid)
    assert forwards[::-1] == list(reversed(grid))
    assert all(b - a == grid.step for a, b in pairwise(forwards))


@given(start=INSTANTS, middle=st.integers(0, 10**6), length=st.integers(0, 10**6), step=STEPS)
def test_two_ranges_that_meet_have_no_step_twice_and_none_less(
    start: datetime, middle: int, length: int, step: timedelta
) -> None:
    cut, end = start + timedelta(seconds=middle), start + timedelta(seconds=middle + length)
    before = list(Grid.between(start, cut, step))
    after = list(Grid.between(cut + timedelta(seconds=1), end, step))
    whole = list(Grid.between(start, end, step))
    # An instant with a fraction is between two whole seconds: at most that one is doubtful.
    assert sorted({*before, *after}) == sorted({*whole} & {*before, *after})
    assert len(whole) - len({*before, *after}) <= 1


@given(st.dictionaries(st.text(max_size=3), st.tuples(INSTANTS, STEPS, st.integers(0, 9))))
def test_several_grids_are_gone_through_from_the_newest_step_to_the_oldest(
    wanted: dict[str, tuple[datetime, timedelta, int]],
) -> None:
    grids = {name: Grid.between(s, s + n * step, step) for name, (s, step, n) in wanted.items()}
    steps = list(newest_first(grids))
    assert [at for at, _ in steps] == sorted((at for at, _ in steps), reverse=True)
    assert sorted(steps) == sorted((at, name) for name, grid in grids.items() for at in grid)


def test_a_step_of_a_day_falls_on_midnight_in_utc() -> None:
    start, end = datetime(2026, 3, 1, 0, 0, 1, tzinfo=UTC), datetime(2026, 3, 3, 5, tzinfo=UTC)
    grid = Grid.between(start, end, timedelta(days=1))
    assert [written(at) for at in grid] == ["2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"]


def test_bounds_that_are_steps_belong_to_the_range() -> None:
    start, end = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    assert len(Grid.between(start, end, timedelta(hours=1))) == 25


def test_the_default_step_is_a_24th_of_the_range() -> None:
    assert default_step(timedelta(days=7), timedelta(minutes=35)) == timedelta(hours=7)


def test_the_default_step_is_no_shorter_than_the_interval() -> None:
    assert default_step(timedelta(hours=24), timedelta(hours=2)) == timedelta(hours=2)


def test_the_default_step_is_whole_seconds() -> None:
    assert default_step(timedelta(seconds=61), timedelta(0)) == timedelta(seconds=3)
