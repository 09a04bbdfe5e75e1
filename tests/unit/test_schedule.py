"""The schedule: which question is asked when, without waiting for it."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.questions import Key, Question, Window
from exporter.schedule import Demand, Group, GroupOutlook, Outlook, Schedule, Stretch

DAY = Window("24h", timedelta(minutes=5))
WEEK = Window("7d", timedelta(minutes=35))
MONTH = Window("30d", timedelta(hours=1))
DAILY = Group("productivity", "24h", 300.0)
MONTHLY = Group("productivity", "30d", 3600.0)


def request(window: Window, mailbox: int = 1, type_: str = "all", **filters: object) -> Question:
    key = Key("productivity", "acme", str(mailbox), type_, window.text, "false", "")
    ids = filters.get("mailbox_ids", (mailbox,))
    assert isinstance(ids, tuple)
    return Question(key, window.every, window.range, (ids, (), ()))


def grid(*windows: Window, mailboxes: int = 3) -> list[Question]:
    return [
        request(window, mailbox) for window, mailbox in product(windows, range(1, mailboxes + 1))
    ]


def run(
    schedule: Schedule, per_minute: float, start: float, seconds: float
) -> list[tuple[float, Key]]:
    """Ask at the budget's pace whatever is due; return what was asked when."""
    asked, now, free_at = [], start, start
    while now < start + seconds:
        now = max(schedule.next_due(), free_at)
        taken = schedule.take(now)
        if taken is None:
            break
        asked.append((now, taken.key))
        schedule.done(taken.key, now)
        free_at = now + 60 / per_minute
    return [each for each in asked if each[0] < start + seconds]


LISTS = 0.1
"""What one page of a list each ten minutes takes, in calls a minute."""


def test_demand_is_the_sum_of_the_rates_and_of_the_lists() -> None:
    asked = [(each, 1) for each in (*grid(DAY, MONTH, mailboxes=10), *about_now(3))]
    found = Demand.of_questions(asked, 4)
    assert found.windows == pytest.approx(2 + 1 / 6)
    assert found.now == 3
    assert found.lists == pytest.approx(4 * LISTS)
    assert found.per_minute == pytest.approx(5 + 1 / 6 + 4 * LISTS)


def test_an_account_that_is_silent_for_a_minute_is_asked_its_list() -> None:
    assert Demand.of(0.3, 0.2, 1).lists == pytest.approx(0.5)
    assert Demand.of(0, 0, 1).per_minute == pytest.approx(1)


def test_the_first_round_asks_short_windows_first_evenly_at_budget_speed() -> None:
    schedule = Schedule()
    schedule.set(grid(MONTH, DAY, WEEK), 0, {})
    asked = run(schedule, 60, 0, 9)
    assert [key.window for _, key in asked] == ["24h"] * 3 + ["7d"] * 3 + ["30d"] * 3
    assert [at for at, _ in asked] == list(range(9))
    assert schedule.first_round_done


def test_unknown_reports_are_asked_before_known_ones() -> None:
    schedule = Schedule()
    requests = grid(DAY, MONTH)
    old = {requests[0].key: 10_000.0, requests[1].key: 10_000.0}
    schedule.set(requests, 0, old)
    order = [key for _, key in run(schedule, 60, 0, 6)]
    assert set(order[-2:]) == set(old)


def test_what_was_got_a_moment_ago_is_not_asked_again_before_its_time() -> None:
    schedule = Schedule()
    requests = grid(DAY, mailboxes=1)
    schedule.set(requests, 1_000, {requests[0].key: 100.0})
    assert schedule.next_due() == pytest.approx(1_200)


def test_afterwards_the_keys_of_a_window_are_spread_over_its_interval() -> None:
    schedule = Schedule()
    schedule.set(grid(DAY, mailboxes=30), 0, {})
    asked = run(schedule, 6_000, 0, 3_600)
    later = sorted(at for at, _ in asked if at >= 900)
    gaps = [b - a for a, b in pairwise(later)]
    assert min(gaps) == pytest.approx(10, abs=0.01)
    assert max(gaps) == pytest.approx(10, abs=0.01)


def test_each_key_keeps_its_interval() -> None:
    schedule = Schedule()
    schedule.set(grid(DAY, WEEK, mailboxes=5), 0, {})
    times: dict[Key, list[float]] = {}
    for at, key in run(schedule, 6_000, 0, 6 * 3_600):
        times.setdefault(key, []).append(at)
    for key, instants in times.items():
        interval = 300 if key.window == "24h" else 2_100
        gaps = [b - a for a, b in pairwise(instants)]
        assert interval / 2 <= gaps[0] <= interval * 1.5
        assert gaps[1:] == pytest.approx([interval] * (len(gaps) - 1), abs=1)


def test_a_plan_larger_than_the_budget_is_stretched_by_one_factor() -> None:
    schedule = Schedule()
    schedule.set(grid(DAY, MONTH, mailboxes=60), 0, {})
    assert schedule.fit(6.5 + LISTS, 1)
    assert schedule.stretch.windows == pytest.approx(2.0)
    assert schedule.interval(request(DAY)) == pytest.approx(600)
    assert schedule.interval(request(MONTH)) == pytest.approx(7_200)
    assert not schedule.fit(6.5 + LISTS, 1)
    assert schedule.fit(1_000, 1)
    assert schedule.stretch == Stretch()


@settings(max_examples=30, deadline=None)
@given(
    mailboxes=st.integers(1, 25),
    share=st.floats(0.2, 3.0),
    seed=st.integers(0, 10),
)
def test_no_key_starves_whatever_the_budget(mailboxes: int, share: float, seed: int) -> None:
    requests = grid(DAY, WEEK, MONTH, mailboxes=mailboxes)
    per_minute = Demand.of_questions([(each, 1) for each in requests], 0).windows * share
    schedule = Schedule()
    schedule.set(requests, seed * 17.0, {})
    schedule.fit(per_minute, 1)
    longest = schedule.interval(request(MONTH))
    asked = run(schedule, per_minute, seed * 17.0, 6 * longest)
    counted = Counter(key for _, key in asked)
    assert set(counted) == {request.key for request in requests}
    assert min(counted.values()) >= 3
    round_seconds = len(requests) * 60 / per_minute
    assert schedule.outlook(asked[-1][0], 0).lag <= round_seconds + longest


def test_a_retry_is_a_due_time_like_any_other() -> None:
    schedule = Schedule()
    [one] = requests = grid(DAY, mailboxes=1)
    schedule.set(requests, 0, {})
    assert schedule.take(0) == one
    assert schedule.next_due() == float("inf")
    schedule.again(one.key, 0.7)
    assert schedule.take(0.6) is None
    assert schedule.take(0.7) == one


def test_a_question_that_changed_while_it_was_asked_is_asked_once_more_if_that_failed() -> None:
    schedule = Schedule()
    [one] = grid(DAY, mailboxes=1)
    schedule.set([one], 0, {})
    assert schedule.take(0) == one
    changed = replace(one, spec=("another",))
    schedule.set([changed], 1, {})
    schedule.again(one.key, 2)
    assert schedule.take(2) == changed
    schedule.done(one.key, 2)
    assert schedule.next_due() == 300, "the retry asked the new question already"


def test_a_new_plan_keeps_what_stays_and_forgets_what_goes() -> None:
    schedule = Schedule()
    schedule.set(grid(DAY, WEEK), 0, {})
    run(schedule, 600, 0, 1)
    before = schedule.next_due()
    schedule.set(grid(DAY), 10, {})
    assert schedule.next_due() == before
    assert [(o.group.window, o.reports) for o in schedule.outlook(10, 0).groups] == [("24h", 3)]


def test_a_shorter_interval_takes_effect_at_once() -> None:
    schedule = Schedule()
    schedule.set(grid(MONTH, mailboxes=1), 0, {})
    run(schedule, 600, 0, 1)
    quick = Window("30d", timedelta(minutes=1))
    schedule.set([request(quick)], 10, {})
    assert schedule.next_due() <= 70


def test_a_key_that_now_means_another_question_is_asked_at_once() -> None:
    schedule = Schedule()
    schedule.set([request(DAY, mailbox_ids=(1,))], 0, {})
    run(schedule, 600, 0, 1)
    assert schedule.next_due() > 100
    schedule.set([request(DAY, mailbox_ids=(1, 2))], 10, {})
    assert schedule.next_due() == 10


def test_a_paused_report_is_left_alone_until_its_time_whatever_its_interval() -> None:
    schedule = Schedule()
    requests = grid(DAY, mailboxes=2)
    schedule.set(requests, 0, {})
    paused = schedule.take(0)
    assert paused is not None
    schedule.pause(paused.key, 900)
    schedule.set(requests, 100, {})
    assert paused.key not in {key for _, key in run(schedule, 600, 100, 790)}
    schedule.set([replace(each, spec=((1,), (), (7,))) for each in requests], 895, {})
    assert schedule.next_due() <= 895, "another question is asked at once"


def test_hurried_keys_are_due_now_but_not_the_one_being_asked() -> None:
    schedule = Schedule()
    first, second = requests = grid(DAY, mailboxes=2)
    schedule.set(requests, 0, {})
    run(schedule, 600, 0, 1)
    due = schedule.next_due()
    taken = schedule.take(due)
    assert taken is not None
    schedule.hurry([first.key, second.key], due)
    other = schedule.take(due)
    assert other is not None
    assert {taken.key, other.key} == {first.key, second.key}
    assert schedule.take(due) is None


def test_lag_is_how_long_the_most_overdue_has_waited() -> None:
    schedule = Schedule()
    assert schedule.outlook(5, 0).lag == 0
    schedule.set(grid(DAY), 10, {})
    assert schedule.outlook(10, 0).lag == 0
    assert schedule.outlook(42, 0).lag == 32


def test_an_answer_for_a_dropped_question_is_ignored() -> None:
    schedule = Schedule()
    [one] = requests = grid(DAY, mailboxes=1)
    schedule.set(requests, 0, {})
    schedule.take(0)
    schedule.set([], 1, {})
    schedule.done(one.key, 0)
    schedule.again(one.key, 2)
    schedule.hurry([one.key], 2)
    assert schedule.next_due() == float("inf")


def test_the_outlook_has_each_windows_next_turn_and_what_is_overdue() -> None:
    schedule = Schedule()
    assert schedule.outlook(0, 9.0) == Outlook((), 1.0, 0.0, 9.0)
    schedule.set(grid(DAY, MONTH), 0, {})
    assert schedule.outlook(40, 100.0) == Outlook(
        (GroupOutlook(DAILY, 3, 300.0, 0), GroupOutlook(MONTHLY, 3, 3600.0, 0)), 1.0, 40, 100.0
    )
    taken = [schedule.take(40) for _ in range(3)][-1]
    assert taken is not None
    assert schedule.outlook(40, 100.0).groups[0] == GroupOutlook(DAILY, 3, 300.0, None)
    assert schedule.outlook(40, 100.0).lag == 40
    schedule.done(taken.key, 40)
    schedule.fit(0.3, 1)
    found = schedule.outlook(40, 100.0)
    assert found.stretch == schedule.stretch.windows > 2
    assert found.groups[0].interval == schedule.interval(request(DAY))
    assert found.groups[0].next_due == 200.0


def about_now(number: int) -> list[Question]:
    return [
        Question(Key("folders", "acme", str(n)), timedelta(minutes=1), None) for n in range(number)
    ]


@pytest.mark.parametrize("known", [False, True], ids=["the first round", "later"])
def test_a_due_question_about_now_is_asked_before_windows_that_have_waited_longer(
    known: bool,
) -> None:
    schedule = Schedule()
    windows = grid(DAY, MONTH, mailboxes=200)
    schedule.set([*windows, *about_now(10)], 0, {q.key: 9_999.0 for q in windows} if known else {})
    asked = run(schedule, 60, 0, 300)
    times: dict[Key, list[float]] = {}
    for at, key in asked:
        times.setdefault(key, []).append(at)
    for question in about_now(10):
        assert len(times[question.key]) >= 5
        assert max(b - a for a, b in pairwise(times[question.key])) <= 90
    assert len(asked) - sum(len(times[q.key]) for q in about_now(10)) >= 240


@pytest.mark.parametrize(
    ("now", "windows", "budget", "stretch"),
    [
        (0, 0, 10, (1, 1)),
        (40, 60, 100, (1, 1)),
        (40, 120, 100, (1, 2)),
        (100, 100, 100, (2, 2)),
        (100, 20, 100, (1.25, 1)),
        (200, 0, 100, (2, 1)),
        (0, 200, 100, (1, 2)),
    ],
)
def test_questions_about_now_keep_their_interval_first_and_at_least_half_of_the_budget(
    now: float, windows: float, budget: float, stretch: tuple[float, float]
) -> None:
    assert Stretch.fitting(Demand(now, windows), budget) == Stretch(*stretch)
    assert Stretch.fitting(Demand(now, windows, 7), budget + 7) == Stretch(*stretch)


def test_what_fits_beside_the_lists_is_asked_as_often_as_configured_and_no_more_often() -> None:
    assert Stretch.fitting(Demand(20, 60, 10), 95) == Stretch(1, 1)
    assert Stretch.fitting(Demand(20, 60, 10), 85) == Stretch(1, 60 / 55)


def test_questions_have_half_of_a_budget_that_the_lists_alone_would_use_up() -> None:
    assert Stretch.fitting(Demand(0, 100, 300), 100) == Stretch(1, 2)
    assert Stretch.fitting(Demand(40, 10, 300), 100) == Stretch()


@pytest.mark.parametrize("questions", [grid(DAY, mailboxes=60), about_now(12)], ids=["24h", "now"])
def test_the_stretch_follows_a_change_of_the_budget_above_a_percent(
    questions: list[Question],
) -> None:
    schedule = Schedule()
    schedule.set(questions, 0, {})
    intervals = []
    for budget, changes in ((6.0, True), (5.97, False), (5.5, True), (5.0, True), (5.04, False)):
        assert schedule.fit(budget + LISTS, 1) is changes
        intervals.append(schedule.interval(questions[0]) / questions[0].every.total_seconds())
    assert intervals == pytest.approx([2, 2, 12 / 5.5, 2.4, 2.4])


@pytest.mark.parametrize(("before", "after"), [(3, 6), (6, 3), (2, 5)])
def test_places_are_spread_again_when_the_number_of_keys_changes(before: int, after: int) -> None:
    schedule = Schedule()
    schedule.set(grid(DAY, mailboxes=before), 0, {})
    run(schedule, 6_000, 0, 600)
    schedule.set(grid(DAY, mailboxes=after), 600, {})
    asked = sorted(at for at, _ in run(schedule, 6_000, 600, 3_600) if at >= 1_800)
    gaps = [b - a for a, b in pairwise(asked)]
    assert gaps == pytest.approx([300 / after] * len(gaps), abs=0.1)


def test_what_a_question_took_is_what_its_next_turn_costs() -> None:
    schedule = Schedule()
    [one] = questions = grid(DAY, mailboxes=1)
    schedule.set(questions, 0, {})
    schedule.took(one.key, 20)
    assert schedule.fit(2.0 + LISTS, 1)
    assert schedule.stretch.windows == pytest.approx(2.0)
    schedule.took(one.key, 10)
    assert schedule.fit(2.0 + LISTS, 1)
    assert schedule.stretch.windows == 1.0


def test_a_question_that_changes_is_asked_at_once_also_if_it_is_just_being_asked() -> None:
    schedule = Schedule()
    known, running = grid(DAY, mailboxes=2)
    schedule.set([known, running], 0, {})
    assert schedule.take(0) == known
    schedule.done(known.key, 0)
    assert schedule.take(0) == running
    changed = [replace(each, spec=("another",)) for each in (known, running)]
    schedule.set(changed, 10, {})
    done = [schedule.first_round_done]
    assert schedule.take(10) == changed[0]
    schedule.done(known.key, 10)
    done.append(schedule.first_round_done)
    schedule.done(running.key, 0)
    done.append(schedule.first_round_done)
    assert schedule.take(11) == changed[1]
    schedule.done(running.key, 11)
    done.append(schedule.first_round_done)
    assert done == [False, False, False, True]
    assert schedule.take(12) is None
