"""Which series a question has, and an answer as the bare figures of those, in one order. Pure.

Both are made by the live renderer: the series from an answer in which everything is measured, the
figures by looking where each rendered line belongs. So names, labels and digits are the live ones,
and what is kept of a report is a tenth of its text.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from exporter.collectors import COLLECTORS
from exporter.exposition.render import Renderer, escape, report_families
from exporter.questions import Key, Question, Reading
from exporter.store import Entry
from exporter.telemetry import Family

_LABEL: Final = re.compile(rb'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"', re.ASCII | re.DOTALL)
_REMEMBERED_KEYS: Final = 512
_SOME_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its family, its place among the figures of its key, and its text.

    `text` is name and labels as the file has them, `typical` the length of a value.
    """

    family: Family
    place: int
    text: bytes
    typical: int


class SeriesTable:
    """The series of every key under one configuration.

    `mailbox` gives a key's mailbox name; `labels` are added to what the exporter itself says.
    """

    def __init__(
        self,
        renderer: Renderer,
        mailbox: Callable[[Key], str],
        labels: Iterable[tuple[str, str]],
    ) -> None:
        self._renderer, self._mailbox = renderer, mailbox
        self._labels = [(name.encode(), escape(value).encode()) for name, value in labels]
        self._places = lru_cache(_REMEMBERED_KEYS)(self._look_up_places)

    def series(self, question: Question) -> Iterator[Series]:
        """Yield every series that a question can have, in the order of the exposition."""
        for place, (family, text, value) in enumerate(self._whole(question)):
            yield Series(family, place, self.labelled(text), len(value))

    def figures(self, question: Question, reading: Reading) -> bytes:
        """Return the values of the question's series as they are exported, between spaces.

        What was not measured is empty.
        """
        places = self._places(question)
        values = [b""] * len(places)
        for _, text, value in self._lines(question.key, reading):
            values[places[text]] = value
        return b" ".join(values)

    def labelled(self, text: bytes) -> bytes:
        """Return name and labels with the added labels, all in alphabetical order."""
        if not self._labels:
            return text
        name, _, labels = text.partition(b"{")
        together = sorted([*_LABEL.findall(labels), *self._labels])
        return b"%s{%s}" % (name, b",".join(b'%s="%s"' % pair for pair in together))

    def _whole(self, question: Question) -> Iterator[tuple[Family, bytes, bytes]]:
        value = COLLECTORS[question.key.collector].specimen(question)
        return self._lines(question.key, Reading(value, _SOME_TIME))

    def _lines(self, key: Key, reading: Reading) -> Iterator[tuple[Family, bytes, bytes]]:
        # How the asking went has no history: an entry that does not say it has no samples of it.
        rendered = self._renderer.report(key, Entry(self._mailbox(key), reading))
        for family, lines in zip(report_families(key.collector), rendered, strict=True):
            for text, value in samples(lines):
                yield family, text, value

    def _look_up_places(self, question: Question) -> dict[bytes, int]:
        return {text: at for at, (_, text, _) in enumerate(self._whole(question))}


def samples(lines: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name-and-labels and value of each line of an exposition without timestamps."""
    for line in lines.split(b"\n"):
        if line:
            text, _, value = line.rpartition(b" ")
            yield text, value
