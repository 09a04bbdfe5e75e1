"""The configuration as the house uses it, and why there is none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from exporter.failure import Failure
from exporter.helpscout.account import Account
from exporter.logs import Format, Level
from exporter.selection import Selection
from exporter.sla import Objective


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


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where and how is served.

    `listen` has one HOST:PORT or several, or `systemd` alone, for the sockets that systemd passes.
    An empty host is every interface, port 0 any free one.
    """

    listen: tuple[str, ...]
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

    `warnings` are lines about what was ignored or looks wrong, for the log. `shown` is all of it
    in the shape of the file, what was left out filled in and the secrets masked.
    """

    accounts: tuple[Account, ...]
    selection: Selection
    stale_after: float
    objectives: tuple[Objective, ...]
    state_file: Path | None
    web: WebSettings
    log: LogSettings
    warnings: tuple[str, ...] = ()
    shown: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def masked(self) -> str:
        """Return the effective configuration as YAML, secrets masked."""
        return yaml.safe_dump(dict(self.shown), sort_keys=False, allow_unicode=True)
