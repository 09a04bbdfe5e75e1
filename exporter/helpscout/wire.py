"""The bodies of the API, checked at the edge and turned into our own values.

Lenient to what docs/api-facts.md says varies: unknown fields, missing ones, integers or floats,
ranges in any order or left out. One odd element or field costs itself and nothing else: `odd` is
told a line that names it. Strict to what is no number where a figure is expected: that is a
BadResponse naming the field, for a wrong number is worse than none. A field that nobody asked for
is not judged.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, NamedTuple, TypeVar

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


class _Mean(_Wire):
    resolution_time: _Number | None = None


class _PreviousCount(_Wire):
    previous_count: _Number | None = None


class _Tag(_Wire):
    id: _Id
    name: str


class _Report(_Wire):
    """What is `Any` is judged apart, and only if it is of use: an odd one costs itself alone."""

    current: _Figures
    previous: Any = None
    response_time: Any = None
    first_response_time: Any = None
    handle_time: Any = None
    replies_to_resolve: Any = None
    filter_tags: Any = None


class _Mailbox(_Wire):
    id: _Id
    name: Any = None
    slug: Any = None
    email: Any = None


class _LegacyPage(_Wire):
    page: Any = None
    pages: Any = None
    count: Any = None
    items: list[Any]


class _HalPageInfo(_Wire):
    number: Any = None
    total_pages: Any = None
    total_elements: Any = None


class _HalPage(_Wire):
    embedded: Any = Field(default_factory=dict[str, Any], alias="_embedded")
    links: Any = Field(default=None, alias="_links")
    page: _HalPageInfo


class _Token(_Wire):
    access_token: Annotated[
        str, Field(alias="access_token", min_length=1, pattern=r"^[\x21-\x7e]+$")
    ]
    expires_in: Any = Field(alias="expires_in", default=None)


_Model = TypeVar("_Model", bound=_Wire)

Odd = Callable[[str], None]
"""Takes a line that names an odd element or field, and says what is left out for it."""


class MailboxPage(NamedTuple):
    """A page of the mailbox list.

    `number` is its number, `pages` how many there are and `total` how many mailboxes, None where
    the answer does not say. `skipped` counts the elements that are no mailbox, `has_next` is
    whether there is a link to another page.
    """

    mailboxes: list[Mailbox]
    number: int | None
    pages: int | None
    total: int | None = None
    skipped: int = 0
    has_next: bool = False


def _ignored(_line: str) -> None:
    """Take no notice of what is odd."""


def parse_report(body: bytes, *, compare: bool, odd: Odd = _ignored) -> ProductivityReport:
    """Return the report in `body`, of either generation.

    `compare` says that a second range was asked for; else `previous` is ignored, for one
    generation sends it all the same, with nulls and zeros. Raises BadResponse naming the field.
    """
    return _report(_parse(_Report, body), compare, odd)


def parse_report_and_tags(
    body: bytes, *, compare: bool, odd: Odd = _ignored
) -> tuple[ProductivityReport, dict[str, int] | None]:
    """As parse_report, with the ids of the tags that can be filtered by, by name.

    None where the answer says nothing about tags: the list is missing or empty, as over a range
    without conversations, or cannot be read.
    """
    wire = _parse(_Report, body)
    return _report(wire, compare, odd), _tags(wire.filter_tags, odd) or None


def parse_legacy_mailboxes(body: bytes, odd: Odd = _ignored) -> MailboxPage:
    """Return a page of 1.0's mailbox list. Raises BadResponse naming the field."""
    page = _parse(_LegacyPage, body)
    mailboxes = _mailboxes("items", page.items, odd)
    return MailboxPage(
        mailboxes,
        _size("page", page.page, odd),
        _size("pages", page.pages, odd),
        _size("count", page.count, odd),
        len(page.items) - len(mailboxes),
    )


def parse_hal_mailboxes(body: bytes, odd: Odd = _ignored) -> MailboxPage:
    """Return a page of 2.0's mailbox list. Raises BadResponse naming the field."""
    page = _parse(_HalPage, body)
    total = _size("page.totalElements", page.page.total_elements, odd)
    items = _embedded_mailboxes(page.embedded, total)
    mailboxes = _mailboxes("_embedded.mailboxes", items, odd)
    return MailboxPage(
        mailboxes,
        _size("page.number", page.page.number, odd),
        _size("page.totalPages", page.page.total_pages, odd),
        total,
        len(items) - len(mailboxes),
        isinstance(page.links, dict) and bool(page.links.get("next")),
    )


def _embedded_mailboxes(embedded: Any, total: int | None) -> list[Any]:
    """Return the list, which is missing in one form or another where there is no mailbox.

    What is there under another name is not taken for none: that would remove every series.
    """
    if embedded in ([], None) and total == 0:
        return []
    if not isinstance(embedded, dict):
        raise BadResponse("_embedded: is not an object")
    if "mailboxes" not in embedded and embedded:
        names = ", ".join(f'"{name}"' for name in list(embedded)[:3])
        raise BadResponse(f'_embedded: has no "mailboxes" but {names}'[:200])
    items = embedded.get("mailboxes", [])
    if not isinstance(items, list):
        raise BadResponse("_embedded.mailboxes: is not a list")
    return items


def _mailboxes(where: str, items: list[Any], odd: Odd) -> list[Mailbox]:
    found = []
    for position, item in enumerate(items):
        name = item.get("name") if isinstance(item, dict) else None
        try:
            wire = _judged(_Mailbox, f"{where}[{position}]", item)
        except BadResponse as error:
            odd(f"{error}: the mailbox {_quoted(name)} is left out")
            continue
        if not isinstance(wire.name, str):
            odd(f"mailbox {wire.id}: has no name that is text, and is shown by its id")
        named = wire.name if isinstance(wire.name, str) else str(wire.id)
        details = [_text(f"mailbox {wire.id}: {n}", v, odd) for n, v in wire if n in _DETAILS]
        found.append(Mailbox(wire.id, named, *details))
    return found


_DETAILS: Final = ("slug", "email")


def _text(where: str, value: Any, odd: Odd) -> str:
    if value is not None and not isinstance(value, str):
        odd(f"{where} is not text, and is left out")
    return value if isinstance(value, str) else ""


def _size(where: str, value: Any, odd: Odd) -> int | None:
    """Return a number of pages or elements, None where the answer does not say it."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if value is not None:
        odd(f"{where}: is not a whole number, and is ignored")
    return None


def _quoted(name: Any) -> str:
    return f'"{name[:80]}"' if isinstance(name, str) else "without a name"


_DEFAULT_LIFE_SECONDS: Final = 7200.0


def parse_token(body: bytes) -> tuple[str, float]:
    """Return 2.0's bearer token and its life in seconds. Raises BadResponse, never quoting it.

    A life that is not said, or not in seconds, is taken for two hours: a token that ends earlier is
    renewed when it is refused.
    """
    token = _parse(_Token, body)
    life = token.expires_in
    is_life = isinstance(life, int | float) and not isinstance(life, bool) and 0 < life <= 2**53
    return token.access_token, float(life) if is_life else _DEFAULT_LIFE_SECONDS


def describe_error(body: bytes, secrets: Iterable[str] = ()) -> tuple[str, str | None]:
    """Return what an error body says, cut short, and its logRef. Lenient: never raises.

    Knows 2.0's vnd.error, 1.0's two forms, the token endpoint's, problem+json, Spring's, whose
    message is empty, and plain text; a web page is not quoted. Where the service repeats one of
    `secrets`, as "key … is not valid" does, asterisks stand for it.
    """
    words, reference = _error_words(body)
    text = "; ".join(words)
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text[:200], reference[:100] if isinstance(reference, str) else None


_SUMMARIES: Final = ("error_description", "message", "detail", "error", "title")


def _error_words(body: bytes) -> tuple[list[str], Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return _plain_text(body), None
    if isinstance(document, str):
        return [document], None
    if not isinstance(document, dict):
        return [], None
    words = [text for name in _SUMMARIES if (text := _said(document.get(name)))][:1]
    embedded = document.get("_embedded")
    details = embedded.get("errors") if isinstance(embedded, dict) else None
    for detail in _dicts(details or document.get("validationErrors") or document.get("errors")):
        where = _said(detail.get("path")) or _said(detail.get("property"))
        words.append(": ".join(filter(None, (where, _said(detail.get("message"))))))
    return [text for text in words if text], document.get("logRef")


def _said(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _plain_text(body: bytes) -> list[str]:
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return []
    return [text] if text and text[0] not in "<{[" else []


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()


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
            response_time=shape("responseTime", wire.response_time, RESPONSE_TIME_EDGES),
            first_response_time=shape(
                "firstResponseTime", wire.first_response_time, RESPONSE_TIME_EDGES
            ),
            handle_time=shape("handleTime", wire.handle_time, HANDLE_TIME_EDGES),
            replies_to_resolve=shape("repliesToResolve", wire.replies_to_resolve, REPLIES_EDGES),
            resolution_time_by_replies=_resolution_times(wire.replies_to_resolve, odd),
        )
    )


def _previous(value: Any, odd: Odd) -> Statistics:
    if value is not None and not isinstance(value, dict):
        odd("previous: is not an object, and is left out")
        value = None
    return _statistics("previous", _judged(_Figures, "previous", value or {}))


def _tags(value: Any, odd: Odd) -> dict[str, int]:
    if value is not None and not isinstance(value, list):
        odd("filterTags: is not a list, and is left out")
        return {}
    found: dict[str, int] = {}
    for item in value or []:
        try:
            tag = _judged(_Tag, "filterTags", item)
        except BadResponse as error:
            name, id_ = (item.get("name"), item.get("id")) if isinstance(item, dict) else (0, 0)
            which = f"the tag {_quoted(name)}" if isinstance(name, str) else f"a tag (id {id_})"
            odd(f"{error}: {which} is left out"[:200])
        else:
            found.setdefault(tag.name, tag.id)
    return found


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
        each = _judged(_Range, field, item)
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
        wire = _judged(_PreviousCount, field, item)
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
    means: dict[int, list[float | None]] = {id_: [] for id_ in range(1, len(REPLIES_EDGES) + 2)}
    for position, item in enumerate(ranges):
        id_ = item.get("id") if isinstance(item, dict) else None
        if isinstance(id_, bool) or not isinstance(id_, int | float) or id_ not in means:
            continue
        field = f"repliesToResolve.ranges[{position}]"
        try:
            mean = _judged(_Mean, field, item).resolution_time
        except BadResponse as error:
            odd(f"{error}, and is left out")
            mean = None
        # A zero over nothing is no measurement here either.
        means[int(id_)].append(mean if mean or item.get("count") else None)
    return tuple(of_id[0] if len(of_id) == 1 else None for of_id in means.values())


def _whole(field: str, value: float) -> int:
    if value != int(value):
        raise BadResponse(f"{field}: {value:g} is not a whole number")
    return int(value)


_LONE_SURROGATE: Final = re.compile(rb"\\u[dD][89abAB-Fc-f]")


def _parse(model: type[_Model], body: bytes) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
            mended = _without_lone_surrogates(body)
            if mended is not None and mended != body:
                return _parse(model, mended)
        raise BadResponse(_problem(error)) from None


def _judged(model: type[_Model], where: str, value: Any) -> _Model:
    """Return a part of a body that is judged apart. Raises BadResponse naming the field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise BadResponse(_problem(error, (where,))) from None


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


def _problem(error: ValidationError, inside: tuple[str, ...] = ()) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    kind, location = first["type"], (*inside, *first["loc"])
    if kind == "json_invalid":
        return "the body is not JSON"
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"{field.lstrip('.') or 'the body'}: {_WORDS.get(kind, first['msg'])}"
