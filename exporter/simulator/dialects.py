"""The two generations' ways of saying the same: lists, reports and errors as JSON values.

`ahead` is how many seconds the world's clock is ahead of the one that a client has.
"""

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.datastructures import URL, QueryParams

from exporter.simulator import people
from exporter.simulator.happiness import RATINGS, Happiness
from exporter.simulator.queue import COLLEAGUE, ConversationState, Folder
from exporter.simulator.report import RANGES, Statistics
from exporter.simulator.world import UNTAGGED, Mailbox

Json = dict[str, Any]
_T = TypeVar("_T")
_FOLDER_TYPES = {
    1: {"mine": "mine", "needs_attention": "needsattention"},
    2: {"mine": "mytickets", "needs_attention": "needs_attn"},
}
_OF_CUSTOMERS = ("ratingsCount", "ratingsPercent", "totalCustomers", "totalCustomersWithRatings")
_DISTRIBUTIONS = ("responseTime", "firstResponseTime", "handleTime", "repliesToResolve")
_MEANS = (*_DISTRIBUTIONS, "resolutionTime")


class Refused(Exception):
    """An answer that is not a success; `name` is that of the parameter at fault, if it is one."""

    def __init__(self, status: int, message: str, name: str = "", value: str = "") -> None:
        self.status, self.message, self.name, self.value = status, message, name, value

    def body(self, generation: int) -> Json:
        """The generation's form of it; 1.0 has an older one, and a newer one for parameters."""
        message = "Bad request" if self.name else self.message
        detail = {"message": self.message}
        if generation == 1 and self.name:
            detail |= {"property": self.name, "value": self.value}
            return {"code": self.status, "error": message, "validationErrors": [detail]}
        if generation == 1:
            return {"status": self.status, "message": message}
        if self.status == 429:
            return {"message": message}
        detail |= {"path": self.name, "rejectedValue": self.value, "source": "QUERY"}
        embedded = {"_embedded": {"errors": [detail]}} if self.name else {}
        return {"logRef": str(uuid.uuid4()), "message": message} | embedded


def page_of(
    generation: int,
    name: str,
    items: Sequence[_T],
    render: Callable[[_T], Json],
    url: URL,
    size: int = 50,
) -> Json:
    """One page of a list, the one that the address asks for. Raises Refused."""
    number = QueryParams(url.query).get("page", "1")
    page = int(number) if number.isdecimal() else 0
    if page < 1:
        raise Refused(400, "must be at least 1", "page", number)
    count, pages = len(items), -(-len(items) // size)
    shown = [render(item) for item in items[(page - 1) * size : page * size]]
    if generation == 1:
        return {"page": page, "pages": pages, "count": count, "items": shown}
    links = {"self": {"href": f"{url.replace(query='')}/"}}
    if page < pages:  # as seen, not every link is always there
        links["next"] = {"href": str(url.include_query_params(page=page + 1))}
    of = {"size": size, "totalElements": count, "totalPages": pages, "number": page}
    embedded = {"_embedded": {name: shown}} if shown else {}
    return embedded | {"page": of, "_links": links}


def mailbox(generation: int, box: Mailbox) -> Json:
    """An item of the mailbox list."""
    modified = "modifiedAt" if generation == 1 else "updatedAt"
    return {
        "id": box.id,
        "name": box.name,
        "slug": f"{box.id:016x}",
        "email": f"{box.id}@a.example",
        "createdAt": timestamp(box.created),
        modified: timestamp(box.created),
    }


def folder(generation: int, found: Folder, ahead: int) -> Json:
    """An item of a mailbox's folder list."""
    return {
        "id": found.id,
        "name": found.name,
        "type": _FOLDER_TYPES[generation].get(found.type, found.type),
        "userId": found.user,
        "totalCount": found.total,
        "activeCount": found.active,
        "modifiedAt" if generation == 1 else "updatedAt": timestamp(found.updated - ahead),
    }


def tag(generation: int, id_: int, name: str) -> Json:
    """An item of the tag list."""
    if generation == 1:
        return {"id": id_, "tag": name, "color": "none", "count": 5}
    slug = re.sub(r"\W+", "-", name)
    return {"id": id_, "slug": slug, "name": name, "color": "none", "ticketCount": 5}


def conversation(
    state: ConversationState, mailbox_id: int, folder_id: int, tags: dict[int, str], ahead: int
) -> Json:
    """An item of the conversation list, which is of 2.0 alone."""
    life = state.life
    number = life.id % 10**9
    customer = people.customer(life.id)
    user = people.user(state.assignee or COLLEAGUE)
    row: Json = {
        "id": life.id,
        "number": number,
        "threads": state.threads,
        "type": life.type,
        "folderId": folder_id,
        "status": state.status,
        "state": "published",
        "subject": people.subject(life.id),
        "preview": people.preview(life.id),
        "mailboxId": mailbox_id,
        "createdBy": user if state.began == "user" else customer,
        "createdAt": timestamp(life.created - ahead),
        "closedBy": user["id"] if state.status == "closed" else 0,
        "userUpdatedAt": timestamp(state.since - ahead),
        "source": {"type": life.type, "via": state.began},
        "tags": [
            {"id": id_, "color": "none", "tag": tags[id_]} for id_ in life.tags if id_ != UNTAGGED
        ],
        "cc": [customer["email"]],
        "bcc": [],
        "primaryCustomer": customer,
        "customFields": [{"id": 1, "name": "Address", "value": people.address(life.id)}],
        "_links": {},
    }
    if state.assignee is not None:
        row["assignee"] = user
    row |= _waiting(state, ahead)
    if state.snoozed_until is not None:
        until = timestamp(state.snoozed_until - ahead)
        row["snooze"] = {
            "snoozedBy": user["id"],
            "snoozedUntil": until,
            "unsnoozeOnCustomerReply": True,
        }
    return row


def _waiting(state: ConversationState, ahead: int) -> Json:
    """Since when the customer has waited and who wrote last, in one of the service's ways."""
    time = timestamp(state.since - ahead)
    if state.time_form == "fraction":
        time = time.replace("Z", ".123Z")
    since: Json = {"time": time, "friendly": "a while ago"}
    beside: Json = {}
    if state.latest_form == "inside":
        since["latestReplyFrom"] = state.latest
    if state.latest_form == "beside":
        beside["latestReplyFrom"] = state.latest
    if state.time_form == "no time":
        del since["time"]
    if state.time_form == "time null":
        since["time"] = None
    if state.time_form == "gone":
        return beside
    return beside | {"customerWaitingSince": None if state.time_form == "null" else since}


def happiness_body(now: Happiness, before: Happiness | None) -> Json:
    """The same in both generations; changes of shares are in points, of counts in percent."""
    body = {"current": (new := _happiness(now))}
    if before is None:
        return body
    body["previous"] = old = _happiness(before)
    body["deltas"] = {
        name: (100 * (value / old[name] - 1) if old[name] else 0.0)
        if name.endswith("Count")
        else value - old[name]
        for name, value in new.items()
        if name not in _OF_CUSTOMERS
    }
    return body


def _happiness(found: Happiness) -> Json:
    count = len(found.ratings)
    shares = {name: 100 * found.count(name) / (count or 1) for name in RATINGS}
    return {
        **{f"{name}Count": found.count(name) for name in RATINGS},
        **shares,
        "happinessScore": shares["great"] - shares["notGood"],
        "ratingsCount": count,
        "ratingsPercent": 100 * found.customers_with_ratings / (found.customers or 1),
        "totalCustomers": found.customers,
        "totalCustomersWithRatings": found.customers_with_ratings,
    }


def report_body(generation: int, now: Statistics, before: Statistics | None) -> Json:
    """Without a second range 1.0 is silent about it; 2.0 gives, as seen, nulls and zeros."""
    body = {"current": _part(generation, now)}
    if before:
        body["previous"] = _part(generation, before)
        old, new = _figures(before), _figures(now)
        body["deltas"] = {n: 100 * ((new[n] or 0) / old[n] - 1) if old[n] else 0.0 for n in new}
    elif generation == 2:
        before = Statistics()
        body["previous"] = _figures(before)
    for name, field in zip(_DISTRIBUTIONS, RANGES, strict=True):
        body[name] = _distribution(generation, field, now, before)
    return body


def _distribution(generation: int, field: str, now: Statistics, before: Statistics | None) -> Json:
    """1.0 lists all ranges in order, 2.0 backwards and without the empty ones."""
    counts: Sequence[int] = getattr(now, field)
    earlier: Sequence[int] = getattr(before or now, field)
    ranges: list[Json] = []
    for id_, (count, old) in enumerate(zip(counts, earlier, strict=True), 1):
        item = {"id": id_, "count": count, "percent": 100 * count / (sum(counts) or 1)}
        if before:
            item |= {"previousCount": old, "previousPercent": 100 * old / (sum(earlier) or 1)}
        if field == "replies_ranges":
            times = zip(now.repliesToResolve, now.resolutionTime, strict=True)
            item["resolutionTime"] = _mean([taken for n, taken in times if min(n, 5) == id_]) or 0
        if generation == 1 or count or old:
            ranges.append(item)
    body = {"count": len(now.resolutionTime), "ranges": ranges if generation == 1 else ranges[::-1]}
    return body | ({"previousCount": len(before.resolutionTime)} if before else {})


def _part(generation: int, s: Statistics) -> Json:
    """`current` or `previous`."""
    part: Json = {"startDate": timestamp(s.start), "endDate": timestamp(s.end)} | _figures(s)
    part["percentResolvedOnFirstReply"] = share = _mean([n == 1 for n in s.repliesToResolve])
    if generation == 2:  # in percent, and with a field that is documented nowhere, as seen
        part["percentResolvedOnFirstReply"] = share and round(100 * share, 2)
        part["ratings"] = len(s.resolutionTime) // 5
    return part


def _figures(s: Statistics) -> Json:
    """A mean over nothing is null; without any event there are nulls and zeros, as seen."""
    figures: Json = {
        "totalConversations": sum(s.response_ranges),
        "resolved": len(s.resolutionTime),
        "resolvedOnFirstReply": s.repliesToResolve.count(1),
    }
    if not s.responseTime:
        figures = dict.fromkeys(figures)
    figures |= {"closed": len(s.closed), "repliesSent": len(s.responseTime) + len(s.outgoing)}
    figures |= {name: _mean(getattr(s, name)) for name in _MEANS}
    if not (s.closed or figures["repliesSent"]):
        figures |= {"responseTime": 0, "firstResponseTime": 0, "handleTime": 0}
    return figures


def _mean(values: Sequence[int]) -> float | None:
    """An integer where it is whole, as seen."""
    mean = round(sum(values) / len(values), 4) if values else None
    return int(mean) if mean is not None and mean.is_integer() else mean


def timestamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
