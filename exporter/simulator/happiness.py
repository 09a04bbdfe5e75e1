"""The happiness report's arithmetic, over events.

A customer rates about one reply in twelve, once, within three hours. A rating is in a range if
`start <= at <= end`, and has happened. Customers are those of the conversations with a reply in
the range; customers with ratings are those of the conversations with a rating in it.
"""

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from exporter.simulator.report import Filter
from exporter.simulator.world import DAY, LIFE_DAYS, Conversation, Days, Mailbox, World

RATINGS = ("great", "okay", "notGood")
_RATED = 21  # of 256
_LONG = 4 * 3600  # a customer who waited longer is less happy


class Rating(NamedTuple):
    at: int
    rating: str  # of RATINGS


class Happiness(NamedTuple):
    """What is in a range."""

    ratings: tuple[Rating, ...] = ()
    customers: int = 0
    customers_with_ratings: int = 0

    def count(self, rating: str) -> int:
        return sum(given.rating == rating for given in self.ratings)


def ratings(world: World, life: Conversation) -> list[Rating]:
    """Every rating of a conversation's life."""
    chances, found = world.chances(life.id), []
    for number, reply in enumerate(life.replies):
        chance = chances[8 + number % 8]
        at = reply.at + 60 * chances[7 - number % 8]
        if chance < _RATED and at < life.created + LIFE_DAYS * DAY:
            mood = chance + (0 if reply.wait < _LONG else 8)
            found.append(Rating(at, RATINGS[(mood > 12) + (mood > 17)]))
    return found


class HappinessReports:
    """Computes happiness over the days of a world."""

    def __init__(self, world: World, days: Days) -> None:
        self._world, self._days = world, days

    def compute(
        self, mailboxes: Iterable[Mailbox], start: int, end: int, now: int, which: Filter
    ) -> Happiness:
        """Happiness from start to end (seconds, UTC, inclusive) by what has happened by now."""
        given: list[Rating] = []
        last, customers, rated = min(end, now), 0, 0
        for mailbox in mailboxes:
            first = max(start, mailbox.created) // DAY - LIFE_DAYS
            for life in chain.from_iterable(
                self._days(mailbox, day) for day in range(first, last // DAY + 1)
            ):
                if which.admits(life) and life.replies:
                    inside = [r for r in ratings(self._world, life) if start <= r.at <= last]
                    given += inside
                    rated += bool(inside)
                    customers += any(start <= reply.at <= last for reply in life.replies)
        return Happiness(tuple(given), customers, rated)
