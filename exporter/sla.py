"""Service-level arithmetic: which share of a distribution is within a target. Pure.

Exact where the target is an edge of the API's ranges, linear inside one, as Prometheus's own
`histogram_quantile` has it. The targets are in the settings; nothing is alerted here.
"""

from dataclasses import dataclass
from datetime import timedelta
from math import isfinite
from typing import Annotated, Final

from pydantic import AfterValidator, PlainValidator, ValidationInfo

from exporter.durations import parse_duration
from exporter.questions import ALL, Key, Mailbox, Types
from exporter.values import (
    COMMAS,
    Listed,
    Name,
    NamesOrIds,
    OfficeHours,
    Once,
    Range,
    Share,
    Some,
    Target,
    one_of,
    shown,
    written,
)

_RESPONSE_TIME_EDGES: Final = (900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800)
EDGES: Final = {
    "response_time": _RESPONSE_TIME_EDGES,
    "first_response_time": _RESPONSE_TIME_EDGES,
    "handle_time": (60, 120, 300, 600),
    "replies_to_resolve": (1, 2, 3, 4),
}
"""Statistics that have a distribution, and the upper edges of its ranges, by their ids.

Seconds, or replies for the last. The last range is open.
"""


def bounds(statistic: str) -> tuple[str, ...]:
    """Return the upper bounds of a statistic's ranges as the label `le` has them."""
    return (*(f"{edge}.0" for edge in EDGES[statistic]), "+Inf")


def _has_a_meaning(target: timedelta | int, info: ValidationInfo) -> timedelta | int:
    statistic = info.data.get("statistic")
    if statistic is None:
        return target  # it was refused
    edges = EDGES[statistic]
    if statistic == "replies_to_resolve":
        fits = type(target) is int and 0 < target <= edges[-1]
        form = f"a whole number of replies from 1 to {edges[-1]}: write it like {edges[2]}"
    else:
        fits = isinstance(target, timedelta) and 0 < target.total_seconds() <= edges[-1]
        names = [str(written(timedelta(seconds=edge))) for edge in edges]
        form = (
            f"a duration above 0 and at most {names[-1]}, like {names[2]}: "
            f"the edges of {statistic} are {', '.join(names)}"
        )
    if not fits:
        given = written(target) if isinstance(target, timedelta) else shown(target)
        raise ValueError(f"{given} is not {form}")
    return target


def _ascending(windows: tuple[str, ...]) -> tuple[str, ...]:
    lengths = [parse_duration(window) for window in windows]
    if lengths != sorted(set(lengths)):
        raise ValueError("are horizons from short to long: write the shorter one first")
    return windows


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise: `objective` (0 to 1) of the conversations within `target`.

    `target` is a duration, or a number of replies for `replies_to_resolve`. The first of
    `windows` (labels) is the short horizon, the last, where there are several, the long one.
    `mailboxes` are globs on the name or ids. What is left out in the configuration of `windows`,
    `types` and `office_hours` is filled in from what is reported.
    """

    name: Name
    statistic: Annotated[str, one_of(*EDGES, what="a statistic with a distribution: ")]
    target: Annotated[Target, AfterValidator(_has_a_meaning)]
    objective: Share
    windows: Annotated[
        tuple[Range, ...],
        Some,
        AfterValidator(_ascending),
        Listed,
        COMMAS,
    ] = ()
    mailboxes: Annotated[NamesOrIds, Some] = ("*",)
    types: Types = ()
    office_hours: OfficeHours = ()
    segments: Annotated[tuple[Annotated[str, PlainValidator(str)], ...], Some, Once, Listed] = ("",)

    @property
    def target_value(self) -> float:
        """The target in the unit of the statistic's edges: seconds, or replies."""
        return self.target.total_seconds() if isinstance(self.target, timedelta) else self.target

    @property
    def judges_waits(self) -> bool:
        """Whether it is about something that ends a wait: a response, or the first one."""
        return self.statistic in ("response_time", "first_response_time")

    def covers(self, key: Key, mailbox: str) -> bool:
        """Return whether it is promised for a report; `mailbox` is its mailbox's present name."""
        return key.window in self.windows and self.covers_now(key, mailbox)

    def covers_now(self, key: Key, mailbox: str) -> bool:
        """Return whether it is promised for what a key is about, whatever the window."""
        if (
            key.type not in self.types
            or (key.office_hours == "true") not in self.office_hours
            or key.segment not in self.segments
        ):
            return False
        number = 0 if key.mailbox_id == ALL else int(key.mailbox_id)
        return Mailbox(number, mailbox, "", "").matches(self.mailboxes)

    def horizon(self, window: str) -> str:
        """Return which of its windows this is: `short`, `long`, or `mid` for those between."""
        if window == self.windows[0]:
            return "short"
        return "long" if window == self.windows[-1] else "mid"

    def compliance(self, counts: tuple[int, ...] | None) -> "Compliance | None":
        """Return how much of a distribution is within the target, None where it is empty."""
        if counts is None:
            return None
        return compliance(counts, EDGES[self.statistic], self.target_value)


@dataclass(frozen=True, slots=True)
class Compliance:
    """The share (0 to 1) of `conversations` that was within the target."""

    ratio: float
    conversations: int


def compliance(counts: tuple[int, ...], edges: tuple[int, ...], target: float) -> Compliance | None:
    """Return how much of a distribution is within `target`, or None where it is empty.

    `counts` are per range, one more than `edges`. Raises ValueError beyond the last edge.
    """
    if not 0 < target <= edges[-1]:
        raise ValueError(f"a target is above 0 and at most the last edge, {edges[-1]}")
    total = sum(counts)
    if total == 0:
        return None
    within, lower = 0.0, 0
    for count, upper in zip(counts, edges, strict=False):
        if target >= upper:
            within += count
        else:
            within += count * (target - lower) / (upper - lower)
            break
        lower = upper
    return Compliance(within / total, total)


def change_ratio(now: float | None, before: float | None) -> float | None:
    """Return by how much `now` differs from `before`: 0.5 is half as much again, None unknown."""
    if now is None or not before or not isfinite(now / before):
        return None
    return now / before - 1
