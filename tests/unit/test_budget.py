"""The budget: an even pace within our share, room for others, a gate after a 429."""

import itertools
from collections.abc import Callable

import pytest

from benchmarks import shared_account
from exporter.helpscout.budget import Budget, Stopping, Usage
from exporter.telemetry import Telemetry


class Clock:
    """Seconds that pass only when told to; waiting is how they pass."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(
    clock: Clock,
    limit: float = 120,
    share: float = 0.5,
    wait: Callable[[float], bool] | None = None,
) -> tuple[Budget, Telemetry]:
    telemetry = Telemetry(process_metrics=False)
    budget = Budget("acme", limit, share, telemetry, clock=clock, wait=wait or clock.wait)
    return budget, telemetry


def spend_for(budget: Budget, clock: Clock, seconds: float) -> list[float]:
    """Spend as fast as the budget lets us; return the instants of the calls."""
    end, calls = clock.now + seconds, []
    while clock.now < end:
        delay = budget.try_spend()
        if delay == 0:
            calls.append(clock.now)
        clock.now += delay
    return calls


def test_a_minute_of_calls_is_the_limit_times_the_share(clock: Clock) -> None:
    budget, _ = make(clock, limit=120, share=0.5)
    assert len(spend_for(budget, clock, 600)) == pytest.approx(600, abs=1)


def test_calls_are_evenly_spaced(clock: Clock) -> None:
    budget, _ = make(clock, limit=60, share=0.5)
    calls = spend_for(budget, clock, 60)
    gaps = [later - earlier for earlier, later in itertools.pairwise(calls)]
    assert gaps == pytest.approx([2.0] * len(gaps))


def test_after_an_idle_hour_at_most_a_second_is_caught_up(clock: Clock) -> None:
    budget, _ = make(clock, limit=600, share=0.5)
    clock.now += 3_600
    burst = 0
    while budget.try_spend() == 0:
        burst += 1
    assert burst == 5


def test_the_services_own_limit_takes_the_place_of_the_configured_one(clock: Clock) -> None:
    budget, telemetry = make(clock, limit=200, share=0.5)
    budget.observe(clock.now, 800, 799)
    assert budget.planned_per_minute == 400
    assert (
        telemetry.registry.get_sample_value(
            "helpscout_exporter_rate_limit_per_minute", {"account": "acme"}
        )
        == 800
    )
    assert (
        telemetry.registry.get_sample_value(
            "helpscout_exporter_rate_limit_remaining", {"account": "acme"}
        )
        == 799
    )


@pytest.mark.parametrize(
    ("asked", "waited"), [(30.0, 30.0), (0.0, 1.0), (None, 60.0)], ids=["30 s", "0 s", "nonsense"]
)
def test_a_429_closes_the_gate_for_its_time_and_never_for_none(
    clock: Clock, asked: float | None, waited: float
) -> None:
    budget, _ = make(clock)
    budget.close_gate(asked)
    assert budget.closed
    assert budget.try_spend() == waited
    clock.now += waited
    assert not budget.closed


def test_after_a_429_the_rate_recovers_slowly(clock: Clock) -> None:
    budget, _ = make(clock, limit=1_000, share=0.6)
    budget.close_gate(30)
    clock.now += 30
    rates = []
    for _ in range(5):
        rates.append(budget.per_minute)
        clock.now += 30
    assert rates == pytest.approx([150, 262.5, 375, 487.5, 600])


def test_waiting_for_the_gate_ends_with_the_exporter(clock: Clock) -> None:
    budget, _ = make(clock, wait=lambda _seconds: True)
    budget.close_gate(30)
    with pytest.raises(Stopping):
        budget.spend()


def test_spend_waits_for_its_turn(clock: Clock) -> None:
    budget, _ = make(clock, limit=120, share=0.5)
    for _ in range(4):
        budget.spend()
    assert clock.now == pytest.approx(1_003)


def test_what_others_take_is_kept_free_for_them_and_forgotten_after_some_minutes(
    clock: Clock,
) -> None:
    budget, _ = make(clock, limit=400, share=0.5)
    budget.spend()
    budget.observe(clock.now, 400, 399 - 300)
    assert budget.per_minute == pytest.approx(400 * 0.98 - 300, abs=1)
    clock.now += 6 * 60
    assert budget.per_minute == pytest.approx(200)


def test_our_own_calls_are_not_taken_for_somebody_elses(clock: Clock) -> None:
    budget, _ = make(clock, limit=400, share=0.9)
    remaining = 400
    for second in range(300):
        if second % 60 == 0:
            remaining = 400
        asked_at = clock.now
        while budget.try_spend() == 0:
            remaining -= 1
            budget.observe(asked_at, 400, remaining)
        clock.now = 1_001.0 + second
    assert budget.per_minute == pytest.approx(360)


def test_counts_that_are_a_few_calls_apart_are_not_taken_for_somebody_elses(clock: Clock) -> None:
    budget, _ = make(clock, limit=400, share=1.0)
    budget.spend()
    budget.observe(clock.now, 400, 399 - 12)
    assert budget.per_minute == pytest.approx(400 * 0.98)
    budget.observe(clock.now, 400, 399 - 13)
    assert budget.per_minute == pytest.approx(400 * 0.98 - 13)


def test_our_first_calls_of_a_new_minute_are_not_taken_for_somebody_elses(clock: Clock) -> None:
    budget, _ = make(clock, limit=400, share=1.0)
    budget.observe(clock.now, 400, 400 - len(spend_for(budget, clock, 30)))
    clock.now += 30
    asked_at = clock.now
    calls = len(spend_for(budget, clock, 3))
    assert calls > 12
    budget.observe(asked_at, 400, 400 - calls)
    assert budget.per_minute == pytest.approx(400 * 0.98)


def test_calls_that_are_not_answered_yet_count_against_what_is_left(clock: Clock) -> None:
    budget, _ = make(clock, limit=400, share=0.9)
    budget.observe(clock.now, 400, 400 - len(spend_for(budget, clock, 60)) - 20)
    for left in (20, 15, 10):
        budget.observe(clock.now, 400, left)
    assert len(spend_for(budget, clock, 5)) == 2


def test_an_answer_of_a_minute_that_is_over_says_nothing_of_this_one(clock: Clock) -> None:
    budget, _ = make(clock, limit=400, share=0.5)
    asked_at = clock.now
    budget.close_gate(30)
    clock.now += 31
    budget.observe(asked_at, 400, 0)
    clock.now += 200
    assert budget.per_minute == 200
    budget.observe(clock.now, 400, 0)
    assert budget.per_minute < 200


def test_the_last_calls_of_a_minute_are_left_to_others_that_suddenly_need_them(
    clock: Clock,
) -> None:
    budget, _ = make(clock, limit=400, share=0.9)
    used, burst, ends = 0, 200, clock.now + 60
    while clock.now < ends:
        if clock.now >= ends - 30 and burst:
            used, burst = used + burst, 0
        asked_at = clock.now
        if delay := budget.try_spend():
            clock.now += delay
            continue
        used += 1
        budget.observe(asked_at, 400, 400 - used)
    assert 400 - used == 7, "eight, of which one goes to see after 20 s"


def test_one_call_checks_whether_there_is_room_again(clock: Clock) -> None:
    budget, _ = make(clock, limit=400, share=0.5)
    budget.spend()
    budget.observe(clock.now, 400, 5)
    clock.now += 6 * 60
    assert budget.per_minute == 200, "the pace alone would let more go"
    assert budget.try_spend() == 0
    for _ in range(15):
        clock.now += 1
        assert budget.try_spend() > 0
    budget.observe(clock.now, 400, 300)
    assert len(spend_for(budget, clock, 5)) > 5


def test_a_second_shorter_429_does_not_shorten_the_gate(clock: Clock) -> None:
    budget, _ = make(clock)
    budget.close_gate(30)
    clock.now += 1
    budget.close_gate(5)
    assert budget.try_spend() == 29


def test_after_a_429_of_less_than_a_minute_the_service_counts_from_nothing(clock: Clock) -> None:
    budget, _ = make(clock, limit=400, share=0.9)
    spend_for(budget, clock, 60)
    budget.observe(clock.now, 400, 5)
    budget.close_gate(10)
    clock.now += 15
    assert budget.try_spend() == 0


@pytest.mark.parametrize("limit", [0.0, None])
def test_a_limit_that_makes_no_sense_leaves_the_last_one(clock: Clock, limit: float | None) -> None:
    budget, _ = make(clock)
    budget.observe(clock.now, limit, None)
    assert (budget.planned_per_minute, budget.try_spend()) == (60, 0)


def test_a_call_waits_if_its_turn_is_in_time(clock: Clock) -> None:
    budget, _ = make(clock, limit=120, share=0.5)
    budget.spend()
    began = clock.now
    assert budget.spend_within(2.0)
    assert clock.now == began + 1
    assert not budget.spend_within(0.5)
    assert clock.now == began + 1


@pytest.mark.parametrize("pattern", ["one burst", "three bursts", "late burst", "steady"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.no_cover
def test_beside_a_client_that_takes_sixty_percent_both_live(pattern: str, seed: int) -> None:
    refused, share_of_what_was_left, ours_refused = shared_account.run(pattern, 0.5, seed)
    assert refused <= 0.01
    assert share_of_what_was_left >= 0.8
    assert ours_refused <= 1


def test_the_usage_counts_our_calls_of_the_last_minute_alone(clock: Clock) -> None:
    budget, _ = make(clock)
    assert budget.usage() == Usage(120, 60, 0, 0.0)
    calls = spend_for(budget, clock, 30)
    assert budget.usage().used == len(calls) == 30
    clock.now += 45
    assert budget.usage().used == 14
    clock.now += 60
    assert budget.usage().used == 0
    budget.close_gate(20)
    assert budget.usage() == Usage(120, 15, 0, 20.0)
    clock.now += 5
    assert budget.usage().closed_seconds == 15.0


def test_a_service_that_never_says_what_remains_makes_nothing_pile_up(clock: Clock) -> None:
    budget, _ = make(clock)
    spend_for(budget, clock, 600)
    assert len(budget._others._ours) <= 61


def test_beside_others_that_use_all_of_the_limit_a_call_is_made_now_and_then(clock: Clock) -> None:
    budget, _ = make(clock, limit=400, share=0.5)
    budget.observe(clock.now, 400, 0)
    assert budget.per_minute == 400 * 0.5 * 0.02


def test_what_is_exported_is_there_from_the_start_and_follows_a_429_which_no_plan_does(
    clock: Clock,
) -> None:
    budget, telemetry = make(clock, limit=120, share=0.5)

    def exported() -> dict[str, float | None]:
        names = ("rate_limit_per_minute", "rate_budget_per_minute", "throttled_total")
        value = telemetry.registry.get_sample_value
        return {n: value(f"helpscout_exporter_{n}", {"account": "acme"}) for n in names}

    usual = {"rate_limit_per_minute": 120, "rate_budget_per_minute": 60, "throttled_total": 0}
    assert exported() == usual
    budget.close_gate(30)
    clock.now += 30
    budget.publish()
    assert exported() == usual | {"rate_budget_per_minute": 15}
    assert budget.planned_per_minute == 60


def test_a_pause_costs_nothing_and_ends_with_the_exporter(clock: Clock) -> None:
    budget, _ = make(clock)
    began = clock.now
    budget.pause(2.5)
    assert (clock.now - began, budget.usage().used) == (2.5, 0)
    ending, _ = make(clock, wait=lambda _seconds: True)
    with pytest.raises(Stopping):
        ending.pause(2.5)
