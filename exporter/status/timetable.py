"""The schedule: every account's state and budget, and when each group of keys is asked. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from exporter.health import AccountStatus
from exporter.helpscout.budget import Usage
from exporter.schedule import GroupOutlook, Outlook
from exporter.status.facts import Facts, Level, State


@dataclass(frozen=True, slots=True)
class AccountLine:
    """An account's line of the schedule. One that was just configured has no outlook or usage."""

    name: str
    level: Level
    api: str
    mailboxes: int
    states: Counter[State]
    outlook: Outlook | None
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class GroupLine:
    """How often a group should be and is asked.

    `next_at` is Unix seconds, None while all of it is being asked.
    """

    account: str
    name: str
    outlook: GroupOutlook
    next_at: float | None


def account_lines(facts: Facts, states: Mapping[str, Counter[State]]) -> Iterator[AccountLine]:
    """Return a line for each account; `states` counts its reports by how good they are."""
    apis = {account.name: account.api for account in facts.configuration.accounts}
    boxes = Counter(account for account, _ in facts.snapshot.mailboxes)
    for name, status in facts.snapshot.accounts.items():
        outlook, usage = facts.progress.get(name, (None, None))
        level, api = _level(status), apis.get(name, "")
        yield AccountLine(name, level, api, boxes[name], states[name], outlook, usage)


def _level(status: AccountStatus) -> Level:
    if status.up:
        return Level.WARN if status.problems else Level.WELL
    return Level.BAD if status.problems else Level.STARTING


def group_lines(facts: Facts) -> Iterator[GroupLine]:
    """Return a line for each account's groups."""
    for account, (outlook, _) in facts.progress.items():
        for each in outlook.groups:
            (name,) = facts.groups([(each.group.collector, each.group.window)])
            due = each.next_due
            at = None if due is None else facts.next_at(account, due)
            yield GroupLine(account, name, each, at)
