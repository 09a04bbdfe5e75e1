"""Random support teams, and what an exporter shows of them: series for promtool, seeded.

A week begins on Monday at second 0. Customers write at random, more by day than by night. A team
answers each of them after some minutes of its working time, later ones too, until it falls silent.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Final

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400
DAYS: Final = 24
"""Three weeks, and three days of the fourth."""

SILENT_FROM: Final = 23 * DAY + 11 * HOUR
"""Wednesday of the fourth week, 11:00."""
NEVER: Final = DAYS * DAY
_OPENS, _CLOSES = 9 * HOUR, 17 * HOUR


@dataclass(frozen=True)
class Team:
    """A team that answers one mailbox.

    `slowest` is the longest that a customer waits for it, in seconds of its working time.
    """

    name: str
    number: int
    a_day: int
    office: bool = True
    """Works from nine to five, Monday to Friday; else round the clock."""
    schedule: bool = False
    """The exporter knows the office's hours."""
    target: int | None = None
    """The SLA's target in seconds, of office hours where they are known; None: no `waiting`."""
    slowest: int = 50 * MINUTE
    silent: bool = True

    @property
    def account(self) -> str:
        """The account's name: a schedule is the account's."""
        return "with-schedule" if self.schedule else "without"

    @cached_property
    def hours(self) -> list[tuple[int, int]]:
        """From when to when it works: some days earlier, some later than it should."""
        if not self.office:
            return [(0, NEVER)]
        dice = random.Random(self.number)
        return [
            (
                day * DAY + _OPENS + dice.randint(-15, 15) * MINUTE,
                day * DAY + _CLOSES + dice.randint(-25, 25) * MINUTE,
            )
            for day in range(DAYS)
            if day % 7 < 5
        ]

    @cached_property
    def conversations(self) -> list[tuple[float, float]]:
        """When each customer wrote and was answered; NEVER: not at all."""
        dice = random.Random(1000 + self.number)
        found, at = [], 0.0
        while (at := at + dice.expovariate(2 * self.a_day / DAY)) < NEVER:
            if dice.random() < self._likely(at):
                answered = self._after(at, dice.uniform(2 * MINUTE, self.slowest))
                silent = self.silent and answered >= SILENT_FROM
                found.append((at, NEVER if silent else answered))
        return found

    def _likely(self, at: float) -> float:
        if not self.office:
            return 0.5
        by_day = 8 <= at % DAY / HOUR < 18
        return (0.85 if by_day else 0.2) * (1 if at // DAY % 7 < 5 else 0.4)

    def _after(self, at: float, seconds: float) -> float:
        for begin, end in self.hours:
            if end > at:
                at = max(at, begin)
                if at + seconds < end:
                    return at + seconds
                seconds -= end - at
        return NEVER

    def clock(self, at: float) -> float:
        """Return by how much of its target a wait grows until `at`: office hours, where known."""
        if not self.schedule:
            return at
        day = int(at // DAY)
        before = (day // 7 * 5 + min(day % 7, 5)) * (_CLOSES - _OPENS)
        return before + (min(max(at % DAY, _OPENS), _CLOSES) - _OPENS if day % 7 < 5 else 0)

    @property
    def overdue_at(self) -> float:
        """When the first customer whom it left waiting has waited for the whole target."""
        assert self.target is not None
        since = min(wrote for wrote, answered in self.conversations if answered == NEVER)
        return next(
            at
            for at in range(SILENT_FROM, NEVER, MINUTE)
            if self.clock(at) - self.clock(since) >= self.target
        )

    def series(self, times: range) -> Iterator[dict[str, str]]:
        """Yield what is exported of it at these times."""
        wrote = sorted(at for at, _ in self.conversations)
        answered = sorted(at for _, at in self.conversations)
        own = f'account="{self.account}", mailbox="{self.name}", mailbox_id="{self.number}"'
        sent = [bisect_right(answered, t) - bisect_right(answered, t - DAY) for t in times]
        queue = [bisect_right(wrote, t) - bisect_right(answered, t) for t in times]
        report = 'type="all", window="24h", office_hours="false"'
        yield _series(f"helpscout_replies_sent{{{own}, {report}}}", sent)
        for name, share in (("unassigned", 3), ("assigned", 2)):
            folder = f'queue="{name}", state="active", folder="", folder_id="{name}-{self.number}"'
            part = [n // 2 + (n % 2 if share == 3 else 0) for n in queue]
            yield _series(f"helpscout_queue_conversations{{{own}, {folder}}}", part)
        if self.target is not None:
            yield from self._waiting(own, times)

    def _waiting(self, own: str, times: range) -> Iterator[dict[str, str]]:
        labels = f'{own}, type="all", office_hours="{str(self.schedule).lower()}"'
        assert self.target is not None
        clocks = [self.clock(t) for t in times]
        numbers: dict[str, list[int]] = {}
        for name, wait in (("all", 0.0), ("at_risk", 0.75 * self.target), ("target", self.target)):
            waiting = [0] * (len(times) + 1)
            for wrote, answered in self.conversations:
                begins = max(
                    bisect_right(clocks, self.clock(wrote) + wait), bisect_right(times, wrote)
                )
                ends = bisect_right(times, answered)
                if begins < ends:
                    waiting[begins] += 1
                    waiting[ends] -= 1
            numbers[name] = list(accumulate(waiting[:-1]))
        yield _series(f"helpscout_waiting_conversations{{{labels}}}", numbers["all"])
        for threshold in ("at_risk", "target"):
            name = f'helpscout_sla_waiting_conversations{{{labels}, sla="reply"'
            yield _series(f'{name}, threshold="{threshold}"}}', numbers[threshold])


def office(times: range) -> dict[str, str]:
    """Return whether the office is open, for the account that has a schedule."""
    open_at = [int(t // DAY % 7 < 5 and _OPENS <= t % DAY < _CLOSES) for t in times]
    return _series('helpscout_office_hours_open{account="with-schedule"}', open_at)


def _series(name: str, values: list[int]) -> dict[str, str]:
    identity = 'job="helpscout", instance="10.0.0.1:9877", pod="exporter-1"'
    return {
        "series": name.replace("{", f"{{{identity}, ", 1),
        "values": " ".join(map(str, values)),
    }
