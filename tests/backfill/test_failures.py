"""What is missing: where history ends, failed steps, ill mailboxes, no network, a full disk."""

import contextlib
import errno
import itertools
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.backfill.answers import Answers
from exporter.backfill.asker import PATIENCE_SECONDS, Asker
from exporter.backfill.grid import Grid
from exporter.backfill.progress import LogLines, Progressed
from exporter.backfill.series import SeriesTable
from exporter.collectors.productivity import Productivity
from exporter.collectors.productivity.report import ProductivityReport, Statistics
from exporter.helpscout.account import Account, Api
from exporter.helpscout.errors import (
    BadCredentials,
    HelpScoutError,
    NotAllowed,
    NotThere,
    Refused,
    ServiceFailed,
    Unreachable,
)
from exporter.questions import Get, Key, Mailbox, Question, Reading, Window
from exporter.simulator import Faults, Simulator, parse_faults
from tests.backfill.conftest import Filling, environ
from tests.readings import reading, renderer
from tests.support import EXPORTER, environment, reserved_port

START, END = "2026-03-01", "2026-03-10"
REPORTS = 10 * 4
WINDOW = Window("24h", timedelta(minutes=5))


@pytest.fixture
def captured() -> Iterator[None]:
    """Do not draw tracebacks: each takes seconds on a busy machine."""
    with capture_logs():
        yield


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
    assert failed[0].startswith(
        "failed: account default, collector productivity, mailbox 1001, type all, window 7d,"
        " office_hours false, end 2026-03-10T00:00:00Z: report at 127.0.0.1"
    )
    assert "HTTP 500: Internal error" in failed[0]
    have = filling.points("helpscout_replies_sent", mailbox_id="1001")
    assert {point.labels["window"] for point in have} == {"24h"}
    filling.simulator.set_faults(Faults())
    assert filling.run(START, END) is None
    assert filling.reports_asked() == REPORTS


def test_a_mailbox_that_is_refused_altogether_is_reported_once_a_window_and_its_cuts_are_not_asked(
    filling: Filling,
) -> None:
    filling.simulator.set_faults(
        parse_faults("faults: [{endpoint: report, mailbox: 1001, status: 403}]")
    )
    filling.config = filling.config.replace("[all]", "[all, email, chat]")
    error = filling.run(START, END)
    assert "60 reports are missing" in str(error)
    failed = [line for line in filling.said if line.startswith("failed: ")]
    plain = (
        "failed: account default, collector productivity, mailbox 1001, type all, window {},"
        " office_hours false, "
    )
    for line, w in zip(failed[:2], ("24h", "7d"), strict=True):
        assert line.startswith(f"{plain.format(w)}every report: report at ")
        assert "HTTP 403: Forbidden" in line
    assert failed[2:] == [
        f"{plain.format(w)}its types, segments and office_hours (2): not asked, for this one is"
        " refused"
        for w in ("24h", "7d")
    ]
    # Each window's plain report and what was on its way with it; then the plain ones three times.
    assert filling.reports_asked(403) <= 2 + 4 + 2 * 3
    assert len(filling.points("helpscout_replies_sent", mailbox_id="1002")) == 2 * 3 * 10


@pytest.mark.parametrize("status", [403, 404])
def test_a_report_that_is_refused_for_good_costs_that_report_alone(
    filling: Filling, status: int
) -> None:
    rule = f"{{endpoint: report, mailbox: 1001, min_range: 7d, status: {status}}}"
    filling.simulator.set_faults(parse_faults(f"faults: [{rule}]"))
    error = filling.run(START, END)
    assert "10 reports are missing" in str(error)
    (failed,) = [line for line in filling.said if line.startswith("failed: ")]
    assert "mailbox 1001, type all, window 7d, office_hours false, every report: " in failed
    assert f"HTTP {status}" in failed
    assert len(filling.points("helpscout_replies_sent")) == REPORTS - 10
    assert filling.reports_asked(status) <= 4 + 3
    filling.simulator.set_faults(Faults())
    assert filling.run(START, END) is None
    assert filling.reports_asked() == REPORTS


@pytest.mark.usefixtures("captured")
def test_a_defect_in_every_report_of_a_window_ends_it_soon_with_the_other_window_in_the_file(
    filling: Filling, monkeypatch: pytest.MonkeyPatch
) -> None:
    def figures(table: SeriesTable, question: Question, reading: Reading) -> bytes:
        if question.key.window == "7d":
            raise RuntimeError("a defect")
        return well(table, question, reading)

    well = SeriesTable.figures
    monkeypatch.setattr(SeriesTable, "figures", figures)
    error = filling.run(START, END)
    assert error is not None
    assert error.exit_code == 1
    assert "20 reports are missing" in str(error)
    assert [line for line in filling.said if line.startswith("failed: ")] == [
        f"failed: account default, collector productivity, mailbox {box}, type all, window 7d,"
        " office_hours false, end 2026-03-10T00:00:00Z and older: a defect of the exporter, see the"
        " log"
        for box in ("1001", "1002")
    ]
    assert not filling.pauses
    assert len(filling.points("helpscout_replies_sent")) == 20


@pytest.mark.usefixtures("captured")
def test_a_defect_in_every_report_leaves_a_tags_name_unknown(
    filling: Filling, monkeypatch: pytest.MonkeyPatch
) -> None:
    def figures(table: SeriesTable, question: Question, reading: Reading) -> bytes:
        raise RuntimeError("a defect")

    filling.config += "segments: [{name: vip, tags: [vip]}]\n"
    monkeypatch.setattr(SeriesTable, "figures", figures)
    assert str(filling.run(START, START)) == "default: a defect of the exporter, see the log"


def test_one_400_or_403_leaves_nothing_out(filling: Filling) -> None:
    for status in (400, 403):
        filling.simulator.set_faults(
            parse_faults(f"faults: [{{endpoint: report, times: 1, status: {status}}}]")
        )
        filling.output.with_name("helpscout.om.journal").unlink(missing_ok=True)
        assert filling.run(START, END) is None
        assert len(filling.points("helpscout_replies_sent")) == REPORTS


def test_a_400_that_stays_is_a_hole_that_the_next_run_asks_again(filling: Filling) -> None:
    filling.config = filling.config.replace("[24h, 7d]", "[24h]")
    filling.simulator.set_faults(
        parse_faults(f"faults: [{{endpoint: report, times: {2 * 10}, status: 400}}]")
    )
    error = filling.run(START, END)
    assert error is not None
    assert error.exit_code == 1
    assert [line for line in filling.said if line.startswith("failed: ")]
    filling.simulator.set_faults(Faults())
    assert filling.run(START, END) is None
    assert len(filling.points("helpscout_replies_sent")) == 2 * 10


def test_credentials_that_are_refused_end_it_with_one_line(filling: Filling) -> None:
    filling.variables = {"HELPSCOUT_CLIENT_SECRET": "wrong"}
    error = filling.run(START, END)
    assert error is not None
    assert error.exit_code == 1
    assert str(error).startswith("default: login at 127.0.0.1")
    assert "HTTP 401" in str(error)
    assert "wrong" not in str(error)


def test_a_network_that_is_gone_for_a_while_costs_nothing_but_time(filling: Filling) -> None:
    """The service disappears after some answers; it is back when the exporter has waited."""
    there, back = (Simulator(filling.simulator.options) for _ in range(2))
    port = reserved_port()
    there.start(port=port)
    filling.simulator = there
    ended = threading.Event()

    def disappear() -> None:
        while filling.reports_asked() < 20 and not ended.wait(0.001):
            pass
        there.stop()

    def reappear() -> None:
        while len(filling.pauses) < 3 and not ended.wait(0.001):
            pass
        back.start(port=port)

    threads = [threading.Thread(daemon=True, target=target) for target in (disappear, reappear)]
    for thread in threads:
        thread.start()
    try:
        error = filling.run(START, END, step=timedelta(hours=2))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        there.stop()
        back.stop()
    assert error is None
    assert len(filling.pauses) >= 3
    assert len(filling.points("helpscout_replies_sent")) == 4 * (9 * 12 + 1)


def limited(filling: Filling, blocks: int) -> subprocess.CompletedProcess[str]:
    """Run the command where a file may have so many KiB at most: that stands for a full disk."""
    (filling.folder / "config.yml").write_text(filling.config)
    arguments = ("--config", "config.yml", "--output", str(filling.output), "--from", START)
    command = ("backfill", *arguments, "--to", END, "--step", "6h", "--budget", "1")
    return subprocess.run(
        ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "-", *EXPORTER, *command],
        cwd=filling.folder,
        env=environment(**environ(filling.simulator)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_full_disk_ends_it_with_one_line_and_loses_nothing(filling: Filling) -> None:
    outcome = limited(filling, 40)
    assert outcome.returncode == 1, outcome.stderr
    assert outcome.stderr.splitlines()[-1].startswith(f"{filling.output}.journal: ")
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


def test_a_disk_that_is_full_when_the_output_is_written_leaves_no_part_of_it(
    filling: Filling, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, lines: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("exporter.backfill.writer.write_whole", fail)
        assert filling.run(START, END, step=timedelta(hours=6)) is not None
    asked = filling.reports_asked()
    outcome = limited(filling, 300)
    assert outcome.returncode == 1, outcome.stderr
    last = outcome.stderr.splitlines()[-1]
    assert last.startswith(f"--output: {filling.output}: File too large; no answer is lost")
    names = {path.name for path in filling.folder.iterdir()}
    assert names == {"config.yml", f"{filling.output.name}.journal"}
    assert filling.run(START, END, step=timedelta(hours=6)) is None
    assert filling.reports_asked() == asked


# --- one asker, a service made up ---------------------------------------------------------------

KEYS = tuple(Key("productivity", "acme", box, "all", "24h", "false", "") for box in ("1", "2"))
GRID = Grid(86_400, 20 * 86_400, 86_400)


class Service:
    """Answers reports as a function of mailbox (and type) and end in days since 1970 says."""

    def __init__(
        self,
        answer: Callable[[str, int], HelpScoutError | None],
        listing: HelpScoutError | None = None,
    ) -> None:
        self.answer, self.listing = answer, listing
        self.asked: list[tuple[str, int]] = []

    def mailboxes(self) -> list[Mailbox]:
        if self.listing is not None:
            raise self.listing
        return []

    api = "v2"

    def ask(self, operation: str, fetch: Callable[[Get], Reading], **more: object) -> Reading:
        question, at = fetch.args[0], fetch.args[2]  # type: ignore[attr-defined]
        day = int(at.timestamp()) // 86_400
        key = question.key
        name = key.mailbox_id if key.type == "all" else f"{key.mailbox_id} {key.type}"
        self.asked.append((name, day))
        error = self.answer(name, day)
        if error is not None:
            raise error
        return reading(ProductivityReport(Statistics(day)))

    def days(self, box: str) -> list[int]:
        """Return what was asked of a mailbox, in order."""
        return [day for asked, day in self.asked if asked == box]


def ask(
    service: Service,
    answers: Answers,
    filling_clock: Callable[[], float] = lambda: 0.0,
    keys: tuple[Key, ...] = KEYS,
    waits: list[float] | None = None,
    concurrency: int = 1,
    stopping: threading.Event | None = None,
) -> Asker:
    """Ask everything of `keys`, by default with one worker, so that the order is certain.

    How long it would have waited is appended to `waits`.
    """
    waited: list[float] = [] if waits is None else waits
    account = _account(concurrency)
    series = SeriesTable(renderer(windows=(WINDOW,)), lambda key: key.mailbox_id, ())
    questions = [
        Question(key, WINDOW.every, WINDOW.range, ((int(key.mailbox_id),), (), ())) for key in keys
    ]
    asker = Asker(
        account,
        service,  # type: ignore[arg-type]
        questions,
        {("productivity", "24h"): GRID},
        series,
        answers,
        stopping or threading.Event(),
        clock=filling_clock,
        wait=lambda seconds: bool(waited.append(seconds)),  # type: ignore[func-returns-value]
    )
    asker.start()
    assert asker.join(30)
    assert asker.broken is None
    return asker


def _account(concurrency: int) -> Account:
    return Account(
        name="acme",
        api="v2",
        base_url="http://127.0.0.1",
        client_id="a",
        requests_per_minute=400,
        budget=1.0,
        concurrency=concurrency,
        timeout=timedelta(seconds=1),
    )


@pytest.fixture
def answers() -> Answers:
    return Answers(None, {}, 0)


def test_steps_are_asked_from_the_newest_to_the_oldest(answers: Answers) -> None:
    service = Service(lambda box, day: None)
    ask(service, answers)
    assert service.asked == [(box, day) for day in range(20, 0, -1) for box in ("1", "2")]


def test_as_many_are_asked_at_once_as_the_account_allows(answers: Answers) -> None:
    together = threading.Barrier(3)

    def answer(box: str, day: int) -> HelpScoutError | None:
        if day == 20:
            together.wait(20)
        return None

    keys = tuple(KEYS[0]._replace(mailbox_id=str(number)) for number in range(3))
    ask(Service(answer), answers, keys=keys, concurrency=3)
    assert not together.broken


def test_once_it_is_stopped_nothing_more_is_asked_and_what_was_answered_is_kept(
    answers: Answers,
) -> None:
    stopping = threading.Event()

    def answer(box: str, day: int) -> HelpScoutError | None:
        if day == 18:
            stopping.set()
        return None

    service = Service(answer)
    ask(service, answers, stopping=stopping)
    assert service.asked[-1] == ("1", 18)
    assert kept(answers, "1") == [18, 19, 20]


EARLY = Refused("HTTP 400: too early", status=400)


def too_early(last: int) -> Callable[[str, int], HelpScoutError | None]:
    """Return what refuses the days of mailbox 1 up to `last`, the ones before 1970 included."""
    return lambda box, day: EARLY if box == "1" and day <= last else None


def kept(answers: Answers, box: str) -> list[int]:
    """Return the days of a mailbox whose answers are there."""
    key = next(key for key in KEYS if key.mailbox_id == box)
    return [at // 86_400 for at, _ in answers.history(key)]


def test_a_history_ends_where_newer_is_answered_and_all_that_is_older_refused(
    answers: Answers,
) -> None:
    service = Service(too_early(12))
    with capture_logs() as lines:
        asker = ask(service, answers)
    assert (asker.failures, asker.unjudged) == ({}, {})
    # Three in a row; then the first of them again, the newer one, and one beyond the range.
    assert service.days("1") == [*range(20, 9, -1), 12, 13, 0]
    assert service.days("2") == list(range(20, 0, -1))
    assert answers.ends() == {KEYS[0]: 12 * 86_400}
    told = [line for line in lines if line["log_level"] == "warning"]
    assert [line["event"] for line in told] == [
        "history ends here: the service refuses this range and what is older"
    ]
    assert told[0]["end"] == "1970-01-13T00:00:00Z"
    assert "mailbox 1," in told[0]["report"]


@pytest.mark.parametrize("last", [1, 2])
def test_a_history_may_end_at_the_very_beginning_of_the_range(answers: Answers, last: int) -> None:
    asker = ask(Service(too_early(last)), answers)
    assert (asker.failures, asker.unjudged) == ({}, {})
    assert answers.ends() == {KEYS[0]: last * 86_400}


def test_an_end_is_asked_for_again_by_the_next_run_and_reported_no_more(answers: Answers) -> None:
    ask(Service(too_early(12)), answers)
    again = Service(too_early(12))
    with capture_logs() as lines:
        ask(again, answers)
    assert again.asked == [("1", 12), ("1", 13), ("1", 0)]
    assert lines == []
    assert answers.ends() == {KEYS[0]: 12 * 86_400}


def test_an_end_that_is_none_is_forgotten_and_all_that_is_older_asked(answers: Answers) -> None:
    ask(Service(too_early(12)), answers)
    asker = ask(Service(lambda box, day: None), answers)
    assert (asker.failures, asker.unjudged) == ({}, {})
    assert answers.ends() == {}
    assert kept(answers, "1") == list(range(1, 21))


def test_an_end_that_is_none_leaves_those_of_other_mailboxes(answers: Answers) -> None:
    ask(Service(lambda box, day: EARLY if day <= 12 else None), answers)
    ask(Service(lambda box, day: ServiceFailed("HTTP 503") if box == "2" else None), answers)
    assert answers.ends() == {KEYS[1]: 12 * 86_400}


def test_an_end_that_cannot_be_asked_for_stays_and_is_reported(answers: Answers) -> None:
    ask(Service(too_early(12)), answers)
    with capture_logs() as lines:
        ask(Service(lambda box, day: ServiceFailed("HTTP 503")), answers)
    assert answers.ends() == {KEYS[0]: 12 * 86_400}
    assert lines[-1]["event"].endswith("could not be confirmed")


@pytest.mark.parametrize("bad", [1, 2, 3, 4], ids=lambda n: f"{n} calls")
@pytest.mark.parametrize(
    "error", [EARLY, NotAllowed("HTTP 403", status=403), NotThere("HTTP 404", status=404)], ids=str
)
def test_a_refusal_that_passes_costs_no_report(
    answers: Answers, error: HelpScoutError, bad: int
) -> None:
    calls = itertools.count()

    def answer(box: str, day: int) -> HelpScoutError | None:
        return error if box == "1" and day <= 15 and next(calls) < bad else None

    asker = ask(Service(answer), answers)
    assert (asker.failures, asker.unjudged, answers.ends()) == ({}, {}, {})
    assert kept(answers, "1") == list(range(1, 21))


@pytest.mark.parametrize("bad", [1, 3, 5, 12, 30], ids=lambda n: f"{n} calls")
def test_a_storm_of_refusals_is_not_the_end_of_a_history(answers: Answers, bad: int) -> None:
    calls = itertools.count()
    asker = ask(Service(lambda box, day: EARLY if 8 <= next(calls) < 8 + bad else None), answers)
    assert answers.ends() == {}
    missing = 40 - len(kept(answers, "1")) - len(kept(answers, "2"))
    assert bool(missing) == bool(asker.failures)
    assert (missing > 0) == (bad > 12)


CUTS = tuple(KEYS[0]._replace(type=type_) for type_ in ("all", "chat", "email"))


@pytest.mark.parametrize("error", [NotAllowed("HTTP 403"), NotThere("HTTP 404")], ids=str)
def test_a_refused_cut_leaves_the_others_of_its_mailbox_alone(
    answers: Answers, error: HelpScoutError
) -> None:
    service = Service(lambda name, day: error if name == "1 chat" else None)
    asker = ask(service, answers, keys=CUTS)
    assert asker.unjudged.keys() == {CUTS[1]}
    assert asker.holes == {}
    assert service.days("1 chat") == [20] * 4
    assert service.days("1") == service.days("1 email") == list(range(20, 0, -1))


def test_a_mailbox_whose_plain_report_is_refused_is_left_alone_until_it_is_answered(
    answers: Answers,
) -> None:
    error = NotAllowed("HTTP 403")
    service = Service(lambda name, day: error)
    asker = ask(service, answers, keys=CUTS)
    assert service.asked == [("1", 20)] * 4
    assert asker.left_alone == {CUTS[0]: 2}
    calls = itertools.count()
    service = Service(lambda name, day: error if next(calls) < 2 else None)
    asker = ask(service, answers, keys=CUTS)
    assert (asker.failures, asker.unjudged, asker.left_alone) == ({}, {}, {})
    assert service.days("1 chat") == list(range(20, 0, -1))


def test_a_cut_that_fails_is_not_asked_again_while_its_plain_report_is_refused(
    answers: Answers,
) -> None:
    errors = {"1": NotAllowed("HTTP 403"), "1 chat": ServiceFailed("HTTP 500")}
    service = Service(lambda name, day: errors[name])
    asker = ask(service, answers, keys=(CUTS[1], CUTS[0]))
    assert service.days("1 chat") == [20]
    assert service.days("1") == [20] * 4
    assert asker.left_alone == {CUTS[0]: 1}
    assert asker.holes == {}


@pytest.mark.parametrize("days", [{12}, {10, 11, 12}, {1}, {7, 8, 9, 10, 11, 12}], ids=str)
def test_steps_that_are_refused_for_good_between_answered_ones_are_holes(
    answers: Answers, days: set[int]
) -> None:
    asker = ask(Service(lambda box, day: EARLY if box == "1" and day in days else None), answers)
    assert {step.at // 86_400 for step in asker.failures} == days
    assert (asker.unjudged, answers.ends()) == ({}, {})
    assert kept(answers, "1") == sorted(set(range(1, 21)) - days)


def test_holes_stay_holes_though_a_newer_step_is_answered_last(answers: Answers) -> None:
    calls = itertools.count()

    def answer(box: str, day: int) -> HelpScoutError | None:
        if box == "1" and day in (0, 11, 12):
            return EARLY
        return ServiceFailed("HTTP 500") if (box, day) == ("1", 15) and not next(calls) else None

    asker = ask(Service(answer), answers)
    assert answers.ends() == {}
    assert {step.at // 86_400 for step in asker.holes} == {11, 12}


def test_what_is_asked_late_is_retried_as_often_as_the_rest(answers: Answers) -> None:
    refused, failed = itertools.count(), itertools.count()

    def answer(box: str, day: int) -> HelpScoutError | None:
        if box == "1" and day >= 18 and next(refused) < 4:
            return EARLY
        return ServiceFailed("HTTP 500") if (box, day) == ("1", 17) and next(failed) < 3 else None

    asker = ask(Service(answer), answers)
    assert next(failed) == 4
    assert asker.failures == {}
    assert kept(answers, "1") == list(range(1, 21))


@pytest.mark.parametrize("error", [EARLY, NotAllowed("HTTP 403", status=403)], ids=str)
def test_a_right_that_is_lost_on_the_way_is_not_the_end_of_a_history(
    answers: Answers, error: HelpScoutError
) -> None:
    calls = itertools.count()

    def answer(box: str, day: int) -> HelpScoutError | None:
        return error if box == "1" and next(calls) >= 8 else None

    asker = ask(Service(answer), answers)
    assert answers.ends() == {}
    assert {key: step.at // 86_400 for key, (step, _) in asker.unjudged.items()} == {KEYS[0]: 12}
    assert not asker.is_shut(KEYS[0])
    ask(Service(lambda box, day: None), answers)
    assert kept(answers, "1") == list(range(1, 21))


@pytest.mark.parametrize("box", ["1", "2"])
def test_a_key_that_is_never_answered_is_left_after_a_few_calls_of_each_run(
    answers: Answers, box: str
) -> None:
    (key,) = (key for key in KEYS if key.mailbox_id == box)
    for _ in range(2):
        service = Service(lambda asked, day: NotAllowed("HTTP 403") if asked == box else None)
        asker = ask(service, answers)
        assert service.days(box) == [20] * 4
        assert asker.is_shut(key)
        assert asker.unjudged.keys() == {key}
    assert kept(answers, {"1": "2", "2": "1"}[box]) == list(range(1, 21))


def test_a_401_of_one_report_is_that_reports_while_the_mailbox_list_is_answered(
    answers: Answers,
) -> None:
    refused = BadCredentials("HTTP 401", status=401)
    asker = ask(Service(lambda box, day: refused if box == "1" else None), answers)
    assert asker.given_up is None
    assert asker.unjudged.keys() == {KEYS[0]}
    assert kept(answers, "2") == list(range(1, 21))


def test_a_401_of_the_mailbox_list_gives_the_account_up(answers: Answers) -> None:
    refused = BadCredentials("HTTP 401", status=401)
    service = Service(lambda box, day: refused, listing=refused)
    asker = ask(service, answers)
    assert asker.given_up is refused
    assert len(service.asked) == 1


def test_any_other_refusal_is_a_failure_of_its_step_alone(answers: Answers) -> None:
    service = Service(lambda box, day: Refused("HTTP 422", status=422) if day == 12 else None)
    asker = ask(service, answers)
    assert sorted((s.question.key.mailbox_id, s.at // 86_400) for s in asker.failures) == [
        ("1", 12),
        ("2", 12),
    ]
    assert len(service.asked) == 40 + 3 * 2


def test_any_other_refusal_of_all_that_is_older_is_not_the_end_of_a_history(
    answers: Answers,
) -> None:
    error = Refused("HTTP 422", status=422)
    asker = ask(Service(lambda box, day: error if box == "1" and day <= 12 else None), answers)
    assert answers.ends() == {}
    assert {step.at // 86_400 for step in asker.holes} == set(range(1, 13))


@pytest.mark.usefixtures("captured")
def test_a_defect_of_the_exporter_costs_that_report_alone(answers: Answers) -> None:
    def answer(box: str, day: int) -> HelpScoutError | None:
        if (box, day) == ("1", 12):
            raise RuntimeError("a defect")
        return None

    asker = ask(Service(answer), answers)
    ((step, error),) = asker.holes.items()
    assert (step.question.key, step.at // 86_400) == (KEYS[0], 12)
    assert str(error) == "a defect of the exporter, see the log"
    assert kept(answers, "2") == list(range(1, 21))


@pytest.mark.usefixtures("captured")
def test_where_a_defect_fails_every_report_each_key_is_left_after_three_without_a_wait(
    answers: Answers,
) -> None:
    def answer(box: str, day: int) -> HelpScoutError | None:
        raise RuntimeError("a defect")

    service, waits = Service(answer), list[float]()
    asker = ask(service, answers, waits=waits)
    assert service.days("1") == service.days("2") == [20, 19, 18]
    assert not waits
    assert asker.defective == dict.fromkeys(KEYS, 20 * 86400)
    assert not asker.holes


@pytest.mark.usefixtures("captured")
def test_reports_that_a_defect_fails_since_a_day_cost_no_others(answers: Answers) -> None:
    def answer(box: str, day: int) -> HelpScoutError | None:
        if box == "1" and day in (19, 18, 7, 6, 5, 4):
            raise RuntimeError("a defect")
        return None

    asker = ask(Service(answer), answers)
    assert kept(answers, "1") == [*range(8, 18), 20]
    assert kept(answers, "2") == list(range(1, 21))
    assert asker.defective == {KEYS[0]: 7 * 86_400}


@pytest.mark.usefixtures("captured")
def test_an_answer_whose_figures_a_defect_fails_costs_that_report_alone(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def figures(table: SeriesTable, question: Question, reading: Reading) -> bytes:
        if reading.value.current.conversations == 12:
            raise RuntimeError("a defect")
        return b"1"

    monkeypatch.setattr(SeriesTable, "figures", figures)
    asker = ask(Service(lambda box, day: None), answers)
    assert {step.at // 86_400 for step in asker.holes} == {12}


def test_an_account_that_stays_away_is_given_up_after_a_while(answers: Answers) -> None:
    seconds = iter(range(0, 100_000, 100))
    service = Service(lambda box, day: Unreachable("connection refused"))
    asker = ask(service, answers, lambda: float(next(seconds)))
    assert str(asker.given_up) == "connection refused"
    assert len(service.asked) <= PATIENCE_SECONDS / 100 + 1


def test_an_account_that_stays_away_is_asked_once_a_minute_at_last(answers: Answers) -> None:
    waits: list[float] = []
    service = Service(lambda box, day: Unreachable("connection refused"))
    ask(service, answers, waits=waits)
    assert waits[:8] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_failures_between_successes_are_not_a_reason_to_give_up(answers: Answers) -> None:
    seconds = iter(range(0, 1_000_000, 1000))
    service = Service(lambda box, day: ServiceFailed("HTTP 500") if box == "1" else None)
    asker = ask(service, answers, lambda: float(next(seconds)))
    assert asker.given_up is None
    assert len(asker.failures) == 20


def test_failures_between_refusals_are_not_a_reason_to_give_up(answers: Answers) -> None:
    seconds, calls = iter(range(0, 1_000_000, 100)), itertools.count(1)
    refused, away = NotAllowed("HTTP 403", status=403), Unreachable("connection refused")
    keys = tuple(KEYS[0]._replace(mailbox_id=str(number)) for number in range(20))
    service = Service(lambda box, day: refused if next(calls) % 3 else away)
    assert ask(service, answers, lambda: float(next(seconds)), keys=keys).given_up is None


# --- how far it is ------------------------------------------------------------------------------


def test_elsewhere_than_on_a_terminal_there_is_a_line_a_minute() -> None:
    show = LogLines()
    with capture_logs() as lines:
        for second in range(0, 181, 5):
            show(Progressed(1000, second * 4, second * 2, 1, float(second)))
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
    assert Progressed(10, 0, 0, 0, 0.0).left == "?"


def test_a_key_whose_every_report_is_refused_is_a_failure(filling: Filling) -> None:
    filling.simulator.set_faults(
        parse_faults("faults: [{endpoint: report, mailbox: 1002, min_range: 7d, status: 400}]")
    )
    error = filling.run(START, END)
    assert "10 reports are missing" in str(error)
    assert filling.said[-1].startswith(
        "failed: account default, collector productivity, mailbox 1002, type all, window 7d,"
        " office_hours false, every report: report at 127.0.0.1"
    )
    assert "HTTP 400: Internal error" in filling.said[-1]
    assert filling.reports_asked(400) <= 3 + 4 + 3


def test_a_segment_with_a_tags_name_is_asked_with_its_id_and_an_unknown_one_is_reported(
    filling: Filling,
) -> None:
    filling.config += "segments: [{name: vip, tags: [vip]}, {name: none, tags: [nobody knows]}]\n"
    error = filling.run(START, START)
    assert error is not None
    assert str(error) == f"not all that is configured is in {filling.output}, see above"
    assert filling.said[-1] == (
        "failed: account default, segment none: not asked, for no report names the tag nobody knows"
    )
    assert filling.reports_asked() == 2 * 4
    segments = {p.labels["segment"] for p in filling.points("helpscout_replies_sent")}
    assert segments == {"", "vip"}


def test_a_tag_that_is_not_known_yet_is_looked_up_again_by_the_next_run(filling: Filling) -> None:
    filling.config += "segments: [{name: vip, tags: [vip]}]\n"
    body = '{"filterTags": [], "current": {}}'
    filling.simulator.set_faults(
        parse_faults(f"faults: [{{endpoint: report, status: 200, body: '{body}'}}]")
    )
    assert "not all that is configured" in str(filling.run(START, START))
    filling.simulator.set_faults(Faults())
    assert filling.run(START, START) is None
    assert {p.labels["segment"] for p in filling.points("helpscout_replies_sent")} == {"vip", ""}


def test_an_empty_mailbox_list_is_not_kept(filling: Filling) -> None:
    filling.simulator.set_faults(
        parse_faults("mailboxes: {1001: {deleted: true}, 1002: {deleted: true}}")
    )
    assert str(filling.run(START, END)) == ("account default: none of its 0 mailboxes is selected")
    filling.simulator.set_faults(Faults())
    assert filling.run(START, END) is None
    assert len(filling.points("helpscout_replies_sent")) == REPORTS


def test_a_login_and_a_mailbox_list_that_fail_for_a_moment_cost_nothing(filling: Filling) -> None:
    rules = "{endpoint: token, times: 1, status: 503}, {endpoint: mailboxes, times: 2, status: 502}"
    filling.simulator.set_faults(parse_faults(f"faults: [{rules}]"))
    assert filling.run(START, START) is None
    assert filling.pauses[:3] == [0.5, 1.0, 2.0]


def test_an_answer_that_was_damaged_in_the_file_of_answers_is_asked_again(filling: Filling) -> None:
    assert filling.run(START, END) is None
    whole = filling.output.read_bytes()
    with contextlib.closing(sqlite3.connect(f"{filling.output}.journal")) as database, database:
        newest = "SELECT max(at) FROM answers"
        database.execute(f"UPDATE answers SET figures = x'3120' WHERE at = ({newest})")
    assert filling.run(START, END) is None
    assert filling.output.read_bytes() == whole
    assert filling.reports_asked() == REPORTS + 4


@pytest.mark.parametrize(
    "damage",
    [
        *(
            f"UPDATE facts SET content = '{{' WHERE name LIKE '{fact}%'"
            for fact in ("mailboxes", "limit", "tags", "fingerprint", "end")
        ),
        "INSERT INTO ends VALUES ('7', 1)",
    ],
)
def test_a_damaged_file_of_answers_is_reported(filling: Filling, damage: str) -> None:
    filling.config += "segments: [{name: vip, tags: [vip]}]\n"
    assert filling.run(START, START) is None
    with contextlib.closing(sqlite3.connect(f"{filling.output}.journal")) as database, database:
        database.execute(damage)
    assert str(filling.run(START, START)) == (
        f"{filling.output}.journal is damaged: delete it to begin again, or choose another --output"
    )


def test_a_history_that_ends_is_whole_without_what_is_older_and_asked_about_by_every_run(
    filling: Filling, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ask_ = list[datetime](), Productivity.ask
    begins = datetime(2026, 3, 4, tzinfo=UTC)

    def refusing(
        self: Productivity, question: Question, api: Api, at: datetime, get: Get
    ) -> Reading:
        asked.append(at)
        if at < begins:
            raise Refused("HTTP 400: too early", status=400)
        return ask_(self, question, api, at, get)

    with monkeypatch.context() as patch:
        patch.setattr(Productivity, "ask", refusing)
        assert filling.run(START, END) is None
        assert len(filling.points("helpscout_replies_sent")) == 4 * 7
        asked.clear()
        assert filling.run(START, END) is None
        assert len(asked) == 4 * 3
    assert filling.run(START, END) is None
    assert len(filling.points("helpscout_replies_sent")) == REPORTS
