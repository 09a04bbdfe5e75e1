"""Which series a key has, and a report as the bare figures of those, in one fixed order. Pure.

Both come out of the live renderer: the series from a report in which everything is measured, the
figures by looking where each rendered line belongs. So names, labels and digits are the live ones,
and what is kept of a report is a tenth of its text.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from exporter.exposition.render import REPORT_FAMILIES, Renderer, escape
from exporter.metrics import LAST_SUCCESS, SHAPES, SUCCESS
from exporter.reports import Distribution, ProductivityReport, ReportKey, Statistics
from exporter.store import Entry
from exporter.telemetry import Family

FAMILIES: Final = tuple(f for f in REPORT_FAMILIES if f not in (LAST_SUCCESS, SUCCESS))
"""The families of a report that have a history: its data, not how the asking went."""

_LABEL: Final = re.compile(rb'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"', re.ASCII | re.DOTALL)
_EVERYTHING: Final = Statistics(100, *(3456.789,) * 4, 1.875, 80, 30, 90, 120)
_BEFORE: Final = Statistics(90, *(3333.333,) * 4, 1.777, 70, 20, 80, 110)
_SHAPES: Final = {shape.field: Distribution((10,) * (len(shape.edges) + 1), ()) for shape in SHAPES}
_REMEMBERED_KEYS: Final = 512


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its family, its place among the figures of its key, and its text.

    `text` is name and labels as the file has them, `typical` the length of a value.
    """

    family: Family
    place: int
    text: bytes
    typical: int


class Book:
    """The series of every key under one configuration.

    `mailbox` gives a key's mailbox name; `labels` are added to what the exporter itself says.
    """

    def __init__(
        self,
        renderer: Renderer,
        mailbox: Callable[[ReportKey], str],
        labels: Iterable[tuple[str, str]],
        *,
        compare: bool,
    ) -> None:
        self._renderer, self._mailbox = renderer, mailbox
        self._labels = [(name.encode(), escape(value).encode()) for name, value in labels]
        self._whole = ProductivityReport(
            _EVERYTHING,
            _BEFORE if compare else None,
            **_SHAPES,
            resolution_time_by_replies=(12345.678,) * 5,
        )
        self._places = lru_cache(_REMEMBERED_KEYS)(self._look_up_places)

    def series(self, key: ReportKey) -> Iterator[Series]:
        """Yield every series that a report of this key can have, in the order of the exposition."""
        for place, (family, text, value) in enumerate(self._lines(key, self._whole)):
            yield Series(family, place, self.labelled(text), len(value))

    def figures(self, key: ReportKey, report: ProductivityReport) -> bytes:
        """Return the values of the key's series as they are exported, between spaces.

        What was not measured is empty.
        """
        places = self._places(key)
        values = [b""] * len(places)
        for _, text, value in self._lines(key, report):
            values[places[text]] = value
        return b" ".join(values)

    def labelled(self, text: bytes) -> bytes:
        """Return name and labels with the added labels, all in alphabetical order."""
        if not self._labels:
            return text
        name, _, labels = text.partition(b"{")
        together = sorted([*_LABEL.findall(labels), *self._labels])
        return b"%s{%s}" % (name, b",".join(b'%s="%s"' % pair for pair in together))

    def _lines(
        self, key: ReportKey, report: ProductivityReport
    ) -> Iterator[tuple[Family, bytes, bytes]]:
        rendered = self._renderer.report(key, Entry(self._mailbox(key), report))
        for family, lines in zip(REPORT_FAMILIES, rendered, strict=True):
            for text, value in samples(lines):
                yield family, text, value

    def _look_up_places(self, key: ReportKey) -> dict[bytes, int]:
        return {text: at for at, (_, text, _) in enumerate(self._lines(key, self._whole))}


def samples(lines: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name-and-labels and value of each line of an exposition without timestamps."""
    for line in lines.split(b"\n"):
        if line:
            text, _, value = line.rpartition(b" ")
            yield text, value
