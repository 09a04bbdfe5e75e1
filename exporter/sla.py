"""Service-level arithmetic: which share of a distribution lies within a target. Pure.

Exact where the target is an edge of the API's ranges, linear inside one, as Prometheus's own
`histogram_quantile` has it. What the targets are comes from the settings; nothing is alerted here.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from exporter.reports import (
    HANDLE_TIME_EDGES,
    REPLIES_EDGES,
    RESPONSE_TIME_EDGES,
)

EDGES: Final = {
    "response_time": RESPONSE_TIME_EDGES,
    "first_response_time": RESPONSE_TIME_EDGES,
    "handle_time": HANDLE_TIME_EDGES,
    "replies_to_resolve": REPLIES_EDGES,
}
"""Statistics that have a distribution, and its upper edges: seconds, or replies for the last."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise: `objective` (0 to 1) of the conversations within `target`.

    `target` is a duration, or a number of replies for `replies_to_resolve`. The first of
    `windows` (labels) is the short horizon, the second, where there is one, the long one.
    `mailboxes` are globs on the name or ids.
    """

    name: str
    statistic: str
    target: timedelta | int
    objective: float
    windows: tuple[str, ...]
    mailboxes: tuple[str | int, ...]
    types: tuple[str, ...]
    office_hours: tuple[bool, ...]
    segments: tuple[str, ...]

    @property
    def target_value(self) -> float:
        """The target in the unit of the statistic's edges: seconds, or replies."""
        return self.target.total_seconds() if isinstance(self.target, timedelta) else self.target


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
        raise ValueError(f"a target lies above 0 and at most at the last edge, {edges[-1]}")
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
