"""Answers and settings for tests that need some, whatever they are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter

from exporter.exposition import Renderer
from exporter.helpscout.account import Account
from exporter.office import OfficeSchedule
from exporter.questions import Learned, Reading, Window
from exporter.settings import Configuration, load
from exporter.sla import Objective

AT: Final = datetime(2026, 3, 11, 14, 30, tzinfo=UTC)
_SCHEDULE: Final = TypeAdapter(OfficeSchedule)


def reading(value: Any, tags: Mapping[str, int] | None = None, calls: int = 1) -> Reading:
    """An answer with this value, about AT."""
    return Reading(value, AT, Learned(tags or {}), calls)


def office_schedule(
    hours: Mapping[str, Any], closed: Sequence[str] = (), timezone: str = "UTC"
) -> OfficeSchedule:
    """The schedule that a configuration file would make of this."""
    return _SCHEDULE.validate_python({"timezone": timezone, "hours": hours, "closed": closed})


def settings(
    configuration: Configuration, *accounts: Account, stale_after: float = 3
) -> Configuration:
    """This configuration, with these accounts or one of no use."""
    accounts = accounts or _accounts_of_no_use()
    return replace(configuration, accounts=accounts, stale_after=stale_after)


@cache
def _accounts_of_no_use() -> tuple[Account, ...]:
    return load(
        None, {"HELPSCOUT_CLIENT_ID": "an-id", "HELPSCOUT_CLIENT_SECRET": "a-secret"}
    ).accounts


def renderer(objectives: Iterable[Objective] = (), windows: Iterable[Window] = ()) -> Renderer:
    """What renders under these, and nothing else that is configured."""
    return Renderer(Configuration((), objectives=tuple(objectives), windows=tuple(windows)))
