"""What a row of the matrix works with: a simulator, a proxy before one account, daemons, a watch.

Every daemon of a row polls two accounts: `ill` through the row's proxy, where the faults are, and
`well` beside it, to which nothing is ever done. A watch scrapes the daemon all the time and keeps
what it saw, so that "never" can be asserted and not only "not at the moment I looked".
"""

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import yaml

from exporter.simulator import Simulator, SimulatorOptions, parse_faults
from tests.faults.proxy import Proxy, Wire
from tests.support import EXPORTER, Metrics, Process, Sample, environment, eventually, get

ILL: Final = "ill"
WELL: Final = "well"
MAILBOX: Final = 1001
"""The mailbox of `ill` that faults of one mailbox befall."""
NEIGHBOUR: Final = 1002
WINDOWS: Final = ("24h", "2d")
EVERY_SECONDS: Final = 10.0
"""How often each report is asked: as often as the settings allow."""
PATIENCE: Final = "20s"
"""The time-out of calls where a row is not about it: a busy machine must not look like a fault."""

SUCCESS: Final = "helpscout_report_success"
MOMENT: Final = "helpscout_report_last_success_timestamp_seconds"
FIGURE: Final = "helpscout_conversations"
CALLS: Final = "helpscout_exporter_api_requests_total"
RETRIES: Final = "helpscout_exporter_api_retries_total"

_WATCHED: Final = (
    "# TYPE",
    "helpscout_up",
    "helpscout_account_problem",
    "helpscout_mailbox_info",
    SUCCESS,
    MOMENT,
    f"{FIGURE}{{",
    CALLS,
    RETRIES,
    "helpscout_exporter_throttled_total",
)

SCRAPE_SECONDS: Final = 0.1
"""What a scrape takes at most, 19 out of 20 times: the machine has other things to do, too."""
_WORST_SCRAPE_SECONDS: Final = 1.0
_SCRAPE_EVERY_SECONDS: Final = 0.25
_AGE_SECONDS: Final = 1.5 * EVERY_SECONDS + 10
"""A report may skip half a turn; the rest is slack for a loaded machine."""
_WAIT_SECONDS: Final = 40.0
_LOG_LINES: Final = 30
_starting: Final = threading.Semaphore(2)
"""Starting a program is the one thing here that needs a processor for itself."""

Key = tuple[str, str, str]
"""Account, mailbox id, window."""


def key(sample: Sample) -> Key:
    """Return which report a sample belongs to."""
    return sample.labels["account"], sample.labels["mailbox_id"], sample.labels["window"]


def reports(metrics: Metrics, name: str, **labels: str) -> dict[Key, float]:
    """Return one value per report."""
    return {key(sample): sample.value for sample in metrics.named(name, **labels)}


def total(metrics: Metrics, name: str, **labels: str) -> float:
    """Return the sum of everything with this name and these labels."""
    return sum(sample.value for sample in metrics.named(name, **labels))


@dataclass(frozen=True, slots=True)
class Seen:
    """What the watch noted of one scrape. `at` is monotonic seconds, ages are in seconds."""

    at: float
    metrics: Metrics
    ages: dict[Key, float]
    """Since each report's last success, by the machine's clock."""


class Watch:
    """Scrapes one daemon until stopped, as Prometheus would, only more often.

    What is kept are the families that rows look at, each time that something has changed.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.durations: list[tuple[float, float]] = []
        """When each scrape began, in monotonic seconds, and how many seconds it took."""
        self.seen: list[Seen] = []
        self.failures: list[str] = []
        self._thread.start()

    def stop(self) -> None:
        """End it; nothing is noted any more."""
        self._stopping.set()
        self._thread.join(15)
        self._connection.close()

    def _run(self) -> None:
        before = ""
        while not self._stopping.wait(_SCRAPE_EVERY_SECONDS):
            began = time.monotonic()
            try:
                self._connection.request("GET", "/metrics")
                answer = self._connection.getresponse()
                body = answer.read().decode()
            except (OSError, http.client.HTTPException) as error:
                if not self._stopping.is_set():
                    self.failures.append(repr(error))
                self._connection.close()
                continue
            self.durations.append((began, time.monotonic() - began))
            if answer.status != 200:
                self.failures.append(f"{answer.status} {body[:200]}")
                continue
            lines = "\n".join(line for line in body.splitlines() if line.startswith(_WATCHED))
            if lines != before:
                before = lines
                metrics, now = Metrics.of_text(f"{lines}\n"), time.time()
                ages = {report: now - at for report, at in reports(metrics, MOMENT).items()}
                self.seen.append(Seen(began, metrics, ages))


class Daemon:
    """A running exporter that is watched."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.url = process.says(r'"url": "(http://[^"]+)"')
        self.watch = Watch(self.url)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def until(
        self, look: Callable[[Metrics], object], what: str, seconds: float = _WAIT_SECONDS
    ) -> Metrics:
        """Return the first scrape, from the last one on, that fulfils `look`; else fail with it."""
        seen, looked = self.watch.seen, max(len(self.watch.seen) - 1, 0)

        def once() -> Metrics | None:
            nonlocal looked
            while looked < len(seen):
                looked += 1
                if look(seen[looked - 1].metrics):
                    return seen[looked - 1].metrics
            return None

        try:
            return eventually(once, what, seconds)
        except AssertionError as error:
            samples = self.watch.seen[-1].metrics.samples if self.watch.seen else []
            lines = (f"{s.name}{dict(s.labels)} {s.value}" for s in samples)
            log = self.process.stderr.splitlines()[-_LOG_LINES:]
            raise AssertionError("\n".join([str(error), *lines, *log])) from None

    def reload(self) -> None:
        """Have it read its configuration, which also makes it list the mailboxes at once."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(f"{self.url}/-/reload", timeout=10)
        assert (answer.status_code, answer.text) == (200, "reloaded\n")

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Return its log lines from this one on."""
        return [json.loads(line) for line in self.process.stderr.splitlines()[since:]]

    def end(self) -> int:
        """Stop it in good order; return its exit code."""
        self.watch.stop()
        return self.process.end()

    def kill(self) -> None:
        """Give it no chance to say goodbye."""
        self.watch.stop()
        self.process.signal(signal.SIGKILL)
        self.process.wait()


@dataclass(slots=True)
class Bench:
    """One row's place of work."""

    folder: Path
    simulator: Simulator
    wire: Wire
    proxy: Proxy
    elsewhere: Proxy
    """Another host, which must never be called."""
    stack: contextlib.ExitStack
    """Whatever the row opens and wants closed with it."""
    yardstick: Watch
    """What scrapes a server that answers with a file, as often as a row's daemon is scraped."""
    daemons: list[Daemon] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)

    def settings(self, api: str = "v2", **changes: Any) -> dict[str, Any]:
        """Return a configuration with both accounts; `changes` are top-level keys."""
        return {
            "accounts": [
                account(ILL, self.proxy.url, 1, api),
                account(WELL, self.simulator.url, 2, api),
            ],
            "mailboxes": {"all": False},
            "folders": {"enabled": False},  # all rows are about reports of a window
            "types": ["all"],
            "windows": [{"range": window, "every": "10s"} for window in WINDOWS],
            "web": {"listen": "127.0.0.1:0", "enable_lifecycle": True},
            "log": {"format": "json"},
        } | changes

    def write(self, settings: Mapping[str, Any]) -> None:
        """Write the configuration, for the next start or reload."""
        (self.folder / "config.yml").write_text(yaml.safe_dump(dict(settings)))

    def serve(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        command: tuple[str, ...] = EXPORTER,
        just_before: Callable[[], None] = lambda: None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> Daemon:
        """Start a daemon; it ends with the row. `just_before` is done when its turn has come."""
        self.write(self.settings() if settings is None else settings)
        own = self.folder / f"daemon-{len(self.processes) + 1}"
        own.mkdir()
        arguments = ("serve", "--config", str(self.folder / "config.yml"))
        with _starting:
            just_before()
            process = Process(own, (*command, *arguments), environment(**variables))
            self.processes.append(process)
            daemon = Daemon(process)
            self.daemons.append(daemon)
            daemon.until(lambda m: m.named("helpscout_up"), "the first scrape")
        return daemon

    def faults(self, *rules: Mapping[str, Any], **document: Any) -> None:
        """Make the simulator fail by these rules, each of which concerns `ill` alone."""
        mine = [{"account": 1, **rule} for rule in rules]
        self.control({"faults": mine} | document)

    def heal(self) -> None:
        """End every fault of simulator and proxy."""
        self.control({})
        self.proxy.heal()

    def control(self, document: Mapping[str, Any]) -> None:
        """Give the simulator this faults document."""
        self.simulator.set_faults(parse_faults(yaml.safe_dump(dict(document))))

    def close(self) -> None:
        """End everything."""
        for daemon in self.daemons:
            daemon.watch.stop()
        for process in self.processes:
            process.kill()


def account(name: str, url: str, number: int, api: str, **changes: Any) -> dict[str, Any]:
    """Return one account's configuration, with a limit that nobody reaches."""
    ways_in = {
        "v1": {"api_key": f"key-{number}"},
        "v2": {"client_id": f"demo-{number}", "client_secret": f"secret-{number}"},
    }
    return {
        "name": name,
        "base_url": f"{url}/{api}",
        "requests_per_minute": 60_000,
        "budget": 1.0,
        "timeout": PATIENCE,
        **ways_in[api],
        **changes,
    }


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the matrix: a sentence, what is done and expected, about how long that takes."""

    name: str
    play: Callable[[Bench], None]
    seconds: float = 25.0

    def __str__(self) -> str:
        """The name of the test."""
        return self.name


@contextlib.contextmanager
def yardstick(folder: Path) -> Iterator[Watch]:
    """Scrape a server of the standard library that answers with a file."""
    (folder / "metrics").write_text("# TYPE helpscout_up gauge\n" + "helpscout_nothing 1\n" * 200)
    options = ("--bind", "127.0.0.1", "--protocol", "HTTP/1.1", "0")
    server = Process(folder, (sys.executable, "-u", "-m", "http.server", *options), os.environ)
    watch = Watch(server.says(r"\((http://\S+?)/?\)", stdout=True))
    try:
        yield watch
    finally:
        watch.stop()
        server.kill()


@contextlib.contextmanager
def bench(folder: Path, wire: Wire, yardstick: Watch) -> Iterator[Bench]:
    """Return a bench; whatever was started on it ends with it."""
    simulator = Simulator(SimulatorOptions(accounts=2, mailboxes=2, rate_limit=60_000))
    simulator.start()
    with contextlib.ExitStack() as stack:
        stack.callback(simulator.stop)
        proxy, elsewhere = (stack.enter_context(wire.proxy(to)) for to in (simulator.url, None))
        place = Bench(folder, simulator, wire, proxy, elsewhere, stack, yardstick)
        stack.callback(place.close)
        yield place


# --- what holds in every row --------------------------------------------------------------------


def all_good(metrics: Metrics, number: int = 8) -> bool:
    """Return whether every one of so many reports has arrived and both accounts work."""
    found = reports(metrics, SUCCESS)
    up = metrics.named("helpscout_up")
    return len(found) == number and all(found.values()) and all(sample.value for sample in up)


def problems(metrics: Metrics, name: str = ILL) -> set[str]:
    """Return what is the matter with an account."""
    found = metrics.named("helpscout_account_problem", account=name)
    assert len(found) == 6
    return {sample.labels["reason"] for sample in found if sample.value}


def assert_kept_fresh(daemon: Daemon, spared: Callable[[Key], bool], since: float) -> None:
    """No report that `spared` picks ever failed, vanished or grew old since then (monotonic)."""
    for seen in daemon.watch.seen:
        if seen.at < since:
            continue
        success = {k: v for k, v in reports(seen.metrics, SUCCESS).items() if spared(k)}
        assert success
        assert set(success.values()) == {1}, success
        gone = success.keys() - reports(seen.metrics, FIGURE).keys()
        assert not gone, f"vanished: {gone}"
        ages = {report: age for report, age in seen.ages.items() if spared(report)}
        assert max(ages.values()) < _AGE_SECONDS, ages


def assert_scrapes_were_quick(bench: Bench, daemon: Daemon, since: float) -> None:
    """Whatever went on: every scrape was answered with 200, and since then (monotonic) at once.

    A server that is not ours is scraped all the time, too: what that one takes on a busy machine is
    the machine's.
    """

    def durations(watch: Watch) -> list[float]:
        return [took for began, took in watch.durations if began >= since]

    # A quick row is over before it was looked at often enough to say anything.
    eventually(
        lambda: min(len(durations(daemon.watch)), len(durations(bench.yardstick))) >= 12,
        "a dozen scrapes of each",
    )
    assert daemon.watch.failures == []
    ours, others = durations(daemon.watch), durations(bench.yardstick)
    bound = SCRAPE_SECONDS + 4 * _most(others)
    slow = [took for took in ours if took > bound]
    assert len(slow) <= max(2, len(ours) / 20), (slow, len(ours), bound)
    # One may be unlucky: a processor that is taken away for seconds is not a fault of the exporter.
    assert sorted(ours)[-2] < _WORST_SCRAPE_SECONDS + 4 * max(others)


def _most(durations: list[float]) -> float:
    """Return what 19 out of 20 stay below."""
    return statistics.quantiles(durations, n=20)[-1]


def assert_nothing_leaked(bench: Bench, daemon: Daemon) -> None:
    """No secret and no traceback in the log, no secret in anything that is served."""
    tokens = {
        call.headers["authorization"].split()[-1]
        for call in bench.proxy.calls
        if "authorization" in call.headers
    }
    secrets = tokens | {"secret-1", "secret-2", "key-1", "key-2"}
    log = daemon.process.stderr
    texts = {"log": log}
    if daemon.process.running:
        texts |= {path: get(f"{daemon.url}{path}").text for path in ("/metrics", "/config", "/")}
    for name, text in texts.items():
        assert not [secret for secret in secrets if secret in text], name
    assert "Traceback" not in log, log
    assert bench.elsewhere.connections == 0


def complaints(lines: list[dict[str, Any]], name: str = ILL) -> Counter[str]:
    """Return how often each event of an account was told as a warning or an error."""
    return Counter(
        line["event"]
        for line in lines
        if line.get("account") == name and line["level"] in ("warning", "error")
    )


def good_news(lines: list[dict[str, Any]], name: str = ILL) -> Counter[str]:
    """Return how often the log said that something of an account works, or works again."""
    return Counter(
        line["event"]
        for line in lines
        if line.get("account") == name and line["event"].endswith((" works", " again", " any more"))
    )


def rows_of(state_file: Path) -> int:
    """Return how many reports a state file holds by now."""
    with contextlib.closing(sqlite3.connect(state_file, timeout=5)) as database:
        return int(database.execute("SELECT count(*) FROM reports").fetchone()[0])
