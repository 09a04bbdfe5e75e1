"""The bodies of the API, checked at the edge: the strict base of all, the token, errors.

Lenient to what docs/api-facts.md says varies: unknown fields, missing ones, integers or floats,
ranges in any order or left out. One odd element or field costs itself and nothing else: `odd` is
told a line that names it. Strict to what is not a number where a figure is expected: that is a
BadResponse naming the field, for a wrong number is worse than none. A field that nobody asked for
is not judged.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from exporter.helpscout.errors import BadResponse

# Beyond 2**53 a float is not an exact count any more, and sums of such figures overflow.
_MOST: Final = 2**53
Number = Annotated[float, Field(ge=0, le=_MOST, allow_inf_nan=False)]
Id = Annotated[int, Field(ge=1)]


class Wire(BaseModel):
    """An object in a body: unknown fields are ignored, types are not guessed."""

    model_config = ConfigDict(
        strict=True, extra="ignore", alias_generator=to_camel, hide_input_in_errors=True
    )


class _Token(Wire):
    access_token: Annotated[
        str, Field(alias="access_token", min_length=1, pattern=r"^[\x21-\x7e]+$")
    ]
    expires_in: Any = Field(alias="expires_in", default=None)


_Model = TypeVar("_Model", bound=Wire)

Odd = Callable[[str], None]
"""Takes a line that names an odd element or field, and says what is left out for it."""


def count_of(where: str, value: Any, odd: Odd) -> int | None:
    """Return a count that costs nothing but itself where it is odd; None for null."""
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0 <= value <= _MOST and value == int(value):
        return int(value)
    odd(f"{where}: is not a count, and is left out")
    return None


def quoted(name: Any) -> str:
    """Return a name between quotes, cut short, or that there is none."""
    return f'"{name[:80]}"' if isinstance(name, str) else "without a name"


_DEFAULT_LIFE_SECONDS: Final = 7200.0


def parse_token(body: bytes) -> tuple[str, float]:
    """Return 2.0's bearer token and its life in seconds. Raises BadResponse, never quoting it.

    A life that is not said, or not in seconds, is taken for two hours: a token that ends earlier is
    renewed when it is refused.
    """
    token = parse(_Token, body)
    life = token.expires_in
    is_life = isinstance(life, int | float) and not isinstance(life, bool) and 0 < life <= _MOST
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


_LONE_SURROGATE: Final = re.compile(rb"\\u[dD][89abAB-Fc-f]")


def parse(model: type[_Model], body: bytes) -> _Model:
    """Return a body. Raises BadResponse naming the field."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
            mended = _without_lone_surrogates(body)
            if mended is not None and mended != body:
                return parse(model, mended)
        raise BadResponse(_problem(error)) from None


def judged(model: type[_Model], where: str, value: Any) -> _Model:
    """Return a part of a body that is judged apart. Raises BadResponse naming the field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise BadResponse(_problem(error, (where,))) from None


def _without_lone_surrogates(body: bytes) -> bytes | None:
    """Return the body with question marks for lone surrogates, None where there are none.

    Half a surrogate pair, as a name cut in the middle of an emoji has it, must not cost every
    mailbox.
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
