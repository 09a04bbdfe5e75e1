"""A season of history in a real Prometheus that scrapes the same exporter, made once for all."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
import structlog

from exporter.backfill import BackfillError, backfill, task
from exporter.settings import Configuration, load
from exporter.simulator import Simulator, SimulatorOptions
from tests.servers import Prometheus, prometheus, promtool
from tests.support import VERSIONS
from tests.system.conftest import Start, address, start, start_once

__all__ = ["start", "start_once"]

LIMIT = 6_000_000
"""A rate limit that nobody reaches."""
DAYS = 90
KEYS = 4 * 3 * 2
CONFIG = """
mailboxes: {all: false}
types: [email, chat, phone]
windows: [24h, 7d]
sla:
  - {name: first-reply-1h, statistic: first_response_time, target: 1h, objective: 0.9}
"""
SMALL = "mailboxes: {all: false}\ntypes: [all]\nwindows: [24h, 7d]\n"


def environ(simulator: Simulator) -> dict[str, str]:
    """Return the variables that point an exporter at a simulator."""
    return {
        "HELPSCOUT_BASE_URL": f"{simulator.url}/v2",
        "HELPSCOUT_CLIENT_ID": "demo-1",
        "HELPSCOUT_CLIENT_SECRET": "secret-1",
        "HELPSCOUT_WEB__LISTEN": "127.0.0.1:0",
    }


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """A command run in this process leaves its logs as it configured them: undo that."""
    yield
    structlog.reset_defaults()


@dataclass(frozen=True, slots=True)
class Point:
    """A line of the file: a series, its value as written, Unix seconds.

    Read here and not by the client library's parser: of several points of a histogram it keeps all
    buckets of the first and one of each other.
    """

    series: str
    value: str
    at: int

    @classmethod
    def of(cls, line: str) -> "Point":
        series, value, at = line.rsplit(" ", 2)
        return cls(series, value, int(at))

    @property
    def name(self) -> str:
        """The name alone."""
        return self.series.partition("{")[0]

    @property
    def labels(self) -> dict[str, str]:
        """The labels, as they are without escapes."""
        pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', self.series)
        return {key: _unescaped(text) for key, text in pairs}


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda escaped: {"n": "\n"}.get(escaped[1], escaped[1]), text)


@dataclass(slots=True)
class Filling:
    """A simulator and a configuration to fill the past from, in this process."""

    simulator: Simulator
    folder: Path
    config: str = SMALL
    variables: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.folder / "helpscout.om"

    @property
    def configuration(self) -> Configuration:
        """The configuration, read from a file as ever."""
        path = self.folder / "config.yml"
        path.write_text(self.config)
        return load(path, environ(self.simulator) | self.variables)

    def run(
        self,
        start: str,
        end: str,
        step: timedelta | None = timedelta(days=1),
        labels: tuple[str, ...] = (),
        dry_run: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> BackfillError | None:
        """Fill the past; return what it ended with, None where all is well."""
        first, last = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end))
        self.said.clear()
        self.pauses.clear()

        def pause(seconds: float) -> bool:
            self.pauses.append(seconds)
            return False

        try:
            wanted = task(first, last, step, labels, 1.0, self.output, dry_run)
            backfill(self.configuration, wanted, self.said.append, now=now, pause=pause)
        except BackfillError as error:
            return error
        return None

    def reports_asked(self, status: int = 200) -> int:
        """Return how many report calls the simulator has answered with this status."""
        calls = self.simulator.stats()["accounts"].get("1", {}).get("calls", {})
        return int(calls.get("report", {}).get(str(status), 0))

    def points(self, name: str = "", **labels: str) -> list[Point]:
        """Return the samples in the output with this name (any) and (at least) these labels."""
        lines = self.output.read_text().split("\n")
        found = [Point.of(line) for line in lines if line.startswith(name or "helpscout_")]
        return [p for p in found if not labels or labels.items() <= p.labels.items()]


def simulating(options: SimulatorOptions) -> Iterator[Simulator]:
    simulator = Simulator(options)
    simulator.start()
    try:
        yield simulator
    finally:
        simulator.stop()


@pytest.fixture
def filling(tmp_path: Path) -> Iterator[Filling]:
    """A small help desk of two mailboxes: two windows, so four reports a step."""
    for simulator in simulating(SimulatorOptions(mailboxes=2, rate_limit=LIMIT)):
        yield Filling(simulator, tmp_path)


# --- the season ---------------------------------------------------------------------------------

SERVED: Final = [(maker, server) for maker in VERSIONS for server in VERSIONS]
"""Which promtool made the blocks, and which Prometheus serves them."""


@dataclass(frozen=True, slots=True)
class Season:
    """90 days of 4 mailboxes, 3 types and 2 windows: the file, its blocks, the servers of them."""

    filling: Filling
    first: datetime
    last: datetime
    labels: dict[str, str]
    servers: dict[tuple[str, str], Prometheus]
    promtool: dict[str, str]
    """What each promtool said of the blocks that it made."""

    @property
    def steps(self) -> list[int]:
        """The steps, Unix seconds."""
        first, last = int(self.first.timestamp()), int(self.last.timestamp())
        return list(range(first, last + 1, 86_400))


@pytest.fixture(scope="module")
def season(start_once: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Season]:
    """Live first, then the past beside it: the blocks are moved into the running servers."""
    folder = tmp_path_factory.mktemp("season")
    for simulator in simulating(SimulatorOptions(mailboxes=4, rate_limit=LIMIT)):
        filling = Filling(simulator, folder, CONFIG)
        config = folder / "live.yml"
        config.write_text(CONFIG)
        live = address(start_once("serve", "--config", str(config), environ=environ(simulator)))
        target = live.removeprefix("http://")
        scrape = (
            "global: {scrape_interval: 5s}\nscrape_configs:\n  - job_name: helpscout\n"
            f'    static_configs: [{{targets: ["{target}"]}}]\n'
        )
        folders = {pair: folder / "-".join(pair) for pair in SERVED}
        retention = "--storage.tsdb.retention.time=1y"
        servers = {
            pair: prometheus(start_once, own, scrape, retention, version=pair[1])
            for pair, own in folders.items()
        }
        labels = {"instance": target, "job": "helpscout"}
        now = datetime.now(UTC).replace(microsecond=0)
        midnight = now.replace(hour=0, minute=0, second=0)
        first = midnight - timedelta(days=DAYS - 1)
        assert (
            filling.run(
                first.replace(tzinfo=None).isoformat(),
                now.replace(tzinfo=None).isoformat(),
                labels=tuple(f"{name}={value}" for name, value in labels.items()),
            )
            is None
        )
        made = {version: _blocks(filling, version) for version in VERSIONS}
        for (maker, _), own in folders.items():
            for block in (folder / f"blocks-{maker}").iterdir():
                shutil.copytree(block, own / block.name)
                (own / block.name).rename(own / "data" / block.name)  # at once, or half is found
        yield Season(filling, first, midnight, labels, servers, made)


def _blocks(filling: Filling, version: str) -> str:
    """Make blocks of a file; return what promtool said of them."""
    code, said = promtool(
        *("tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=744h"),
        *(filling.output, filling.folder / f"blocks-{version}"),
        version=version,
    )
    assert code == 0, said
    return said
