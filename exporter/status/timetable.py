"""The schedule in words: every account's state and budget, and when each window is asked. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from exporter.status import words
from exporter.status.facts import Facts


@dataclass(frozen=True, slots=True)
class AccountLine:
    """An account's line of the schedule; everything is in words, empty where it is not known."""

    name: str
    level: str
    state: str
    api: str
    mailboxes: str
    fresh: str
    used: str
    allowed: str
    limit: str
    stretch: str
    lag: str


@dataclass(frozen=True, slots=True)
class WindowLine:
    """A window's line of the schedule: how often it should be and is asked, and when next."""

    account: str
    window: str
    reports: str
    every: str
    interval: str
    next: str
    next_time: str
    next_at: str


def account_lines(facts: Facts, states: Mapping[str, Counter[str]]) -> Iterator[AccountLine]:
    """Return a line for each account; `states` counts its reports by how good they are."""
    apis = {account.name: f"{account.api[1]}.0" for account in facts.configuration.accounts}
    boxes = Counter(account for account, _ in facts.snapshot.mailboxes)
    for name, status in facts.snapshot.accounts.items():
        progress = facts.progress.get(name)
        outlook, usage = progress or (None, None)
        if status.up:
            level, state = ("warn", "up, with a problem") if status.problems else ("well", "up")
        else:
            level, state = ("bad", "down") if status.problems else ("starting", "starting")
        yield AccountLine(
            words.name(name),
            level,
            state,
            apis.get(name, ""),
            words.count(boxes[name]),
            part_of(states[name]["fresh"], states[name].total()),
            words.count(usage.used) if usage else "",
            words.rate(usage.allowed) if usage else "",
            words.rate(usage.limit) if usage else "",
            f"{outlook.stretch:.2f}" if outlook else "",
            words.roughly(outlook.lag) if outlook and outlook.lag >= 1 else "–",
        )


def window_lines(facts: Facts) -> Iterator[WindowLine]:
    """Return a line for each account's windows."""
    for account, (outlook, _) in facts.progress.items():
        for each in outlook.groups:
            due = each.next_due
            at = None if due is None else next_due(facts, account, due)
            yield WindowLine(
                words.name(account),
                each.group.window or each.group.collector,
                words.count(each.reports),
                words.duration(each.group.every),
                words.duration(each.interval),
                "being asked" if at is None else words.ahead(at - facts.clock),
                "" if at is None else time_of(facts, at),
                "" if at is None else words.instant(facts.now + max(0.0, at - facts.clock)),
            )


def next_due(facts: Facts, account: str, due: float) -> float:
    """Return when something due can go out: not before a 429 is over."""
    return max(due, facts.clock + facts.progress[account][1].closed_seconds)


def time_of(facts: Facts, at: float) -> str:
    """Return an instant of the monotonic clock as a UTC time; what is over is now."""
    return words.clock(facts.now + max(0.0, at - facts.clock), facts.now)


def part_of(part: int, whole: int) -> str:
    """Return two counts: 3 of 12."""
    return f"{words.count(part)} of {words.count(whole)}"
