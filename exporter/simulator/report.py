"""The productivity report's arithmetic, over events, by these definitions.

An event is in a range if `start <= at <= end`, and has happened. Of what the filter admits:
- conversations: those with a reply in the range. An outgoing thread is not a reply to anybody.
- response time: mean wait over the replies in the range; first response time: over those that are
  their conversation's first; handle time: mean over the replies.
- a conversation is resolved once, at its first closing at or after its first reply. Resolved are
  those of the *conversations* above whose resolution is in the range; replies to resolve: mean
  number of replies until then (inclusive); resolution time: mean seconds from creation to then.
- closed: closings in the range, whoever closed. replies sent: replies and outgoing threads.
- distributions count conversations: by their mean wait (handle time) in the range; by the wait of
  a first reply in the range; by the replies to a resolution. A bound belongs to the range above.
- with office hours, waits and resolution time count only the seconds inside them.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from exporter.simulator.world import (
    DAY,
    LIFE_DAYS,
    Conversation,
    Days,
    Mailbox,
    World,
    office_seconds,
)

_WAITS = tuple(60 * minutes for minutes in (0, 15, 30, 60, 120, 180, 360, 720, 1440, 2880))
_HANDLES = (0, 60, 120, 300, 600)
RANGES = ("response_ranges", "first_response_ranges", "handle_ranges", "replies_ranges")
_Items = defaultdict[str, list[int]]  # of `Statistics`, by field; ids for its distributions
_Split = tuple[_Items, list[Conversation]]


class Filter(NamedTuple):
    """None lets everything through; several values are a union, the fields an intersection."""

    types: frozenset[str] | None = None
    tags: frozenset[int] | None = None
    folders: frozenset[int] | None = None
    office_hours: bool = False

    def admits(self, conversation: Conversation) -> bool:
        return (
            (self.types is None or conversation.type in self.types)
            and (self.tags is None or not self.tags.isdisjoint(conversation.tags))
            and (self.folders is None or conversation.folder in self.folders)
        )


class Statistics(NamedTuple):
    """What is in a range, item by item (seconds or instants), and its distributions."""

    start: int = 0
    end: int = 0
    responseTime: Sequence[int] = ()  # of replies
    firstResponseTime: Sequence[int] = ()  # of first replies
    handleTime: Sequence[int] = ()  # of replies
    resolutionTime: Sequence[int] = ()  # of resolved conversations
    repliesToResolve: Sequence[int] = ()  # of resolved conversations
    closed: Sequence[int] = ()
    outgoing: Sequence[int] = ()
    response_ranges: Sequence[int] = (0,) * 10  # counts of conversations, as all that follow
    first_response_ranges: Sequence[int] = (0,) * 10
    handle_ranges: Sequence[int] = (0,) * 5
    replies_ranges: Sequence[int] = (0,) * 5


def _collect(items: _Items, life: Conversation, start: int, end: int, office: bool) -> None:
    """Adds what a conversation contributes to the range from start to end."""
    items["closed"] += [at for at in life.closings if start <= at <= end]
    items["outgoing"] += [at for at in life.outgoing if start <= at <= end]
    replies = [reply for reply in life.replies if start <= reply.at <= end]
    if not replies:
        return
    waits = [reply.office_wait if office else reply.wait for reply in replies]
    handles = [reply.handle for reply in replies]
    items["responseTime"] += waits
    items["handleTime"] += handles
    items["response_ranges"].append(bisect_right(_WAITS, sum(waits) // len(waits)))
    items["handle_ranges"].append(bisect_right(_HANDLES, sum(handles) // len(handles)))
    if replies[0].is_first:
        items["firstResponseTime"].append(waits[0])
        items["first_response_ranges"].append(bisect_right(_WAITS, waits[0]))
    first, created = life.replies[0].at, life.created
    resolution = next((at for at in life.closings if at >= first), None)
    if resolution is not None and start <= resolution <= end:
        taken = office_seconds(created, resolution) if office else resolution - created
        needed = sum([reply.at <= resolution for reply in life.replies])
        items["resolutionTime"].append(taken)
        items["repliesToResolve"].append(needed)
        items["replies_ranges"].append(min(needed, 5))


class Reports:
    """Computes statistics over a world; remembers days, never answers."""

    def __init__(self, world: World) -> None:
        self.day: Days = lru_cache(8192)(world.day)
        self._split = lru_cache(20_000)(self._split_day)

    def compute(
        self, mailboxes: Iterable[Mailbox], start: int, end: int, now: int, which: Filter
    ) -> Statistics:
        """Statistics from start to end (seconds, UTC, inclusive) of what has happened by now."""
        items, last = _Items(list), min(end, now)
        for mailbox in mailboxes:
            for day in range(max(start, mailbox.created) // DAY - LIFE_DAYS, last // DAY + 1):
                is_inside = day * DAY >= start
                edge = min((last if is_inside else start) // DAY, day + LIFE_DAYS)
                ended, others = self._split(mailbox, day, edge, which)
                for name, values in ended.items() if is_inside else ():
                    items[name] += values
                for conversation in others:
                    _collect(items, conversation, start, last, which.office_hours)
        found: dict[str, Sequence[int]] = {name: values for name, values in items.items() if values}
        for name in RANGES:
            counts, size = Counter(items[name]), len(Statistics._field_defaults[name])
            found[name] = tuple(counts[id_] for id_ in range(1, size + 1))
        return Statistics(start, end, **found)

    def _split_day(self, mailbox: Mailbox, day: int, edge: int, which: Filter) -> _Split:
        """Of a day's conversations: those that ended before day `edge` as items; the others."""
        items, others = _Items(list), []
        for life in filter(which.admits, self.day(mailbox, day)):
            replied = [reply.at for reply in life.replies]
            last = max((life.created, *replied, *life.outgoing, *life.closings))
            if last < edge * DAY:
                _collect(items, life, life.created, last, which.office_hours)
            else:
                others.append(life)
        return items, others
