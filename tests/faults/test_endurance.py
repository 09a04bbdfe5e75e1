"""200 rounds of calls that fail, each in another way: nothing is left behind by any of them."""

import contextlib
import time
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.faults import proxy
from tests.faults.bench import (
    ILL,
    MOMENT,
    Bench,
    Daemon,
    Row,
    all_good,
    complaints,
    reports,
)
from tests.faults.conftest import Matrix
from tests.faults.fault import in_every_row
from tests.support import eventually

ROUNDS: Final = 200
_CALLS: Final = 5
"""The mailbox list and the account's four reports."""
_ROUND_SECONDS: Final = 0.5


def threads(daemon: Daemon) -> int:
    """Return how many threads a daemon has."""
    return len(list(Path(f"/proc/{daemon.pid}/task").iterdir()))


def files(daemon: Daemon) -> list[str]:
    """Return what a daemon has open."""
    found = []
    for entry in Path(f"/proc/{daemon.pid}/fd").iterdir():
        try:
            found.append(str(entry.readlink()).split("[")[0])
        except FileNotFoundError:
            continue
    return sorted(found)


def resident_bytes(daemon: Daemon) -> int:
    """Return how much memory a daemon takes."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def called(bench: Bench, number: int) -> bool:
    """Return whether so many calls have arrived."""
    return len(bench.proxy.calls) >= number


def play_rounds(bench: Bench) -> None:
    """A reload that asks for other reports has everything asked at once: that is a round."""
    settings = bench.settings()
    settings["accounts"][0]["timeout"] = "500ms"
    daemon = bench.serve(settings)
    daemon.until(all_good, "a whole round")
    daemon.reload()  # which has a thread of its own from its first time on
    before = {"threads": threads(daemon), "files": len(files(daemon))}
    began, lines = time.monotonic(), len(daemon.log())
    bench.proxy.inject(
        proxy.by_turns(
            *(proxy.reset_before_answer, proxy.reset_in_body, proxy.cut, proxy.hang_up) * 5,
            proxy.garble,
            proxy.stall,
            proxy.stall_in_body,
        )
    )
    grown = 0
    first = len(bench.proxy.calls)
    rounds = 0
    while rounds < ROUNDS or len(bench.proxy.calls) < first + ROUNDS * _CALLS:
        asked = len(bench.proxy.calls)
        bench.write(settings | {"compare": rounds % 2 == 0})
        daemon.reload()
        with contextlib.suppress(AssertionError):  # some of them are still waiting for an answer
            eventually(partial(called, bench, asked + _CALLS), "a round's calls", _ROUND_SECONDS)
        rounds += 1
        if rounds == ROUNDS // 4:
            grown = resident_bytes(daemon)
    # The pool that makes bodies grows as scrapes overlap, up to its bound; a leak is 200.
    assert threads(daemon) <= before["threads"] + 6
    # Afterwards as many connections as may be in use at once, and what scrapes it.
    went = time.time()
    bench.heal()
    bench.write(settings)
    daemon.reload()
    daemon.until(
        lambda m: all_good(m) and min(reports(m, MOMENT, account=ILL).values()) > went,
        "that all is good again",
    )
    # The pool that makes bodies grows as scrapes overlap, up to its bound; a leak is 200.
    assert threads(daemon) <= before["threads"] + 6
    assert len(files(daemon)) <= before["files"] + 4, files(daemon)
    assert bench.proxy.open_connections <= 4
    assert resident_bytes(daemon) < grown + 10_000_000
    in_every_row(bench, daemon, lambda report: report[0] != ILL, began)
    assert complaints(daemon.log(lines))["reports fail"] <= 2
    assert complaints(daemon.log(lines))["account does not answer"] == 1
    assert daemon.end() == 0


ROWS: Final = [Row("200 rounds of calls that fail", play_rounds, 80)]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_no_thread_and_no_connection_is_left_behind(row: Row, matrix: Matrix) -> None:
    matrix.outcome(row)
