"""Does an account answer, and if not, why: from every attempt to call it. Pure, time is passed in.

The definition, and the sequences it was made for, are docs/health.md. In short: only a success
clears a failure, silence clears nothing, and the mailbox list is a cheap probe that confirms an
outage or disproves it.
"""

from collections.abc import Mapping
from typing import Final

from exporter.health import SILENCE_SECONDS, AccountStatus, Refusals, problem_of
from exporter.helpscout.errors import HelpScoutError

PROBE_SECONDS: Final = 10.0
"""How long a probe may take."""

_CONFIRM_SECONDS: Final = 5.0
_PROBE_EVERY_SECONDS: Final = 30.0


class AccountHealth:
    """Collects the attempts of one account, judges it, and says when to probe it.

    Times are monotonic seconds; `now` is when the account began to be watched.
    """

    def __init__(self, now: float) -> None:
        self.up = False
        self.error: HelpScoutError | None = None
        """The last failure, None where something was ok since."""
        self.locked_out: HelpScoutError | None = None
        """Why login or mailbox list were refused, None where something was ok since."""
        self._answered_at = now
        self._sick_reason: str | None = None
        """Of the last sick attempt, None where something was ok since."""
        self._confirm_at = float("inf")
        self._probed_at = float("-inf")
        self._confirmed_at = float("-inf")
        """When a probe that was to confirm a sick attempt last began."""
        self._list_failures: list[str] = []

    def ok(self, now: float) -> None:
        """A usable answer, to whatever question."""
        self.error = self.locked_out = None
        if not self.up:
            self._list_failures.clear()  # they were part of the outage; the list is due again
        self.up = True
        self._answered_at = now
        self._sick_reason = None
        self._confirm_at = float("inf")

    def failed(self, now: float, started_at: float, error: HelpScoutError) -> None:
        """Note that a question failed. Whether its 401 is the account's, a probe shows at once."""
        self._note(now, started_at, error)
        if error.locks_out and now - self._confirmed_at >= _PROBE_EVERY_SECONDS:
            self._confirm_at = now

    def probe_failed(self, now: float, started_at: float, error: HelpScoutError) -> None:
        """Note that the mailbox list, or its first page, failed.

        One sick attempt is not an outage; a second one with nothing ok between is, and so is a
        login that was refused after the token was renewed.
        """
        refused = error.reason == "credentials"
        if error.evidence == "sick" and (self._sick_reason is not None or refused):
            self.up = False
        if error.locks_out:
            self.locked_out = error
        self._note(now, started_at, error)

    def probing(self, now: float) -> None:
        """Note that a probe, or the whole list, is being asked."""
        if now >= self._confirm_at:
            self._confirmed_at = now
        self._confirm_at = float("inf")
        self._probed_at = now

    def listed(self, reason: str | None) -> None:
        """Note how the whole list went: None, or the error's reason."""
        self._list_failures = [] if reason is None else [*self._list_failures[-1:], reason]

    def probe_due(self) -> float:
        """Return when the mailbox list is to be asked as a probe."""
        if not self.up:
            return min(self._confirm_at, self._probed_at + _PROBE_EVERY_SECONDS)
        silent = max(self._answered_at, self._probed_at) + SILENCE_SECONDS
        return min(silent, self._confirm_at)

    def status(
        self,
        collectors: Mapping[str, Refusals],
        segments: tuple[tuple[str, bool], ...],
        *,
        gate_closed: bool,
    ) -> AccountStatus:
        """Judge. `gate_closed`: the service said 429 and its time is not over."""
        problems = {"throttled"} if gate_closed else set()
        if not self.up and self._sick_reason is not None:
            problems.add(problem_of(self._sick_reason))
        # Once may be a hiccup, unless there has never been anything else.
        if len(self._list_failures) > 1 or (self._list_failures and not self.up):
            problems.add(problem_of(self._list_failures[-1]))
        problems |= {r.problem for r in collectors.values() if r.problem is not None}
        works = [(name, refusals.works) for name, refusals in collectors.items()]
        return AccountStatus(
            self.up,
            frozenset(problems),
            tuple((name, up) for name, up in works if up is not None),
            segments,
        )

    def _note(self, now: float, started_at: float, error: HelpScoutError) -> None:
        self.error = error
        if error.status is not None:
            self._answered_at = now
        if error.evidence != "sick":
            return
        self._sick_reason = error.reason
        # What took its time to fail needs no more of it.
        due = max(now, started_at + _CONFIRM_SECONDS)
        self._confirm_at = min(
            self._confirm_at, max(due, self._confirmed_at + _PROBE_EVERY_SECONDS)
        )
