"""The whole page as frozen values: from the facts of one instant and a query. Pure."""

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from exporter import __version__, revision
from exporter.questions import ALL, Mailbox
from exporter.status import words
from exporter.status.choice import Choice, Chooser, Selector
from exporter.status.facts import Facts
from exporter.status.figures import COLUMNS, Row, promises_kept, row
from exporter.status.problems import Problem, problems
from exporter.status.timetable import (
    AccountLine,
    WindowLine,
    account_lines,
    next_due,
    part_of,
    time_of,
    window_lines,
)

MAILBOXES_A_PAGE: Final = 25
STATES: Final = ("fresh", "late", "stale", "failing", "waiting")
"""How good a report can be (`Facts.state`), the best first; what waits is neither."""

_NOTHING_TO_CHOOSE: Final = Choice("", ALL, office_hours=False, segment="")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Is all well? `level` is `well`, `starting`, `warn` or `bad`."""

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the first lines; `share` (0 to 1) is drawn as a meter where it is not None."""

    label: str
    value: str
    detail: str
    level: str = "well"
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A mailbox's rows; `id` is empty for all of them together."""

    name: str
    id: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Pager:
    """Which mailboxes are shown: from `first` to `last` of `total`. Links are empty at the ends."""

    first: int
    last: int
    total: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the template shows."""

    verdict: Verdict
    tiles: tuple[Tile, ...]
    problems: tuple[Problem, ...]
    choice: Choice
    selectors: tuple[Selector, ...]
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    pager: Pager
    no_groups: str
    everything: str
    accounts: tuple[AccountLine, ...]
    windows: tuple[WindowLine, ...]
    build: tuple[tuple[str, str], ...]
    telemetry_path: str
    now: float
    as_of: str


def view(facts: Facts, query: Mapping[str, str]) -> View:
    """Return the page for a query: see `Chooser.choose` for what it may hold."""
    found = problems(facts)
    states = _states(facts)
    accounts = facts.snapshot.accounts
    chooser = Chooser(accounts, facts.configuration) if accounts else None
    choice = chooser.choose(query) if chooser else _NOTHING_TO_CHOOSE
    mailboxes = _mailboxes(facts, choice)
    groups, pager, choice = _page(facts, choice, chooser, mailboxes)
    return View(
        _verdict(facts, found, states),
        tuple(_tiles(facts, states, choice, mailboxes)),
        found,
        choice,
        chooser.selectors(choice) if chooser else (),
        tuple(heading for _, heading in COLUMNS),
        groups,
        pager,
        "" if groups else _why_empty(facts, choice),
        chooser.href(choice, "q", "") if chooser else "/",
        tuple(account_lines(facts, states)),
        tuple(window_lines(facts)),
        tuple(_build(facts)),
        facts.configuration.web.telemetry_path,
        facts.now,
        words.clock(facts.now, facts.now),
    )


def _states(facts: Facts) -> dict[str, Counter[str]]:
    """Return how many reports of each account are how good."""
    found: dict[str, Counter[str]] = {name: Counter() for name in facts.snapshot.accounts}
    for key, entry in facts.snapshot.entries.items():
        found[key.account][facts.state(key, entry)] += 1
    return found


def _verdict(
    facts: Facts, found: tuple[Problem, ...], states: Mapping[str, Counter[str]]
) -> Verdict:
    """Return both truths in one line: does the exporter work, and does the support team."""
    verdict = _exporters_verdict(facts, found, states)
    kept = [
        met
        for key, entry in facts.snapshot.entries.items()
        for met in promises_kept(key, entry, facts.configuration.objectives)
    ]
    if all(kept) or verdict.level == "starting":
        return verdict
    works = "The exporter works" if verdict.level == "well" else verdict.text
    missed = f"{part_of(kept.count(False), len(kept))} SLAs are missed"
    return Verdict("bad" if verdict.level == "bad" else "warn", f"{works}; {missed}")


def _exporters_verdict(
    facts: Facts, found: tuple[Problem, ...], states: Mapping[str, Counter[str]]
) -> Verdict:
    statuses = facts.snapshot.accounts
    down = [name for name, status in statuses.items() if not status.up and status.problems]
    if len(down) == 1:
        return Verdict("bad", f"Account {words.name(down[0])} does not work")
    if down:
        return Verdict("bad", f"{len(down)} of {len(statuses)} accounts do not work")
    if any(problem.bad for problem in found):
        return Verdict("bad", "Some reports do not come")
    if found:
        things = "one thing" if len(found) == 1 else f"{len(found)} things"
        return Verdict("warn", f"It works, with {things} to look at")
    if not statuses:
        return Verdict("starting", "No account is this shard's to ask")
    asked = sum(states_.total() for states_ in states.values())
    waiting = sum(states_["waiting"] for states_ in states.values())
    if not all(status.up for status in statuses.values()):
        return Verdict("starting", "Starting: logging in and listing the mailboxes")
    if not asked:
        return Verdict("warn", "There is nothing to report: no mailbox is selected")
    if waiting:
        return Verdict("starting", f"Starting: {part_of(asked - waiting, asked)} reports have come")
    return Verdict("well", "All is well")


# --- the first lines ----------------------------------------------------------------------------


def _tiles(
    facts: Facts, states: Mapping[str, Counter[str]], choice: Choice, mailboxes: Iterable[Mailbox]
) -> Iterator[Tile]:
    statuses = facts.snapshot.accounts
    up = sum(status.up for status in statuses.values())
    down = [words.name(name) for name, status in statuses.items() if not status.up]
    ill = any(not status.up and status.problems for status in statuses.values())
    yield Tile(
        "Accounts up",
        part_of(up, len(statuses)),
        f"not {_some(down)}" if down else "login, mailbox list and reports",
        "bad" if ill else "starting" if down else "well",
    )
    total: Counter[str] = sum(states.values(), Counter())
    rest = [f"{words.count(total[state])} {state}" for state in STATES[1:] if total[state]]
    bad = total["stale"] or total["failing"]
    yield Tile(
        "Reports fresh",
        part_of(total["fresh"], total.total()),
        ", ".join(rest) or "none is late or missing",
        "bad" if bad else "warn" if total["late"] else "starting" if rest else "well",
    )
    yield _next_poll(facts)
    yield from _budget(facts)
    objectives = facts.configuration.objectives
    if objectives and statuses:
        kept = [
            met
            for mailbox_id in (ALL, *(str(mailbox.id) for mailbox in mailboxes))
            for window in facts.configuration.windows
            if (entry := facts.snapshot.entries.get(key := choice.key(mailbox_id, window.text)))
            for met in promises_kept(key, entry, objectives)
        ]
        yield Tile(
            "SLAs met",
            part_of(sum(kept), len(kept)) if kept else "–",
            "of every mailbox and window below" if kept else "none is promised for this choice",
            "well" if all(kept) else "warn",
        )


def _next_poll(facts: Facts) -> Tile:
    due = [
        (
            next_due(facts, account, each.next_due),
            account,
            each.group.window or each.group.collector,
        )
        for account, (outlook, _) in facts.progress.items()
        for each in outlook.groups
        if each.next_due is not None
    ]
    if not due:
        return Tile("Next poll", "–", "nothing is planned yet", "starting")
    at, account, window = min(due)
    return Tile(
        "Next poll",
        words.ahead(at - facts.clock),
        f"{window} of {words.name(account)}, {time_of(facts, at)}",
    )


def _budget(facts: Facts) -> Iterator[Tile]:
    """The account that uses the largest part of its budget stands for all of them."""
    used = [
        (usage.used / usage.allowed, name, usage)
        for name, (_, usage) in facts.progress.items()
        if name in facts.snapshot.accounts
    ]
    if not used:
        return
    share, name, usage = max(used, key=lambda found: found[0])
    whose = "calls a minute" if len(used) == 1 else f"calls of {words.name(name)}"
    yield Tile(
        "Budget used",
        f"{words.count(usage.used)} of {words.rate(usage.allowed)}",
        "Help Scout said: wait"
        if usage.closed_seconds
        else f"{whose}, limit {words.rate(usage.limit)}",
        "warn" if usage.closed_seconds else "well",
        min(share, 1.0),
    )


# --- the table ----------------------------------------------------------------------------------


def _mailboxes(facts: Facts, choice: Choice) -> list[Mailbox]:
    return sorted(
        (mailbox for account, mailbox in facts.snapshot.mailboxes if account == choice.account),
        key=lambda mailbox: (mailbox.name.casefold(), mailbox.id),
    )


def _page(
    facts: Facts, choice: Choice, chooser: Chooser | None, mailboxes: list[Mailbox]
) -> tuple[tuple[Group, ...], Pager, Choice]:
    """Return the chosen page's rows; a page beyond the last is the last."""
    wanted = choice.q.casefold()
    found = [
        (words.name(mailbox.name), str(mailbox.id))
        for mailbox in mailboxes
        if wanted in mailbox.name.casefold() or wanted.lstrip("#") == str(mailbox.id)
    ]
    windows = [window.text for window in facts.configuration.windows]
    entries = facts.snapshot.entries
    found = [
        (name, id_) for name, id_ in found if any(choice.key(id_, w) in entries for w in windows)
    ]
    last_page = max(1, -(-len(found) // MAILBOXES_A_PAGE))
    choice = replace(choice, page=min(choice.page, last_page))
    first = (choice.page - 1) * MAILBOXES_A_PAGE
    shown = found[first : first + MAILBOXES_A_PAGE]
    if not wanted and choice.page == 1 and any(choice.key(ALL, w) in entries for w in windows):
        shown.insert(0, ("All mailboxes", ALL))
    groups = tuple(
        Group(
            name,
            "" if id_ == ALL else id_,
            tuple(
                row(facts, key, entries[key])
                for window in windows
                if (key := choice.key(id_, window)) in entries
            ),
        )
        for name, id_ in shown
    )

    def link(page: int) -> str:
        known = chooser is not None and 1 <= page <= last_page
        return chooser.href(replace(choice, page=page)) if chooser and known else ""

    last = min(first + MAILBOXES_A_PAGE, len(found))
    pager = Pager(
        min(first + 1, last), last, len(found), link(choice.page - 1), link(choice.page + 1)
    )
    return groups, pager, choice


def _why_empty(facts: Facts, choice: Choice) -> str:
    if choice.q:
        return f"No mailbox is called anything like “{words.name(choice.q)}”."
    if choice.segment:
        return (
            "No report of this segment is asked yet: a tag's name must first be seen in a report."
        )
    if choice.account and not facts.snapshot.accounts[choice.account].up:
        return "Nothing is known yet: the mailboxes have not been listed."
    return "No mailbox is selected, or none of them is this shard's to ask."


# --- the foot -----------------------------------------------------------------------------------


def _build(facts: Facts) -> Iterator[tuple[str, str]]:
    shard = facts.configuration.shard
    yield "Version", __version__
    yield "Revision", revision()
    yield "Python", platform.python_version()
    yield "Running since", f"{words.clock(facts.started_at, facts.now)}"
    yield "Configuration loaded", f"{words.clock(facts.loaded_at, facts.now)}"
    if shard.total > 1:
        yield "Shard", f"{shard.index} of {shard.total}, by {shard.by}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
