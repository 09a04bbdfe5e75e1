"""From file, environment and flags to the configuration, or to every problem that was found."""

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from exporter.durations import parse_duration
from exporter.helpscout.account import Account, Secret
from exporter.probe import LISTEN_VARIABLE
from exporter.questions import Window
from exporter.selection import MailboxChoice, Segment, Selection, Shard
from exporter.settings import schema
from exporter.settings.configuration import (
    Configuration,
    ConfigurationError,
    LogSettings,
    WebSettings,
    one_line,
)
from exporter.settings.keys import Problem, at
from exporter.settings.overlay import Overlay
from exporter.settings.problems import in_our_words, repetitions
from exporter.settings.values import shown
from exporter.sla import Objective
from exporter.yaml_file import read_file


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
    flag at the working directory. `hostname` tells the host name for a shard index of `auto`.

    Raises ConfigurationError with every problem that was found.
    """
    try:
        content = read_file(path) if path else {}
    except ValueError as error:
        raise ConfigurationError([f"{path}: {error}"]) from None
    overlay = Overlay(path, content, environ.get(LISTEN_VARIABLE, "").strip())
    overlay.add_environment(environ)
    overlay.add_flags(overrides)
    problems = [*_index_by_host_name(overlay.tree, hostname), *repetitions(overlay.tree)]
    settings = None
    try:
        settings = schema.Settings(source=overlay)  # type: ignore[call-arg]  # it is no key
    except ValidationError as error:
        problems = [*in_our_words(error, overlay.tree), *problems]
    messages = [overlay.message(*found) for found in problems if not overlay.follows(found[0])]
    if settings is None or messages or overlay.problems:
        raise ConfigurationError([*overlay.problems, *messages], overlay.warnings)
    return _configuration(settings, overlay.warnings)


def _index_by_host_name(tree: dict[str, Any], hostname: Callable[[], str]) -> Iterator[Problem]:
    """Replace a shard index of `auto` by the ordinal that a StatefulSet gives its pods."""
    if at(tree, ("shard", "index")) == "auto":
        host = hostname().partition(".")[0]
        ordinal = re.search(r"-(\d{1,9})$", host, re.ASCII)
        tree["shard"]["index"] = int(ordinal[1]) if ordinal else 0
        if not ordinal:
            rule = '"auto" needs a host name that ends like exporter-0'
            yield ("shard", "index"), f"{rule}, this one is {shown(host)}"


def _configuration(settings: schema.Settings, warnings: list[str]) -> Configuration:
    """Return the domain objects; most have fields that are named like the file's keys."""
    accounts = tuple(map(_account, settings.accounts))
    return Configuration(
        accounts=accounts,
        selection=Selection(
            mailboxes=MailboxChoice(**dict(settings.mailboxes)),
            types=settings.types,
            windows=tuple(map(_window, settings.windows)),
            office_hours=settings.office_hours,
            segments=tuple(Segment(**dict(segment)) for segment in settings.segments),
            compare=settings.compare,
            shard=Shard(**dict(settings.shard)),
            named=tuple(_named(settings)),
        ),
        stale_after=settings.stale_after,
        objectives=tuple(Objective(**dict(sla)) for sla in settings.sla),
        state_file=settings.state_file,
        web=WebSettings(
            tuple(settings.web.listen),
            settings.web.telemetry_path,
            settings.web.config_file,
            settings.web.enable_lifecycle,
        ),
        log=LogSettings(settings.log.level, settings.log.format),
        warnings=(*map(one_line, warnings), *_shared_limits(accounts)),
        shown=settings.model_dump(mode="json", exclude_none=True),
    )


def _named(settings: schema.Settings) -> Iterator[tuple[str, str | int]]:
    """Yield what names mailboxes, with its place; that everything matches needs no proof."""
    lists = [
        ("mailboxes.include", settings.mailboxes.include),
        ("mailboxes.exclude", settings.mailboxes.exclude),
        *((f"sla[{index}].mailboxes", sla.mailboxes) for index, sla in enumerate(settings.sla)),
    ]
    for where, patterns in lists:
        for index, pattern in enumerate(patterns):
            if pattern not in ("*", "all"):
                yield f"{where}[{index}]", pattern


def _window(given: schema.Window) -> Window:
    assert given.every is not None  # filled in
    return Window(given.range, parse_duration(given.range), given.every)


def _account(given: schema.Account) -> Account:
    assert given.api  # filled in
    assert given.base_url
    return Account(
        name=given.name,
        api=given.api,
        base_url=given.base_url,
        client_id=given.client_id,
        client_secret=given.client_secret or _in_file(given.client_secret_file),
        api_key=given.api_key or _in_file(given.api_key_file),
        requests_per_minute=given.requests_per_minute,
        budget=given.budget,
        concurrency=given.concurrency,
        timeout=given.timeout,
        ca_file=given.ca_file,
        proxy_url=given.proxy_url or _in_file(given.proxy_url_file),
    )


def _in_file(path: Path | None) -> Secret | None:
    return Secret(file=path) if path else None


def _shared_limits(accounts: tuple[Account, ...]) -> Iterator[str]:
    seen: dict[object, str] = {}
    for account in accounts:
        credentials = (account.base_url, account.client_id, account.api_key)
        first = seen.setdefault(credentials, account.name)
        if first != account.name:
            yield (
                f"accounts {shown(first)} and {shown(account.name)} have the same credentials: "
                "they share one rate limit but keep to a budget each"
            )
