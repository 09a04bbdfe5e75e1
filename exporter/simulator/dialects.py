"""The two generations' ways of saying the same: mailboxes, reports and errors as JSON values."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from exporter.simulator.report import RANGES, Statistics
from exporter.simulator.world import Mailbox

Json = dict[str, Any]
_PAGE_SIZE = 50
_DISTRIBUTIONS = ("responseTime", "firstResponseTime", "handleTime", "repliesToResolve")
_MEANS = (*_DISTRIBUTIONS, "resolutionTime")


class Refused(Exception):
    """An answer that is no success; `name` is that of the parameter at fault, if it is one."""

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


def mailbox_page(generation: int, boxes: Sequence[Mailbox], number: str, url: str) -> Json:
    """One page of the list that has this address. Raises Refused."""
    page = int(number) if number.isdecimal() else 0
    if page < 1:
        raise Refused(400, "must be at least 1", "page", number)
    count, pages = len(boxes), -(-len(boxes) // _PAGE_SIZE)
    modified = "modifiedAt" if generation == 1 else "updatedAt"
    items = [
        {"id": box.id, "name": box.name, "slug": f"{box.id:016x}", "email": f"{box.id}@a.example"}
        | {"createdAt": _timestamp(box.created), modified: _timestamp(box.created)}
        for box in boxes[(page - 1) * _PAGE_SIZE : page * _PAGE_SIZE]
    ]
    if generation == 1:
        return {"page": page, "pages": pages, "count": count, "items": items}
    links = {"self": {"href": f"{url}/"}}
    if page < pages:  # as seen, not every link is always there
        links["next"] = {"href": f"{url}?page={page + 1}"}
    size = {"size": _PAGE_SIZE, "totalElements": count, "totalPages": pages, "number": page}
    embedded = {"_embedded": {"mailboxes": items}} if items else {}
    return embedded | {"page": size, "_links": links}


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
    part: Json = {"startDate": _timestamp(s.start), "endDate": _timestamp(s.end)} | _figures(s)
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


def _timestamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
