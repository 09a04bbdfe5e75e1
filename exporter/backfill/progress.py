"""How far it is: a bar on a terminal, a log line a minute elsewhere."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

import structlog

from exporter import logs
from exporter.durations import format_duration
from exporter.settings import LogSettings

_LINE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Progressed:
    """Where a backfill stands: steps passed of `total`, answers and failures of this run."""

    total: int
    passed: int
    answered: int
    failed: int
    seconds: float

    @property
    def per_minute(self) -> float:
        """Reports a minute, over the whole run."""
        return self.answered * 60 / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> str:
        """How long the rest takes at that rate, `?` before there is one."""
        if not self.per_minute:
            return "?"
        minutes = (self.total - self.passed) / self.per_minute
        return format_duration(timedelta(seconds=round(minutes * 60)))


Show = Callable[[Progressed], None]


class _Terminal(Protocol):
    def isatty(self) -> bool: ...


@contextlib.contextmanager
def shown(total: int, log: LogSettings, stream: _Terminal | None = None) -> Iterator[Show]:
    """Give a function that shows where the backfill stands, on stderr."""
    if (stream or sys.stderr).isatty():
        with _bar(total, log) as show:
            yield show
    else:
        yield LogLines()


class LogLines:
    """Writes a line a minute of the run."""

    def __init__(self) -> None:
        self._log: Any = structlog.get_logger()
        self._next = _LINE_SECONDS

    def __call__(self, progress: Progressed) -> None:
        """Show it, if it is time."""
        if progress.seconds < self._next:
            return
        self._next = progress.seconds + _LINE_SECONDS
        self._log.info(
            "backfill",
            passed=progress.passed,
            of=progress.total,
            failed=progress.failed,
            per_minute=round(progress.per_minute, 1),
            left=progress.left,
        )


@contextlib.contextmanager
def _bar(total: int, log: LogSettings) -> Iterator[Show]:
    # Only here: nothing else needs rich, and it takes a while to import.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        BarColumn(None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/min, {task.fields[left]} left, {task.fields[failed]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        # Log lines go through the bar's own stream, or they would tear it.
        logs.configure(log.level, log.format, sys.stderr)
        bar = display.add_task("", total=total, rate=0.0, left="?", failed="0 failed")

        def show(progress: Progressed) -> None:
            display.update(
                bar,
                completed=progress.passed,
                rate=progress.per_minute,
                left=progress.left,
                failed=f"{progress.failed} failed",
            )

        yield show
    logs.configure(log.level, log.format)
