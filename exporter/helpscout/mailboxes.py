"""The mailbox list of either generation: what is read of a page."""

from functools import partial
from typing import Any, Final

from exporter.helpscout.account import Api
from exporter.helpscout.pages import Listed, Page, parse_page
from exporter.helpscout.wire import Id, Odd, Wire, judged
from exporter.questions import Mailbox

MAILBOXES: Final = Listed("mailboxes", "mailbox")

_DETAILS: Final = ("slug", "email")


class _Mailbox(Wire):
    id: Id
    name: Any = None
    slug: Any = None
    email: Any = None


def parse_mailboxes(api: Api, body: bytes, odd: Odd) -> Page[Mailbox]:
    """Return a page of the mailbox list. Raises BadResponse naming the field."""
    return parse_page(api, body, MAILBOXES, partial(_mailbox, odd), odd)


def _mailbox(odd: Odd, where: str, item: Any) -> Mailbox:
    wire = judged(_Mailbox, where, item)
    if not isinstance(wire.name, str):
        odd(f"mailbox {wire.id}: has no name that is text, and is shown by its id")
    name = wire.name if isinstance(wire.name, str) else str(wire.id)
    details = [_text(f"mailbox {wire.id}: {n}", v, odd) for n, v in wire if n in _DETAILS]
    return Mailbox(wire.id, name, *details)


def _text(where: str, value: Any, odd: Odd) -> str:
    if value is not None and not isinstance(value, str):
        odd(f"{where} is not text, and is left out")
    return value if isinstance(value, str) else ""
