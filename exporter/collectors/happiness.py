"""The happiness report: how customers rated the replies.

Ratings are few, so the score is computed from the counts: docs/api-facts.md#happiness-report.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, Final

from exporter.collectors.base import Meaning, Sample, Scope
from exporter.collectors.reports import remedy, report_query
from exporter.helpscout.account import Api, path_in
from exporter.helpscout.errors import HelpScoutError
from exporter.helpscout.wire import Odd, Wire, count_of, parse
from exporter.metrics import REPORT_LABELS
from exporter.questions import Get, Key, Question, Reading, TimeRange
from exporter.telemetry import Family

RATINGS: Final = Family(
    "helpscout_happiness_ratings",
    "gauge",
    "Ratings that customers gave in the window",
    (*REPORT_LABELS, "rating"),
)
SCORE: Final = Family(
    "helpscout_happiness_score",
    "gauge",
    "Percentage of great ratings less that of not good ones, -100 to 100, over the window",
    REPORT_LABELS,
)


@dataclass(frozen=True, slots=True)
class Ratings:
    """How many customers gave each rating; None is a count that nobody gave."""

    great: int | None = None
    okay: int | None = None
    not_good: int | None = None

    @property
    def score(self) -> float | None:
        """Great less not good, in percent of all ratings; None without a rating."""
        if self.great is None or self.okay is None or self.not_good is None:
            return None
        total = self.great + self.okay + self.not_good
        return 100 * (self.great - self.not_good) / total if total else None


class Happiness:
    """A question for each mailbox, type and window; one call each."""

    name: Final = "happiness"
    operation: Final = "happiness"
    needs_reports: Final = True
    families: Final = (RATINGS, SCORE)
    value_type: Final = Ratings

    def questions(self, scope: Scope) -> Iterator[Question]:
        """Yield them; a question's `spec` is the ids of its mailboxes."""
        chosen = scope.settings.happiness
        for window, type_, (mailbox_id, ids) in product(
            chosen.windows, chosen.types, scope.mailboxes
        ):
            key = Key(self.name, scope.account, mailbox_id, type_, window.text)
            yield Question(key, window.every, window.range, (ids,))

    def ask(self, question: Question, api: Api, at: datetime, get: Get) -> Reading:
        """Ask for the report over the question's range up to `at`. Raises HelpScoutError."""
        assert question.range is not None
        range_ = TimeRange.ending(at, question.range)
        try:
            body = get(path_in(api, "/reports/happiness"), report_query(range_, question))
        except HelpScoutError as error:
            error.remedy = error.remedy or remedy(question, error)
            raise
        odd: list[str] = []
        return Reading(_ratings(body, odd.append), at, odd=tuple(odd))

    def samples(
        self, key: Key, reading: Reading, mailbox: str, meaning: Meaning
    ) -> Iterator[Sample]:
        """Yield the counts that are known, and the score where there is a rating."""
        ratings: Ratings = reading.value
        for rating in ("great", "okay", "not_good"):
            count = getattr(ratings, rating)
            if count is not None:
                yield Sample(RATINGS, (("rating", rating),), count)
        if ratings.score is not None:
            yield Sample(SCORE, (), ratings.score)

    def specimen(self, question: Question) -> Ratings:
        """Return ratings of every kind."""
        return Ratings(40, 10, 5)


class _Counts(Wire):
    """Each is judged apart: an odd one costs itself, and the score."""

    great_count: Any = None
    okay_count: Any = None
    not_good_count: Any = None


class _Report(Wire):
    current: _Counts


def _ratings(body: bytes, odd: Odd) -> Ratings:
    """Return the ratings in `body`. Raises BadResponse naming the field."""
    current = parse(_Report, body).current
    return Ratings(
        count_of("current.greatCount", current.great_count, odd),
        count_of("current.okayCount", current.okay_count, odd),
        count_of("current.notGoodCount", current.not_good_count, odd),
    )
