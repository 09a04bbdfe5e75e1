"""Starts processes for the tests of this folder, and ends every one of them."""

import itertools
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.support import EXPORTER, Ended, Process, Run, environment
from tests.support import run as run_in

NOW = "2026-03-11T14:30:00Z"
"""A Wednesday afternoon: every mailbox has something of every type in its last 24 hours."""


# Under a load of ten, a process takes ten times as long to start; a whole file of them, minutes.
_TIMEOUT_SECONDS = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder more time than those that start nothing."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TIMEOUT_SECONDS))


class Start(Protocol):
    """Starts a command; without one, the exporter with these arguments and variables."""

    def __call__(
        self,
        *arguments: str,
        command: tuple[str, ...] = EXPORTER,
        environ: Mapping[str, str] | None = None,
    ) -> Process: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """A running simulator: its address, and the variables that point an exporter at it."""

    url: str

    def environ(self, api: str, **more: str) -> dict[str, str]:
        """Return the variables for one generation of the API."""
        credentials = {
            "v1": {"HELPSCOUT_API_KEY": "key-1"},
            "v2": {"HELPSCOUT_CLIENT_ID": "demo-1", "HELPSCOUT_CLIENT_SECRET": "secret-1"},
        }[api]
        return {
            "HELPSCOUT_API": api,
            "HELPSCOUT_BASE_URL": f"{self.url}/{api}",
            "HELPSCOUT_WEB__LISTEN": "127.0.0.1:0",
            **credentials,
            **more,
        }


def _running(folder: Path) -> Iterator[Start]:
    numbers, started = itertools.count(1), list[Process]()

    def start(
        *arguments: str,
        command: tuple[str, ...] = EXPORTER,
        environ: Mapping[str, str] | None = None,
    ) -> Process:
        own = folder / f"process-{next(numbers)}"
        own.mkdir()
        process = Process(own, (*command, *arguments), environment(**(environ or {})))
        started.append(process)
        return process

    yield start
    try:
        for process in started:
            process.signal(signal.SIGTERM)
        for process in started:
            process.wait()
    finally:
        for process in started:
            process.kill()
    for process in started:
        assert "Traceback" not in process.stderr, process.stderr


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start processes that end with the test; none of them may show a traceback."""
    yield from _running(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run commands that end by themselves, in the folder of the test."""

    def running(*arguments: str, environ: Mapping[str, str] | None = None) -> Ended:
        return run_in(tmp_path, arguments, environ)

    return running


@pytest.fixture(scope="module")
def start_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start processes that last for all tests of a file, and take nothing from those of others."""
    yield from _running(tmp_path_factory.mktemp("module"))


def desk(start: Start, *arguments: str) -> Desk:
    """Return a simulator that has a rate limit nobody reaches, unless `arguments` say otherwise."""
    process = start("simulate", "--listen", "127.0.0.1:0", "--rate-limit", "60000", *arguments)
    return Desk(process.says(r"api v1: (http://\S+)/v1\n", stdout=True))


@pytest.fixture(scope="module")
def frozen_desk(start_once: Start) -> Desk:
    """A simulator whose clock stands still at NOW, for tests of `once`, which can say when."""
    return desk(start_once, "--now", NOW)


@pytest.fixture(scope="module")
def running_desk(start_once: Start) -> Desk:
    """A simulator that lives in the present, for tests that change nothing about it."""
    return desk(start_once)


def address(process: Process) -> str:
    """Return where a daemon listens, once it does."""
    return process.says(r'"url": "(http://[^"]+)"')
