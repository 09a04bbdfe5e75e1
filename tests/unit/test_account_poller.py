"""One account's poller: what it asks next, and what follows from how it went. No time passes."""

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import LogCapture

from exporter.collectors import codec
from exporter.health import Failure
from exporter.helpscout.errors import (
    BadCredentials,
    BadResponse,
    HelpScoutError,
    NotAllowed,
    NotThere,
    Refused,
    ServiceFailed,
    ShortList,
    Suspended,
    Throttled,
    Unreachable,
)
from exporter.questions import Mailbox
from exporter.selection import Segment
from exporter.state_file import StateFile
from tests.readings import reading, settings
from tests.unit.poller_world import ACCOUNT, BOXES, DAY, REPORT, SELECTION, World


def lines(log: LogCapture) -> list[str]:
    return [entry["event"] for entry in log.entries]


def test_first_the_mailboxes_are_listed_then_every_report_is_asked_once() -> None:
    world = World()
    world.discover()
    asked = [world.answer() for _ in range(4)]
    assert [(key.window, key.mailbox_id) for key in asked if key] == [
        ("24h", "1"), ("24h", "2"), ("30d", "1"), ("30d", "2"),
    ]  # fmt: skip
    assert world.job() is None
    assert world.poller.first_round_done
    assert world.up()
    assert world.successes() == [True] * 4


def test_no_more_runs_at_once_than_the_account_allows() -> None:
    world = World()
    world.discover()
    assert all(world.job() for _ in range(4))
    world.poller.configure(settings(replace(SELECTION, types=("all", "email")), ACCOUNT))
    assert world.job() is None


@pytest.mark.parametrize(
    "error",
    [Unreachable("x"), ServiceFailed("x", status=500), Throttled("x", status=429)],
    ids=lambda error: type(error).__name__,
)
def test_retries_wait_half_a_second_doubling_and_end_after_three(error: HelpScoutError) -> None:
    world = World(replace(SELECTION, windows=(DAY,)))
    world.discover(BOXES[:1])
    started = world.now
    waits = []
    for _ in range(4):
        job, at = world.poller.next_job(world.now)
        while job is None:
            world.now = at
            job, at = world.poller.next_job(world.now)
        waits.append(round(world.now - started, 2))
        started = world.now
        world.poller.failed(job, error)
    assert waits == pytest.approx([0.0, 0.5, 1.0, 2.0], abs=0.02)
    assert world.successes() == [False]
    assert world.metric("api_retries_total", reason=error.reason) == 3
    assert world.next_report(100) is None


def test_a_retry_waits_as_long_as_the_service_says() -> None:
    world = World(replace(SELECTION, windows=(DAY,)))
    world.discover(BOXES[:1])
    world.answer(ServiceFailed("x", status=503, retry_after=30))
    assert world.next_report(100) == pytest.approx(30, abs=0.5)


def test_a_retry_that_would_come_after_the_next_turn_is_not_made() -> None:
    world = World(replace(SELECTION, windows=(DAY,)))
    world.discover(BOXES[:1])
    world.answer(ServiceFailed("x", status=503, retry_after=3_000))
    assert world.successes() == [False]
    assert world.metric("api_retries_total", reason="server_error") is None


@pytest.mark.parametrize(
    "error",
    [
        Refused("x", status=400),
        NotAllowed("x", status=403),
        NotThere("x", status=404),
        BadResponse("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_pass_is_not_asked_again_soon(error: HelpScoutError) -> None:
    world = World(replace(SELECTION, windows=(DAY,)))
    world.discover(BOXES[:1])
    world.answer(error)
    assert world.successes() == [False]
    assert world.metric("api_retries_total", reason=error.reason) is None
    assert world.next_report(200) is None


def test_a_report_that_fails_leaves_the_others_and_keeps_its_own_last_value() -> None:
    world = World()
    world.discover()
    world.answer_all()
    world.now += 400
    failed = world.answer(BadResponse("current.responseTime: is not a number"))
    assert failed is not None
    world.answer_all()
    entries = world.store.snapshot().entries
    assert [key for key, entry in entries.items() if entry.success is False] == [failed]
    assert entries[failed].reading == reading(REPORT)
    assert world.up()


def test_data_too_old_vanishes_while_the_time_of_its_success_stays() -> None:
    world = World(replace(SELECTION, windows=(DAY,)))
    world.discover(BOXES[:1])
    world.answer()
    world.now += 899
    assert next(iter(world.store.snapshot().entries.values())).reading is not None
    world.now += 2
    [entry] = world.store.snapshot().entries.values()
    assert entry.reading is None
    assert entry.succeeded_at == world.wall


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (BadCredentials("no", status=401), "credentials"),
        (Suspended("no", status=402), "suspended"),
        (NotAllowed("no", status=403), "plan"),
        (Unreachable("no"), "unreachable"),
        (ServiceFailed("no", status=502), "unreachable"),
        (BadResponse("no"), "bad_response"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_account_whose_discovery_fails_is_down_and_tried_again_soon(
    error: HelpScoutError, problem: str
) -> None:
    world = World()
    world.discover(error)
    world.list_error = error
    assert world.poller.attempted
    assert not world.up()
    assert world.problems == {problem}
    for _ in range(5):
        job, at = world.poller.next_job(world.now)
        assert job is None
        assert at <= world.now + 30
        world.now = at
        job, _ = world.poller.next_job(world.now)
        assert job is not None
        assert job.question is None
        if job.probe:
            world.probe(error)
        else:
            world.poller.discovery_failed(error)
    assert not world.up()
    assert world.problems == {problem}
    world.list_error = None
    world.now += 30
    world.discover()
    assert world.up()
    assert world.problems == set()


@pytest.mark.parametrize("error", [BadCredentials("no", status=401), Suspended("no", status=402)])
def test_while_login_is_refused_only_the_list_is_asked(error: HelpScoutError) -> None:
    world = World()
    world.discover()
    world.list_error = error
    assert world.answer(error) is not None
    assert world.job() is None
    assert world.successes() == [False] * 4
    assert not world.up()
    world.list_error = None
    world.now += 30
    assert world.answer_all() == 4
    assert world.up()
    assert world.successes() == [True] * 4


def test_when_the_account_works_again_what_failed_is_asked_at_once() -> None:
    world = World()
    world.discover()
    world.answer_all()
    world.list_error = Unreachable("x")
    world.now += 300
    for _ in range(40):
        if world.answer(Unreachable("x")) is None:
            world.now += 1
    assert not world.up()
    assert world.problems == {"unreachable"}
    assert False in world.successes()
    world.list_error = None
    world.now += 30
    while (job := world.job()) is not None:
        if job.question is None:
            world.poller.discovered(BOXES)
        else:
            world.poller.answered(job, reading(REPORT, {}))
    assert world.up()
    assert False not in world.successes()


def test_a_failing_list_keeps_the_last_one() -> None:
    world = World()
    world.discover()
    world.answer_all()
    world.now += 600
    while (job := world.job()) is not None and job.question is not None:
        world.poller.answered(job, reading(REPORT, {}))
    assert job is not None
    world.poller.discovery_failed(Unreachable("x"))
    assert len(world.successes()) == 4
    assert world.up()


def listing(world: World) -> None:
    """Let the time of the next mailbox list come, and the list be under way."""
    for _ in range(1000):
        job = world.job()
        if job is not None and job.question is None:
            return
        if job is None:
            world.now += 1
        else:
            world.poller.answered(job, reading(REPORT))
    raise AssertionError("the list was not due")


def test_a_short_list_adds_what_is_new_takes_nothing_away_and_is_said(log: LogCapture) -> None:
    world = World(replace(SELECTION, windows=(DAY,)))
    world.discover()
    world.answer_all()
    new = Mailbox(3, "New", "n", "n@acme.com")
    listing(world)
    world.poller.discovery_failed(ShortList("the list is not whole", [BOXES[1], new]))
    assert {key.mailbox_id for key in world.store.snapshot().entries} == {"1", "2", "3"}
    assert (world.up(), world.problems) == (True, set())
    assert "the list is not whole" in world.store.troubles().accounts["acme"].failure.message
    assert lines(log).count("login or mailbox list failed") == 1
    listing(world)
    world.poller.discovery_failed(ShortList("the list is not whole", [new]))
    assert (world.up(), world.problems) == (True, {"bad_response"})
    assert lines(log).count("login or mailbox list failed") == 1
    listing(world)
    world.poller.discovered([new])
    assert {key.mailbox_id for key in world.store.snapshot().entries} == {"3"}
    assert (world.up(), world.problems) == (True, set())
    assert world.store.troubles().accounts == {}


def test_a_first_list_that_is_short_is_used() -> None:
    world = World(replace(SELECTION, windows=(DAY,)))
    listing(world)
    world.poller.discovery_failed(ShortList("the list is not whole", BOXES[:1]))
    assert world.answer_all() == 1
    assert world.successes() == [True]
    assert world.poller.first_round_done


def test_an_emptiness_after_a_full_list_is_believed_at_the_third_list_in_a_row(
    log: LogCapture,
) -> None:
    world = World(replace(SELECTION, windows=(DAY,)))
    world.discover()
    world.answer_all()
    for lists in ([], [], BOXES, [], []):
        listing(world)
        world.poller.discovered(list(lists))
        assert len(world.successes()) == 2
    assert "2 mailboxes were before" in world.store.troubles().accounts["acme"].failure.message
    assert "mailbox gone" not in lines(log)
    listing(world)
    world.poller.discovered([])
    assert world.successes() == []
    assert lines(log).count("mailbox gone") == 2


def test_tags_are_a_union_over_answers() -> None:
    segments = (Segment("vip", tags=("VIP",)), Segment("gold", tags=("Gold",)))
    world = World(replace(SELECTION, windows=(DAY,), segments=segments))
    world.discover(BOXES[:1])
    for tags, reports in (
        (None, 1), ({}, 1), ({"VIP": 7}, 2), ({}, 2), (None, 2), ({"Gold": 8}, 3), ({"x": 9}, 3),
    ):  # fmt: skip
        job = world.job()
        while job is None or job.question is None:
            if job is not None:
                world.poller.discovered(BOXES[:1])
            world.now += 5
            job = world.job()
        world.poller.answered(job, reading(REPORT, tags))
        assert len(world.successes()) == reports


def test_renamed_new_and_deleted_mailboxes_follow(log: LogCapture) -> None:
    world = World()
    world.discover()
    world.answer_all()
    world.now += 600
    renamed = replace(BOXES[0], name="Help")
    new = Mailbox(3, "New", "n", "n@acme.com")
    job = world.job()
    assert job is not None
    world.poller.discovered([renamed, new])
    entries = world.store.snapshot().entries
    assert {(key.mailbox_id, entry.mailbox) for key, entry in entries.items()} == {
        ("1", "Help"), ("3", "New"),
    }  # fmt: skip
    assert {"mailbox renamed", "mailbox appeared", "mailbox gone"} <= set(lines(log))


def test_a_segment_waits_until_its_tag_is_known() -> None:
    world = World(replace(SELECTION, windows=(DAY,), segments=(Segment("vip", tags=("VIP",)),)))
    world.discover(BOXES[:1])
    assert len(world.successes()) == 1
    world.answer(tags={"VIP": 77})
    assert len(world.successes()) == 2
    job = world.job()
    assert job is not None
    assert job.question is not None
    assert job.question.spec[1] == (77,)
    assert job.question.key.segment == "vip"


def test_a_plan_that_does_not_fit_is_stretched_told_once_and_shown(log: LogCapture) -> None:
    world = World()
    world.discover()
    world.budget.observe(world.now, 0.434, None)
    world.poller.tick(world.now)
    world.poller.tick(world.now + 1)
    assert world.metric("schedule_stretch_ratio") == pytest.approx(2.0, rel=0.01)
    assert world.report_metric("report_interval_seconds", "24h") == pytest.approx(600, rel=0.01)
    assert world.report_metric("reports", "24h") == 2
    told = [line for line in lines(log) if "stretched" in line]
    assert len(told) == 1


def test_one_outage_is_two_lines_in_the_log_however_many_reports_it_hits(log: LogCapture) -> None:
    world = World(replace(SELECTION, types=("all", "email", "chat", "phone")))
    world.discover()
    world.answer_all()
    world.list_error = Unreachable("connection refused", reference="ab12")
    world.now += 120
    world.poller.tick(world.now)
    del log.entries[:]
    for _ in range(2_000):
        job = world.job()
        if job is None:
            world.now += 5
        elif job.question is None:
            world.poller.discovered(BOXES)
        else:
            world.poller.failed(job, Unreachable("connection refused", reference="ab12"))
    assert world.successes().count(False) == 16
    failing = [entry for entry in log.entries if entry["event"] == "reports fail"]
    assert len(failing) == 1
    assert failing[0]["reason"] == "unreachable"
    assert failing[0]["reference"] == "ab12"
    world.answer_all()
    assert lines(log).count("reports work again") == 1


def test_what_the_state_file_knows_is_there_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = World(state=StateFile(path, codec))
    first.discover()
    first.answer_all()
    first.state.close()
    second = World(state=StateFile(path, codec))
    second.wall += 200
    second.poller.recall()
    entries = second.store.snapshot().entries
    assert {entry.mailbox for entry in entries.values()} == {"Support", "Sales"}
    assert [entry.reading for entry in entries.values()] == [reading(REPORT)] * 4
    assert [entry.succeeded_at for entry in entries.values()] == [4e9] * 4
    second.discover()
    assert second.job() is None
    second.now += 101
    key = second.answer()
    assert key is not None
    assert key.window == "24h"
    second.state.close()


@pytest.mark.parametrize(("later", "back"), [(899, 4), (901, 2), (10_801, 0), (-301, 0), (-299, 4)])
def test_what_is_older_than_its_life_is_not_resurrected(
    tmp_path: Path, later: float, back: int
) -> None:
    path = tmp_path / "state.db"
    first = World(state=StateFile(path, codec))
    first.discover()
    first.answer_all()
    first.state.close()
    second = World(state=StateFile(path, codec))
    second.wall += later
    second.poller.recall()
    entries = second.store.snapshot().entries.values()
    assert sum(entry.reading is not None for entry in entries) == back
    second.state.close()


def test_a_changed_question_is_not_shown_the_old_answer(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    vip = replace(SELECTION, windows=(DAY,), segments=(Segment("vip", folders=(1,)),))
    first = World(vip, StateFile(path, codec))
    first.discover()
    first.answer_all()
    first.state.close()
    second = World(replace(vip, segments=(Segment("vip", folders=(2,)),)), StateFile(path, codec))
    second.poller.recall()
    known = {k.segment for k, e in second.store.snapshot().entries.items() if e.reading is not None}
    assert known == {""}
    second.state.close()


@pytest.mark.parametrize(("seconds", "told"), [(59, 0), (-59, 0), (61, 1), (-3_600, 1)])
def test_a_clock_that_is_wrong_is_told_once(log: LogCapture, seconds: float, told: int) -> None:
    world = World()
    world.poller.client.skew_seconds = seconds
    world.discover()
    world.now += 600
    world.discover()
    assert sum("clock differs" in line for line in lines(log)) == told
    world.poller.client.skew_seconds = 0
    world.now += 600
    world.discover()
    assert sum("clock is right" in line for line in lines(log)) == told


def test_a_window_that_is_dropped_leaves_the_exporters_own_metrics(log: LogCapture) -> None:
    world = World()
    world.discover()
    assert world.report_metric("reports", "30d") == 2
    world.poller.configure(settings(replace(SELECTION, windows=(DAY,)), ACCOUNT))
    assert world.report_metric("reports", "30d") is None
    assert world.report_metric("report_interval_seconds", "30d") is None
    assert world.report_metric("reports", "24h") == 2
    world.telemetry.forget("acme")
    assert world.report_metric("reports", "24h") is None
    assert world.metric("rate_limit_per_minute") is None


# --- what the status page is told ---------------------------------------------------------------


def test_what_the_service_said_is_kept_while_it_lasts() -> None:
    world = World()
    world.discover()
    key = world.answer(Refused("HTTP 400: no", status=400, reference="ref-1"))
    assert key is not None
    found = world.store.troubles().reports[key].failure
    assert found == Failure("bad_request", "HTTP 400: no", "ref-1")
    world.answer_all()
    world.now += 901
    world.discover()
    world.answer_all()
    assert world.store.troubles().reports == {}


@pytest.mark.parametrize("error", [BadCredentials("HTTP 401"), Unreachable("no answer")])
def test_a_failed_login_is_kept_until_the_list_comes(error: HelpScoutError) -> None:
    world = World()
    world.discover(error)
    assert world.store.troubles().accounts["acme"].failure == Failure(error.reason, str(error))
    world.now += 15
    world.discover()
    assert world.store.troubles().accounts == {}


def test_a_login_that_a_report_found_refused_is_a_failed_login_once_the_list_says_so() -> None:
    world = World()
    world.discover()
    error = BadCredentials("HTTP 401: gone", status=401, reference="ref-2")
    world.answer(error)
    assert world.store.troubles().accounts == {}
    world.list_error = error
    world.job()
    trouble = world.store.troubles().accounts["acme"]
    assert trouble.failure == Failure("credentials", "HTTP 401: gone", "ref-2")


def test_progress_is_as_of_the_last_tick() -> None:
    world = World()
    before, usage = world.poller.progress
    assert (before.groups, before.discovery_due, usage.used) == ((), world.now, 0)
    world.discover()
    world.poller.tick(world.now)
    outlook, usage = world.poller.progress
    assert [(each.group.window, each.reports, each.interval) for each in outlook.groups] == [
        ("24h", 2, 300.0),
        ("30d", 2, 3600.0),
    ]
    assert outlook.discovery_due == world.now + 600
    assert (usage.limit, usage.used) == (60_000, 1)


def test_what_the_state_file_knows_counts_as_an_attempt_that_succeeded(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = World(state=StateFile(path, codec))
    first.discover()
    first.answer_all()
    first.state.close()
    second = World(state=StateFile(path, codec))
    second.poller.recall()
    second.poller.tick(second.now)
    assert second.collector_up is True
