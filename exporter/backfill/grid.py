"""The instants that history is asked for: multiples of a step, so that two runs meet. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge
from math import ceil
from typing import Final, TypeVar

_PER_WINDOW: Final = 24

_T = TypeVar("_T")


def default_step(range_: timedelta, every: timedelta) -> timedelta:
    """Return how far apart a window's reports are: its interval, at least a 24th of its range.

    In whole seconds, rounded up.
    """
    seconds = max(every, range_ / _PER_WINDOW).total_seconds()
    return timedelta(seconds=ceil(seconds))


@dataclass(frozen=True, slots=True)
class Grid:
    """Unix seconds from `first` to `last`, both multiples of `step` and both part of it.

    Multiples counted from 1970 in UTC: a step of a day falls on midnight. Empty if `last` is
    before `first`.
    """

    first: int
    last: int
    step: int

    @classmethod
    def between(cls, start: datetime, end: datetime, step: timedelta) -> "Grid":
        """Return the steps from `start` to `end` (aware), neither of them left out if on one."""
        seconds = int(step.total_seconds())
        first = ceil(start.timestamp()) + seconds - 1
        return cls(first // seconds * seconds, int(end.timestamp()) // seconds * seconds, seconds)

    def __len__(self) -> int:
        return max(0, (self.last - self.first) // self.step + 1)

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1, self.step))

    def __reversed__(self) -> Iterator[int]:
        return iter(range(self.last, self.first - 1, -self.step))


def newest_first(grids: dict[_T, Grid]) -> Iterator[tuple[int, _T]]:
    """Yield every step of every grid, the latest first, with the grid's name."""

    def steps(name: _T, grid: Grid) -> Iterator[tuple[int, _T]]:
        return ((at, name) for at in reversed(grid))

    return merge(*(steps(*item) for item in grids.items()), key=lambda step: -step[0])


def moment(at: int) -> datetime:
    """Return Unix seconds as an aware UTC time."""
    return datetime.fromtimestamp(at, UTC)


def written(at: int) -> str:
    """Return Unix seconds as the command line takes them."""
    return f"{moment(at):%Y-%m-%dT%H:%M:%SZ}"
