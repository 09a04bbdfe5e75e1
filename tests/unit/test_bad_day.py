"""The log of a bad day, as an operator on call reads it: few lines, each with what to do."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from structlog.testing import LogCapture

from exporter.helpscout.errors import BadCredentials, Foreign, HelpScoutError, Unreachable
from exporter.helpscout.oddities import Oddities
from exporter.selection import Segment
from tests.unit.poller_world import DAY, MONTH, SETTINGS, Run, World

FULL = replace(SETTINGS, types=("all", "email", "chat"), windows=(DAY, MONTH))
MINUTES = 60.0


def bad_lines(log: LogCapture) -> list[dict[str, object]]:
    return [dict(entry) for entry in log.entries if entry["log_level"] != "info"]


@pytest.mark.parametrize(
    ("outcome", "most"),
    [
        (lambda: Unreachable("no connection to api.helpscout.net: connection refused"), 3),
        (lambda: BadCredentials("HTTP 401: invalid_client", status=401), 3),
        (lambda: Foreign("HTTP 403 text/html from proxy.corp: Blocked", status=403), 3),
    ],
    ids=["unreachable", "credentials", "a block page"],
)
def test_23_minutes_of_a_dead_account_are_a_handful_of_lines(
    log: LogCapture, outcome: Callable[[], HelpScoutError], most: int
) -> None:
    run = Run(World(FULL), lambda at, _: outcome() if 60 < at < 60 + 23 * MINUTES else None)
    run.until(59)
    log.entries.clear()
    run.until(60 + 23 * MINUTES)
    lines = bad_lines(log)
    assert 0 < len(lines) <= most, lines
    assert all(entry["reason"] and entry["error"] for entry in lines)
    down = [entry for entry in lines if entry["event"] == "account does not answer"]
    assert len(down) == 1
    log.entries.clear()
    run.until(60 + 23 * MINUTES + 40)
    assert bad_lines(log) == []
    assert 0 < len(log.entries) <= 5
    assert "account works" in [entry["event"] for entry in log.entries]


def test_answers_that_are_odd_in_ever_new_ways_are_a_hundred_lines(log: LogCapture) -> None:
    odd = Oddities("acme")
    for number in range(150):
        odd(f"folder {number}: has no name that is text, and is shown by its id")
    assert len(bad_lines(log)) == 100


@pytest.mark.no_cover
def test_a_renamed_tag_is_one_line_a_day(log: LogCapture) -> None:
    world = World(replace(SETTINGS, windows=(DAY,), segments=(Segment("vip", ("vip",)),)))
    run = Run(world, lambda *_: None, tick=15.0, tags={"vip": 5})
    run.until(400)
    log.entries.clear()
    run.tags = {"premium": 5}
    run.until(24 * 60 * MINUTES)
    (line,) = bad_lines(log)
    assert "tag 'vip' is now called 'premium'" in str(line["what"])
    assert line["hint"]
