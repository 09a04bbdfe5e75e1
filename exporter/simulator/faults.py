"""What can be made to go wrong: the faults document, and the rules that pick the calls."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, TypeVar

import yaml

_T = TypeVar("_T")
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def _to_seconds(value: object) -> float:
    number, unit = re.findall("([0-9.]+)([a-z]*)", str(value))[0]
    return float(number) * _UNITS[unit]


def _key(
    default: Any, expected: str, pattern: str, convert: Callable[[Any], Any] = lambda value: value
) -> Any:
    """A field read from a document, where its value, as JSON, has to match the pattern."""
    check = (expected, re.compile(pattern), convert)
    return field(default_factory=lambda: default, metadata={"check": check})


_COUNT = ("a whole number of at least 1", "[1-9][0-9]{0,8}")
_SECONDS = (
    'a duration (0.05, "50ms", "2s")',
    r'[0-9]+(\.[0-9]+)?|"[0-9]+(\.[0-9]+)?(ms|[smhd])?"',
    _to_seconds,
)
_FLAG = ("true or false", "true|false")
_TEXT = ("a text", '".*"')
_VALUE = r"[ !#-\[\]-~]*"  # of a header: printable, and nothing that JSON escapes
_TYPES = '"(email|chat|phone)(,(email|chat|phone))*"'


class Call(NamedTuple):
    """What a rule looks at; words: the mailboxes and types that a report's query names."""

    endpoint: str
    account: int
    words: frozenset[str]
    range_seconds: int | None


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Which calls are hit (None: any), and what happens to them; times and ranges in seconds."""

    endpoint: str = _key(
        "*", "one of *, token, mailboxes, report", r'"(\*|token|mailboxes|report)"'
    )
    account: int | None = _key(None, *_COUNT)
    mailbox: int | None = _key(None, *_COUNT)
    types: str | None = _key(None, "a comma list of email, chat, phone", _TYPES)
    min_range: float = _key(0.0, *_SECONDS)
    max_range: float | None = _key(None, *_SECONDS)
    share: float = _key(1.0, "a share from 0 to 1", r"[01](\.0)?|0\.[0-9]+")
    times: int | None = _key(None, *_COUNT)
    status: int | None = _key(None, "a status from 200 to 599", "[2-5][0-9]{2}")
    headers: Mapping[str, Any] = _key(
        {}, "a mapping of headers", rf'\{{("[!-9;-~]+": ("{_VALUE}"|[0-9]+)(, )?)*\}}'
    )
    body: str | None = _key(None, *_TEXT)
    content_type: str | None = _key(None, "a header", f'"{_VALUE}"')
    delay: float = _key(0.0, *_SECONDS)
    cut: int | None = _key(None, "a number of bytes", "[0-9]{1,9}")
    garbage: bool = _key(False, *_FLAG)

    def matches(self, call: Call) -> bool:
        types = set(self.types.split(",")) if self.types else set()
        seconds = call.range_seconds or 0
        return (
            self.endpoint in ("*", call.endpoint)
            and self.account in (None, call.account)
            and (self.mailbox is None or str(self.mailbox) in call.words)
            and types <= call.words
            and self.min_range <= seconds
            and (self.max_range is None or 0 < seconds <= self.max_range)
        )


@dataclass(frozen=True, slots=True)
class MailboxChange:
    """What became of a mailbox meanwhile; hidden: not listed, but its reports still answer."""

    name: str | None = _key(None, *_TEXT)
    deleted: bool = _key(False, *_FLAG)
    hidden: bool = _key(False, *_FLAG)


@dataclass(frozen=True, slots=True)
class Faults:
    """A faults document. None keeps what the simulator was started with; times in seconds."""

    rate_limit: int | None = _key(None, *_COUNT)
    latency: float | None = _key(None, *_SECONDS)
    token_expires_in: float = _key(172_800.0, *_SECONDS)
    mailboxes: Mapping[Any, Any] = _key({}, "a mapping of ids", r"\{.*\}")
    faults: tuple[FaultRule, ...] = _key((), "a list", r"\[.*\]")
    document: Mapping[str, Any] = field(default_factory=dict)  # as it came, to show it


class Injector:
    """Chooses by counting, not by chance: share 0.5 is every second call, so runs repeat.

    Rules are tried in order, the first that hits decides; `times` bounds a rule's hits.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._matched, self._hits = [0] * len(faults.faults), [0] * len(faults.faults)

    def choose(self, call: Call) -> FaultRule | None:
        for index, rule in enumerate(self.faults.faults):
            if self._hits[index] != rule.times and rule.matches(call):
                before = self._matched[index] * rule.share + 1e-9  # ten tenths are one
                self._matched[index] += 1
                if int(before + rule.share) > int(before):
                    self._hits[index] += 1
                    return rule
        return None


def parse_faults(text: str) -> Faults:
    """Reads YAML or JSON; empty means none. Raises ValueError with one line: where and what."""
    try:
        document = json.loads(json.dumps(yaml.safe_load(text) or {}))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("not a document: " + " ".join(str(error).split())) from None
    faults = _take(Faults, document, "")
    mailboxes = {}
    for key, change in faults.mailboxes.items():
        if not re.fullmatch("[0-9]+", key):
            raise ValueError(f"mailboxes.{key}: {key!r} is not a mailbox id")
        mailboxes[int(key)] = _take(MailboxChange, change, f"mailboxes.{key}")
    rules = [_take(FaultRule, rule, f"faults[{n}]") for n, rule in enumerate(faults.faults)]
    return replace(faults, mailboxes=mailboxes, faults=tuple(rules), document=document)


def _take(kind: type[_T], value: object, where: str) -> _T:
    """A dataclass from a mapping, each key through the check its field names."""
    if not isinstance(value, dict):
        raise ValueError(f"{where or 'document'}: {value!r} is not a mapping")
    checks = {f.name: f.metadata["check"] for f in fields(kind) if f.metadata}  # type: ignore[arg-type]
    taken = {}
    for key, item in value.items():
        place = f"{where}.{key}".lstrip(".")
        if key not in checks:
            raise ValueError(f"{place}: unknown key")
        expected, pattern, convert = checks[key]
        if not pattern.fullmatch(json.dumps(item)):
            raise ValueError(f"{place}: {item!r} is not {expected}")
        taken[key] = convert(item)
    return kind(**taken)
