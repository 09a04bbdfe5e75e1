"""What does not come: where history ends, failed steps, ill mailboxes, no network, a full disk."""

import sqlite3
import subprocess
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from exporter.backfill.asker import PATIENCE_SECONDS, Asker
from exporter.backfill.grid import Grid
from exporter.backfill.journal import Journal
from exporter.backfill.progress import LogLines, Standing
from exporter.backfill.series import Book
from exporter.exposition import Renderer
from exporter.helpscout.account import Account
from exporter.helpscout.client import ReportAnswer
from exporter.helpscout.errors import HelpScoutError, Refused, ServiceFailed, Unreachable
from exporter.reports import ProductivityReport, ReportKey, ReportRequest, Statistics, Window
from exporter.simulator import Faults, Simulator, parse_faults
from tests.backfill.conftest import Filling, environ
from tests.support import EXPORTER, environment

START, END = "2026-03-01", "2026-03-10"
REPORTS = 10 * 4
WINDOW = Window("24h", timedelta(days=1), timedelta(minutes=5))


# --- against the simulator ----------------------------------------------------------------------


def test_what_fails_once_is_asked_again_at_the_end(filling: Filling) -> None:
    filling.simulator.set_faults(
        parse_faults("faults: [{endpoint: report, share: 0.25, times: 6, status: 500}]")
    )
    assert filling.run(START, END) is None
    assert filling.reports_asked(500) == 6
    assert filling.reports_asked() == REPORTS
    assert 0.5 in filling.pauses


def test_what_fails_for_good_is_listed_and_missing_and_later_asked_alone(
    filling: Filling,
) -> None:
    filling.simulator.set_faults(
        parse_faults("faults: [{endpoint: report, mailbox: 1001, min_range: 7d, status: 500}]")
    )
    error = filling.run(START, END)
    assert error is not None
    assert error.exit_code == 1
    assert str(error) == (
        f"10 reports are missing in {filling.output}: the same command asks for them again"
    )
    failed = [line for line in filling.said if line.startswith("failed: ")]
    assert len(failed) == 10
    assert failed[0] == (
        "failed: account default, mailbox 1001, type all, window 7d, office_hours false,"
        " end 2026-03-10T00:00:00Z: HTTP 500: Internal error"
    )
    have = filling.points("helpscout_replies_sent", mailbox_id="1001")
    assert {point.labels["window"] for point in have} == {"24h"}
    filling.simulator.set_faults(Faults())
    assert filling.run(START, END) is None
    assert filling.reports_asked() == REPORTS


def test_a_mailbox_that_is_refused_altogether_is_asked_once_and_told_once(
    filling: Filling,
) -> None:
    filling.simulator.set_faults(
        parse_faults("faults: [{endpoint: report, mailbox: 1001, status: 403}]")
    )
    error = filling.run(START, END)
    assert "20 reports are missing" in str(error)
    failed = [line for line in filling.said if line.startswith("failed: ")]
    assert failed == ["failed: account default, mailbox 1001, every report: HTTP 403: Forbidden"]
    assert filling.reports_asked(403) <= 4  # as many as are asked at a time


def test_credentials_that_are_refused_end_it_with_one_line(filling: Filling) -> None:
    filling.variables = {"HELPSCOUT_CLIENT_SECRET": "wrong"}
    error = filling.run(START, END)
    assert error is not None
    assert error.exit_code == 1
    assert str(error).startswith("default: HTTP 401")
    assert "wrong" not in str(error)


def test_a_network_that_is_gone_for_a_while_costs_nothing_but_time(filling: Filling) -> None:
    """The service disappears after some answers; it is back when the exporter has waited."""
    there = filling.simulator
    port = int(there.url.rpartition(":")[2])
    back = Simulator(there.options)
    ended = threading.Event()

    def disappear() -> None:
        while filling.reports_asked() < 20 and not ended.wait(0.001):
            pass
        there.stop()

    def reappear() -> None:
        while len(filling.pauses) < 3 and not ended.wait(0.001):
            pass
        back.start(port=port)

    threads = [threading.Thread(target=target) for target in (disappear, reappear)]
    for thread in threads:
        thread.start()
    try:
        error = filling.run(START, END, step=timedelta(hours=1))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        back.stop()
    assert error is None
    assert len(filling.pauses) >= 3
    assert len(filling.points("helpscout_replies_sent")) == 4 * (9 * 24 + 1)


@pytest.mark.parametrize("blocks", [40, 300])
def test_a_full_disk_ends_it_with_one_line_and_loses_nothing(filling: Filling, blocks: int) -> None:
    """A limit on the size of a file stands for the disk: journal or output meet it."""
    (filling.folder / "config.yml").write_text(filling.config)
    arguments = ("--config", "config.yml", "--output", str(filling.output), "--from", START)
    command = ("backfill", *arguments, "--to", END, "--step", "6h", "--budget", "1")
    outcome = subprocess.run(
        ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "-", *EXPORTER, *command],
        cwd=filling.folder,
        env=environment(**environ(filling.simulator)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert outcome.returncode == 1, outcome.stderr
    assert outcome.stderr.splitlines()[-1].startswith(
        (f"{filling.output}.journal: ", f"--output: {filling.output}: File too large")
    )
    assert "the same command goes on" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not filling.output.exists()
    with sqlite3.connect(f"{filling.output}.journal") as database:
        kept = database.execute("SELECT count(*) FROM answers").fetchone()[0]
    database.close()
    asked = filling.reports_asked()
    assert asked - 8 <= kept <= asked
    assert filling.run(START, END, step=timedelta(hours=6)) is None
    assert filling.reports_asked() == 4 * (9 * 4 + 1) + asked - kept


# --- one asker, a service made up ---------------------------------------------------------------

KEYS = tuple(ReportKey("acme", box, "all", "24h", False, "") for box in ("1", "2"))
GRID = Grid(86_400, 20 * 86_400, 86_400)


class Service:
    """Answers reports as a function of mailbox and end in days since 1970 says."""

    def __init__(self, answer: Callable[[str, int], HelpScoutError | None]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, int]] = []

    def report(self, request: ReportRequest, range_: object, *, tags: bool) -> ReportAnswer:
        day = int(range_.end.timestamp()) // 86_400  # type: ignore[attr-defined]
        self.asked.append((request.key.mailbox_id, day))
        error = self.answer(request.key.mailbox_id, day)
        if error is not None:
            raise error
        return ReportAnswer(ProductivityReport(Statistics(day)), {})


def ask(
    service: Service, journal: Journal, filling_clock: Callable[[], float] = lambda: 0.0
) -> Asker:
    """Ask everything of KEYS, with one worker, so that the order is certain."""
    account = _account()
    book = Book(Renderer((), (WINDOW,)), lambda key: key.mailbox_id, (), compare=False)
    requests = [ReportRequest(key, WINDOW, (int(key.mailbox_id),), (), (), False) for key in KEYS]
    asker = Asker(
        account,
        service,  # type: ignore[arg-type]
        requests,
        {"24h": GRID},
        book,
        journal,
        threading.Event(),
        clock=filling_clock,
        wait=lambda _: False,
    )
    asker.start()
    assert asker.join(30)
    assert asker.broken is None
    return asker


def _account() -> Account:
    return Account("acme", "v2", "http://127.0.0.1", "a", None, None, 400, 1.0, 1,
                   timedelta(seconds=1))  # fmt: skip


@pytest.fixture
def journal() -> Journal:
    return Journal(None, {}, 0)


def test_steps_are_asked_from_the_newest_to_the_oldest(journal: Journal) -> None:
    service = Service(lambda box, day: None)
    ask(service, journal)
    assert service.asked == [(box, day) for day in range(20, 0, -1) for box in ("1", "2")]


def test_a_400_ends_the_history_of_its_key_and_is_told_in_one_line(journal: Journal) -> None:
    def answer(box: str, day: int) -> HelpScoutError | None:
        return Refused("HTTP 400: too early", status=400) if box == "1" and day <= 12 else None

    service = Service(answer)
    with capture_logs() as lines:
        asker = ask(service, journal)
    assert asker.failures == {}
    assert [day for box, day in service.asked if box == "1"] == list(range(20, 11, -1))
    assert [day for box, day in service.asked if box == "2"] == list(range(20, 0, -1))
    assert [line["event"] for line in lines] == [
        "history ends here: the service refuses this range and what is older"
    ]
    assert lines[0]["end"] == "1970-01-13T00:00:00Z"
    assert "mailbox 1," in lines[0]["report"]


def test_the_end_of_a_history_is_remembered(journal: Journal) -> None:
    early = Refused("HTTP 400", status=400)
    ask(Service(lambda box, day: early if day <= 12 else None), journal)
    again = Service(lambda box, day: None)
    ask(again, journal)
    assert again.asked == []


def test_any_other_refusal_is_a_failure_of_its_step_alone(journal: Journal) -> None:
    service = Service(lambda box, day: Refused("HTTP 422", status=422) if day == 12 else None)
    asker = ask(service, journal)
    assert sorted((s.request.key.mailbox_id, s.at // 86_400) for s in asker.failures) == [
        ("1", 12),
        ("2", 12),
    ]
    assert len(service.asked) == 40 + 3 * 2


def test_an_account_that_stays_away_is_given_up_after_a_while(journal: Journal) -> None:
    seconds = iter(range(0, 100_000, 100))
    service = Service(lambda box, day: Unreachable("connection refused"))
    asker = ask(service, journal, lambda: float(next(seconds)))
    assert str(asker.given_up) == "connection refused"
    assert len(service.asked) <= PATIENCE_SECONDS / 100 + 1


def test_failures_between_successes_are_no_reason_to_give_up(journal: Journal) -> None:
    seconds = iter(range(0, 1_000_000, 1000))
    service = Service(lambda box, day: ServiceFailed("HTTP 500") if box == "1" else None)
    asker = ask(service, journal, lambda: float(next(seconds)))
    assert asker.given_up is None
    assert len(asker.failures) == 20


# --- how far it is ------------------------------------------------------------------------------


def test_elsewhere_than_on_a_terminal_there_is_a_line_a_minute() -> None:
    show = LogLines()
    with capture_logs() as lines:
        for second in range(0, 181, 5):
            show(Standing(1000, second * 4, second * 2, 1, float(second)))
    assert [line["passed"] for line in lines] == [240, 480, 720]
    assert lines[0] == {
        "event": "backfill",
        "log_level": "info",
        "passed": 240,
        "of": 1000,
        "failed": 1,
        "per_minute": 120.0,
        "left": "6m20s",
    }


def test_before_the_first_answer_nobody_knows_how_long_it_takes() -> None:
    assert Standing(10, 0, 0, 0, 0.0).left == "?"


def test_a_key_whose_newest_report_is_refused_is_a_failure(filling: Filling) -> None:
    filling.simulator.set_faults(
        parse_faults("faults: [{endpoint: report, mailbox: 1002, min_range: 7d, status: 400}]")
    )
    error = filling.run(START, END)
    assert "1 reports are missing" in str(error)
    assert filling.said[-1] == (
        "failed: account default, mailbox 1002, type all, window 7d, office_hours false: the"
        " service refuses even the newest report"
    )
    assert filling.reports_asked(400) <= 4


def test_a_segment_with_a_tags_name_is_asked_with_its_id_and_an_unknown_one_left_out(
    filling: Filling,
) -> None:
    filling.config += "segments: [{name: vip, tags: [vip]}, {name: none, tags: [nobody knows]}]\n"
    assert filling.run(START, START) is None
    assert filling.reports_asked() == 2 * 4
    segments = {p.labels["segment"] for p in filling.points("helpscout_replies_sent")}
    assert segments == {"", "vip"}
