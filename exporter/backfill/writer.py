"""The answers as OpenMetrics: families together, series in the order of time, as a stream.

Memory stays flat however long the range is: the file of answers is read once for each series, in
the order that it has on disk, and nothing of it is kept.
"""

from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from pathlib import Path

from exporter.backfill.answers import Answers
from exporter.backfill.errors import BackfillError
from exporter.backfill.grid import Grid
from exporter.backfill.series import SeriesTable, samples
from exporter.collectors import COLLECTORS
from exporter.exposition.assembly import openmetrics_header
from exporter.files import write_whole
from exporter.questions import Question
from exporter.telemetry import Family


def exposition(
    questions: Iterable[Question],
    series: SeriesTable,
    answers: Answers,
    constant: Iterable[tuple[Family, bytes]],
    grid: Grid,
) -> Generator[bytes, None, None]:
    """Yield the lines of the file.

    `constant` are families whose samples do not change (configuration, mailboxes), in the text
    format without timestamps; they are repeated at every step of `grid`.
    """
    ordered = sorted(questions, key=lambda question: question.key)
    for name, collector in COLLECTORS.items():
        of_it = [question for question in ordered if question.key.collector == name]
        for family in collector.families:
            yield from _family(family, _report_lines(family, of_it, series, answers))
    for family, lines in constant:
        yield from _family(family, _constant_lines(lines, series, grid))
    yield b"# EOF\n"


def write(path: Path, lines: Iterable[bytes]) -> int:
    """Put `lines` into a file that is there whole or not at all; return its size in bytes.

    Raises BackfillError.
    """
    try:
        return write_whole(path, lines)
    except OSError as error:
        raise BackfillError(
            f"--output: {path}: {error.strerror}; no answer is lost, the same command goes on"
        ) from None


def _family(family: Family, lines: Iterator[bytes]) -> Iterator[bytes]:
    """Put the header above the lines, if there are any."""
    first = next(lines, None)
    if first is not None:
        yield from chain((openmetrics_header(family), first), lines)


def _report_lines(
    family: Family, questions: list[Question], series: SeriesTable, answers: Answers
) -> Iterator[bytes]:
    for question in questions:
        of_it = [each for each in series.series(question) if each.family is family]
        # OpenMetrics has the buckets of an instant together, all else one series after the other.
        metrics = [of_it] if family.kind == "gaugehistogram" else [[each] for each in of_it]
        for metric in metrics:
            places = [(each.text, each.place) for each in metric]
            for at, figures in answers.history(question.key):
                values = figures.split(b" ")
                for text, place in places:
                    if values[place]:
                        yield b"%s %s %d\n" % (text, values[place], at)


def _constant_lines(lines: bytes, series: SeriesTable, grid: Grid) -> Iterator[bytes]:
    for text, value in samples(lines):
        start = b"%s %s " % (series.labelled(text), value)
        for at in grid:
            yield b"%s%d\n" % (start, at)
