"""The queue: which customers of a mailbox wait now, and how many conversations are in its folders.

It shows what /metrics has of `waiting` and `folders`, sample by sample: nothing is counted again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from exporter.collectors import COLLECTORS, Meaning
from exporter.questions import Key
from exporter.sla import Objective
from exporter.status.choice import Choice
from exporter.status.facts import Facts, State
from exporter.store import Entry

WAITING: Final = "waiting"
FOLDERS: Final = "folders"
QUEUES: Final = {
    "unassigned": "Unassigned",
    "assigned": "Assigned",
    "needs_attention": "Needs attention",
}
"""The queues that are shown, and their headings."""

_Labels = Mapping[str, str]


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
    return Key(WAITING, account, mailbox_id), Key(FOLDERS, account, mailbox_id)


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
    found = list(_samples(facts, Key(WAITING, choice.account, mailbox_id)))
    cut = {"type": choice.type, "segment": choice.segment}
    clock = cut | {"office_hours": "true" if choice.office_hours else "false"}
    any_time = cut | {"office_hours": "false"}
    count = _value(found, "helpscout_waiting_conversations", clock)
    if count is None:
        return None
    return Waits(
        int(count),
        _value(found, "helpscout_waiting_since_timestamp_seconds", any_time),
        bool(_value(found, "helpscout_waiting_truncated", {})),
        tuple(_overdue(facts, found, clock)),
    )


def _overdue(
    facts: Facts, samples: list[tuple[str, _Labels, float]], cut: _Labels
) -> Iterator[Overdue]:
    for objective in facts.configuration.objectives:
        beyond, at_risk = (
            _value(
                samples,
                "helpscout_sla_waiting_conversations",
                {**cut, "sla": objective.name, "threshold": threshold},
            )
            for threshold in ("target", "at_risk")
        )
        if beyond is not None and at_risk is not None:
            yield Overdue(objective, int(beyond), int(at_risk - beyond))


def _piles(facts: Facts, account: str, mailbox_id: str) -> Iterator[Pile]:
    found = list(_samples(facts, Key(FOLDERS, account, mailbox_id)))
    for queue in QUEUES:

        def of(*states: str, queue: str = queue) -> int | None:
            wanted = ({"queue": queue, "state": state} for state in states)
            counts = (_value(found, "helpscout_queue_conversations", each) for each in wanted)
            return next((int(count) for count in counts if count is not None), None)

        yield Pile(of("active", "all"), of("pending"))


def _samples(facts: Facts, key: Key) -> Iterator[tuple[str, _Labels, float]]:
    entry: Entry | None = facts.snapshot.entries.get(key)
    if entry is None or entry.reading is None:
        return
    meaning = Meaning(facts.configuration)
    collector = COLLECTORS[key.collector]
    for sample in collector.samples(key, entry.reading, entry.mailbox, meaning):
        yield sample.family.name, dict(sample.labels), sample.value


def _value(
    samples: Iterable[tuple[str, _Labels, float]], family: str, wanted: _Labels
) -> float | None:
    """Return the value of the first sample with these labels, None where there is none."""
    return next(
        (
            value
            for name, labels, value in samples
            if name == family and wanted.items() <= labels.items()
        ),
        None,
    )
