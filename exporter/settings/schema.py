"""The file's shape: every key, its default, and what must fit together.

`Settings` is filled from the overlay and fills in what depends on other keys.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from exporter.durations import parse_duration
from exporter.helpscout.account import is_loopback
from exporter.logs import Format, Level
from exporter.probe import LISTEN
from exporter.questions import ALL, TYPES
from exporter.settings import values
from exporter.settings.keys import KeyPath, Problem
from exporter.settings.values import Problems, one_of, shown, written
from exporter.sla import EDGES

CREDENTIALS: Final = ("client_id", "client_secret", "client_secret_file", "api_key", "api_key_file")
TWINS: Final = {
    "client_secret": "client_secret_file",
    "api_key": "api_key_file",
    "proxy_url": "proxy_url_file",
}

_MINUTE: Final = timedelta(minutes=1)
_Some = Field(min_length=1)
_Types = Annotated[tuple[Annotated[str, one_of(ALL, *TYPES)], ...], _Some, values.Once]
_OfficeHours = Annotated[
    tuple[values.Boolean, ...], _Some, Field(description="true or false"), values.Once
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Account(_Section):
    name: values.Name = "default"
    api: Annotated[Literal["v1", "v2"], one_of("v1", "v2")] | None = None
    base_url: values.BaseUrl | None = None
    allow_http: values.Boolean = False
    client_id: values.Id | None = None
    client_secret: values.SecretText | None = None
    client_secret_file: values.File = None
    api_key: values.SecretText | None = None
    api_key_file: values.File = None
    requests_per_minute: values.Number = Field(200.0, gt=0, description="a number above 0")
    budget: values.Number = Field(0.5, gt=0, le=1, description="a number above 0 and at most 1")
    concurrency: values.Whole = Field(4, ge=1, le=64, description="a whole number from 1 to 64")
    timeout: values.Duration = Field(
        _MINUTE / 2,
        gt=timedelta(),
        le=10 * _MINUTE,
        description="a duration above 0 and at most 10m",
    )
    ca_file: values.File = None
    proxy_url: values.ProxyUrl | None = None
    proxy_url_file: values.File = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        given = [key for key in CREDENTIALS if getattr(self, key) is not None]
        if not given and not self.api:
            needed = "client_id and client_secret (v2), or api_key (v1)"
            raise ValueError(f"has no credentials: give it {needed}")
        keyed = self.api_key or self.api_key_file
        self.api = self.api or ("v1" if keyed and not self.client_id else "v2")
        self.base_url = self.base_url or f"https://api.helpscout.net/{self.api}"
        problems = [*_credential_problems(self.api, given)]
        for key, twin in TWINS.items():
            if getattr(self, key) is not None and getattr(self, twin) is not None:
                problems.append(((twin,), f"{key} is set too: keep one of them"))
        url = urlsplit(self.base_url)
        if not (self.allow_http or url.scheme == "https" or is_loopback(url.hostname or "")):
            text = "http:// is for loopback only: use https://, or set allow_http"
            problems.append((("base_url",), text))
        if problems:
            raise Problems(*problems)
        return self


def _credential_problems(api: str, given: list[str]) -> Iterator[Problem]:
    needed = ("api_key",) if api == "v1" else ("client_id", "client_secret")
    other = [key for key in given if not key.startswith(needed)]
    if other:
        yield (other[0],), f"is not for {api}, which takes {' and '.join(needed)}"
        return
    for key in needed:
        twin = TWINS.get(key, "")
        if key not in given and twin not in given:
            yield (key,), f"is missing: {api} needs it{twin and f', or {twin}'}"


class Mailboxes(_Section):
    include: Annotated[tuple[values.NameOrId, ...], _Some] = ("*",)
    exclude: tuple[values.NameOrId, ...] = ()
    all: values.Boolean = True

    @field_validator("exclude")
    @classmethod
    def _leaves_some(cls, exclude: tuple[str | int, ...]) -> tuple[str | int, ...]:
        if "*" in exclude:
            raise ValueError('"*" excludes every mailbox, so nothing would be left')
        return exclude


class Window(_Section):
    """Without `every`, a window is asked 288 times per range, within bounds."""

    range: values.Range
    every: values.Duration | None = Field(
        None, ge=_MINUTE / 6, le=timedelta(days=1), description="a duration from 10s to 1d"
    )

    @model_validator(mode="after")
    def _is_asked_in_whole_seconds(self) -> Self:
        usual = timedelta(seconds=parse_duration(self.range) // timedelta(seconds=288))
        self.every = self.every or min(max(usual, _MINUTE), 60 * _MINUTE)
        return self


class Segment(_Section):
    name: values.Name = Field(
        pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        description="a name of letters, digits, _ . and -",
    )
    tags: tuple[values.NameOrId, ...] = ()
    folders: tuple[Annotated[values.Whole, Field(gt=0)], ...] = Field(
        (), description="a whole number above 0"
    )

    @model_validator(mode="after")
    def _cuts(self) -> Self:
        if not self.tags and not self.folders:
            raise ValueError("needs at least one of tags and folders")
        return self


class Sla(_Section):
    """`windows`, `types` and `office_hours` are empty if not given: Settings fills them in."""

    name: values.Name
    statistic: Annotated[str, one_of(*EDGES, what="a statistic with a distribution: ")]
    target: values.Target
    objective: values.Number = Field(gt=0, lt=1, description="a number between 0 and 1")
    windows: tuple[values.Range, ...] = Field((), min_length=1, max_length=2)
    mailboxes: Annotated[tuple[values.NameOrId, ...], _Some] = ("*",)
    types: _Types = ()
    office_hours: _OfficeHours = ()
    segments: Annotated[tuple[Annotated[str, PlainValidator(str)], ...], _Some, values.Once] = ("",)

    @field_validator("target")
    @classmethod
    def _can_be_told(cls, target: object, info: ValidationInfo) -> object:
        statistic = info.data.get("statistic")
        if statistic is None:
            return target  # it was refused
        edges = EDGES[statistic]
        if statistic == "replies_to_resolve":
            fits = type(target) is int and 0 < target <= edges[-1]
            form = f"a whole number of replies from 1 to {edges[-1]}: write it like {edges[2]}"
        else:
            fits = isinstance(target, timedelta) and 0 < target.total_seconds() <= edges[-1]
            names = [str(written(timedelta(seconds=edge))) for edge in edges]
            form = (
                f"a duration above 0 and at most {names[-1]}, like {names[2]}: "
                f"the edges of {statistic} are {', '.join(names)}"
            )
        if not fits:
            told = written(target) if isinstance(target, timedelta) else shown(target)
            raise ValueError(f"{told} is not {form}")
        return target

    @field_validator("windows")
    @classmethod
    def _ascend(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        lengths = [parse_duration(window) for window in windows]
        if lengths != sorted(set(lengths)):
            raise ValueError("are the short horizon and the long one: write the shorter one first")
        return windows


class Shard(_Section):
    """An index of `auto` is a number by the time it gets here."""

    index: values.Whole = Field(0, ge=0, description='a whole number from 0, or "auto"')
    total: values.Whole = Field(1, ge=1, le=1000, description="a whole number from 1 to 1000")
    by: Annotated[str, one_of("account", "mailbox")] = "account"

    @model_validator(mode="after")
    def _is_one_of_all(self) -> Self:
        if self.index >= self.total:
            text = f"{self.index} is not below shard.total, which is {self.total}"
            raise Problems((("index",), text))
        return self


class Web(_Section):
    listen: values.Listen = (LISTEN,)
    telemetry_path: values.TelemetryPath = "/metrics"
    config_file: values.File = None
    enable_lifecycle: values.Boolean = False


class Log(_Section):
    level: Annotated[Level, one_of(*get_args(Level))] = "info"
    format: Annotated[Format, one_of(*get_args(Format))] = "auto"


class Settings(BaseSettings):
    """All keys. `Settings(source=…)` takes them from this source alone."""

    accounts: Annotated[tuple[Account, ...], _Some] = ()
    mailboxes: Mailboxes = Mailboxes()
    types: _Types = (ALL, *TYPES)
    windows: Annotated[tuple[Window, ...], _Some] = tuple(
        Window(range=usual) for usual in ("24h", "7d", "30d")
    )
    office_hours: _OfficeHours = (False,)
    segments: tuple[Segment, ...] = ()
    compare: values.Boolean = False
    stale_after: values.Number = Field(3.0, ge=1, description="a number from 1")
    sla: tuple[Sla, ...] = ()
    state_file: values.File = None
    shard: Shard = Shard()
    web: Web = Web()
    log: Log = Log()

    @field_validator("sla")
    @classmethod
    def _is_on_what_is_reported(cls, objectives: tuple[Sla, ...], info: ValidationInfo) -> Any:
        """Fill in what is not given, and name windows as `windows` does."""
        if not {"windows", "types", "office_hours", "segments"} <= info.data.keys():
            return objectives  # some were refused, so there is nothing to compare with
        labels = {parse_duration(window.range): window.range for window in info.data["windows"]}
        reported = {
            "windows": tuple(labels.values()),
            "types": info.data["types"],
            "office_hours": info.data["office_hours"],
            "segments": ("", *(segment.name for segment in info.data["segments"])),
        }
        default = {
            "windows": tuple(labels[length] for length in sorted(list(labels)[:2])),
            "types": (ALL,) if ALL in reported["types"] else reported["types"],
            "office_hours": (False,) if False in reported["office_hours"] else (True,),
        }
        problems: list[Problem] = []
        for index, sla in enumerate(objectives):
            sla.windows = tuple(labels.get(parse_duration(text), text) for text in sla.windows)
            for key, known in reported.items():
                setattr(sla, key, getattr(sla, key) or default[key])
                for i, value in enumerate(getattr(sla, key)):
                    if value not in known:
                        text = f"{key} has {', '.join(map(shown, known))}"
                        problems.append(
                            ((index, key, i), f"{shown(value)} is not configured, {text}")
                        )
        if problems:
            raise Problems(*problems)
        return objectives

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        *args: PydanticBaseSettingsSource,  # noqa: ARG003
        **kwargs: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings()["source"],)


def _fields(model: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    for name, field in model.model_fields.items():
        here, kind = (*path, name), field.annotation
        if get_origin(kind) is tuple:
            here, kind = (*here, 0), get_args(kind)[0]
        if hasattr(kind, "model_fields"):
            yield from _fields(kind, here)
        else:
            yield here, field


FIELDS: Final = dict(_fields(Settings))
"""Every key that takes a value, index 0 standing for any element."""


def leaves() -> Iterator[KeyPath]:
    """Yield every key that takes a value, index 0 standing for any element."""
    return iter(FIELDS)
