"""SIGTERM ends the program cleanly whatever goes on, SIGHUP reloads it."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from exporter import cli
from tests.support import (
    EXPORTER,
    PROGRAM,
    Metrics,
    Process,
    eventually,
    get,
    round_is_complete,
    scrape,
)
from tests.system.conftest import Desk, Start, address, desk

RELOADED = "helpscout_exporter_config_last_reload_successful"

# Each end waits for what is in flight; a machine with other work to do may take longer.
SLACK_SECONDS = 15.0
GRACE_SECONDS = 10.0


def seconds_to_end(process: Process) -> float:
    """Send SIGTERM; return how long the program took to exit with 0."""
    asked_at = time.monotonic()
    assert process.end() == 0, process.stderr
    return time.monotonic() - asked_at


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
@pytest.mark.parametrize("command", ["serve", "demo", "simulate"])
def test_a_signal_ends_every_running_command_with_exit_code_0(
    start: Start, running_desk: Desk, command: str, number: signal.Signals
) -> None:
    environ = running_desk.environ("v2")
    # One signal as a user starts it; to start Python takes longer than all the rest of it.
    program = PROGRAM if number == signal.SIGTERM else EXPORTER
    process = start(command, "--listen", "127.0.0.1:0", command=program, environ=environ)
    process.says(
        "api v1: (http)" if command == "simulate" else '"(listening)"', stdout=command == "simulate"
    )
    process.signal(number)
    assert process.wait(SLACK_SECONDS) == 0
    assert "Traceback" not in process.stderr


def test_sigterm_ends_serve_while_scrape_connections_are_open(
    start: Start, running_desk: Desk
) -> None:
    process = start("serve", environ=running_desk.environ("v2"))
    server = urlsplit(address(process))
    assert server.hostname
    assert server.port
    request = b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n"
    with (
        socket.create_connection((server.hostname, server.port)) as idle,
        socket.create_connection((server.hostname, server.port)) as half_asked,
    ):
        idle.sendall(request + b"\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        half_asked.sendall(request)
        assert seconds_to_end(process) < SLACK_SECONDS


def test_sigterm_lets_calls_in_flight_finish(start: Start) -> None:
    slow = desk(start, "--latency", "2s")
    process = start("serve", environ=slow.environ("v1"))
    eventually(partial(_asks, slow, "report"), "a report call")
    assert seconds_to_end(process) < 2 + SLACK_SECONDS
    assert '"in_flight_ended": true' in process.stderr


def test_sigterm_does_not_wait_for_a_resolver_that_hangs(start: Start, tmp_path: Path) -> None:
    looking = tmp_path / "looking"
    (tmp_path / "sitecustomize").with_suffix(".py").write_text(
        f"""
import pathlib, socket, time
def hang(*args, real=socket.getaddrinfo, **kwargs):
    if args[0] != "helpscout.test":
        return real(*args, **kwargs)
    pathlib.Path({str(looking)!r}).touch()
    time.sleep(600)
socket.getaddrinfo = hang
"""
    )
    environ = {
        "PYTHONPATH": str(tmp_path),
        "HELPSCOUT_API_KEY": "key-1",
        "HELPSCOUT_BASE_URL": "https://helpscout.test/v1",
        "HELPSCOUT_WEB__LISTEN": "127.0.0.1:0",
    }
    process = start("serve", command=PROGRAM, environ=environ)
    eventually(looking.exists, "a look-up of the name")
    assert seconds_to_end(process) < GRACE_SECONDS + SLACK_SECONDS
    assert '"in_flight_ended": false' in process.stderr


def _asks(desk_: Desk, endpoint: str) -> bool:
    """Whether the simulator has been asked this."""
    accounts = get(f"{desk_.url}/_stats").json()["accounts"]
    return any(endpoint in account["calls"] for account in accounts.values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_ends_a_job_undone_and_no_exit_code_says_that_it_was_done(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    slow, output = desk(start, "--latency", "2s"), tmp_path / "helpscout.prom"
    process = start("once", "--output", str(output), environ=slow.environ("v1"))
    eventually(partial(_asks, slow, "report"), "a report call")
    process.signal(number)
    assert process.wait() == 130
    assert process.stdout == ""
    assert not output.exists()


# --- SIGHUP -------------------------------------------------------------------------------------


@pytest.fixture
def reloadable(
    start: Start, running_desk: Desk, tmp_path: Path
) -> tuple[Process, str, Callable[[str], None]]:
    """A daemon after its first round, its address, and what writes its file and sends SIGHUP."""
    config = tmp_path / "config.yml"
    config.write_text(_config("24h"))
    process = start("serve", "--config", str(config), environ=running_desk.environ("v2"))
    url = address(process)
    eventually(partial(round_is_complete, url, 7), "a whole round")

    def reload(text: str) -> None:
        config.write_text(text)
        process.signal(signal.SIGHUP)

    return process, url, reload


def _config(window: str) -> str:
    return f"types: [all]\nwindows: [{window}]\n"


def _shows(url: str, value: float) -> Metrics | None:
    metrics = scrape(url)
    return metrics if metrics.value(RELOADED) == value else None


def test_a_reload_puts_a_good_file_in_force(
    reloadable: tuple[Process, str, Callable[[str], None]],
) -> None:
    process, url, reload = reloadable
    reload(_config("7d"))
    process.says('"(configuration reloaded)"')

    def windows() -> set[str]:
        name = "helpscout_response_time_seconds"
        samples = scrape(url, name).named(name)
        return {sample.labels["window"] for sample in samples}

    eventually(lambda: windows() == {"7d"}, "the new window alone")
    assert scrape(url).value(RELOADED) == 1


def test_a_bad_file_keeps_every_series_and_is_reported_until_a_good_one_is_loaded(
    reloadable: tuple[Process, str, Callable[[str], None]],
) -> None:
    process, url, reload = reloadable
    before = scrape(url)
    reload(_config("7x"))
    bad = eventually(partial(_shows, url, 0), "the failed reload on /metrics")
    mine = {series for series in before.by_series() if series[0] != RELOADED}
    assert mine <= bad.by_series().keys()
    assert bad.named("helpscout_response_time_seconds", window="24h")
    assert '"7x\\" is not a duration' in process.stderr
    moment = "helpscout_exporter_config_last_reload_success_timestamp_seconds"
    assert bad.value(moment) == before.value(moment)

    reload(_config("24h"))
    good = eventually(partial(_shows, url, 1), "the good reload on /metrics")
    assert good.value(moment) > before.value(moment)


def test_what_only_a_restart_changes_is_said_and_the_configuration_shows_what_is_in_force(
    reloadable: tuple[Process, str, Callable[[str], None]],
) -> None:
    process, url, reload = reloadable
    before = get(f"{url}/config").text
    for times in (1, 2):
        reload(_config("24h") + "state_file: state.db\nweb: {enable_lifecycle: true}\n")
        eventually(
            lambda n=times: process.stderr.count("configuration reloaded") == n,  # type: ignore[misc]
            "the reload",
        )
        for name in ("web", "state_file"):
            said = f"a change of {name} takes effect at the next start"
            assert process.stderr.count(said) == times
    assert get(f"{url}/config").text == before
    reload(_config("24h"))
    eventually(lambda: process.stderr.count("configuration reloaded") == 3, "the reload")
    assert process.stderr.count("takes effect at the next start") == 4


def test_a_missing_file_is_a_bad_file(
    reloadable: tuple[Process, str, Callable[[str], None]], tmp_path: Path
) -> None:
    process, url, _ = reloadable
    (tmp_path / "config.yml").unlink()
    process.signal(signal.SIGHUP)
    eventually(partial(_shows, url, 0), "the failed reload on /metrics")
    assert process.running


def test_a_reload_that_is_asked_for_during_the_start_is_done_after_it(
    start: Start, running_desk: Desk, tmp_path: Path
) -> None:
    # Opening a pipe waits for the other side: so each reading of the file has its moment.
    config = tmp_path / "config.yml"
    os.mkfifo(config)
    process = start("serve", "--config", str(config), environ=running_desk.environ("v2"))
    with config.open("w") as being_read:
        process.signal(signal.SIGHUP)
        being_read.write(_config("24h"))
    url = address(process)
    config.write_text(_config("7d"))
    process.says('"(configuration reloaded)"')
    assert "range: 7d" in get(f"{url}/config").text


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        ("serve", signal.SIGHUP, None),
        ("demo", signal.SIGHUP, None),
        ("serve", signal.SIGTERM, 0),
        ("demo", signal.SIGTERM, 0),
        ("simulate", signal.SIGTERM, 0),
        ("once", signal.SIGTERM, 130),
        ("backfill", signal.SIGTERM, 130),
        ("check", signal.SIGTERM, 130),
    ],
)
def test_a_signal_that_arrives_before_the_command_itself_has_begun(
    monkeypatch: pytest.MonkeyPatch, command: str, number: signal.Signals, code: int | None
) -> None:
    def being_imported() -> int:
        signal.raise_signal(number)
        return 7

    monkeypatch.setattr(sys, "argv", ["helpscout-exporter", command])
    monkeypatch.setattr(cli, "_run", being_imported)
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        if code is None:
            assert cli.main() == 7
        else:
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert ended.value.code == code
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_a_changed_account_is_logged_in_to_again_and_its_mailboxes_are_listed_again(
    reloadable: tuple[Process, str, Callable[[str], None]],
) -> None:
    _, url, reload = reloadable
    reload(_config("24h") + "accounts: [{timeout: 10s}]\n")
    logins = partial(_logins, url)
    eventually(lambda: logins() == 2, "a second login")


def _logins(url: str) -> float:
    name = "helpscout_exporter_api_requests_total"
    calls = scrape(url, name).named(name, operation="token", code="200")
    return sum(sample.value for sample in calls)
