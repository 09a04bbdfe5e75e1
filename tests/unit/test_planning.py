"""What a configuration costs, and the ways out where that is too much."""

from bisect import bisect_left
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.collectors import codec, imagined, questions_of
from exporter.planning import AccountPlan, assumptions, known_mailboxes, plan, table
from exporter.questions import Learned, Mailbox
from exporter.settings import load
from exporter.state_file import StateFile
from tests.unit.poller_world import ACCOUNT, Run, World

LOGIN = {"HELPSCOUT_CLIENT_ID": "a", "HELPSCOUT_CLIENT_SECRET": "b"}


def planned(mailboxes: int, **environ: str) -> AccountPlan:
    configuration = load(None, {**LOGIN, **environ})
    return plan(configuration, configuration.accounts[0], mailboxes)


def test_ten_mailboxes_with_the_defaults_fit() -> None:
    result = planned(10)
    assert result.fits
    assert result.ways_out == ()
    assert [(cost.name, cost.reports, round(cost.per_minute, 2)) for cost in result.costs] == [
        ("productivity 24h", 44, 8.8),
        ("productivity 7d", 44, 1.26),
        ("productivity 30d", 44, 0.73),
        ("folders", 10, 2.0),
    ]
    assert result.overhead == pytest.approx(0.1)
    assert result.budget == 100


def test_the_table_reads_like_this() -> None:
    text = table(planned(10, HELPSCOUT_WINDOWS="[24h]", HELPSCOUT_TYPES="[all]"))
    assert text == (
        "account default\n"
        "question          reports  calls/min  of limit  every  stretched  series\n"
        "productivity 24h       11        2.2      1.1%     5m          -     528\n"
        "folders                10        2.0      1.0%     5m          -     140\n"
        "lists                   -        0.1      0.1%      -          -       -\n"
        "together               21        4.3      2.1%      -          -     668\n"
        "fits: 4.3 calls/min of 100.0 in the budget\n"
    )


def test_what_does_not_fit_names_three_ways_out_that_are_enough_first() -> None:
    result = planned(60, HELPSCOUT_OFFICE_HOURS="[false, true]")
    assert not result.fits
    assert len(result.ways_out) == 3
    assert all(way.fits for way in result.ways_out)
    assert result.ways_out[0].words == "ask the window 24h every 8m instead of 5m"
    savings = [way.saves_per_minute for way in result.ways_out]
    assert savings == sorted(savings)


def test_a_way_out_that_is_taken_fits() -> None:
    before = planned(60, HELPSCOUT_OFFICE_HOURS="[false, true]")
    after = planned(
        60,
        HELPSCOUT_OFFICE_HOURS="[false, true]",
        HELPSCOUT_WINDOWS="[{range: 24h, every: 8m}, 7d, 30d]",
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
    # 100 a minute are the budget, 0.6 are lists: of 99.4 left, questions about now get half.
    result = planned(300, HELPSCOUT_WINDOWS="[24h]")
    windows, now = result.costs
    assert windows.per_minute == pytest.approx(240.8)
    assert now.per_minute == 60
    assert windows.effective / windows.every == pytest.approx(240.8 / 49.7)
    assert now.effective / now.every == pytest.approx(60 / 49.7)


def test_questions_about_now_keep_their_interval_where_half_of_the_budget_is_enough() -> None:
    # 240 mailboxes: 48 a minute about now, less than half of the 99.5 that lists leave.
    windows, now = planned(240, HELPSCOUT_WINDOWS="[24h]").costs
    assert now.effective == now.every
    assert windows.effective / windows.every == pytest.approx(192.8 / (99.5 - 48))


PLUS = {"HELPSCOUT_ACCOUNTS__0__REQUESTS_PER_MINUTE": "400"}


def test_for_five_hundred_mailboxes_on_a_plus_plan_it_says_what_is_reachable() -> None:
    # Of 200 a minute 1 is lists. 100 about now get half of the rest, 491.6 of windows the other.
    result = planned(500, **PLUS)
    assert not result.fits
    assert result.budget == 200
    assert result.overhead == pytest.approx(1.0)
    of_windows = 2004 / 5 + 2004 / 35 + 2004 / 60
    assert result.per_minute == pytest.approx(of_windows + 100 + 1)
    assert {cost.name: round(cost.effective / cost.every, 3) for cost in result.costs} == {
        "productivity 24h": round(of_windows / 99.5, 3),
        "productivity 7d": round(of_windows / 99.5, 3),
        "productivity 30d": round(of_windows / 99.5, 3),
        "folders": round(100 / 99.5, 3),
    }
    within = sum(cost.per_minute * (cost.every / cost.effective) for cost in result.costs)
    assert within + result.overhead == pytest.approx(result.budget)
    text = table(result)
    assert "\nproductivity 24h     2004      400.8    100.2%     5m     24m42s " in text
    assert "\nfolders               500      100.0     25.0%     5m       5m2s " in text
    assert "\ndoes not fit: 592.5 calls/min of 200.0 in the budget;" in text


@pytest.mark.no_cover
def test_the_poller_keeps_to_what_the_plan_says() -> None:
    # A fifth of five hundred mailboxes on a Plus plan: 40 calls a minute, of which folders get 20.
    account = replace(ACCOUNT, requests_per_minute=80)
    boxes = [Mailbox(number, f"Box {number}", "", "") for number in range(1, 101)]
    world = World(load(None, LOGIN), limit=80, account=account)
    run = Run(world, lambda at, job: None, boxes)
    run.until(720)
    asked = [at for at, _, _ in run.asked]
    busiest = max(bisect_left(asked, at + 60) - index for index, at in enumerate(asked))
    assert busiest <= 40 + 1, "the budget, and what may be asked at once"
    assert len(asked) > 11 * 40, "none of it is left unused"
    folders = Counter(key for _, _, key in run.asked if key and key.collector == "folders")
    assert len(folders) == 100
    assert min(folders.values()) >= 2, "queues are asked about as often as the plan says"


@pytest.mark.parametrize(
    ("mailboxes", "limit"),
    [
        (60, 200),
        (240, 200),
        pytest.param(1_000, 200, marks=pytest.mark.no_cover),
        (240, 12),  # stretched like 4,000 of 200
    ],
)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"HELPSCOUT_WAITING__ENABLED": "true", "HELPSCOUT_HAPPINESS__ENABLED": "true"},
        {
            "HELPSCOUT_WAITING__ENABLED": "true",
            "HELPSCOUT_PRODUCTIVITY__ENABLED": "false",
            "HELPSCOUT_SEGMENTS": "[{name: vip, tags: [vip]}]",
        },
        {"HELPSCOUT_SHARD": "{index: 1, total: 3, by: mailbox}"},
    ],
    ids=["by default", "every kind", "with a list of tags", "a shard"],
)
def test_the_poller_stretches_by_what_the_plan_says(
    mailboxes: int, limit: float, settings: dict[str, str]
) -> None:
    its_limit = {"HELPSCOUT_ACCOUNTS__0__REQUESTS_PER_MINUTE": str(limit)}
    configuration = load(None, {**LOGIN, **its_limit, **settings})
    (account,) = configuration.accounts
    account = replace(account, name="acme", base_url=ACCOUNT.base_url)
    configuration = replace(configuration, accounts=(account,))
    share = account.requests_per_minute * configuration.shard.budget_share
    world = World(configuration, limit=share, account=account)
    boxes = [Mailbox(number, f"Box {number}", "", "") for number in range(1, mailboxes + 1)]
    world.poller.discovered(boxes, Learned({"vip": 7}))
    world.poller.tick(world.now)
    expected = {
        (cost.collector, cost.window): cost.effective.total_seconds()
        for cost in plan(configuration, account, mailboxes).costs
    }
    outlook, _ = world.poller.progress
    found = {group.group[:2]: group.interval for group in outlook.groups}
    assert found == pytest.approx(expected, rel=1e-3)


def test_kinds_of_question_are_named_among_the_ways_to_save() -> None:
    result = planned(270, HELPSCOUT_WINDOWS="[24h]", HELPSCOUT_TYPES="[all]")
    assert result.per_minute == pytest.approx(271 / 5 + 270 / 5 + 0.6)
    assert [(way.words, way.fits) for way in result.ways_out] == [
        ("ask folders every 6m instead of 5m", True),
        ("ask the window 24h every 6m instead of 5m", True),
        ("turn folders off", True),
    ]


def test_the_last_window_type_and_time_are_not_a_way_to_save() -> None:
    alone = {"WINDOWS": "[24h]", "TYPES": "[all]", "FOLDERS": "{enabled: false}"}
    result = planned(3_000, **{f"HELPSCOUT_{name}": value for name, value in alone.items()})
    assert [way.words for way in result.ways_out] == [
        "ask the window 24h every 32m instead of 5m",
        "set mailboxes.all to false",
    ]


@pytest.mark.parametrize("mailboxes", ["", ", mailboxes: [Sales]"])
def test_the_series_of_every_sla_are_counted_whatever_mailboxes_it_is_for(mailboxes: str) -> None:
    sla = f"{{name: fast, statistic: response_time, target: 1h, objective: 0.9{mailboxes}}}"
    without, with_ = planned(10), planned(10, HELPSCOUT_SLA=f"[{sla}]")
    more = sum(cost.series for cost in with_.costs) - sum(cost.series for cost in without.costs)
    assert more == 2 * 2 * 11, "two series over two windows of each mailbox and of all together"


def test_a_window_of_happiness_alone_is_a_way_to_save() -> None:
    result = planned(
        100,
        HELPSCOUT_WINDOWS="[24h]",
        HELPSCOUT_TYPES="[all]",
        HELPSCOUT_FOLDERS="{enabled: false}",
        HELPSCOUT_HAPPINESS="{enabled: true, windows: [{range: 7d, every: 1m}]}",
    )
    assert [(way.words, way.fits) for way in result.ways_out][:1] == [
        ("ask the window 7d every 2m instead of 1m", True)
    ]


def test_an_account_that_is_hardly_asked_anything_pays_for_its_probes() -> None:
    # One mailbox each 5 minutes: in each of the other minutes the list is asked.
    result = planned(1, HELPSCOUT_ACCOUNTS__0__COLLECTORS="folders")
    assert [cost.name for cost in result.costs] == ["folders"]
    assert result.overhead == pytest.approx(0.8)
    assert result.per_minute == pytest.approx(1.0)


def test_a_split_account_splits_its_budget() -> None:
    result = planned(10, HELPSCOUT_SHARD="{index: 0, total: 2, by: mailbox}")
    assert result.budget == 50


@pytest.mark.parametrize("by", ["account", "mailbox"])
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("mailboxes", [0, 1, 40])
def test_a_shards_plan_counts_the_questions_that_fall_to_it(
    by: str, index: int, mailboxes: int
) -> None:
    shard = f"{{index: {index}, total: 3, by: {by}}}"
    settings = {"HELPSCOUT_SHARD": shard, "HELPSCOUT_WAITING__ENABLED": "true"}
    configuration = load(None, {**LOGIN, **settings})
    account = configuration.accounts[0]
    asked = Counter(
        question.key.group for question in questions_of(imagined(account, configuration, mailboxes))
    )
    costs = plan(configuration, account, mailboxes).costs
    assert {(cost.collector, cost.window): cost.reports for cost in costs} == asked


def test_compared_periods_cost_series_but_no_calls() -> None:
    plain, compared = planned(10), planned(10, HELPSCOUT_COMPARE="true")
    assert compared.per_minute == plain.per_minute
    assert compared.costs[0].series == plain.costs[0].series + 44 * 22


def assumed(**environ: str) -> list[str]:
    configuration = load(None, environ)
    return list(assumptions(configuration, configuration.accounts[0]))


def test_a_plan_goes_by_the_mailboxes_that_each_account_had(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    accounts = {f"ACCOUNTS__{n}__{k}": f"{k}-{n}" for n in (0, 1, 2) for k in ("NAME", "API_KEY")}
    environ = {f"HELPSCOUT_{k}": v for k, v in accounts.items()}
    configuration = load(None, environ | {"HELPSCOUT_STATE_FILE": str(path)})
    assert known_mailboxes(configuration) == {}
    assert not path.exists()
    state = StateFile(path, codec)
    for number, account in enumerate(configuration.accounts[:2], 1):
        boxes = [Mailbox(id_, f"box {id_}", "", "") for id_ in range(number)]
        state.remember_account(account.identity, boxes, Learned())
    state.close()
    assert known_mailboxes(configuration) == {"NAME-0": 1, "NAME-1": 2}


def test_the_limit_that_a_plan_goes_by_is_reported() -> None:
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
def test_what_only_help_scout_knows_is_reported_as_an_assumption(
    environ: dict[str, str], words: str
) -> None:
    assert len(assumed(**LOGIN)) == 1
    told = assumed(**LOGIN, **environ)
    assert len(told) == 2
    assert any(each.startswith(words) for each in told)


def test_a_kind_of_question_that_may_take_several_calls_says_so() -> None:
    waiting = "{enabled: true, every: 2m, max_pages: 5}"
    (said,) = [each for each in assumed(**LOGIN, HELPSCOUT_WAITING=waiting) if "waiting" in each]
    assert said == (
        "that each question of waiting takes one call: a mailbox with a long list takes up to 5,"
        " 2.0 calls/min more"
    )
    costs = planned(500, HELPSCOUT_WAITING=waiting).costs
    (cost,) = [cost for cost in costs if cost.collector == "waiting"]
    assert (cost.reports, cost.per_minute) == (500, 250)
