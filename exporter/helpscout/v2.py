"""Mailbox API 2.0: paths, parameter forms, envelope (docs/api-facts.md)."""

from exporter.helpscout.wire import MailboxPage, Odd, parse_hal_mailboxes

TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path, not a secret


def mailboxes_path(page: int) -> str:
    """Return the path and query of a page of the mailbox list, from 1."""
    return f"/mailboxes?page={page}"


def mailboxes(body: bytes, odd: Odd) -> MailboxPage:
    """Return what a page of the mailbox list says. Raises BadResponse."""
    return parse_hal_mailboxes(body, odd)
