"""Plays the rows of the matrix, many at once: most of what they do is waiting.

Each row has a bench to itself. A row that is asked for its outcome has usually been played by then.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.faults.bench import Bench, Row, bench, yardstick
from tests.faults.proxy import Wire

_STARTED_A_SECOND: Final = 5.5
"""Rows at once for each exporter that a processor could start in a second: 18 in all if quick."""


def _at_once() -> int:
    """Return how many rows this machine plays at once so that none waits for a processor."""
    start = [sys.executable, "-c", "import exporter.cli.app, exporter.daemon"]
    took = []
    for _ in range(2):  # the first one may compile what it imports
        began = time.monotonic()
        subprocess.run(start, check=True)
        took.append(time.monotonic() - began)
    return min(24, max(4, int(_STARTED_A_SECOND * (os.cpu_count() or 1) / min(took))))


class Matrix:
    """The rows of this test run, being played."""

    def __init__(self, rows: list[Row], folder: Path) -> None:
        self._folder = folder
        self._wire = Wire()
        self._stack = contextlib.ExitStack()
        beside = folder / "yardstick"
        beside.mkdir()
        self._yardstick = self._stack.enter_context(yardstick(beside))
        self._benches: list[Bench] = []
        self._ending = False
        self._pool = ThreadPoolExecutor(_at_once(), "row")
        slow_first = sorted(range(len(rows)), key=lambda number: -rows[number].seconds)
        self._outcomes: dict[str, Future[None]] = {
            rows[number].name: self._pool.submit(self._play, number, rows[number])
            for number in slow_first
        }

    def outcome(self, row: Row) -> None:
        """Wait until a row has been played; raise what it raised."""
        self._outcomes[row.name].result()

    def close(self) -> None:
        """End everything, also what is still being played."""
        self._ending = True
        for place in list(self._benches):
            place.close()
        self._pool.shutdown(cancel_futures=True)
        self._stack.close()
        self._wire.close()

    def _play(self, number: int, row: Row) -> None:
        own = self._folder / f"row-{number}"
        own.mkdir()
        with bench(own, self._wire, self._yardstick) as place:
            self._benches.append(place)
            assert not self._ending
            row.play(place)


@pytest.fixture(scope="session")
def matrix(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Matrix]:
    """Begin to play the rows that were selected."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    rows = [call.params["row"] for call in calls if call is not None and "row" in call.params]
    found = Matrix([row for row in rows if isinstance(row, Row)], tmp_path_factory.mktemp("matrix"))
    try:
        yield found
    finally:
        found.close()
