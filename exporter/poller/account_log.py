"""What the log says of an account: one line when something changes, none while it only goes on.

Failures that befall the account as a whole are one matter; others are one matter for each mailbox
and cause, up to a handful of the same reason: beyond that they are many, and one line says so.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, NamedTuple

import structlog

from exporter.health import AccountStatus
from exporter.helpscout.errors import HelpScoutError
from exporter.questions import Key, Mailbox
from exporter.reasons import REASONS, Reason

_SKEW_SECONDS: Final = 60.0
_STRETCHED: Final = 1.02
"""A factor that is worth a line; below it a limit that wavers a little would make one each time."""
_A_HANDFUL: Final = 5


class Matter(NamedTuple):
    """What fails: the error's reason, and what it says of which mailbox.

    `mailbox_id` and `message` are empty for what befalls the account as a whole.
    """

    reason: str
    mailbox_id: str = ""
    message: str = ""


class NotFoundLog:
    """Says what is configured and was not found: once, and when it is there after all."""

    def __init__(self, **bound: str) -> None:
        self._log: Any = structlog.get_logger(**bound)
        self._lines: set[str] = set()

    def now(self, lines: Collection[str]) -> None:
        """Log what is new in these lines, and what is not in them any more."""
        for line in lines:
            if line not in self._lines:
                self._log.warning(
                    "configured and not found: no figures for it",
                    what=line,
                    hint="correct the configuration and reload; see helpscout-exporter check",
                )
        for line in sorted(self._lines.difference(lines)):
            self._log.info("what was not found is there, or not configured any more", what=line)
        self._lines = set(lines)


class AccountLog:
    """The log of one account; `clock` is monotonic seconds. Belongs to one thread."""

    def __init__(self, account: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._log: Any = structlog.get_logger(account=account)
        self._clock = clock
        self._matters: dict[Key, Matter] = {}
        self._keys = defaultdict[str, Counter[Matter]](Counter)
        """By reason: how many keys each matter has. An account may have a hundred thousand."""
        self._many: set[str] = set()
        self._discovery_reason: str | None = None
        self._skewed = False
        self.not_found = NotFoundLog(account=account)
        self._asked = self._failed = 0
        self._since = clock()

    @property
    def failing(self) -> list[Key]:
        """The keys whose last attempt failed."""
        return list(self._matters)

    def failing_for(self, chosen: Callable[[Reason], bool]) -> list[Key]:
        """The keys whose last attempt failed for a reason that is `chosen`."""
        return [key for key, matter in self._matters.items() if chosen(REASONS[matter.reason])]

    def report_succeeded(self, key: Key) -> None:
        """A report arrived; the last one of a matter to do so ends it."""
        self._asked += 1
        matter = self._matters.get(key)
        self._set(key, None)
        if matter is None or matter in self._keys[matter.reason]:
            return
        reason = matter.reason
        if reason not in self._many:
            self._log.info("reports work again", reason=reason, **_mailbox(matter))
        elif not self._keys[reason]:
            self._many.discard(reason)
            self._log.info("reports work again", reason=reason)

    def report_failed(self, key: Key, mailbox: str, error: HelpScoutError, next_try: float) -> None:
        """A report failed, after its retries; the first one of a matter is logged."""
        self._asked += 1
        self._failed += 1
        matter = Matter(error.reason)
        if error.evidence == "key":
            matter = Matter(error.reason, key.mailbox_id, str(error))
        new = matter not in self._keys[error.reason]
        self._set(key, matter)
        if new and error.reason not in self._many:
            many = len(self._keys[error.reason]) > _A_HANDFUL
            if many:
                self._many.add(error.reason)
            self._log.warning(
                "reports fail in many ways" if many else "reports fail",
                **_words(error),
                mailbox=mailbox,
                mailbox_id=key.mailbox_id,
                collector=key.collector,
                type=key.type,
                window=key.window,
                office_hours=key.office_hours == "true",
                segment=key.segment,
                next_try_seconds=round(next_try),
            )

    def _set(self, key: Key, matter: Matter | None) -> None:
        """Note what fails of a key, None for nothing."""
        before = self._matters.get(key)
        if before is not None:
            self._keys[before.reason][before] -= 1
            if not self._keys[before.reason][before]:
                del self._keys[before.reason][before]
        if matter is not None:
            self._matters[key] = matter
            self._keys[matter.reason][matter] += 1
        elif before is not None:
            del self._matters[key]

    def keep(self, keys: Collection[Key]) -> None:
        """Forget what concerns any other key."""
        for key in [key for key in self._matters if key not in keys]:
            self._set(key, None)
        self._many = {reason for reason in self._many if self._keys[reason]}

    def mailboxes(self, before: Iterable[Mailbox] | None, now: Iterable[Mailbox]) -> None:
        """The mailbox list arrived: log what is new, renamed, gone."""
        listed = {mailbox.id: mailbox for mailbox in now}
        if self._discovery_reason is not None:
            self._log.info("mailbox list works again", reason=self._discovery_reason)
            self._discovery_reason = None
        if before is None:
            self._log.info("mailboxes found", mailboxes=len(listed))
            return
        known = {mailbox.id: mailbox for mailbox in before}
        for mailbox in listed.values():
            old = known.get(mailbox.id)
            if old is None:
                self._log.info("mailbox appeared", mailbox=mailbox.name, mailbox_id=str(mailbox.id))
            elif old.name != mailbox.name:
                self._log.info(
                    "mailbox renamed",
                    mailbox=mailbox.name,
                    mailbox_id=str(mailbox.id),
                    before=old.name,
                )
        for mailbox in known.values():
            if mailbox.id not in listed:
                self._log.info("mailbox gone", mailbox=mailbox.name, mailbox_id=str(mailbox.id))

    def clock_skew(self, seconds: float) -> None:
        """Our clock against the service's: windows end at ours, so it had better be right."""
        skewed = abs(seconds) >= _SKEW_SECONDS
        if skewed and not self._skewed:
            self._log.warning(
                "this machine's clock differs from Help Scout's: windows end at the wrong time",
                seconds=round(seconds),
            )
        elif self._skewed and not skewed:
            self._log.info("this machine's clock is right again")
        self._skewed = skewed

    def discovery_failed(self, error: HelpScoutError, next_try: float) -> None:
        """Login or the mailbox list failed; logged when the reason is a new one."""
        if error.reason != self._discovery_reason:
            self._discovery_reason = error.reason
            self._log.warning(
                "login or mailbox list failed", **_words(error), next_try_seconds=round(next_try)
            )

    def status(
        self, before: AccountStatus, now: AccountStatus, error: HelpScoutError | None
    ) -> None:
        """The account's state changed; `error` is its last failure with no success since."""
        why = {"problems": sorted(now.problems)} | (_words(error) if error else {})
        if now.up and not before.up:
            self._log.info("account works", problems=sorted(now.problems))
        elif before.up and not now.up:
            self._log.error("account does not answer", **why, next_try_seconds=30)
        elif now.problems - before.problems:
            self._log.warning("account has a problem", **why)
        elif now.up and before.problems and not now.problems:
            self._log.info("account has no problem any more")

    def stretched(self, before: float, now: float, budget_per_minute: float) -> None:
        """The factor that fits the plan into the budget changed: logged at beginning and end."""
        if now > _STRETCHED >= before:
            self._log.warning(
                "the plan does not fit the budget: every interval is stretched",
                factor=round(now, 2),
                budget_per_minute=round(budget_per_minute, 1),
                hint="see helpscout-exporter plan",
            )
        elif before > _STRETCHED >= now:
            self._log.info("the plan fits the budget again")

    def round_ended(self, lag: float, budget_per_minute: float) -> None:
        """Sum up what was asked since the last time, if anything was."""
        now = self._clock()
        if self._asked:
            self._log.info(
                "poll round",
                asked=self._asked,
                failed=self._failed,
                seconds=round(now - self._since),
                lag_seconds=round(lag, 1),
                budget_per_minute=round(budget_per_minute, 1),
            )
        self._asked = self._failed = 0
        self._since = now


def _words(error: HelpScoutError) -> dict[str, Any]:
    words: dict[str, Any] = {"reason": error.reason, "error": str(error)}
    if error.reference:
        words["reference"] = error.reference
    return words


def _mailbox(matter: Matter) -> dict[str, str]:
    return {"mailbox_id": matter.mailbox_id} if matter.mailbox_id else {}
