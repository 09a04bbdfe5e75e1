"""What is wrong with the tree, in our words: what pydantic found, and what two elements share."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from exporter.durations import parse_duration
from exporter.settings.keys import KeyPath, Problem, at, general, hint
from exporter.settings.schema import FIELDS
from exporter.settings.values import Problems, shown

_NO_ACCOUNT: Final = (
    "no account is configured: set HELPSCOUT_CLIENT_ID and HELPSCOUT_CLIENT_SECRET (or, for "
    'API v1, HELPSCOUT_API_KEY), or try "helpscout-exporter demo", which needs none'
)
_WORDS: Final = {
    "missing": "is missing",
    "too_short": "is empty, so nothing would be reported: leave it out for the default",
    "too_long": "takes one or two windows, the shorter one first",
}


def in_our_words(error: ValidationError, tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what pydantic found in `tree`, key by key."""
    for found in error.errors(include_url=False):
        key, kind = found["loc"], found["type"]
        value, field = at(tree, key), FIELDS.get(general(key))
        if kind == "value_error":
            cause = found["ctx"]["error"]
            below = cause.problems if isinstance(cause, Problems) else [((), str(cause))]
            yield from (((*key, *path), text) for path, text in below)
        elif kind == "extra_forbidden":
            yield key, f"unknown key{hint(str(key[-1]), _names_beside(key))}"
        elif kind == "too_short" and value:
            pass  # pydantic counts the good elements only, and told of the bad ones
        elif kind in _WORDS:
            yield key, _NO_ACCOUNT if key == ("accounts",) else _WORDS[kind]
        elif field:
            yield key, f"{shown(value)} is not {field.description}"
        else:
            wanted = "a list" if kind == "tuple_type" else "a mapping"
            yield key, f"takes {wanted}, not {'text' if isinstance(value, str) else shown(value)}"


def _names_beside(path: KeyPath) -> list[str]:
    above = general(path[:-1])
    return [str(key[len(above)]) for key in FIELDS if key[: len(above)] == above]


def repetitions(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield names, and ranges of windows, that two elements share, whatever else is wrong."""
    for place, key in (
        ("accounts", "name"),
        ("windows", "range"),
        ("segments", "name"),
        ("sla", "name"),
    ):
        seen: dict[object, tuple[int, str]] = {}
        default, elements = FIELDS[place, 0, key].default, tree.get(place)
        for index, element in enumerate(elements if isinstance(elements, list) else ()):
            value = element.get(key, default) if isinstance(element, dict) else None
            if isinstance(value, str):
                same = _length(value) if key == "range" else value
                first, other = seen.setdefault(same, (index, value))
                if first != index:
                    text = f"{shown(value)} is the {key} of {place}[{first}] too"
                    as_written = "" if other == value else f", written {shown(other)}"
                    yield (place, index, key), text + as_written


def _length(text: str) -> timedelta | str:
    try:
        return parse_duration(text)
    except ValueError:
        return text
