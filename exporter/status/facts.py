"""All that the status page is made of, at one instant."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from exporter.helpscout.budget import Usage
from exporter.questions import Key
from exporter.schedule import Outlook
from exporter.settings import Configuration
from exporter.store import Entry, Snapshot, Troubles


class Level(StrEnum):
    """How something is; the style sheet colours it by this name."""

    WELL = "well"
    STARTING = "starting"
    WARN = "warn"
    BAD = "bad"


class State(StrEnum):
    """How good a report's figures are, the best first; what waits is neither."""

    FRESH = "fresh"
    LATE = "late"
    """Older than two intervals, or the last attempt failed, and still exported."""
    STALE = "stale"
    """Too old, no longer exported."""
    FAILING = "failing"
    """There never were any."""
    WAITING = "waiting"
    """Not asked yet."""


@dataclass(frozen=True, slots=True)
class ReloadFailure:
    """Why the last reload was refused, one line each, and when: Unix seconds."""

    messages: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known now: `now` is Unix seconds, `clock` the same instant on the monotonic clock.

    `progress` has each account's schedule and budget; one that has just been configured may lack.
    `started_at` and `loaded_at` are Unix seconds: since when the process runs, and since when the
    configuration is in force.
    """

    now: float
    clock: float
    configuration: Configuration
    snapshot: Snapshot
    troubles: Troubles
    progress: Mapping[str, tuple[Outlook, Usage]]
    started_at: float
    loaded_at: float
    reload_failure: ReloadFailure | None = None
    intervals: Mapping[tuple[str, str, str], float] = field(init=False)
    """How often a report is asked, in seconds, by account, collector and window, with stretch."""

    def __post_init__(self) -> None:
        intervals = {
            (account, each.group.collector, each.group.window): each.interval
            for account, (outlook, _) in self.progress.items()
            for each in outlook.groups
        }
        object.__setattr__(self, "intervals", intervals)

    def state(self, key: Key, entry: Entry) -> State:
        """Return how good a report's figures are."""
        if entry.reading is None:
            if entry.succeeded_at is not None:
                return State.STALE
            return State.WAITING if entry.success is None else State.FAILING
        interval = self.intervals.get((key.account, *key.group))
        late = interval is not None and self.clock - entry.fresh_since > _late_after(interval)
        return State.LATE if late or entry.success is False else State.FRESH

    def groups(self, of: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """Return groups (collector and window) as they are shown, each once.

        A window alone where nothing but reports over windows of one collector are asked.
        """
        several = len({collector for _, collector, _ in self.intervals}) > 1
        return tuple(
            dict.fromkeys(
                f"{collector} {window}".strip() if several or not window else window
                for collector, window in of
            )
        )

    def next_at(self, account: str, due: float) -> float:
        """Return when something due (of `clock`) can be asked, in Unix seconds, at least `now`.

        Nothing is asked before a 429 is over.
        """
        wait = max(due - self.clock, self.progress[account][1].closed_seconds)
        return self.now + wait


def _late_after(interval: float) -> float:
    # A report that was late skips to its next place: up to one and a half intervals are usual.
    return 2 * interval + 30
