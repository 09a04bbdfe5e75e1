"""helpscout_up and its like: the sequences of docs/health.md, row by row, on a poller's clock."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import codec
from exporter.health import Refusals
from exporter.helpscout import errors
from exporter.helpscout.answering import AccountHealth
from exporter.helpscout.errors import (
    BadCredentials,
    BadResponse,
    Foreign,
    HelpScoutError,
    NotAllowed,
    NotThere,
    Refused,
    ServiceFailed,
    Suspended,
    Throttled,
    Unreachable,
)
from exporter.poller.account import Job
from exporter.questions import Key, Mailbox, Window
from exporter.reasons import PROBLEMS, REASONS
from exporter.selection import MailboxChoice
from exporter.settings.collectors import FoldersSettings
from exporter.state_file import StateFile
from tests.readings import settings
from tests.unit.poller_world import ACCOUNT, DAY, MONTH, SETTINGS, Run, Service, World

SIX = [Mailbox(number, f"Box {number}", "s", "s@acme.com") for number in range(1, 7)]
ONE = SIX[:1]
A_DAY = replace(SETTINGS, windows=(DAY,))
A_MONTH = replace(SETTINGS, windows=(replace(MONTH, every=MONTH.every / 2),))
BUSY = replace(A_DAY, windows=(replace(DAY, every=DAY.every / 10),))
STALL = 1e9


def sick() -> HelpScoutError:
    return ServiceFailed("HTTP 503", status=503)


def from_(at: float, outcome: Callable[[], HelpScoutError | float]) -> Service:
    """Everything ends so from then on, and well before."""
    return lambda now, _: outcome() if now >= at else None


def reports_only(outcome: Callable[[], HelpScoutError]) -> Service:
    """Every report ends so, and the mailbox list is fine."""
    return lambda _, job: outcome() if job.question is not None else None


def lists_only(outcome: Callable[[], HelpScoutError]) -> Service:
    return lambda _, job: outcome() if job.question is None else None


def test_row_1_before_any_answer_it_is_down_and_nothing_is_said_of_the_collector() -> None:
    world = World()
    assert not world.up()
    assert world.problems == set()
    assert world.collector_up is None


def test_row_2_it_is_up_once_the_list_arrives_and_nothing_is_said_of_what_was_not_tried() -> None:
    world = World()
    world.discover()
    assert world.up()
    assert world.store.snapshot().accounts["acme"].collectors == ()


def test_an_outage_is_what_failed_last() -> None:
    world = World()
    world.discover()
    world.answer(Foreign("a page", status=403))
    world.list_error = Unreachable("no answer")
    world.now += 5
    world.job()
    assert not world.up()
    assert world.problems == {"unreachable"}


def test_row_3_six_mailboxes_that_have_just_been_asked() -> None:
    run = Run(World(A_DAY), from_(5, sick), SIX)
    run.until(600)
    assert run.up_at(61)
    assert not run.up_at(67)
    assert run.changes[-1][0] == pytest.approx(65, abs=2)
    assert run.world.problems == {"unreachable"}


def test_row_4_a_small_account_is_judged_as_soon_as_a_large_one() -> None:
    run = Run(World(A_MONTH), from_(5, sick), ONE)
    run.until(120)
    assert run.up_at(59)
    assert not run.up_at(75)


def test_row_5_only_the_report_fails() -> None:
    run = Run(World(A_MONTH), reports_only(sick), ONE)
    early = run.until(0.6).collector_up
    assert early is True, "one attempt of a single key is not enough"
    world = run.until(600)
    assert [up for _, up in run.changes] == [False, True]
    assert world.collector_up is False
    assert world.problems == set()


def test_row_6_one_report_fails_and_the_probe_disproves_it() -> None:
    once = iter([sick()])
    run = Run(World(A_DAY), lambda at, job: next(once, None) if at > 200 and job.question else None)
    run.until(900)
    assert [up for _, up in run.changes] == [False, True]


def test_row_7_one_report_is_always_unauthorized() -> None:
    def service(_: float, job: Job) -> HelpScoutError | None:
        refused = job.question is not None and job.question.key.mailbox_id == "1"
        return BadCredentials("HTTP 401", status=401) if refused else None

    run = Run(World(A_DAY), service)
    run.until(1_200)
    assert [up for _, up in run.changes] == [False, True]
    assert run.world.problems == set()
    assert sorted(run.world.successes(), key=bool) == [False, True]
    asked = [at for at, _, key in run.asked if key and key.mailbox_id == "1"]
    assert len(asked) == 2
    assert asked[1] - asked[0] >= 600


def test_reports_that_are_all_unauthorized_have_the_list_asked_every_30_seconds() -> None:
    unauthorized = reports_only(lambda: BadCredentials("HTTP 401", status=401))
    run = Run(World(replace(A_DAY, types=("all", "email", "chat"))), unauthorized, SIX)
    run.until(600)
    probes = [at for at, kind, _ in run.asked if kind == "probe"]
    assert len(probes) >= 2
    assert min(b - a for a, b in pairwise(probes)) >= 30


def test_row_8_login_is_refused() -> None:
    refused = lists_only(lambda: BadCredentials("HTTP 401", status=401))
    run = Run(World(A_DAY), lambda at, job: refused(at, job) if at > 100 else None)
    run.until(160)
    probed = next(at for at, kind, _ in run.asked if kind == "probe" and at > 100)
    assert run.changes[-1][0] == pytest.approx(probed + 0.1), "at once"
    assert not run.world.up()
    assert run.world.problems == {"credentials"}
    run.until(1_000)
    later = [kind for at, kind, _ in run.asked if at > probed]
    assert "report" not in later
    assert len(later) <= 2 * (1_000 - probed) / 30
    assert run.world.successes() == [False, False]


@pytest.mark.parametrize(
    "windows", [(DAY,), pytest.param((DAY, MONTH), marks=pytest.mark.no_cover)]
)
def test_row_9_reports_are_not_in_the_plan(windows: tuple[Window, ...]) -> None:
    forbidden = reports_only(lambda: NotAllowed("HTTP 403", status=403))
    run = Run(World(replace(SETTINGS, windows=windows, types=("all", "email"))), forbidden, SIX)
    run.until(60)
    assert run.world.up()
    assert run.world.problems == {"plan"}
    assert run.world.collector_up is False
    first = [key for _, _, key in run.asked if key]
    assert {key.mailbox_id for key in first if key.type == "all"} == set("123456")
    assert len(first) < 10
    run.until(60 + 3 * 900)
    again = [at for at, _, key in run.asked if key][len(first) :]
    assert 2 <= len(again) <= 3, "one plain question every 15 minutes"
    assert all(later - earlier >= 900 for earlier, later in pairwise(again))


def collector_only(collector: str, outcome: Callable[[], HelpScoutError]) -> Service:
    """Every question of one kind ends so, and all else is fine."""
    return lambda _, job: outcome() if job.question and is_of(job.question.key, collector) else None


def is_of(key: Key | None, collector: str) -> bool:
    return key is not None and key.collector == collector


WITH_QUEUES = replace(A_DAY, folders=FoldersSettings())


def collectors_up(run: Run) -> dict[str, bool]:
    return dict(run.world.store.snapshot().accounts["acme"].collectors)


def asked_of(run: Run, collector: str) -> list[float]:
    return [at for at, _, key in run.asked if is_of(key, collector)]


@pytest.mark.parametrize("error", [NotAllowed, NotThere])
def test_row_10_folders_are_refused_and_the_account_is_not_ill(
    error: type[HelpScoutError],
) -> None:
    run = Run(
        World(WITH_QUEUES), collector_only("folders", lambda: error("HTTP 4xx", status=403)), SIX
    )
    run.until(60)
    assert collectors_up(run) == {"productivity": True, "folders": False}
    assert len(asked_of(run, "folders")) == 6
    run.until(60 + 2 * 900)
    assert 2 <= len(asked_of(run, "folders")) - 6 <= 3, "one question every 15 minutes"
    assert run.world.up()
    assert run.world.problems == set()
    assert len(asked_of(run, "productivity")) >= 6 * 6, "reports go on every 5 minutes"


def test_row_11_reports_are_not_in_the_plan_and_folders_go_on() -> None:
    forbidden = collector_only("productivity", lambda: NotAllowed("HTTP 403", status=403))
    run = Run(World(WITH_QUEUES), forbidden, SIX)
    run.until(1_500)
    assert run.world.up()
    assert run.world.problems == {"plan"}
    assert collectors_up(run) == {"productivity": False, "folders": True}
    assert len(asked_of(run, "folders")) >= 6 * 5


def test_a_mailbox_whose_folders_are_refused_is_left_alone_by_that_collector_only() -> None:
    def service(_: float, job: Job) -> HelpScoutError | None:
        key = job.question.key if job.question else None
        refused = is_of(key, "folders") and key is not None and key.mailbox_id == "3"
        return NotThere("HTTP 404", status=404) if refused else None

    run = Run(World(WITH_QUEUES), service, SIX)
    run.until(890)
    assert collectors_up(run) == {"productivity": True, "folders": True}
    asked = [key for _, _, key in run.asked if key is not None and key.mailbox_id == "3"]
    assert sum(key.collector == "folders" for key in asked) == 1
    assert sum(key.collector == "productivity" for key in asked) >= 3


def test_folders_that_are_there_again_are_asked_at_once() -> None:
    def service(at: float, job: Job) -> HelpScoutError | None:
        refused = at < 600 and job.question is not None and is_of(job.question.key, "folders")
        return NotAllowed("HTTP 403", status=403) if refused else None

    run = Run(World(WITH_QUEUES), service, SIX)
    run.until(1_000)
    again = [at for at in asked_of(run, "folders") if at > 600]
    assert len(again) >= 6
    assert again[5] - again[0] < 5
    assert collectors_up(run)["folders"] is True


def test_row_12_the_limit_is_used_up_for_half_an_hour() -> None:
    world = World(A_DAY)
    run = Run(world, from_(5, lambda: Throttled("HTTP 429", status=429, retry_after=60)), SIX)
    run.until(400)
    assert world.up()
    assert world.problems == {"throttled"}
    run.until(1_800)
    assert world.collector_up is True, "a 429 says nothing of the question"
    assert [up for _, up in run.changes] == [False, True]


def test_row_13_every_call_stalls() -> None:
    run = Run(World(A_DAY), from_(5, lambda: STALL), SIX)
    run.until(200)
    assert run.up_at(59)
    assert not run.up_at(80.5)


@pytest.mark.parametrize("every", [A_DAY, A_MONTH], ids=["a day", "a month"])
@pytest.mark.no_cover
def test_row_14_it_recovers_within_half_a_minute(every: object) -> None:
    for back in (901.0, 1_250.0, 7_201.0):
        outage = from_(5, sick)
        run = Run(
            World(A_DAY if every is A_DAY else A_MONTH),
            lambda at, job, back=back, outage=outage: outage(at, job) if at < back else None,  # type: ignore[misc]
            SIX,
        )
        run.until(back)
        assert not run.world.up()
        run.until(back + 31)
        assert run.world.up()
        assert run.world.problems == set()
        run.until(back + 40)
        assert False not in run.world.successes(), "what failed is asked again at once"


@pytest.mark.no_cover
def test_row_15_a_brown_out_is_not_an_outage() -> None:
    calls = iter(range(100_000))
    run = Run(World(A_DAY), lambda at, _: sick() if at > 5 and next(calls) % 2 else None, SIX)
    run.until(3_600)
    assert [up for _, up in run.changes] == [False, True]


def test_row_16_a_reload_clears_nothing() -> None:
    run = Run(World(A_DAY), from_(5, sick), ONE)
    run.until(100)
    run.boxes.append(SIX[1])
    run.world.poller.configure(settings(replace(A_DAY, mailboxes=MailboxChoice(all=True)), ACCOUNT))
    run.until(700)
    assert run.changes[-1][1] is False
    assert len(run.changes) == 3


def test_row_17_a_restart_in_the_outage_shows_the_figures_and_is_down(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = Run(World(A_DAY, StateFile(path, codec)), lambda *_: None)
    first.until(10).state.close()
    second = World(A_DAY, StateFile(path, codec))
    second.wall = first.world.wall + 20
    second.poller.recall()
    run = Run(second, lambda *_: sick())
    run.until(60)
    assert run.changes == [(0.0, False)]
    assert second.problems == {"unreachable"}
    assert all(entry.reading for entry in second.store.snapshot().entries.values())
    second.state.close()


# --- beside the rows ----------------------------------------------------------------------------


def test_silence_clears_nothing() -> None:
    """Six mailboxes succeed, two fail, and then nothing is asked for a long time."""
    world = World(A_DAY)
    world.discover(SIX)
    world.answer_all()
    world.list_error = sick()
    world.now += 200
    world.answer(sick())
    world.now += 5
    world.job()
    assert not world.up()
    for _ in range(600):
        world.now += 1
        world.poller.tick(world.now)
        assert not world.up()


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (BadCredentials("no", status=401), "credentials"),
        (Suspended("no", status=402), "suspended"),
        (ServiceFailed("no", status=502), "unreachable"),
        (Unreachable("no"), "unreachable"),
        (Foreign("a page", status=403), "bad_response"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_every_sick_answer_to_everything_is_an_outage_with_its_reason(
    error: HelpScoutError, problem: str
) -> None:
    run = Run(World(A_DAY), from_(5, lambda: error), SIX)
    run.until(80)
    assert not run.world.up()
    assert run.world.problems == {problem}


@pytest.mark.parametrize(
    "error",
    [
        NotAllowed("no", status=403),
        NotThere("no", status=404),
        Refused("no", status=400),
        BadResponse("current.responseTime: is not a number"),
        Throttled("no", status=429, retry_after=1),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.no_cover
def test_what_concerns_a_question_never_touches_up(error: HelpScoutError) -> None:
    run = Run(World(A_DAY), from_(5, lambda: error), SIX)
    run.until(2_000)
    assert [up for _, up in run.changes] == [False, True]


def test_a_list_that_keeps_failing_while_reports_arrive_is_a_problem_and_no_outage() -> None:
    run = Run(World(BUSY), lambda at, job: sick() if at > 5 and not job.question else None, SIX)
    run.until(700)
    assert [up for _, up in run.changes] == [False, True]
    assert run.world.problems == {"unreachable"}


def test_lists_that_failed_in_an_outage_are_not_a_problem_once_a_report_has_arrived() -> None:
    health = AccountHealth(0.0)
    for now in (1.0, 31.0):
        health.listed("server_error")
        assert health.status({}, (), gate_closed=False).problems == {"unreachable"}, now
    health.ok(60.0)
    assert health.status({}, (), gate_closed=False).problems == set()


def test_one_sick_answer_is_not_a_problem_yet_and_a_list_that_is_odd_is_not_asked_at_once() -> None:
    health = AccountHealth(0.0)
    health.ok(0.0)
    health.failed(10.0, 9.0, sick())
    assert health.status({}, (), gate_closed=False).problems == set()
    health.ok(11.0)
    health.probing(71.0)
    health.probe_failed(72.0, 71.0, BadResponse("_embedded: is not an object"))
    assert health.probe_due() == 131.0


def test_a_question_that_is_refused_is_not_a_reason_to_ask_the_list() -> None:
    health = AccountHealth(0.0)
    health.ok(0.0)
    health.failed(10.0, 9.0, Refused("HTTP 400", status=400))
    assert health.probe_due() == 70.0


def test_the_probe_is_one_paid_call_and_not_asked_while_reports_arrive() -> None:
    run = Run(World(BUSY), lambda *_: None, SIX)
    run.until(550)
    assert "probe" not in {kind for _, kind, _ in run.asked}
    assert run.world.budget.usage().used == len([1 for at, *_ in run.asked if at > 490])


# --- one question's fate is its own -------------------------------------------------------------

FULL = replace(
    SETTINGS,
    mailboxes=MailboxChoice(all=True),
    types=("all", "email", "chat", "phone"),
    windows=(DAY, MONTH),
)
THREE = SIX[:3]


def chat_forbidden(_: float, job: Job) -> HelpScoutError | None:
    chat = job.question is not None and job.question.key.type == "chat"
    return NotAllowed("HTTP 403", status=403) if chat else None


@pytest.mark.no_cover
def test_a_cut_that_is_refused_takes_no_other_report_along() -> None:
    run = Run(World(FULL, limit=100), chat_forbidden, THREE)
    world = run.world
    run.until(120)
    for at in (120, 600, 909, 1_330, 3_600):
        run.until(at)
        entries = world.store.snapshot().entries
        arrived = {key for key, entry in entries.items() if entry.reading is not None}
        assert arrived == {key for key in entries if key.type != "chat"}, at
        assert world.up()
        assert world.problems == set()
        assert world.collector_up is True
    chats: dict[Key, int] = {}
    for _, _, key in run.asked:
        if key and key.type == "chat":
            chats[key] = chats.get(key, 0) + 1
    assert all(number <= 1 + 3_600 / 900 for number in chats.values())


@pytest.mark.parametrize("error", [NotAllowed("no", status=403), NotThere("no", status=404)])
@pytest.mark.no_cover
def test_a_mailbox_is_left_alone_when_its_plain_question_is_refused(error: HelpScoutError) -> None:
    def service(_: float, job: Job) -> HelpScoutError | None:
        gone = job.question is not None and job.question.key.mailbox_id == "2"
        return error if gone else None

    run = Run(World(FULL), service, THREE)
    run.until(1_700)
    # A few may be on their way at the same time as the first.
    asked = [key for at, _, key in run.asked if key and key.mailbox_id == "2" and at > 1]
    assert {key.type for key in asked} == {"all"}
    entries = run.world.store.snapshot().entries
    fresh = {key.mailbox_id for key, entry in entries.items() if entry.reading is not None}
    assert fresh == {"all", "1", "3"}
    assert run.world.up()
    back = Run(run.world, lambda *_: None, THREE)
    back.until(930)
    assert {key.type for _, _, key in back.asked if key and key.mailbox_id == "2"} == set(
        FULL.types
    )


@pytest.mark.parametrize(
    ("last", "is_left_alone"),
    [
        ({"all": "plan"}, True),
        ({"all": "plan", "email": "plan"}, True),
        ({"all": "plan", "email": None}, False),
        ({"email": "plan"}, False),
        ({"all": "bad_request"}, False),
    ],
)
def test_a_mailbox_is_not_left_alone_while_any_question_about_it_is_answered(
    last: dict[str, str | None], is_left_alone: bool
) -> None:
    keys = {type_: Key("productivity", "acme", "2", type_, "24h", "false") for type_ in FULL.types}
    refusals = Refusals()
    refusals.keep(keys.values())
    for type_, reason in last.items():
        refusals.note(keys[type_], reason)
    assert refusals.mailbox_rests("2") is is_left_alone


@pytest.mark.parametrize(
    ("other", "problem"),
    [("plan", "plan"), ("server_error", None), ("bad_response", "bad_response")],
)
def test_what_fails_for_several_reasons_is_not_a_matter_of_the_plan(
    other: str, problem: str | None
) -> None:
    keys = [Key("productivity", "acme", id_, "all", "24h", "false") for id_ in ("1", "2")]
    refusals = Refusals()
    refusals.keep(keys)
    for key, reason in zip(keys, ("plan", other), strict=True):
        refusals.note(key, reason)
    assert refusals.works is False
    assert refusals.problem == problem


def test_a_mailbox_that_was_gone_is_not_left_alone_when_it_is_back() -> None:
    key = Key("productivity", "acme", "2", "all", "24h", "false")
    refusals = Refusals()
    refusals.keep([key])
    refusals.note(key, "not_found")
    assert refusals.mailbox_rests("2")
    refusals.keep([])
    refusals.keep([key])
    assert not refusals.mailbox_rests("2")


def test_a_window_that_is_refused_takes_no_other_window_along() -> None:
    def service(_: float, job: Job) -> HelpScoutError | None:
        refused = job.question is not None and job.question.key.window == "30d"
        return NotAllowed("HTTP 403", status=403) if refused else None

    run = Run(World(FULL), service, THREE)
    run.until(700)
    entries = run.world.store.snapshot().entries
    assert all((entry.reading is None) == (key.window == "30d") for key, entry in entries.items())


def test_when_the_plan_has_reports_again_every_report_is_asked() -> None:
    upgraded = 2_000.0
    run = Run(
        World(FULL),
        lambda at, job: NotAllowed("no", status=403) if job.question and at < upgraded else None,
        THREE,
    )
    run.until(upgraded)
    assert run.world.problems == {"plan"}
    run.until(upgraded + 905)
    assert run.world.problems == set()
    assert all(run.world.successes())


def test_a_reload_asks_again_what_was_refused() -> None:
    world = World(A_DAY)
    world.discover(SIX)
    world.answer_all(NotAllowed("no", status=403))
    world.now += 1
    world.poller.configure(settings(A_DAY, ACCOUNT))
    world.discover(SIX)
    assert world.answer_all() == 6


any_key = st.builds(
    Key,
    st.just("productivity"),
    st.just("acme"),
    mailbox_id=st.sampled_from(["all", "1", "2"]),
    type=st.sampled_from(["all", "email"]),
    window=st.sampled_from(["24h", "7d"]),
    office_hours=st.sampled_from(["true", "false"]),
    segment=st.sampled_from(["", "vip"]),
)


@given(
    st.sets(any_key, min_size=1),
    st.lists(st.tuples(st.integers(0, 100), st.sampled_from([None, "server_error"]))),
)
def test_a_collector_works_unless_every_plain_key_failed_last(
    keys: set[Key], events: list[tuple[int, str | None]]
) -> None:
    refusals, order = Refusals(), sorted(keys)
    refusals.keep(order)
    last: dict[Key, list[str | None]] = {}
    for number, reason in events:
        key = order[number % len(order)]
        refusals.note(key, reason)
        last.setdefault(key, []).append(reason)
    judged = [k for k in order if k[3:] == ("all", k.window, "false", "")]
    judged = judged or [k for k in order if not k.segment] or []
    tried = [k for k in judged if k in last]
    if not tried:
        assert refusals.works is None
    elif len(judged) == 1:
        assert refusals.works is not (len(last[judged[0]]) > 1 and None not in last[judged[0]][-2:])
    else:
        assert refusals.works is any(k not in last or last[k][-1] is None for k in judged)


def test_a_single_report_that_failed_for_long_works_once_it_arrives() -> None:
    key = Key("productivity", "acme", "1", "all", "24h", "false")
    refusals, works = Refusals(), list[bool | None]()
    refusals.keep([key])
    for reason in ("server_error", "server_error", None, "server_error", "server_error"):
        refusals.note(key, reason)
        works.append(refusals.works)
    assert works == [True, False, True, True, False]


@pytest.mark.parametrize(
    ("whole", "cut", "refused"),
    [
        (None, "bad_request", {"vip"}),
        (None, "not_found", {"vip"}),
        (None, "server_error", set()),
        (None, None, set()),
        ("bad_request", "bad_request", set()),
    ],
)
def test_a_segment_is_to_blame_only_if_it_is_refused_and_the_whole_is_not(
    whole: str | None, cut: str | None, refused: set[str]
) -> None:
    key = Key("productivity", "acme", "1", "all", "24h", "false")
    refusals = Refusals()
    refusals.keep([key, key._replace(segment="vip")])
    refusals.note(key, whole)
    refusals.note(key._replace(segment="vip"), cut)
    assert refusals.refused_segments() == refused


def test_a_mailbox_is_left_alone_only_if_each_of_its_plain_reports_is_refused() -> None:
    day, week = (Key("productivity", "acme", "1", "all", w, "false") for w in ("24h", "7d"))
    refusals = Refusals()
    refusals.keep([day, week])
    refusals.note(day, "plan")
    assert refusals.mailbox_rests("1"), "the other has not been asked"
    refusals.note(week, "server_error")
    assert not refusals.mailbox_rests("1")


def test_what_is_not_asked_any_more_says_nothing_of_the_collector() -> None:
    keys = [Key("productivity", "acme", str(n), "all", "24h", "false") for n in range(4)]
    refusals = Refusals()
    refusals.keep(keys)
    for key in keys:
        refusals.note(key, None if key in keys[:2] else "server_error")
    refusals.keep(keys[:2])
    assert refusals.works is True
    refusals.keep(keys[2:])
    assert refusals.works is None, "none of these has been tried"


def test_every_error_has_a_reason_of_the_table_and_every_reason_an_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    reasons = {k.reason for k in kinds if issubclass(k, HelpScoutError) and k is not HelpScoutError}
    assert reasons == set(REASONS)


def test_the_accounts_problems_are_those_that_users_know() -> None:
    assert list(PROBLEMS) == [
        "credentials",
        "plan",
        "suspended",
        "throttled",
        "unreachable",
        "bad_response",
    ]
