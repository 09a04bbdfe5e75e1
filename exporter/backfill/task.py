"""What the command line asks for, checked: range, steps, labels, share of the limit. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from exporter import __version__
from exporter.backfill.errors import BackfillError
from exporter.backfill.grid import Grid, default_step, written
from exporter.collectors import COLLECTORS, Scope, imagined, questions_of
from exporter.durations import format_duration
from exporter.exposition.catalogue import catalogue
from exporter.selection import Shard
from exporter.settings import Configuration

_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Task:
    """One backfill. `start` and `end` are aware UTC, `end` cut off at the present in `grids`.

    `labels` are what the live scrape adds, sorted by name; `step` None is each window's default;
    `budget` the share of an account's limit, in (0, 1].
    """

    start: datetime
    end: datetime
    step: timedelta | None
    labels: tuple[tuple[str, str], ...]
    budget: float
    output: Path
    dry_run: bool

    @property
    def answers(self) -> Path:
        """The file beside the output that holds every answer."""
        return self.output.with_name(f"{self.output.name}.journal")

    def grids(self, configuration: Configuration, end: datetime) -> dict[tuple[str, str], Grid]:
        """Return the steps up to `end` of each collector and window. Raises BackfillError."""
        grids = {}
        for (collector, window), (range_, every) in _groups(configuration).items():
            step = self.step or default_step(range_, every)
            grid = grids[collector, window] = Grid.between(self.start, end, step)
            if not grid:
                raise BackfillError(
                    f"--from, --to: no step of {format_duration(step)} (window {window}) is"
                    " between them",
                    exit_code=2,
                )
        if not grids:
            raise BackfillError("nothing that is asked has a past: all of it is about now")
        return grids

    def fingerprint(self, configuration: Configuration) -> dict[str, str]:
        """Return what the answers and the file depend on, each part by what a user calls it."""
        steps = {
            group: (range_, self.step or default_step(range_, every))
            for group, (range_, every) in _groups(configuration).items()
        }
        return {
            "--from": written(int(self.start.timestamp())),
            "--to": written(int(self.end.timestamp())),
            "--step": repr(sorted(steps.items())),
            "--label": repr(self.labels),
            "accounts": repr(sorted(account.identity for account in configuration.accounts)),
            "mailboxes": repr(configuration.mailboxes),
            "accounts[].collectors": repr([(a.name, a.collectors) for a in configuration.accounts]),
            **{n: repr(getattr(configuration, n, None)) for n in _with_a_past(configuration)},
            "types": repr(configuration.types),
            "end_delay": repr(configuration.end_delay),
            "office_hours": repr(configuration.office_hours),
            "segments": repr(configuration.segments),
            "compare": repr(configuration.compare),
            "shard": repr(configuration.shard),
            "sla": repr(configuration.objectives),
            "the exporter's version": __version__,
        }


def _groups(configuration: Configuration) -> dict[tuple[str, str], tuple[timedelta, timedelta]]:
    """Return range and interval of each collector and window that is asked about its past."""
    return {
        question.key.group: (question.range, question.every)
        for scope in _scopes(configuration)
        for question in questions_of(scope)
        if question.range is not None
    }


def _with_a_past(configuration: Configuration) -> list[str]:
    """Return the kinds of question that are not about now alone, on or off."""
    scopes = _scopes(configuration)
    return [
        name
        for name, collector in COLLECTORS.items()
        if any(question.range for scope in scopes for question in collector.questions(scope))
    ]


def _scopes(configuration: Configuration) -> list[Scope]:
    """Return each account's, of one mailbox, whatever the shard."""
    whole = replace(configuration, shard=Shard())
    return [imagined(account, whole, 1) for account in configuration.accounts]


def task(
    start: datetime,
    end: datetime,
    step: timedelta | None,
    labels: Iterable[str],
    budget: float,
    output: Path,
    dry_run: bool,
) -> Task:
    """Return the task that these options make, `labels` as NAME=VALUE. Raises BackfillError."""
    if start > end:
        raise BackfillError("--from is after --to", exit_code=2)
    if step is not None and (step < timedelta(seconds=1) or step.microseconds):
        raise BackfillError("--step: must be whole seconds, at least one", exit_code=2)
    if not 0 < budget <= 1:
        raise BackfillError(f"--budget: {budget:g} is not above 0 and at most 1", exit_code=2)
    if output.is_dir():
        raise BackfillError(f"--output: {output}: is a directory", exit_code=2)
    return Task(start, end, step, _labels(labels), budget, output, dry_run)


def _labels(options: Iterable[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        why = ""
        if not equals or not value:
            why = "is not NAME=VALUE"
        elif not _LABEL.fullmatch(name):
            why = f"{name} is not a name for a label"
        elif any(name in family.labels for family in catalogue()):
            why = f"{name} is a label that the exporter sets itself"
        elif name in found:
            why = f"{name} is given twice"
        if why:
            raise BackfillError(f'--label: "{option}": {why}', exit_code=2)
        found[name] = value
    return tuple(sorted(found.items()))


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return which parts of two fingerprints are not the same."""
    return [part for part in now if before.get(part) != now[part]]
