"""The body of a productivity report, of either generation, turned into our own values.

Ranges come in any order or are left out; an odd one costs its distribution, whose total would be
wrong, and nothing else.
"""

from typing import Any, Final

from exporter.collectors.productivity.report import (
    Distribution,
    ProductivityReport,
    Statistics,
    only_measured,
)
from exporter.helpscout.errors import BadResponse
from exporter.helpscout.wire import Id, Number, Odd, Wire, judged, parse, quoted
from exporter.questions import Learned
from exporter.sla import EDGES


class _Figures(Wire):
    total_conversations: Number | None = None
    resolution_time: Number | None = None
    replies_to_resolve: Number | None = None
    response_time: Number | None = None
    first_response_time: Number | None = None
    resolved: Number | None = None
    resolved_on_first_reply: Number | None = None
    closed: Number | None = None
    replies_sent: Number | None = None
    handle_time: Number | None = None


class _Range(Wire):
    id: Number
    count: Number | None = None


class _Mean(Wire):
    resolution_time: Number | None = None


class _PreviousCount(Wire):
    previous_count: Number | None = None


class _Tag(Wire):
    id: Id
    name: str


class _Report(Wire):
    """What is `Any` is judged apart, and only if it is of use: an odd one costs itself alone."""

    current: _Figures
    previous: Any = None
    response_time: Any = None
    first_response_time: Any = None
    handle_time: Any = None
    replies_to_resolve: Any = None
    filter_tags: Any = None


def parse_report(body: bytes, *, compare: bool, odd: Odd) -> tuple[ProductivityReport, Learned]:
    """Return the report in `body`, and the tags that it says one can filter by.

    `compare` says that a second range was asked for; else `previous` is ignored, for one
    generation sends it all the same, with nulls and zeros. An answer over a range without
    conversations says nothing about tags. Raises BadResponse naming the field.
    """
    wire = parse(_Report, body)
    return _report(wire, compare, odd), _learned(wire.filter_tags)


_REPLIES_EDGES: Final = EDGES["replies_to_resolve"]


def _report(wire: _Report, compare: bool, odd: Odd) -> ProductivityReport:
    def shape(where: str, value: Any, edges: tuple[int, ...]) -> Distribution | None:
        try:
            return _distribution(where, value, edges, compare, odd)
        except BadResponse as error:
            odd(f"{error}: the distribution {where} is left out")
            return None

    return only_measured(
        ProductivityReport(
            current=_statistics("current", wire.current),
            previous=_previous(wire.previous, odd) if compare else None,
            response_time=shape("responseTime", wire.response_time, EDGES["response_time"]),
            first_response_time=shape(
                "firstResponseTime", wire.first_response_time, EDGES["first_response_time"]
            ),
            handle_time=shape("handleTime", wire.handle_time, EDGES["handle_time"]),
            replies_to_resolve=shape("repliesToResolve", wire.replies_to_resolve, _REPLIES_EDGES),
            resolution_time_by_replies=_resolution_times(wire.replies_to_resolve, odd),
        )
    )


def _previous(value: Any, odd: Odd) -> Statistics:
    """Nothing of an odd period before is used: its figures belong together."""
    try:
        return _statistics("previous", judged(_Figures, "previous", value or {}))
    except BadResponse as error:
        odd(f"{error}: the figures of the period before are left out")
        return Statistics()


def _learned(value: Any) -> Learned:
    if value is not None and not isinstance(value, list):
        return Learned(odd=("filterTags: is not a list, and is left out",))
    found: dict[str, int] = {}
    odd = []
    for item in value or []:
        try:
            tag = judged(_Tag, "filterTags", item)
        except BadResponse as error:
            name, id_ = (item.get("name"), item.get("id")) if isinstance(item, dict) else (0, 0)
            which = f"the tag {quoted(name)}" if isinstance(name, str) else f"a tag (id {id_})"
            odd.append(f"{error}: {which} is left out"[:200])
        else:
            found.setdefault(tag.name, tag.id)
    return Learned(found, odd=tuple(odd))


def _statistics(where: str, figures: _Figures) -> Statistics:
    def count(name: str, value: float | None) -> int | None:
        return None if value is None else _whole(f"{where}.{name}", value)

    return Statistics(
        conversations=count("totalConversations", figures.total_conversations),
        response_time=figures.response_time,
        first_response_time=figures.first_response_time,
        handle_time=figures.handle_time,
        resolution_time=figures.resolution_time,
        replies_to_resolve=figures.replies_to_resolve,
        resolved=count("resolved", figures.resolved),
        resolved_on_first_reply=count("resolvedOnFirstReply", figures.resolved_on_first_reply),
        closed=count("closed", figures.closed),
        replies_sent=count("repliesSent", figures.replies_sent),
    )


def _distribution(
    where: str, value: Any, edges: tuple[int, ...], compare: bool, odd: Odd
) -> Distribution | None:
    """Raises BadResponse: with a range that is wrong or not known its total would be wrong."""
    ranges = _ranges(where, value)
    if ranges is None:
        return None
    counts, previous = [0] * (len(edges) + 1), [0] * (len(edges) + 1)
    seen = set()
    for position, item in enumerate(ranges):
        field = f"{where}.ranges[{position}]"
        each = judged(_Range, field, item)
        number = _whole(f"{field}.id", each.id)
        if not 1 <= number <= len(counts) or number in seen:
            raise BadResponse(
                f"{field}.id: {number} is not an id from 1 to {len(counts)}, each once"
            )
        seen.add(number)
        counts[number - 1] = _whole(f"{field}.count", each.count or 0)
        if compare:
            previous[number - 1] = _previous_count(field, item, odd)
    return Distribution(tuple(counts), tuple(previous))


def _ranges(where: str, value: Any) -> list[Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadResponse(f"{where}: is not an object")
    ranges = value.get("ranges")
    if ranges is not None and not isinstance(ranges, list):
        raise BadResponse(f"{where}.ranges: is not a list")
    return ranges


def _previous_count(field: str, item: Any, odd: Odd) -> int:
    try:
        wire = judged(_PreviousCount, field, item)
        return _whole(f"{field}.previousCount", wire.previous_count or 0)
    except BadResponse as error:
        odd(f"{error}, and is taken for 0")
        return 0


def _resolution_times(value: Any, odd: Odd) -> tuple[float | None, ...]:
    """Return the mean for each number of replies; of a range that is wrong or doubled, none."""
    try:
        ranges = _ranges("repliesToResolve", value) or []
    except BadResponse:
        ranges = []  # the distribution has said so
    means: dict[int, list[float | None]] = {id_: [] for id_ in range(1, len(_REPLIES_EDGES) + 2)}
    for position, item in enumerate(ranges):
        id_ = item.get("id") if isinstance(item, dict) else None
        if isinstance(id_, bool) or not isinstance(id_, int | float) or id_ not in means:
            continue
        field = f"repliesToResolve.ranges[{position}]"
        try:
            mean = judged(_Mean, field, item).resolution_time
        except BadResponse as error:
            odd(f"{error}, and is left out")
            mean = None
        # A zero over nothing is not a measurement here either.
        means[int(id_)].append(mean if mean or item.get("count") else None)
    return tuple(of_id[0] if len(of_id) == 1 else None for of_id in means.values())


def _whole(field: str, value: float) -> int:
    if value != int(value):
        raise BadResponse(f"{field}: {value:g} is not a whole number")
    return int(value)
