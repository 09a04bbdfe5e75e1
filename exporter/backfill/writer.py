"""The journal as OpenMetrics: families together, series in the order of time, as a stream.

Memory stays flat however long the range is: the journal is read once for each series, in the order
in which it lies on disk, and nothing of it is kept.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from exporter.backfill.errors import BackfillError
from exporter.backfill.grid import Grid
from exporter.backfill.journal import Journal
from exporter.backfill.series import FAMILIES, Book, samples
from exporter.exposition.assembly import openmetrics_header
from exporter.reports import ReportKey
from exporter.telemetry import Family

_BUFFER_BYTES: Final = 1 << 20


def exposition(
    keys: Iterable[ReportKey],
    book: Book,
    journal: Journal,
    standing: Iterable[tuple[Family, bytes]],
    grid: Grid,
) -> Iterator[bytes]:
    """Yield the lines of the file.

    `standing` are families whose samples do not change (configuration, mailboxes), in the text
    format without timestamps; they are repeated at every step of `grid`.
    """
    ordered = sorted(keys)
    for family in FAMILIES:
        yield from _family(family, _report_lines(family, ordered, book, journal))
    for family, lines in standing:
        yield from _family(family, _standing_lines(lines, book, grid))
    yield b"# EOF\n"


def write(path: Path, lines: Iterable[bytes]) -> int:
    """Put `lines` into a file that is there whole or not at all; return its size in bytes.

    Raises BackfillError.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            with part.open("wb", buffering=_BUFFER_BYTES) as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BackfillError(
            f"--output: {path}: {error.strerror}; no answer is lost, the same command goes on"
        ) from None
    return size


def _family(family: Family, lines: Iterator[bytes]) -> Iterator[bytes]:
    """Put the header above the lines, if there are any."""
    first = next(lines, None)
    if first is not None:
        yield from chain((openmetrics_header(family), first), lines)


def _report_lines(
    family: Family, keys: list[ReportKey], book: Book, journal: Journal
) -> Iterator[bytes]:
    for key in keys:
        of_key = [series for series in book.series(key) if series.family is family]
        # OpenMetrics has the buckets of an instant together, all else one series after the other.
        metrics = [of_key] if family.kind == "gaugehistogram" else [[each] for each in of_key]
        for metric in metrics:
            places = [(series.text, series.place) for series in metric]
            for at, figures in journal.history(key):
                values = figures.split(b" ")
                for text, place in places:
                    if values[place]:
                        yield b"%s %s %d\n" % (text, values[place], at)


def _standing_lines(lines: bytes, book: Book, grid: Grid) -> Iterator[bytes]:
    for text, value in samples(lines):
        start = b"%s %s " % (book.labelled(text), value)
        for at in grid:
            yield b"%s%d\n" % (start, at)
