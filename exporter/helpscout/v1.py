"""The legacy Mailbox API 1.0: paths, parameter forms, envelope (docs/api-facts.md)."""

from exporter.helpscout.wire import MailboxPage, Odd, parse_legacy_mailboxes


def mailboxes_path(page: int) -> str:
    """Return the path and query of a page of the mailbox list, from 1."""
    return f"/mailboxes.json?page={page}"


def mailboxes(body: bytes, odd: Odd) -> MailboxPage:
    """Return what a page of the mailbox list says. Raises BadResponse."""
    return parse_legacy_mailboxes(body, odd)
