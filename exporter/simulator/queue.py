"""How things stand at an instant: each conversation's state, and how many are in each folder.

By these definitions, of conversations that exist and are not gone:
- closed: its last closing is later than what the customer wrote last. Else active: the customer
  waits, or a user began it and nobody has answered. Else pending: the customer has the reply.
- a reply now and then leaves a conversation active; it then says that a user wrote last.
- a customer has waited since the earliest message after the last reply.
- assigned: a user replied or began it, or somebody took it before. Mine: assigned to the API user.
- a snoozed one stays what it is, and in its folders.
Folders of the service: open (active or pending, unassigned), assigned, mine, drafts (active with a
draft), needs attention (open, a reply bounced), closed, spam. A mailbox's own four hold the open
conversations that are sorted into them: a team's, and custom ones; the sixth mailbox has 45 more
of these, views on its open conversations.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import NamedTuple

from exporter.simulator.orders import Orders
from exporter.simulator.world import DAY, LIFE_DAYS, Conversation, Days, Mailbox, World

STANDARD = {  # type and name
    "open": "Unassigned",
    "mine": "Mine",
    "needs_attention": "Needs Attention",
    "drafts": "Drafts",
    "assigned": "Assigned",
    "closed": "Closed",
    "spam": "Spam",
}
_WITH_VIEWS = 1006  # of the first account; the others' ids differ by hundreds of thousands
API_USER = 77
COLLEAGUE = 78
_STANDARD_IDS = 5_000_000_000  # above those of every mailbox's own folders
_VIEWS = 45  # of the sixth mailbox: more folders than are on one page
_TEAM = 9001
_CUSTOM_NAMES = ("Refunds", 'Says "urgent"', "Returns\\2026")
_OPENS = 9 * 3600
_SNOOZED, _SNOOZED_AFTER = 1 / 32, 600  # so many without an order, after so many seconds


class ConversationState(NamedTuple):
    """A conversation at an instant. Instants in seconds, None: there is none."""

    life: Conversation
    status: str  # active, pending or closed
    since: int  # what the service says the customer has waited since, whether one waits or not
    threads: int
    latest: str  # customer or user: who wrote last
    is_assigned: bool
    is_mine: bool
    has_draft: bool
    has_bounced: bool
    snoozed_until: int | None
    time_form: str  # as in Traits
    latest_form: str  # as in Traits

    @property
    def began(self) -> str:
        return "user" if self.life.outgoing else "customer"

    @property
    def assignee(self) -> int | None:
        """The id of the user it is assigned to."""
        return (API_USER if self.is_mine else COLLEAGUE) if self.is_assigned else None

    @property
    def waits(self) -> bool:
        """Whether a customer waits for a reply, and nobody has put that off."""
        return self.status == "active" and self.latest == "customer" and self.snoozed_until is None


class Folder(NamedTuple):
    id: int
    type: str  # of STANDARD, or team or custom
    name: str
    user: int
    total: int
    active: int
    updated: int


class Queues:
    """What stands in a world; remembers, for each mailbox, what may stand on its present day."""

    def __init__(self, world: World, days: Days, orders: Orders) -> None:
        self._world, self._days, self._orders = world, days, orders
        self._lives = lru_cache(2048)(self._lives_of)
        self._states = lru_cache(16)(self._states_at)

    def states(self, mailbox: Mailbox, now: int) -> tuple[ConversationState, ...]:
        """All that are active or pending, and what was closed today."""
        return self._states(mailbox, now)

    def folders(self, mailbox: Mailbox, now: int) -> list[Folder]:
        """Every folder of a mailbox with its counts."""
        total, active, today = Counter[int](), Counter[int](), now // DAY
        total[standard_folder(mailbox, "closed")] = self._lives(mailbox, today)[1]
        total[standard_folder(mailbox, "spam")] = self._world.spam(mailbox, today)
        for state in self.states(mailbox, now):
            for folder in places(mailbox, state):
                total[folder] += 1
                active[folder] += state.status == "active"
        return [
            Folder(id_, type_, name, user, total[id_], active[id_], now - now % 3600)
            for id_, type_, name, user in _described(mailbox)
        ]

    def _states_at(self, mailbox: Mailbox, now: int) -> tuple[ConversationState, ...]:
        lives, _ = self._lives(mailbox, now // DAY)
        return tuple(
            self._state_of(mailbox, life, now) for life in lives if life.created <= now < life.gone
        )

    def _lives_of(self, mailbox: Mailbox, today: int) -> tuple[tuple[Conversation, ...], int]:
        """The lives that do not end before a day, and how many have ended in a closing."""
        lives, closed = [], 0
        for day in range(today - LIFE_DAYS, today + 1):
            for life in self._days(mailbox, day):
                ends_closed = life.closings and life.closings[-1] > life.customer_messages[-1]
                if ends_closed and life.closings[-1] < today * DAY:
                    closed += 1
                elif life.gone >= today * DAY:
                    lives.append(life)
        return tuple(lives), closed

    def _state_of(self, mailbox: Mailbox, life: Conversation, now: int) -> ConversationState:
        traits = self._world.traits(life.id)
        messages, replies, closings = (
            [at for at in instants if at <= now]
            for instants in (
                life.customer_messages,
                (*life.outgoing, *(reply.at for reply in life.replies)),
                life.closings,
            )
        )
        replied, asked = max(replies, default=0), max(messages, default=0)
        latest = "customer" if asked > replied else "user"
        unanswered = [at for at in messages if at > replied]
        stays_active = traits.stays_active and latest == "user" and bool(messages)
        if closings and closings[-1] > asked:
            status = "closed"
        elif unanswered or stays_active or not messages:
            status = "active"
        else:
            status = "pending"
        is_assigned = bool(replies) or traits.is_taken
        is_waiting = status == "active" and unanswered
        return ConversationState(
            life=life,
            status=status,
            since=min(unanswered, default=asked or life.created),
            threads=len(messages) + len(replies),
            latest=latest,
            is_assigned=is_assigned,
            is_mine=is_assigned and traits.is_for_me,
            has_draft=status == "active" and traits.has_draft,
            has_bounced=status != "closed" and bool(replies) and traits.bounces,
            snoozed_until=(
                self._snoozed(mailbox, min(unanswered), traits.snooze, now) if is_waiting else None
            ),
            time_form=traits.time_form,
            latest_form="beside" if stays_active else traits.latest_form,
        )

    def _snoozed(self, mailbox: Mailbox, since: int, chance: float, now: int) -> int | None:
        until = self._orders.snoozed(mailbox, since, chance) or 0
        if chance < _SNOOZED and now >= since + _SNOOZED_AFTER:
            until = max(until, (since // DAY + 1) * DAY + _OPENS)  # the next morning
        return until if now < until else None


def standard_folder(mailbox: Mailbox, type_: str) -> int:
    """The id of one of the service's own folders of a mailbox."""
    return _STANDARD_IDS + mailbox.id * 10 + [*STANDARD].index(type_)


def views(mailbox: Mailbox) -> range:
    """The ids of a mailbox's custom views."""
    first = 2 * _STANDARD_IDS + mailbox.id * 100
    return range(first, first + (_VIEWS if mailbox.id % 100_000 == _WITH_VIEWS else 0))


def places(mailbox: Mailbox, state: ConversationState) -> Iterator[int]:
    """The folders that a conversation is counted in; the first is the one that it says."""
    in_standard = partial(standard_folder, mailbox)
    if state.status == "closed":
        yield in_standard("closed")
        return
    yield in_standard("assigned" if state.is_assigned else "open")
    yield state.life.folder
    if state.is_mine:
        yield in_standard("mine")
    if state.has_draft:
        yield in_standard("drafts")
    if state.has_bounced:
        yield in_standard("needs_attention")
    if own := views(mailbox):
        yield own[state.life.id % len(own)]


def _described(mailbox: Mailbox) -> Iterator[tuple[int, str, str, int]]:
    """Id, type, name and user of each folder."""
    for type_, name in STANDARD.items():
        user = API_USER if type_ == "mine" else 0
        yield standard_folder(mailbox, type_), type_, name, user
    team, *custom = mailbox.folders
    yield team, "team", "Tier 2", _TEAM
    for number, id_ in enumerate(custom):
        yield id_, "custom", _CUSTOM_NAMES[number], 0
    for number, id_ in enumerate(views(mailbox), 1):
        yield id_, "custom", f"View {number}", 0
