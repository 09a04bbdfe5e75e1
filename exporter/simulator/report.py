"""The productivity report's arithmetic, over events, by these definitions.

An event is in a range if `start <= at <= end`, and has happened. Of what the filter lets through:

- conversations: those with at least one reply in the range. A reply answers a waiting customer;
  an outgoing thread does not (see `Reply` and `Conversation.outgoing`).
- response time: mean `wait` over the replies in the range; first response time: over those that
  are their conversation's first; handle time: mean `handle` over the replies.
- a conversation is resolved once, at its first closing at or after its first reply. Resolved are
  those of the *conversations* above whose resolution is in the range; replies to resolve: mean
  number of replies until then (inclusive); resolution time: mean seconds from creation to then.
- closed: closings in the range, whoever closed. replies sent: replies and outgoing threads.
- distributions count conversations: by their mean wait (handle time) in the range; by the wait of
  a first reply in the range; by the replies to a resolution. A bound belongs to the range above.

With office hours, waits and resolution time count only the seconds inside them; handle time is
what it is, and nothing is dropped. All sums are of integers, so no order of adding ever shows.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from operator import add
from typing import NamedTuple

from exporter.simulator.world import DAY, LIFE_DAYS, UNTAGGED, Conversation, Mailbox, World
from exporter.simulator.world import office_seconds as count_office_seconds

WAIT_BOUNDS = tuple(minutes * 60 for minutes in (15, 30, 60, 120, 180, 360, 720, 1440, 2880))
HANDLE_BOUNDS = (60, 120, 300, 600)
_NEVER = 0xFFFFFFFF


class Filter(NamedTuple):
    """None lets everything through; several values are a union, the fields an intersection."""

    types: frozenset[str] | None = None
    tags: frozenset[int] | None = None
    folders: frozenset[int] | None = None
    office_hours: bool = False


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts, and sums in seconds; a mean is a sum over the count named beside it."""

    start: int = 0
    end: int = 0
    conversations: int = 0
    replies: int = 0
    wait: int = 0  # over replies
    first_replies: int = 0
    first_wait: int = 0  # over first_replies
    handle: int = 0  # over replies
    resolved: int = 0
    resolved_on_first_reply: int = 0
    resolution: int = 0  # over resolved
    resolution_replies: int = 0  # over resolved
    closed: int = 0
    replies_sent: int = 0
    response_ranges: tuple[int, ...] = (0,) * 10
    first_response_ranges: tuple[int, ...] = (0,) * 10
    handle_ranges: tuple[int, ...] = (0,) * 5
    replies_ranges: tuple[int, ...] = (0,) * 5
    resolution_by_replies: tuple[int, ...] = (0,) * 5  # summed resolution, over replies_ranges


# Where the ranges begin in the flat list in which statistics are added up, after the scalars.
_RESPONSE, _FIRST, _HANDLE, _REPLIES, _RESOLUTION, _SIZE = 12, 22, 32, 37, 42, 47


def _pack(conversation: Conversation) -> array[int]:
    """A row of integers, with instants relative to the start of the day of creation."""
    base = conversation.created // DAY * DAY
    replies, closings = conversation.replies, conversation.closings
    instants = [at - base for at in closings + conversation.outgoing]
    row = [max([reply.at - base for reply in replies] + instants, default=0), _NEVER, 0, 0, 0]
    resolution = next((at for at in closings if replies and at >= replies[0].at), None)
    if resolution is not None:
        taken = resolution - conversation.created
        in_office = count_office_seconds(conversation.created, resolution)
        row[1:] = [resolution - base, taken, in_office, sum(r.at <= resolution for r in replies)]
    row += [len(replies), len(closings)]
    for reply in replies:
        row += (reply.at - base, reply.wait, reply.office_wait, reply.handle)
    return array("I", row + instants)


def _add(totals: list[int], row: array[int], low: int, high: int, office: bool) -> None:
    """Adds what a packed conversation contributes to the range from low to high."""
    _, resolution, seconds, office_seconds, to_resolution, count, closings = row[:7]
    events = 7 + 4 * count
    replies = wait = handle = 0
    for index in range(7, events, 4):
        if low <= row[index] <= high:
            waited = row[index + 1 + office]
            if index == 7:
                totals[3] += 1
                totals[4] += waited
                totals[_FIRST + bisect_right(WAIT_BOUNDS, waited)] += 1
            replies += 1
            wait += waited
            handle += row[index + 3]
    for index in range(events, len(row)):
        if low <= row[index] <= high:
            totals[10 if index < events + closings else 11] += 1
    if not replies:
        return
    totals[0] += 1
    totals[1] += replies
    totals[2] += wait
    totals[5] += handle
    totals[11] += replies
    totals[_RESPONSE + bisect_right(WAIT_BOUNDS, wait // replies)] += 1
    totals[_HANDLE + bisect_right(HANDLE_BOUNDS, handle // replies)] += 1
    if low <= resolution <= high:
        taken = office_seconds if office else seconds
        totals[6] += 1
        totals[7] += to_resolution == 1
        totals[8] += taken
        totals[9] += to_resolution
        totals[_REPLIES + min(to_resolution, 5) - 1] += 1
        totals[_RESOLUTION + min(to_resolution, 5) - 1] += taken


_Packed = tuple["array[int]", str, tuple[int, ...], int]  # row, type, tags, folder
_Selection = tuple[list[int], list["array[int]"], list[int]]  # last events, rows, whole totals


class Reports:
    """Computes statistics over a world; remembers days, never answers."""

    def __init__(self, world: World) -> None:
        self._world = world
        # A mailbox's day is about 10 kB, what a filter lets through of it 1 kB more.
        self._day = lru_cache(8192)(self._pack_day)
        self._selection = lru_cache(20_000)(self._select)

    def _pack_day(self, mailbox: Mailbox, day: int) -> list[_Packed]:
        conversations = self._world.day(mailbox, day)
        return [(_pack(c), c.type, c.tags or (UNTAGGED,), c.folder) for c in conversations]

    def _select(self, mailbox: Mailbox, day: int, which: Filter) -> _Selection:
        """What the filter lets through of the conversations created on a day, by last event."""
        rows = sorted(
            row
            for row, kind, tags, folder in self._day(mailbox, day)
            if (which.types is None or kind in which.types)
            and (which.tags is None or not which.tags.isdisjoint(tags))
            and (which.folders is None or folder in which.folders)
        )
        totals = [0] * _SIZE
        for row in rows:
            _add(totals, row, 0, _NEVER - 1, which.office_hours)
        return [row[0] for row in rows], rows, totals

    def compute(
        self, mailboxes: Iterable[Mailbox], start: int, end: int, now: int, which: Filter
    ) -> Statistics:
        """Statistics from start to end (seconds, UTC, inclusive) of what has happened by now.

        A day whose conversations all ended in the range is added as a whole; only those that
        straddle an edge are looked at one by one.
        """
        whole, part, beyond = ([0] * _SIZE for _ in range(3))
        last = min(end, now)
        for mailbox in mailboxes:
            for day in range(max(start, mailbox.created) // DAY - LIFE_DAYS, last // DAY + 1):
                last_events, rows, totals = self._selection(mailbox, day, which)
                low, high = start - day * DAY, last - day * DAY
                if low > 0:  # created before the range: what lives on in it
                    straddling = rows[bisect_left(last_events, low) :]
                else:  # the whole day; of what reaches beyond the end, only the part before it
                    whole = list(map(add, whole, totals))
                    straddling = rows[bisect_right(last_events, high) :]
                    for row in straddling:
                        _add(beyond, row, 0, _NEVER - 1, which.office_hours)
                for row in straddling:
                    _add(part, row, low, high, which.office_hours)
        sums = [w + p - b for w, p, b in zip(whole, part, beyond, strict=True)]
        edges = (_RESPONSE, _FIRST, _HANDLE, _REPLIES, _RESOLUTION, _SIZE)
        ranges = (tuple(sums[a:b]) for a, b in pairwise(edges))
        return Statistics(start, end, *sums[:_RESPONSE], *ranges)  # type: ignore[arg-type]
