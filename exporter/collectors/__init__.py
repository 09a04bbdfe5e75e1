"""The kinds of question that are asked of Help Scout, one module each."""

from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from exporter.collectors.base import (
    Collector,
    Cut,
    Meaning,
    Sample,
    Scope,
    imagined,
    scope,
)
from exporter.collectors.folders import Folders
from exporter.collectors.happiness import Happiness
from exporter.collectors.productivity import Productivity
from exporter.collectors.waiting import WaitingCustomers
from exporter.helpscout.account import Account
from exporter.questions import Question, Reading
from exporter.selection import Segment, Shard
from exporter.settings import Configuration
from exporter.telemetry import Family

if TYPE_CHECKING:  # it brings all that calls need, and `plan` calls nobody
    from exporter.helpscout.client import Client

COLLECTORS: Final[dict[str, Collector]] = {
    collector.name: collector
    for collector in (Productivity(), Folders(), WaitingCustomers(), Happiness())
}
"""Every kind by its name: registered here, and nowhere else."""


def questions_of(scope_: Scope) -> list[Question]:
    """Return every question, of every kind that is on, within a scope.

    Those about a time end as long before the instant that is asked for as the settings say.
    """
    delay = scope_.settings.end_delay
    return [
        replace(question, end_delay=delay) if delay and question.range else question
        for name, collector in COLLECTORS.items()
        if scope_.settings.is_on(name, scope_.collectors)
        for question in collector.questions(scope_)
    ]


def segments_of(account: Account, settings: Configuration) -> tuple[Segment, ...]:
    """Return the segments that an account is asked for: none where no kind that is on cuts."""
    whole = replace(settings, shard=Shard())
    without = replace(whole, segments=())
    differs = questions_of(imagined(account, whole, 1)) != questions_of(
        imagined(account, without, 1)
    )
    return settings.segments if differs else ()


def lists_tags(account: Account, settings: Configuration) -> bool:
    """Return whether an account's tags must be listed: a segment has some, no report names any."""
    if not any(segment.tags for segment in segments_of(account, settings)):
        return False
    asked = questions_of(imagined(account, replace(settings, shard=Shard()), 1))
    return all(question.range is None for question in asked)


def ask(client: "Client", question: Question, at: datetime, *, paid: bool = False) -> Reading:
    """Ask a question for the instant `at` (aware UTC), from which its `end_delay` is taken off.

    `paid`: the first call is paid for.

    Raises HelpScoutError, Stopping.
    """
    collector = COLLECTORS[question.key.collector]
    answer = partial(collector.ask, question, client.api, at - question.end_delay)
    return client.ask(collector.operation, answer, paid=paid)


def families() -> tuple[Family, ...]:
    """Return every family of every collector, in the order of the exposition."""
    return tuple(family for collector in COLLECTORS.values() for family in collector.families)


@cache
def codec(collector: str) -> TypeAdapter[Any]:
    """Return what writes and reads the values of a collector's readings. Raises KeyError."""
    return TypeAdapter(COLLECTORS[collector].value_type)


__all__ = [
    "COLLECTORS",
    "Collector",
    "Cut",
    "Meaning",
    "Sample",
    "Scope",
    "ask",
    "codec",
    "families",
    "imagined",
    "lists_tags",
    "questions_of",
    "scope",
    "segments_of",
]
