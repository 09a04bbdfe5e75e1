"""What polls, with its threads, against a service whose answers a test holds back or spoils."""

from __future__ import annotations

import errno
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import structlog
from structlog.testing import LogCapture

from exporter import logs
from exporter.cli import once
from exporter.collectors import COLLECTORS, codec
from exporter.collectors.productivity import Productivity
from exporter.core import Exporter, one_round
from exporter.failure import Failure
from exporter.helpscout.account import Api
from exporter.helpscout.client import Client
from exporter.helpscout.errors import ServiceFailed, Unreachable
from exporter.poller import Poller
from exporter.questions import Get, Key, Mailbox, Question, Reading
from exporter.settings import Configuration, load
from exporter.state_file import Remembered, StateFile
from exporter.store import Snapshot, Store
from exporter.telemetry import Telemetry
from tests.contract.conftest import Serve
from tests.contract.scripted import Asked, Reply, Service, as_json, reply
from tests.support import eventually

SECONDS = 20.0
"""More than any of this takes."""

SIX_REPORTS = "[6d, 14d, 30d]"
"""Windows of which two mailboxes have six."""

MOMENT = "helpscout_exporter_config_last_reload_success_timestamp_seconds"


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """A command run in this process leaves its logs as it configured them: undo that."""
    yield
    structlog.reset_defaults()


class Held:
    """A service of some accounts, each with two mailboxes; calls can be held back and failed."""

    def __init__(self, serve: Serve) -> None:
        self.service: Service = serve(self._script)
        self.before_list: Callable[[], object] = lambda: None
        self.before_report: Callable[[], object] = lambda: None
        self.fails: Callable[[str], bool] = lambda _: False

    def _script(self, asked: Asked) -> Reply:
        listed = "/mailboxes" in asked.target and "/folders" not in asked.target
        (self.before_list if listed else self.before_report)()
        if self.fails(asked.target):
            return reply(b'{"error": "no"}', 400)
        if listed:
            boxes = [{"id": n, "name": f"box {n}", "slug": "s", "email": "e"} for n in (1, 2)]
            return as_json({"page": 1, "pages": 1, "items": boxes})
        if "/folders" in asked.target:
            queue = {"id": 9, "name": "", "type": "open", "totalCount": 3, "activeCount": 2}
            return as_json({"page": 1, "pages": 1, "items": [queue]})
        return as_json({"current": {"closed": 1}, "filterTags": [{"id": 7, "name": "vip"}]})

    @property
    def accounts(self) -> set[str]:
        """Those that were asked anything."""
        return {asked.target.split("/")[1] for asked in self.service.asked}

    def environ(self, accounts: str = "a", concurrency: str = "4", **more: str) -> dict[str, str]:
        environ = {
            "HELPSCOUT_WINDOWS": "[7d]",
            "HELPSCOUT_TYPES": "[all]",
            "HELPSCOUT_MAILBOXES__ALL": "false",
            "HELPSCOUT_FOLDERS": "{enabled: false}",
            "HELPSCOUT_WEB__LISTEN": "127.0.0.1:0",
        }
        for number, name in enumerate(accounts):
            of_it = {
                "NAME": name,
                "API_KEY": "a-key",
                "BASE_URL": f"{self.service.url}/{name}",
                "CONCURRENCY": concurrency,
                "REQUESTS_PER_MINUTE": "60000",
            }
            environ |= {f"HELPSCOUT_ACCOUNTS__{number}__{k}": v for k, v in of_it.items()}
        return environ | {f"HELPSCOUT_{name}": value for name, value in more.items()}

    def settings(self, accounts: str = "a", concurrency: str = "4", **more: str) -> Configuration:
        return load(None, self.environ(accounts, concurrency, **more))


@pytest.fixture
def held(serve: Serve) -> Held:
    return Held(serve)


@contextmanager
def running(configuration: Configuration) -> Iterator[Exporter]:
    exporter = Exporter(configuration)
    exporter.start()
    try:
        yield exporter
    finally:
        exporter.stop()


def a_round(exporter: Exporter) -> None:
    eventually(lambda: exporter.poller.first_round_done, "the first round", SECONDS)


def successes(exporter: Exporter) -> dict[str, bool | None]:
    entries = exporter.store.snapshot().entries.items()
    return {f"{key.account}{key.mailbox_id}": entry.success for key, entry in entries}


def healthy(exporter: Exporter) -> bool:
    return exporter.healthy


def ready(exporter: Exporter) -> bool:
    return exporter.ready


def alive(poller: Poller) -> bool:
    return poller.alive


def own_metrics(exporter: Exporter, account: str) -> set[str]:
    return {
        sample.name
        for family in exporter.telemetry.registry.collect()
        for sample in family.samples
        if sample.labels.get("account") == account
    }


# --- workers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accounts", "concurrency", "windows", "at_once"),
    [("ab", "2", "[7d]", 4), ("abcd", "1", "[7d]", 4), ("a", "6", SIX_REPORTS, 6)],
)
def test_as_many_calls_are_out_at_once_as_all_accounts_may_make(
    held: Held, accounts: str, concurrency: str, windows: str, at_once: int
) -> None:
    together = threading.Barrier(at_once)
    held.before_report = lambda: together.wait(5)
    with running(held.settings(accounts, concurrency, WINDOWS=windows)) as exporter:
        a_round(exporter)
        assert set(successes(exporter).values()) == {True}
    assert not together.broken


def test_after_a_reload_as_many_calls_are_out_at_once_as_it_says(held: Held) -> None:
    together = threading.Barrier(6)
    with running(held.settings(concurrency="1")) as exporter:
        a_round(exporter)
        held.before_report = lambda: together.wait(5)
        exporter.configure(held.settings(concurrency="6", WINDOWS=SIX_REPORTS))
        a_round(exporter)
        assert set(successes(exporter).values()) == {True}
    assert not together.broken


def test_many_accounts_do_not_make_more_than_64_workers(held: Held) -> None:
    before = threading.active_count()
    with running(held.settings("abcd", "64")):
        assert threading.active_count() - before < 70


def test_a_defect_costs_one_report_and_no_worker(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Defective(Productivity):
        def ask(self, question: Question, api: Api, at: datetime, get: Get) -> Reading:
            if question.key.mailbox_id == "1":
                raise RuntimeError("a defect")
            return super().ask(question, api, at, get)

    monkeypatch.setitem(COLLECTORS, "productivity", Defective())
    with running(held.settings(concurrency="1")) as exporter:
        a_round(exporter)
        assert successes(exporter) == {"a1": False, "a2": True}


def test_a_log_that_cannot_be_written_ends_no_thread(held: Held) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    logs.configure("debug", "json", Full())
    held.fails = lambda target: "mailboxes=2" in target
    with running(held.settings()) as exporter:
        a_round(exporter)
        assert successes(exporter) == {"a1": True, "a2": False}
        assert healthy(exporter)


def test_windows_end_as_long_before_now_as_configured(held: Held) -> None:
    now = datetime(2026, 3, 5, 12, 0, 30, 500_000, tzinfo=UTC)
    one_round(held.settings(END_DELAY="10m", COMPARE="true"), lambda: now)
    asked = [a.target for a in held.service.asked if "/reports" in a.target]
    assert len(asked) == 2
    for target in asked:
        query = parse_qs(urlsplit(target).query)
        instants = ("start", "end", "previousStart", "previousEnd")
        assert [query[name][0] for name in instants] == [
            "2026-02-26T11:50:31Z",
            "2026-03-05T11:50:30Z",
            "2026-02-19T11:50:31Z",
            "2026-02-26T11:50:30Z",
        ]


@pytest.mark.parametrize(("configured", "there"), [("true", True), ("false", False)])
def test_process_metrics_are_there_where_they_are_wanted(
    held: Held, configured: str, there: bool
) -> None:
    settings = held.settings(WEB__PROCESS_METRICS=configured)
    families = {family.name for family in Exporter(settings).telemetry.registry.collect()}
    own = {name for name in families if name.startswith(("process_", "python_"))}
    assert bool(own) is there
    assert "helpscout_exporter_build_info" in families


def test_every_call_is_paid_once(held: Held) -> None:
    with running(held.settings()) as exporter:
        a_round(exporter)
        _, usage = exporter.poller.progress()["a"]
        assert usage.used == len(held.service.asked) == 1 + 2


def test_a_report_is_asked_as_soon_as_another_has_arrived(held: Held) -> None:
    # A clock by which a second passes in a thousand looks: waiting for one ends this test.
    looks = count(1_000_000)
    state = StateFile(None, codec)
    poller = Poller(Store(), Telemetry(), state, clock=lambda: next(looks) / 1_000)
    poller.configure(held.settings(concurrency="1", TYPES="[all, email, chat, phone]"))
    poller.start()
    try:
        eventually(lambda: poller.first_round_done, "the first round", SECONDS)
    finally:
        poller.stop()
    assert len(held.service.asked) == 1 + 8


@contextmanager
def after_a_round(held: Held, store: Store) -> Iterator[list[float]]:
    """Poll into `store`; yield the clock's seconds, in a list of one, after the first round."""
    seconds = [1_000.0]
    poller = Poller(store, Telemetry(), StateFile(None, codec), clock=lambda: seconds[0])
    poller.configure(held.settings())
    poller.start()
    try:
        eventually(lambda: held.service.asked, "the list", SECONDS)
        seconds[0] += 1.0
        # Not only asked: an answer that is taken in later than this ends the silence.
        eventually(lambda: poller.first_round_done, "a round", SECONDS)
        yield seconds
    finally:
        poller.stop()


def test_an_account_that_is_silent_for_a_minute_is_probed_for_ten_seconds_at_most(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[float] = []
    monkeypatch.setattr(Client, "probe", lambda _client, seconds: probed.append(seconds))
    with after_a_round(held, Store()) as seconds:
        assert len(held.service.asked) == 3
        assert probed == []
        seconds[0] += 61.0
        eventually(lambda: probed, "the probe", SECONDS)
    assert probed == [10.0]


def test_a_probe_that_fails_is_not_reported_as_a_list_that_fails(
    held: Held, monkeypatch: pytest.MonkeyPatch, log: LogCapture
) -> None:
    def probe(_client: Client, _seconds: float) -> None:
        raise Unreachable("no connection")

    monkeypatch.setattr(Client, "probe", probe)
    store = Store()
    with after_a_round(held, store) as seconds:
        seconds[0] += 61.0
        eventually(lambda: store.troubles().accounts, "the probe", SECONDS)
    assert "login or mailbox list failed" not in [entry["event"] for entry in log.entries]


def test_the_list_of_a_daemon_is_tried_once_at_each_of_its_turns(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def mailboxes(_client: Client, *, paid: bool) -> list[Mailbox]:
        tried.append(paid)
        raise ServiceFailed("HTTP 503", status=503)

    monkeypatch.setattr(Client, "mailboxes", mailboxes)
    with running(held.settings()) as exporter:
        eventually(lambda: exporter.poller.attempted, "a try", SECONDS)
        assert tried == [True]


def test_no_scrape_sees_an_answer_without_what_follows_from_it(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store._TURN_SECONDS", SECONDS)
    really, seen, readers = Store.succeeded, list[Snapshot](), list[threading.Thread]()

    def succeeded(store: Store, key: Key, reading: Reading) -> float:
        at = really(store, key, reading)
        readers.append(threading.Thread(daemon=True, target=lambda: seen.append(store.snapshot())))
        readers[-1].start()
        readers[-1].join(0.1)
        return at

    monkeypatch.setattr(Store, "succeeded", succeeded)
    with running(held.settings()) as exporter:
        a_round(exporter)
    for reader in readers:
        reader.join(SECONDS)
    assert len(seen) == 2
    assert {snapshot.accounts["a"].collectors for snapshot in seen} == {(("productivity", True),)}


# --- shards --------------------------------------------------------------------------------------


def test_each_account_is_asked_and_exported_by_one_shard_alone(held: Held) -> None:
    exported: list[set[str]] = []
    for index in "01":
        configuration = held.settings("abcdef", SHARD__INDEX=index, SHARD__TOTAL="2")
        with running(configuration) as exporter:
            a_round(exporter)
            exported.append(set(exporter.store.snapshot().accounts))
        assert held.accounts == exported[-1]
        assert exported[-1] < set("abcdef")
        held.service.asked.clear()
    assert sorted([*exported[0], *exported[1]]) == list("abcdef")


def test_a_shard_says_which_it_is_and_of_how_many(held: Held) -> None:
    exporter = Exporter(held.settings("abcdef", SHARD__INDEX="1", SHARD__TOTAL="3"))
    said = exporter.telemetry.registry.get_sample_value
    assert said("helpscout_exporter_shard_index") == 1
    assert said("helpscout_exporter_shards") == 3


def test_shards_by_mailbox_divide_an_accounts_budget(held: Held) -> None:
    for total in (1, 3):
        by = {"SHARD__TOTAL": str(total), "SHARD__BY": "mailbox"}
        with running(held.settings(**by)) as exporter:
            a_round(exporter)
            assert exporter.poller.progress()["a"][1].allowed == 60_000 * 0.5 / total


# --- reload --------------------------------------------------------------------------------------


def test_a_name_that_no_accounts_mailbox_has_is_logged_once(held: Held, log: LogCapture) -> None:
    def said() -> list[str]:
        return [entry["what"] for entry in log.entries if "Sals*" in entry.get("what", "")]

    with running(held.settings("ab", MAILBOXES__INCLUDE='["box 1", "Sals*"]')) as exporter:
        a_round(exporter)
        eventually(said, "it is logged", SECONDS)
    assert said() == ["mailboxes.include[1]: no mailbox has a name like Sals*"]


def test_a_removed_account_takes_its_metrics_along(held: Held) -> None:
    with running(held.settings("ab")) as exporter:
        a_round(exporter)
        assert own_metrics(exporter, "b")
        exporter.configure(held.settings("a"))
        eventually(lambda: not own_metrics(exporter, "b"), "its metrics are gone", SECONDS)
        assert own_metrics(exporter, "a")
        assert {name[0] for name in successes(exporter)} == {"a"}


def test_a_removed_account_does_not_reappear_with_its_last_call(held: Held) -> None:
    let_go = threading.Event()
    held.before_report = lambda: let_go.wait(SECONDS)
    with running(held.settings("ab")) as exporter:
        calls = [f"/{name}/reports" for name in "ab"]
        eventually(
            lambda: all(any(c in a.target for a in held.service.asked) for c in calls),
            "a call of each account is out",
            SECONDS,
        )
        exporter.configure(held.settings("a"))
        eventually(lambda: not own_metrics(exporter, "b"), "its metrics are gone", SECONDS)
        let_go.set()
        a_round(exporter)
        eventually(lambda: not own_metrics(exporter, "b"), "they stay away", SECONDS)
        assert own_metrics(exporter, "a")


def test_an_account_that_is_gone_leaves_no_connection_open(held: Held) -> None:
    def ports(name: str) -> set[int]:
        asked = held.service.asked
        return {each.port for each in asked if each.target.startswith(f"/{name}/")}

    with running(held.settings("ab")) as exporter:
        a_round(exporter)
        assert ports("b") & held.service.open
        exporter.configure(held.settings("a"))
        eventually(lambda: not ports("b") & held.service.open, "b's are closed", SECONDS)
        assert ports("a") & held.service.open


def test_another_shard_after_a_reload_has_its_own_share_of_mailboxes_and_budget(
    held: Held,
) -> None:
    with running(held.settings()) as exporter:
        a_round(exporter)
        by = {"SHARD__TOTAL": "4", "SHARD__BY": "mailbox"}
        exporter.configure(held.settings(**by))
        eventually(
            lambda: exporter.poller.progress()["a"][1].allowed == 60_000 * 0.5 / 4,
            "a quarter of the budget",
            SECONDS,
        )


def test_a_name_that_another_login_takes_over_is_not_shown_the_figures_of_the_one_before(
    held: Held,
) -> None:
    """The report on all mailboxes has the same key, whosever mailboxes they are."""
    whole = {"MAILBOXES__ALL": "true", "MAILBOXES__INCLUDE": "[1]"}
    let_go = threading.Event()
    with running(held.settings(**whole)) as exporter:
        a_round(exporter)
        held.before_report = lambda: let_go.wait(SECONDS)
        url = f"{held.service.url}/another"
        exporter.configure(held.settings(**whole, ACCOUNTS__0__BASE_URL=url))
        eventually(lambda: held.accounts == {"a", "another"}, "the other is listed", SECONDS)
        eventually(lambda: set(successes(exporter).values()) == {None}, "nothing", SECONDS)
        assert all(e.reading is None for e in exporter.store.snapshot().entries.values())
        let_go.set()
        eventually(lambda: set(successes(exporter).values()) == {True}, "all", SECONDS)


def test_the_last_answers_to_a_login_are_not_shown_under_the_one_that_took_its_name(
    held: Held,
) -> None:
    whole = {"MAILBOXES__ALL": "true", "MAILBOXES__INCLUDE": "[1]"}
    let_go = {"a": threading.Event(), "another": threading.Event()}

    def fails(target: str) -> bool:
        name = target.split("/")[1]
        return "/reports" in target and let_go[name].wait(SECONDS) and name == "another"

    def out(name: str) -> bool:
        return sum(f"/{name}/reports" in asked.target for asked in held.service.asked) == 2

    def arrived() -> bool:
        labels = {"account": "a", "operation": "report", "code": "200"}
        registry = exporter.telemetry.registry
        return registry.get_sample_value("helpscout_exporter_api_requests_total", labels) == 2

    held.fails = fails
    with running(held.settings(**whole)) as exporter:
        eventually(lambda: out("a"), "the calls of the one before", SECONDS)
        url = f"{held.service.url}/another"
        exporter.configure(held.settings(**whole, ACCOUNTS__0__BASE_URL=url))
        eventually(lambda: out("another"), "the calls of the other", SECONDS)
        let_go["a"].set()
        eventually(arrived, "their answers", SECONDS)
        let_go["another"].set()
        eventually(lambda: set(successes(exporter).values()) == {False}, "refused", SECONDS)
        assert all(e.reading is None for e in exporter.store.snapshot().entries.values())


def test_an_account_with_another_budget_keeps_its_figures_and_what_is_known_of_its_tags(
    held: Held,
) -> None:
    cut = {"SEGMENTS": "[{name: vip, tags: [vip]}]"}
    with running(held.settings(**cut)) as exporter:
        a_round(exporter)
        before = exporter.store.snapshot().entries
        assert {key.segment for key in before} == {"", "vip"}
        asked = len(held.service.asked)
        exporter.configure(held.settings(**cut, ACCOUNTS__0__BUDGET="0.25"))
        eventually(
            lambda: exporter.poller.progress()["a"][1].allowed == 60_000 * 0.25,
            "the budget",
            SECONDS,
        )
        eventually(lambda: exporter.poller.attempted, "the list", SECONDS)
        assert exporter.store.snapshot().entries == before
        assert len(held.service.asked) == asked + 1


@pytest.mark.parametrize(
    ("changed", "different"),
    [
        ({"COMPARE": "true", "ACCOUNTS__0__BUDGET": "0.25"}, "previousStart="),
        ({"COMPARE": "true"}, "previousStart="),
        ({"END_DELAY": "1h"}, "end=2026-03-05T12:59:00Z"),
    ],
    ids=["together with its account", "what it compares with", "when its window ends"],
)
def test_a_question_that_a_reload_changes_is_asked_at_once(
    held: Held, changed: dict[str, str], different: str
) -> None:
    now = datetime(2026, 3, 5, 13, 59, tzinfo=UTC)

    def asked() -> int:
        return sum(different in unquote(a.target) for a in held.service.asked)

    exporter = Exporter(held.settings(), now=lambda: now)
    exporter.start()
    try:
        a_round(exporter)
        exporter.configure(held.settings(**changed))
        eventually(lambda: asked() >= 2, "both are asked again", SECONDS)
    finally:
        exporter.stop()


def test_a_reload_is_dated(held: Held) -> None:
    with running(held.settings()) as exporter:
        before = exporter.loaded_at
        assert exporter.telemetry.registry.get_sample_value(MOMENT) == before
        exporter.configure(held.settings())
        assert exporter.loaded_at > before
        assert exporter.telemetry.registry.get_sample_value(MOMENT) == exporter.loaded_at


def test_a_scrape_during_a_reload_never_shows_its_success_with_the_moment_before(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    reloaded = "helpscout_exporter_config_last_reload_successful"
    with running(held.settings()) as exporter:
        before, value = exporter.loaded_at, exporter.telemetry.registry.get_sample_value
        told, scraped = exporter.telemetry, []
        told.reload_successful.set(0)
        for instrument in (told.reload_successful, told.reload_timestamp):

            def scraping(to: float, really: Callable[[float], None] = instrument.set) -> None:
                really(to)
                scraped.append((value(reloaded), value(MOMENT)))

            monkeypatch.setattr(instrument, "set", scraping)
        exporter.configure(held.settings())
    assert len(scraped) == 2
    assert (1, before) not in scraped
    assert scraped[-1] == (1, exporter.loaded_at)


# --- healthy, ready ------------------------------------------------------------------------------


def test_it_is_healthy_while_it_runs_and_its_own_metrics_move(held: Held) -> None:
    exporter = Exporter(held.settings())
    assert healthy(exporter), "about to be"
    exporter.start()
    assert healthy(exporter)
    eventually(
        lambda: "helpscout_exporter_schedule_lag_seconds" in own_metrics(exporter, "a"),
        "the lag is measured",
        SECONDS,
    )
    exporter.stop()
    assert not healthy(exporter)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_it_is_not_healthy_once_nothing_assembles_the_exposition(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect() -> bool:
        raise RuntimeError("a defect")

    with running(held.settings()) as exporter:
        monkeypatch.setattr(exporter.exposition, "assemble", defect)
        eventually(lambda: not healthy(exporter), "it is not healthy", SECONDS)
        assert exporter.poller.alive


def test_a_dispatcher_that_hangs_for_a_minute_is_not_alive(held: Held) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    class Hanging(StateFile):
        """As one on a network file system that is gone."""

        def recall(self, account: str, name: str) -> Remembered | None:
            hangs.set()
            goes_on.wait(SECONDS)
            return None

    seconds = [1_000.0]
    poller = Poller(Store(), Telemetry(), Hanging(None, codec), clock=lambda: seconds[0])
    poller.start()
    try:
        assert alive(poller)
        poller.configure(held.settings())
        assert hangs.wait(SECONDS)
        seconds[0] += 59
        assert alive(poller)
        seconds[0] += 2
        assert not alive(poller)
        goes_on.set()
        eventually(lambda: alive(poller), "it is alive again", SECONDS)
    finally:
        goes_on.set()
        poller.stop()
    assert not alive(poller)


def test_it_is_ready_once_each_login_was_tried_or_after_half_a_minute(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    held.before_list = lambda: goes_on.wait(SECONDS)
    with running(held.settings()) as exporter:
        eventually(lambda: held.service.asked, "the list is asked", SECONDS)
        assert not ready(exporter)
        with monkeypatch.context() as later:
            now = time.monotonic
            later.setattr(time, "monotonic", lambda: now() + 31)
            assert ready(exporter)
        assert not ready(exporter)
        goes_on.set()
        eventually(lambda: ready(exporter), "it is ready", SECONDS)


def test_it_is_not_ready_while_the_login_of_one_account_is_still_to_be_tried(held: Held) -> None:
    goes_on, lists = threading.Event(), count()
    held.before_list = lambda: next(lists) == 0 or goes_on.wait(SECONDS)
    with running(held.settings("ab")) as exporter:
        snapshot = exporter.store.snapshot
        eventually(
            lambda: any(one.up for one in snapshot().accounts.values()), "one is up", SECONDS
        )
        assert not ready(exporter)
        goes_on.set()
        eventually(lambda: ready(exporter), "it is ready", SECONDS)


# --- stop ----------------------------------------------------------------------------------------


def test_what_arrives_while_it_stops_is_taken_in(held: Held) -> None:
    held.before_report = lambda: time.sleep(0.5)
    with running(held.settings()) as exporter:
        eventually(lambda: len(held.service.asked) == 3, "reports are asked", SECONDS)
        assert exporter.stop()
    assert successes(exporter) == {"a1": True, "a2": True}


def test_what_hangs_is_not_waited_for_for_ever_and_is_said(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.poller.dispatcher.STOP_SECONDS", 0.3)
    goes_on = threading.Event()
    held.before_report = lambda: goes_on.wait(SECONDS)
    with running(held.settings()) as exporter:
        eventually(lambda: len(held.service.asked) == 3, "reports are asked", SECONDS)
        assert not exporter.stop()
        goes_on.set()


def test_nothing_of_it_runs_on_after_the_end(held: Held, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with running(held.settings(STATE_FILE=str(tmp_path / "state.db"))) as exporter:
        a_round(exporter)
        ours = {thread.name for thread in set(threading.enumerate()) - before}
        assert {"dispatcher", "worker-0", "assembler", "state"} <= ours
    eventually(
        lambda: not {t.name for t in set(threading.enumerate()) - before} & ours,
        "no thread is left",
        SECONDS,
    )


@pytest.mark.parametrize(
    ("name", "ok"), [("state.db", 1.0), ("no-such-folder/state.db", 0.0), ("", None)]
)
def test_whether_the_state_file_works_is_exported_where_there_is_one(
    held: Held, tmp_path: Path, name: str, ok: float | None
) -> None:
    exporter = Exporter(held.settings(STATE_FILE=str(tmp_path / name) if name else ""))
    value = exporter.telemetry.registry.get_sample_value("helpscout_exporter_state_file_ok")
    exporter.stop()
    assert value == ok


# --- once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fails", "more", "whole"),
    [
        ("", {}, True),
        ("mailboxes=2", {}, False),
        ("/mailboxes", {}, False),
        ("", {"MAILBOXES__INCLUDE": "[box 1, box 3]"}, False),
    ],
    ids=["all is well", "a report fails", "the list fails", "a mailbox is not found"],
)
def test_a_round_is_whole_if_all_that_is_configured_arrived(
    held: Held, fails: str, more: dict[str, str], whole: bool
) -> None:
    held.fails = lambda target: bool(fails) and fails in target
    assert one_round(held.settings(**more))[1] is whole


def test_a_round_leaves_the_state_file_alone(held: Held, tmp_path: Path) -> None:
    one_round(held.settings(STATE_FILE=str(tmp_path / "state.db")))
    assert list(tmp_path.iterdir()) == []


def test_a_reader_of_the_file_that_once_replaces_reads_the_whole_old_one(
    held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in held.environ().items():
        monkeypatch.setenv(name, value)
    output = tmp_path / "helpscout.prom"
    output.write_text("old\n" * 1_000)
    with output.open() as reader:
        once.once(None, output, None)
        assert reader.read() == "old\n" * 1_000
    assert "helpscout_up" in output.read_text()
    assert output.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("fails", "folders", "message", "replaced"),
    [
        ("mailboxes=2", False, "some reports failed", True),
        ("/reports", False, "no report arrived", False),
        ("/reports", True, "some reports failed", True),
    ],
    ids=["a report arrives", "nothing arrives", "queues arrive"],
)
def test_once_fails_if_a_report_does_and_keeps_a_good_file_if_none_arrives(
    held: Held,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: str,
    folders: bool,
    message: str,
    replaced: bool,
) -> None:
    for name, value in held.environ(FOLDERS__ENABLED=str(folders).lower(), FOLDERS="").items():
        monkeypatch.setenv(name, value)
    held.fails = lambda target: fails in target
    output = tmp_path / "helpscout.prom"
    output.write_text("old")
    with pytest.raises(Failure, match=message):
        once.once(None, output, None)
    written = output.read_text()
    assert (written != "old") is replaced
    assert ("helpscout_queue_conversations{" in written) is folders
