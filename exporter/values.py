"""The kinds of configured values, as types for fields: how each is checked and shown again.

A value is what YAML gave, or the Text of a variable or flag. No kind is lenient about types in the
file. What pydantic refuses is reported with the field's description, what is refused here with the
end of a message. The classes whose fields they are: docs/architecture.md.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BeforeValidator,
    Field,
    HttpUrl,
    PlainSerializer,
    PlainValidator,
    Strict,
    ValidationError,
)

from exporter.durations import FORM, format_duration, parse_duration
from exporter.yaml_file import parse_yaml

_T = TypeVar("_T")

KeyPath = tuple[str | int, ...]
Problem = tuple[KeyPath, str]
"""A key and what is wrong with its value: the end of a message."""

WHOLE: Final = None
"""The key that marks a list or a free map in a tree of sources: it replaces what is below it.

Elements of a list have their indices as keys there, so that lists merge as mappings do.
"""
COMMAS: Final = "commas"
"""Marks a list that a variable may separate by commas: no element has one by nature."""
MAP: Final = "map"
"""Marks a mapping with keys of the user's own: given as a whole, it replaces that below it."""
IN_QUOTES: Final = "is in quotes, which are part of it: remove them"
ONE: Final = "one"
"""Marks a list that may be written as its only element."""


class Text(str):
    """A value that arrived as text because its source knows no types: a variable or a flag."""

    __slots__ = ()


class Problems(ValueError):
    """Problems at keys below the one that pydantic is looking at."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__()
        self.problems = problems


def shown(value: object) -> str:
    """Return a value as messages quote it: short, and never what is inside a mapping or list."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def is_quoted(value: str) -> bool:
    """Return whether a text begins and ends with the same quotation mark."""
    return len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"


def one_of(*words: str, what: str = "one of ") -> BeforeValidator:
    """Take one of these words."""

    def check(value: object) -> str:
        if value not in words:
            raise ValueError(f"{shown(value)} is not {what}{', '.join(words)}")
        return str(value)

    return BeforeValidator(check)


def typed(value: object) -> object:
    """Return the number, boolean or null that a Text writes; anything else as it is."""
    if isinstance(value, Text) and re.fullmatch(r"\w[\w.]*", value):
        return parse_yaml(value)
    return value


def _integer(value: object) -> int | None:
    number = typed(value)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def text(value: object) -> str:
    if not isinstance(value, str):
        advice = ": put it in quotes" if isinstance(value, int | float) else ""
        raise ValueError(f"{shown(value)} is not text{advice}")
    if not value.strip() or not value.isprintable():
        raise ValueError(f"{shown(value)} is empty or holds unprintable characters")
    return str(value)


def http_url(value: object, like: str) -> str:
    """Return the URL of a web server without a slash at its end; `like` says what is expected.

    Raises ValueError. The value is not shown: it may hold a password.
    """
    try:
        found = HttpUrl(value)  # type: ignore[arg-type]  # whatever it is
    except ValidationError:
        raise ValueError(f"is not a URL {like}") from None
    if found.username or found.password:
        raise ValueError("must not hold a user name or password")
    if found.query is not None or found.fragment is not None:
        raise ValueError("must not hold a query or fragment")
    return str(found).rstrip("/")


def _id(value: object) -> str:
    return text(value.strip() if isinstance(value, str) else value)


def written(target: timedelta | int) -> str | int:
    """Return an objective's target as the file has it."""
    return target if isinstance(target, int) else format_duration(target)


def _duration(value: object) -> timedelta:
    if not isinstance(value, str) or len(value) > 40:
        raise ValueError(f"{shown(value)} is not a duration: {FORM}")
    return parse_duration(value)


def _range(value: object) -> str:
    length = _duration(value)
    if not timedelta(minutes=1) <= length <= timedelta(days=366) or length.microseconds:
        raise ValueError(f"{shown(value)} is not a range of whole seconds from 1m to 366d")
    return str(value)


def _target(value: object) -> object:
    """Return a duration or a whole number; anything else is refused by its statistic."""
    replies = _integer(value)
    if replies is None:
        with suppress(ValueError):
            return _duration(value)
    return value if replies is None else replies


def _name_or_id(value: object) -> str | int:
    number = _integer(value)
    if number is None:
        return text(value)
    if number < 1:
        raise ValueError(f"{number} is not an id")
    return number


def _path(value: object) -> Path | None:
    return None if typed(value) is None else Path(text(value))


def _listed(value: Any) -> Any:
    """Return the list whose elements have their indices as keys; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    elements = {index: element for index, element in value.items() if index is not WHOLE}
    gap = next((i for i in range(len(elements)) if i not in elements), None)
    if gap is not None:
        beyond = min(index for index in elements if index > gap)
        raise Problems(((beyond,), f"leaves a gap: the next free index is {gap}"))
    return [elements[index] for index in range(len(elements))]


def _once(items: tuple[_T, ...]) -> tuple[_T, ...]:
    again = [i for i, item in enumerate(items) if item in items[:i]]
    if again:
        raise Problems(*(((i,), f"{shown(items[i])} is listed twice") for i in again))
    return items


Boolean = Annotated[bool, BeforeValidator(typed), Strict(), Field(description="true or false")]
Whole = Annotated[int, BeforeValidator(typed), Strict()]
Number = Annotated[
    float,
    BeforeValidator(typed),
    Strict(),
    AllowInfNan(False),
    PlainSerializer(lambda n: int(n) if n == int(n) else n),
]
Name = Annotated[str, BeforeValidator(text)]
Id = Annotated[str, BeforeValidator(_id)]
NameOrId = Annotated[str | int, PlainValidator(_name_or_id)]
Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(format_duration)]
Range = Annotated[str, PlainValidator(_range)]
Target = Annotated[timedelta | int, PlainValidator(_target), PlainSerializer(written)]
Every = Annotated[
    Duration,
    Field(ge=timedelta(seconds=10), le=timedelta(days=1), description="a duration from 10s to 1d"),
]
"""How often something is asked."""
Share = Annotated[Number, Field(gt=0, lt=1, description="a number between 0 and 1")]
File = Annotated[Path | None, PlainValidator(_path)]
Some = Field(min_length=1)
Once = AfterValidator(_once)
Listed = BeforeValidator(_listed)
"""What every list's type ends with."""
NamesOrIds = Annotated[tuple[NameOrId, ...], Listed]
OfficeHours = Annotated[
    tuple[Boolean, ...], Some, Field(description="true or false"), Once, Listed, COMMAS
]
