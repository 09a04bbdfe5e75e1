"""`backfill`: reports of the past, into a file."""

import signal
from collections.abc import Iterable
from pathlib import Path

from exporter.backfill import backfill as fill_past
from exporter.backfill import task
from exporter.cli.configured import configured
from exporter.cli.words import checked, instant, note, say
from exporter.durations import parse_duration


def backfill(
    start: str,
    end: str,
    output: Path,
    step: str | None,
    budget: float,
    label: Iterable[str],
    dry_run: bool,
    config: Path | None,
) -> None:
    """Write reports of the past as OpenMetrics."""
    configuration = configured(config)
    wanted = task(
        checked("--from", instant, start),
        checked("--to", instant, end),
        None if step is None else checked("--step", parse_duration, step),
        label,
        budget,
        output,
        dry_run,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    fill_past(configuration, wanted, say if dry_run else note)
