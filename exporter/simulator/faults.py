"""What can be made to go wrong: the faults document, and the rules that pick the calls."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, TypeVar

import yaml

from exporter.simulator.world import KINDS

_T = TypeVar("_T")
_NONE: Mapping[Any, Any] = MappingProxyType({})
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def _key(default: Any, expected: str, fits: Callable[[Any], Any]) -> Any:
    """A field that is read from a document; `fits` gives its value, or None where it is wrong."""
    return field(default_factory=lambda: default, metadata={"check": (fits, expected)})


def _whole(least: int, most: int = 10**9) -> Any:
    def fits(value: object) -> int | None:
        return value if type(value) is int and least <= value <= most else None

    return _key(None, f"a whole number from {least} to {most}", fits)


def _duration(default: float | None = None) -> Any:
    def fits(value: object) -> float | None:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", str(value), re.ASCII)
        return float(match[1]) * _UNITS[match[2] or "s"] if match else None

    return _key(default, 'a duration (0.05, "50ms", "2s")', fits)


def _is(
    kind: type, default: Any, expected: str, good: Callable[[Any], Any] = lambda _: True
) -> Any:
    def fits(value: Any) -> Any:
        return value if isinstance(value, kind) and good(value) else None

    return _key(default, expected, fits)


def _text(pattern: str, expected: str, default: str | None = None) -> Any:
    return _is(str, default, expected, lambda value: re.fullmatch(pattern, value, re.DOTALL))


def _types(value: object) -> frozenset[str] | None:
    types = frozenset(str(value).split(","))
    return types if types <= set(KINDS) else None


def _share(value: Any) -> float | None:
    return value if type(value) in (int, float) and 0 <= value <= 1 else None


def _are_headers(headers: Mapping[str, Any]) -> bool:
    return all(
        re.fullmatch("[!-9;-~]+: [ -~]*", f"{name}: {value}") for name, value in headers.items()
    )


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Which calls are hit (None: any), and what happens to them; times and ranges in seconds."""

    endpoint: str = _text("[*]|token|mailboxes|report", "one of *, token, mailboxes, report", "*")
    account: int | None = _whole(1)
    mailbox: int | None = _whole(1)
    types: frozenset[str] = _key(frozenset(), "a comma list of " + ", ".join(KINDS), _types)
    min_range: float = _duration(0.0)
    max_range: float | None = _duration()
    share: float = _key(1.0, "a share from 0 to 1", _share)
    times: int | None = _whole(1)
    status: int | None = _whole(200, 599)
    headers: Mapping[str, Any] = _is(dict, _NONE, "a mapping of headers", _are_headers)
    body: str | None = _text(".*", "a text")
    content_type: str | None = _text("[ -~]*", "a header")
    delay: float = _duration(0.0)
    cut: int | None = _whole(0)
    garbage: bool = _is(bool, False, "true or false")

    def matches(
        self, endpoint: str, account: int, query: Mapping[str, str], span: int | None
    ) -> bool:
        """Mailbox and types must be named by the query; `span` is the length of its range."""
        return (
            self.endpoint in ("*", endpoint)
            and self.account in (None, account)
            and (self.mailbox is None or str(self.mailbox) in query.get("mailboxes", "").split(","))
            and self.types <= set(query.get("types", "").split(","))
            and self.min_range <= (span or 0)
            and (self.max_range is None or (span is not None and span <= self.max_range))
        )


@dataclass(frozen=True, slots=True)
class MailboxChange:
    """What became of a mailbox meanwhile; hidden: not listed, but its reports still answer."""

    name: str | None = _text(".*", "a text")
    deleted: bool = _is(bool, False, "true or false")
    hidden: bool = _is(bool, False, "true or false")


def _are_ids(mailboxes: Mapping[str, object]) -> bool:
    return all(re.fullmatch("[0-9]+", key) for key in mailboxes)


@dataclass(frozen=True, slots=True)
class Faults:
    """A faults document. None keeps what the simulator was started with; times in seconds."""

    rate_limit: int | None = _whole(1)
    latency: float | None = _duration()
    token_expires_in: float = _duration(172_800.0)
    mailboxes: Mapping[Any, Any] = _is(dict, _NONE, "a mapping of ids", _are_ids)
    faults: tuple[FaultRule, ...] = _is(list, (), "a list")
    document: Mapping[str, Any] = field(default_factory=dict)  # as it came, to show it


class Injector:
    """Chooses by counting, not by chance: share 0.5 is every second call, so runs repeat.

    Rules are tried in order, the first that hits decides; `times` bounds a rule's hits.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._matched, self._hits = [0] * len(faults.faults), [0] * len(faults.faults)

    def choose(
        self, endpoint: str, account: int, query: Mapping[str, str], span: int | None
    ) -> FaultRule | None:
        for index, rule in enumerate(self.faults.faults):
            if self._hits[index] != rule.times and rule.matches(endpoint, account, query, span):
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
    return replace(
        faults,
        mailboxes={
            int(key): _take(MailboxChange, change, f"mailboxes.{key}")
            for key, change in faults.mailboxes.items()
        },
        faults=tuple(
            _take(FaultRule, rule, f"faults[{number}]") for number, rule in enumerate(faults.faults)
        ),
        document=document,
    )


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
        convert, expected = checks[key]
        taken[key] = convert(item)
        if taken[key] is None:
            raise ValueError(f"{place}: {item!r} is not {expected}")
    return kind(**taken)
