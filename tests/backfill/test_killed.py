"""kill -9 at any moment: the file is that of an undisturbed run, and nothing is asked twice."""

import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from exporter.simulator import Faults
from tests.backfill.conftest import SMALL, Filling, environ
from tests.support import Process, eventually, get
from tests.system.conftest import Start

pytestmark = pytest.mark.timeout(300)

KILLS = 10
REPORTS = 4 * (8 * 24 + 1)
CONCURRENCY = 4
WRITING_TRIES = 10


def answers(kept: Path, folder: Path) -> int:
    """Return how many answers a dead process has left behind."""
    folder.mkdir(exist_ok=True)
    for name in (kept.name, f"{kept.name}-wal"):
        if kept.with_name(name).exists():
            shutil.copy(kept.with_name(name), folder / name)
    if not (folder / kept.name).exists():
        return 0
    database = sqlite3.connect(folder / kept.name)
    try:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        if "answers" not in tables:
            return 0
        return int(database.execute("SELECT count(*) FROM answers").fetchone()[0])
    finally:
        database.close()


def killed_while_it_writes(fill: Callable[[], Process], output: Path) -> None:
    """Kill a run that has asked everything: half a file never has the name of a whole one."""
    for _ in range(WRITING_TRIES):
        process = fill()
        while process.running and not list(output.parent.glob(f".{output.name}.*")):
            time.sleep(0.001)
        process.signal(signal.SIGKILL)
        process.wait()
        for part in output.parent.glob(f".{output.name}.*"):
            part.unlink()
            assert not output.exists()
            return
        output.unlink()  # it was quicker
    raise AssertionError("no run was killed while it wrote")


def test_killed_at_eleven_moments_and_resumed_the_file_is_that_of_an_undisturbed_run(
    filling: Filling, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "killed.yml").write_text(SMALL)
    output = tmp_path / "killed.om"

    def fill() -> Process:
        return start(
            *("backfill", "--config", str(tmp_path / "killed.yml"), "--output", str(output)),
            *("--from", "2026-03-01", "--to", "2026-03-09", "--step", "1h", "--budget", "1"),
            *("--label", "job=helpscout"),
            environ=environ(filling.simulator),
        )

    # Slow enough for every kill to fall into the asking; the last run is quick.
    filling.simulator.set_faults(Faults(latency=0.01))
    chance = Random(20261101)
    lost = 0
    for number in range(KILLS):
        before = filling.reports_asked()
        target = before + chance.randrange(0, 2 * REPORTS // (3 * KILLS))
        process = fill()
        eventually(
            lambda p=process, t=target, n=number: (  # type: ignore[misc]
                filling.reports_asked() > t or (n == 0 and p.running) or not p.running
            ),
            "the moment to kill it",
        )
        process.signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        get(f"{filling.simulator.url}/_stats")  # what had reached the service before is counted
        kept = answers(output.with_name("killed.om.journal"), tmp_path / f"kill-{number}")
        # Nothing but what was on its way when it died may be missing.
        now_lost = filling.reports_asked() - kept
        assert lost <= now_lost <= lost + CONCURRENCY
        lost = now_lost
    assert 0 < kept < REPORTS
    assert not output.exists()
    filling.simulator.set_faults(Faults())
    killed_while_it_writes(fill, output)
    last = fill()
    assert last.wait() == 0, last.stderr
    assert filling.reports_asked() == REPORTS + lost

    error = filling.run(
        "2026-03-01", "2026-03-09", step=timedelta(hours=1), labels=("job=helpscout",)
    )
    assert error is None
    assert output.read_bytes() == filling.output.read_bytes()
