"""The commands in this process: what of the command line reaches the part that does the work."""

import io
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest

from exporter.cli.words import say
from exporter.collectors import codec
from exporter.failure import Failure
from exporter.probe import LISTEN_VARIABLE
from exporter.questions import Learned, Mailbox
from exporter.settings import Configuration, load
from exporter.simulator import SimulatorOptions, parse_faults
from exporter.state_file import StateFile
from tests.support import run

ACCOUNT = {"HELPSCOUT_API_KEY": "a-key"}
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
FAULTS = "faults: [{status: 503, times: 2}]\n"
TOLD = "2026-03-02T13:00:00+01:00"


@pytest.mark.parametrize(
    ("arguments", "options", "address"),
    [
        ([], SimulatorOptions(), ("127.0.0.1", 9878)),
        (["--listen", "[::1]:65535"], SimulatorOptions(), ("::1", 65_535)),
        (["--listen", ":0", "--now", TOLD], SimulatorOptions(now=AT), ("0.0.0.0", 0)),
        (
            ["--seed=7", "--mailboxes=0", "--accounts=3", "--latency=50ms", "--rate-limit=20"],
            SimulatorOptions(7, 0, 3, 0.05, 20),
            ("127.0.0.1", 9878),
        ),
        (
            ["--start", TOLD, "--speed", "60", "--faults", "faults.yml"],
            SimulatorOptions(start=AT, speed=60.0, faults=parse_faults(FAULTS)),
            ("127.0.0.1", 9878),
        ),
    ],
)
def test_what_simulate_is_told_is_what_the_simulator_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    options: SimulatorOptions,
    address: tuple[str, int],
) -> None:
    started: list[Any] = []

    def simulator(options: SimulatorOptions, host: str, port: int) -> NoReturn:
        started.extend((options, (host, port)))
        raise Failure("that is enough")

    monkeypatch.setattr("exporter.cli.simulate.simulator", simulator)
    (tmp_path / "faults.yml").write_text(FAULTS)
    run(tmp_path, ["simulate", *arguments])
    assert started == [options, address]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock does not show UTC."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("arguments", "at"), [(["--at", TOLD], AT), (["--at", "2026-03-02T12:00"], AT), ([], None)]
)
def test_once_takes_the_time_it_is_told_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], at: datetime | None
) -> None:
    asked: list[datetime | None] = []

    def one_round(
        _: Configuration, now: Callable[[], datetime] | None = None
    ) -> tuple[bytes, bool]:
        asked.append(now and now())
        return b"", True

    monkeypatch.setattr("exporter.cli.once.one_round", one_round)
    assert run(tmp_path, ["once", *arguments], ACCOUNT).code == 0
    assert asked == [at]


TWO_ACCOUNTS = """
accounts:
  - {name: small, api_key: a, requests_per_minute: 10}
  - {name: large, api_key: b}
"""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--mailboxes", "1"], 0, []),
        (["--mailboxes", "10"], 1, []),
        (
            [],
            1,
            ["small: 30 mailboxes by the state file", "large: 2 mailboxes by the state file"],
        ),
    ],
)
def test_a_plan_is_too_much_if_it_is_for_one_account(
    tmp_path: Path, arguments: list[str], code: int, said: list[str]
) -> None:
    path, state = tmp_path / "config.yml", tmp_path / "state.db"
    path.write_text(f"{TWO_ACCOUNTS}state_file: {state}\n")
    known = StateFile(state, codec)
    for account, number in zip(load(path, {}).accounts, (30, 2), strict=True):
        boxes = [Mailbox(id_, f"box {id_}", "", "") for id_ in range(number)]
        known.remember_account(account.identity, boxes, Learned())
    known.close()
    ended = run(tmp_path, ["plan", *arguments], {"HELPSCOUT_CONFIG": " config.yml\n"})
    assert ended.code == code
    assert [line for line in ended.stderr.splitlines() if "state file" in line] == said


def test_the_demo_takes_listener_and_log_from_its_environment_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Configuration] = []
    monkeypatch.setattr("exporter.cli.demo.run", lambda load_, _: loaded.append(load_()))
    environ = {
        "HELPSCOUT_LOG__LEVEL": "error",
        "HELPSCOUT_WEB__PROCESS_METRICS": "false",
        LISTEN_VARIABLE: "0.0.0.0:9877",
        "HELPSCOUT_STATE_FILE": "state.db",
        "HELPSCOUT_ACCOUNTS__0__BUDGET": "0.1",
    }
    run(tmp_path, ["demo"], environ)
    run(tmp_path, ["demo", "--listen", ":1", "--listen", ":2"], environ)
    image, told = loaded
    assert (image.web.listen, told.web.listen) == (("0.0.0.0:9877",), (":1", ":2"))
    assert (image.log.level, image.web.process_metrics, image.state_file) == ("error", False, None)
    assert image.accounts[0].budget == load(None, ACCOUNT).accounts[0].budget


def test_what_the_encoding_of_stdout_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    say("acme: login good, 1 mailboxes (Größen)")
    assert stdout.buffer.getvalue() == b"acme: login good, 1 mailboxes (Gr\\xf6\\xdfen)\n"
