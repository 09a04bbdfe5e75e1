"""The bodies of the API, checked at the edge and turned into our own values.

Lenient to what docs/api-facts.md says varies: unknown fields, missing ones, integers or floats,
ranges in any order or left out. Strict to what is no number: that is a BadResponse naming the
field, for a wrong number is worse than none.
"""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from exporter.helpscout.errors import BadResponse
from exporter.reports import (
    HANDLE_TIME_EDGES,
    REPLIES_EDGES,
    RESPONSE_TIME_EDGES,
    Distribution,
    Mailbox,
    ProductivityReport,
    Statistics,
    only_measured,
)

# Beyond 2**53 a float is no exact count any more, and sums of such figures overflow.
_Number = Annotated[float, Field(ge=0, le=2**53, allow_inf_nan=False)]
_Id = Annotated[int, Field(ge=1)]


class _Wire(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="ignore", alias_generator=to_camel, hide_input_in_errors=True
    )


class _Figures(_Wire):
    total_conversations: _Number | None = None
    resolution_time: _Number | None = None
    replies_to_resolve: _Number | None = None
    response_time: _Number | None = None
    first_response_time: _Number | None = None
    resolved: _Number | None = None
    resolved_on_first_reply: _Number | None = None
    closed: _Number | None = None
    replies_sent: _Number | None = None
    handle_time: _Number | None = None


class _Range(_Wire):
    id: _Number
    count: _Number | None = None
    previous_count: _Number | None = None
    resolution_time: _Number | None = None


class _Ranges(_Wire):
    ranges: list[_Range] | None = None


class _Tag(_Wire):
    id: _Id
    name: str


class _Report(_Wire):
    current: _Figures
    previous: _Figures | None = None
    response_time: _Ranges | None = None
    first_response_time: _Ranges | None = None
    handle_time: _Ranges | None = None
    replies_to_resolve: _Ranges | None = None


class _ReportWithTags(_Report):
    filter_tags: list[_Tag] | None = None


class _Mailbox(_Wire):
    id: _Id
    name: str
    slug: str | None = None
    email: str | None = None

    def value(self) -> Mailbox:
        return Mailbox(self.id, self.name, self.slug or "", self.email or "")


class _LegacyPage(_Wire):
    page: int
    pages: int
    items: list[_Mailbox]


class _Embedded(_Wire):
    mailboxes: list[_Mailbox] = []


class _HalPageInfo(_Wire):
    number: int
    total_pages: int


class _HalPage(_Wire):
    embedded: _Embedded = Field(default_factory=_Embedded, alias="_embedded")
    page: _HalPageInfo


class _Token(_Wire):
    access_token: Annotated[
        str, Field(alias="access_token", min_length=1, pattern=r"^[\x21-\x7e]+$")
    ]
    expires_in: Annotated[_Number, Field(alias="expires_in")] = 7200.0


_Model = TypeVar("_Model", bound=_Wire)

MailboxPage = tuple[list[Mailbox], int, int]
"""The mailboxes of one page, its number and how many pages there are."""


def parse_report(body: bytes, *, compare: bool) -> ProductivityReport:
    """Return the report in `body`, of either generation.

    `compare` says that a second range was asked for; else `previous` is ignored, for one
    generation sends it all the same, with nulls and zeros. Raises BadResponse naming the field.
    """
    return _report(_parse(_Report, body), compare)


def parse_report_and_tags(
    body: bytes, *, compare: bool
) -> tuple[ProductivityReport, dict[str, int]]:
    """As parse_report, with the ids of all tags that can be filtered by, by name."""
    wire = _parse(_ReportWithTags, body)
    return _report(wire, compare), {tag.name: tag.id for tag in reversed(wire.filter_tags or [])}


def parse_legacy_mailboxes(body: bytes) -> MailboxPage:
    """Return a page of 1.0's mailbox list. Raises BadResponse naming the field."""
    page = _parse(_LegacyPage, body)
    return [mailbox.value() for mailbox in page.items], page.page, page.pages


def parse_hal_mailboxes(body: bytes) -> MailboxPage:
    """Return a page of 2.0's mailbox list. Raises BadResponse naming the field."""
    page = _parse(_HalPage, body)
    return (
        [mailbox.value() for mailbox in page.embedded.mailboxes],
        page.page.number,
        page.page.total_pages,
    )


def parse_token(body: bytes) -> tuple[str, float]:
    """Return 2.0's bearer token and its life in seconds. Raises BadResponse, never quoting it."""
    token = _parse(_Token, body)
    return token.access_token, token.expires_in


def describe_error(body: bytes, secrets: Iterable[str] = ()) -> tuple[str, str | None]:
    """Return what an error body says, cut short, and its logRef. Lenient: never raises.

    Knows 2.0's vnd.error, 1.0's two forms and the token endpoint's. Where the service repeats one
    of `secrets`, as "key … is not valid" does, asterisks stand for it.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return "", None
    if not isinstance(document, dict):
        return "", None
    words = [
        document.get(name)
        for name in ("error_description", "message", "error")
        if isinstance(document.get(name), str)
    ][:1]
    embedded = document.get("_embedded")
    details = embedded.get("errors") if isinstance(embedded, dict) else None
    for detail in _dicts(details or document.get("validationErrors")):
        where = detail.get("path") or detail.get("property")
        words.append(f"{where}: {detail.get('message')}")
    text, reference = "; ".join(str(word) for word in words), document.get("logRef")
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text[:200], reference[:100] if isinstance(reference, str) else None


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()


def _report(wire: _Report, compare: bool) -> ProductivityReport:
    return only_measured(
        ProductivityReport(
            current=_statistics("current", wire.current),
            previous=_statistics("previous", wire.previous or _Figures()) if compare else None,
            response_time=_distribution("responseTime", wire.response_time, RESPONSE_TIME_EDGES),
            first_response_time=_distribution(
                "firstResponseTime", wire.first_response_time, RESPONSE_TIME_EDGES
            ),
            handle_time=_distribution("handleTime", wire.handle_time, HANDLE_TIME_EDGES),
            replies_to_resolve=_distribution(
                "repliesToResolve", wire.replies_to_resolve, REPLIES_EDGES
            ),
            resolution_time_by_replies=_resolution_times(wire.replies_to_resolve),
        )
    )


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


def _distribution(where: str, wire: _Ranges | None, edges: tuple[int, ...]) -> Distribution | None:
    if wire is None or wire.ranges is None:
        return None
    counts, previous = [0] * (len(edges) + 1), [0] * (len(edges) + 1)
    seen = set()
    for position, each in enumerate(wire.ranges):
        field = f"{where}.ranges[{position}]"
        number = _whole(f"{field}.id", each.id)
        if not 1 <= number <= len(counts) or number in seen:
            raise BadResponse(
                f"{field}.id: {number} is not an id from 1 to {len(counts)}, each once"
            )
        seen.add(number)
        counts[number - 1] = _whole(f"{field}.count", each.count or 0)
        previous[number - 1] = _whole(f"{field}.previousCount", each.previous_count or 0)
    return Distribution(tuple(counts), tuple(previous))


def _resolution_times(wire: _Ranges | None) -> tuple[float | None, ...]:
    means: list[float | None] = [None] * (len(REPLIES_EDGES) + 1)
    for each in (wire and wire.ranges) or []:
        # A zero over nothing is no measurement here either.
        means[int(each.id) - 1] = (
            each.resolution_time if each.resolution_time or each.count else None
        )
    return tuple(means)


def _whole(field: str, value: float) -> int:
    if value != int(value):
        raise BadResponse(f"{field}: {value:g} is not a whole number")
    return int(value)


_LONE_SURROGATE: Final = re.compile(rb"\\u[dD][89abAB-Fc-f]")


def _parse(model: type[_Model], body: bytes) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            mended = _without_lone_surrogates(body)
            if mended is not None and mended != body:
                return _parse(model, mended)
        raise BadResponse(_problem(first["type"], first["loc"], first["msg"])) from None


def _without_lone_surrogates(body: bytes) -> bytes | None:
    """Return the body with question marks for lone surrogates, None where there are none.

    Half a surrogate pair, as a name cut in the middle of an emoji has it, is no reason to lose
    every mailbox.
    """
    if not _LONE_SURROGATE.search(body):
        return None
    try:
        return json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return None


_WORDS: Final = {
    "missing": "is missing",
    "float_type": "is not a number",
    "int_type": "is not a whole number",
    "string_type": "is not text",
    "list_type": "is not a list",
    "model_type": "is not an object",
    "finite_number": "is not a finite number",
    "greater_than_equal": "is negative or too small",
    "less_than_equal": "is too large",
}


def _problem(kind: str, location: tuple[int | str, ...], message: str) -> str:
    if kind == "json_invalid":
        return "the body is not JSON"
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"{field.lstrip('.') or 'the body'}: {_WORDS.get(kind, message)}"
