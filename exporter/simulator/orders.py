"""What a team is ordered to do: it falls silent, is late or swift, snoozes, or is flooded.

Orders change the events themselves, so that reports, folders and conversations agree. What a
customer does is never changed, but what a customer would have answered to a reply that never
arrived does not happen either.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from exporter.simulator.world import (
    DAY,
    LIFE_DAYS,
    UNTAGGED,
    Conversation,
    Mailbox,
    Reply,
    office_instant,
    office_seconds,
)

NEVER = 2**62
_FLOOD_SECONDS = 3600  # within which a flood without an end arrives
_FLOOD_IDS = 10**15  # above every id of the world; still exact as a JSON number
_AFTER_SILENCE = 3600  # within which what was left undone is done
_LIFE = LIFE_DAYS * DAY
_MESSAGE, _OUTGOING, _CLOSING, _GONE, _REPLY = 1, 2, 3, 4, 5  # 0: reopened by the customer
_BY_THE_TEAM = (_OUTGOING, _CLOSING, _GONE, _REPLY)


class Order(NamedTuple):
    """Instants in seconds since the epoch: from start (inclusive) to end (not)."""

    account: int | None = None  # None: any
    mailbox: int | None = None  # None: any
    start: int = 0
    end: int = NEVER
    silent: bool = False  # no reply, no closing, no thread of the team's own
    late: int = 0  # seconds by which replies arrive later
    within: int | None = None  # office seconds after which a reply arrives at the latest
    snooze: float = 0.0  # share of the customers who begin to wait meanwhile
    flood: int = 0  # new conversations that nobody answers

    def concerns(self, mailbox: Mailbox) -> bool:
        return self.account in (None, mailbox.account) and self.mailbox in (None, mailbox.id)

    def covers(self, at: int) -> bool:
        return self.start <= at < self.end


class Orders:
    """All orders together: replies are late, then swift, and then there may be silence."""

    def __init__(self, orders: Iterable[Order] = ()) -> None:
        self.orders = tuple(orders)
        changing = [order.start for order in self.orders if not order.flood]
        self._first = min(changing, default=NEVER)

    def __call__(self, mailbox: Mailbox, day: int, lives: list[Conversation]) -> list[Conversation]:
        """What a mailbox's UTC day becomes."""
        mine = [order for order in self.orders if order.concerns(mailbox)]
        obeyed = [_obey(life, mine) if life.gone >= self._first else life for life in lives]
        return [life for life in obeyed if life] + [*_flooded(mailbox, day, mine)]

    def snoozed(self, mailbox: Mailbox, since: int, chance: float) -> int | None:
        """Until when a customer who waits since then is snoozed; None where no order says so."""
        for order in self.orders:
            if order.concerns(mailbox) and order.covers(since) and chance < order.snooze:
                return min(order.end, since + _LIFE)
        return None


def _obey(life: Conversation, orders: list[Order]) -> Conversation | None:
    """A life under orders; None where the team would have begun it, but is silent.

    An event of the team that is moved takes all that follows in the conversation along with it.
    """
    shift, asked, end = 0, 0, life.created + _LIFE
    kept: tuple[list[int], ...] = ([], [], [], [], [])
    replies: list[Reply] = []
    for planned, kind, handle in _events(life):
        at = planned + shift
        if kind == _REPLY or (kind == _GONE and at < end):
            at = _replied(at, asked, orders)
        if kind in _BY_THE_TEAM:
            silence = next((o for o in orders if o.silent and o.covers(at)), None)
            if silence and kind == _OUTGOING:
                return None
            if silence and silence.end == NEVER:
                break
            if silence:
                at = silence.end + life.id % _AFTER_SILENCE
            shift = at - planned
        if at >= end:
            break
        if kind == _MESSAGE:
            asked = at
        if kind == _REPLY:
            waits = at - asked, office_seconds(asked, at)
            replies.append(Reply(at, *waits, handle, not replies))
        else:
            kept[kind].append(at)
    reopenings, messages, outgoing, closings, gone = map(tuple, kept)
    return life._replace(
        customer_messages=messages,
        replies=tuple(replies),
        outgoing=outgoing,
        closings=closings,
        reopenings=reopenings,
        gone=gone[0] if gone else end,
    )


def _events(life: Conversation) -> list[tuple[int, int, int]]:
    """Instant, kind and, of a reply, the time spent writing, in the order in which they happen."""
    instants = (life.reopenings, life.customer_messages, life.outgoing, life.closings, (life.gone,))
    events = [(at, kind, 0) for kind, ats in enumerate(instants) for at in ats]
    return sorted(events + [(reply.at, _REPLY, reply.handle) for reply in life.replies], key=_order)


def _order(event: tuple[int, int, int]) -> tuple[int, float]:
    at, kind, _ = event
    return at, _OUTGOING + 0.5 if kind == _REPLY else kind  # it closes with a reply, not before


def _replied(at: int, asked: int, orders: list[Order]) -> int:
    """When a reply arrives that would arrive then, or a message is found to need none."""
    at += sum(order.late for order in orders if order.covers(at))
    for order in orders:
        if order.within is not None and order.covers(at):
            at = min(at, max(asked + 1, office_instant(asked, order.within)))
    return at


def _flooded(mailbox: Mailbox, day: int, orders: list[Order]) -> Iterator[Conversation]:
    """The conversations of floods that arrive on a UTC day."""
    id_ = _FLOOD_IDS + mailbox.id * 10**7
    for order in orders:
        end = order.start + _FLOOD_SECONDS if order.end == NEVER else order.end
        first, last = (
            min(max(-(-(at - order.start) * order.flood // (end - order.start)), 0), order.flood)
            for at in (day * DAY, (day + 1) * DAY)
        )
        for number in range(first, last):
            at = order.start + number * (end - order.start) // order.flood
            folder = mailbox.folders[number % len(mailbox.folders)]
            yield Conversation(
                id_ + number, "email", at, (UNTAGGED,), folder, (at,), (), (), (), (), at + _LIFE
            )
        id_ += order.flood
