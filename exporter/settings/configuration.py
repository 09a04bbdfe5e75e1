"""All that is configured, each key declared once: the rest of the house reads these classes.

The classes of accounts, mailboxes, windows and objectives are with those who use them. Here are the
root and what must fit together. Which source gave a value is not known here.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from itertools import chain
from typing import Annotated, Any, get_args

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationInfo,
)

from exporter.durations import parse_duration
from exporter.failure import Failure
from exporter.helpscout.account import Account, fits_together, with_defaults
from exporter.logs import Format, Level
from exporter.probe import LISTEN, SYSTEMD
from exporter.questions import ALL, TYPES, Types, Window
from exporter.selection import MailboxChoice, Segment, Shard, cuts, is_one_of_all
from exporter.settings.collectors import (
    COLLECTORS,
    ONLY_V2,
    FoldersSettings,
    HappinessSettings,
    ProductivitySettings,
    WaitingSettings,
)
from exporter.sla import Objective
from exporter.values import (
    COMMAS,
    ONE,
    Boolean,
    Duration,
    File,
    Listed,
    Number,
    OfficeHours,
    Once,
    Problem,
    Problems,
    Some,
    http_url,
    one_of,
    shown,
    text,
    typed,
)


class ConfigurationError(Failure):
    """The configuration cannot be used. `messages` are all the problems found, one line each.

    `warnings` are those of Configuration: what is ignored may be why something is missing.
    """

    exit_code = 2

    def __init__(self, messages: Iterable[str], warnings: Iterable[str] = ()) -> None:
        self.messages = tuple(one_line(message) for message in messages)
        self.warnings = tuple(one_line(warning) for warning in warnings)
        super().__init__("\n".join(self.messages))


def one_line(text: str) -> str:
    """Return `text` with line breaks and all else that is unprintable escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _addresses(listen: tuple[Any, ...]) -> tuple[Any, ...]:
    if not listen:
        raise ValueError("is empty: leave it out for the default")
    if listen == (SYSTEMD,):
        return listen
    wrong = [(i, flaw) for i, each in enumerate(listen) if (flaw := _address_flaw(each))]
    if wrong:
        raise Problems(*(((i,) if len(listen) > 1 else (), flaw) for i, flaw in wrong))
    return tuple(map(str, listen))


def _address_flaw(value: object) -> str | None:
    if value == SYSTEMD:
        return f"{shown(SYSTEMD)} must stand alone, without addresses"
    match = re.fullmatch(r"([\w.-]*|\[[\da-fA-F.]*:[\w:.%]+\]):(\d{1,5})", str(value), re.ASCII)
    if match and int(match[2]) <= 65535:
        return None
    return f"{shown(value)} is not HOST:PORT like 127.0.0.1:9877, [::1]:9877 or :9877"


def _telemetry_path(value: object) -> str:
    path = text(value)
    if not re.fullmatch(r"(/[\w.~-]+)+/?", path, re.ASCII):
        raise ValueError(f"{shown(path)} is not a path like /metrics")
    if path in ("/config", "/-") or path.startswith("/-/"):
        raise ValueError(f"{shown(path)} is a page of the exporter's own")
    return path


def _external_url(value: object) -> str | None:
    return (
        None
        if typed(value) is None
        else http_url(value, "like https://example.com/helpscout/") + "/"
    )


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where and how is served.

    `listen` has one HOST:PORT or several, or `systemd` alone, for the sockets that systemd passes.
    An empty host is every interface, port 0 any free one. `external_url` is where people open it,
    with a slash at its end.
    """

    listen: Annotated[
        tuple[Any, ...],
        AfterValidator(_addresses),
        Once,
        Listed,
        COMMAS,
        ONE,
        PlainSerializer(lambda listen: listen[0] if len(listen) == 1 else list(listen)),
    ] = (LISTEN,)
    telemetry_path: Annotated[str, PlainValidator(_telemetry_path)] = "/metrics"
    external_url: Annotated[str | None, PlainValidator(_external_url)] = None
    config_file: File = None
    enable_lifecycle: Boolean = False
    process_metrics: Boolean = True


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged and in which form."""

    level: Annotated[Level, one_of(*get_args(Level))] = "info"
    format: Annotated[Format, one_of(*get_args(Format))] = "auto"


def _of_known_collectors(account: Account) -> Account:
    problems = [
        (("collectors", i), f"{shown(name)} is not one of {', '.join(COLLECTORS)}")
        for i, name in enumerate(account.collectors)
        if name not in COLLECTORS
    ]
    if problems:
        raise Problems(*problems)
    return account


def _named_alike(happiness: HappinessSettings, info: ValidationInfo) -> HappinessSettings:
    """Give a range that is among `windows` the text and interval that it has there."""
    same = {window.range: window for window in info.data.get("windows", ())}
    windows = tuple(
        Window(same[w.range].text, same[w.range].every) if w.range in same else w
        for w in happiness.windows
    )
    return replace(happiness, windows=windows)


def _on_what_is_reported(
    objectives: tuple[Objective, ...], info: ValidationInfo
) -> tuple[Objective, ...]:
    """Fill in what is not given, and name windows as `windows` does."""
    if not {"windows", "types", "office_hours", "segments"} <= info.data.keys():
        return objectives  # some were refused, so there is nothing to compare with
    labels = {window.range: window.text for window in info.data["windows"]}
    reported: dict[str, tuple[Any, ...]] = {
        "windows": tuple(labels.values()),
        "types": info.data["types"],
        "office_hours": info.data["office_hours"],
        "segments": ("", *(segment.name for segment in info.data["segments"])),
    }
    default: dict[str, tuple[Any, ...]] = {  # segments have one of their own
        "windows": tuple(labels[length] for length in sorted(list(labels)[:2])),
        "types": (ALL,) if ALL in reported["types"] else reported["types"],
        "office_hours": (False,) if False in reported["office_hours"] else (True,),
    }
    filled, problems = [], list[Problem]()
    for index, objective in enumerate(objectives):
        given: dict[str, Any] = {k: getattr(objective, k) or default[k] for k in reported}
        given["windows"] = tuple(labels.get(parse_duration(w), w) for w in given["windows"])
        filled.append(replace(objective, **given))
        for key, known in reported.items():
            for i, value in enumerate(given[key]):
                if value not in known:
                    has = f"{key} has {', '.join(map(shown, known))}"
                    problems.append(((index, key, i), f"{shown(value)} is not configured, {has}"))
    if problems:
        raise Problems(*problems)
    return tuple(filled)


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that is configured. `stale_after` counts effective intervals, not seconds.

    `end_delay` is how long before the present the range of a question ends.

    `warnings` are lines about what was ignored or looks wrong, for the log.
    """

    accounts: Annotated[
        tuple[
            Annotated[
                Account,
                BeforeValidator(with_defaults),
                AfterValidator(fits_together),
                AfterValidator(_of_known_collectors),
            ],
            ...,
        ],
        Some,
        Listed,
    ]
    mailboxes: MailboxChoice = field(default_factory=MailboxChoice)
    types: Types = (ALL, *TYPES)
    windows: Annotated[tuple[Window, ...], Some, Listed, COMMAS] = (
        Window("24h"),
        Window("7d"),
        Window("30d"),
    )
    office_hours: OfficeHours = (False,)
    segments: Annotated[tuple[Annotated[Segment, AfterValidator(cuts)], ...], Listed] = ()
    compare: Boolean = False
    end_delay: Annotated[
        Duration,
        Field(ge=timedelta(), le=timedelta(days=1), description="a duration from 0s to 1d"),
    ] = timedelta()
    stale_after: Annotated[Number, Field(ge=1, description="a number from 1")] = 3
    productivity: ProductivitySettings = field(default_factory=ProductivitySettings)
    folders: FoldersSettings = field(default_factory=FoldersSettings)
    waiting: WaitingSettings = field(default_factory=WaitingSettings)
    happiness: Annotated[
        HappinessSettings, AfterValidator(_named_alike), Field(validate_default=True)
    ] = field(default_factory=HappinessSettings)
    objectives: Annotated[
        tuple[Objective, ...], Field(alias="sla"), AfterValidator(_on_what_is_reported), Listed
    ] = ()
    state_file: File = None
    shard: Annotated[Shard, AfterValidator(is_one_of_all)] = field(default_factory=Shard)
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    warnings: Annotated[tuple[str, ...], Field(exclude=True)] = ()

    def is_on(self, collector: str, chosen: Collection[str]) -> bool:
        """Return whether a kind of question is asked of an account whose `collectors` are these."""
        own = getattr(self, collector, None)
        return (own is None or own.enabled) and (not chosen or collector in chosen)

    def collectors_of(self, account: Account) -> list[str]:
        """Return the kinds with a key of their own that are asked of an account."""
        return [
            name
            for name in COLLECTORS
            if self.is_on(name, account.collectors)
            and not (name in ONLY_V2 and account.api == "v1")
        ]

    @property
    def ranges(self) -> dict[str, timedelta]:
        """The length of every window that is asked about, by its text."""
        asked = {name for account in self.accounts for name in self.collectors_of(account)}
        own = (getattr(getattr(self, name), "windows", ()) for name in COLLECTORS if name in asked)
        return {window.text: window.range for window in chain(self.windows, *own)}

    @property
    def needs_tags(self) -> bool:
        """Whether a segment has a tag that has to be looked up, or whose id is to be checked."""
        return any(segment.tags for segment in self.segments)

    @property
    def needs_folders(self) -> bool:
        """Whether a segment has a folder, whose id is to be checked."""
        return any(segment.folders for segment in self.segments)

    @property
    def named_mailboxes(self) -> Iterator[tuple[str, str | int]]:
        """Every glob and id that names a mailbox, with its place; what matches all is left out."""
        lists = [
            ("mailboxes.include", self.mailboxes.include),
            ("mailboxes.exclude", self.mailboxes.exclude),
            *(
                (f"sla[{index}].mailboxes", each.mailboxes)
                for index, each in enumerate(self.objectives)
            ),
        ]
        for where, patterns in lists:
            for index, pattern in enumerate(patterns):
                if pattern not in ("*", "all"):
                    yield f"{where}[{index}]", pattern

    def masked(self) -> str:
        """Return all of it as YAML in the shape of the file, secrets masked."""
        tree = _writer().dump_python(self, mode="json", by_alias=True, exclude_none=True)
        for account in tree["accounts"]:
            account["collectors"] = account["collectors"] or list(COLLECTORS)
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


@cache
def _writer() -> TypeAdapter[Configuration]:
    """Return what writes a configuration: it takes longer to make than to use."""
    return TypeAdapter(Configuration)
