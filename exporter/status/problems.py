"""What goes wrong now, in words: what, where, since when, what Help Scout said, what to do.

What to do is what the log says, too: the failure's own remedy (exporter/helpscout/advice.py), or,
if everything of the account fails alike, what that tells. `runbook` names the section of
docs/runbooks.md with the rest of it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from exporter.health import Trouble
from exporter.questions import ALL, Key
from exporter.reasons import PROBLEMS, REASONS
from exporter.status import words
from exporter.status.facts import Facts

STRETCHED: Final = 1.2
LAGGING_SECONDS: Final = 900
"""From where on a stretched or lagging schedule is a problem: as the alert rules have it."""

_MOST_NAMED: Final = 5
_MOST_REMEDIES: Final = 3
_MOST_TEXT: Final = 300


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `bad` says that figures are missing or will be; else it can wait until the morning. `since` is
    Unix seconds, None where nobody noted it. `said` is the last answer, `reference` its number at
    Help Scout; `where` what is concerned, account first.
    """

    title: str
    bad: bool
    advice: str
    runbook: str
    where: str = ""
    since: float | None = None
    said: str = ""
    reference: str = ""


def problems(facts: Facts) -> tuple[Problem, ...]:
    """Return everything that is wrong, the worst first, a bounded number an account."""
    found: list[Problem] = []
    if facts.reload_failure is not None:
        found.append(
            Problem(
                "The last reload was refused, the old configuration stays in force",
                False,
                "Correct the file and reload: the next start would fail.",
                "HelpscoutReloadFailed",
                since=facts.reload_failure.at,
                said=_cut("; ".join(facts.reload_failure.messages)),
            )
        )
    troubles: dict[str, dict[Key, Trouble]] = defaultdict(dict)
    for key, trouble in facts.troubles.reports.items():
        troubles[key.account][key] = trouble
    late = _late(facts)
    found += _of_configuration(facts)
    for account in facts.snapshot.accounts:
        found += _of_account(facts, account, troubles[account])
    for account in facts.snapshot.accounts:
        found += _of_reports(facts, account, troubles[account])
        found += _of_schedule(facts, account, late[account])
    return tuple(sorted(found, key=lambda problem: not problem.bad))


def _of_configuration(facts: Facts) -> Iterator[Problem]:
    for account, missing in facts.troubles.missing.items():
        things = "one thing" if len(missing) == 1 else f"{len(missing)} things"
        whose = f"account {words.name(account)}" if account else "every account"
        yield Problem(
            f"The configuration names {things} that Help Scout does not have",
            False,
            "Correct it and reload: what is not found has no figures, and its alerts are silent.",
            "HelpscoutSegmentUnresolved",
            _cut(f"{whose}: {'; '.join(map(str, missing))}"),
        )


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
        since = min((t.since for t in alike), default=facts.troubles.since.get(account))
        yield Problem(
            problem.title,
            not status.up,
            _sentence(_remedy(reason, last)),
            problem.runbook,
            f"account {words.name(account)}, all of its reports"
            if not status.up
            else f"account {words.name(account)}",
            since,
            *_answer(last),
        )

    if login is not None and login.failure.problem not in status.problems:
        yield Problem(
            "The mailbox list cannot be used as it arrives",
            False,
            "The last one is kept: new mailboxes are added, none is removed. If it lasts, compare"
            " the list with Help Scout's own, and ask Help Scout's support.",
            "HelpscoutBadResponse",
            f"account {words.name(account)}",
            login.since,
            *_answer(login),
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
    everything = sum(key.account == account for key in facts.snapshot.entries)
    for (reason, never), failing in by_reason.items():
        is_wide = len(failing) == everything > 1
        for remedy, alike in _by_remedy(reason, failing, is_wide=is_wide).items():
            last = max(alike.values(), key=lambda trouble: trouble.at)
            yield Problem(
                f"{REASONS[reason].title}: {_reports(len(alike))}",
                True,
                _sentence(remedy),
                "HelpscoutReportNeverSucceeded" if never else "HelpscoutReportStale",
                _where(facts, account, alike),
                min(trouble.since for trouble in alike.values()),
                *_answer(last),
            )


def _by_remedy(
    reason: str, failing: dict[Key, Trouble], *, is_wide: bool
) -> dict[str, dict[Key, Trouble]]:
    """Return failures by what is to be done, in a few groups: many different ones are one matter.

    What fails everywhere is no fault of one filter.
    """
    found: dict[str, dict[Key, Trouble]] = defaultdict(dict)
    for key, trouble in failing.items():
        found[trouble.failure.remedy or REASONS[reason].advice][key] = trouble
    if is_wide and (len(found) > 1 or REASONS[reason].refuses_question):
        return {REASONS[reason].advice: failing}
    return found if len(found) <= _MOST_REMEDIES else {REASONS[reason].advice: failing}


def _remedy(reason: str, last: Trouble | None) -> str:
    own = "" if last is None or reason == "plan" else last.failure.remedy
    return own or REASONS[reason].advice


def _sentence(remedy: str) -> str:
    text = remedy[:1].upper() + remedy[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _of_schedule(facts: Facts, account: str, late: list[Key]) -> Iterator[Problem]:
    if account not in facts.progress:
        return
    outlook, usage = facts.progress[account]
    where = f"account {words.name(account)}"
    if outlook.stretch > STRETCHED:
        yield Problem(
            f"Reports are asked {outlook.stretch:.1f} times as rarely as configured",
            False,
            "The plan does not fit the budget: take away types, windows or mailboxes that nobody"
            " looks at, or raise budget. helpscout-exporter plan shows what costs how much.",
            "HelpscoutScheduleStretched",
            f"{where}, budget {words.rate(usage.allowed)} of {words.rate(usage.limit)} calls a"
            " minute",
        )
    if outlook.lag > LAGGING_SECONDS:
        yield Problem(
            f"The most overdue report has waited for {words.roughly(outlook.lag)}",
            False,
            "Calls are slower or fewer than planned: if they are slow, raise concurrency; if"
            " another integration uses up the limit, slow that one down.",
            "HelpscoutScheduleLagging",
            where,
        )
    if late:
        yield Problem(
            f"{_reports(len(late))} {'is' if len(late) == 1 else 'are'} late, though none failed",
            False,
            "They wait for their turn: see the schedule below.",
            "HelpscoutScheduleLagging",
            _where(facts, account, late),
        )


def _late(facts: Facts) -> dict[str, list[Key]]:
    """Return the reports that are late or stale for no reason that anybody noted, by account."""
    found: dict[str, list[Key]] = defaultdict(list)
    for key, entry in facts.snapshot.entries.items():
        if entry.success and facts.state(key, entry) in ("late", "stale"):
            found[key.account].append(key)
    return found


def _answer(trouble: Trouble | None) -> tuple[str, str]:
    if trouble is None:
        return "", ""
    return _cut(trouble.failure.message), words.name(trouble.failure.reference or "") * bool(
        trouble.failure.reference
    )


def _where(facts: Facts, account: str, keys: Collection[Key]) -> str:
    """Return mailboxes and cuts of reports, as many as one reads."""
    by_mailbox: dict[str, list[Key]] = defaultdict(list)
    for key in keys:
        by_mailbox[key.mailbox_id].append(key)
    told = [
        f"{_mailbox(id_, facts.snapshot.entries[of_it[0]].mailbox)} ({_cuts(facts, of_it)})"
        for id_, of_it in list(by_mailbox.items())[:_MOST_NAMED]
    ]
    if len(by_mailbox) > _MOST_NAMED:
        told.append(f"and {words.count(len(by_mailbox) - _MOST_NAMED)} more mailboxes")
    return f"account {words.name(account)}: {', '.join(told)}"


def _cuts(facts: Facts, keys: list[Key]) -> str:
    """Return what a mailbox's reports have in common: not what would be every type or segment."""
    configuration = facts.configuration
    found = [", ".join(dict.fromkeys(key.window or key.collector for key in keys))]
    types = {key.type for key in keys}
    if types not in ({ALL}, {""}, set(configuration.types)):
        found.append(f"type {', '.join(sorted(types))}")
    segments = {key.segment for key in keys}
    if segments not in ({""}, {"", *(segment.name for segment in configuration.segments)}):
        found.append(f"segment {', '.join(sorted(segments - {''}))}")
    if {key.office_hours for key in keys} == {"true"}:
        found.append("office hours")
    return "; ".join(found)


def _mailbox(id_: str, name: str) -> str:
    return "all mailboxes together" if id_ == ALL else f"{words.name(name)} #{id_}"


def _reports(number: int) -> str:
    return "1 report" if number == 1 else f"{words.count(number)} reports"


def _cut(text: str) -> str:
    shown = " ".join(text.split())
    return shown if len(shown) <= _MOST_TEXT else f"{shown[: _MOST_TEXT - 1]}…"
