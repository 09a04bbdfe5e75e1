"""Faults of the state file, its disk and the process that writes it: what a restart brings back."""

import contextlib
import os
import re
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults import proxy
from tests.faults.bench import (
    FIGURE,
    ILL,
    MOMENT,
    SUCCESS,
    WINDOWS,
    Bench,
    Daemon,
    Row,
    all_good,
    assert_nothing_leaked,
    problems,
    reports,
    rows_of,
)
from tests.faults.conftest import Matrix
from tests.faults.fault import in_every_row
from tests.support import EXPORTER, Metrics, eventually, get

CANNOT: Final = "state file cannot be used, going on without it"
WORKS: Final = "state file works again"
_DISK_BYTES: Final = 512 * 1024


def remembering(bench: Bench, file: Path, **changes: Any) -> dict[str, Any]:
    """Return a configuration with a state file."""
    return bench.settings(state_file=str(file), **changes)


def only_ill(bench: Bench, file: Path) -> dict[str, Any]:
    """Return one with the account alone that can be cut off."""
    settings = remembering(bench, file)
    return settings | {"accounts": settings["accounts"][:1]}


def written(file: Path, since: float, number: int) -> None:
    """Wait until so many reports that are newer than `since` are in the file."""

    def look() -> bool:
        with contextlib.closing(sqlite3.connect(file, timeout=5)) as database:
            query = "SELECT count(*) FROM reports WHERE succeeded_at > ?"
            return int(database.execute(query, (since,)).fetchone()[0]) == number

    eventually(look, "the reports in the state file")


def succeeded_at(file: Path) -> set[float]:
    """Return the moments of the reports in the file."""
    with contextlib.closing(sqlite3.connect(file, timeout=5)) as database:
        return {row[0] for row in database.execute("SELECT succeeded_at FROM reports")}


def of_state(daemon: Daemon) -> list[str]:
    """Return what the log said of the state file."""
    return [line["event"] for line in daemon.log() if "state_file" in line]


def state_file_ok(daemon: Daemon) -> float:
    """Return what the exporter says of its state file."""
    metrics = Metrics.of_text(get(f"{daemon.url}/metrics").text)
    return metrics.value("helpscout_exporter_state_file_ok")


def exported(daemon: Daemon) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every series about Help Scout, without those that say how the account is."""
    whole = Metrics.of_text(get(f"{daemon.url}/metrics").text).by_series()
    own = (
        "helpscout_exporter_",
        "helpscout_up",
        "helpscout_collector_up",
        "helpscout_account_problem",
        SUCCESS,
    )
    return {
        series: value
        for series, value in whole.items()
        if series[0].startswith("helpscout_") and not series[0].startswith(own)
    }


# --- kill -9 ------------------------------------------------------------------------------------


def killed(bench: Bench) -> Path:
    """Let a daemon with one account work, kill it, and cut Help Scout off; return its file."""
    file = bench.folder / "state.db"
    daemon = bench.serve(only_ill(bench, file))
    daemon.until(lambda m: all_good(m, 4), "a whole round")
    written(file, 0, 4)
    daemon.kill()
    bench.proxy.refuse()
    return file


def aged(file: Path, seconds: float, windows: tuple[str, ...] = WINDOWS) -> None:
    """Make reports in a state file older."""
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        for window in windows:
            database.execute(
                'UPDATE reports SET succeeded_at = ? WHERE "window" = ?',
                (time.time() - seconds, window),
            )


def play_killed(bench: Bench) -> None:
    file = bench.folder / "state.db"
    first = bench.serve(only_ill(bench, file))
    first.until(lambda m: all_good(m, 4), "a whole round")
    # What it shows is what the file holds, once nothing new arrives.
    bench.proxy.inject(proxy.hang_up)
    last = first.until(lambda m: not any(reports(m, SUCCESS).values()), "that every report fails")
    latest = set(reports(last, MOMENT).values())
    eventually(lambda: succeeded_at(file) == latest, "that the last report is written")
    assert rows_of(file) == 4
    before = exported(first)
    first.kill()
    bench.proxy.inject(proxy.stall)  # so that no report has failed when it is first scraped

    second = bench.serve(only_ill(bench, file))
    assert exported(second) == before
    assert state_file_ok(second) == 1
    shown = second.watch.seen[0].metrics
    assert len(reports(shown, FIGURE)) == 4
    assert set(reports(shown, SUCCESS).values()) == {1}
    began = time.monotonic()
    bench.proxy.refuse()
    down = second.until(
        lambda m: not any(reports(m, SUCCESS).values()), "that no report arrives any more"
    )
    assert down.value("helpscout_up", account=ILL) == 0
    assert problems(down) == {"unreachable"}
    assert reports(down, FIGURE) == reports(shown, FIGURE)
    went = time.time()
    bench.heal()
    second.until(
        lambda m: all_good(m, 4) and min(reports(m, MOMENT).values()) > went, "that all is good"
    )
    in_every_row(bench, second, None, began)
    assert of_state(second) == []
    assert second.end() == 0


def play_too_old(bench: Bench) -> None:
    file = killed(bench)
    daemon = bench.serve(only_ill(bench, file), just_before=lambda: aged(file, 700, WINDOWS[:1]))
    shown = daemon.watch.seen[0].metrics
    assert {report[2] for report in reports(shown, FIGURE)} == {WINDOWS[1]}
    assert {report[2] for report in reports(shown, MOMENT)} == {WINDOWS[1]}
    bench.heal()
    daemon.until(lambda m: all_good(m, 4), "that all is good")
    for seen in daemon.watch.seen:
        good = {report for report, value in reports(seen.metrics, SUCCESS).items() if value}
        assert reports(seen.metrics, FIGURE).keys() == reports(seen.metrics, MOMENT).keys()
        assert good <= reports(seen.metrics, FIGURE).keys()
    assert daemon.end() == 0


def play_expires(bench: Bench) -> None:
    """What is restored grows old like anything else: 10 minutes after its success."""
    file = killed(bench)
    daemon = bench.serve(only_ill(bench, file), just_before=lambda: aged(file, 575))
    shown = daemon.watch.seen[0].metrics
    assert len(reports(shown, FIGURE)) == 4
    gone = daemon.until(lambda m: not m.named(FIGURE), "that the figures vanish")
    assert reports(gone, MOMENT) == reports(shown, MOMENT)
    assert set(reports(gone, SUCCESS).values()) == {0}
    assert len(gone.named("helpscout_mailbox_info")) == 2
    oldest = max(daemon.watch.seen[-1].ages.values())
    assert 600 < oldest < 615
    bench.heal()
    daemon.until(lambda m: all_good(m, 4) and len(reports(m, FIGURE)) == 4, "that all is good")
    assert daemon.end() == 0


# --- the disk -----------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Return a folder on a disk of its own that is soon full, None where none can be mounted."""
    folder.mkdir()
    options = f"size={_DISK_BYTES},mode=0777"
    mounted = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)), capture_output=True
    )
    try:
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(("umount", "--lazy", str(folder)), check=True)


class Disk:
    """A disk that can be filled and freed: a small one, else by a limit on the daemon's files."""

    def __init__(self, bench: Bench) -> None:
        folder = bench.stack.enter_context(small_disk(bench.folder / "disk"))
        self._ballast = None if folder is None else folder / "ballast"
        self.file = (folder or bench.folder) / "state.db"

    def fill(self, daemon: Daemon) -> None:
        """Leave no room for another byte."""
        if self._ballast is None:
            size = sum(path.stat().st_size for path in self.file.parent.glob("state.db*"))
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            return
        with self._ballast.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(512))

    def free(self, daemon: Daemon) -> None:
        """Make room again."""
        if self._ballast is None:
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, unlimited)
            return
        self._ballast.unlink()


def play_full(bench: Bench) -> None:
    disk = Disk(bench)
    daemon = bench.serve(remembering(bench, disk.file))
    daemon.until(all_good, "a whole round")
    written(disk.file, 0, 8)
    began, came = time.monotonic(), time.time()
    disk.fill(daemon)
    eventually(lambda: of_state(daemon), "that the disk is full")
    daemon.until(lambda m: min(reports(m, MOMENT).values()) > came, "a round on a full disk")
    assert of_state(daemon) == [CANNOT]
    eventually(lambda: state_file_ok(daemon) == 0, "that the metrics say so")
    went = time.time()
    disk.free(daemon)
    eventually(lambda: WORKS in of_state(daemon), "that there is room again")
    written(disk.file, went, 8)
    in_every_row(bench, daemon, lambda _report: True, began)
    assert of_state(daemon) == [CANNOT, WORKS]
    daemon.kill()
    again = bench.serve(remembering(bench, disk.file))
    assert len(reports(again.watch.seen[0].metrics, FIGURE)) == 8
    assert again.end() == 0


# --- the file -----------------------------------------------------------------------------------


def unusable(make: Callable[[Path], tuple[str, ...]], words: str) -> Callable[[Bench], None]:
    """Return what plays a state file that is of no use; `make` makes it, and says how to start."""

    def play(bench: Bench) -> None:
        file = bench.folder / "state.db"
        command = make(file)
        before = file.read_bytes() if file.is_file() else b""
        daemon = bench.serve(remembering(bench, file), command=command)
        daemon.until(all_good, "a whole round")
        began, came = time.monotonic(), time.time()
        daemon.until(lambda m: min(reports(m, MOMENT).values()) > came, "another round")
        told = [line for line in daemon.log() if "state_file" in line]
        assert [line["event"] for line in told] == [CANNOT]
        assert re.search(words, told[0]["error"])
        in_every_row(bench, daemon, lambda _report: True, began)
        assert state_file_ok(daemon) == 0
        assert daemon.end() == 0
        assert (file.read_bytes() if file.is_file() else b"") == before

    return play


def damaged(file: Path) -> tuple[str, ...]:
    """Something that is not a database at all."""
    file.write_bytes(b"not a database" * 1000)
    return EXPORTER


def foreign(file: Path) -> tuple[str, ...]:
    """Another program's database."""
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE reports (title TEXT)")
    return EXPORTER


def newer(file: Path) -> tuple[str, ...]:
    """What an exporter of the future has written."""
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE reports (title TEXT)")
        database.execute(f"PRAGMA application_id = {0x48535845}")
        database.execute("PRAGMA user_version = 99")
    return EXPORTER


def directory(file: Path) -> tuple[str, ...]:
    """A folder where the file should be."""
    file.mkdir()
    return EXPORTER


def read_only(file: Path) -> tuple[str, ...]:
    """A file that may be read but not written, not even by root."""
    with contextlib.closing(sqlite3.connect(file)):
        file.touch()
    file.chmod(0o444)
    if os.geteuid() != 0:
        return EXPORTER
    return ("setpriv", "--bounding-set=-dac_override", *EXPORTER)


def play_damaged_inside(bench: Bench) -> None:
    """The beginning is good, the reports in it are not."""
    file = bench.folder / "state.db"
    first = bench.serve(remembering(bench, file))
    first.until(all_good, "a whole round")
    written(file, 0, 8)
    assert first.end() == 0
    content = bytearray(file.read_bytes())
    content[4096:] = bytes(os.urandom(len(content) - 4096))
    file.write_bytes(content)
    daemon = bench.serve(remembering(bench, file))
    daemon.until(all_good, "a whole round")
    began, came = time.monotonic(), time.time()
    daemon.until(lambda m: min(reports(m, MOMENT).values()) > came, "another round")
    in_every_row(bench, daemon, lambda _report: True, began)
    assert of_state(daemon) == [CANNOT]
    assert daemon.end() == 0


def play_ended_in_a_stall(bench: Bench) -> None:
    """SIGTERM while nobody answers: what is in flight gets ten seconds, then that is that."""
    file = bench.folder / "state.db"
    daemon = bench.serve(remembering(bench, file))
    daemon.until(all_good, "a whole round")
    number = len(bench.proxy.calls)
    bench.proxy.inject(proxy.stall)
    daemon.reload()
    eventually(lambda: len(bench.proxy.calls) > number, "a call that stalls")
    daemon.watch.stop()
    began = time.monotonic()
    daemon.process.signal(signal.SIGTERM)
    assert daemon.process.wait() == 0
    assert 9 < time.monotonic() - began < 20
    last = daemon.log()[-1]
    assert (last["event"], last["in_flight_ended"]) == ("stopped", False)
    assert rows_of(file) == 8
    assert_nothing_leaked(bench, daemon)


ROWS: Final = [
    Row("kill -9, and a restart while Help Scout is down", play_killed, 40),
    Row("reports that grew too old while nothing ran are not shown", play_too_old),
    Row("reports that grow too old while Help Scout is down vanish", play_expires, 60),
    Row("a full disk under the state file", play_full, 40),
    Row("a state file that is none", unusable(damaged, "not a database")),
    Row("a state file that is damaged inside", play_damaged_inside, 30),
    Row(
        "a state file of another program", unusable(foreign, "is not a state file of this exporter")
    ),
    Row(
        "a state file of a newer exporter",
        unusable(newer, "has format version 99, this exporter knows versions 1 to [1-9]"),
    ),
    Row("a folder where the state file should be", unusable(directory, "unable to open")),
    Row("a state file that may not be written", unusable(read_only, "readonly|unable to open")),
    Row("SIGTERM while nobody answers", play_ended_in_a_stall),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_is_remembered_is_used_and_what_cannot_be_is_gone_without(
    row: Row, matrix: Matrix
) -> None:
    matrix.outcome(row)
