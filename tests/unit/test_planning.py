"""What a configuration costs, and the ways out where that is too much."""

import pytest

from exporter.planning import AccountPlan, assumptions, plan, table
from exporter.settings import load

LOGIN = {"HELPSCOUT_CLIENT_ID": "a", "HELPSCOUT_CLIENT_SECRET": "b"}


def planned(mailboxes: int, **environ: str) -> AccountPlan:
    configuration = load(None, {**LOGIN, **environ})
    return plan(configuration, configuration.accounts[0], mailboxes)


def test_ten_mailboxes_with_the_defaults_fit() -> None:
    result = planned(10)
    assert result.fits
    assert result.ways_out == ()
    assert [cost.reports for cost in result.costs] == [44, 44, 44]
    assert [round(cost.per_minute, 2) for cost in result.costs] == [8.8, 1.26, 0.73]
    assert result.overhead == pytest.approx(0.1)
    assert result.budget == 100


def test_the_table_reads_like_this() -> None:
    text = table(planned(10, HELPSCOUT_WINDOWS="[24h]", HELPSCOUT_TYPES="[all]"))
    assert text == (
        "account default\n"
        "window    reports  calls/min  of limit  every  stretched  series\n"
        "24h            11        2.2      1.1%     5m          -     528\n"
        "lists           -        0.1      0.1%    10m          -       -\n"
        "together       11        2.3      1.2%      -          -     528\n"
        "fits: 2.3 calls/min of 100.0 in the budget\n"
    )


def test_what_does_not_fit_names_three_ways_out_that_are_enough_first() -> None:
    result = planned(60, HELPSCOUT_OFFICE_HOURS="[false, true]")
    assert not result.fits
    assert len(result.ways_out) == 3
    assert all(way.fits for way in result.ways_out)
    assert result.ways_out[0].words == "ask the window 24h every 7m instead of 5m"
    savings = [way.saves_per_minute for way in result.ways_out]
    assert savings == sorted(savings)


def test_a_way_out_that_is_taken_fits() -> None:
    before = planned(60, HELPSCOUT_OFFICE_HOURS="[false, true]")
    after = planned(
        60,
        HELPSCOUT_OFFICE_HOURS="[false, true]",
        HELPSCOUT_WINDOWS="[{range: 24h, every: 7m}, 7d, 30d]",
    )
    assert after.fits
    assert before.per_minute - after.per_minute == pytest.approx(
        before.ways_out[0].saves_per_minute
    )


def test_where_nothing_alone_is_enough_what_saves_most_is_named() -> None:
    result = planned(5_000)
    assert not result.fits
    assert [way.fits for way in result.ways_out] == [False] * 3
    savings = [way.saves_per_minute for way in result.ways_out]
    assert savings == sorted(savings, reverse=True)
    assert "not enough alone" in table(result)


def test_the_stretch_is_the_one_that_the_schedule_will_use() -> None:
    result = planned(300, HELPSCOUT_WINDOWS="[24h]")
    [cost] = result.costs
    assert cost.effective / cost.every == pytest.approx(
        cost.per_minute / (result.budget - result.overhead)
    )


def test_a_split_account_splits_its_budget() -> None:
    result = planned(10, HELPSCOUT_SHARD="{index: 0, total: 2, by: mailbox}")
    assert result.budget == 50


def test_compared_periods_cost_series_but_no_calls() -> None:
    plain, compared = planned(10), planned(10, HELPSCOUT_COMPARE="true")
    assert compared.per_minute == plain.per_minute
    assert compared.costs[0].series == plain.costs[0].series + 44 * 22


def assumed(**environ: str) -> list[str]:
    configuration = load(None, environ)
    return list(assumptions(configuration, configuration.accounts[0]))


def test_the_limit_that_a_plan_goes_by_is_told() -> None:
    (told,) = assumed(**LOGIN)
    assert told == (
        "a limit of 200 calls a minute, by requests_per_minute, until Help Scout says otherwise; "
        "Plus plans have 400, Pro plans 800"
    )
    other = {"HELPSCOUT_API_KEY": "k", "HELPSCOUT_ACCOUNTS__0__REQUESTS_PER_MINUTE": "150"}
    assert assumed(**other) == [
        "a limit of 150 calls a minute, by requests_per_minute, until Help Scout says otherwise"
    ]


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"HELPSCOUT_MAILBOXES__INCLUDE__0": "Support*"}, "that all of them are selected: "),
        ({"HELPSCOUT_MAILBOXES__EXCLUDE__0": "1001"}, "that all of them are selected: "),
        ({"HELPSCOUT_SEGMENTS": "[{name: a, tags: [b]}]"}, "that the tags of every segment exist"),
    ],
)
def test_what_only_help_scout_knows_is_told_as_an_assumption(
    environ: dict[str, str], words: str
) -> None:
    assert len(assumed(**LOGIN)) == 1
    told = assumed(**LOGIN, **environ)
    assert len(told) == 2
    assert any(each.startswith(words) for each in told)
