"""Is an account working, and if not, why: from the outcomes of its calls. Pure, time is passed in.

`up` and the reasons are those of docs/behaviour.md#health. One ill mailbox is not an ill account.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

REASONS: Final = (
    "credentials",
    "plan",
    "suspended",
    "throttled",
    "unreachable",
    "bad_response",
)
"""What `helpscout_account_problem` can say, in the order of its series."""

_PROBLEM: Final = {
    "credentials": "credentials",
    "plan": "plan",
    "suspended": "suspended",
    "throttled": "throttled",
    "unreachable": "unreachable",
    "server_error": "unreachable",
    "bad_response": "bad_response",
    "bad_request": "bad_response",
    "not_found": "bad_response",
}
"""From an error's reason to the account's problem. A service that answers 5xx is out of reach."""

_NEVER_ONE_MAILBOX: Final = frozenset({"credentials", "suspended", "throttled"})

ACCOUNT_WIDE: Final = _NEVER_ONE_MAILBOX | {"unreachable", "server_error"}
"""Reasons of errors that befall the account as a whole, as a rule.

A time-out or a 5xx may be one mailbox's all the same: one that the service cannot compute.
"""

_ALL: Final = "all"
"""The report over every mailbox together: it is ill where one of them is."""

LOCKED_OUT: Final = frozenset({"credentials", "suspended"})
"""Reasons of errors that say there is no way in at all."""

_MEMORY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """What is exported of an account: whether it works and what is the matter now."""

    up: bool = False
    problems: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Failure:
    """What came instead of a usable answer: the error's reason, and its message in one line.

    `reference` is what Help Scout's support asks for, None if it gave none. No secret is in it.
    """

    reason: str
    message: str
    reference: str | None = None

    @property
    def problem(self) -> str:
        """The account's problem that a failure like this is part of: one of REASONS."""
        return _PROBLEM[self.reason]


@dataclass(frozen=True, slots=True)
class Trouble:
    """An unbroken row of failures: the last one, and Unix seconds of the first and the last."""

    failure: Failure
    since: float
    at: float


class AccountHealth:
    """Collects outcomes of one account and judges them. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._discovered = False
        self._discovery_failure: str | None = None
        self._list_doubted = False
        self._calls: deque[tuple[float, str, str | None]] = deque()
        self._scopes: dict[str, str | None] = {}

    def discovery(self, failure: str | None) -> None:
        """Note how login and listing the mailboxes went: None, or the error's reason."""
        if failure is None:
            self._discovered = True
            # Who is let in again is not held to have been refused before.
            self._calls = deque(call for call in self._calls if call[2] not in LOCKED_OUT)
        self._discovery_failure = failure
        self._list_doubted = False

    def doubt_list(self, *, lasting: bool) -> None:
        """Note that the mailbox list arrived, and not whole: a problem if it goes on."""
        self._list_doubted = lasting

    def report(self, now: float, mailbox_id: str, failure: str | None) -> None:
        """Note how one report call went: None, or the error's reason."""
        self._calls.append((now, mailbox_id, failure))
        self._scopes[mailbox_id] = failure

    def keep(self, mailbox_ids: set[str]) -> None:
        """Forget what concerns any other mailbox."""
        self._scopes = {key: value for key, value in self._scopes.items() if key in mailbox_ids}
        self._calls = deque(call for call in self._calls if call[1] in mailbox_ids)

    def status(self, now: float, *, gate_closed: bool) -> AccountStatus:
        """Judge. `gate_closed`: the service said 429 and its time is not over."""
        while len(self._calls) > 1 and self._calls[0][0] < now - _MEMORY_SECONDS:
            self._calls.popleft()
        problems = {"throttled"} if gate_closed else set()
        if self._list_doubted:
            problems.add("bad_response")
        failing = self._failing()
        for reason in (self._discovery_failure, failing):
            if reason is not None:
                problems.add(_PROBLEM[reason])
        up = self._discovered and self._discovery_failure is None and failing is None
        return AccountStatus(up, frozenset(problems))

    def _failing(self) -> str | None:
        """The last reason, if every report call of the last minute failed and not by one mailbox.

        Where there was no call in the last minute, the last one counts.
        """
        if not self._calls or any(failure is None for _, _, failure in self._calls):
            return None
        reasons = {failure for _, _, failure in self._calls}
        several = len({mailbox_id for _, mailbox_id, _ in self._calls} - {_ALL}) > 1
        if (
            reasons & _NEVER_ONE_MAILBOX
            or (several and reasons & ACCOUNT_WIDE)
            or all(self._scopes.values())
        ):
            return self._calls[-1][2]
        return None
