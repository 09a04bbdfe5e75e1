"""The two generations' ways of saying the same: mailboxes, reports and errors as JSON values."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from exporter.simulator.report import Statistics
from exporter.simulator.world import Mailbox

Generation = Literal[1, 2]
Json = dict[str, Any]
PAGE_SIZE = 50
_DISTRIBUTIONS = {
    "responseTime": "response_ranges",
    "firstResponseTime": "first_response_ranges",
    "handleTime": "handle_ranges",
    "repliesToResolve": "replies_ranges",
}


class Invalid(NamedTuple):
    """A parameter that the service refuses."""

    path: str
    message: str
    value: str | None


def timestamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def error_body(
    generation: Generation, status: int, message: str, invalid: Sequence[Invalid], older: bool
) -> Json:
    """An error in the generation's form; `older` picks the older one of 1.0's two."""
    if generation == 2:
        errors = [
            {"path": i.path, "message": i.message, "rejectedValue": i.value, "source": "QUERY"}
            for i in invalid
        ]
        body = {"logRef": str(uuid.uuid4()), "message": message}
        return body | ({"_embedded": {"errors": errors}} if errors else {})
    if older:
        return {"status": status, "message": message}
    errors = [{"property": i.path, "value": i.value, "message": i.message} for i in invalid]
    return {"code": status, "error": message, "validationErrors": errors}


def mailbox_page(
    generation: Generation, mailboxes: Sequence[Mailbox], page: int, address: str
) -> Json:
    """One page of the list that has this address."""
    pages = math.ceil(len(mailboxes) / PAGE_SIZE)
    modified = "modifiedAt" if generation == 1 else "updatedAt"
    items: list[Json] = [
        {"id": box.id, "name": box.name, "slug": box.slug, "email": box.email}
        | {"createdAt": timestamp(box.created), modified: timestamp(box.modified)}
        for box in mailboxes[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    ]
    if generation == 1:
        return {"page": page, "pages": pages, "count": len(mailboxes), "items": items}
    for item in items:
        item["_links"] = {"self": {"href": f"{address}/{item['id']}/"}}
    links: Json = {
        "self": {"href": f"{address}/" if page == 1 else f"{address}?page={page}"},
        "first": {"href": f"{address}?page=1"},
        "page": {"href": f"{address}{{?page}}", "templated": True},
    }
    if page < pages:  # as seen, not every link is always there
        links["next"] = {"href": f"{address}?page={page + 1}"}
    size = {"size": PAGE_SIZE, "totalElements": len(mailboxes), "totalPages": pages, "number": page}
    listed = {"_embedded": {"mailboxes": items}} if items else {}
    return listed | {"page": size, "_links": links}


def report_body(
    generation: Generation, tags: Mapping[int, str], now: Statistics, before: Statistics | None
) -> Json:
    """A report's answer; `before` is the second range, if one was asked for.

    Without it 1.0 leaves out `previous` and every field about it; 2.0 gives, as seen, a `previous`
    of nulls and zeros. 1.0 lists a distribution's ranges in order, zeros too; 2.0 by descending
    count, without those that are empty in both ranges. A share is of the sum of the ranges.
    """
    body: Json = {"filterTags": [{"id": key, "name": name} for key, name in tags.items()]}
    body["current"] = _dates(now) | _figures(generation, now)
    if before:
        body["previous"] = _dates(before) | _figures(generation, before)
        old, new = _figures(1, before), _figures(1, now)
        body["deltas"] = {
            name: _ratio(100.0 * ((new[name] or 0) - (old[name] or 0)), old[name] or 0)
            for name in new
            if name != "percentResolvedOnFirstReply"
        }
    elif generation == 2:
        before = Statistics()
        body["previous"] = _figures(2, before)
    for name, attribute in _DISTRIBUTIONS.items():
        counts = getattr(now, attribute)
        earlier = getattr(before, attribute) if before else ()
        ranges: list[Json] = [
            {"id": index + 1, "count": count, "percent": _ratio(100.0 * count, sum(counts))}
            for index, count in enumerate(counts)
        ]
        for item, count in zip(ranges, earlier, strict=False):
            item |= {"previousCount": count, "previousPercent": _ratio(100.0 * count, sum(earlier))}
        if name == "repliesToResolve":
            for item, total in zip(ranges, now.resolution_by_replies, strict=True):
                item["resolutionTime"] = _number(_ratio(total, item["count"]))
        if generation == 2:
            ranges = [item for item in ranges if item["count"] or item["previousCount"]]
            ranges.sort(key=lambda item: -item["count"])
        body[name] = {"count": now.resolved, "ranges": ranges}
        if before:
            body[name]["previousCount"] = before.resolved
    return body


def _number(value: float) -> float:
    """A number as seen: three decimals, an integer where it is whole."""
    rounded = round(value, 3)
    return int(rounded) if rounded.is_integer() else rounded


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _dates(s: Statistics) -> Json:
    return {"startDate": timestamp(s.start), "endDate": timestamp(s.end)}


def _figures(generation: Generation, s: Statistics) -> Json:
    figures: Json = {
        "totalConversations": s.conversations,
        "resolutionTime": _ratio(s.resolution, s.resolved),
        "repliesToResolve": _ratio(s.resolution_replies, s.resolved),
        "responseTime": _number(_ratio(s.wait, s.replies)),
        "firstResponseTime": _number(_ratio(s.first_wait, s.first_replies)),
        "resolved": s.resolved,
        "resolvedOnFirstReply": s.resolved_on_first_reply,
        "closed": s.closed,
        "repliesSent": s.replies_sent,
        "handleTime": _number(_ratio(s.handle, s.replies)),
        "percentResolvedOnFirstReply": _ratio(s.resolved_on_first_reply, s.resolved),
    }
    if generation == 2:
        share = figures["percentResolvedOnFirstReply"]
        figures["percentResolvedOnFirstReply"] = round(100 * share, 2)
    if not s.conversations:  # nulls and zeros side by side, as seen
        empty = ("total", "resol", "repliesTo", "percent")
        figures |= {name: None for name in figures if name.startswith(empty)}
    if generation == 1:
        return figures
    return figures | {"ratings": s.resolved // 5}  # seen, documented nowhere
