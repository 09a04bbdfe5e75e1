"""What an orchestrator asks of a running daemon: is it ready, does it hang."""

import sys
from functools import partial
from pathlib import Path

from tests.support import PROGRAM, Ended, Run, eventually, get
from tests.system.conftest import Desk, Start, address, desk

HANGING = """
import pathlib, sys, time
from exporter.cli import main
from exporter.poller import dispatcher
from exporter.poller.account import AccountPoller
hung = pathlib.Path(sys.argv.pop(1))
def tick(self, now, real=AccountPoller.tick):
    while hung.exists():
        time.sleep(0.05)
    return real(self, now)
AccountPoller.tick = tick
dispatcher._TICK_SECONDS = 0.05
sys.exit(main())
"""
"""The program with a poller that hangs while a file is there, and seconds twenty times as short."""


def probe(url: str, path: str) -> tuple[int, str]:
    answer = get(f"{url}{path}")
    return answer.status_code, answer.text


def test_it_is_ready_once_the_login_was_tried(start: Start) -> None:
    slow = desk(start, "--latency", "5s")
    url = address(start("serve", command=PROGRAM, environ=slow.environ("v2")))
    status, why = probe(url, "/-/ready")
    assert status == 503, why
    assert probe(url, "/-/healthy") == (200, "healthy\n")
    eventually(lambda: probe(url, "/-/ready") == (200, "ready\n"), "ready")


def test_it_is_unhealthy_while_its_poller_hangs_and_healthcheck_says_so(
    start: Start, run: Run, running_desk: Desk, tmp_path: Path
) -> None:
    hung, environ = tmp_path / "hung", running_desk.environ("v2")
    url = address(
        start("serve", command=(sys.executable, "-c", HANGING, str(hung)), environ=environ)
    )
    healthy = partial(probe, url, "/-/healthy")
    ask = partial(run, "healthcheck", "--url", f"{url}/-/healthy")
    eventually(lambda: probe(url, "/-/ready")[0] == 200, "ready")
    assert ask() == Ended(0, "healthy\n", "")
    hung.touch()
    eventually(lambda: healthy()[0] == 503, "unhealthy")
    ended = ask()
    assert (ended.code, ended.stdout) == (1, "")
    assert "HTTP 503" in ended.stderr
    assert get(f"{url}/metrics").status_code == 200, "what is known is served on"
    hung.unlink()
    eventually(lambda: healthy() == (200, "healthy\n"), "healthy again")
