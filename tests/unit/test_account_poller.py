"""One account's poller: what it asks next, and what follows from how it went. No time passes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import LogCapture

from exporter.collectors import codec
from exporter.health import Failure
from exporter.helpscout.account import Account
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
from exporter.questions import Key, Learned, Mailbox, Window
from exporter.selection import MailboxChoice, Segment, Shard
from exporter.settings import Configuration
from exporter.settings.collectors import FoldersSettings, ProductivitySettings, WaitingSettings
from exporter.state_file import StateFile, mailbox_counts
from tests.readings import office_schedule, reading, settings
from tests.unit.poller_world import ACCOUNT, BOXES, DAY, MONTH, REPORT, SETTINGS, World


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
    world.poller.configure(settings(replace(SETTINGS, types=("all", "email")), ACCOUNT))
    assert world.job() is None


@pytest.mark.parametrize(
    "error",
    [Unreachable("x"), ServiceFailed("x", status=500), Throttled("x", status=429)],
    ids=lambda error: type(error).__name__,
)
def test_retries_wait_half_a_second_doubling_and_end_after_three(error: HelpScoutError) -> None:
    world = World(replace(SETTINGS, windows=(DAY,)))
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


@pytest.mark.parametrize("seconds", [30, 250])
def test_a_retry_waits_as_long_as_the_service_says(seconds: float) -> None:
    world = World(replace(SETTINGS, windows=(DAY,)))
    world.discover(BOXES[:1])
    world.answer(ServiceFailed("x", status=503, retry_after=seconds))
    assert world.next_report(280) == pytest.approx(seconds, abs=0.5)
    assert world.metric("api_retries_total", reason="server_error") == 1


def test_a_retry_after_the_next_turn_is_not_made() -> None:
    world = World(replace(SETTINGS, windows=(DAY,)))
    world.discover(BOXES[:1])
    world.answer(ServiceFailed("x", status=503, retry_after=301))
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
    world = World(replace(SETTINGS, windows=(DAY,)))
    world.discover(BOXES[:1])
    world.answer(error)
    assert world.successes() == [False]
    assert world.metric("api_retries_total", reason=error.reason) is None
    assert world.next_report(200) is None


def test_what_is_refused_is_not_asked_more_often_than_configured() -> None:
    world = World(replace(SETTINGS, windows=(MONTH,)))
    world.discover(BOXES[:1])
    world.answer(Refused("x", status=400))
    began = world.now
    asked_within(world, 1_000)
    assert world.now - began == pytest.approx(3_600, abs=1)


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
    world = World(replace(SETTINGS, windows=(DAY,)))
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
    """Go to the time of the next mailbox list, with the list under way."""
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
    world = World(replace(SETTINGS, windows=(DAY,)))
    world.discover()
    world.answer_all()
    renamed = replace(BOXES[1], name="Sales EU")
    new = Mailbox(3, "New", "n", "n@acme.com")
    listing(world)
    world.poller.discovery_failed(ShortList("the list is not whole", [renamed, new]))
    entries = world.store.snapshot().entries
    names = {key.mailbox_id: entry.mailbox for key, entry in entries.items()}
    assert names == {"1": "Support", "2": "Sales EU", "3": "New"}
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


def test_a_first_list_that_is_short_is_used_and_remembered(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "s.db", codec)
    world = World(replace(SETTINGS, windows=(DAY,)), state)
    listing(world)
    world.poller.discovery_failed(ShortList("the list is not whole", BOXES[:1]))
    assert world.answer_all() == 1
    assert world.successes() == [True]
    assert world.poller.first_round_done
    state.close()
    assert mailbox_counts(tmp_path / "s.db", [ACCOUNT.identity]) == {ACCOUNT.identity: 1}


def test_a_changed_account_is_asked_again_what_was_refused_and_stays_as_it_was_until_then() -> None:
    world = World(replace(SETTINGS, windows=(DAY,), types=("all", "email")))
    world.discover()
    while (job := world.job()) is not None and job.question is not None:
        if job.question.key.mailbox_id == "2":
            world.poller.failed(job, NotAllowed("HTTP 403", status=403))
        else:
            world.poller.answered(job, reading(REPORT))
    world.reload(replace(ACCOUNT, concurrency=9))
    world.discover()
    assert world.collector_up is True
    asked = set[tuple[str, str]]()
    while (job := world.job()) is not None and job.question is not None:
        asked.add((job.question.key.mailbox_id, job.question.key.type))
    assert asked == {("2", "all"), ("2", "email")}


def test_an_emptiness_after_a_full_list_is_believed_at_the_third_list_in_a_row(
    log: LogCapture,
) -> None:
    world = World(replace(SETTINGS, windows=(DAY,)))
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
    world = World(replace(SETTINGS, windows=(DAY,), segments=segments))
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


@pytest.mark.parametrize("segments", [(), (Segment("vip", tags=("VIP",)),)], ids=["none", "one"])
def test_odd_tags_are_warned_of_where_a_segment_goes_by_tags(
    log: LogCapture, segments: tuple[Segment, ...]
) -> None:
    world = World(replace(SETTINGS, windows=(DAY,), segments=segments))
    world.discover(BOXES[:1])
    job = world.job()
    assert job is not None
    line = 'filterTags.id: is missing: the tag "VIP" is left out'
    world.poller.answered(job, replace(reading(REPORT), learned=Learned(odd=(line,))))
    assert [entry["what"] for entry in log.entries if "what" in entry] == [line] * len(segments)


def test_the_list_of_tags_is_taken_off_the_budget_page_by_page() -> None:
    settings = replace(
        SETTINGS,
        productivity=ProductivitySettings(enabled=False),
        waiting=WaitingSettings(enabled=True),
        segments=(Segment("vip", tags=("tag 0",)),),
    )
    stretched = []
    for pages in (1, 11):
        world = World(settings, limit=4, account=replace(ACCOUNT, api="v2"))
        tags = {f"tag {number}": number + 1 for number in range(50 * pages)}
        world.poller.discovered(BOXES, Learned(tags))
        world.poller.tick(world.now)
        [group] = world.poller.progress[0].groups
        stretched.append(group.interval / 60)
    # Of 2 calls a minute one page of mailboxes and one of tags take 0.2, ten pages more take 1.
    assert stretched == pytest.approx([2 / 1.8, 2 / 1.0])


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


def test_of_a_mailbox_that_is_not_selected_nothing_is_told() -> None:
    world = World(replace(SETTINGS, mailboxes=MailboxChoice(("Sales",), all=False)))
    world.discover()
    snapshot = world.store.snapshot()
    assert snapshot.mailboxes == (("acme", BOXES[1]),)
    assert {key.mailbox_id for key in snapshot.entries} == {"2"}


def test_a_segment_waits_until_its_tag_is_known() -> None:
    world = World(replace(SETTINGS, windows=(DAY,), segments=(Segment("vip", tags=("VIP",)),)))
    world.discover(BOXES[:1])
    assert len(world.successes()) == 1
    world.answer(tags={"VIP": 77})
    assert len(world.successes()) == 2
    job = world.job()
    assert job is not None
    assert job.question is not None
    assert job.question.spec[1] == (77,)
    assert job.question.key.segment == "vip"


def test_a_plan_that_does_not_fit_is_stretched_reported_once_and_shown(log: LogCapture) -> None:
    world = World()
    world.discover()
    world.budget.observe(world.now, 0.868, None)  # half for the list
    world.poller.tick(world.now)
    world.poller.tick(world.now + 1)
    assert world.metric("schedule_stretch_ratio") == pytest.approx(2.0, rel=0.01)
    assert world.report_metric("report_interval_seconds", "24h") == pytest.approx(600, rel=0.01)
    assert world.report_metric("reports", "24h") == 2
    told = [line for line in lines(log) if "stretched" in line]
    assert len(told) == 1


def test_a_429_that_passes_stretches_nothing() -> None:
    world = World()
    world.discover()
    world.budget.observe(world.now, 4, None)
    world.poller.tick(world.now)
    world.budget.close_gate(30)
    world.now += 31
    assert world.budget.per_minute < 0.6, "too few for the plan, for a moment"
    world.poller.tick(world.now)
    assert world.metric("schedule_stretch_ratio") == 1


def test_one_outage_is_two_lines_in_the_log_however_many_reports_it_hits(log: LogCapture) -> None:
    world = World(replace(SETTINGS, types=("all", "email", "chat", "phone")))
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


def restarted(path: Path) -> World:
    """A world whose state file another one filled with a whole round; it has not looked yet."""
    first = World(state=StateFile(path, codec))
    first.discover()
    first.answer_all()
    first.state.close()
    return World(state=StateFile(path, codec))


def test_what_the_state_file_knows_is_there_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    second = restarted(path)
    second.wall += 200
    second.poller.recall()
    entries = second.store.snapshot().entries
    assert {entry.mailbox for entry in entries.values()} == {"Support", "Sales"}
    assert [entry.reading for entry in entries.values()] == [reading(REPORT)] * 4
    assert [(entry.succeeded_at, entry.success) for entry in entries.values()] == [(4e9, True)] * 4
    second.discover()
    assert second.job() is None
    second.now += 101
    key = second.answer()
    assert key is not None
    assert key.window == "24h"
    second.state.close()


@pytest.mark.parametrize(
    ("changed", "known"),
    [
        ({"concurrency": 1}, True),
        ({"client_id": "b"}, False),
        ({"client_id": None, "client_id_file": Path("id")}, False),
        ({"base_url": "https://127.0.0.1:1/v2"}, False),
        ({"api": "v1"}, False),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_after_a_restart_another_login_is_not_shown_the_old_ones_figures(
    tmp_path: Path, changed: dict[str, Any], known: bool
) -> None:
    path, account = tmp_path / "state.db", replace(ACCOUNT, api="v2", client_id="a")
    first = World(state=StateFile(path, codec), account=account)
    first.discover()
    first.answer_all()
    first.state.close()
    second = World(state=StateFile(path, codec), account=replace(account, **changed))
    second.poller.recall()
    assert bool(second.store.snapshot().entries) is known
    second.state.close()


def test_after_a_restart_what_is_not_known_is_still_to_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = World(state=StateFile(path, codec))
    first.discover()
    first.answer()
    first.state.close()
    second = World(state=StateFile(path, codec))
    second.poller.recall()
    second.discover()
    poller = second.poller
    assert (poller.first_round_done, second.answer_all(), poller.first_round_done) == (
        False,
        3,
        True,
    )
    second.state.close()


def test_a_tags_name_is_known_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    settings_ = replace(SETTINGS, windows=(DAY,), segments=(Segment("vip", tags=("VIP",)),))
    first = World(settings_, StateFile(path, codec))
    first.discover(BOXES[:1])
    first.answer(tags={"VIP": 77})
    first.state.close()
    second = World(settings_, StateFile(path, codec))
    second.poller.recall()
    assert [key.segment for key in second.store.snapshot().entries] == ["", "vip"]
    second.state.close()


def test_a_changed_account_keeps_the_figures_of_segments_with_a_tags_name() -> None:
    world = World(replace(SETTINGS, windows=(DAY,), segments=(Segment("vip", tags=("VIP",)),)))
    world.discover(BOXES[:1])
    world.answer(tags={"VIP": 77})
    world.answer_all()
    world.reload(replace(ACCOUNT, concurrency=1))
    entries = world.store.snapshot().entries
    assert {key.segment: entry.reading for key, entry in entries.items()} == dict.fromkeys(
        ("", "vip"), reading(REPORT)
    )


def test_what_is_known_waits_for_its_stretched_interval_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    restarted(path).state.close()
    second = World(state=StateFile(path, codec), limit=0.8)
    # Of 0.4 a minute the list leaves half, where 0.43 are wanted.
    second.wall += 400
    second.poller.recall()
    second.poller.tick(second.now)
    outlook, _ = second.poller.progress
    assert outlook.lag == 0
    day = outlook.groups[0]
    assert day.interval == pytest.approx(650)
    assert day.next_due == pytest.approx(second.now + 650 - 400)
    second.state.close()


@pytest.mark.parametrize(("later", "back"), [(899, 4), (901, 2), (10_801, 0), (-301, 0), (-299, 4)])
def test_what_is_older_than_its_life_is_not_resurrected(
    tmp_path: Path, later: float, back: int
) -> None:
    path = tmp_path / "state.db"
    second = restarted(path)
    second.wall += later
    second.poller.recall()
    entries = second.store.snapshot().entries.values()
    assert sum(entry.reading is not None for entry in entries) == back
    second.state.close()


def relabelled(window: Window, label: str) -> Window:
    """A window whose label means another range, as after a change of the notation."""
    changed = replace(window)
    object.__setattr__(changed, "text", label)
    return changed


VIP = replace(SETTINGS, windows=(DAY,), segments=(Segment("vip", folders=(1,)),))
TAGGED = replace(VIP, segments=(Segment("vip", tags=(7,)),))
HALF_A_DAY = Window("12h", DAY.every)
WHOLE = replace(SETTINGS, windows=(DAY,), mailboxes=MailboxChoice(all=True))


@pytest.mark.parametrize(
    ("before", "after", "known"),
    [
        (VIP, replace(VIP, segments=(Segment("vip", folders=(2,)),)), {("1", ""), ("2", "")}),
        (TAGGED, replace(VIP, segments=(Segment("vip", tags=(8,)),)), {("1", ""), ("2", "")}),
        (WHOLE, WHOLE, {("all", ""), ("1", ""), ("2", "")}),
        (WHOLE, replace(WHOLE, mailboxes=MailboxChoice(("Sales",))), {("2", "")}),
        (WHOLE, replace(WHOLE, compare=True), set()),
        (WHOLE, replace(WHOLE, windows=(relabelled(HALF_A_DAY, "24h"),)), set()),
        (WHOLE, replace(WHOLE, end_delay=timedelta(minutes=5)), set()),
    ],
    ids=["folders", "tags", "nothing", "mailboxes", "compare", "range", "end_delay"],
)
def test_a_changed_question_is_not_shown_the_old_answer(
    tmp_path: Path, before: Configuration, after: Configuration, known: set[tuple[str, str]]
) -> None:
    path = tmp_path / "state.db"
    first = World(before, StateFile(path, codec))
    first.discover()
    first.answer_all()
    first.state.close()
    second = World(after, StateFile(path, codec))
    second.poller.recall()
    entries = second.store.snapshot().entries.items()
    assert {(k.mailbox_id, k.segment) for k, e in entries if e.reading is not None} == known
    second.state.close()


@pytest.mark.parametrize(("seconds", "told"), [(59, 0), (-59, 0), (61, 1), (-3_600, 1)])
def test_a_clock_that_is_wrong_is_reported_once(log: LogCapture, seconds: float, told: int) -> None:
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
    world.poller.configure(settings(replace(SETTINGS, windows=(DAY,)), ACCOUNT))
    assert world.report_metric("reports", "30d") is None
    assert world.report_metric("report_interval_seconds", "30d") is None
    assert world.report_metric("reports", "24h") == 2
    world.telemetry.forget("acme")
    assert world.report_metric("reports", "24h") is None
    assert world.metric("rate_limit_per_minute") is None


# --- what the status page is told ---------------------------------------------------------------


def test_a_list_that_fails_is_told_though_its_first_page_arrives() -> None:
    world = World()
    world.discover()
    for seconds in (600, 15, 30, 60):
        world.now += seconds
        world.discover(BadResponse("_embedded: is not an object"))
    world.now += 60
    assert world.job(), "before any report the first page of the list is asked"
    assert world.store.troubles().accounts.keys() == {"acme"}


def test_a_list_that_failed_is_asked_again_as_soon_as_its_first_page_arrives() -> None:
    world = World()
    world.discover()
    world.now += 600
    world.discover(Unreachable("no answer"))
    world.now += 5
    world.discover()
    assert world.up()


def test_while_a_probe_judges_a_401_no_report_is_asked() -> None:
    world = World()
    world.discover()
    world.answer(BadCredentials("HTTP 401", status=401))
    world.now += 0.1
    job, _ = world.poller.next_job(world.now)
    assert job is not None
    assert job.probe
    world.now += 0.1
    assert world.poller.next_job(world.now)[0] is None
    world.probe(None)
    world.now += 0.1
    assert world.poller.next_job(world.now)[0] is not None


def test_a_401_that_is_over_does_not_hold_reports_back_while_the_list_is_asked() -> None:
    world = World()
    world.discover()
    world.answer(BadCredentials("HTTP 401", status=401))
    world.answer_all()
    world.now += 600
    asked = [world.job(), world.job()]
    assert [job and job.question is None for job in asked] == [True, False]


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
def test_a_failed_login_is_kept_until_the_list_arrives(error: HelpScoutError) -> None:
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
    second = restarted(path)
    second.poller.recall()
    second.poller.tick(second.now)
    assert second.collector_up is True


def asked_within(world: World, seconds: float) -> float | None:
    """Let time pass until a report is asked; a mailbox list meanwhile arrives."""
    while (waited := world.next_report(seconds)) is not None:
        if world.taken[-1].question is not None:
            return waited
        world.poller.discovered(BOXES[:1])
    return None


# --- for how long a report is good ---------------------------------------------------------------


def lives(world: World) -> float:
    """Return for how many seconds an answer that arrives now is shown, to ten seconds."""
    began = world.now
    while next(iter(world.store.snapshot().entries.values())).reading is not None:
        world.now += 10
    return world.now - began - 10


@pytest.mark.parametrize(
    ("stale_after", "seconds"), [(1, 600), (2, 600), (3, 900), (5, 1_500), (2.5, 750)]
)
def test_a_report_is_shown_for_stale_after_intervals_and_ten_minutes_at_least(
    stale_after: float, seconds: float
) -> None:
    world = World(replace(SETTINGS, windows=(DAY,)), stale_after=stale_after)
    world.discover(BOXES[:1])
    world.answer()
    assert lives(world) == seconds


def test_a_reload_changes_for_how_long_reports_are_shown() -> None:
    selection = replace(SETTINGS, windows=(DAY,))
    world = World(selection)
    world.discover(BOXES[:1])
    world.answer()
    world.poller.configure(settings(selection, ACCOUNT, stale_after=8))
    assert lives(world) == 2_400


def test_a_report_that_is_asked_less_often_is_shown_for_longer() -> None:
    world = World(replace(SETTINGS, windows=(DAY,)))
    world.discover(BOXES[:1])
    world.answer()
    world.budget.observe(world.now, 0.4, None)  # half for the list
    world.poller.tick(world.now)
    assert world.report_metric("report_interval_seconds", "24h") == pytest.approx(600)
    assert lives(world) == 1_800


# --- attempts ------------------------------------------------------------------------------------


def attempts(world: World) -> int:
    """Return how often a report is asked that fails every time, before it is given up."""
    for number in range(1, 10):
        assert asked_within(world, 400) is not None
        world.poller.failed(world.taken[-1], ServiceFailed("x", status=503))
        if False in world.successes():
            return number
    raise AssertionError("it is never given up")


def test_after_a_success_or_after_giving_up_a_report_has_all_its_attempts_again() -> None:
    world = World(replace(SETTINGS, windows=(DAY,)))
    world.discover(BOXES[:1])
    world.answer(ServiceFailed("x", status=503))
    assert asked_within(world, 2) is not None
    world.poller.answered(world.taken[-1], reading(REPORT))
    assert attempts(world) == 4
    assert asked_within(world, 400) is not None
    world.poller.failed(world.taken[-1], ServiceFailed("x", status=503))
    assert asked_within(world, 2) is not None, "a retry"


def test_the_first_round_has_not_ended_while_a_retry_is_due() -> None:
    world = World(replace(SETTINGS, windows=(DAY,)))
    world.discover(BOXES[:1])
    world.answer(ServiceFailed("x", status=503))
    assert not world.poller.first_round_done
    assert world.next_report(2) is not None
    world.poller.answered(world.taken[-1], reading(REPORT))
    assert world.poller.first_round_done


def test_the_first_round_does_not_wait_for_a_retry_about_a_mailbox_that_is_gone() -> None:
    world = World(replace(SETTINGS, windows=(DAY,)))
    world.discover()
    job = world.job()
    assert job is not None
    assert job.question is not None
    world.poller.failed(job, ServiceFailed("x", status=503))
    gone = job.question.key.mailbox_id
    world.poller.configure(settings(replace(SETTINGS, windows=(DAY,)), ACCOUNT))
    world.discover([box for box in BOXES if str(box.id) != gone])
    world.answer_all()
    assert world.poller.first_round_done


def test_reports_that_fail_together_are_not_asked_again_together() -> None:
    world = World(jitter=True)
    world.discover()
    jobs = [world.job() for _ in range(4)]
    for job in jobs:
        assert job is not None
        world.poller.failed(job, ServiceFailed("x", status=503))
    began, again = world.now, dict[Key, float]()
    while world.now < began + 0.6:
        job, at = world.poller.next_job(world.now)
        if job is not None and job.question is not None:
            again[job.question.key] = world.now - began
        world.now = max(at, world.now + 0.001)
    assert len(again) == 4
    assert max(again.values()) - min(again.values()) > 0.02, "the budget alone spreads over 8 ms"


def test_an_answer_about_a_deleted_mailbox_changes_nothing() -> None:
    world = World(replace(SETTINGS, windows=(DAY,)))
    world.discover()
    first, second = world.job(), world.job()
    assert first is not None
    assert second is not None
    world.poller.configure(settings(replace(SETTINGS, windows=(DAY,)), ACCOUNT))
    assert world.job() is not None
    world.poller.discovered(BOXES[:1])
    world.poller.failed(second, ServiceFailed("x", status=503))
    world.poller.answered(first, reading(REPORT))
    assert world.metric("api_retries_total", reason="server_error") is None
    assert world.poller.first_round_done
    assert world.successes() == [True]


def test_an_answer_of_a_kind_that_is_not_asked_any_more_changes_nothing() -> None:
    world = World(replace(SETTINGS, windows=(DAY,), folders=FoldersSettings()))
    world.discover()
    jobs = [job for _ in range(4) if (job := world.job()) is not None and job.question is not None]
    of_folders = [job for job in jobs if job.question and job.question.key.collector == "folders"]
    world.poller.configure(settings(replace(SETTINGS, windows=(DAY,)), ACCOUNT))
    world.poller.answered(of_folders[0], reading(()))
    world.poller.failed(of_folders[1], ServiceFailed("x", status=503))
    assert world.successes() == [None, None]
    assert world.metric("api_retries_total", reason="server_error") is None


def test_the_budget_after_a_429_is_exported_though_nothing_is_asked() -> None:
    world = World()
    usual = world.metric("rate_budget_per_minute")
    assert usual is not None
    world.budget.close_gate(30)
    for after, share in ((30, 0.25), (60, 0.625), (60, 1)):
        world.now += after
        world.poller.tick(world.now)
        assert world.metric("rate_budget_per_minute") == pytest.approx(share * usual)


# --- the mailbox list ----------------------------------------------------------------------------


def listed_after(world: World, error: HelpScoutError) -> float:
    """Let the mailbox list fail so; return after how many seconds it is asked again."""
    world.list_error = error
    world.poller.discovery_failed(error)
    waited = world.next_report(1_300)
    assert waited is not None
    assert world.taken[-1].question is None
    return waited


def test_the_mailbox_list_is_tried_less_and_less_often_until_it_arrives() -> None:
    world = World()
    assert world.job() is not None
    error = Unreachable("x")
    waits = [listed_after(world, error) for _ in range(7)]
    assert waits == pytest.approx([15, 30, 60, 120, 240, 480, 600], abs=0.5)
    world.list_error = None
    world.poller.discovered([])
    listing(world)
    assert listed_after(world, error) == pytest.approx(15, abs=0.5)


def test_a_mailbox_list_that_fails_for_weeks_is_still_tried_every_ten_minutes() -> None:
    world = World()
    world.list_error = error = Unreachable("x")
    for _ in range(1_200):
        world.discover(error)
        world.now += 601
    world.list_error = None
    world.discover()
    assert world.up()


def test_the_mailbox_list_is_left_alone_for_as_long_as_the_service_says() -> None:
    world = World()
    assert world.job() is not None
    error = ServiceFailed("x", status=503, retry_after=100)
    assert listed_after(world, error) == pytest.approx(100, abs=0.5)


@pytest.mark.parametrize("outcome", [BOXES, Unreachable("x")], ids=["arrived", "failed"])
def test_a_reload_while_the_list_is_read_has_it_read_again_at_once(
    outcome: list[Mailbox] | HelpScoutError,
) -> None:
    world = World()
    assert world.job() is not None
    world.poller.configure(settings(replace(SETTINGS, types=("email",)), ACCOUNT))
    if isinstance(outcome, HelpScoutError):
        world.poller.discovery_failed(outcome)
    else:
        world.poller.discovered(outcome)
    world.now += 1
    job, _ = world.poller.next_job(world.now)
    assert job is not None
    assert (job.question, job.probe) == (None, False)
    world.poller.discovered(BOXES)
    assert {key.type for key in world.store.snapshot().entries} == {"email"}
    world.now += 1
    job, _ = world.poller.next_job(world.now)
    assert job is not None
    assert job.question is not None, "once is enough"


def test_a_reload_lists_the_mailboxes_again() -> None:
    world = World()
    world.discover()
    world.answer_all()
    world.poller.configure(settings(SETTINGS, ACCOUNT))
    job = world.job()
    assert job is not None
    assert job.question is None


@pytest.mark.parametrize(
    ("account", "shard", "stays"),
    [
        (ACCOUNT, Shard(), True),
        (replace(ACCOUNT, collectors=("productivity",)), Shard(), True),
        (ACCOUNT, Shard(0, 2, "mailbox"), False),
        (replace(ACCOUNT, budget=0.6), Shard(), False),
        (replace(ACCOUNT, concurrency=5), Shard(), False),
    ],
    ids=["nothing", "collectors", "shard", "budget", "concurrency"],
)
def test_a_poller_stays_if_neither_its_account_nor_the_shard_changed(
    account: Account, shard: Shard, stays: bool
) -> None:
    world = World()
    other = settings(replace(SETTINGS, types=("email",), shard=shard), account)
    assert world.poller.stays(account, other) is stays


def test_a_shard_does_not_miss_the_mailboxes_of_others() -> None:
    named = MailboxChoice(("Support", "Nobody"), all=False)
    for shard, lines in ((Shard(), 1), (Shard(0, 2, "mailbox"), 0)):
        world = World(replace(SETTINGS, mailboxes=named, shard=shard))
        world.discover()
        world.poller.tick(world.now)
        assert len(world.store.missing().get("", ())) == lines


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_runs_at_once_than_configured_and_no_less(concurrency: int) -> None:
    world = World(account=replace(ACCOUNT, concurrency=concurrency))
    world.discover()
    jobs = []
    while (job := world.job()) is not None:
        jobs.append(job)
    assert len(jobs) == concurrency


def test_whether_the_office_is_open_shows_from_the_start_and_follows_clock_and_reload() -> None:
    morning = datetime(2026, 3, 2, 8, 59, 59, tzinfo=UTC).timestamp()  # a Monday
    nine_to_five = office_schedule({"mon": "09:00-17:00"})
    world = World(account=replace(ACCOUNT, office_schedule=nine_to_five), wall=morning)

    def office_open() -> bool | None:
        return world.store.snapshot().accounts["acme"].office_open

    world.poller.recall()
    assert office_open() is False
    world.wall += 1
    world.poller.tick(world.now)
    assert office_open() is True
    longer = replace(ACCOUNT, office_schedule=office_schedule({"mon": "10:00-17:00"}))
    other = settings(SETTINGS, longer)
    assert world.poller.stays(longer, other)
    world.poller.configure(other)
    assert office_open() is False
    world.poller.configure(settings(SETTINGS, ACCOUNT))
    assert office_open() is None


def test_reports_of_a_mailbox_that_is_gone_are_at_no_time_shown_under_its_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, names = World(), set[str]()
    world.discover()
    world.answer_all()

    def looking(really: Callable[..., None], *arguments: object) -> None:
        really(*arguments)
        names.update(entry.mailbox for entry in world.store.snapshot().entries.values())

    for method in ("schedule", "set_mailboxes"):
        then_looking = partial(looking, getattr(world.store, method))
        monkeypatch.setattr(world.store, method, then_looking)
    world.now += 600
    world.discover(BOXES[:1])
    assert names == {"Support"}
