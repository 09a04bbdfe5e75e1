"""Where the history of a key ends, from what the service refused and what it answered. Pure.

A refusal alone is a hole: it may pass, or concern that step only. A history ends at a step if the
service refuses it, refuses it again later, refuses what is older than the whole range, and answers
a newer step at that same time.
"""

from dataclasses import dataclass, field
from typing import Final

from exporter.backfill.grid import Grid
from exporter.helpscout.errors import HelpScoutError, Refused
from exporter.questions import Key

_IN_A_ROW: Final = 3
"""After so many refusals, with nothing older answered, what is older waits until that is judged."""


@dataclass(slots=True)
class History:
    """One key. Steps are Unix seconds; `oldest` is the oldest one that was ever answered.

    `end` is the newest step that is refused for good, as an earlier run found until `confirmed`.
    """

    grid: Grid
    oldest: int | None = None
    end: int | None = None
    confirmed: bool = False
    refused: dict[int, HelpScoutError] = field(default_factory=dict)

    @property
    def trailing(self) -> list[int]:
        """The refused steps that are older than every answered one."""
        return [at for at in self.refused if self.oldest is None or at < self.oldest]

    @property
    def candidate(self) -> int | None:
        """Where the history ends, if it does."""
        return self.end if self.end is not None else max(self.trailing, default=None)

    @property
    def shut(self) -> bool:
        """Whether the key was never answered, and refused for another reason than its range."""
        refusals = self.refused.values()
        return self.oldest is None and any(not isinstance(error, Refused) for error in refusals)

    @property
    def waits(self) -> bool:
        """Whether what is older than the candidate is not asked for now."""
        return self.end is not None or self.shut or len(self.trailing) >= _IN_A_ROW

    @property
    def beyond(self) -> int:
        """A step that is older than the whole range."""
        return self.grid.first - self.grid.step

    def was_answered(self, at: int) -> bool:
        """Note an answer; return whether it disproves an end that was believed."""
        self.refused.pop(at, None)
        self.oldest = at if self.oldest is None else min(at, self.oldest)
        if self.end is None or at > self.end:
            return False
        self.end, self.confirmed = None, False
        return True

    def ends(self, candidate: int) -> None:
        """Note that `candidate` was refused again, what is older too, and a newer step answered."""
        self.end, self.confirmed = candidate, True


class Histories(dict[Key, History]):
    """Those of all keys that are asked of one account."""

    def is_left_alone(self, key: Key) -> bool:
        """Return whether the plain report of the same mailbox and window is refused altogether."""
        plain = key.plain
        return plain != key and plain in self and self[plain].shut

    def waits(self, key: Key, at: int) -> bool:
        """Return whether a step is not asked for now: it may be older than the history."""
        history = self[key]
        return history.waits and at <= (history.candidate or 0)

    def covers(self, key: Key, at: int) -> bool:
        """Return whether a step that failed is asked again with its key, not for itself."""
        return at in self[key].trailing or self.is_left_alone(key)

    def candidates(self) -> dict[Key, int]:
        """Return where histories may end, of the keys that are asked for themselves."""
        return {
            key: candidate
            for key, history in self.items()
            if (candidate := history.candidate) is not None and not self.is_left_alone(key)
        }
