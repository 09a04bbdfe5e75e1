"""Does an account work, and is there what the configuration names? Asked once, without poller."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from exporter.health import Missing
from exporter.helpscout.account import Account
from exporter.helpscout.budget import Budget
from exporter.helpscout.client import Client
from exporter.helpscout.errors import NotAllowed, NotThere, Refused
from exporter.helpscout.persistence import persistently
from exporter.missing import mailbox_patterns, of_segments
from exporter.reports import ReportRequest
from exporter.schedule import demand_per_minute
from exporter.selection import Segment, requests_for
from exporter.settings import Configuration
from exporter.telemetry import Telemetry

_MOST_MAILBOXES: Final = 20
"""So many are asked at most for the one that a segment's folders belong to."""

_Ask = Callable[[ReportRequest], dict[str, int]]
"""Asks a report; returns the account's tags as far as the answer names them."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of an account: a line, what is missing, what of all accounts' it lacks."""

    line: str
    missing: tuple[Missing, ...]
    patterns: frozenset[Missing]


def check_account(configuration: Configuration, account: Account) -> Checked:
    """Log in, list the mailboxes, ask a report, look tags and folders up.

    What may be a passing fault is asked again a few times. Raises HelpScoutError.
    """
    telemetry, wait = Telemetry(process_metrics=False), threading.Event().wait
    budget = Budget(account.name, account.requests_per_minute, 1.0, telemetry, wait=wait)
    client = Client(account, budget, telemetry)
    selection = configuration.selection

    def ask(request: ReportRequest) -> dict[str, int]:
        range_ = request.window.ending(datetime.now(UTC))
        call = partial(client.report, request, range_, tags=selection.needs_tags)
        return dict(persistently(account.name, call, wait).tags or {})

    try:
        mailboxes = persistently(account.name, client.mailboxes, wait)
        requests = requests_for(account.name, selection, mailboxes, {})
        if not requests:
            raise NotThere(
                f"login good, {len(mailboxes)} mailboxes, but none of them is selected: look at"
                " mailboxes.include and mailboxes.exclude"
            )
        tags = ask(requests[0])
        if selection.needs_tags and not tags:
            # A range without conversations may name none: a longer one does.
            tags = ask(max(requests, key=lambda request: request.window.range))
        requests = requests_for(account.name, selection, mailboxes, tags)
        refused = set(_refused(ask, selection.segments, requests))
    finally:
        client.close()
    return Checked(
        f"{account.name}: login good (API {account.api[1]}.0), {len(mailboxes)} mailboxes, report"
        f" good; {len(requests)} reports, {demand_per_minute(requests):.1f} calls a minute"
        f" of {budget.per_minute * account.budget:.0f} in the budget",
        tuple(of_segments(selection, tags, {}, refused)),
        frozenset(mailbox_patterns(selection, mailboxes)),
    )


def _refused(
    ask: _Ask, segments: Iterable[Segment], requests: Iterable[ReportRequest]
) -> Iterable[str]:
    """Yield the segments whose folders belong to none of the mailboxes: each refuses them."""
    first: dict[tuple[str, str], ReportRequest] = {}
    for request in requests:
        first.setdefault((request.key.segment, request.key.mailbox_id), request)
    for segment in segments:
        of_it = [each for (name, _), each in first.items() if name == segment.name]
        if not segment.folders or not of_it:
            continue
        if not any(_is_allowed(ask, each) for each in of_it[:_MOST_MAILBOXES]):
            yield segment.name


def _is_allowed(ask: _Ask, request: ReportRequest) -> bool:
    try:
        ask(request)
    except (NotAllowed, NotThere, Refused):
        return False
    return True
