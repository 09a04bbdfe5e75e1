"""From file, environment and flags to the configuration, or to every problem that was found."""

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from exporter.durations import parse_duration
from exporter.helpscout.account import Account
from exporter.probe import LISTEN_VARIABLE
from exporter.settings.collectors import COLLECTORS
from exporter.settings.configuration import Configuration, ConfigurationError, one_line
from exporter.settings.keys import KEYS, SHORT, at, dotted, general, variable
from exporter.settings.sources import Merged, Settings, Source, of_environment, of_file, of_flags
from exporter.values import KeyPath, Problem, Problems, Text, shown

_NO_ACCOUNT: Final = (
    "no account is configured: set HELPSCOUT_CLIENT_ID and HELPSCOUT_CLIENT_SECRET (or, for "
    'API v1, HELPSCOUT_API_KEY), or try "helpscout-exporter demo", which needs none'
)
_NAMED: Final = [
    (path[:-1], key)
    for path, shape in KEYS.items()
    for key in ("name", "range")
    if path[-1:] == (0,) and key in shape.keys
]
"""The lists whose elements have a name, or a range, of which each is there once."""
_WORDS: Final = {
    "missing": "is missing",
    "too_short": "is empty, so nothing would be reported: leave it out for the default",
}


def load(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, str] = MappingProxyType({}),
    *,
    hostname: Callable[[], str] = socket.gethostname,
) -> Configuration:
    """Return the configuration of a file (or none), `HELPSCOUT_*` variables and flags.

    `overrides` maps dotted keys (`web.listen`, `accounts.0.base_url`) to values; a flag wins over
    a variable, a variable over the file, the file over the default, which for `web.listen` is the
    image's (`EXPORTER_LISTEN`) if there is one. Mappings merge key by key; lists merge by index
    where a variable names one, else the whole list is replaced. An empty variable counts as not
    set, and white space around a value is dropped. `null` in a variable
    unsets `state_file` and `web.config_file`. A secret replaces its `*_file` twin of a lower
    source, and the other way round. Digits alone, in a variable for one element of `include`,
    `exclude` or `tags`, are an id.

    A relative path in the file starts at the file's folder, as in Prometheus; one in a variable or
    flag at the working directory. `hostname` returns the host name for a shard index of `auto`.

    Raises ConfigurationError with every problem that was found.
    """
    environment, warnings = of_environment(environ)
    sources = [of_flags(overrides), environment]
    try:
        sources += [of_file(path)] if path else []
    except ValueError as error:
        raise ConfigurationError([f"{path}: {error}"], warnings) from None
    if image := environ.get(LISTEN_VARIABLE, "").strip():
        sources.append(Source({("web", "listen"): (LISTEN_VARIABLE, Text(image))}))
    problems, merged, settings = [*_index_by_host_name(sources, hostname)], Merged(), None
    try:
        settings = Settings(sources=(*sources, merged))  # type: ignore[call-arg]  # no key
    except ValidationError as error:
        problems = [*_in_our_words(error, merged.tree), *problems]
    problems += _repetitions(merged.tree)
    problems += _idle(settings.configuration) if settings else ()
    refused = [key for source in sources for key in source.refused]
    messages = [line for source in sources for line in source.problems]
    messages += [
        _message(sources, path, *problem) for problem in problems if not _follows(problem, refused)
    ]
    if settings is None or messages:
        raise ConfigurationError(messages, warnings)
    found = settings.configuration
    more = (*_shared_limits(found.accounts), *_left_out_of_waiting(found))
    return replace(found, warnings=(*map(one_line, warnings), *more))


def _index_by_host_name(
    sources: Iterable[Source], hostname: Callable[[], str]
) -> Iterator[Problem]:
    """Replace a shard index of `auto` by the ordinal that a StatefulSet gives its pods."""
    key = ("shard", "index")
    source = next((source for source in sources if at(source.tree, key) is not None), None)
    if source and at(source.tree, key) == "auto":
        host = hostname().partition(".")[0]
        ordinal = re.search(r"-(\d{1,9})$", host, re.ASCII)
        source.tree["shard"]["index"] = int(ordinal[1]) if ordinal else 0
        if not ordinal:
            rule = '"auto" needs a host name that ends like exporter-0'
            yield key, f"{rule}, this one is {shown(host)}"


def _in_our_words(error: ValidationError, tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what pydantic found in `tree`, key by key."""
    for found in error.errors(include_url=False):
        path, kind = found["loc"][1:], found["type"]
        value, key = at(tree, path), KEYS[general(path)]
        if kind == "value_error":
            cause = found["ctx"]["error"]
            below = cause.problems if isinstance(cause, Problems) else [((), str(cause))]
            yield from (((*path, *inside), text) for inside, text in below)
        elif kind == "too_short" and value and 0 in value:
            pass  # the good elements alone were counted, and the bad ones reported
        elif kind in _WORDS:
            yield path, _NO_ACCOUNT if path == ("accounts",) else _WORDS[kind]
        elif key.is_value:
            yield path, f"{shown(value)} is not {key.description}"
        else:
            yield path, f"takes {key.wanted}, not {shown(value)}"


def _repetitions(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield names, and ranges of windows, that two elements share, whatever else is wrong."""
    for place, key in _NAMED:
        seen: dict[object, tuple[int, str]] = {}
        default, elements = KEYS[*place, 0, key].default, at(tree, place) or {}
        for index in sorted(each for each in elements if isinstance(each, int)):
            value = (elements[index] or {}).get(key, default)
            if isinstance(value, str):
                same = _length(value) if key == "range" else value
                first, other = seen.setdefault(same, (index, value))
                if first != index:
                    text = f"{shown(value)} is the {key} of {dotted((*place, first))} too"
                    as_written = "" if other == value else f", written {shown(other)}"
                    yield (*place, index, key), text + as_written


def _idle(found: Configuration) -> Iterator[Problem]:
    """Yield what would leave an account, or a kind of question, with nothing to ask."""
    on = {name for name in COLLECTORS if getattr(found, name).enabled}
    if not on:
        yield ("productivity", "enabled"), f"turns off the last of {', '.join(COLLECTORS)}"
        return
    if "waiting" in on and not any("waiting" in found.collectors_of(a) for a in found.accounts):
        yield ("waiting", "enabled"), "needs an account of API 2.0: API 1.0 does not say who waits"
    for index, account in enumerate(found.accounts):
        if not found.collectors_of(account):
            text = f"none of them is on: on are {', '.join(c for c in COLLECTORS if c in on)}"
            yield ("accounts", index, "collectors"), text


def _length(text: str) -> timedelta | str:
    try:
        return parse_duration(text)
    except ValueError:
        return text


def _follows(problem: Problem, refused: Iterable[KeyPath]) -> bool:
    """Return whether a problem may only be there because a value above or below was refused."""
    path, _ = problem
    return any(path[: len(other)] == other or other[: len(path)] == path for other in refused)


def _message(sources: Sequence[Source], file: Path | None, path: KeyPath, text: str) -> str:
    """Return one line about a key, led by the variable, flag or file that sets or lacks it."""
    above = (path[:length] for length in range(len(path), 0, -1))
    setters = (source.setter(part) for part in above for source in sources)
    name = next((setter for setter in setters if setter), None)
    if name and any(source.names.get(path) == name for source in sources):
        return f"{name}: {text}"
    below = (n for s in sources for key, n in s.names.items() if path == key[: len(path)])
    if name := name or next(below, None) or (str(file) if file else None):
        return f"{name}: {dotted(path)}: {text}"
    shorts = (short for short, key in SHORT.items() if key == path)
    return f"{next(shorts, variable(path)) if path[1:] else dotted(path)}: {text}"


def _shared_limits(accounts: tuple[Account, ...]) -> Iterator[str]:
    seen: dict[object, str] = {}
    for account in accounts:
        key = account.secret("api_key")
        login = account.client_id or account.client_id_file
        first = seen.setdefault((account.base_url, login, key), account.name)
        if first != account.name:
            yield (
                f"accounts {shown(first)} and {shown(account.name)} have the same credentials: "
                "they share one rate limit but keep to a budget each"
            )


def _left_out_of_waiting(found: Configuration) -> Iterator[str]:
    """Yield what `waiting` cannot say, though it is on."""
    asked = [account for account in found.accounts if "waiting" in found.collectors_of(account)]
    chosen = [a for a in found.accounts if found.is_on("waiting", a.collectors) and a not in asked]
    if chosen:
        yield f"API 1.0 does not say who waits: waiting is not asked of {_names(chosen)}"
    if not asked:
        return
    for index, segment in enumerate(found.segments):
        if segment.folders:
            yield (
                f"segments[{index}] ({segment.name}) names folders: it is not cut out of waiting,"
                " because a conversation does not say all the folders that it is in"
            )
    without = [account for account in asked if account.office_schedule is None]
    for index, objective in enumerate(found.objectives):
        if without and objective.judges_waits and objective.office_hours == (True,):
            yield (
                f"sla[{index}] ({objective.name}) counts office hours only: without an"
                f" office_schedule nobody is seen to wait beyond its target in {_names(without)}"
            )


def _names(accounts: Iterable[Account]) -> str:
    return ", ".join(shown(account.name) for account in accounts)
