"""The mailbox list, page by page: whole, or an error. Pure but for the pages it asks for.

Pages may say how many there are or not, change while they are read, or repeat themselves. A list
that is believed though it is short takes series away, so that is checked.
"""

from collections.abc import Callable
from typing import Final

from exporter.helpscout.errors import BadResponse, ShortList
from exporter.helpscout.wire import MailboxPage
from exporter.questions import Mailbox

_MAX_PAGES: Final = 400
_READINGS: Final = 3


def read_list(page: Callable[[int], MailboxPage]) -> list[Mailbox]:
    """Return every mailbox; `page` returns a page by its number, from 1.

    A list that changes while it is read is read again. Raises ShortList where fewer arrive than the
    service says there are, BadResponse, and what `page` raises.
    """
    for _ in range(_READINGS):
        listed = _read(page)
        if listed.settled:
            break
    return listed.whole()


def _read(ask: Callable[[int], MailboxPage]) -> "_Listed":
    listed = _Listed()
    for number in range(1, _MAX_PAGES + 1):
        page = ask(number)
        is_this = page.number in (None, number)
        if not is_this and number > 1:
            raise BadResponse(f"the list is not whole: page {number} is page {page.number}")
        is_new = listed.take(page)
        if not listed.goes_on(page, number):
            return listed
        if not is_this or not is_new:
            if page.total is not None and not page.mailboxes:
                return listed  # it ended early; whether it is whole shows in the total
            raise BadResponse(f"the list does not end: page {number} brought nothing new")
    raise BadResponse(f"the list has more than {_MAX_PAGES} pages")


class _Listed:
    """What has been read of the mailbox list."""

    def __init__(self) -> None:
        self.found: dict[int, Mailbox] = {}
        self.skipped = 0
        self.total: int | None = None
        self.settled = True
        """Whether all pages say the same total: nothing changed while they were read."""

    def take(self, page: MailboxPage) -> bool:
        """Take a page in; return whether it has anything that was not there before."""
        known = len(self.found)
        self.found.update((mailbox.id, mailbox) for mailbox in page.mailboxes)
        self.skipped += page.skipped
        self.settled = self.settled and self.total in (None, page.total)
        self.total = page.total
        return len(self.found) > known or page.skipped > 0

    def whole(self) -> list[Mailbox]:
        """Return the mailboxes. Raises ShortList where there should be more, BadResponse."""
        found, seen = list(self.found.values()), len(self.found) + self.skipped
        if self.skipped and not found:
            raise BadResponse("none of the mailboxes in the list can be read")
        if self.total is not None and seen < self.total:
            raise ShortList(
                f"the list is not whole: it has {seen} mailboxes where Help Scout says there are"
                f" {self.total}",
                found,
            )
        return found

    def goes_on(self, page: MailboxPage, number: int) -> bool:
        """Return whether there is another page. The link is the truth where there is one."""
        if page.has_next:
            return True
        if page.pages is None:
            return page.total is not None and len(self.found) + self.skipped < page.total
        return number < page.pages
