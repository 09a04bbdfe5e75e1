"""The conversation list: which of its rows wait, and since when.

Rows hold personal data: subjects, previews, names, addresses. Only the fields that are named here
are read, nothing else of a row is kept, and no message quotes anything of it. What the fields mean,
and the traps: docs/api-facts.md#conversation-list.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field

from exporter.helpscout.account import Api
from exporter.helpscout.pages import Listed, Page, parse_page
from exporter.helpscout.wire import Id, Odd, Wire, judged
from exporter.questions import TYPES

CONVERSATIONS: Final = Listed("conversations", "conversation", named=False)
_ACTIVE: Final = "active"
_STARTED_BY_US: Final = ("user", "team")


class Row(NamedTuple):
    """All that is kept of a conversation in which a customer waits.

    `since` is Unix time in whole seconds; `type` is one of TYPES, empty for any other; `segments`
    are the names of those that it belongs to.
    """

    since: Annotated[int, Field(ge=0)]
    type: str
    segments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row of the list. `since` is None where nobody waits; the id tells rows apart, no more."""

    id: int
    since: int | None
    type: str
    tags: tuple[tuple[int, str], ...]
    """Ids and names."""

    def row(self, segments: Mapping[str, tuple[int, ...]]) -> Row | None:
        """Return what is kept of it, None where nobody waits; `segments` have ids of tags."""
        if self.since is None:
            return None
        mine = {id_ for id_, _ in self.tags}
        of_it = tuple(name for name, ids in segments.items() if not mine.isdisjoint(ids))
        return Row(self.since, self.type, of_it)


class _Row(Wire):
    """What is read of a row; each field but the id is judged by itself."""

    id: Id
    type: Any = None
    status: Any = None
    threads: Any = None
    created_by: Any = None
    customer_waiting_since: Any = None
    latest_reply_from: Any = None
    snooze: Any = None
    tags: Any = None


def parse_conversations(api: Api, body: bytes, at: datetime, odd: Odd) -> Page[Conversation]:
    """Return a page of the list as of `at` (aware UTC). Raises BadResponse naming the field."""

    def conversation(where: str, item: Any) -> Conversation:
        row = judged(_Row, where, item)
        since = _since(row, odd) if _may_wait(row, at) else None
        type_ = row.type if row.type in TYPES else ""
        return Conversation(row.id, since, type_, tuple(_tags(row.tags, odd)))

    return parse_page(api, body, CONVERSATIONS, conversation, odd)


def _may_wait(row: _Row, at: datetime) -> bool:
    """Return whether a customer may wait: the list also has rows in which nobody does."""
    since = row.customer_waiting_since
    latest = (row.latest_reply_from, _field(since, "latestReplyFrom"))
    is_begun_by_us = row.threads == 1 and _field(row.created_by, "type") in _STARTED_BY_US
    is_closed = isinstance(row.status, str) and row.status != _ACTIVE
    return not (is_closed or is_begun_by_us or "user" in latest or _is_snoozed(row.snooze, at))


def _is_snoozed(snooze: Any, at: datetime) -> bool:
    if snooze is None:
        return False
    until = _instant(_field(snooze, "snoozedUntil"))
    return until is None or until > at


def _since(row: _Row, odd: Odd) -> int | None:
    """Return since when the customer waits, None where the row does not say."""
    since = row.customer_waiting_since
    time = _field(since, "time")
    if since is None or (isinstance(since, dict) and time is None):
        return None
    instant = _instant(time)
    if instant is None or instant.timestamp() < 0:
        odd("customerWaitingSince of a conversation has no time: the conversation is left out")
        return None
    return int(instant.timestamp())


def _instant(text: Any) -> datetime | None:
    """Return an instant in ISO 8601; without an offset it is taken for UTC."""
    if not isinstance(text, str) or "T" not in text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        return None


def _tags(tags: Any, odd: Odd) -> Iterator[tuple[int, str]]:
    if not isinstance(tags, list | None):
        odd("tags of a conversation are not a list: they are left out")
        return
    for tag in tags or ():
        id_, name = _field(tag, "id"), _field(tag, "tag")
        if not isinstance(id_, int) or isinstance(id_, bool) or id_ < 1:
            odd("a tag of a conversation has no id: it is left out")
        else:
            yield id_, name if isinstance(name, str) else ""


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def tags_of(conversations: Iterable[Conversation]) -> dict[str, int]:
    """Return the tags that rows mention, ids by name."""
    return {name: id_ for each in conversations for id_, name in each.tags if name}
