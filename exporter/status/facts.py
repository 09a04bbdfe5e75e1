"""All that the status page is made of, at one instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.helpscout.budget import Usage
from exporter.questions import Key
from exporter.schedule import Outlook
from exporter.settings import Configuration
from exporter.store import Entry, Snapshot, Troubles


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

    def state(self, key: Key, entry: Entry) -> str:
        """Return how good a report's figures are, in one word.

        `fresh`; `late`: older than two intervals, or the last attempt failed, and still exported;
        `stale`: too old, no longer exported; `failing`: there never were any; `waiting`: not asked.
        """
        if entry.reading is None:
            if entry.succeeded_at is not None:
                return "stale"
            return "waiting" if entry.success is None else "failing"
        interval = self.intervals.get((key.account, *key.group))
        age = self.clock - entry.fresh_since
        late = entry.success is False or (interval is not None and age > _late_after(interval))
        return "late" if late else "fresh"


def _late_after(interval: float) -> float:
    # A report that was late skips to its next place: up to one and a half intervals are usual.
    return 2 * interval + 30
