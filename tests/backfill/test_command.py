"""The command as a user calls it: what it costs first, usage, Ctrl-C, leftovers of others."""

import os
import pty
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporter.simulator import Faults, SimulatorOptions, parse_faults
from tests.backfill.conftest import LIMIT, Filling, environ, simulating
from tests.support import EXPORTER, Ended, Process, environment, eventually
from tests.support import run as run_in
from tests.system.conftest import Start

RANGE = ("--from", "2026-03-01", "--to", "2026-03-10", "--step", "1d")
REPORTS = 10 * 4


def run(filling: Filling, *arguments: str) -> Ended:
    (filling.folder / "config.yml").write_text(filling.config)
    words = ("backfill", "--config", "config.yml", "--output", "helpscout.om", *arguments)
    return run_in(filling.folder, words, environ(filling.simulator))


def test_a_dry_run_says_what_it_would_cost_and_asks_no_report(filling: Filling) -> None:
    filling.simulator.set_faults(Faults(rate_limit=400))
    outcome = run(filling, *RANGE, "--dry-run")
    assert (outcome.code, outcome.stderr) == (0, "")
    account, file, promtool, skipped = outcome.stdout.splitlines()
    assert account == (
        "account default: 40 reports; 40 requests take 30s at 80 calls/min (0.2 of 400)"
    )
    assert file.startswith("file: up to 0.")
    assert file.endswith(" series")
    assert promtool.startswith("promtool: about 6")
    assert skipped == "folders asks about now and has no past: skipped"
    assert filling.reports_asked() == 0
    assert [path.name for path in filling.folder.iterdir()] == ["config.yml"]


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ("1", "at 392 calls/min (1 of 400, 8 of them kept free for others)"),
        ("0.5", "at 200 calls/min (0.5 of 400)"),
    ],
)
def test_what_is_kept_free_of_the_limit_is_said_and_changes_no_limit(
    filling: Filling, budget: str, words: str
) -> None:
    filling.simulator.set_faults(Faults(rate_limit=400))
    for _ in range(2):
        outcome = run(filling, *RANGE, "--to", "2026-03-01", "--budget", budget)
        assert outcome.code == 0, outcome.stderr
        assert outcome.stderr.splitlines()[0].endswith(words)


def test_the_command_writes_the_file_says_what_it_cost_and_asks_nothing_twice(
    filling: Filling,
) -> None:
    first = run(filling, *RANGE, "--label", "job=helpscout", "--budget", "1")
    assert (first.code, first.stdout) == (0, ""), first.stderr
    assert "account default: 40 reports; 40 requests take 0s at" in first.stderr
    written = filling.output.read_bytes()
    windows = filling.points("helpscout_window_seconds", window="7d", job="helpscout")
    assert [point.value for point in windows] == ["604800.0"] * 10
    again = run(filling, *RANGE, "--label", "job=helpscout", "--budget", "0.5")
    assert again.code == 0, again.stderr
    assert "40 reports, 40 of them here already; 0 requests" in again.stderr
    assert filling.output.read_bytes() == written
    assert filling.reports_asked() == REPORTS


def test_the_file_is_about_as_large_as_was_said(filling: Filling) -> None:
    assert filling.run("2026-03-01", "2026-03-10") is None
    said = float(filling.said[1].removeprefix("file: up to ").split(" MB")[0]) * 1e6
    assert 0.8 * said <= filling.output.stat().st_size <= 1.02 * said + 50_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "2026-03-10", "--to", "2026-03-01"), "--from is after --to"),
        (("--from", "2096-03-10", "--to", "2096-03-11"), "--from is in the future"),
        (("--from", "soon", "--to", "2026-03-01"), '--from: "soon" is not a time like'),
        ((*RANGE[:4], "--step", "1x"), '--step: "1x" is not a duration'),
        ((*RANGE[:4], "--step", "500ms"), "--step: must be whole seconds, at least one"),
        ((*RANGE[:4], "--step", "1500ms"), "--step: must be whole seconds, at least one"),
        (
            (*RANGE[:4], "--step", "52w"),
            "--from, --to: no step of 364d (window 24h) is between them",
        ),
        ((*RANGE, "--budget", "0"), "--budget: 0 is not above 0 and at most 1"),
        ((*RANGE, "--budget", "1.5"), "--budget: 1.5 is not above 0 and at most 1"),
        ((*RANGE, "--label", "job"), '--label: "job": is not NAME=VALUE'),
        ((*RANGE, "--label", "job="), '--label: "job=": is not NAME=VALUE'),
        ((*RANGE, "--label", "a-b=c"), '--label: "a-b=c": a-b is not a name for a label'),
        ((*RANGE, "--label", "__a=c"), '--label: "__a=c": __a is not a name for a label'),
        (
            (*RANGE, "--label", "window=7d"),
            '--label: "window=7d": window is a label that the exporter sets itself',
        ),
        ((*RANGE, "--label", "job=a", "--label", "job=b"), '"job=b": job is given twice'),
        ((*RANGE, "--output", "."), "--output: .: is a directory"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    account = {"HELPSCOUT_CLIENT_ID": "a", "HELPSCOUT_CLIENT_SECRET": "b"}
    outcome = run_in(tmp_path, ("backfill", "--output", "helpscout.om", *arguments), account)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_reported_before_anything_is_asked(
    filling: Filling,
) -> None:
    outcome = run(filling, *RANGE, "--output", "missing/helpscout.om")
    assert outcome.code == 1
    assert outcome.stderr.startswith("missing/helpscout.om.journal: unable to open database file")
    assert outcome.stderr.count("\n") == 1
    assert filling.simulator.stats() == {"accounts": {}}


def test_the_future_is_cut_off_with_a_word_and_a_later_run_keeps_to_that(
    filling: Filling,
) -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert filling.run("2026-03-01", "2026-04-01", now=lambda: now) is None
    assert filling.said[0] == "--to is in the future: cut off at 2026-03-04T12:00:00Z"
    assert filling.reports_asked() == 4 * 4
    before = filling.output.read_bytes()
    assert filling.run("2026-03-01", "2026-04-01", now=lambda: now + timedelta(days=5)) is None
    assert filling.output.read_bytes() == before
    assert filling.reports_asked() == 4 * 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"config": "mailboxes: {all: false}\ntypes: [email]\nwindows: [24h, 7d]\n"}, "types"),
        ({"config": "mailboxes: {all: false}\ntypes: [all]\nwindows: [24h]\n"}, "--step"),
        ({"variables": {"HELPSCOUT_CLIENT_ID": "demo-2"}}, "accounts"),
    ],
)
def test_leftovers_of_another_configuration_are_refused_by_name(
    filling: Filling, change: dict[str, str], named: str
) -> None:
    assert filling.run("2026-03-01", "2026-03-02") is None
    asked, before = filling.simulator.stats(), filling.output.read_bytes()
    other = Filling(filling.simulator, filling.folder, **change)  # type: ignore[arg-type]
    error = other.run("2026-03-01", "2026-03-02")
    assert error is not None
    assert error.exit_code == 2
    assert str(error) == (
        f"{filling.output}.journal is of another backfill: {named} differ; go on with its own"
        " command, delete it, or choose another --output"
    )
    assert filling.simulator.stats() == asked
    assert filling.output.read_bytes() == before


def test_leftovers_of_another_range_or_of_other_labels_are_refused(filling: Filling) -> None:
    assert filling.run("2026-03-01", "2026-03-02") is None
    error = filling.run("2026-02-01", "2026-03-03", labels=("job=a",))
    assert "--from, --to, --label differ" in str(error)


def test_a_file_that_is_not_a_file_of_answers_is_left_alone(filling: Filling) -> None:
    kept = Path(f"{filling.output}.journal")
    kept.write_text("precious")
    error = filling.run("2026-03-01", "2026-03-02")
    assert error is not None
    assert "file is not a database" in str(error)
    assert kept.read_text() == "precious"


def test_two_processes_do_not_work_on_one_file(filling: Filling, start: Start) -> None:
    filling.simulator.set_faults(Faults(latency=0.5))
    first = interrupted(filling, start)
    error = filling.run("2026-03-01", "2026-03-10", step=timedelta(hours=6))
    assert "another backfill is at work on it" in str(error)
    first.kill()


def interrupted(filling: Filling, start: Start) -> Process:
    """Return a slow backfill that has begun to ask."""
    config = filling.folder / "config.yml"
    config.write_text(filling.config)
    process = start(
        *("backfill", "--config", str(config), "--output", str(filling.output)),
        *("--from", "2026-03-01", "--to", "2026-03-10", "--step", "6h", "--budget", "1"),
        environ=environ(filling.simulator),
    )
    eventually(lambda: filling.reports_asked() > 5, "the first reports")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_soon_and_says_how_to_go_on(
    filling: Filling, start: Start, number: signal.Signals
) -> None:
    filling.simulator.set_faults(Faults(latency=0.5))
    process = interrupted(filling, start)
    process.signal(number)
    assert process.wait() == 130
    assert process.stderr.splitlines()[-1] == (
        f"interrupted; what was answered is in {filling.output}.journal: the same command goes on"
        " there"
    )
    assert not filling.output.exists()
    asked = filling.reports_asked()
    filling.simulator.set_faults(Faults())
    assert filling.run("2026-03-01", "2026-03-10", step=timedelta(hours=6)) is None
    assert filling.reports_asked() == 4 * (9 * 4 + 1)
    assert asked < filling.reports_asked()


def test_on_a_terminal_a_bar_shows_how_far_it_is(filling: Filling) -> None:
    filling.simulator.set_faults(Faults(latency=0.02))
    (filling.folder / "config.yml").write_text(filling.config)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*EXPORTER, "backfill", "--config", "config.yml", "--output", "a.om", "--budget", "1",
         *RANGE],
        cwd=filling.folder,
        env=environment(**environ(filling.simulator), TERM="xterm", COLUMNS="120"),
        stdout=subprocess.DEVNULL,
        stderr=slave,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            part = os.read(master, 65_536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(master)
    assert process.wait(30) == 0, shown
    assert b"40/40" in shown
    assert b"/min, " in shown
    assert b" left, 0 failed" in shown
    assert b"written" in shown


def test_a_shard_by_mailbox_takes_its_part_of_the_share(filling: Filling) -> None:
    filling.simulator.set_faults(Faults(rate_limit=400))
    filling.variables = {"HELPSCOUT_SHARD__BY": "mailbox"}
    for total, pace in (
        ("1", "392 calls/min (1 of 400, 8 of them kept free for others)"),
        ("2", "200 calls/min (0.5 of 400)"),
        ("4", "100 calls/min (0.25 of 400)"),
    ):
        filling.variables["HELPSCOUT_SHARD__TOTAL"] = total
        error = filling.run("2026-03-01", "2026-03-02", dry_run=True)
        assert error is None
        assert filling.said[0].endswith(f" at {pace}")


def test_information_is_there_at_every_step_of_the_shortest_window(filling: Filling) -> None:
    assert filling.run("2026-03-01", "2026-03-02", step=None) is None
    instants = {p.at for p in filling.points("helpscout_replies_sent", window="24h")}
    assert len(instants) == 25
    for name in ("helpscout_window_seconds", "helpscout_mailbox_info"):
        assert {p.at for p in filling.points(name)} == instants


def test_only_mailboxes_that_are_selected_have_information(filling: Filling) -> None:
    filling.config = "mailboxes: {all: false, include: [1001]}\nwindows: [24h]\n"
    assert filling.run("2026-03-01", "2026-03-01") is None
    for name in ("helpscout_mailbox_info", "helpscout_replies_sent"):
        assert {p.labels["mailbox_id"] for p in filling.points(name)} == {"1001"}


def test_a_mailbox_has_one_name_in_all_of_its_history(filling: Filling) -> None:
    assert filling.run("2026-03-01", "2026-03-02") is None
    whole = filling.output.read_bytes()
    filling.simulator.set_faults(parse_faults("mailboxes: {1001: {name: Renamed}}"))
    assert filling.run("2026-03-01", "2026-03-02") is None
    assert filling.output.read_bytes() == whole


def test_a_shard_by_account_asks_nothing_of_the_accounts_of_others(filling: Filling) -> None:
    for simulator in simulating(SimulatorOptions(accounts=2, mailboxes=1, rate_limit=LIMIT)):
        filling.simulator = simulator
        filling.variables = {
            "HELPSCOUT_SHARD__TOTAL": "2",
            "HELPSCOUT_ACCOUNTS__0__NAME": "acme",
            "HELPSCOUT_ACCOUNTS__1__NAME": "b",
            "HELPSCOUT_ACCOUNTS__1__BASE_URL": f"{simulator.url}/v2",
            "HELPSCOUT_ACCOUNTS__1__CLIENT_ID": "demo-2",
            "HELPSCOUT_ACCOUNTS__1__CLIENT_SECRET": "secret-2",
        }
        shard = filling.configuration.shard
        assert [shard.may_own(name) for name in ("acme", "b")] == [True, False]
        assert filling.run("2026-03-01", "2026-03-01") is None
        assert list(simulator.stats()["accounts"]) == ["1"]
        info = filling.points("helpscout_mailbox_info")
        assert {point.labels["account"] for point in info} == {"acme"}


def test_an_account_that_is_given_up_is_named_with_the_reason(filling: Filling) -> None:
    filling.simulator.set_faults(
        parse_faults("faults: [{endpoint: report, min_range: 7d, status: 500}]")
    )
    assert filling.run("2026-03-01", "2026-03-01") is not None
    filling.variables = {"HELPSCOUT_CLIENT_SECRET": "wrong"}
    assert filling.run("2026-03-01", "2026-03-01") is not None
    assert filling.said[-1].startswith("account default was given up: login at 127.0.0.1")
    assert "HTTP 401" in filling.said[-1]
