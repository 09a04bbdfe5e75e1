"""Does an account work, and is there what the configuration names? Asked once, without poller."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from exporter.collectors import ask, lists_tags, questions_of, scope, segments_of
from exporter.health import Missing
from exporter.helpscout.account import Account
from exporter.helpscout.attempts import persistently
from exporter.helpscout.budget import Budget
from exporter.helpscout.client import Client
from exporter.helpscout.errors import HelpScoutError, NotThere
from exporter.missing import folders_of, mailbox_patterns, tags_of
from exporter.questions import Learned, Mailbox, Question
from exporter.reasons import REASONS
from exporter.schedule import Demand, list_pages
from exporter.selection import Segment
from exporter.settings import Configuration
from exporter.telemetry import Telemetry

_MOST_MAILBOXES: Final = 20
"""So many are asked at most for the one that a segment's folders belong to."""
_MOST_NAMES: Final = 8

_Ask = Callable[[Question], Learned]
"""Asks a question; returns what the answer says of the account's tags and folders."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of an account: a line, what is missing, what of all accounts' it lacks."""

    line: str
    missing: tuple[Missing, ...]
    patterns: frozenset[Missing]


def check_account(
    configuration: Configuration,
    account: Account,
    *,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], bool] | None = None,
) -> Checked:
    """Log in, list the mailboxes, ask one question of each kind, look tags and folders up.

    What may be a passing fault is asked again a few times. Somebody waits, so the whole limit may
    be used. `clock` is monotonic seconds, `wait` sleeps. Raises HelpScoutError.
    """
    telemetry, wait = Telemetry(process_metrics=False), wait or threading.Event().wait
    limit = account.requests_per_minute
    budget = Budget(account.name, limit, 1.0, telemetry, clock=clock, wait=wait)
    client = Client(account, budget, telemetry, clock=clock)

    def asking(question: Question) -> Learned:
        call = partial(ask, client, question, datetime.now(UTC))
        return persistently(account.name, call, wait).learned

    def questions(mailboxes: list[Mailbox], tags: Mapping[str, int]) -> list[Question]:
        return questions_of(scope(account, configuration, mailboxes, tags))

    try:
        mailboxes = persistently(account.name, client.mailboxes, wait)
        asked = questions(mailboxes, {})
        if not asked:
            raise NotThere(
                f"login good, {len(mailboxes)} mailboxes ({_names(mailboxes)}),"
                " but none of them is selected: look at mailboxes.include and mailboxes.exclude"
            )
        first: dict[str, Question] = {}
        for question in asked:
            first.setdefault(question.key.collector, question)
        said = {collector: asking(question) for collector, question in first.items()}
        tags = {name: id_ for learned in said.values() for name, id_ in learned.tags.items()}
        segments, knows_tags = segments_of(account, configuration), True
        if lists_tags(account, configuration):
            listed = _listed_tags(account, client, wait)
            tags |= listed or {}
            knows_tags = listed is not None
        elif any(segment.tags for segment in segments) and not tags:
            # A range without conversations may name none: a longer one does.
            longest = max(asked, key=lambda question: question.range or timedelta())
            tags = dict(asking(longest).tags)
        asked = questions(mailboxes, tags)
        folders, refused = None, set[str]()
        wanted = {id_ for segment in segments for id_ in segment.folders}
        if wanted:
            chosen = configuration.mailboxes.chosen(mailboxes)
            folders = _folders(asking, said, asked, wanted, len(chosen))
            if folders is None:
                refused = set(_refused(asking, segments, asked))
    finally:
        client.close()
    listed_tags = len(tags) if lists_tags(account, configuration) else None
    pages = list_pages(len(mailboxes), listed_tags)
    calls = Demand.of_questions(((question, 1) for question in asked), pages).per_minute
    allowed = budget.usage().limit * account.budget * configuration.shard.budget_share
    return Checked(
        f"{account.name}: login good (API {account.api[1]}.0), {len(mailboxes)} mailboxes,"
        f" {', '.join(first)} good; {len(asked)} reports, {calls:.1f} calls a minute of"
        f" {allowed:.0f} in the budget",
        (
            *(tags_of(segments, tags, {}) if knows_tags else ()),
            *folders_of(segments, tags, folders, refused),
        ),
        frozenset(mailbox_patterns(configuration.named_mailboxes, mailboxes)),
    )


def _names(mailboxes: list[Mailbox]) -> str:
    """Return the first few names."""
    names = [mailbox.name for mailbox in mailboxes]
    return ", ".join(names[:_MOST_NAMES] + ["…"] * (len(names) > _MOST_NAMES)) or "none"


def _listed_tags(
    account: Account, client: Client, wait: Callable[[float], bool]
) -> Mapping[str, int] | None:
    """Return the account's tags; None, with a warning, where they cannot be listed."""
    try:
        return persistently(account.name, client.tags, wait).tags
    except HelpScoutError as error:
        client.odd(f"{error}: whether the tags of segments exist is not known")
        return None


def _folders(
    asking: _Ask,
    said: Mapping[str, Learned],
    questions: Iterable[Question],
    wanted: set[int],
    mailboxes: int,
) -> Mapping[int, str] | None:
    """Return the folders of all mailboxes, or those that hold all the `wanted`, by their ids.

    `said` is what the first question of each kind brought. None where the answers do not show it.
    """
    teller = next((collector for collector, learned in said.items() if learned.folders), None)
    if teller is None:
        return None
    folders = dict(said[teller].folders)
    _, *others = [question for question in questions if question.key.collector == teller]
    for question in others[:_MOST_MAILBOXES]:
        if wanted <= folders.keys():
            break
        try:
            folders |= asking(question).folders
        except HelpScoutError as error:
            if REASONS[error.reason].refuses_question:
                return None
            raise
    is_whole = mailboxes == len(set(folders.values()))
    return folders if is_whole or wanted <= folders.keys() else None


def _refused(
    asking: _Ask, segments: Iterable[Segment], questions: Iterable[Question]
) -> Iterable[str]:
    """Yield the segments whose folders belong to none of the mailboxes: each refuses them."""
    first: dict[tuple[str, str], Question] = {}
    for question in questions:
        first.setdefault((question.key.segment, question.key.mailbox_id), question)
    for segment in segments:
        of_it = [each for (name, _), each in first.items() if name == segment.name]
        if not segment.folders or not of_it:
            continue
        if not any(_is_allowed(asking, each) for each in of_it[:_MOST_MAILBOXES]):
            yield segment.name


def _is_allowed(asking: _Ask, question: Question) -> bool:
    try:
        asking(question)
    except HelpScoutError as error:
        if REASONS[error.reason].refuses_question:
            return False
        raise
    return True
