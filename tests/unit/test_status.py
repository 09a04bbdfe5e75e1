"""The status page's words: figures, ages, problems and choices, from made-up facts."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.folders import Folder
from exporter.collectors.productivity.report import Distribution, ProductivityReport, Statistics
from exporter.collectors.waiting import Waiting
from exporter.collectors.waiting.wire import Row
from exporter.health import AccountStatus, Failure, Missing
from exporter.helpscout.budget import Usage
from exporter.questions import Key, Mailbox, Reading
from exporter.reasons import PROBLEMS, REASONS
from exporter.schedule import Group, GroupOutlook, Outlook
from exporter.settings import load
from exporter.status import Facts, ReloadFailure, Rendered, filters, render, view
from exporter.status.choice import TYPE_NAMES
from exporter.status.figures import Bars
from exporter.status.filters import BARS_HEIGHT
from exporter.status.problems import LAGGING_SECONDS, STRETCHED
from exporter.status.queue import Backlog, Overdue, Waits
from exporter.status.view import MAILBOXES_A_PAGE, Kept
from exporter.store import Store
from tests.readings import reading
from tests.support import ROOT
from tests.unit.exposed import ACCOUNTS, NASTY_NAMES, published_like, stores
from tests.unit.shown import Cell, Reader, Shown
from tests.unit.status_facts import ENVIRON, NOW, World

_HOUR, _DAY = 3600, 86_400


def spaced(text: str) -> str:
    """Return a text with ordinary blanks."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h"),
        (4320, "1 h 12 min"),
        (4349, "1 h 12 min"),
        (_DAY - 20, "1 d"),
        (_DAY - 40, "23 h 59 min"),
        (2 * _DAY + 4 * _HOUR, "2 d 4 h"),
        (400 * _DAY, "400 d"),
        (1e300, "over 100 years"),
        (float("inf"), "over 100 years"),
        (float("nan"), "over 100 years"),
    ],
)
def test_a_duration_is_written_in_two_units_at_most(seconds: float, expected: str) -> None:
    assert spaced(filters.duration(seconds)) == expected


@given(st.floats(0, 3e9))
def test_a_duration_in_words_is_off_by_half_its_smaller_unit_at_most(seconds: float) -> None:
    sizes = {"d": _DAY, "h": _HOUR, "min": 60, "s": 1}
    parts = re.findall(r"(\d+) (d|h|min|s)", spaced(filters.duration(seconds)))
    told = sum(int(number) * sizes[unit] for number, unit in parts)
    smaller = {"d": _HOUR, "h": 60, "min": 1, "s": 1}[parts[0][1]]
    assert abs(told - seconds) <= smaller / 2 + 1e-6
    assert all(int(number) < {"h": 24, "min": 60, "s": 60}.get(unit, 1e9) for number, unit in parts)


@pytest.mark.parametrize(
    ("say", "value", "expected"),
    [
        (filters.ago, 1.9, "just now"),
        (filters.ago, -5, "just now"),
        (filters.ago, 59.9, "59 s ago"),
        (filters.ago, 119, "1 min ago"),
        (filters.ago, 49 * _HOUR, "2 d ago"),
        (filters.roughly, 0.5, "0 s"),
        (filters.ahead, 0.5, "now"),
        (filters.ahead, 156, "in 2 min 36 s"),
        (filters.count, 12345.0, "12,345"),
        (filters.rate, 2.5, "2.5"),
        (filters.rate, 3.0, "3"),
        (filters.rate, 60_000.4, "60,000"),
        (filters.mean, 2.449, "2.4"),
        (filters.percent, 0.8999, "89 %"),
        (filters.percent, 0.29, "29 %"),
        (filters.percent, 1.0, "100 %"),
        (filters.precise_percent, 0.995, "99.5 %"),
        (filters.change, 0.123, "↑ 12 %"),
        (filters.change, -0.53, "↓ 53 %"),
        (filters.change, 0.004, "± 0 %"),
        (filters.change, 14.2, "× 15"),
        (filters.change, 1e12, "× 9,999"),
        (filters.instant, NOW + 0.9, "2026-03-11T14:30:00Z"),
    ],
)
def test_a_figure_is_written_as_people_say_it(
    say: Callable[[float], str], value: float, expected: str
) -> None:
    assert spaced(say(value)) == expected


def test_a_moment_of_another_day_has_its_date() -> None:
    assert filters.clock(NOW - 60, NOW) == "14:29:00 UTC"
    assert filters.clock(NOW - _DAY, NOW) == "2026-03-10 14:30 UTC"
    assert filters.clock(NOW - 28 * _DAY, NOW) == "2026-02-11 14:30 UTC"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Support", "Support"),
        ("  a \t b\r\nc ", "a b c"),
        ("\x00\x1b[31m\x85\u2028x", "[31m x"),
        ("\u202eevil\u2066", "evil"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("half \ud800", "half \N{REPLACEMENT CHARACTER}"),
        ("", "(no name)"),
        (" \n ", "(no name)"),
        ("x" * 500, "x" * 119 + "…"),
    ],
)
def test_a_name_is_one_line_that_steers_nothing(text: str, expected: str) -> None:
    assert filters.name(text) == expected


# --- the first lines ----------------------------------------------------------------------------


def shown(world: World, query: dict[str, str] | None = None) -> Shown:
    """The page of a world."""
    return Shown(world.facts(), query)


def test_all_is_well_where_every_report_is_fresh() -> None:
    world = World()
    page = shown(world)
    assert (page.level, page.verdict) == ("well", "All is well")
    assert page.problems == []
    said = {label: (tile.value, tile.level) for label, tile in page.tiles.items()}
    assert said == {
        "Accounts up": ("1 of 1", "well"),
        "Reports fresh": ("24 of 24", "well"),
        "Next poll": ("in 12 s", "well"),
        "Budget used": ("12 of 100", "well"),
        "SLAs met": ("18 of 18", "well"),
    }
    assert page.tiles["Budget used"].share == 0.12
    assert page.tiles["Next poll"].detail == "24h of acme, 14:30:12 UTC"


def test_at_the_start_nothing_is_wrong_yet() -> None:
    world = World()
    world.store.set_accounts([])
    world.store.set_accounts(["acme"])
    facts = replace(world.facts(), progress={})
    page = Shown(facts)
    assert page.verdict == "Starting: logging in and listing the mailboxes"
    assert page.empty == "Nothing is known yet: the mailboxes have not been listed."
    assert page.tiles["Accounts up"].level == "starting"
    assert (page.tiles["Next poll"].value, page.tiles["Next poll"].level) == ("–", "starting")
    assert "Budget used" not in page.tiles
    assert page.accounts[0]["State"] == "starting"
    assert page.accounts[0]["Calls in the last minute"] == ""
    world.store.set_status("acme", AccountStatus(up=True))
    assert shown(world).verdict.startswith("There is nothing to report")
    assert shown(world).level == "warn"
    world.store.schedule("acme", world.reports())
    world.store.succeeded(world.key(), reading(published_like()))
    page = shown(world)
    assert (page.level, page.verdict) == (
        "starting",
        "Starting: 1 of 24 reports have arrived",
    )
    assert page.tiles["Reports fresh"].detail == "23 waiting"


def test_a_shard_without_accounts_says_so() -> None:
    world = World()
    world.store.set_accounts([])
    page = Shown(replace(world.facts(), progress={}), {"account": "acme"})
    assert page.verdict == "This shard has no accounts"
    assert page.groups == []
    assert page.empty == "No mailbox is selected, or this shard has none of them."


def test_several_accounts_that_do_not_work_are_counted() -> None:
    world = World()
    world.store.set_accounts(["acme", "a", "b", "c", "d"])
    for name in ("a", "b", "c", "d"):
        world.store.set_status(name, AccountStatus(False, frozenset({"unreachable"})))
    page = shown(world)
    assert page.verdict == "4 of 5 accounts do not work"
    assert page.tiles["Accounts up"].detail == "not a, b, c and 1 more"


def test_a_gate_that_is_closed_moves_the_next_poll() -> None:
    world = World(usage=Usage(200, 25, 30, 90.0))
    page = shown(world)
    assert page.tiles["Next poll"].value == "in 1 min 30 s"
    assert page.tiles["Budget used"].detail == "Help Scout said: wait"
    assert page.tiles["Budget used"].share == 1.0
    assert page.tiles["Budget used"].level == "warn"
    assert page.windows[0]["Next poll"] == "in 1 min 30 s"


def test_the_most_used_budget_stands_for_all_of_them() -> None:
    world = World()
    world.store.set_accounts(["acme", "other"])
    progress = {**world.facts().progress, "other": (Outlook(), Usage(10, 5, 4, 0.0))}
    found = Shown(replace(world.facts(), progress=progress)).tiles
    assert (found["Budget used"].value, found["Budget used"].detail) == (
        "4 of 5",
        "calls of other, limit 10",
    )


# --- the table ----------------------------------------------------------------------------------


def cells(page: Shown) -> dict[str, Cell]:
    return page.groups[0].rows[0].cells


def test_a_row_has_the_missions_figures_in_human_units() -> None:
    page = shown(World(), {"type": "email"})
    assert [(group.name, group.id) for group in page.groups] == [
        ("All mailboxes", ""),
        ('Sales "EU"', "10"),
        ("Support", "2"),
    ]
    assert [row.window for row in page.groups[0].rows] == ["24h", "7d"]
    found = cells(page)
    assert {heading: cell.value for heading, cell in found.items()} == {
        "First response time": "1 h",
        "Response time": "1 h 30 min",
        "Handle time": "2 min",
        "Replies to resolve": "1.8",
        "Resolved": "8",
    }
    assert found["Resolved"].note == "25 % on first reply"


def test_a_change_is_shown_with_what_it_means() -> None:
    told = {heading: cell.change for heading, cell in cells(shown(World())).items() if cell.change}
    assert told == {
        "First response time": ("↓ 50 %", "better", "faster than 2 h in the preceding period"),
        "Response time": ("± 0 %", "even", "1 h 30 min in the preceding period"),
        "Handle time": ("↑ 20 %", "worse", "slower than 1 min 40 s in the preceding period"),
        "Replies to resolve": ("↑ 17 %", "worse", "more than 1.5 in the preceding period"),
        "Resolved": ("↓ 20 %", "even", "fewer than 10 in the preceding period"),
    }


@pytest.mark.parametrize(
    "previous",
    [None, Statistics(), Statistics(response_time=0.0), Statistics(response_time=5e-324)],
)
def test_without_a_figure_before_there_is_no_change(previous: Statistics | None) -> None:
    world = World()
    report = ProductivityReport(Statistics(response_time=1e9), previous)
    world.store.succeeded(world.key("all"), reading(report))
    assert cells(shown(world))["Response time"].change is None


def test_what_was_not_measured_is_absent_and_not_zero() -> None:
    world = World()
    world.store.succeeded(world.key("all"), reading(ProductivityReport(Statistics(resolved=0))))
    page = shown(world)
    values = [cell.value for cell in cells(page).values()]
    assert values == [None, None, None, None, "0"]
    assert all(cell.bars == "" and not cell.promises for cell in cells(page).values())
    assert cells(page)["Response time"].why == "not measured"


def test_an_sla_is_met_or_missed_in_words() -> None:
    found = cells(shown(World()))
    told = {heading: cell.promises for heading, cell in found.items()}
    assert told == {
        "First response time": [
            ("✓ met 90 %", "first-1h: 90 % within 1 h are promised, 90 % of 10 were")
        ],
        "Response time": [],
        "Handle time": [
            ("✓ met 100 %", "quick: 99.5 % within 2 min are promised, 100 % of 10 were")
        ],
        "Replies to resolve": [
            ("✓ met 62 %", "two: 50 % within 2 replies are promised, 62 % of 8 were")
        ],
        "Resolved": [],
    }


@pytest.mark.parametrize(
    ("status", "text", "level"),
    [
        (AccountStatus(up=True), "The exporter works; 6 of 18 SLAs are missed", "warn"),
        (
            AccountStatus(up=True, problems=frozenset({"throttled"})),
            "It works, with one thing to look at; 6 of 18 SLAs are missed",
            "warn",
        ),
        (
            AccountStatus(up=False, problems=frozenset({"unreachable"})),
            "Account acme does not work; 6 of 18 SLAs are missed",
            "bad",
        ),
    ],
)
def test_the_first_line_says_how_the_exporter_is_and_how_the_team_is(
    status: AccountStatus, text: str, level: str
) -> None:
    world = World()
    slow = replace(published_like(), handle_time=Distribution((0, 0, 0, 0, 10), (0,) * 5))
    for key in world.reports():
        world.store.succeeded(key, reading(slow))
    world.store.set_status("acme", status)
    page = shown(world)
    assert (page.level, page.verdict) == (level, text)


def test_a_problem_links_to_its_runbook() -> None:
    world = World()
    world.store.set_status("acme", AccountStatus(problems=frozenset({"credentials"})))
    (problem,) = shown(world).problems
    html = shown(world).markup
    assert re.search(rf'href="https://[^"]+/docs/runbooks\.md#{problem.runbook.lower()}"', html)


def test_an_sla_that_cannot_be_judged_is_not_shown() -> None:
    world = World()
    no_replies = replace(published_like(), replies_to_resolve=None, handle_time=None)
    for key in world.reports():
        world.store.succeeded(key, reading(replace(no_replies, first_response_time=None)))
    page = shown(world)
    assert all(not cell.promises for cell in cells(page).values())
    assert page.tiles["SLAs met"].value == "–"
    assert "SLAs met" not in shown(World(environ={"HELPSCOUT_SLA": "[]"})).tiles


def test_bars_have_words_and_show_what_is_beyond_the_target() -> None:
    found = cells(shown(World()))
    first = found["First response time"]
    assert first.bars == "up to 15 min: 4, 15 min to 30 min: 3, 30 min to 1 h: 2, 1 h to 2 h: 1"
    assert (first.within, first.beyond) == (3, 1)
    response = found["Response time"]
    assert response.bars.endswith("over 2 d: 4")
    assert response.beyond == 0
    assert found["Replies to resolve"].bars == (
        "1 reply: 2, 2 replies: 3, 3 replies: 1, 4 replies: 1, 5 or more replies: 1"
    )


def test_of_several_slas_the_strictest_target_parts_the_bars() -> None:
    slas = ", ".join(
        f"{{name: s{n}, statistic: first_response_time, target: {n}m, objective: 0.5}}"
        for n in (30, 60, 15)
    )
    found = cells(shown(World(environ={"HELPSCOUT_SLA": f"[{slas}]"})))["First response time"]
    assert (found.within, found.beyond) == (1, 3)


def test_the_highest_bar_fills_its_height_and_the_lowest_can_be_seen() -> None:
    bars = Bars("handle_time", (500, 250, 1, 0, 0), float("inf"))
    heights = re.findall(r"v-([\d.]+)", filters.outline(bars, beyond=False))
    assert heights == [f"{BARS_HEIGHT}", f"{BARS_HEIGHT / 2:g}", "2"]


def test_the_tiles_are_no_longer_green_where_reports_are_stale_or_slas_are_missed() -> None:
    world = World()
    world.wait(631)
    assert shown(world).tiles["Reports fresh"].level == "warn"
    world.wait(270)
    assert shown(world).tiles["Reports fresh"].level == "bad"
    world.store.schedule("acme", [])
    world.store.schedule("acme", [world.key("all")])
    world.store.failed(world.key("all"), Failure("unreachable", "no answer"))
    assert shown(world).tiles["Reports fresh"].level == "bad"
    sla = "[{name: a, statistic: first_response_time, target: 1s, objective: 0.999}]"
    missed = World(environ={"HELPSCOUT_SLA": sla})
    assert shown(missed).tiles["SLAs met"].level == "warn"


def test_a_report_ages_from_fresh_to_stale() -> None:
    world = World()
    key = world.key("all")

    def row() -> tuple[str, str, str, int]:
        found = shown(world).groups[0].rows[0]
        figures = sum(cell.value is not None for cell in found.cells.values())
        return found.state, found.word, found.age, figures

    world.wait(630)
    assert row() == ("fresh", "", "10 min ago", 5)
    world.wait(1)
    assert row() == ("late", "late", "10 min ago", 5)
    world.store.succeeded(key, reading(published_like()))
    assert row() == ("fresh", "", "just now", 5)
    world.store.failed(key, Failure("unreachable", "no answer"))
    assert row() == ("late", "last try failed", "just now", 5)
    world.wait(901)
    assert row() == ("stale", "stale", "15 min ago", 0)
    assert cells(shown(world))["Resolved"].why == "too old to be shown"


def test_a_report_that_never_arrived_differs_from_one_that_waits() -> None:
    world = World()
    world.store.schedule("acme", [])
    world.store.schedule("acme", world.reports())
    world.store.failed(world.key("all"), Failure("not_found", "HTTP 404"))
    page = shown(world)
    first, second = page.groups[0].rows
    assert (first.state, first.word, first.age) == ("failing", "never arrived", "")
    assert (second.state, second.word, second.age) == (
        "waiting",
        "waiting for its turn",
        "",
    )


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_failing_cut_is_named_whole() -> None:
    environ = {
        "HELPSCOUT_SEGMENTS": "[{name: vip, tags: [1]}]",
        "HELPSCOUT_OFFICE_HOURS": "[false, true]",
    }
    world = World(environ=environ)
    cut = Key("productivity", "acme", "2", "chat", "24h", "true", "vip")
    for key in (cut, cut._replace(window="7d")):
        world.store.failed(key, Failure("plan", "HTTP 403"))
    (problem,) = shown(world).problems
    assert (
        problem.where == "account acme: Support #2 (24h, 7d; type chat; segment vip; office hours)"
    )
    for key in (cut, cut._replace(window="7d")):
        world.store.failed(key._replace(office_hours="false"), Failure("plan", "HTTP 403"))
    (problem,) = shown(world).problems
    assert problem.where == "account acme: Support #2 (24h, 7d; type chat; segment vip)"


@pytest.mark.parametrize("reason", PROBLEMS)
def test_an_accounts_problem_is_reported_once_with_answer_and_reference(reason: str) -> None:
    world = World()
    failure = Failure(reason, f"HTTP 4xx: {reason}", "ref-9")
    for key in world.reports():
        world.store.failed(key, failure)
    world.wait(60)
    world.store.failed(world.key(), replace(failure, message="the last", reference="ref-10"))
    world.store.set_status("acme", AccountStatus(False, frozenset({reason})))
    (problem,) = shown(world).problems
    assert (problem.said, problem.reference, problem.since) == (
        "the last",
        "ref-10",
        filters.instant(NOW),
    )
    assert problem.where == "account acme, all of its reports"
    assert problem.bad
    page = shown(world)
    assert page.verdict == "Account acme does not work"
    assert page.accounts[0]["State"] == "down"


def test_a_failed_login_is_reported_without_any_report() -> None:
    world = World()
    world.wait(5)
    world.store.set_login("acme", Failure("credentials", "HTTP 401: bad client", None))
    world.store.set_status("acme", AccountStatus(False, frozenset({"credentials"})))
    (problem,) = shown(world).problems
    assert (problem.since, problem.said, problem.reference) == (
        filters.instant(NOW + 5),
        "HTTP 401: bad client",
        "",
    )
    assert problem.runbook == "HelpscoutAccountRefused"


def test_an_account_that_works_and_is_throttled_is_a_lesser_problem() -> None:
    world = World()
    world.store.set_status("acme", AccountStatus(True, frozenset({"throttled"})))
    (problem,) = shown(world).problems
    assert (problem.bad, problem.said, problem.since) == (False, "", filters.instant(NOW))
    page = shown(world)
    assert (page.level, page.verdict) == (
        "warn",
        "It works, with one thing to look at",
    )
    assert page.accounts[0]["State"] == "up, with a problem"


def test_failing_reports_are_grouped_by_reason() -> None:
    world = World(mailboxes=tuple(Mailbox(n, f"Box {n}", "", "") for n in range(1, 9)))
    for key in world.reports():
        if key.mailbox_id != "all":
            reason = "server_error" if key.window == "7d" else "bad_response"
            world.store.failed(key, Failure(reason, "HTTP 503", "ref"))
    found = shown(world).problems
    assert [problem.title for problem in found] == [
        "The answers cannot be used: 32 reports",
        "Help Scout fails: 32 reports",
    ]
    assert found[0].where == (
        "account acme: Box 1 #1 (24h), Box 2 #2 (24h), Box 3 #3 (24h), Box 4 #4 (24h),"
        " Box 5 #5 (24h), and 3 more mailboxes"
    )
    assert {problem.runbook for problem in found} == {"HelpscoutReportStale"}
    assert shown(world).verdict == "Some reports do not arrive"


def test_what_to_do_is_what_the_failure_says_of_itself() -> None:
    world = World()
    world.store.schedule("acme", [])
    world.store.schedule("acme", world.reports())
    gone = Failure("not_found", "HTTP 404", None, "was the mailbox deleted?")
    world.store.failed(world.key(), gone)
    slow = Failure("server_error", "HTTP 504", None, "use a shorter window")
    world.store.failed(world.key("all"), slow)
    deleted, late = shown(world).problems
    assert deleted.title == "Help Scout does not find what is asked for: 1 report"
    assert deleted.advice == "Was the mailbox deleted?"
    assert late.where == "account acme: all mailboxes together (24h)"
    assert late.advice == "Use a shorter window."
    assert {deleted.runbook, late.runbook} == {"HelpscoutReportNeverSucceeded"}


@pytest.mark.parametrize("reason", ["not_found", "plan", "bad_request"])
def test_what_is_refused_everywhere_is_not_a_fault_of_one_filter(reason: str) -> None:
    world = World()
    for number, key in enumerate(world.reports()):
        world.store.failed(key, Failure(reason, "HTTP 4xx", None, f"check segment {number % 3}"))
    (problem,) = shown(world).problems
    assert problem.advice.lower().startswith(REASONS[reason].advice.lower())


def test_folders_that_are_refused_everywhere_are_not_a_matter_of_the_plan() -> None:
    world = World()
    queues = [Key("folders", "acme", mailbox_id) for mailbox_id in ("2", "10")]
    world.store.schedule("acme", [*world.reports(), *queues])
    for key in queues:
        world.store.failed(key, Failure("plan", "HTTP 403", None, "leave folders out"))
    (problem,) = shown(world).problems
    assert problem.title == "Help Scout does not allow it: 2 reports"
    assert problem.advice == "Leave folders out."


def assert_refused_everywhere(world: World) -> None:
    """All reports of an account fail, of whatever segment: the page advises on the account."""
    for number, key in enumerate(world.reports()):
        world.store.failed(key, Failure("plan", "HTTP 403", None, f"check segment {number % 3}"))
    (problem,) = shown(world).problems
    assert problem.advice.lower().startswith(REASONS["plan"].advice.lower())


def test_reports_that_are_refused_everywhere_are_so_where_folders_arrive() -> None:
    world = World()
    queues = Key("folders", "acme", "2")
    world.store.schedule("acme", [*world.reports(), queues])
    world.store.succeeded(queues, reading(()))
    assert_refused_everywhere(world)


def test_a_reason_with_many_remedies_is_one_matter() -> None:
    world = World()
    for number, key in enumerate(world.reports()[1:]):
        failure = Failure("server_error", "HTTP 504", None, f"remedy {number}")
        world.store.failed(key, failure)
    (problem,) = shown(world).problems
    assert problem.advice.lower().startswith(REASONS["server_error"].advice.lower())


def test_a_mailbox_list_that_is_not_whole_is_reported_while_the_account_works() -> None:
    world = World()
    failure = Failure("bad_response", "mailbox list at x: the list is not whole", "ref")
    world.store.set_login("acme", failure)
    (problem,) = shown(world).problems
    assert (problem.title, problem.bad) == ("The mailbox list cannot be used as it arrives", False)
    assert problem.said == "mailbox list at x: the list is not whole"
    assert problem.runbook == "HelpscoutBadResponse"


def test_a_schedule_that_does_not_keep_up_is_reported() -> None:
    world = World()
    world.outlook = replace(world.outlook, lag=LAGGING_SECONDS + 1.0)
    assert [problem.title for problem in shown(world).problems] == [
        "The most overdue report has waited for 15 min"
    ]
    world.outlook = replace(world.outlook, stretch=2.345, lag=3600.0)
    world.wait(700)
    stretched, lagging, late = shown(world).problems
    assert stretched.title == "Intervals are 2.3 times as long as configured"
    assert lagging.title == "The most overdue report has waited for 1 h"
    assert late.title == "12 reports are late, though none failed"
    assert not any(problem.bad for problem in (stretched, lagging, late))
    assert [problem.runbook for problem in (stretched, lagging, late)] == [
        "HelpscoutScheduleStretched",
        "HelpscoutScheduleLagging",
        "HelpscoutScheduleLagging",
    ]
    assert shown(world).verdict == "It works, with 3 things to look at"
    for key in world.reports():
        if key != world.key():
            world.store.succeeded(key, reading(published_like()))
    assert shown(world).problems[-1].title == "1 report is late, though none failed"


def test_a_refused_reload_is_reported_until_one_succeeds() -> None:
    failure = ReloadFailure(("config.yml: windows[0]: bad", "x" * 400), NOW - 60)
    (problem,) = shown(World(reload_failure=failure)).problems
    assert problem.said.startswith("config.yml: windows[0]: bad; xxx")
    assert len(problem.said) == 300
    assert problem.since == filters.instant(NOW - 60)
    assert problem.runbook == "HelpscoutReloadFailed"


def test_what_is_worst_is_told_first() -> None:
    world = World(reload_failure=ReloadFailure(("config.yml: bad",), NOW))
    world.store.failed(world.key(), Failure("server_error", "HTTP 503"))
    assert [problem.bad for problem in shown(world).problems] == [True, False]


def test_what_is_configured_and_not_found_is_a_problem_of_its_account_or_of_all() -> None:
    world = World()
    tag = Missing("segments[0] (vip)", "no tag is called 'vip'", "vip")
    glob = Missing("mailboxes.include[1]", "no mailbox has a name like Sals*")
    world.store.set_missing("acme", [tag], [glob])
    of_all, of_one = sorted(shown(world).problems, key=lambda problem: problem.where, reverse=True)
    assert of_one.where == "account acme: segments[0] (vip): no tag is called 'vip'"
    assert of_all.where == ("every account: mailboxes.include[1]: no mailbox has a name like Sals*")
    assert {of_one.title, of_all.title} == {
        "The configuration names one thing that Help Scout does not have"
    }
    assert (of_one.runbook, of_one.bad) == ("HelpscoutSegmentUnresolved", False)


def test_reports_that_fail_alike_are_told_with_the_first_time_and_the_last_answer() -> None:
    world = World()
    keys = world.reports()[:3]
    for number, key in enumerate(keys):
        world.store.failed(key, Failure("server_error", f"HTTP 50{number}", f"ref-{number}"))
        world.wait(60)
    (problem,) = shown(world).problems
    assert (problem.since, problem.said, problem.reference) == (
        filters.instant(NOW),
        "HTTP 502",
        "ref-2",
    )


def test_every_section_that_is_named_is_in_the_runbooks() -> None:
    source = (ROOT / "exporter" / "status" / "problems.py").read_text()
    named = set(re.findall(r'"(Helpscout\w+)"', source))
    named |= {problem.runbook for problem in PROBLEMS.values()}
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)
    assert len(named) == 10
    assert named <= set(sections)


def test_an_accounts_problem_leads_to_the_runbook_of_its_alert() -> None:
    text = (ROOT / "prometheus" / "rules" / "helpscout.alerts.yml").read_text()
    rules = dict(re.findall(r"- (?:alert|record): (\S+)(.+?)(?=\n *- |\Z)", text, re.DOTALL))
    for problem in PROBLEMS.values():
        rule, seen = rules[problem.runbook], set[str]()
        while recorded := set(re.findall(r"helpscout:[\w:]+", rule)) - seen:
            seen |= recorded
            rule += "".join(rules[name] for name in recorded)
        reasons = {
            reason for found in re.findall(r'reason=~?"(.+?)"', rule) for reason in found.split("|")
        }
        assert problem.name in reasons, problem.runbook


def test_a_schedule_is_a_problem_here_when_it_is_one_for_the_alerts() -> None:
    rules = (ROOT / "prometheus" / "rules" / "helpscout.alerts.yml").read_text()
    assert f"helpscout:schedule_stretch_ratio:max > {STRETCHED}\n" in rules
    assert f"helpscout:schedule_lag_seconds:max > {LAGGING_SECONDS}\n" in rules


# --- choosing -----------------------------------------------------------------------------------

CUTS = {
    "HELPSCOUT_OFFICE_HOURS": "[false, true]",
    "HELPSCOUT_SEGMENTS": "[{name: vip, tags: [1]}, {name: b, tags: [2]}]",
}


def test_only_questions_with_more_than_one_answer_are_put() -> None:
    assert [s.parameter for s in view(World().facts(), {}).selectors] == ["type"]
    found = view(World(environ=CUTS).facts(), {}).selectors
    assert [s.parameter for s in found] == ["type", "office_hours", "segment"]
    one = World(environ={"HELPSCOUT_TYPES": "[email]", "HELPSCOUT_SLA": "[]"})
    assert view(one.facts(), {}).selectors == ()


@pytest.mark.parametrize("cut", [{"office_hours": "true"}, {"segment": "vip"}, {"type": "email"}])
def test_the_figures_are_those_of_the_chosen_cut(cut: dict[str, str]) -> None:
    world, report = World(environ=CUTS), published_like()
    other = replace(report, current=replace(report.current, handle_time=77.0))
    world.store.succeeded(world.key("all")._replace(**cut), reading(other))
    assert cells(shown(world, cut))["Handle time"].value == "1 min 17 s"
    assert cells(shown(world))["Handle time"].value != "1 min 17 s"


def test_a_link_keeps_what_else_is_chosen_and_begins_at_the_first_page() -> None:
    query = {"type": "email", "segment": "vip", "q": "sup & <b>", "page": "7"}
    page = view(World(environ=CUTS).facts(), query)
    assert page.choice.page == 1
    hrefs = {option.text: option.href for s in page.selectors for option in s.options}
    assert hrefs["Chat"] == "./?type=chat&segment=vip&q=sup+%26+%3Cb%3E"
    assert hrefs["All types"] == "./?segment=vip&q=sup+%26+%3Cb%3E"
    assert hrefs["Office hours"].startswith("./?type=email&office_hours=true&segment=vip")
    assert page.everything == "./?type=email&segment=vip"
    assert [o.text for s in page.selectors for o in s.options if o.chosen] == [
        "Email",
        "All hours",
        "vip",
    ]


@pytest.mark.parametrize(
    "query",
    [
        {"type": "fax"},
        {"account": "who"},
        {"office_hours": "maybe", "segment": "gone"},
        {"page": "0"},
        {"page": "-1"},
        {"page": "²"},
        {"page": "٣"},
        {"page": "9" * 5000},
        {"page": "x", "type": "\x00", "unknown": "y"},
    ],
)
def test_a_query_for_what_does_not_exist_shows_the_first_there_is(query: dict[str, str]) -> None:
    world = World(environ=CUTS)
    assert view(world.facts(), query) == view(world.facts(), {})


def test_more_than_six_accounts_are_chosen_from_a_list() -> None:
    world = World()
    names = ["acme", *(f"account {n}" for n in range(7))]
    world.store.set_accounts(names)
    page = view(world.facts(), {"account": "account 3", "type": "chat"})
    accounts = page.selectors[0]
    assert not accounts.as_links
    assert accounts.value == "account 3"
    html = render(page).html
    assert '<option value="account 3" selected>account 3</option>' in html
    assert '<input type="hidden" name="type" value="chat">' in html


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("supp", ["Support"]),
        ("  SALES ", ['Sales "EU"']),
        ("10", ['Sales "EU"']),
        ("#2", ["Support"]),
        ("1", []),
        ("s", ['Sales "EU"', "Support"]),
        ("nobody", []),
    ],
)
def test_mailboxes_are_found_by_a_part_of_their_name_or_their_id(q: str, found: list[str]) -> None:
    page = shown(World(), {"q": q})
    assert [group.name for group in page.groups] == found
    assert page.empty == ("" if found else f"No mailbox is called anything like “{q}”.")


def test_mailboxes_are_those_of_the_chosen_account_in_the_order_of_their_names() -> None:
    names = {1: "beta", 2: "Alpha", 3: "alpha", 4: "Gamma"}
    world = World(mailboxes=tuple(Mailbox(id_, name, "", "") for id_, name in names.items()))
    world.store.set_accounts(["acme", "other"])
    world.store.set_mailboxes("other", [Mailbox(1, "Aardvark", "", "")])
    page = shown(world)
    assert [group.id for group in page.groups] == ["", "2", "3", "1", "4"]
    assert [line["Mailboxes"] for line in page.accounts] == ["4", "1"]


def test_many_mailboxes_are_paged() -> None:
    alone = view(World(mailboxes=()).facts(), {}).kept
    assert alone is not None
    world = World(mailboxes=tuple(Mailbox(n, f"Box {n:02}", "", "") for n in range(1, 61)))
    first = view(world.facts(), {})
    assert len(first.mailboxes) == MAILBOXES_A_PAGE + 1
    assert (first.pager.first, first.pager.last, first.pager.total) == (1, 25, 60)
    assert (first.pager.before, first.pager.after) == ("", "./?page=2")
    assert first.kept == Kept(61 * alone.met, 61 * alone.of), "of every mailbox, not of the page's"
    second = view(world.facts(), {"page": "2"})
    assert [option.href for option in second.selectors[0].options[:2]] == ["./", "./?type=email"]
    last = view(world.facts(), {"page": "99"})
    assert (last.pager.first, last.pager.last) == (51, 60)
    assert (last.pager.before, last.pager.after) == ("./?page=2", "")
    assert [group.id for group in last.mailboxes] == [str(n) for n in range(51, 61)]


def test_a_segment_whose_tag_is_not_known_yet_says_so() -> None:
    world = World(environ=CUTS)
    world.store.schedule("acme", [key for key in world.reports() if not key.segment])
    page = shown(world, {"segment": "vip"})
    assert page.empty.startswith("No report of this segment is asked yet")


# --- the schedule and the rest ------------------------------------------------------------------


def test_the_schedule_says_when_and_how_often() -> None:
    day, week = shown(World()).windows
    assert day == {
        "": "24h",
        "Account": "acme",
        "Reports": "8",
        "Configured: every": "5 min",
        "Asked: every": "5 min",
        "Next poll": "in 12 s",
    }
    assert (week["Configured: every"], week["Next poll"]) == ("35 min", "being asked")
    slow = Outlook((GroupOutlook(Group("productivity", "24h", 300.0), 8, 450.0, None),), 1.5)
    page = shown(World(outlook=slow))
    assert (page.windows[0]["Asked: every"], page.accounts[0]["Stretch"]) == ("7 min 30 s", "1.50")
    assert 'datetime="2026-03-11T14:30:12Z" title="14:30:12 UTC"' in shown(World()).markup


def test_the_next_poll_is_the_first_of_all() -> None:
    groups = [
        GroupOutlook(Group("productivity", window, every), 8, every, due)
        for window, every, due in (("24h", 300.0, 50_100.0), ("7d", 2100.0, 50_012.0))
    ]
    tile = shown(World(outlook=Outlook(tuple(groups)))).tiles["Next poll"]
    assert (tile.value, tile.detail) == ("in 12 s", "7d of acme, 14:30:12 UTC")


def test_a_poll_that_is_overdue_is_next_at_once() -> None:
    overdue = GroupOutlook(Group("productivity", "24h", 300.0), 8, 300.0, 49_940.0)
    tile = shown(World(outlook=Outlook((overdue,)))).tiles["Next poll"]
    assert (tile.value, tile.detail) == ("now", "24h of acme, 14:30:00 UTC")


def test_the_build_and_a_shard_are_named() -> None:
    shard = {"HELPSCOUT_SHARD__TOTAL": "3", "HELPSCOUT_SHARD__INDEX": "1"}
    build = shown(World(environ=shard)).build
    assert build["Shard"] == "1 of 3, by account"
    assert build["Running since"] == "13:30:00 UTC"
    assert build["Configuration loaded"] == "14:00:00 UTC"
    assert "Shard" not in shown(World()).build


# --- two accounts -------------------------------------------------------------------------------


def two_accounts() -> World:
    """A second account beside the usual one, with the same mailboxes and reports."""
    world = World()
    world.store.set_accounts(["acme", "other"])
    world.store.set_status("other", AccountStatus(up=True))
    world.store.set_mailboxes("other", world.mailboxes)
    world.store.schedule("other", of_other(world))
    for key in of_other(world):
        world.store.succeeded(key, reading(published_like()))
    return world


def of_other(world: World) -> list[Key]:
    return [key._replace(account="other") for key in world.reports()]


def test_the_first_line_counts_the_slas_of_every_account_and_the_tile_those_of_the_chosen() -> None:
    world = two_accounts()
    slow = replace(published_like(), handle_time=Distribution((0, 0, 0, 0, 10), (0,) * 5))
    for key in of_other(world):
        world.store.succeeded(key, reading(slow))
    page = shown(world, {"account": "acme"})
    assert page.verdict == "The exporter works; 6 of 36 SLAs are missed"
    assert page.tiles["SLAs met"].value == "18 of 18"
    assert shown(world, {"account": "other"}).tiles["SLAs met"].value == "12 of 18"


def test_each_account_has_its_own_intervals_and_its_own_gate() -> None:
    world = two_accounts()
    world.wait(631)
    slow = Outlook((GroupOutlook(Group("productivity", "24h", 300.0), 8, 900.0, 50_700.0),), 3.0)
    progress = {**world.facts().progress, "other": (slow, Usage(200, 100, 12, 90.0))}
    facts = replace(world.facts(), progress=progress)
    pages = [Shown(facts, {"account": name}) for name in ("acme", "other")]
    assert [page.groups[0].rows[0].state for page in pages] == ["late", "fresh"]
    assert [
        (line["Account"], line["Next poll"]) for line in pages[0].windows if line[""] == "24h"
    ] == [("acme", "now"), ("other", "in 1 min 30 s")]
    assert [
        (problem.title, re.split("[:,]", problem.where)[0]) for problem in pages[0].problems
    ] == [
        ("12 reports are late, though none failed", "account acme"),
        ("Intervals are 3.0 times as long as configured", "account other"),
    ]


def test_what_fails_everywhere_in_one_account_does_so_whatever_the_others_do() -> None:
    world = two_accounts()
    assert_refused_everywhere(world)


def test_why_an_account_has_no_figures_is_not_a_matter_of_the_others() -> None:
    world = two_accounts()
    world.store.schedule("other", [])
    nothing = "No mailbox is selected, or this shard has none of them."
    assert shown(world, {"account": "other"}).empty == nothing
    world.store.set_status("acme", AccountStatus(up=False))
    assert shown(world, {"account": "other"}).empty == nothing


# --- the queue ----------------------------------------------------------------------------------


def with_folders(*mailboxes: str) -> World:
    """A world in which the folders of these mailboxes are known."""
    world = World()
    world.store.schedule(
        "acme", [*world.reports(), *(Key("folders", "acme", m) for m in mailboxes)]
    )
    for mailbox_id in mailboxes:
        folders = (
            Folder(501, "unassigned", "", (("active", 1027), ("pending", 4))),
            Folder(505, "assigned", "", (("active", 12), ("pending", 0))),
            Folder(508, "team", "Tier 2", (("active", 5), ("pending", 0))),
            Folder(503, "needs_attention", "", (("all", 2),)),
        )
        world.store.succeeded(Key("folders", "acme", mailbox_id), reading(folders))
    return world


def test_the_queue_is_shown_before_the_figures() -> None:
    page = shown(with_folders("2", "10"))
    assert page.queue[1] == {
        "": "Support #2",
        "Unassigned": "1,027 4 pending",
        "Assigned": "12",
        "Needs attention": "2",
        "Age": "just now",
    }
    assert [line[""] for line in page.queue] == ['Sales "EU" #10', "Support #2"]
    assert page.markup.index("Queue by mailbox") < page.markup.index("Figures by mailbox")
    assert [group.name for group in page.groups] == ["All mailboxes", 'Sales "EU"', "Support"]


def with_waiting(*rows: Row, is_truncated: bool = False, **environ: str) -> World:
    """A world in which these customers of mailbox 2 wait; in mailbox 10 nobody does."""
    world = World(environ=environ)
    keys = {mailbox_id: Key("waiting", "acme", mailbox_id) for mailbox_id in ("2", "10")}
    world.store.schedule("acme", [*world.reports(), *keys.values()])
    found = {"2": Waiting(rows, ("vip",), is_truncated), "10": Waiting((), ("vip",))}
    for mailbox_id, key in keys.items():
        at = datetime.fromtimestamp(NOW, UTC)
        world.store.succeeded(key, Reading(found[mailbox_id], at))
    return world


def minutes_ago(minutes: int, type_: str = "email", *segments: str) -> Row:
    """A customer who wrote so many minutes ago."""
    return Row(int(NOW) - 60 * minutes, type_, segments)


def test_waiting_customers_are_shown_with_the_longest_wait_and_every_target() -> None:
    world = with_waiting(minutes_ago(200), minutes_ago(50, "chat"), minutes_ago(5))
    world.wait(60)
    page = shown(world)
    assert page.queue[1] == {
        "": "Support #2",
        "Waiting": "3",
        "Longest wait": "3 h 21 min",
        "Against SLA targets": "✕ first-1h: 1 beyond 1 h, 1 at risk",
        "Age": "1 min ago",
    }
    assert page.queue[0] | {"Age": ""} == {
        "": 'Sales "EU" #10',
        "Waiting": "0",
        "Longest wait": "nobody waits",
        "Against SLA targets": "✓ first-1h: within 1 h",
        "Age": "",
    }
    assert (page.level, page.verdict) == (
        "warn",
        "The exporter works; 1 customer waits beyond target",
    )
    tile = page.tiles["Customers waiting"]
    assert (tile.value, tile.level) == ("3", "bad")
    assert tile.detail == "1 beyond target, the longest for 3 h 21 min"


def test_a_customer_beyond_the_targets_of_two_slas_is_one_customer() -> None:
    slas = ", ".join(
        f"{{name: s{n}, statistic: first_response_time, target: {n}h, objective: 0.9}}"
        for n in (1, 2)
    )
    world = with_waiting(minutes_ago(200), minutes_ago(90), HELPSCOUT_SLA=f"[{slas}]")
    page = shown(world)
    assert page.verdict == "The exporter works; 2 customers wait beyond target"
    assert page.tiles["Customers waiting"].detail.startswith("2 beyond target")


def test_a_queue_is_as_good_as_the_worse_of_its_answers_and_as_old_as_the_older() -> None:
    world = World()
    waiting, folders = (Key(kind, "acme", "2") for kind in ("waiting", "folders"))
    world.store.schedule("acme", [*world.reports(), waiting, folders])
    at = datetime.fromtimestamp(NOW, UTC)
    for first, second in ((waiting, folders), (folders, waiting)):
        for key in (first, second):
            value = (
                Waiting(()) if key == waiting else (Folder(1, "assigned", "", (("active", 1),)),)
            )
            world.store.succeeded(key, Reading(value, at))
            world.wait(120)
        assert shown(world).queue[0]["Age"] == "4 min ago"
        world.store.failed(second, Failure("server_error", "HTTP 500"))
        assert shown(world).queue[0]["Age"] == "last try failed 4 min ago"


def test_a_backlog_is_that_of_all_mailboxes_since_the_longest_wait_of_any() -> None:
    overdue = (Overdue(load(None, ENVIRON).objectives[0], 1, 0),)
    found = [Waits(1, 100.0, False, ()), Waits(2, 50.0, True, overdue), Waits(0, None, False, ())]
    assert Backlog.of(found) == Backlog(waiting=3, since=50.0, beyond=1, truncated=True)
    assert Backlog.of([]) is None


def test_a_list_that_is_longer_than_was_read_says_at_least() -> None:
    page = shown(with_waiting(minutes_ago(2), is_truncated=True))
    assert page.queue[1]["Waiting"] == "at least 1"
    assert page.tiles["Customers waiting"].value == "at least 1"
    assert (page.tiles["Customers waiting"].level, page.verdict) == ("well", "All is well")


@pytest.mark.parametrize(
    ("query", "waiting", "longest"),
    [
        ({}, "3", "3 h 20 min"),
        ({"type": "chat"}, "1", "50 min"),
        ({"type": "phone"}, "0", "nobody waits"),
        ({"segment": "vip"}, "1", "5 min"),
        ({"segment": "vip", "type": "chat"}, "0", "nobody waits"),
    ],
)
def test_the_chosen_type_and_segment_apply_to_the_waiting_customers(
    query: dict[str, str], waiting: str, longest: str
) -> None:
    rows = (minutes_ago(200), minutes_ago(50, "chat"), minutes_ago(5, "email", "vip"))
    segments = "[{name: vip, tags: [1]}, {name: new, tags: [unknown]}]"
    page = shown(with_waiting(*rows, HELPSCOUT_SEGMENTS=segments), query)
    assert (page.queue[1]["Waiting"], page.queue[1]["Longest wait"]) == (waiting, longest)


def test_of_a_segment_whose_tag_is_not_known_nobody_is_said_to_wait_or_not_to() -> None:
    world = with_waiting(minutes_ago(5), HELPSCOUT_SEGMENTS="[{name: new, tags: [unknown]}]")
    assert "Customers waiting" not in shown(world, {"segment": "new"}).tiles


def test_within_office_hours_only_those_seconds_count() -> None:
    schedule = "{timezone: UTC, hours: {mon-fri: '14:00-18:00'}}"
    world = with_waiting(
        minutes_ago(200),
        HELPSCOUT_OFFICE_HOURS="[false, true]",
        HELPSCOUT_ACCOUNTS__0__OFFICE_SCHEDULE=schedule,
        HELPSCOUT_SLA="[{name: first-1h, statistic: first_response_time, target: 1h,"
        " objective: 0.9, office_hours: [false, true]}]",
    )
    judged = [shown(world, {"office_hours": hours}).queue[1] for hours in ("false", "true")]
    assert [line["Against SLA targets"] for line in judged] == [
        "✕ first-1h: 1 beyond 1 h",
        "✓ first-1h: within 1 h",
    ]
    assert [line["Longest wait"] for line in judged] == ["3 h 20 min"] * 2


def test_a_mailbox_whose_folders_never_arrived_has_dashes_and_its_age_says_why() -> None:
    world = with_folders("2")
    key = Key("folders", "acme", "10")
    world.store.schedule("acme", [*world.reports(), Key("folders", "acme", "2"), key])
    world.store.failed(key, Failure("server_error", "HTTP 500"))
    line = shown(world).queue[0]
    assert line["Unassigned"] == "–the report never arrived"
    assert line["Age"] == "never arrived"


def test_the_search_finds_a_mailbox_in_the_queue_too() -> None:
    found = shown(with_folders("2", "10"), {"q": "sup"})
    assert [line[""] for line in found.queue] == ["Support #2"]


def test_an_account_that_is_asked_for_its_queue_alone_has_no_figures_and_says_so() -> None:
    world = with_folders("2", "10")
    world.store.schedule("acme", [Key("folders", "acme", m) for m in ("2", "10")])
    page = shown(world)
    assert (len(page.queue), page.groups) == (2, [])
    assert page.empty == "No productivity reports are requested for this account."


# --- another kind of question -------------------------------------------------------------------


def another_kind(window: str = "") -> World:
    """A world in which a kind of question that the page does not know is asked, too."""
    world = World()
    others = [Key("queues", "acme", id_, window and "all", window) for id_ in ("2", "10")]
    group = GroupOutlook(Group("queues", window, 300.0), 2, 300.0, 50_030.0)
    world.outlook = replace(world.outlook, groups=(*world.outlook.groups, group))
    world.store.schedule("acme", [*world.reports(), *others])
    for key in others:
        world.store.succeeded(key, Reading(object(), datetime(2026, 3, 11, tzinfo=UTC)))
    return world


@pytest.mark.parametrize("window", ["", "24h"])
def test_another_kind_of_question_is_counted_and_scheduled_and_has_no_figures(window: str) -> None:
    page = shown(another_kind(window))
    assert page.tiles["Reports fresh"].value == "26 of 26"
    assert page.tiles["SLAs met"].value == "18 of 18"
    assert (page.verdict, page.problems) == ("All is well", [])
    assert [line[""] for line in page.windows] == [
        "productivity 24h",
        "productivity 7d",
        f"queues {window}".strip(),
    ]
    assert [row.window for row in page.groups[0].rows] == ["24h", "7d"]


def test_what_fails_of_another_kind_is_named_with_it() -> None:
    world = another_kind()
    for key in (world.key(), Key("queues", "acme", "2")):
        world.store.failed(key, Failure("server_error", "HTTP 500"))
    (problem,) = shown(world).problems
    assert problem.where == "account acme: Support #2 (productivity 24h, queues)"


def test_an_account_that_is_asked_for_other_kinds_only_says_so() -> None:
    world = another_kind()
    world.store.schedule("acme", [Key("queues", "acme", "2")])
    assert shown(world).empty == "No productivity reports are requested for this account."


# --- HTML ---------------------------------------------------------------------------------------


def made(store: Store) -> Facts:
    """Facts around any store."""
    return replace(World().facts(), snapshot=store.snapshot(), troubles=store.troubles())


@given(
    stores(), st.dictionaries(st.sampled_from(["q", "type", "page"]), st.sampled_from(NASTY_NAMES))
)
def test_whatever_is_called_however_the_page_is_whole_and_runs_only_our_script(
    store: Store, query: dict[str, str]
) -> None:
    html = render(view(made(store), query)).html
    html.encode()
    reader = Reader(html)
    assert reader.open == [reader.root]
    elements = list(reader.root.everything)
    tags = [node.tag for node in elements]
    assert tags.count("script") == tags.count("style") == 1
    names = {name for node in elements for name in node.attributes}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    ids = [node.attributes["id"] for node in elements if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    assert not re.search(r">\s*(None|nan|inf)\b", html)


def test_names_are_escaped() -> None:
    name = "</title><script>alert('x')</script>\"&"
    world = World(mailboxes=(Mailbox(2, name, "", ""),), account=ACCOUNTS[0])
    world.store.failed(world.key(), Failure("not_found", f"HTTP 404: {name}", name))
    html = render(view(world.facts(), {"q": name})).html
    assert name not in html
    assert escape(name).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in html


def policy_of(page: Rendered) -> dict[str, str]:
    parts = (part.partition(" ") for part in page.policy.split("; "))
    return {name: value for name, _, value in parts}


def test_the_policy_allows_nothing_but_what_is_in_the_page() -> None:
    page = render(view(World().facts(), {}))
    policy = policy_of(page)
    assert "unsafe" not in page.policy
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == policy["connect-src"] == "'self'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy["script-src"])
    links = re.findall(r'(?:href|src|action)="([^"]*)"', page.html)
    assert links
    assert all(re.match(r"\./|#figures$|data:image/svg", link) for link in links)
    assert "a-secret" not in page.html


def test_the_metrics_path_is_linked_as_configured() -> None:
    facts = World().facts()
    web = replace(facts.configuration.web, telemetry_path="/own<>metrics")
    facts = replace(facts, configuration=replace(facts.configuration, web=web))
    html = render(view(facts, {})).html
    assert 'href="./own&lt;&gt;metrics"' in html
    assert 'href="./metrics"' not in html


@pytest.mark.parametrize(
    ("configured", "when"),
    [
        ({}, "ends at the moment"),
        ({"HELPSCOUT_END_DELAY": "10m"}, "ends 10\N{NO-BREAK SPACE}min before the moment"),
    ],
)
def test_it_says_when_windows_end(configured: dict[str, str], when: str) -> None:
    assert (
        f"the window, which {when} of the report."
        in render(view(World(environ=configured).facts(), {})).html
    )


@pytest.mark.parametrize(
    ("configured", "named"),
    [({}, []), ({"HELPSCOUT_WEB__EXTERNAL_URL": "https://a.example/b"}, ["https://a.example/b/"])],
)
def test_the_address_from_outside_is_the_canonical_one(
    configured: dict[str, str], named: list[str]
) -> None:
    html = render(view(World(environ=configured).facts(), {})).html
    assert re.findall(r'<link rel="canonical" href="([^"]*)">', html) == named


def test_every_type_has_a_name() -> None:
    assert set(TYPE_NAMES) == {"all", "email", "chat", "phone"}


def test_the_daemon_starts_without_loading_the_template_engine() -> None:
    code = "import sys, exporter.daemon; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
