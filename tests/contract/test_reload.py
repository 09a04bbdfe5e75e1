"""A reload of the running program, as clients see it: page, metrics, configuration and log."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import structlog

from exporter.daemon import Daemon
from exporter.questions import Key, Mailbox
from exporter.settings import Configuration, ConfigurationError, load
from tests.readings import reading
from tests.support import get

RELOADED = "helpscout_exporter_config_last_reload_successful"
BAD = 'config.yml: windows[0]: "7x" is not a duration'


def settings(**variables: str) -> Configuration:
    given = {
        "API_KEY": "a-key",
        "BASE_URL": "http://127.0.0.1:1/v1",
        "WEB__LISTEN": "127.0.0.1:0",
        "WEB__ENABLE_LIFECYCLE": "true",
    }
    return load(None, {f"HELPSCOUT_{name}": value for name, value in (given | variables).items()})


class Running:
    """A program that listens and asks nothing; `next` is what its configuration says then."""

    def __init__(self) -> None:
        self.next: Configuration | ConfigurationError = settings()
        self.daemon = Daemon(settings(), self._load, threading.Event())
        self.daemon.server.start()
        self.url = self.daemon.server.url

    def _load(self) -> Configuration:
        if isinstance(self.next, ConfigurationError):
            raise self.next
        return self.next

    def reload(self, to: Configuration | ConfigurationError) -> requests.Response:
        self.next = to
        return requests.post(f"{self.url}/-/reload", timeout=10)

    def metric(self) -> str:
        return get(f"{self.url}/metrics?name[]={RELOADED}").text.splitlines()[-1]

    def text(self, path: str) -> str:
        return get(f"{self.url}{path}").text


@pytest.fixture
def running() -> Iterator[Running]:
    found = Running()
    yield found
    found.daemon.server.stop()
    structlog.reset_defaults()


def test_a_refused_reload_is_on_the_page_and_in_the_metrics_until_a_good_one(
    running: Running,
) -> None:
    assert running.metric() == f"{RELOADED} 1.0"
    refused = running.reload(ConfigurationError([BAD]))
    assert (refused.status_code, refused.text) == (400, f"{BAD}\n")
    assert running.metric() == f"{RELOADED} 0.0"
    assert "is not a duration" in running.text("/")
    assert running.reload(settings()).text == "reloaded\n"
    assert running.metric() == f"{RELOADED} 1.0"
    assert "is not a duration" not in running.text("/")


def test_the_page_says_how_long_ago_a_report_arrived_and_a_reload_was_refused(
    running: Running,
) -> None:
    key = Key("folders", "default", "1")
    store = running.daemon.exporter.store
    store.set_mailboxes("default", [Mailbox(1, "Support", "", "")])
    store.schedule("default", [key])
    store.succeeded(key, reading(()))
    running.reload(ConfigurationError([BAD]))
    times = re.findall(
        r"<time .*?>(?:just now|\d+ s ago)</time>|</time> \((?:just now|\d+ s ago)\)",
        running.text("/"),
    )
    assert len(times) == 2


def test_the_next_scrape_says_that_a_reload_was_refused(running: Running) -> None:
    for outcome, value in ((ConfigurationError([BAD]), "0.0"), (settings(), "1.0")):
        assert f"\n{RELOADED} " in running.text("/metrics")  # made, and kept for a second
        running.reload(outcome)
        assert f"\n{RELOADED} {value}\n" in running.text("/metrics")


def test_what_a_reload_changes_is_shown_and_what_only_a_restart_changes_is_not(
    running: Running, tmp_path: Path
) -> None:
    before = running.text("/config")
    running.reload(settings(WEB__TELEMETRY_PATH="/other", STATE_FILE=str(tmp_path / "state.db")))
    assert running.text("/config") == before
    running.reload(settings(COMPARE="true"))
    assert running.text("/config") == before.replace("compare: false", "compare: true") != before


def test_the_page_says_since_when_it_runs_whatever_was_loaded_since(running: Running) -> None:
    running.daemon.exporter.started_at = 0.0
    running.reload(settings())
    assert "<dt>Running since</dt><dd>1970-01-01 00:00 UTC</dd>" in running.text("/")


@pytest.mark.parametrize(("level", "told"), [("info", True), ("error", False)])
def test_a_reload_changes_what_is_logged(
    running: Running, capsys: pytest.CaptureFixture[str], level: str, told: bool
) -> None:
    running.reload(settings(LOG__LEVEL=level))
    assert ("configuration reloaded" in "".join(capsys.readouterr())) is told


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_reload_changes_the_form_of_the_log(
    running: Running, capsys: pytest.CaptureFixture[str], format_: str
) -> None:
    running.reload(settings(LOG__FORMAT=format_))
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "configuration reloaded" in x]
    assert line.startswith("{") is (format_ == "json")


@pytest.mark.parametrize(
    "of",
    [
        lambda ignored: settings(**ignored),
        lambda ignored: ConfigurationError([BAD], [f"{name}: no such key" for name in ignored]),
    ],
    ids=["good", "bad"],
)
def test_what_is_ignored_is_logged_at_each_reload(
    running: Running,
    capsys: pytest.CaptureFixture[str],
    of: Callable[[dict[str, str]], Configuration | ConfigurationError],
) -> None:
    running.reload(of({"NONSENSE": "1"}))
    assert "NONSENSE: no such key" in "".join(capsys.readouterr())
