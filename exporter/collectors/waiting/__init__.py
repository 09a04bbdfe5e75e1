"""Which customers wait for a reply now, and since when: from the list of open conversations.

Help Scout's reports cover only conversations that somebody replied to; here are the others. API 2.0
only. What counts as waiting: docs/behaviour.md#waiting-customers.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Final

from exporter.collectors.base import Meaning, Sample, Scope, mailbox_remedy
from exporter.collectors.waiting.wire import (
    CONVERSATIONS,
    Conversation,
    Row,
    parse_conversations,
    tags_of,
)
from exporter.helpscout.account import Api
from exporter.helpscout.errors import HelpScoutError
from exporter.helpscout.pages import Page, read_pages
from exporter.questions import ALL, TYPES, Get, Key, Learned, Question, Reading
from exporter.sla import EDGES, Objective, bounds
from exporter.telemetry import Family

_MAILBOX: Final = ("account", "mailbox", "mailbox_id")
_LABELS: Final = (*_MAILBOX, "type", "segment", "office_hours")
WAITING: Final = Family(
    "helpscout_waiting_conversations",
    "gauge",
    "Customers who wait for a reply now; a lower bound where helpscout_waiting_truncated is 1",
    _LABELS,
)
SINCE: Final = Family(
    "helpscout_waiting_since_timestamp_seconds",
    "gauge",
    "Unix time since when the longest-waiting customer has waited",
    _LABELS,
    "seconds",
)
DISTRIBUTION: Final = Family(
    "helpscout_waiting_distribution_seconds",
    "gaugehistogram",
    "Customers who wait now by how long they have waited, cumulative",
    (*_LABELS, "le"),
    "seconds",
)
SLA_WAITING: Final = Family(
    "helpscout_sla_waiting_conversations",
    "gauge",
    "Customers who have waited longer than the SLA's target, or than at_risk of it",
    (*_LABELS, "sla", "threshold"),
)
TRUNCATED: Final = Family(
    "helpscout_waiting_truncated",
    "gauge",
    "Whether the mailbox has more open conversations than max_pages pages: counts are lower bounds",
    _MAILBOX,
)

_EDGES: Final = EDGES["response_time"]
_LE: Final = bounds("response_time")

_Cut = tuple[str, str]
"""A type and a segment."""
_REFUSED: Final = (
    "May the user behind the credentials read the mailbox's conversations? If not, leave waiting"
    " out of the account's collectors"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits in a mailbox. `segments` are those that were looked for, `rows` who waits.

    `is_truncated`: there are more open conversations than were read.
    """

    rows: tuple[Row, ...]
    segments: tuple[str, ...] = ()
    is_truncated: bool = False


class WaitingCustomers:
    """A question for each mailbox of an account of API 2.0; a call for each page of its list."""

    name: Final = "waiting"
    operation: Final = "conversations"
    needs_reports: Final = False
    families: Final = (WAITING, SINCE, DISTRIBUTION, SLA_WAITING, TRUNCATED)
    value_type: Final = Waiting

    def questions(self, scope: Scope) -> Iterator[Question]:
        """Yield one for each mailbox; types and segments are cut out of its answer.

        A question's `spec` is the most pages that are read, and each segment with its tags' ids. A
        row does not say all the folders that it is in: a segment that names folders is left out.
        """
        if scope.api != "v2":
            return
        settings = scope.settings.waiting
        segments = (
            (cut.segment, cut.tag_ids) for cut in scope.cuts if cut.tag_ids and not cut.folder_ids
        )
        most = settings.max_pages
        spec = (most, *segments)
        for mailbox_id, _ in scope.mailboxes:
            if mailbox_id != ALL:
                key = Key(self.name, scope.account, mailbox_id)
                yield Question(key, settings.every, None, spec, most=most)

    def ask(self, question: Question, api: Api, at: datetime, get: Get) -> Reading:
        """Read the list from the longest wait on, page by page. Raises HelpScoutError."""
        most, *tagged = question.spec
        segments, odd = dict(tagged), list[str]()
        query = {
            "mailbox": question.key.mailbox_id,
            "status": "active",
            "sortField": "waitingSince",
            "sortOrder": "asc",
        }

        def page(number: int) -> Page[Conversation]:
            body = get("/conversations", query | {"page": str(number)})
            return parse_conversations(api, body, at, odd.append)

        try:
            conversations, is_truncated = read_pages(CONVERSATIONS, page, most)
        except HelpScoutError as error:
            error.remedy = error.remedy or mailbox_remedy(error, _REFUSED)
            raise
        rows = tuple(row for each in conversations if (row := each.row(segments)) is not None)
        where = f"mailbox {question.key.mailbox_id}"
        return Reading(
            Waiting(rows, tuple(segments), is_truncated),
            at,
            Learned(tags_of(conversations), has_all_tags=False),
            odd=tuple(f"{where}: {line}" for line in odd),
        )

    def samples(
        self, key: Key, reading: Reading, mailbox: str, meaning: Meaning
    ) -> Iterator[Sample]:
        """Yield who waits by type and segment, in calendar time and within the office schedule."""
        waiting: Waiting = reading.value
        as_of = reading.as_of.timestamp()
        settings = meaning.settings
        configured = {segment.name for segment in settings.segments}
        segments = ("", *(name for name in waiting.segments if name in configured))
        cuts = [(type_, segment) for type_ in settings.types for segment in segments]
        yield Sample(TRUNCATED, (), waiting.is_truncated)
        for hours, waited in _clocks(key, as_of, meaning):
            waits = _by_cut(waiting.rows, waited)
            for type_, segment in cuts:
                of_cut = waits.get((type_, segment), [])
                labels = (("type", type_), ("segment", segment), ("office_hours", hours))
                yield Sample(WAITING, labels, len(of_cut))
                yield from _distribution(of_cut, labels)
                here = key._replace(type=type_, segment=segment, office_hours=hours)
                for objective in meaning.objectives:
                    if objective.judges_waits and objective.covers_now(here, mailbox):
                        yield from _beyond(objective, settings.waiting.at_risk, of_cut, labels)
        oldest = _oldest(waiting.rows)
        for type_, segment in cuts:
            if (since := oldest.get((type_, segment))) is not None:
                labels = (("type", type_), ("segment", segment), ("office_hours", "false"))
                yield Sample(SINCE, labels, min(since, as_of))

    def specimen(self, question: Question) -> Waiting:
        """Return one customer of each type, who belongs to every segment."""
        segments = tuple(name for name, _ in question.spec[1:])
        return Waiting(tuple(Row(0, type_, segments) for type_ in TYPES), segments)


def waits_of(cut: Key, reading: Reading, meaning: Meaning) -> list[float] | None:
    """Return the waits of one type, segment and time in seconds, None where they are not known."""
    waiting: Waiting = reading.value
    waited = dict(_clocks(cut, reading.as_of.timestamp(), meaning)).get(cut.office_hours)
    if waited is None or cut.segment not in ("", *waiting.segments):
        return None
    return [waited(row.since) for row in waiting.rows if (cut.type, cut.segment) in _cuts_of(row)]


def beyond(objective: Objective, waits: list[float], share: float = 1.0) -> int:
    """Return how many waits (seconds) are longer than this share of the SLA's target."""
    longest = objective.target_value * share
    return sum(seconds > longest for seconds in waits)


def _clocks(
    key: Key, as_of: float, meaning: Meaning
) -> Iterator[tuple[str, Callable[[int], float]]]:
    """Yield how a wait up to `as_of` is counted, by the label `office_hours`; a later one is 0."""
    yield "false", lambda since: max(as_of - since, 0.0)
    accounts = (each for each in meaning.settings.accounts if each.name == key.account)
    schedule = next((account.office_schedule for account in accounts), None)
    if schedule is not None:
        yield "true", lambda since: schedule.seconds(since, as_of)


def _cuts_of(row: Row) -> Iterator[_Cut]:
    for segment in ("", *row.segments):
        yield ALL, segment
        yield row.type, segment


def _by_cut(rows: tuple[Row, ...], waited: Callable[[int], float]) -> dict[_Cut, list[float]]:
    """Return the waits in seconds."""
    waits = defaultdict[_Cut, list[float]](list)
    for row in rows:
        for cut in _cuts_of(row):
            waits[cut].append(waited(row.since))
    return waits


def _oldest(rows: tuple[Row, ...]) -> dict[_Cut, int]:
    oldest: dict[_Cut, int] = {}
    for row in rows:
        for cut in _cuts_of(row):
            oldest[cut] = min(row.since, oldest.get(cut, row.since))
    return oldest


_Labels = tuple[tuple[str, str], ...]


def _distribution(waits: list[float], labels: _Labels) -> Iterator[Sample]:
    counts = Counter(bisect_left(_EDGES, seconds) for seconds in waits)
    cumulative = accumulate(counts[index] for index in range(len(_LE)))
    for le, count in zip(_LE, cumulative, strict=True):
        yield Sample(DISTRIBUTION, (*labels, ("le", le)), count)


def _beyond(
    objective: Objective, at_risk: float, waits: list[float], labels: _Labels
) -> Iterator[Sample]:
    for threshold, share in (("target", 1.0), ("at_risk", at_risk)):
        named = (*labels, ("sla", objective.name), ("threshold", threshold))
        yield Sample(SLA_WAITING, named, beyond(objective, waits, share))
