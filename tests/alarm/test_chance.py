"""Rises against the preceding week: healthy teams are seldom told of, teams that got slower are.

Random teams of all sizes: customers write more by day than by night, some teams work from nine to
five, all have good and bad days, and response times are log-normal.
"""

import json
import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import log
from pathlib import Path
from typing import Any, Final

import pytest

from tests.alarm.conftest import GROUPS
from tests.servers import promtool

pytestmark = pytest.mark.timeout(600)

HOUR: Final = 3600
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
STEP: Final = 4 * HOUR
BEGIN: Final = 3 * WEEK
"""From here on every window is whole, and this is what promtool sees: four weeks."""
TURN: Final = 5 * WEEK
"""When a team gets slower, if it does."""
END: Final = 7 * WEEK
_OPENS, _OFFICE_DAY = 9 * HOUR, 8 * HOUR
_RESPONSE, _REPLIES = "HelpscoutResponseTimeRising", "HelpscoutRepliesToResolveRising"


@dataclass(frozen=True)
class Team:
    """A team; from `TURN` on waits are so many times as long, and so are conversations."""

    number: int
    a_week: int
    office: bool
    slower: float = 1

    def conversations(self) -> list[tuple[float, float, float]]:
        """When each was answered, after which wait, and the replies that it took, in order."""
        dice = random.Random(self.number)
        often = sum(self._likely(hour * HOUR) for hour in range(168)) / 168
        days = [dice.lognormvariate(0, 0.2) for _ in range(END // DAY + 1)]
        found, at = [], 0.0
        while (at := at + dice.expovariate(self.a_week / often / WEEK)) < END:
            if dice.random() < self._likely(at):
                wait = dice.lognormvariate(log(HOUR * days[int(at // DAY)]), 1.2)
                replies = 1 + int(dice.expovariate(log(2)))  # half of them take one, and so on
                if self.office:
                    wait = _end(_worked(at) + wait) - at
                slower = self.slower if at >= TURN else 1
                found.append((at + wait * slower, wait * slower, replies * slower))
        return sorted(found)

    def _likely(self, at: float) -> float:
        if not self.office:
            return 0.5
        by_day = 8 <= at % DAY / HOUR < 18
        return (0.85 if by_day else 0.2) * (1 if at // DAY % 7 < 5 else 0.4)

    def series(self, times: range) -> Iterator[dict[str, str]]:
        """Yield what is exported of it at these times, of a window of a week."""
        of_it = self.conversations()
        ends = [answered for answered, _, _ in of_it]
        now, week_ago, before = (
            [bisect_right(ends, at - weeks * WEEK) for at in times] for weeks in (0, 1, 2)
        )
        own = f'account="acme", mailbox_id="{self.number}", type="all", window="7d"'
        numbers = {"": [a - b for a, b in zip(now, week_ago, strict=True)]}
        numbers["previous_"] = [b - c for b, c in zip(week_ago, before, strict=True)]
        for name, values in numbers.items():
            yield _series(f"helpscout_{name}conversations{{{own}}}", values)
        for column, statistic in ((1, "response_time"), (2, "replies_to_resolve")):
            sums = [0.0, *accumulate(one[column] for one in of_it)]
            changes = [
                (sums[a] - sums[b]) / (a - b) / ((sums[b] - sums[c]) / (b - c)) - 1
                if a > b > c
                else None
                for a, b, c in zip(now, week_ago, before, strict=True)
            ]
            yield _series(f'helpscout_change_ratio{{{own}, statistic="{statistic}"}}', changes)


def _worked(at: float) -> float:
    """Return how long an office was open since the first Monday."""
    day, of_day = divmod(at, DAY)
    weeks, weekday = divmod(int(day), 7)
    today = min(max(of_day - _OPENS, 0), _OFFICE_DAY) if weekday < 5 else 0
    return (weeks * 5 + min(weekday, 5)) * _OFFICE_DAY + today


def _end(worked: float) -> float:
    """Return when an office has been open for so long."""
    day, of_day = divmod(worked, _OFFICE_DAY)
    weeks, weekday = divmod(int(day), 5)
    return weeks * WEEK + weekday * DAY + _OPENS + of_day


def _series(name: str, values: list[Any]) -> dict[str, str]:
    written = " ".join("_" if value is None else f"{value:.6g}" for value in values)
    return {"series": name.replace("}", ', job="helpscout", pod="exporter-1"}'), "values": written}


def _fired(alert: str) -> str:
    """Return an expression for how many teams were told of."""
    named = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    return f"count(last_over_time({named}[{(END - BEGIN) // HOUR}h])) or vector(0)"


def _judged(teams: list[Team], folder: Path, checks: dict[str, int]) -> None:
    """Let promtool evaluate the group of changes; each check is an expression and its value."""
    groups = [group for group in GROUPS if group["name"] == "helpscout.change"]
    (folder / "rules.yml").write_text(json.dumps({"groups": groups}))
    times = range(BEGIN, END + 1, STEP)
    length = {
        "series": 'helpscout_window_seconds{window="7d", job="helpscout", pod="exporter-1"}',
        "values": f"{WEEK}x{len(times)}",
    }
    series = [length, *(series for team in teams for series in team.series(times))]
    wanted = [
        {
            "expr": expression,
            "eval_time": f"{(END - BEGIN) // HOUR}h",
            "exp_samples": [{"labels": "{}", "value": value}],
        }
        for expression, value in checks.items()
    ]
    every = f"{STEP // HOUR}h"
    test = {"interval": every, "input_series": series, "promql_expr_test": wanted}
    document = {"rule_files": ["rules.yml"], "evaluation_interval": every, "tests": [test]}
    (folder / "test.yml").write_text(json.dumps(document))
    code, said = promtool("test", "rules", folder / "test.yml", version="newer")
    assert code == 0, said


def test_in_a_month_at_most_one_of_ten_healthy_teams_is_told_of(tmp_path: Path) -> None:
    teams = [
        Team(1000 * size + number, size, office=number % 2 == 0)
        for size in (25, 50, 100, 200)
        for number in range(12)
    ]
    few = len(teams) // 10
    checks = {f"({_fired(alert)}) <= bool {few}": 1 for alert in (_RESPONSE, _REPLIES)}
    _judged(teams, tmp_path, checks)


@pytest.mark.parametrize(
    ("a_week", "office", "slower"), [(400, True, 3), (400, False, 2), (50, False, 6)]
)
def test_a_team_that_gets_slower_is_told_of(
    tmp_path: Path, a_week: int, office: bool, slower: float
) -> None:
    teams = [Team(number, a_week, office, slower) for number in range(6)]
    _judged(teams, tmp_path, {_fired(_RESPONSE): 6, _fired(_REPLIES): 6})
