"""Does an account work, and is there what the configuration names? Asked once, without poller."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from exporter.collectors import ask, questions_of, scope
from exporter.health import Missing
from exporter.helpscout.account import Account
from exporter.helpscout.budget import Budget
from exporter.helpscout.client import Client
from exporter.helpscout.errors import HelpScoutError, NotThere
from exporter.helpscout.retries import persistently
from exporter.missing import mailbox_patterns, of_segments
from exporter.questions import Mailbox, Question
from exporter.reasons import REASONS
from exporter.schedule import demand_per_minute
from exporter.selection import Segment
from exporter.settings import Configuration
from exporter.telemetry import Telemetry

_MOST_MAILBOXES: Final = 20
"""So many are asked at most for the one that a segment's folders belong to."""

_Ask = Callable[[Question], dict[str, int]]
"""Asks a question; returns the account's tags as far as the answer names them."""


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

    def tags_of(question: Question) -> dict[str, int]:
        call = partial(ask, client, question, datetime.now(UTC))
        return dict(persistently(account.name, call, wait).learned.tags)

    def questions(mailboxes: list[Mailbox], tags: Mapping[str, int]) -> list[Question]:
        return questions_of(scope(account, configuration, mailboxes, tags))

    try:
        mailboxes = persistently(account.name, client.mailboxes, wait)
        asked = questions(mailboxes, {})
        if not asked:
            raise NotThere(
                f"login good, {len(mailboxes)} mailboxes, but none of them is selected: look at"
                " mailboxes.include and mailboxes.exclude"
            )
        first = {question.key.collector: question for question in reversed(asked)}
        tags: dict[str, int] = {}
        for question in first.values():
            tags |= tags_of(question)
        if configuration.needs_tags and not tags:
            # A range without conversations may name none: a longer one does.
            tags = tags_of(max(asked, key=lambda question: question.range or timedelta()))
        asked = questions(mailboxes, tags)
        refused = set(_refused(tags_of, configuration.segments, asked))
    finally:
        client.close()
    return Checked(
        f"{account.name}: login good (API {account.api[1]}.0), {len(mailboxes)} mailboxes, report"
        f" good; {len(asked)} reports, {demand_per_minute(asked):.1f} calls a minute"
        f" of {budget.per_minute * account.budget:.0f} in the budget",
        tuple(of_segments(configuration.segments, tags, {}, refused)),
        frozenset(mailbox_patterns(configuration.named_mailboxes, mailboxes)),
    )


def _refused(
    tags_of: _Ask, segments: Iterable[Segment], questions: Iterable[Question]
) -> Iterable[str]:
    """Yield the segments whose folders belong to none of the mailboxes: each refuses them."""
    first: dict[tuple[str, str], Question] = {}
    for question in questions:
        first.setdefault((question.key.segment, question.key.mailbox_id), question)
    for segment in segments:
        of_it = [each for (name, _), each in first.items() if name == segment.name]
        if not segment.folders or not of_it:
            continue
        if not any(_is_allowed(tags_of, each) for each in of_it[:_MOST_MAILBOXES]):
            yield segment.name


def _is_allowed(tags_of: _Ask, question: Question) -> bool:
    try:
        tags_of(question)
    except HelpScoutError as error:
        if REASONS[error.reason].refuses_question:
            return False
        raise
    return True
