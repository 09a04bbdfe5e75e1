"""What a backfill will cost, in words, before the first report is asked. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from exporter.durations import format_duration

_PROMTOOL_BASE_BYTES: Final = 64_000_000
_PROMTOOL_SERIES_BYTES: Final = 6_000  # measured, see benchmarks/RESULTS.md
_AFTER_VALUE: Final = len(" 1767225600\n")


@dataclass(frozen=True, slots=True)
class Share:
    """One account's part: reports to ask in all, those still missing, and their calls and pace.

    `budget` is the share of the limit that may be used; `calls_per_minute` is what that leaves
    after what is kept free for others.
    """

    account: str
    reports: int
    missing: int
    calls: int
    limit_per_minute: float
    budget: float
    calls_per_minute: float

    @property
    def duration(self) -> timedelta:
        """How long what is missing takes in the budget."""
        return timedelta(seconds=round(self.calls * 60 / self.calls_per_minute))

    def __str__(self) -> str:
        there = self.reports - self.missing
        here = f", {there} of them here already" if there else ""
        free = self.limit_per_minute * self.budget - self.calls_per_minute
        less = f", {free:g} of them kept free for others" if free > 0.05 else ""
        return (
            f"account {self.account}: {self.reports} reports{here}; {self.calls} requests take"
            f" {format_duration(self.duration)} at {self.calls_per_minute:g} calls/min"
            f" ({self.budget:g} of {self.limit_per_minute:g}{less})"
        )


@dataclass(frozen=True, slots=True)
class Size:
    """How large the file will be, at most, if everything is measured everywhere."""

    series: int = 0
    samples: int = 0
    file_bytes: int = 0

    def plus(self, lines: Iterable[int], steps: int) -> "Size":
        """Return the size with series of these lengths (name, labels, value) over `steps`."""
        lengths = list(lines)
        return Size(
            self.series + len(lengths),
            self.samples + len(lengths) * steps,
            self.file_bytes + (sum(lengths) + len(lengths) * (_AFTER_VALUE + 1)) * steps,
        )

    @property
    def promtool_bytes(self) -> int:
        """Memory that promtool takes for it, without the file, which it maps."""
        return _PROMTOOL_BASE_BYTES + self.series * _PROMTOOL_SERIES_BYTES

    def __str__(self) -> str:
        return (
            f"file: up to {_megabytes(self.file_bytes)}, {self.samples} samples of {self.series}"
            f" series\npromtool: about {_megabytes(self.promtool_bytes)} of memory, and the file"
            " mapped"
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e7 else f"{size / 1e6:.0f} MB"
