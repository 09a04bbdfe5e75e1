"""What is asked and what is answered, as plain values that know no kind of question.

Pure: no I/O, no clock, no knowledge of either API generation or of Prometheus. What is special to a
kind of question is in its module in `exporter.collectors`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field

from exporter.durations import parse_duration
from exporter.values import COMMAS, Every, Listed, Once, Range, Some, one_of

ALL: Final = "all"
"""Stands for every mailbox, or every type, together: a report of its own, never a sum."""

TYPES: Final = ("email", "chat", "phone")

Types = Annotated[tuple[Annotated[str, one_of(ALL, *TYPES)], ...], Some, Once, Listed, COMMAS]

_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)


def flag(value: bool) -> str:
    """Return a boolean as a label has it."""
    return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A closed range of whole seconds, both ends aware UTC, both inclusive as the API has it."""

    start: datetime
    end: datetime

    @classmethod
    def ending(cls, instant: datetime, length: timedelta) -> "TimeRange":
        """Return the range of this length that ends at `instant` (aware UTC), cut to the second."""
        end = instant.replace(microsecond=0)
        return cls(end - length + _SECOND, end)

    def preceding(self) -> "TimeRange":
        """Return the range just before this one, of the same length."""
        end = self.start - _SECOND
        return TimeRange(end - (self.end - self.start), end)


@dataclass(frozen=True, slots=True)
class Window:
    """A rolling window: how it is written (the label), its length and how often it is asked.

    By default it is asked 288 times per range, in whole seconds, within a minute and an hour.
    """

    text: Annotated[Range, Field(alias="range")]
    every: Every = timedelta()
    range: timedelta = field(init=False)

    def __post_init__(self) -> None:
        length = parse_duration(self.text)
        usual = timedelta(seconds=length // timedelta(seconds=288))
        object.__setattr__(self, "range", length)
        object.__setattr__(self, "every", self.every or min(max(usual, _MINUTE), 60 * _MINUTE))


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox as the account lists it. Only the id is unique and lasting."""

    id: int
    name: str
    slug: str
    email: str

    def matches(self, patterns: Iterable[str | int]) -> bool:
        """Return whether a glob (`*`, `?`, `[…]`, with case) fits its name or an integer its id."""
        return any(
            pattern == self.id if isinstance(pattern, int) else fnmatchcase(self.name, pattern)
            for pattern in patterns
        )


class Key(NamedTuple):
    """Names one question: what it asks for is kept, retried, exported and expired under its key.

    A named tuple, not a dataclass: keys are hashed and compared all the time, and a tuple does
    both in C.

    `collector` is the kind of question; `mailbox_id` the id in decimal or `all`; `type` one of
    TYPES or `all`; `window` the window's text; `office_hours` `true` or `false`; `segment` empty
    without one. An axis that a kind lacks is empty. The mailbox's name is not here: it may change.
    """

    collector: str
    account: str
    mailbox_id: str
    type: str = ""
    window: str = ""
    office_hours: str = ""
    segment: str = ""

    @property
    def group(self) -> tuple[str, str]:
        """Collector and window: what has the same is asked equally often."""
        return self.collector, self.window

    @property
    def plain(self) -> "Key":
        """The key of the same mailbox and window without type, segment or office hours."""
        return self._replace(
            type=self.type and ALL, office_hours=self.office_hours and "false", segment=""
        )


@dataclass(frozen=True, slots=True)
class Question:
    """What the house has to know of one question.

    `every` is how often it is asked. `range` is how long a time it is about, up to the instant
    that is asked for; None asks about now, and has no past. `spec` is the collector's own: what the
    answer depends on apart from key and range; others compare it, and never read it. `calls` is how
    many calls to Help Scout one ask takes, as far as is known, and `most` how many at most.
    `end_delay` is how long before the instant that is asked for the range ends.
    """

    key: Key
    every: timedelta
    range: timedelta | None
    spec: tuple[Any, ...] = ()
    calls: int = 1
    end_delay: timedelta = timedelta()
    most: int = 1

    @property
    def calls_per_minute(self) -> float:
        """How many calls a minute it takes to ask this as often as configured."""
        return self.calls * 60 / self.every.total_seconds()

    @property
    def asked(self) -> tuple[Any, ...]:
        """What the answer depends on apart from the key and the instant."""
        return (
            self.range and self.range.total_seconds(),
            *self.spec,
            *([self.end_delay] if self.end_delay else []),
        )

    @property
    def fingerprint(self) -> str:
        """What the answer depends on apart from key and instant, in short."""
        return blake2b(repr(self.asked).encode(), digest_size=8).hexdigest()


Get = Callable[[str, Mapping[str, str]], bytes]
"""Fetches a path with a query: pays, counts, times. Raises HelpScoutError, Stopping."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What an answer says of its account, apart from its value.

    `tags` maps names to ids, `folders` the ids of folders to the id of their mailbox. `odd` has a
    line for each element that was left out of them. `has_all_tags` is whether the answer names
    every tag that there is, if it names any.
    """

    tags: Mapping[str, int] = field(default_factory=dict)
    folders: Mapping[int, str] = field(default_factory=dict)
    odd: tuple[str, ...] = ()
    has_all_tags: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer: its value, frozen and of the collector's own type, and the instant it is about.

    `calls` is how many calls it took. `odd` has a line for each element of the answer that was left
    out of the value.
    """

    value: Any
    as_of: datetime
    learned: Learned = Learned()
    calls: int = 1
    odd: tuple[str, ...] = ()

    @property
    def kept(self) -> "Reading":
        """What is kept of it once the rest has been taken note of."""
        return Reading(self.value, self.as_of)
