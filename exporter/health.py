"""How an account is: what is said of it, and which of its questions are refused. Pure.

The definition is docs/health.md. Whether the account answers at all is judged in
`exporter.helpscout.answering`; what a question says of itself is kept apart from that (`Refusals`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from exporter.questions import Key
from exporter.reasons import REASONS

SILENCE_SECONDS: Final = 60.0
"""After so long without an answer of any kind a probe is due."""


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """What is exported of an account: whether it answers and what is the matter now.

    `collectors` says for each collector that was tried whether any of its plain reports arrives.
    """

    up: bool = False
    problems: frozenset[str] = frozenset()
    collectors: tuple[tuple[str, bool], ...] = ()
    segments: tuple[tuple[str, bool], ...] = ()
    """Whether each segment's tags and folders are known."""
    office_open: bool | None = None
    """Whether the office is open now, None without a schedule."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What arrived instead of a usable answer: the error's reason, and its message in one line.

    `reference` is what Help Scout's support asks for, None if it gave none; `remedy` is what to do,
    empty where nobody knows. No secret is in it.
    """

    reason: str
    message: str
    reference: str | None = None
    remedy: str = ""

    @property
    def problem(self) -> str:
        """The account's problem that a failure like this is part of: one of PROBLEMS."""
        return problem_of(self.reason)


@dataclass(frozen=True, slots=True)
class Trouble:
    """An unbroken row of failures: the last one, and Unix seconds of the first and the last."""

    failure: Failure
    since: float
    at: float


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that was not found: where it is configured, and a sentence about it.

    `segment` names the segment that it is a part of, empty for a mailbox.
    """

    where: str
    what: str
    segment: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class Refusals:
    """What each key's last attempt says of the key, its mailbox and its collector. One a collector.

    A key's plain question is the one for type `all` in calendar time without a segment. Where none
    is configured so, every key without a segment is plain. `needs_reports` says that a plan without
    reports refuses them all.
    """

    def __init__(self, *, needs_reports: bool = True) -> None:
        self._needs_reports = needs_reports
        self._plain: frozenset[Key] = frozenset()
        self._mailboxes: frozenset[str] = frozenset()
        """Of the plain keys."""
        self._last: dict[str, dict[Key, str | None]] = {}
        """By mailbox: the reason of each key's last attempt, None for a success."""
        self._tried: set[Key] = set()
        self._failing: set[Key] = set()
        self._failed_twice: set[Key] = set()
        self._resting: set[str] = set()
        self.trial_at = float("-inf")
        """When a collector that rests is tried again."""

    def keep(self, keys: Iterable[Key]) -> None:
        """Judge exactly these keys from now on."""
        wanted = frozenset(keys)
        whole = [key for key in wanted if not key.segment]
        plain = [key for key in whole if key == key.plain]
        self._plain = frozenset(plain or whole)
        self._mailboxes = frozenset(key.mailbox_id for key in self._plain)
        self._last = {
            mailbox_id: {key: reason for key, reason in of_it.items() if key in wanted}
            for mailbox_id, of_it in self._last.items()
        }
        for found in (self._tried, self._failing, self._failed_twice):
            found &= self._plain
        self._resting &= {key.mailbox_id for key in wanted}

    def forget(self) -> None:
        """Leave nothing alone until it is refused again: something may have been allowed."""
        self._resting.clear()

    def note(self, key: Key, reason: str | None) -> None:
        """Note an attempt: None for a success, else the error's reason."""
        self._last.setdefault(key.mailbox_id, {})[key] = reason
        if key in self._plain:
            self._tried.add(key)
            if reason is None:
                self._failing.discard(key)
                self._failed_twice.discard(key)
            elif key in self._failing:
                self._failed_twice.add(key)
            else:
                self._failing.add(key)
        if self._is_refused(key.mailbox_id):
            self._resting.add(key.mailbox_id)
        else:
            self._resting.discard(key.mailbox_id)

    def is_plain(self, key: Key) -> bool:
        """Return whether this is a plain question."""
        return key in self._plain

    @property
    def works(self) -> bool | None:
        """Whether a plain key's last attempt succeeded or is still to come; None before any.

        A single key is given a second attempt. What is not asked, since all is refused, has failed.
        """
        if not self._tried:
            return None
        if len(self._plain) == 1:
            return not self._failed_twice
        return len(self._failing) < len(self._plain) and not self.collector_rests

    @property
    def problem(self) -> str | None:
        """The account's problem if every plain key fails, and the questions are why."""
        if self.works is not False and not self.collector_rests:
            return None
        reasons = [self._last[key.mailbox_id].get(key) for key in self._tried & self._failing]
        if self._needs_reports and all(reason == "plan" for reason in reasons):
            return "plan"
        if not self._needs_reports:  # what is refused or not there is this collector's matter alone
            reasons = [reason for reason in reasons if reason and not REASONS[reason].rests]
        problems = {problem_of(reason) for reason in reasons if reason is not None}
        return "bad_response" if "bad_response" in problems else None

    def mailbox_rests(self, mailbox_id: str) -> bool:
        """Return whether a mailbox is left alone.

        It is when each plain key of it that was asked is refused, and nothing else of it arrives.
        """
        return mailbox_id in self._resting

    @property
    def collector_rests(self) -> bool:
        """Whether every mailbox is left alone, and so the collector."""
        return bool(self._mailboxes) and self._resting >= self._mailboxes

    def refused_segments(self) -> set[str]:
        """Return the segments of which every report that was asked is refused by itself."""
        reasons: dict[str, set[str | None]] = {}
        for of_it in self._last.values():
            for key, reason in of_it.items():
                reasons.setdefault(key.segment, set()).add(reason)
        if None not in reasons.get("", ()):
            return set()  # then it is not the segment's
        own = {name for name, reason in REASONS.items() if reason.refuses_question}
        return {s for s, found in reasons.items() if s and found & own and None not in found}

    def _is_refused(self, mailbox_id: str) -> bool:
        of_it = self._last.get(mailbox_id, {})
        plain = [reason for key, reason in of_it.items() if key in self._plain]
        return (
            bool(plain)
            and all(reason is not None and REASONS[reason].rests for reason in plain)
            and None not in of_it.values()
        )


def problem_of(reason: str) -> str:
    """Return the account's problem that a reason is part of."""
    return REASONS[reason].problem.name
