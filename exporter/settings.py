"""The configuration: file, environment, flags and defaults in, frozen domain objects out.

The contract is design.md, section 3. pydantic checks the shape and stays inside: what leaves is
`Configuration`. Every refusal is one line of ours that names where the value came from and the
key, and no line ever holds the value of a secret. How file, variables and flags are laid over each
other is overlay.py; nothing here talks to Help Scout, and a secret's file is not read here.
"""

import json
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from ipaddress import ip_address
from math import isfinite
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Final, Literal, Self, TypeVar, Union, get_args, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from exporter.durations import format_duration, parse_duration
from exporter.helpscout.account import Account, Secret, flaw
from exporter.overlay import KeyPath, Overlay, Shape, Text, hint, read_file, variable
from exporter.reports import ALL, TYPES, Window
from exporter.selection import MailboxChoice, Segment, Selection, Shard
from exporter.sla import EDGES, Objective

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json", "logfmt"]

_MASK: Final = "<secret>"
_ZERO: Final = timedelta()
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class ConfigurationError(Exception):
    """The configuration cannot be used. `messages` are all the problems found, one line each."""

    def __init__(self, messages: Iterable[str]) -> None:
        self.messages = tuple(_one_line(message) for message in messages)
        super().__init__("\n".join(self.messages))


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where and how is served; an empty `host` is every interface, port 0 any free one."""

    host: str
    port: int
    telemetry_path: str
    config_file: Path | None
    enable_lifecycle: bool


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged and in which form."""

    level: Level
    format: Format


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that is configured. `stale_after` counts effective intervals, not seconds.

    `warnings` are lines about what was ignored or looks wrong, for the log.
    """

    accounts: tuple[Account, ...]
    selection: Selection
    stale_after: float
    objectives: tuple[Objective, ...]
    state_file: Path | None
    web: WebSettings
    log: LogSettings
    warnings: tuple[str, ...] = ()

    def masked(self) -> str:
        """Return the effective configuration as YAML in the shape of the file, secrets masked."""
        selection = _plain(self.selection)
        tree = {
            "accounts": [_masked(account) for account in self.accounts],
            **{key: value for key, value in selection.items() if key != "shard"},
            "stale_after": _plain(self.stale_after),
            "sla": _plain(self.objectives),
            "state_file": _plain(self.state_file),
            "shard": selection["shard"],
            "web": _plain(self.web),
            "log": _plain(self.log),
        }
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def load(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, str] = MappingProxyType({}),
    *,
    hostname: Callable[[], str] = socket.gethostname,
) -> Configuration:
    """Return the configuration of a file (or none), `HELPSCOUT_*` variables and flags.

    `overrides` maps dotted keys (`web.listen`, `accounts.0.base_url`) to values; a flag wins over
    a variable, a variable over the file, the file over the default. Mappings merge key by key;
    lists merge by index where a variable names one, else the whole list is replaced. An empty
    variable counts as not set. `null` in a variable unsets `state_file` and `web.config_file`.
    A secret replaces its `*_file` twin of a lower source, and the other way round. Digits alone,
    in a variable for one element of `include`, `exclude` or `tags`, are an id.

    A relative path in the file starts at the file's folder, as in Prometheus; one in a variable or
    flag at the working directory. `hostname` tells the host name for a shard index of `auto`.

    Raises ConfigurationError with every problem that was found.
    """
    try:
        tree = read_file(path) if path else {}
    except ValueError as error:
        raise ConfigurationError([f"{path}: {error}"]) from None
    overlay = Overlay(path, tree, _SHAPE)
    overlay.add_environment(environ)
    overlay.add_flags(overrides)
    try:
        settings = _Settings(overlay=overlay)  # type: ignore[call-arg]  # taken by its source
    except ValidationError as error:
        messages = [
            overlay.message(key, text) for key, text in _problems(error) if not overlay.follows(key)
        ]
        raise ConfigurationError([*overlay.problems, *messages]) from None
    configuration = _build(settings, overlay, hostname)
    if overlay.problems:
        raise ConfigurationError(overlay.problems)
    return configuration


# --- values -------------------------------------------------------------------------------------
# One check per kind of value. Each takes what YAML gave, or the Text of a variable or flag, and
# raises ValueError with the end of a message. None of them is lenient about types in the file.


class _Problems(ValueError):
    """Several problems at keys below the one that pydantic was looking at."""

    def __init__(self, *problems: tuple[KeyPath, str]) -> None:
        super().__init__("; ".join(text for _, text in problems))
        self.problems = problems


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        advice = ": put it in quotes" if isinstance(value, int | float) else ""
        raise ValueError(f"{_shown(value)} is not text{advice}")
    if not value.strip() or not value.isprintable():
        raise ValueError(f"{_shown(value)} is empty or holds unprintable characters")
    return str(value)


def _secret(value: object) -> SecretStr:
    # Never the value in a message here, and never its length.
    if not isinstance(value, str):
        raise ValueError("is not text: put it in quotes")
    if why_not := flaw(value):
        raise ValueError(why_not)
    return SecretStr(str(value))


def _path(value: object) -> Path | None:
    if value is None or (isinstance(value, Text) and value == "null"):
        return None
    return Path(_text(value))


def _boolean(value: object) -> bool:
    if isinstance(value, Text) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is not true or false")
    return value


def _number(value: object) -> float | None:
    if isinstance(value, Text) and re.fullmatch(r"[-+]?\d+(\.\d*)?", value, re.ASCII):
        return float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and isfinite(value) else None  # type: ignore[arg-type]


def _integer(value: object) -> int | None:
    if isinstance(value, Text) and re.fullmatch(r"\d{1,18}", value, re.ASCII):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _duration(value: object) -> timedelta:
    if not isinstance(value, str) or len(value) > 40:
        raise ValueError(
            f"{_shown(value)} is not a duration: write it like 90s, 15m, 1h30m, 7d or 2w"
        )
    return parse_duration(value)


_T = TypeVar("_T")


def _is(
    read: Callable[[object], _T | None], what: str, holds: Callable[[_T], bool]
) -> PlainValidator:
    """Take what `read` makes of a value if it makes something of it, and that `holds`."""

    def check(value: object) -> _T:
        made = read(value)
        if made is None or not holds(made):
            raise ValueError(f"{_shown(value)} is not {what}")
        return made

    return PlainValidator(check)


def _one_of(*words: str, what: str = "one of ") -> PlainValidator:
    return _is(_text, what + ", ".join(words), lambda text: text in words)


def _range(value: object) -> str:
    duration = _duration(value)
    if not _MINUTE <= duration <= 366 * _DAY or duration % timedelta(seconds=1):
        raise ValueError(f"{_shown(value)} is not a range of whole seconds from 1m to 366d")
    return str(value)


def _name_or_id(value: object) -> str | int:
    number = _integer(value)
    if number is None:
        return _text(value)
    if number < 1:
        raise ValueError(f"{number} is not an id")
    return number


def _index(value: object) -> int | None:
    """Return a shard's index, None for `auto`."""
    number = _integer(value)
    if value != "auto" and (number is None or number < 0):
        raise ValueError(f'{_shown(value)} is not a whole number from 0, or "auto"')
    return number


def _target(value: object) -> timedelta | int:
    number = _integer(value)
    return _duration(value) if number is None else number


def _segment(value: object) -> str:
    return "" if value == "" else _text(value)


def _base_url(value: object) -> str:
    # The value is not shown: it may hold a password.
    text = _text(value)
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme not in ("http", "https") or not host or re.search(r"[\s\\]", text):
        raise ValueError("is not a URL that begins with https:// and a host")
    if "@" in url.netloc:
        raise ValueError("must not hold a user name or password")
    if "?" in text or "#" in text:
        raise ValueError("must not hold a query or fragment")
    return (url.scheme + text[len(url.scheme) :]).rstrip("/")


def _listen_on(value: object) -> tuple[str, int]:
    match = re.fullmatch(
        r"(|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+(?:%\w+)?\]):(\d{1,5})", str(value), re.ASCII
    )
    if match is None or not isinstance(value, str) or not _can_be_bound(match[1], int(match[2])):
        raise ValueError(
            f"{_shown(value)} is not HOST:PORT like 127.0.0.1:9877, [::1]:9877 or :9877"
        )
    return match[1].strip("[]"), int(match[2])


def _can_be_bound(host: str, port: int) -> bool:
    try:
        return port <= 65535 and (not host.startswith("[") or bool(ip_address(host.strip("[]"))))
    except ValueError:
        return False


def _telemetry_path(value: object) -> str:
    text = _text(value)
    if not re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+/?", text):
        raise ValueError(f"{_shown(text)} is not a path like /metrics")
    if text in ("/config", "/-") or text.startswith("/-/"):
        raise ValueError(f"{_shown(text)} is a page of the exporter's own")
    return text


def _some(items: list[_T]) -> list[_T]:
    if not items:
        raise ValueError("is empty, so nothing would be reported: leave it out for the default")
    return items


def _some_once(items: list[_T]) -> list[_T]:
    again = [i for i, item in enumerate(items) if item in items[:i]]
    if again:
        raise _Problems(*(((i,), f"{_shown(items[i])} is there twice") for i in again))
    return _some(items)


def _unique(
    place: str, key: str, same: Callable[[Any], object] = lambda value: value
) -> AfterValidator:
    """Refuse two elements of the list `place` whose `key` is the same."""

    def check(items: list[Any]) -> list[Any]:
        seen: dict[object, int] = {}
        problems: list[tuple[KeyPath, str]] = []
        for index, item in enumerate(items):
            value = getattr(item, key)
            first = seen.setdefault(same(value), index)
            if first != index:
                other = getattr(items[first], key)
                written = "" if other == value else f", written {_shown(other)}"
                text = f"{_shown(value)} is the {key} of {place}[{first}] too{written}"
                problems.append(((index, key), text))
        if problems:
            raise _Problems(*problems)
        return items

    return AfterValidator(check)


_Text = Annotated[str, PlainValidator(_text)]
_Secret = Annotated[SecretStr, PlainValidator(_secret)]
_File = Annotated[Path | None, PlainValidator(_path)]
_Boolean = Annotated[bool, PlainValidator(_boolean)]
_NameOrId = Annotated[str | int, PlainValidator(_name_or_id)]
_Id = Annotated[int, _is(_integer, "a whole number above 0", lambda n: n > 0)]
_Api = Annotated[Literal["v1", "v2"], _one_of("v1", "v2")]
_Range = Annotated[str, PlainValidator(_range)]
_Some = AfterValidator(_some)
_SomeOnce = AfterValidator(_some_once)
_Types = Annotated[list[Annotated[str, _one_of(ALL, *TYPES)]], _SomeOnce]
_OfficeHours = Annotated[list[_Boolean], _SomeOnce]


# --- the file's shape ---------------------------------------------------------------------------


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Account(_Model):
    name: _Text = "default"
    api: _Api | None = None
    base_url: Annotated[str, PlainValidator(_base_url)] | None = None
    allow_http: _Boolean = False
    client_id: _Text | None = None
    client_secret: _Secret | None = None
    client_secret_file: _File = None
    api_key: _Secret | None = None
    api_key_file: _File = None
    requests_per_minute: Annotated[float, _is(_number, "a number above 0", lambda n: n > 0)] = 200.0
    budget: Annotated[
        float, _is(_number, "a number above 0 and at most 1", lambda n: 0 < n <= 1)
    ] = 0.5
    concurrency: Annotated[
        int, _is(_integer, "a whole number from 1 to 64", lambda n: 1 <= n <= 64)
    ] = 4
    timeout: Annotated[
        timedelta,
        _is(_duration, "a duration above 0 and at most 10m", lambda d: _ZERO < d <= 10 * _MINUTE),
    ] = timedelta(seconds=30)

    @property
    def generation(self) -> Literal["v1", "v2"]:
        """The API as given, else the one that the credentials are for."""
        keyed = self.api_key or self.api_key_file
        return self.api or ("v1" if keyed and not self.client_id else "v2")

    @property
    def url(self) -> str:
        return self.base_url or f"https://api.helpscout.net/{self.generation}"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [*_credential_problems(self)]
        if not (self.allow_http or self.url.startswith("https:") or _is_loopback(self.url)):
            problems.append(
                (("base_url",), "http:// is for loopback only: use https://, or set allow_http")
            )
        if problems:
            raise _Problems(*problems)
        return self


def _credential_problems(account: _Account) -> Iterator[tuple[KeyPath, str]]:
    given = [key for key in _CREDENTIALS if getattr(account, key) is not None]
    for key, twin in (("client_secret", "client_secret_file"), ("api_key", "api_key_file")):
        if key in given and twin in given:
            yield (twin,), f"{key} is set too: keep one of them"
    keyed = [key for key in given if key.startswith("api_key")]
    oauth = [key for key in given if key.startswith("client_")]
    if not given and account.api == "v1":
        yield ("api_key",), "is missing: v1 needs it, or api_key_file"
    elif not given and account.api == "v2":
        yield ("client_id",), "is missing: v2 needs it, and client_secret"
    elif not given:
        yield (), "has no credentials: give it client_id and client_secret (v2), or api_key (v1)"
    elif keyed and oauth:
        yield (keyed[0],), f"{oauth[0]} is set too: an account is either v1 (api_key) or v2"
    elif account.generation == "v1" and oauth:
        yield ("api",), f"v1 takes api_key, not {oauth[0]}"
    elif account.generation == "v2" and keyed:
        yield ("api",), f"v2 takes client_id and client_secret, not {keyed[0]}"
    elif oauth == ["client_id"]:
        yield ("client_secret",), "is missing: v2 needs it, or client_secret_file"
    elif oauth and "client_id" not in oauth:
        yield ("client_id",), f"is missing: v2 needs it beside {oauth[0]}"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class _Mailboxes(_Model):
    include: Annotated[list[_NameOrId], _Some] = ["*"]
    exclude: list[_NameOrId] = []
    all: _Boolean = True

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if "*" in self.exclude:
            raise _Problems((("exclude",), '"*" excludes every mailbox, so nothing would be left'))
        return self


class _Window(_Model):
    range: _Range
    every: (
        Annotated[
            timedelta,
            _is(_duration, "a duration from 10s to 1d", lambda d: _MINUTE / 6 <= d <= _DAY),
        ]
        | None
    ) = None

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: object) -> object:
        return value if isinstance(value, dict | list) else {"range": value}

    def window(self) -> Window:
        length = parse_duration(self.range)
        usual = timedelta(seconds=int((length / 288).total_seconds()))
        return Window(self.range, length, self.every or min(max(usual, _MINUTE), _HOUR))


class _Segment(_Model):
    name: Annotated[
        str,
        _is(
            _text,
            "a name of letters, digits, _ . and -",
            lambda text: bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", text)),
        ),
    ]
    tags: list[_NameOrId] = []
    folders: list[_Id] = []

    @model_validator(mode="after")
    def _cuts(self) -> Self:
        if not self.tags and not self.folders:
            raise ValueError("needs at least one of tags and folders")
        return self


class _Sla(_Model):
    name: _Text
    statistic: Annotated[str, _one_of(*EDGES, what="a statistic with a distribution: ")]
    target: Annotated[timedelta | int, PlainValidator(_target)]
    objective: Annotated[float, _is(_number, "a number between 0 and 1", lambda n: 0 < n < 1)]
    windows: Annotated[list[_Range], _SomeOnce] | None = None
    mailboxes: Annotated[list[_NameOrId], _Some] = ["*"]
    types: _Types | None = None
    office_hours: _OfficeHours | None = None
    segments: Annotated[list[Annotated[str, PlainValidator(_segment)]], _SomeOnce] = [""]

    @model_validator(mode="after")
    def _can_be_told(self) -> Self:
        counts = self.statistic == "replies_to_resolve"
        if counts != isinstance(self.target, int):
            kind = "a number of replies" if counts else "a duration"
            text = f"{_plain(self.target)} is not {kind}, as {self.statistic} needs"
            raise _Problems((("target",), text))
        value = self.target if isinstance(self.target, int) else self.target.total_seconds()
        edges = [edge if counts else timedelta(seconds=edge) for edge in EDGES[self.statistic]]
        if not 0 < value <= EDGES[self.statistic][-1]:
            names = [str(_plain(edge)) for edge in edges]
            text = f"{_plain(self.target)} is not above 0 and at most {names[-1]}: "
            edges_are = f"the edges of {self.statistic} are {', '.join(names)}"
            raise _Problems((("target",), text + edges_are))
        if self.windows and len(self.windows) > 2:
            raise _Problems((("windows",), "takes one or two windows, the shorter one first"))
        return self


class _Shard(_Model):
    index: Annotated[int | None, PlainValidator(_index)] = 0
    total: Annotated[
        int, _is(_integer, "a whole number from 1 to 1000", lambda n: 1 <= n <= 1000)
    ] = 1
    by: Annotated[str, _one_of("account", "mailbox")] = "account"


class _Web(_Model):
    listen: Annotated[tuple[str, int], PlainValidator(_listen_on)] = ("127.0.0.1", 9877)
    telemetry_path: Annotated[str, PlainValidator(_telemetry_path)] = "/metrics"
    config_file: _File = None
    enable_lifecycle: _Boolean = False


class _Log(_Model):
    level: Annotated[Level, _one_of(*get_args(Level))] = "info"
    format: Annotated[Format, _one_of(*get_args(Format))] = "auto"


def _some_account(accounts: list[_Account]) -> list[_Account]:
    if not accounts:
        raise ValueError(
            "no account is configured: set HELPSCOUT_CLIENT_ID and HELPSCOUT_CLIENT_SECRET (or, "
            'for API v1, HELPSCOUT_API_KEY), or try "helpscout-exporter demo", which needs none'
        )
    return accounts


class _Settings(BaseSettings):
    """The root. Its one source is the overlay: pydantic-settings would replace lists whole."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    accounts: Annotated[
        list[_Account], AfterValidator(_some_account), _unique("accounts", "name")
    ] = Field(default=[], validate_default=True)
    mailboxes: _Mailboxes = _Mailboxes()
    types: _Types = [ALL, *TYPES]
    windows: Annotated[list[_Window], _Some, _unique("windows", "range", parse_duration)] = [
        _Window(range="24h"),
        _Window(range="7d"),
        _Window(range="30d"),
    ]
    office_hours: _OfficeHours = [False]
    segments: Annotated[list[_Segment], _unique("segments", "name")] = []
    compare: _Boolean = False
    stale_after: Annotated[float, _is(_number, "a number from 1", lambda n: n >= 1)] = 3.0
    sla: Annotated[list[_Sla], _unique("sla", "name")] = []
    state_file: _File = None
    shard: _Shard = _Shard()
    web: _Web = _Web()
    log: _Log = _Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (_OverlaySource(settings_cls, init_settings()["overlay"]),)


class _Unshown(dict[str, Any]):
    """pydantic-settings can log what its sources bring; this must not be read there."""

    def __repr__(self) -> str:
        return _MASK


class _OverlaySource(PydanticBaseSettingsSource):
    """Hands pydantic the tree that overlay.py made."""

    def __init__(self, settings_cls: type[BaseSettings], overlay: Overlay) -> None:
        super().__init__(settings_cls)
        self._overlay = overlay

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return self._overlay.tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return _Unshown(self._overlay.tree)


def _problems(error: ValidationError) -> Iterator[tuple[KeyPath, str]]:
    """Translate pydantic's findings into our words, without any input."""
    for found in error.errors(include_url=False):
        key, kind, value = found["loc"], found["type"], found["input"]
        if kind == "value_error":
            cause = found["ctx"]["error"]
            for below, text in getattr(cause, "problems", [((), str(cause))]):
                yield (*key, *below), text
        elif kind == "extra_forbidden":
            model = _node(key[:-1])
            yield key, f"unknown key{hint(str(key[-1]), getattr(model, 'model_fields', ()))}"
        elif kind == "missing":
            yield key, "is missing"
        else:
            wanted = "a list" if kind == "list_type" else "a mapping"
            given = "text" if isinstance(value, str) else _shown(value)
            yield key, f"takes {wanted}, not {given}"


# --- from the models to the domain --------------------------------------------------------------


def _build(settings: _Settings, overlay: Overlay, hostname: Callable[[], str]) -> Configuration:
    """Return the domain objects; what does not fit together is added to the overlay's problems."""
    accounts = tuple(_account(i, given, overlay) for i, given in enumerate(settings.accounts))
    selection = Selection(
        mailboxes=MailboxChoice(
            tuple(settings.mailboxes.include),
            tuple(settings.mailboxes.exclude),
            settings.mailboxes.all,
        ),
        types=tuple(settings.types),
        windows=tuple(given.window() for given in settings.windows),
        office_hours=tuple(settings.office_hours),
        segments=tuple(
            Segment(given.name, tuple(given.tags), tuple(given.folders))
            for given in settings.segments
        ),
        compare=settings.compare,
        shard=_shard(settings.shard, overlay, hostname),
    )
    return Configuration(
        accounts=accounts,
        selection=selection,
        stale_after=settings.stale_after,
        objectives=tuple(
            _objective(i, given, selection, overlay) for i, given in enumerate(settings.sla)
        ),
        state_file=overlay.resolve(("state_file",), settings.state_file),
        web=WebSettings(
            *settings.web.listen,
            settings.web.telemetry_path,
            overlay.resolve(("web", "config_file"), settings.web.config_file),
            settings.web.enable_lifecycle,
        ),
        log=LogSettings(settings.log.level, settings.log.format),
        warnings=(*map(_one_line, overlay.warnings), *_shared_limits(accounts)),
    )


def _account(index: int, given: _Account, overlay: Overlay) -> Account:
    def secret(key: str) -> Secret | None:
        text, file = getattr(given, key), getattr(given, f"{key}_file")
        if text is not None:
            return Secret(text=text.get_secret_value())
        return file and Secret(file=overlay.resolve(("accounts", index, f"{key}_file"), file))

    return Account(
        name=given.name,
        api=given.generation,
        base_url=given.url,
        client_id=given.client_id,
        client_secret=secret("client_secret"),
        api_key=secret("api_key"),
        requests_per_minute=given.requests_per_minute,
        budget=given.budget,
        concurrency=given.concurrency,
        timeout=given.timeout,
    )


def _shared_limits(accounts: tuple[Account, ...]) -> Iterator[str]:
    seen: dict[object, str] = {}
    for account in accounts:
        first = seen.setdefault(
            (account.base_url, account.client_id, account.api_key), account.name
        )
        if first != account.name:
            yield (
                f"accounts {_shown(first)} and {_shown(account.name)} have the same credentials: "
                "they share one rate limit but keep to a budget each"
            )


def _shard(given: _Shard, overlay: Overlay, hostname: Callable[[], str]) -> Shard:
    index = given.index
    if index is None:
        host = hostname().partition(".")[0]
        ordinal = re.search(r"-(\d{1,9})$", host, re.ASCII)
        index = int(ordinal[1]) if ordinal else 0
        if ordinal is None:
            text = f'"auto" needs a host name that ends like exporter-0, this one is {_shown(host)}'
            overlay.problems.append(overlay.message(("shard", "index"), text))
    if index >= given.total:
        text = f"{index} is not below shard.total, which is {given.total}"
        overlay.problems.append(overlay.message(("shard", "index"), text))
    return Shard(index, given.total, given.by)


def _objective(index: int, given: _Sla, selection: Selection, overlay: Overlay) -> Objective:
    """Return an objective, its windows under the label that they have in `windows`."""
    labels = {window.range: window.text for window in selection.windows}
    lengths = sorted(list(labels)[:2])
    if given.windows is not None:
        lengths = [parse_duration(text) for text in given.windows]
    segments = ["", *(segment.name for segment in selection.segments)]
    types = given.types or ([ALL] if ALL in selection.types else list(selection.types))
    hours = given.office_hours
    if hours is None:
        hours = [False] if False in selection.office_hours else list(selection.office_hours)
    for key, asked, known in (
        ("windows", lengths, labels),
        ("types", types, selection.types),
        ("office_hours", hours, selection.office_hours),
        ("segments", given.segments, segments),
    ):
        for position, value in enumerate(asked):
            if value not in known:
                shown = given.windows[position] if key == "windows" and given.windows else value
                names = labels.values() if key == "windows" else known
                text = f"{_shown(shown)} is not configured, {key} has {_listed(names)}"
                place = overlay.message(("sla", index, key, position), text)
                overlay.problems.append(place)
    if lengths != sorted(set(lengths)):
        text = "are the short horizon and the long one: write the shorter one first"
        overlay.problems.append(overlay.message(("sla", index, "windows"), text))
    return Objective(
        name=given.name,
        statistic=given.statistic,
        target=given.target,
        objective=given.objective,
        windows=tuple(labels.get(length, "") for length in lengths),
        mailboxes=tuple(given.mailboxes),
        types=tuple(types),
        office_hours=tuple(hours),
        segments=tuple(given.segments),
    )


def _listed(values: Iterable[object]) -> str:
    return ", ".join(_shown(value) for value in values)


# --- from the domain back to the shape of the file ----------------------------------------------


def _plain(value: Any) -> Any:
    """Return what the file would say for a domain object; their fields are named like its keys."""
    match value:
        case Window():
            return {"range": value.text, "every": _plain(value.every)}
        case WebSettings():
            host = f"[{value.host}]" if ":" in value.host else value.host
            rest = {
                name: _plain(getattr(value, name))
                for name in ("telemetry_path", "config_file", "enable_lifecycle")
            }
            return {"listen": f"{host}:{value.port}", **rest}
        case timedelta():
            return format_duration(value)
        case Path():
            return str(value)
        case float():
            return int(value) if value.is_integer() else value
        case tuple():
            return [_plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _masked(account: Account) -> dict[str, Any]:
    shown = {key: value for key, value in _plain(account).items() if value is not None}
    if not account.base_url.startswith("https:") and not _is_loopback(account.base_url):
        shown["allow_http"] = True
    for key, secret in (("client_secret", account.client_secret), ("api_key", account.api_key)):
        if secret is not None:
            del shown[key]
            file = secret.file is not None
            shown |= {f"{key}_file": str(secret.file)} if file else {key: _MASK}
    return shown


# --- the shape for overlay.py, from the models --------------------------------------------------

_CREDENTIALS: Final = (
    "client_id",
    "client_secret",
    "client_secret_file",
    "api_key",
    "api_key_file",
)


def _node(path: Iterable[str | int]) -> Any:
    """Return the model or type at a key path, None where there is no such key."""
    node: Any = _Settings
    for part in path:
        if isinstance(part, int):
            node = _bare(get_args(node)[0]) if get_origin(node) is list else None
        else:
            fields = getattr(node, "model_fields", {})
            node = _bare(fields[part].annotation) if part in fields else None
    return node


def _bare(annotation: Any) -> Any:
    """Return a type without Annotated and `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        some = [_bare(arg) for arg in get_args(annotation) if arg is not type(None)]
        return some[0] if len(some) == 1 else annotation
    return annotation


def leaves(path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield every key that takes a value, index 0 standing for any element."""
    node = _node(path)
    if get_origin(node) is list:
        yield from leaves((*path, 0))
    elif hasattr(node, "model_fields"):
        for name in node.model_fields:
            yield from leaves((*path, name))
    else:
        yield path


def _is_scalar(path: KeyPath) -> bool:
    node = _node(path)
    return node is not None and get_origin(node) is not list and not hasattr(node, "model_fields")


_SHORT: Final = {
    variable((key,)): ("accounts", 0, key) for key in ("api", "base_url", *_CREDENTIALS)
}
_SHAPE: Final = Shape(
    first_words=frozenset(_Settings.model_fields),
    scalar=_is_scalar,
    short=_SHORT,
    shorthands={"windows": "range"},
    twins={
        key: twin
        for pair in (("client_secret", "client_secret_file"), ("api_key", "api_key_file"))
        for key, twin in (pair, pair[::-1])
    },
    known=(
        *(variable(path) for path in leaves()),
        *map(variable, zip(_Settings.model_fields)),
        *_SHORT,
    ),
)
