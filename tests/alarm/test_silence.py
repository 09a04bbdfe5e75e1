"""A team falls silent at 11:00 on a working day, after three weeks of random traffic.

Which customers wait is known from `waiting`; without it the rules have the folders and the count of
replies, which rolls on. There is never an alert for a healthy team: not by night, on weekends, on
Mondays or else. The newer promtool judges them; the older one has each alert's own history
(test_rules.py).
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.alarm.conftest import GROUPS
from tests.alarm.traffic import HOUR, MINUTE, NEVER, SILENT_FROM, Team, office
from tests.servers import promtool

pytestmark = pytest.mark.timeout(600)

TEAMS: Final = (
    Team("nine to five", 1, 240),
    Team("nine to five, its hours known", 2, 120, schedule=True),
    Team("round the clock", 4, 240, office=False),
)
"""Whose silence folders and replies alone tell of."""
SMALL: Final = (
    Team("three replies a day", 10, 3),
    Team("three replies round the clock", 12, 3, office=False),
)
"""Too small to be judged by their replies."""
_QUICK: Final = 15 * MINUTE
"""With what is left over in the evening and a late start, still within an hour."""
WATCHED: Final = (
    Team("nine to five, its waits known", 20, 240, schedule=True, target=HOUR, slowest=_QUICK),
    Team("round the clock, its waits known", 21, 240, office=False, target=HOUR),
    Team("three a day, its waits known", 22, 3, schedule=True, target=HOUR, slowest=_QUICK),
    Team("eight round the clock, its waits known", 23, 8, office=False, target=2 * HOUR),
)


def _healthy(team: Team) -> Team:
    return replace(team, name=f"{team.name}, healthy", number=100 + team.number, silent=False)


SILENCE: Final = "HelpscoutNobodyReplies"
WAITS: Final = "HelpscoutCustomersWaitBeyondTarget"
WEEK: Final = 7 * 24 * HOUR
END: Final = NEVER - HOUR


def _fired(
    alert: str, since: float, until: float, *teams: Team, only: str = "", begin: float = 0
) -> dict[str, Any]:
    """Return a check that of an alert exactly these teams' fired in a time.

    `begin` is when the series do.
    """
    matchers = f'alertname="{alert}", alertstate="firing"{only}'
    minutes = int(until - since) // MINUTE
    return {
        "expr": f"count by (mailbox_id) (count_over_time(ALERTS{{{matchers}}}[{minutes}m]))",
        "eval_time": f"{int(until - begin) // MINUTE}m",
        "exp_samples": [
            {"labels": f'{{mailbox_id="{team.number}"}}', "value": 1} for team in teams
        ],
    }


def _passes(
    teams: Iterable[Team], group: str, times: range, checks: list[dict[str, Any]], folder: Path
) -> None:
    """Let promtool judge the teams by one group: thousands of evaluations of all take minutes."""
    groups = [found for found in GROUPS if found["name"] == group]
    (folder / "rules.yml").write_text(json.dumps({"groups": groups}))
    series = [office(times), *(series for team in teams for series in team.series(times))]
    every = f"{times.step // MINUTE}m"
    document = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": every,
        "tests": [{"interval": every, "input_series": series, "promql_expr_test": checks}],
    }
    (folder / "test.yml").write_text(json.dumps(document))
    code, said = promtool("test", "rules", folder / "test.yml", version="newer")
    assert code == 0, said


def test_by_folders_and_replies_alone_a_silent_team_is_reported_within_four_and_a_half_hours(
    tmp_path: Path,
) -> None:
    told = SILENT_FROM + 4.5 * HOUR
    # A team whose waits are known is told of by those.
    teams = (*TEAMS, *SMALL, WATCHED[0], _healthy(TEAMS[1]))
    checks = [
        _fired(SILENCE, WEEK, SILENT_FROM),
        _fired(SILENCE, SILENT_FROM, told, *TEAMS),
        _fired(SILENCE, WEEK, END, *TEAMS),
        # Where the hours are known, not on the first weekend either.
        _fired(SILENCE, 0, SILENT_FROM, only=', account="with-schedule"'),
        _fired("HelpscoutQueueGrows", 0, END),
    ]
    _passes(teams, "helpscout.queue", range(0, NEVER, 10 * MINUTE), checks, tmp_path)


def test_with_the_waits_known_an_alert_fires_within_fifteen_minutes_of_the_target(
    tmp_path: Path,
) -> None:
    teams = (*WATCHED, _healthy(WATCHED[0]), _healthy(WATCHED[1]))
    begin = 2 * WEEK  # these rules do not look back, and a third of it takes a third of the time
    fired = partial(_fired, WAITS, begin=begin)
    checks = [fired(begin, SILENT_FROM), fired(begin, END, *WATCHED)]
    for team in WATCHED:
        due, own = team.overdue_at, f', mailbox_id="{team.number}"'
        checks.append(fired(begin, due, only=own))
        checks.append(fired(due, due + 15 * MINUTE, team, only=own))
    _passes(teams, "helpscout.waiting", range(begin, NEVER, 5 * MINUTE), checks, tmp_path)
