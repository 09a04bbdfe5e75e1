"""The simulated help desk: mailboxes and conversations as a pure function of a seed.

Every conversation of a mailbox and UTC day comes from a generator seeded with (seed, mailbox,
day), so what happened does not depend on who asked first, on the clock or on the process.
Nothing here knows what "now" is: events run on into the future, and whoever reports cuts them.
All instants are whole seconds since the epoch, UTC; all durations are whole seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from math import exp
from random import Random
from typing import Literal

Kind = Literal["email", "chat", "phone"]
KINDS: tuple[Kind, ...] = ("email", "chat", "phone")
DAY = 86_400
LIFE_DAYS = 14
"""Every event of a conversation lies less than this many days after its creation."""
UNTAGGED = 1
"""The filter tag that stands for conversations without a tag."""

_OPENS, _WORKDAY = 9 * 3600, 8 * 3600  # office hours: Monday to Friday, 09:00 to 17:00 UTC
_EPOCH = date(1970, 1, 1)
_HOSTILE_NAMES = ("Support", "Support", 'The "Desk"', "Back\\slash", "Line\nbreak", "🌻 Plants")
_TAG_NAMES = ("vip", "billing", "bug", 'needs "quotes"', "réclamation", "shipping")
_WEEKDAY_VOLUME = (50, 48, 46, 46, 42, 24, 20)  # Monday first; 39 a day on average
_HOUR_WEIGHTS = (2, 1, 1, 1, 1, 2, 4, 7, 12, 17, 18, 17, 14, 15, 17, 17, 15, 11, 8, 7, 6, 5, 4, 3)
_HOURS = tuple(hour for hour, weight in enumerate(_HOUR_WEIGHTS) for _ in range(weight))


@dataclass(frozen=True, slots=True)
class Mailbox:
    id: int
    account: int
    name: str
    slug: str
    email: str
    created: int
    """No conversation is older than the end of this instant's day."""
    modified: int
    folders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """A user's answer to a waiting customer."""

    at: int
    wait: int
    """Seconds since the earliest customer message that was still unanswered."""
    office_wait: int
    """Those of them that lie inside office hours."""
    handle: int
    """Seconds spent writing it."""
    is_first: bool


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation's whole life; the tuples of instants are in ascending order."""

    id: int
    mailbox_id: int
    type: Kind
    created: int
    tags: tuple[int, ...]
    folder: int
    customer_messages: tuple[int, ...]
    replies: tuple[Reply, ...]
    outgoing: tuple[int, ...]
    """Threads a user began without a waiting customer: sent, but no answer to anybody."""
    closings: tuple[int, ...]
    reopenings: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Tempo:
    """How a type of conversation goes; medians in seconds, spreads of the logarithm."""

    wait: tuple[float, float]
    in_office: float  # share of the waits that pass only inside office hours
    handle: tuple[float, float]
    customer: tuple[float, float]
    closes: float  # share of the replies that close the conversation
    goes_on: float  # share of the other replies that the customer answers
    silence: int  # at most so many seconds until a silent conversation is tidied up


_TEMPI: dict[Kind, _Tempo] = {
    "email": _Tempo((2700, 1.7), 0.8, (170, 1.0), (9000, 1.5), 0.45, 0.85, 3 * DAY),
    "chat": _Tempo((45, 1.1), 0.0, (40, 0.9), (60, 0.8), 0.2, 0.92, 1800),
    "phone": _Tempo((12, 0.8), 0.0, (280, 0.9), (7200, 1.5), 0.8, 0.3, DAY),
}


def office_clock(at: int) -> int:
    """Office seconds that have passed from a fixed Monday until `at`."""
    days, second = divmod(at, DAY)
    weeks, weekday = divmod(days + 3, 7)  # the epoch was a Thursday
    if weekday >= 5:
        return (weeks + 1) * 5 * _WORKDAY
    return (weeks * 5 + weekday) * _WORKDAY + min(max(second - _OPENS, 0), _WORKDAY)


def office_seconds(start: int, end: int) -> int:
    """Seconds from start to end that lie inside office hours."""
    return office_clock(end) - office_clock(start)


def _office_instant(clock: int) -> int:
    """The instant inside office hours at which the office clock shows `clock`."""
    workdays, second = divmod(clock, _WORKDAY)
    weeks, weekday = divmod(workdays, 5)
    return (weeks * 7 + weekday - 3) * DAY + _OPENS + second


class World:
    """All accounts of one seed. Accounts count from 1; mailbox ids are unique over all of them."""

    def __init__(self, seed: int, accounts: int = 1, mailboxes: int = 6) -> None:
        if accounts < 1 or not 0 <= mailboxes <= 90_000:
            raise ValueError("accounts: at least 1; mailboxes: from 0 to 90000")
        self.seed = seed
        self._mailboxes = [
            tuple(self._mailbox(account, number) for number in range(mailboxes))
            for account in range(1, accounts + 1)
        ]

    def mailboxes(self, account: int) -> tuple[Mailbox, ...]:
        return self._mailboxes[account - 1]

    def tags(self, account: int) -> dict[int, str]:
        """Id and name of every tag reports can be filtered by, the one for "no tag" first."""
        named = enumerate(_TAG_NAMES, (account - 1) * 1000 + 501)
        return {UNTAGGED: "No tags"} | dict(named)

    def conversations(
        self, account: int, mailbox_id: int, first_day: date, last_day: date
    ) -> list[Conversation]:
        """Those *created* on the UTC days from first to last; their events reach further.

        Raises KeyError for a mailbox the account does not have.
        """
        mailbox = {box.id: box for box in self.mailboxes(account)}[mailbox_id]
        days = range((first_day - _EPOCH).days, (last_day - _EPOCH).days + 1)
        return [conversation for day in days for conversation in self.day(mailbox, day)]

    def day(self, mailbox: Mailbox, day: int) -> list[Conversation]:
        """The conversations created on a UTC day, counted from the epoch. Not cached."""
        if day <= mailbox.created // DAY:
            return []
        rng = self._random("day", mailbox.id, day)
        rand = rng.random
        volume = max(0, round(rng.gauss(_WEEKDAY_VOLUME[(day + 3) % 7], 5)))
        seconds = sorted(
            _HOURS[int(rand() * len(_HOURS))] * 3600 + int(rand() * 3600) for _ in range(volume)
        )
        first_id = (mailbox.id * 100_000 + day) * 1000
        starts = enumerate(day * DAY + second for second in seconds)
        return [_live(rng, first_id + number, mailbox, created) for number, created in starts]

    def _random(self, *key: object) -> Random:
        # A text seed goes through SHA-512, the same in every process; hash() would not be.
        return Random("/".join(map(str, (self.seed, *key))))

    def _mailbox(self, account: int, number: int) -> Mailbox:
        identity = (account - 1) * 100_000 + 1001 + number
        rng = self._random("mailbox", identity)
        created = int(datetime(2015, 1, 5, tzinfo=UTC).timestamp()) + rng.randrange(300 * DAY)
        modified = created + rng.randrange(600 * DAY)
        name = (*_HOSTILE_NAMES, f"Mailbox {number + 1}")[min(number, len(_HOSTILE_NAMES))]
        slug, email = f"{rng.getrandbits(64):016x}", f"desk{number + 1}@account{account}.example"
        folders = tuple(identity * 10 + folder for folder in range(1, 5))
        return Mailbox(identity, account, name, slug, email, created, modified, folders)


def _pick_tags(rand: Callable[[], float], first: int) -> tuple[int, ...]:
    """None for nearly half, else one or two; those with low ids more often."""
    picked = {first + int(rand() ** 2 * len(_TAG_NAMES)), first + int(rand() * len(_TAG_NAMES))}
    chance = rand()
    return tuple(sorted(picked)[: 0 if chance < 0.45 else 1 if chance < 0.85 else 2])


def _pick_kind(chance: float, in_office: bool) -> Kind:
    phone, chat = (0.12, 0.32) if in_office else (0.01, 0.05)
    return "phone" if chance < phone else "chat" if chance < chat else "email"


def _live(rng: Random, identity: int, mailbox: Mailbox, created: int) -> Conversation:
    """One life: the customer writes, users answer, close, and the customer may come back."""
    rand, gauss = rng.random, rng.gauss
    kind = _pick_kind(rand(), office_seconds(created, created + 1) > 0)
    tempo = _TEMPI[kind]
    last = created + LIFE_DAYS * DAY - 1
    messages, outgoing, closings, reopenings = (list[int]() for _ in range(4))
    replies: list[Reply] = []

    def draw(median: float, spread: float) -> int:
        return 1 + int(median * exp(gauss(0.0, spread)))

    since = asked = created  # the earliest message without an answer, and the latest
    alive = True
    if kind == "email" and rand() < 0.04:  # a user writes first; half of the customers answer
        outgoing.append(created)
        since = asked = created + draw(*tempo.customer)
        alive = rand() < 0.5 and since <= last
        if not alive:
            closings.append(created)
    if alive:
        messages.append(since)
        fate = rand()
        if fate < 0.06:  # nobody answers; most are closed as spam, of which some insist
            closed = since + 1 + int(rand() * 36_000)
            asked = closed + draw(*tempo.customer)
            alive = fate < 0.012 and asked <= last
            if fate < 0.04 and closed <= last:
                closings.append(closed)
            if alive:
                reopenings.append(asked)
                messages.append(asked)
    while alive:
        wait = draw(*tempo.wait)
        in_office = rand() < tempo.in_office
        sent = _office_instant(office_clock(asked) + wait) if in_office else asked + wait
        if sent > last:
            break
        wait = sent - since
        if rand() < 0.1:  # the customer asks again before the answer: the wait began earlier
            messages.append(asked + int(rand() * (sent - asked)))
        handle = draw(*tempo.handle)
        replies.append(Reply(sent, wait, office_seconds(since, sent), handle, not replies))
        closed, closes = sent, rand() < tempo.closes
        alive = rand() < (0.15 if closes else tempo.goes_on)
        if closes:
            closed += 0 if rand() < 0.8 else int(rand() * 14_400)
        elif not alive:  # it falls silent and is tidied up some day, or never
            closed += int(rand() * tempo.silence)
            closes = rand() < 0.8
        if closes and closed <= last:
            closings.append(closed)
        since = asked = closed + draw(*tempo.customer)
        alive = alive and since <= last
        if alive:
            messages.append(since)
            if closes:
                reopenings.append(since)
    events = (tuple(messages), tuple(replies), tuple(outgoing), tuple(closings), tuple(reopenings))
    tags = _pick_tags(rand, (mailbox.account - 1) * 1000 + 501)
    folder = mailbox.folders[int(rand() * len(mailbox.folders))]
    return Conversation(identity, mailbox.id, kind, created, tags, folder, *events)
