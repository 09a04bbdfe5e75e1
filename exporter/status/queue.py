"""The queue: which customers of a mailbox wait now, and how many conversations are in its folders.

It shows what the kinds `waiting` and `folders` have found.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from exporter.collectors import Meaning
from exporter.collectors.folders import Folder, Folders
from exporter.collectors.waiting import Waiting, WaitingCustomers, beyond, waits_of
from exporter.questions import Key, flag
from exporter.sla import Objective
from exporter.status.choice import Choice
from exporter.status.facts import Facts, State
from exporter.store import Entry

QUEUES: Final = {
    "unassigned": "Unassigned",
    "assigned": "Assigned",
    "needs_attention": "Needs attention",
}
"""The queues that are shown, and their headings."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """How many customers have waited beyond an SLA's target, and how many are about to."""

    objective: Objective
    beyond: int
    at_risk: int


@dataclass(frozen=True, slots=True)
class Waits:
    """`count` customers wait, the longest of them since `since`: Unix seconds, None for nobody.

    With `truncated` there are more than were read, so that counts are lower bounds.
    """

    count: int
    since: float | None
    truncated: bool
    overdue: tuple[Overdue, ...]

    @property
    def beyond(self) -> int:
        """How many have waited beyond the target of one SLA or another."""
        return max((each.beyond for each in self.overdue), default=0)


@dataclass(frozen=True, slots=True)
class Pile:
    """The conversations of one queue, by state; None for a number that is not known."""

    conversations: int | None
    pending: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A mailbox's queue. `waits` is None where it is not asked for, or not of this choice.

    `state` is that of the worse of the two answers, `age` (seconds) and `succeeded_at` (Unix
    seconds) those of the older one.
    """

    name: str
    id: str
    state: State
    failed: bool
    age: float
    succeeded_at: float | None
    waits: Waits | None
    piles: tuple[Pile, ...]


@dataclass(frozen=True, slots=True)
class Backlog:
    """All mailboxes of a choice together; no customer waits in two of them."""

    waiting: int
    since: float | None
    beyond: int
    truncated: bool

    @classmethod
    def of(cls, all_waits: Iterable[Waits]) -> "Backlog | None":
        """Return what these make together, None for none."""
        listed = list(all_waits)
        if not listed:
            return None
        return cls(
            sum(waits.count for waits in listed),
            min((waits.since for waits in listed if waits.since is not None), default=None),
            sum(waits.beyond for waits in listed),
            any(waits.truncated for waits in listed),
        )


def keys_of(account: str, mailbox_id: str) -> tuple[Key, Key]:
    """Return the keys of a mailbox's queue."""
    return (
        Key(WaitingCustomers.name, account, mailbox_id),
        Key(Folders.name, account, mailbox_id),
    )


def line(facts: Facts, choice: Choice, name: str, mailbox_id: str) -> Line | None:
    """Return a mailbox's queue, None where nothing of it is asked."""
    entries = facts.snapshot.entries
    asked = [(key, entries[key]) for key in keys_of(choice.account, mailbox_id) if key in entries]
    if not asked:
        return None
    states = [facts.state(key, entry) for key, entry in asked]
    oldest = min((entry for _, entry in asked), key=lambda entry: entry.fresh_since)
    return Line(
        name,
        mailbox_id,
        max(states, key=list(State).index),
        any(entry.success is False for _, entry in asked),
        facts.clock - oldest.fresh_since,
        oldest.succeeded_at,
        waits(facts, choice, mailbox_id),
        tuple(_piles(facts, choice.account, mailbox_id)),
    )


def waits(facts: Facts, choice: Choice, mailbox_id: str) -> Waits | None:
    """Return how many of a mailbox's customers wait, None where that is not known."""
    key, _ = keys_of(choice.account, mailbox_id)
    entry = facts.snapshot.entries.get(key)
    if entry is None or entry.reading is None:
        return None
    found: Waiting = entry.reading.value
    meaning, hours = Meaning(facts.configuration), flag(choice.office_hours)
    cut = key._replace(type=choice.type, segment=choice.segment, office_hours=hours)
    counted = waits_of(cut, entry.reading, meaning)
    in_all = waits_of(cut._replace(office_hours="false"), entry.reading, meaning)
    if counted is None or in_all is None:
        return None
    return Waits(
        len(counted),
        entry.reading.as_of.timestamp() - max(in_all) if in_all else None,
        found.is_truncated,
        tuple(_overdue(meaning, cut, entry, counted)),
    )


def _overdue(meaning: Meaning, cut: Key, entry: Entry, waits: list[float]) -> Iterator[Overdue]:
    for objective in meaning.objectives:
        if objective.judges_waits and objective.covers_now(cut, entry.mailbox):
            late = beyond(objective, waits)
            soon = beyond(objective, waits, meaning.settings.waiting.at_risk)
            yield Overdue(objective, late, soon - late)


def _piles(facts: Facts, account: str, mailbox_id: str) -> Iterator[Pile]:
    _, key = keys_of(account, mailbox_id)
    entry = facts.snapshot.entries.get(key)
    folders: tuple[Folder, ...] = entry.reading.value if entry and entry.reading else ()
    counts = {folder.queue: dict(folder.counts) for folder in folders}
    for queue in QUEUES:
        known = counts.get(queue, {})
        yield Pile(known.get("active", known.get("all")), known.get("pending"))
