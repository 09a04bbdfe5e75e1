"""The simulated help desk: mailboxes and conversations as a pure function of a seed and of orders.

What happened on a mailbox's UTC day does not depend on the first caller, on clock or process.
Nothing here knows what "now" is: events run on into the future, and reports cut them.
Instants are whole seconds since the epoch, UTC; durations are whole seconds.
"""

from collections.abc import Callable
from datetime import date
from hashlib import blake2b
from math import exp
from random import Random
from typing import NamedTuple

KINDS = ("email", "chat", "phone")
DAY = 86_400
LIFE_DAYS = 14  # every event of a conversation is less than this after its creation
UNTAGGED = 1  # the filter tag that stands for conversations without a tag
_OPENS, _WORKDAY = 9 * 3600, 8 * 3600  # office hours: Monday to Friday, 09:00 to 17:00 UTC
_EPOCH = date(1970, 1, 1)
_FOUNDED = (date(2015, 1, 5) - _EPOCH).days * DAY
_HOSTILE_NAMES = ("Support", "Support", 'The "Desk"', "Back\\slash", "Line\nbreak", "🌻 Plants")
_TAG_NAMES = ("vip", "billing", "bug", 'needs "quotes"', "réclamation", "shipping")
_WEEKDAY_VOLUME = (50, 48, 46, 46, 42, 24, 20)  # Monday first; 39 a day on average
_HOUR_WEIGHTS = (2, 1, 1, 1, 1, 2, 4, 7, 12, 17, 18, 17, 14, 15, 17, 17, 15, 11, 8, 7, 6, 5, 4, 3)
_ODD_TIMES = {34: "gone", 35: "null", 36: "no time", 37: "time null"}
# Median seconds of a wait, of handling, and of the customer's answer; shares of the waits that end
# in office hours, of the replies that close, and of the others that the customer answers.
_TEMPI = {
    "email": (2700, 170, 9000, 0.8, 0.45, 0.85),
    "chat": (45, 40, 60, 0.0, 0.2, 0.92),
    "phone": (12, 280, 7200, 0.0, 0.8, 0.3),
}


class Mailbox(NamedTuple):
    id: int
    account: int
    name: str
    created: int  # no conversation is older than the end of this instant's day
    folders: tuple[int, ...]


class Reply(NamedTuple):
    """A user's answer to a waiting customer."""

    at: int
    wait: int  # since the earliest customer message that was still unanswered
    office_wait: int  # the part of it that is inside office hours
    handle: int  # spent writing
    is_first: bool


class Conversation(NamedTuple):
    """One conversation's whole life; the tuples of instants are in ascending order."""

    id: int
    type: str
    created: int
    tags: tuple[int, ...]  # at least one
    folder: int
    customer_messages: tuple[int, ...]
    replies: tuple[Reply, ...]
    outgoing: tuple[int, ...]  # begun by a user without a waiting customer: no answer to anybody
    closings: tuple[int, ...]
    reopenings: tuple[int, ...]
    gone: int  # if it is still open then, it is merged or deleted, which no report counts


class Traits(NamedTuple):
    """What is drawn for a conversation beside its events."""

    is_taken: bool  # assigned before anybody has replied
    is_for_me: bool  # assigned to the API user, once it is assigned
    has_draft: bool  # while it is active
    bounces: bool  # the first reply did not arrive
    snooze: float  # snoozed where this is below the share that is: from 0 to 1
    time_form: str  # of the waiting time: plain, fraction, gone, null, no time, time null
    latest_form: str  # where it is said who wrote last: beside the time, inside, or absent
    stays_active: bool  # although a user has replied


Orders = Callable[[Mailbox, int, list[Conversation]], list[Conversation]]
"""Makes of a mailbox's UTC day, as the seed has it, the day as it was ordered."""

Days = Callable[[Mailbox, int], list[Conversation]]
"""Gives the conversations created on a mailbox's UTC day, counted from the epoch."""


def office_clock(at: int) -> int:
    """Office seconds that have passed from a fixed Monday until `at`."""
    days, second = divmod(at, DAY)
    weeks, weekday = divmod(days + 3, 7)  # the epoch was a Thursday
    today = min(max(second - _OPENS, 0), _WORKDAY) if weekday < 5 else 0
    return (weeks * 5 + min(weekday, 5)) * _WORKDAY + today


def is_office_open(at: int) -> bool:
    days, second = divmod(at, DAY)
    return (days + 3) % 7 < 5 and _OPENS <= second < _OPENS + _WORKDAY  # the epoch was a Thursday


def office_instant(start: int, seconds: int) -> int:
    """The first instant at which so many office seconds have passed since start."""
    weeks, rest = divmod(office_clock(start) + seconds, 5 * _WORKDAY)
    weekday, second = divmod(rest, _WORKDAY)
    return max(start, (weeks * 7 + weekday - 3) * DAY + _OPENS + second)


def office_seconds(start: int, end: int) -> int:
    """Seconds from start to end that lie inside office hours."""
    return office_clock(end) - office_clock(start)


class World:
    """All accounts of one seed. Accounts count from 1; mailbox ids are unique over all of them."""

    def __init__(
        self, seed: int, accounts: int = 1, mailboxes: int = 6, orders: Orders | None = None
    ) -> None:
        if accounts < 1 or not 0 <= mailboxes <= 90_000:
            raise ValueError("accounts: at least 1; mailboxes: from 0 to 90000")
        self.seed = seed
        self._orders = orders
        self._mailboxes = [
            tuple(_mailbox(account, number) for number in range(mailboxes))
            for account in range(1, accounts + 1)
        ]

    def mailboxes(self, account: int) -> tuple[Mailbox, ...]:
        return self._mailboxes[account - 1]

    def tags(self, account: int) -> dict[int, str]:
        """Id and name of every tag reports can be filtered by, the one for "no tag" first."""
        return {UNTAGGED: "No tags"} | dict(enumerate(_TAG_NAMES, account * 1000 - 499))

    def conversations(self, account: int, box: int, first: date, last: date) -> list[Conversation]:
        """Those *created* on the UTC days from first to last. KeyError: not the account's box."""
        mailbox = {mailbox.id: mailbox for mailbox in self.mailboxes(account)}[box]
        days = range((first - _EPOCH).days, (last - _EPOCH).days + 1)
        return [conversation for day in days for conversation in self.day(mailbox, day)]

    def day(self, mailbox: Mailbox, day: int) -> list[Conversation]:
        """The conversations created on a UTC day, counted from the epoch. Not cached."""
        if day <= mailbox.created // DAY:
            return []
        # A text seed goes through SHA-512, the same in every process; hash() would not be.
        rng = Random(f"{self.seed}/{mailbox.id}/{day}")
        volume = round(rng.gauss(_WEEKDAY_VOLUME[(day + 3) % 7], 5))
        hours = rng.choices(range(24), _HOUR_WEIGHTS, k=max(0, volume))
        starts = sorted(day * DAY + hour * 3600 + rng.randrange(3600) for hour in hours)
        first_id = (mailbox.id * 100_000 + day) * 1000
        tags = [tag for tag in self.tags(mailbox.account) if tag != UNTAGGED]
        lives = [_live(rng, id_, mailbox, tags, at) for id_, at in enumerate(starts, first_id)]
        return self._orders(mailbox, day, lives) if self._orders else lives

    def chances(self, number: int) -> bytes:
        """Sixteen bytes that are drawn for a number, as the id of a conversation."""
        return blake2b(f"{self.seed}/{number}".encode(), digest_size=16).digest()

    def traits(self, conversation: int) -> Traits:
        """What is drawn for a conversation, whatever happens in it."""
        drawn = self.chances(conversation)
        return Traits(
            is_taken=drawn[0] < 64,
            is_for_me=drawn[1] < 51,
            has_draft=drawn[2] < 20,
            bounces=drawn[3] < 6,
            snooze=drawn[4] / 256,
            time_form="fraction" if drawn[5] < 32 else _ODD_TIMES.get(drawn[5], "plain"),
            latest_form="beside" if drawn[6] < 40 else "inside" if drawn[6] < 80 else "absent",
            stays_active=drawn[7] < 12,
        )

    def spam(self, mailbox: Mailbox, day: int) -> int:
        """How much spam there is on a UTC day: up to three a day arrive, and stay a fortnight."""
        days = range(day - LIFE_DAYS, day)
        return sum(self.chances(-(mailbox.id * 100_000 + one))[0] % 4 for one in days)


def _mailbox(account: int, number: int) -> Mailbox:
    identity = (account - 1) * 100_000 + 1001 + number
    name = _HOSTILE_NAMES[number] if number < len(_HOSTILE_NAMES) else f"Mailbox {number + 1}"
    folders = tuple(identity * 10 + folder for folder in range(1, 5))
    return Mailbox(identity, account, name, _FOUNDED + number, folders)


def _live(rng: Random, id_: int, box: Mailbox, tags: list[int], created: int) -> Conversation:
    """One life: the customer writes, users answer, close, and the customer may come back."""

    def draw(median: float) -> int:
        return 1 + int(median * exp(rng.gauss(0.0, 1.6)))

    def happens(probability: float) -> bool:
        return rng.random() < probability

    kind = rng.choices(KINDS, (68, 20, 12) if is_office_open(created) else (95, 4, 1))[0]
    wait, handle, pause, in_office, closing, lively = _TEMPI[kind]
    messages, outgoing, closings, reopenings = (list[int]() for _ in range(4))
    replies: list[Reply] = []
    asked, goes_on = created, True
    end = gone = created + LIFE_DAYS * DAY
    if kind == "email" and happens(0.04):  # a user writes first; half of the customers answer
        outgoing.append(created)
        asked += draw(pause)
        goes_on = happens(0.5)
    while goes_on and asked < end:
        messages.append(asked)
        sent = asked + draw(wait)
        if happens(in_office):
            while not is_office_open(sent):
                sent += _WORKDAY
        if sent >= end or happens(0.05):  # nobody answers
            gone = min(sent, end)
            break
        waits = sent - asked, office_seconds(asked, sent)
        replies.append(Reply(sent, *waits, draw(handle), not replies))
        closed, closes = sent, happens(closing)
        goes_on = happens(0.15 if closes else lively)
        if not (closes or goes_on):  # it falls silent and is tidied up some day, or never
            closed, closes = sent + rng.randrange(DAY), happens(0.8)
        asked = closed + draw(pause)
        if closes and closed < end:
            closings.append(closed)
            if goes_on and asked < end:
                reopenings.append(asked)
    events = (tuple(messages), tuple(replies), tuple(outgoing), tuple(closings), tuple(reopenings))
    labels = tuple(rng.sample(tags, rng.choices((0, 1, 2), (9, 8, 3))[0])) or (UNTAGGED,)
    folder = rng.choice(box.folders)
    return Conversation(id_, kind, created, labels, folder, *events, gone)
