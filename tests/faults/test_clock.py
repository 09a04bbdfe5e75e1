"""A clock that is set: the wall's jumps, the monotonic one does not, as when a machine is set."""

import subprocess
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.faults.bench import (
    CALLS,
    FIGURE,
    ILL,
    MOMENT,
    SUCCESS,
    WELL,
    Bench,
    Daemon,
    Row,
    all_good,
    assert_nothing_leaked,
    assert_scrapes_were_quick,
    complaints,
    good_news,
    problems,
    reports,
    total,
)
from tests.faults.conftest import Matrix
from tests.support import PROGRAM, Metrics, eventually, need

_HOUR: Final = 3600.0
_WRONG: Final = "this machine's clock differs from Help Scout's: windows end at the wrong time"
_RIGHT: Final = "this machine's clock is right again"


def fake_clock(offset: Path) -> dict[str, str]:
    """Return the variables that make a program's wall clock wrong by what a file says."""
    printed = subprocess.run(
        (need("faketime"), "-f", "+0", "printenv", "LD_PRELOAD"),
        check=True,
        capture_output=True,
        text=True,
    )
    return {
        "LD_PRELOAD": printed.stdout.strip(),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def refreshed_at(metrics: Metrics, offset: float, since: float) -> bool:
    """Whether every report is newer than `since`, by a clock that is wrong by `offset`."""
    moments = reports(metrics, MOMENT).values()
    return all_good(metrics) and all(
        since + offset < moment < time.time() + offset + 5 for moment in moments
    )


def says(daemon: Daemon, event: str) -> bool:
    """Return whether the log has said this of both accounts."""
    return {line.get("account") for line in daemon.log() if line["event"] == event} == {ILL, WELL}


def play_clock(first: float, bench: Bench) -> None:
    """Set the clock wrong, then right again."""
    offset = bench.folder / "offset"
    offset.write_text("+0\n")
    settings = bench.settings(state_file=str(bench.folder / "state.db"))
    # A library that is loaded before all others needs a start of its own.
    daemon = bench.serve(settings, command=PROGRAM, variables=fake_clock(offset))
    daemon.until(all_good, "a whole round")
    began, lines = time.monotonic(), len(daemon.log())
    calls = sum(call.endpoint == "report" for call in bench.proxy.calls)
    for hours in (first, 0.0):
        offset.write_text(f"{hours * _HOUR:+.0f}\n")
        came = time.time()
        now = daemon.until(
            partial(refreshed_at, offset=hours * _HOUR, since=came), f"a round at {hours:+.0f} h"
        )
        assert problems(now) == set()
        daemon.reload()  # the list of mailboxes tells what Help Scout's clock says
        told = _WRONG if hours else _RIGHT
        eventually(partial(says, daemon, told), f"what the log says of {hours:+.0f} h")
    ends = [call.query["end"] for call in bench.proxy.calls if call.endpoint == "report"]
    assert abs(_unix(ends[-1]) - time.time()) < 60
    # In step with the monotonic clock: neither in a burst nor not at all, and with one token.
    turns = (time.monotonic() - began) / 10 + 1
    assert len(ends) - calls <= 4 * (turns + 1)
    assert total(now, CALLS, account=ILL, operation="token") == 1
    for seen in daemon.watch.seen:
        if seen.at >= began:
            assert len(reports(seen.metrics, FIGURE)) == 8
            assert set(reports(seen.metrics, SUCCESS).values()) == {1}
    assert_scrapes_were_quick(bench, daemon, began)
    assert_nothing_leaked(bench, daemon)
    assert complaints(daemon.log(lines)) == {_WRONG: 1}
    assert good_news(daemon.log(lines)) == {_RIGHT: 1}
    assert daemon.end() == 0


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


ROWS: Final = [
    Row("the clock set forth by an hour, and back", partial(play_clock, 1.0), 30),
    Row("the clock set back by an hour, and forth", partial(play_clock, -1.0), 30),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_setting_the_clock_does_not_lose_or_hurry_a_report(row: Row, matrix: Matrix) -> None:
    matrix.outcome(row)
