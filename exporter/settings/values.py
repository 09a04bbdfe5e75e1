"""The kinds of single values, as types for the fields of the schema: how each is checked and shown.

A value is what YAML gave, or the Text of a variable or flag. No kind is lenient about types in the
file. What pydantic refuses is told with the field's description, what is refused here with the
end of a message.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeVar

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

from exporter.durations import format_duration, parse_duration
from exporter.helpscout.account import Secret, flaw, proxy_flaw
from exporter.probe import SYSTEMD
from exporter.settings.keys import Problem
from exporter.yaml_file import parse_yaml

_T = TypeVar("_T")


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


def one_of(*words: str, what: str = "one of ") -> BeforeValidator:
    """Take one of these words."""

    def check(value: object) -> str:
        if value not in words:
            raise ValueError(f"{shown(value)} is not {what}{', '.join(words)}")
        return str(value)

    return BeforeValidator(check)


def _typed(value: object) -> object:
    """Return the number, boolean or null that a Text writes; anything else as it is."""
    if isinstance(value, Text) and re.fullmatch(r"\w[\w.]*", value):
        return parse_yaml(value)
    return value


def _integer(value: object) -> int | None:
    number = _typed(value)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        advice = ": put it in quotes" if isinstance(value, int | float) else ""
        raise ValueError(f"{shown(value)} is not text{advice}")
    if not value.strip() or not value.isprintable():
        raise ValueError(f"{shown(value)} is empty or holds unprintable characters")
    return str(value)


def _id(value: object) -> str:
    return _text(value.strip() if isinstance(value, str) else value)


def written(target: timedelta | int) -> str | int:
    """Return an objective's target as the file has it."""
    return target if isinstance(target, int) else format_duration(target)


def _duration(value: object) -> timedelta:
    if not isinstance(value, str) or len(value) > 40:
        form = "write it like 90s, 15m, 1h30m, 7d or 2w"
        raise ValueError(f"{shown(value)} is not a duration: {form}")
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
        return _text(value)
    if number < 1:
        raise ValueError(f"{number} is not an id")
    return number


def _path(value: object) -> Path | None:
    return None if _typed(value) is None else Path(_text(value))


def _secret(value: object) -> Secret:
    # Never the value in a message here, and never its length.
    if not isinstance(value, str):
        raise ValueError("is not text: put it in quotes")
    if why_not := flaw(value.strip()):
        raise ValueError(why_not)
    return Secret(text=str(value).strip())


def _proxy_url(value: object) -> Secret:
    # The value is not shown: it may hold a password.
    if not isinstance(value, str):
        raise ValueError("is not text: put it in quotes")
    if why_not := proxy_flaw(value.strip()):
        raise ValueError(why_not)
    return Secret(text=str(value).strip())


def _without_password(url: Secret) -> str:
    return re.sub("//.*@", "//<secret>@", url.text or "")


def _base_url(value: object) -> str:
    # The value is not shown: it may hold a password.
    try:
        url = HttpUrl(value)  # type: ignore[arg-type]  # whatever it is
    except ValidationError:
        raise ValueError("is not a URL that begins with https:// and a host") from None
    if url.username or url.password:
        raise ValueError("must not hold a user name or password")
    if url.query is not None or url.fragment is not None:
        raise ValueError("must not hold a query or fragment")
    return str(url).rstrip("/")


def _listen(value: object) -> tuple[str, ...]:
    """Return the addresses, or `systemd` alone. In one text they are separated by commas."""
    if isinstance(value, Text) and value.startswith("[") and value.endswith("]"):
        value = parse_yaml(value)
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    addresses = value if isinstance(value, list) else [value]
    if addresses == [SYSTEMD]:
        return (SYSTEMD,)
    if not addresses:
        raise ValueError("is empty: leave it out for the default")
    wrong = [(i, flaw) for i, each in enumerate(addresses) if (flaw := _address_flaw(each))]
    if wrong:
        raise Problems(*(((i,) if len(addresses) > 1 else (), flaw) for i, flaw in wrong))
    return _once(tuple(addresses))


def _address_flaw(value: object) -> str | None:
    if value == SYSTEMD:
        return f"{shown(SYSTEMD)} must stand alone, without addresses"
    match = re.fullmatch(r"([\w.-]*|\[[\da-fA-F.]*:[\w:.%]+\]):(\d{1,5})", str(value), re.ASCII)
    if match and int(match[2]) <= 65535:
        return None
    return f"{shown(value)} is not HOST:PORT like 127.0.0.1:9877, [::1]:9877 or :9877"


def _telemetry_path(value: object) -> str:
    path = _text(value)
    if not re.fullmatch(r"(/[\w.~-]+)+/?", path, re.ASCII):
        raise ValueError(f"{shown(path)} is not a path like /metrics")
    if path in ("/config", "/-") or path.startswith("/-/"):
        raise ValueError(f"{shown(path)} is a page of the exporter's own")
    return path


def _once(items: tuple[_T, ...]) -> tuple[_T, ...]:
    again = [i for i, item in enumerate(items) if item in items[:i]]
    if again:
        raise Problems(*(((i,), f"{shown(items[i])} is there twice") for i in again))
    return items


Boolean = Annotated[bool, BeforeValidator(_typed), Strict(), Field(description="true or false")]
Whole = Annotated[int, BeforeValidator(_typed), Strict()]
Number = Annotated[
    float,
    BeforeValidator(_typed),
    Strict(),
    AllowInfNan(False),
    PlainSerializer(lambda n: int(n) if n == int(n) else n),
]
Name = Annotated[str, BeforeValidator(_text)]
Id = Annotated[str, BeforeValidator(_id)]
NameOrId = Annotated[str | int, PlainValidator(_name_or_id)]
Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(format_duration)]
Range = Annotated[str, PlainValidator(_range)]
Target = Annotated[timedelta | int, PlainValidator(_target), PlainSerializer(written)]
File = Annotated[Path | None, PlainValidator(_path)]
SecretText = Annotated[Secret, PlainValidator(_secret), PlainSerializer(lambda _: "<secret>")]
ProxyUrl = Annotated[Secret, PlainValidator(_proxy_url), PlainSerializer(_without_password)]
BaseUrl = Annotated[str, PlainValidator(_base_url)]
Listen = Annotated[
    Sequence[str],  # a list in one variable: to the overlay a single value
    PlainValidator(_listen),
    PlainSerializer(lambda listen: listen[0] if len(listen) == 1 else list(listen)),
]
TelemetryPath = Annotated[str, PlainValidator(_telemetry_path)]
Once = AfterValidator(_once)
