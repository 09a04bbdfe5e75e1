"""What each endpoint answers of a world: parameters in, JSON values out."""

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from starlette.datastructures import URL, QueryParams

from exporter.simulator import dialects
from exporter.simulator.dialects import Json, Refused, page_of
from exporter.simulator.happiness import HappinessReports
from exporter.simulator.orders import Orders
from exporter.simulator.queue import ConversationState, Queues, places
from exporter.simulator.report import Filter, Reports, Statistics
from exporter.simulator.world import KINDS, UNTAGGED, Mailbox, World

CONVERSATIONS_A_PAGE = 25
_STATUSES = {
    "active": ("active",),
    "pending": ("pending",),
    "open": ("active", "pending"),
    "closed": ("closed",),
    "all": ("active", "pending", "closed"),
    "spam": (),
}
_SORTS = ("createdAt", "waitingSince", "number")
_WAITING_SINCE = re.compile(r"\(*waitingSince:\[(\S+) TO (\S+)\]\)*")
_Span = tuple[int, int]


class Call(NamedTuple):
    """A call that may be answered."""

    generation: int
    mailboxes: Sequence[Mailbox]  # of its account, as they are now
    tags: dict[int, str]
    path_id: str  # of the mailbox in the path, where there is one
    query: QueryParams
    url: URL
    now: int  # of the world
    ahead: int  # seconds by which the world's clock is ahead of the client's

    def span(self, start: str, end: str) -> _Span:
        """What two parameters give, in the world's seconds. Raises Refused."""
        first, last = span(self.query, start, end)
        return first + self.ahead, last + self.ahead

    def mailbox(self, word: str) -> Mailbox:
        """The mailbox with this id. Raises Refused."""
        for mailbox in self.mailboxes:
            if str(mailbox.id) == word:
                return mailbox
        raise Refused(404, f"Mailbox {word} not found")


class Answers:
    """The answers of one world."""

    def __init__(self, world: World, orders: Orders) -> None:
        self._reports = Reports(world)
        self._happiness = HappinessReports(world, self._reports.day)
        self._queues = Queues(world, self._reports.day, orders)
        self._endpoints = {
            "mailboxes": self._mailboxes,
            "tags": self._tags,
            "folders": self._folders,
            "conversations": self._conversations,
            "report": self._report,
            "happiness": self._rated,
        }

    def answer(self, endpoint: str, call: Call) -> Json:
        """The body. Raises Refused."""
        return self._endpoints[endpoint](call)

    def _mailboxes(self, call: Call) -> Json:
        def render(box: Mailbox) -> Json:
            return dialects.mailbox(call.generation, box)

        return page_of(call.generation, "mailboxes", call.mailboxes, render, call.url)

    def _tags(self, call: Call) -> Json:
        tags = [(id_, name) for id_, name in call.tags.items() if id_ != UNTAGGED]
        return page_of(
            call.generation, "tags", tags, lambda tag: dialects.tag(call.generation, *tag), call.url
        )

    def _folders(self, call: Call) -> Json:
        folders = self._queues.folders(call.mailbox(call.path_id), call.now)
        return page_of(
            call.generation,
            "folders",
            folders,
            lambda folder: dialects.folder(call.generation, folder, call.ahead),
            call.url,
        )

    def _conversations(self, call: Call) -> Json:
        """Of the closed ones it lists those of today."""
        query = call.query
        wanted = _chosen(query, "mailbox", [box.id for box in call.mailboxes])
        boxes = [box for box in call.mailboxes if wanted is None or box.id in wanted]
        statuses = _STATUSES[_one_of(query, "status", _STATUSES, "active")]
        tags = query["tag"].split(",") if "tag" in query else None
        folder, user = _number(query, "folder"), _number(query, "assigned_to")
        earliest, latest = _waiting_since(call)

        def is_listed(box: Mailbox, found: ConversationState) -> bool:
            return (
                found.status in statuses
                and earliest <= found.since <= latest
                and (tags is None or any(call.tags[id_] in tags for id_ in found.life.tags))
                and (folder is None or folder in places(box, found))
                and (user in (None, found.assignee))
            )

        listed = [
            (found, box)
            for box in boxes
            for found in self._queues.states(box, call.now)
            if is_listed(box, found)
        ]
        field = _one_of(query, "sortField", _SORTS, "createdAt")
        order = _one_of(query, "sortOrder", ("asc", "desc"), "desc")
        listed.sort(
            key=lambda item: (
                item[0].since if field == "waitingSince" else item[0].life.created,
                item[0].life.id,
            ),
            reverse=order == "desc",
        )

        def render(item: tuple[ConversationState, Mailbox]) -> Json:
            found, box = item
            folder_id = next(places(box, found))
            return dialects.conversation(found, box.id, folder_id, call.tags, call.ahead)

        return page_of(
            call.generation, "conversations", listed, render, call.url, CONVERSATIONS_A_PAGE
        )

    def _report(self, call: Call) -> Json:
        chosen, which = _filtered(call)
        ahead, (current, previous) = call.ahead, _ranges(call)

        def compute(start: int, end: int) -> Statistics:
            found = self._reports.compute(chosen, start, end, call.now, which)
            return found._replace(start=start - ahead, end=end - ahead)

        earlier = compute(*previous) if previous else None
        body = dialects.report_body(call.generation, compute(*current), earlier)
        tags = [{"id": id_, "name": name} for id_, name in call.tags.items()]
        return {"filterTags": tags} | body

    def _rated(self, call: Call) -> Json:
        chosen, which = _filtered(call)
        current, previous = _ranges(call)
        compute = self._happiness.compute
        earlier = compute(chosen, *previous, call.now, which) if previous else None
        return dialects.happiness_body(compute(chosen, *current, call.now, which), earlier)


def span(query: QueryParams, *names: str) -> _Span:
    """What a pair of parameters gives, in seconds. Raises Refused."""
    start, end = (_instant(query.get(name, ""), name) for name in names)
    if start > end:
        raise Refused(400, "must not be after the end", names[0], query[names[0]])
    return start, end


def _ranges(call: Call) -> tuple[_Span, _Span | None]:
    current = call.span("start", "end")
    second = {"previousStart", "previousEnd"} & call.query.keys()
    return current, call.span("previousStart", "previousEnd") if second else None


def _filtered(call: Call) -> tuple[list[Mailbox], Filter]:
    """The mailboxes that a report is over, and its filter."""
    query, boxes = call.query, call.mailboxes
    no, yes = ("0", "1") if call.generation == 1 else ("false", "true")
    which = Filter(
        _chosen(query, "types", KINDS),
        _chosen(query, "tags", call.tags),
        _chosen(query, "folders", [folder for box in boxes for folder in box.folders]),
        _chosen(query, "officeHours", (no, yes)) == frozenset({yes}),
    )
    wanted = _chosen(query, "mailboxes", [box.id for box in boxes])
    return [box for box in boxes if wanted is None or box.id in wanted], which


def _chosen(query: QueryParams, name: str, known: Iterable[Any]) -> frozenset[Any] | None:
    """What a comma list names of what is known; None where the parameter is not given."""
    if name not in query:
        return None
    words, values = query[name].split(","), {str(value): value for value in known}
    for word in words:
        if word not in values and name in ("mailboxes", "mailbox") and word.isdecimal():
            raise Refused(404, f"Mailbox {word} not found")
        if word not in values:
            raise Refused(400, f"unknown: '{word}'", name, query[name])
    return frozenset(values[word] for word in words)


def _instant(text: str, name: str) -> int:
    try:
        instant = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refused(400, "must be yyyy-MM-dd'T'HH:mm:ss'Z'", name, text) from None
    return int(instant.timestamp())


def _waiting_since(call: Call) -> tuple[float, float]:
    """From when to when (inclusive, in the world's seconds) the search lets waits begin."""
    text = call.query.get("query", "(waitingSince:[* TO *])")
    found = _WAITING_SINCE.fullmatch(text)
    if not found:
        raise Refused(400, "cannot be read", "query", text)
    low, high = (
        edge if word == "*" else _instant(word, "query") + call.ahead
        for word, edge in zip(found.groups(), (-math.inf, math.inf), strict=True)
    )
    return low, high


def _number(query: QueryParams, name: str) -> int | None:
    """A parameter that is an id; None where it is not given."""
    if name in query and not query[name].isdecimal():
        raise Refused(400, "must be a number", name, query[name])
    return int(query[name]) if name in query else None


def _one_of(query: QueryParams, name: str, known: Iterable[str], default: str) -> str:
    word = query.get(name, default)
    if word not in known:
        raise Refused(400, f"unknown: '{word}'", name, word)
    return word
