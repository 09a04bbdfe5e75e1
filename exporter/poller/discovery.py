"""An account's mailbox list: when it is asked, and what is believed of it.

Its first page is the probe that shows whether the account answers (docs/health.md). Only one of the
two is under way at a time. Times are monotonic seconds.
"""

from collections.abc import Iterable
from math import inf
from typing import Final

from exporter.helpscout.attempts import backoff_seconds
from exporter.helpscout.errors import HelpScoutError, ShortList
from exporter.questions import Mailbox
from exporter.schedule import DISCOVERY_SECONDS

_RETRY_SECONDS: Final = 15.0
_EMPTY_LISTS: Final = 3
"""So many lists in a row have to be empty before an account that had mailboxes has none."""


class Discovery:
    """What is known of one account's mailboxes; `now` is when the list is first due."""

    def __init__(self, now: float) -> None:
        self.mailboxes: list[Mailbox] | None = None
        """The last that is believed, None before there is any."""
        self.due = now
        """When the whole list is to be asked."""
        self.attempted = False
        """Whether list or probe have been tried once, whatever the result."""
        self.under_way = False
        """Whether list or probe are being asked."""
        self.since = now
        """When that began, or the last one."""
        self.failures = 0
        """How many lists in a row failed."""
        self._again = False
        """Whether the list under way is not the one that is wanted by now."""
        self._empty_lists = 0

    def next_due(self, probe_due: float) -> float:
        """Return when something is to be asked, given when a probe is due."""
        return inf if self.under_way else min(self.due, probe_due)

    def begin(self, now: float) -> bool:
        """Note that it is being asked; return whether a probe is enough."""
        self.under_way, self.since = True, now
        return now < self.due

    def end(self) -> None:
        """Note that list or probe ended, whatever the result."""
        self.under_way, self.attempted = False, True

    def ask_at_once(self, now: float) -> None:
        """Have the whole list asked at once, also if one is under way."""
        self.due = now
        self._again = self.under_way

    def works_again(self, now: float) -> None:
        """The account answers: have a list that failed asked at once."""
        if self.failures:
            self.due = now

    def emptied(self, mailboxes: list[Mailbox]) -> ShortList | None:
        """Return what is wrong with a list that arrived: it is suddenly empty.

        That no mailbox is left is believed when several lists in a row say so.
        """
        if mailboxes or not self.mailboxes or self._empty_lists + 1 >= _EMPTY_LISTS:
            return None
        self._empty_lists += 1
        return ShortList(
            f"the list is empty, where {len(self.mailboxes)} mailboxes were before: they"
            f" are kept until {_EMPTY_LISTS} lists in a row are empty"
        )

    def arrived(self, mailboxes: list[Mailbox], now: float) -> None:
        """Take a whole list: what is not in it is gone."""
        self._empty_lists = self.failures = 0
        self.mailboxes = mailboxes
        self._next_after(DISCOVERY_SECONDS, now)

    def failed(self, error: HelpScoutError, now: float) -> float:
        """Try again soon, then less and less often; return after how many seconds.

        A list that is not whole adds what is new in it.
        """
        self.failures += 1
        backoff = backoff_seconds(_RETRY_SECONDS, self.failures, DISCOVERY_SECONDS)
        wait = max(backoff, error.retry_after or 0.0)
        self._next_after(wait, now)
        return wait

    def add(self, mailboxes: Iterable[Mailbox]) -> bool:
        """Take what is in a list that is not whole; return whether anything is new."""
        known = {mailbox.id: mailbox for mailbox in self.mailboxes or ()}
        merged = list((known | {mailbox.id: mailbox for mailbox in mailboxes}).values())
        changed = merged != self.mailboxes
        self.mailboxes = merged
        return changed

    def _next_after(self, wait: float, now: float) -> None:
        self.due = now if self._again else now + wait
        self._again = False
