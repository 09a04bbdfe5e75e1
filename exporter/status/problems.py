"""What goes wrong now: what, where, since when, what Help Scout said, what to do. Pure.

The words are in templates/problems.html, one section for each `Case`. What to do is what the log
says, too: the failure's own remedy (exporter/helpscout/advice.py), or, if everything of the account
fails alike, what that tells. `runbook` names the section of docs/runbooks.md with the rest of it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from exporter.health import Missing, Trouble
from exporter.helpscout.budget import Usage
from exporter.questions import ALL, Key
from exporter.reasons import PROBLEMS, REASONS
from exporter.status.facts import Facts, State

STRETCHED: Final = 1.2
LAGGING_SECONDS: Final = 900
"""From where on a stretched or lagging schedule is a problem: as the alert rules have it."""

_MOST_NAMED: Final = 5
_MOST_REMEDIES: Final = 3


class Case(StrEnum):
    """What kind of thing is wrong."""

    RELOAD = "reload"
    MISSING = "missing"
    ACCOUNT = "account"
    MAILBOX_LIST = "mailbox_list"
    REPORTS = "reports"
    STRETCHED = "stretched"
    LAGGING = "lagging"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Place:
    """A mailbox whose reports are concerned, and what these have in common.

    `types` and `segments` are empty where they are all, or the only ones, that are asked.
    """

    mailbox_id: str
    mailbox: str
    groups: tuple[str, ...]
    types: tuple[str, ...]
    segments: tuple[str, ...]
    office_hours: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `bad` says that figures are missing or will be; else it can wait until the morning. `since` is
    Unix seconds, None where nobody noted it. `said` is the last answer, `reference` its number at
    Help Scout. `title` and `advice` are those of a reason, empty where the case says all. `number`
    is of reports, seconds or times, as the case has it. `account` is empty where all are concerned,
    `everywhere` says that all of its reports are; of its `mailboxes`, some are named as `places`.
    """

    case: Case
    runbook: str
    bad: bool = False
    title: str = ""
    number: float = 0
    advice: str = ""
    account: str = ""
    everywhere: bool = False
    places: tuple[Place, ...] = ()
    mailboxes: int = 0
    missing: tuple[Missing, ...] = ()
    usage: Usage | None = None
    since: float | None = None
    said: str = ""
    reference: str | None = None


def problems(facts: Facts) -> tuple[Problem, ...]:
    """Return everything that is wrong, the worst first, a bounded number an account."""
    found: list[Problem] = []
    if (refused := facts.reload_failure) is not None:
        said = "; ".join(refused.messages)
        found.append(Problem(Case.RELOAD, "HelpscoutReloadFailed", since=refused.at, said=said))
    troubles: dict[str, dict[Key, Trouble]] = defaultdict(dict)
    for key, trouble in facts.troubles.reports.items():
        troubles[key.account][key] = trouble
    late = _late(facts)
    for account, missing in facts.troubles.missing.items():
        runbook = "HelpscoutSegmentUnresolved"
        found.append(Problem(Case.MISSING, runbook, account=account, missing=missing))
    for account in facts.snapshot.accounts:
        found += _of_account(facts, account, troubles[account])
    for account in facts.snapshot.accounts:
        found += _of_reports(facts, account, troubles[account])
        found += _of_schedule(facts, account, late[account])
    return tuple(sorted(found, key=lambda problem: not problem.bad))


def _of_account(facts: Facts, account: str, troubles: dict[Key, Trouble]) -> Iterator[Problem]:
    status = facts.snapshot.accounts[account]
    login = facts.troubles.accounts.get(account)
    for reason, problem in PROBLEMS.items():
        if reason not in status.problems:
            continue
        alike = [t for t in troubles.values() if t.failure.problem == reason]
        if login is not None and login.failure.problem == reason:
            alike.append(login)
        last = max(alike, key=lambda trouble: trouble.at, default=None)
        own = "" if last is None or reason == "plan" else last.failure.remedy
        yield Problem(
            Case.ACCOUNT,
            problem.runbook,
            not status.up,
            problem.title,
            advice=own or REASONS[reason].advice,
            account=account,
            everywhere=not status.up,
            since=min((t.since for t in alike), default=facts.troubles.since.get(account)),
            said=last.failure.message if last else "",
            reference=last.failure.reference if last else None,
        )
    if login is not None and login.failure.problem not in status.problems:
        yield Problem(
            Case.MAILBOX_LIST,
            "HelpscoutBadResponse",
            account=account,
            since=login.since,
            said=login.failure.message,
            reference=login.failure.reference,
        )


def _of_reports(facts: Facts, account: str, troubles: dict[Key, Trouble]) -> Iterator[Problem]:
    """What fails beside what the account's own problems say already, by reason."""
    told = facts.snapshot.accounts[account].problems
    by_reason: dict[tuple[str, bool], dict[Key, Trouble]] = defaultdict(dict)
    for key, trouble in troubles.items():
        entry = facts.snapshot.entries.get(key)
        if trouble.failure.problem not in told and entry is not None:
            never = entry.succeeded_at is None
            by_reason[trouble.failure.reason, never][key] = trouble
    everything = Counter(key.collector for key in facts.snapshot.entries if key.account == account)
    for (reason, never), failing in by_reason.items():
        kinds = {key.collector for key in failing}
        is_wide = len(failing) == sum(everything[kind] for kind in kinds) > 1
        for remedy, alike in _by_remedy(reason, failing, is_wide=is_wide).items():
            last = max(alike.values(), key=lambda trouble: trouble.at)
            yield Problem(
                Case.REPORTS,
                "HelpscoutReportNeverSucceeded" if never else "HelpscoutReportStale",
                True,
                REASONS[reason].title,
                len(alike),
                remedy,
                account,
                places=_places(facts, alike),
                mailboxes=len({key.mailbox_id for key in alike}),
                since=min(trouble.since for trouble in alike.values()),
                said=last.failure.message,
                reference=last.failure.reference,
            )


def _by_remedy(
    reason: str, failing: dict[Key, Trouble], *, is_wide: bool
) -> dict[str, dict[Key, Trouble]]:
    """Return failures by what is to be done, in a few groups: many different ones are one matter.

    What fails everywhere is not the fault of one filter.
    """
    general = REASONS[reason]
    found: dict[str, dict[Key, Trouble]] = defaultdict(dict)
    for key, trouble in failing.items():
        found[trouble.failure.remedy or general.advice][key] = trouble
    many = len(found) > (1 if is_wide else _MOST_REMEDIES)
    return {general.advice: failing} if many else found


def _of_schedule(facts: Facts, account: str, late: list[Key]) -> Iterator[Problem]:
    if account not in facts.progress:
        return
    outlook, usage = facts.progress[account]
    if outlook.stretch > STRETCHED:
        yield Problem(
            Case.STRETCHED,
            "HelpscoutScheduleStretched",
            number=outlook.stretch,
            account=account,
            usage=usage,
        )
    runbook = "HelpscoutScheduleLagging"
    if outlook.lag > LAGGING_SECONDS:
        yield Problem(Case.LAGGING, runbook, number=outlook.lag, account=account)
    if late:
        yield Problem(
            Case.LATE,
            runbook,
            number=len(late),
            account=account,
            places=_places(facts, late),
            mailboxes=len({key.mailbox_id for key in late}),
        )


def _late(facts: Facts) -> dict[str, list[Key]]:
    """Return the reports that are late or stale for no reason that anybody noted, by account."""
    found: dict[str, list[Key]] = defaultdict(list)
    for key, entry in facts.snapshot.entries.items():
        if entry.success and facts.state(key, entry) in (State.LATE, State.STALE):
            found[key.account].append(key)
    return found


def _places(facts: Facts, keys: Collection[Key]) -> tuple[Place, ...]:
    """Return the mailboxes of reports, as many as one reads, with what is special to these."""
    by_mailbox: dict[str, list[Key]] = defaultdict(list)
    for key in keys:
        by_mailbox[key.mailbox_id].append(key)
    return tuple(_place(facts, id_, of_it) for id_, of_it in list(by_mailbox.items())[:_MOST_NAMED])


def _place(facts: Facts, mailbox_id: str, keys: list[Key]) -> Place:
    configuration = facts.configuration
    types, segments = {key.type for key in keys} - {""}, {key.segment for key in keys}
    every_segment = {"", *(segment.name for segment in configuration.segments)}
    return Place(
        mailbox_id,
        facts.snapshot.entries[keys[0]].mailbox,
        facts.groups(key.group for key in keys),
        () if types in (set(), {ALL}, set(configuration.types)) else tuple(sorted(types)),
        () if segments == every_segment else tuple(sorted(segments - {""})),
        {key.office_hours for key in keys} == {"true"},
    )
