"""What a collector is: one kind of question to Help Scout, with all that is special to it.

The rest of the house schedules, pays, retries, keeps, restores, exports, plans and fills the past
without knowing any kind. docs/architecture.md draws it; CONTRIBUTING.md says what a new one takes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from exporter.helpscout.account import Account, Api
from exporter.helpscout.errors import HelpScoutError
from exporter.questions import ALL, Get, Key, Mailbox, Question, Reading
from exporter.reasons import REASONS
from exporter.selection import MailboxChoice
from exporter.settings import Configuration
from exporter.sla import Objective
from exporter.telemetry import Family


class Sample(NamedTuple):
    """One sample. `labels` are those beyond, or instead of, the key's; a gaugehistogram's has `le`.

    Account, name of the mailbox, order and escaping are added by the exposition.
    """

    family: Family
    labels: tuple[tuple[str, str], ...]
    value: float


class Cut(NamedTuple):
    """A segment whose tags are known, by ids; everything has no name and no ids."""

    segment: str
    tag_ids: tuple[int, ...]
    folder_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """What an account has and is asked for.

    `mailboxes` are those of this shard, each with its id as in a key and the ids to filter by;
    `all` is among them where it is wanted, with no ids if it is every mailbox of the account. The
    first of `cuts` is everything. `account` is the account's name, `collectors` what is configured
    under that key: the kinds of question that are asked of it, empty for all that are on.
    """

    account: str
    api: Api
    mailboxes: tuple[tuple[str, tuple[int, ...]], ...]
    cuts: tuple[Cut, ...]
    settings: Configuration
    collectors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What samples depend on besides key and reading; after a reload all are made again."""

    settings: Configuration

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is promised."""
        return self.settings.objectives


class Collector(Protocol):
    """One kind of question."""

    @property
    def name(self) -> str:
        """The label `collector`, and the first part of a key."""

    @property
    def operation(self) -> str:
        """The label `operation` of the API metrics."""

    @property
    def needs_reports(self) -> bool:
        """Whether it needs a plan with reports: 403 for all of its keys is the problem `plan`."""

    @property
    def families(self) -> tuple[Family, ...]:
        """What its samples belong to, in the order of the exposition; each is of one collector."""

    @property
    def value_type(self) -> Any:
        """The type of a reading's value, which pydantic can write to the state file and read."""

    def questions(self, scope: Scope) -> Iterable[Question]:
        """Return what is to be asked of an account, plain questions first."""

    def ask(self, question: Question, api: Api, at: datetime, get: Get) -> Reading:
        """Ask for the instant `at` (aware UTC), in one call or several. Raises HelpScoutError."""

    def samples(
        self, key: Key, reading: Reading, mailbox: str, meaning: Meaning
    ) -> Iterable[Sample]:
        """Return what a reading is exported as; `mailbox` is its present name. Pure, no clock."""

    def specimen(self, question: Question) -> Any:
        """Return a value with everything measured: its samples are all that a key can have."""


def mailbox_remedy(error: HelpScoutError, advice: str) -> str:
    """Return what to do where a mailbox is refused, empty where the error is not about it."""
    if not REASONS[error.reason].rests:
        return ""
    return f"was the mailbox deleted? {advice}" if error.reason == "not_found" else advice


def scope(
    account: Account,
    settings: Configuration,
    mailboxes: Iterable[Mailbox],
    tags: Mapping[str, int],
) -> Scope:
    """Return what is asked of an account with these mailboxes and tags (ids by name).

    A segment with a tag name that is not in `tags` is left out for now.
    """
    listed = list(mailboxes)
    chosen = settings.mailboxes.chosen(listed)
    boxes: list[tuple[str, tuple[int, ...]]] = [(str(box.id), (box.id,)) for box in chosen]
    if settings.mailboxes.all and chosen:
        every = () if len(chosen) == len(listed) else tuple(mailbox.id for mailbox in chosen)
        boxes.insert(0, (ALL, every))
    cuts = [Cut("", (), ())]
    for segment in settings.segments:
        tag_ids = segment.tag_ids(tags)
        if tag_ids is not None:
            cuts.append(Cut(segment.name, tag_ids, segment.folders))
    mine = (box for box in boxes if settings.shard.owns(account.name, box[0]))
    return Scope(account.name, account.api, tuple(mine), tuple(cuts), settings, account.collectors)


def imagined(account: Account, settings: Configuration, mailboxes: int) -> Scope:
    """Return what would be asked of an account with so many selected mailboxes.

    Names and ids are not known: every mailbox counts as selected, and every tag as known.
    """
    listed = [Mailbox(number, f"mailbox {number}", "", "") for number in range(1, mailboxes + 1)]
    everything = replace(settings, mailboxes=MailboxChoice(all=settings.mailboxes.all))
    names = [tag for segment in settings.segments for tag in segment.tags if isinstance(tag, str)]
    return scope(account, everything, listed, dict.fromkeys(names, 1))
