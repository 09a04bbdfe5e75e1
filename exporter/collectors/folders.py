"""The folders of each mailbox: how many conversations are in each queue now.

What the fields mean: docs/api-facts.md#folders. Queues overlap (a conversation that is assigned to
me is in two of them, and may be in a team's as well), so nothing is ever added up here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from exporter.collectors.base import Meaning, Sample, Scope, mailbox_remedy
from exporter.helpscout.account import Api, path_in
from exporter.helpscout.errors import HelpScoutError
from exporter.helpscout.pages import Listed, Page, parse_page, read_list
from exporter.helpscout.wire import Id, Odd, Wire, count_of, judged
from exporter.questions import ALL, Get, Key, Learned, Question, Reading
from exporter.telemetry import Family

QUEUE: Final = Family(
    "helpscout_queue_conversations",
    "gauge",
    "Conversations in a queue of the mailbox now; queues overlap, so do not add them up",
    ("account", "mailbox", "mailbox_id", "queue", "folder", "folder_id", "state"),
)

_FOLDERS: Final = Listed("folders", "folder")
_CUSTOM: Final = "custom"
_CLOSED: Final = "closed"
_QUEUES: Final = {
    "open": "unassigned",
    "assigned": "assigned",
    "mytickets": "mine",
    "mine": "mine",
    "team": "team",
    "drafts": "drafts",
    "needs_attn": "needs_attention",
    "needsattention": "needs_attention",
    "spam": "spam",
    "closed": _CLOSED,
}
"""By the service's type, in the spellings of both generations; any other is a custom folder."""
_PENDING: Final = ("active", "pending")
_STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "unassigned": _PENDING,
    "assigned": _PENDING,
    "mine": _PENDING,
    "team": _PENDING,
    "drafts": ("all",),
    "needs_attention": ("all",),
    "spam": ("all",),
    _CUSTOM: ("active",),
    _CLOSED: (),
}
"""What is exported of each queue. In the first four, what is not active is pending."""
_NAMED: Final = frozenset({"team", _CUSTOM})
"""Of these a mailbox may have several, each with a name of its own."""
_REFUSED: Final = (
    "May the user behind the credentials see the mailbox? To do without its queues, leave folders"
    " out of the account's collectors"
)


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder. `counts` are the known ones by state; `name` is empty where `queue` says it."""

    id: int
    queue: str
    name: str
    counts: tuple[tuple[str, int], ...]


class Folders:
    """A question for each mailbox; a call for each page of its folders."""

    name: Final = "folders"
    operation: Final = "folders"
    needs_reports: Final = False
    families: Final = (QUEUE,)
    value_type: Final = tuple[Folder, ...]

    def questions(self, scope: Scope) -> Iterator[Question]:
        """Yield one for each mailbox; all of them together have no folders of their own."""
        every = scope.settings.folders.every
        for mailbox_id, _ in scope.mailboxes:
            if mailbox_id != ALL:
                yield Question(Key(self.name, scope.account, mailbox_id), every, None)

    def ask(self, question: Question, api: Api, at: datetime, get: Get) -> Reading:
        """Read the mailbox's folders to the last page. Raises HelpScoutError."""
        mailbox_id = question.key.mailbox_id
        path = path_in(api, f"/mailboxes/{mailbox_id}/folders")
        odd: list[str] = []

        def page(number: int) -> Page[Folder]:
            body = get(path, {"page": str(number)})
            return parse_page(api, body, _FOLDERS, partial(_folder, odd.append), odd.append)

        try:
            found = read_list(_FOLDERS, page)
        except HelpScoutError as error:
            error.remedy = error.remedy or mailbox_remedy(error, _REFUSED)
            raise
        return Reading(
            tuple(folder for folder in found if folder.counts),
            at,
            Learned(folders={folder.id: mailbox_id for folder in found}),
            odd=tuple(f"mailbox {mailbox_id}: {line}" for line in odd),
        )

    def samples(
        self, key: Key, reading: Reading, mailbox: str, meaning: Meaning
    ) -> Iterator[Sample]:
        """Yield the counts that are known; the id keeps two folders of one queue apart."""
        for folder in reading.value:
            named = ("queue", folder.queue), ("folder", folder.name), ("folder_id", str(folder.id))
            for state, count in folder.counts:
                yield Sample(QUEUE, (*named, ("state", state)), count)

    def specimen(self, question: Question) -> tuple[Folder, ...]:
        """Return one folder for each queue; how many teams and custom folders there are varies."""
        return tuple(
            Folder(number, queue, "", tuple((state, 40) for state in states))
            for number, (queue, states) in enumerate(_STATES.items(), 1)
        )


class _Folder(Wire):
    """Each of the rest is judged apart: an odd one costs itself alone."""

    id: Id
    name: Any = None
    type: Any = None
    total_count: Any = None
    active_count: Any = None


def _folder(odd: Odd, where: str, item: Any) -> Folder:
    """Return the folder. Raises BadResponse where it has no id."""
    wire = judged(_Folder, where, item)
    queue = _QUEUES.get(wire.type, _CUSTOM) if isinstance(wire.type, str) else _CUSTOM
    name = ""
    if queue in _NAMED:
        name = wire.name if isinstance(wire.name, str) else str(wire.id)
        if name is not wire.name:
            odd(f"folder {wire.id}: has no name that is text, and is shown by its id")
    return Folder(wire.id, queue, name, tuple(_counts(wire, queue, odd)))


def _counts(wire: _Folder, queue: str, odd: Odd) -> Iterator[tuple[str, int]]:
    """Yield what is known of the states of the queue; a count that is not used is not judged."""
    where, states = f"folder {wire.id}", _STATES[queue]
    active = total = None
    if "active" in states:
        active = count_of(f"{where}: activeCount", wire.active_count, odd)
    if "pending" in states or "all" in states:
        total = count_of(f"{where}: totalCount", wire.total_count, odd)
    if active is not None:
        yield "active", active
    if total is not None and "all" in states:
        yield "all", total
    elif total is not None and active is not None:
        if active <= total:
            yield "pending", total - active
        else:
            odd(f"{where}: activeCount: is above totalCount, so how many are pending is left out")
