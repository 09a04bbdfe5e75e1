"""What tests need to run the program for real: processes, readiness by polling, parsed metrics."""

import atexit
import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, TypeVar
from unittest import mock

import pytest
import requests
import structlog
import yaml
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.cli import main
from tests import warm

ROOT: Final = Path(__file__).parent.parent
TESTDATA: Final = ROOT / "tests" / "testdata"
EXPORTER: Final = (sys.executable, "-m", "exporter")
PROGRAM: Final = (str(Path(sys.executable).parent / "helpscout-exporter"),)

MISSION: Final = (
    "helpscout_response_time_seconds",
    "helpscout_first_response_time_seconds",
    "helpscout_handle_time_seconds",
    "helpscout_replies_to_resolve",
)
"""The four figures that all of this is about."""

_HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_START_SECONDS: Final = 40.0
_LOOK_SECONDS: Final = 0.05

_T = TypeVar("_T")


def eventually(look: Callable[[], _T | None], what: str, seconds: float = _START_SECONDS) -> _T:
    """Return the first true result of `look`; fail with `what` if there is none in time."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(_LOOK_SECONDS)


def reserved_port() -> int:
    """Return a port of 127.0.0.1 for a program that must be told one; nobody else gets it.

    A socket that is bound and does not listen keeps it: a server that sets SO_REUSEADDR, as all do,
    may listen there, and until then connections are refused.
    """
    keeper = socket.socket()
    atexit.register(keeper.close)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    port: int = keeper.getsockname()[1]
    return port


def resolves_nothing(*_: object, **__: object) -> NoReturn:
    """Stand for a resolver that knows no name: whether this machine has one does not matter."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def get(url: str, *, timeout: float = 10.0, **headers: str) -> requests.Response:
    """GET without proxies; underscores in the names of `headers` stand for hyphens."""
    with requests.Session() as session:
        session.trust_env = False
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return session.get(url, headers=named, timeout=timeout, allow_redirects=False)


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without what sets the program or make, and these."""
    others = ("HELPSCOUT_", "MAKE", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return kept | variables


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds. The parser is in C: one in Python takes ten times as long."""
    return yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)


def code_block(mark: str, page: str = "README.md") -> str:
    """Return the code block that follows the comment `mark` in a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {mark} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found, f"{page} has no {mark}"
    return found[1]


# --- metrics ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of an exposition."""

    name: str
    labels: Mapping[str, str]
    value: float

    @property
    def series(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """Name and labels: what tells one series from another."""
        return self.name, frozenset(self.labels.items())


class Metrics:
    """A parsed exposition, by the client library's own parsers."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = {family.name: family for family in families}
        self.samples = [
            Sample(sample.name, sample.labels, sample.value)
            for family in self.families.values()
            for sample in family.samples
        ]

    @classmethod
    def of_text(cls, text: str) -> "Metrics":
        """Parse the text format 0.0.4."""
        return cls(parse_text(text))

    @classmethod
    def of_openmetrics(cls, text: str) -> "Metrics":
        """Parse OpenMetrics 1.0."""
        return cls(parse_openmetrics(text))  # type: ignore[no-untyped-call]

    def named(self, name: str, **labels: str) -> list[Sample]:
        """Return the samples with this name and (at least) these labels."""
        return [
            sample
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float:
        """Return the value of the one sample with this name and (at least) these labels."""
        found = self.named(name, **labels)
        assert len(found) == 1, f"{name}{labels}: {len(found)} samples"
        return found[0].value

    def by_series(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return every value by name and labels."""
        return {sample.series: sample.value for sample in self.samples}


def scrape(url: str, *names: str) -> Metrics:
    """Return what an exporter's /metrics says now, in the text format; only `names` if any."""
    return Metrics.of_text(_exposed(url, *names))


def values(url: str, *names: str) -> list[tuple[str, float]]:
    """Return the same as pairs of a series, as it is written, and its value.

    The client library's parser takes too long for what is looked at again and again.
    """
    lines = (line for line in _exposed(url, *names).splitlines() if line[0] != "#")
    return [(series, float(value)) for series, _, value in (line.rpartition(" ") for line in lines)]


def _exposed(url: str, *names: str) -> str:
    query = "&".join(f"name[]={name}" for name in names)
    answer = get(f"{url}/metrics?{query}")
    assert answer.status_code == 200, answer.text
    return answer.text


def round_is_complete(url: str, reports: int) -> Metrics | None:
    """Return the metrics once so many productivity reports, and all else that is asked, arrived.

    Looking is cheap until then.
    """
    success, asked = "helpscout_report_success", "helpscout_exporter_reports"
    found = values(url, success, asked)
    good = Counter(
        'collector="productivity"' in series
        for series, value in found
        if series.startswith(success) and value
    )
    wanted = sum(value for series, value in found if series.startswith(asked))
    is_complete = good[True] == reports and good.total() == wanted
    return scrape(url) if is_complete else None


# --- processes ----------------------------------------------------------------------------------


class Process:
    """A running program, its output in two files of a folder of its own.

    EXPORTER starts warm (tests/warm.py), PROGRAM and everything else as a user starts it.
    """

    def __init__(self, folder: Path, command: Iterable[str], environ: Mapping[str, str]) -> None:
        self.command = list(command)
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self.started_at = time.monotonic()
            self._popen: warm.Child | subprocess.Popen[bytes]
            if tuple(self.command[:3]) == EXPORTER:
                self._popen = warm.Child(
                    self.command[3:],
                    cwd=folder,
                    env=environ,
                    stdout=stdout.name,
                    stderr=stderr.name,
                )
            else:
                self._popen = subprocess.Popen(
                    self.command, cwd=folder, env=dict(environ), stdout=stdout, stderr=stderr
                )

    @property
    def stdout(self) -> str:
        """All that it has written there so far."""
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        """All that it has written there so far."""
        return self._stderr.read_text()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    def says(self, pattern: str, *, stdout: bool = False) -> str:
        """Wait until its output matches; return the pattern's first group."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.stdout if stdout else self.stderr)
            if found is None and not self.running:
                raise AssertionError(f"{self.command} ended:\n{self.stdout}{self.stderr}")
            return found

        return eventually(look, f"{pattern} from {self.command}").group(1)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def wait(self, seconds: float = _START_SECONDS) -> int:
        """Return its exit code once it has ended."""
        return self._popen.wait(seconds)

    def end(self) -> int:
        """Ask it to end with SIGTERM; return its exit code."""
        if self.running:
            self._popen.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it at once; nothing happens if it has ended."""
        self._popen.send_signal(signal.SIGKILL)
        self._popen.wait()


@dataclass(frozen=True, slots=True)
class Ended:
    """The outcome of a command that ends by itself."""

    code: int
    stdout: str
    stderr: str


class Run(Protocol):
    """Runs a command of the exporter to its end, with these variables."""

    def __call__(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Ended: ...


def run(folder: Path, arguments: Iterable[str], environ: Mapping[str, str] | None = None) -> Ended:
    """Run a command in `folder` and in this process: to start one takes a second."""
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    handlers = {number: signal.getsignal(number) for number in _HANDLED}
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        mock.patch.dict(os.environ, environment(**(environ or {})), clear=True),
        mock.patch.object(sys, "argv", ["helpscout-exporter", *arguments]),
    ):
        try:
            code = main()
        finally:
            structlog.reset_defaults()
            for number, handler in handlers.items():
                signal.signal(number, handler)
    said = [stream.buffer.getvalue().decode() for stream in (stdout, stderr)]
    return Ended(code, *said)


VERSIONS: Final = ("installed", "newer")
"""Of the programs beside which the exporter runs: Debian's, and those of scripts/newer-programs."""


def need(program: str, version: str = "installed") -> str:
    """Return the path of a program that a test starts for real.

    Where it is missing that is a failure in CI and wherever apt-get could bring it
    (scripts/debian-packages, scripts/newer-programs), elsewhere the test is skipped and says so.
    """
    script, folder = "debian-packages", f"{os.environ['PATH']}:/usr/sbin"  # not in every user's
    if version == "newer":
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        script, folder = "newer-programs", f"{cache}/helpscout-exporter/newer-programs/usr/bin"
    path = shutil.which(program, path=folder)
    if path is not None:
        return path
    if os.environ.get("CI") or shutil.which("apt-get"):
        pytest.fail(f"{program} ({version}) is missing: run scripts/{script}", pytrace=False)
    pytest.skip(f"{program} ({version}) is not here: see scripts/{script}")
