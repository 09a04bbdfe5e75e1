"""`demo`: one command, no credentials, and the mission's figures are on /metrics."""

from itertools import product

import pytest

from exporter.collectors import families
from tests.support import MISSION, PROGRAM, Metrics, Process, eventually, round_is_complete
from tests.system.conftest import Start, address

TYPES = ("all", "email", "chat", "phone")
WINDOWS = ("24h", "7d", "30d")
MAILBOXES = ("all", "1001", "1002", "1003", "1004")
CELLS = {*product(MAILBOXES, TYPES, WINDOWS)}


@pytest.fixture(scope="module")
def running(start_once: Start) -> tuple[Process, Metrics]:
    """The demo, and its metrics after a whole round."""
    mine = {"HELPSCOUT_ACCOUNTS__0__NAME": "mine", "HELPSCOUT_API_KEY": "my-own"}
    process = start_once("demo", "--listen", "127.0.0.1:0", command=PROGRAM, environ=mine)
    url = address(process)
    return process, eventually(lambda: round_is_complete(url, len(CELLS)), "a whole round")


def cells(metrics: Metrics, name: str, **labels: str) -> set[tuple[str, str, str]]:
    return {
        (sample.labels["mailbox_id"], sample.labels["type"], sample.labels["window"])
        for sample in metrics.named(name, **labels)
    }


def test_the_demo_asks_every_mailbox_type_and_window_at_a_pace_of_three_seconds(
    running: tuple[Process, Metrics],
) -> None:
    """How long a machine takes for it is measured by benchmarks/first_minutes.py."""
    _, metrics = running
    assert cells(metrics, "helpscout_report_success", collector="productivity") == CELLS
    per_second = metrics.value("helpscout_exporter_rate_budget_per_minute") / 60
    calls = sum(s.value for s in metrics.named("helpscout_exporter_api_requests_total"))
    assert len(CELLS) < calls < 3 * per_second
    assert metrics.value("helpscout_exporter_schedule_stretch_ratio") == 1


@pytest.mark.parametrize("name", MISSION)
def test_the_demo_shows_the_missions_figures_wherever_something_was_measured(
    running: tuple[Process, Metrics], name: str
) -> None:
    _, metrics = running
    stem = name.removesuffix("_seconds")
    distribution = name.replace(stem, f"{stem}_distribution") + "_bucket"
    measured = {
        (sample.labels["mailbox_id"], sample.labels["type"], sample.labels["window"])
        for sample in metrics.named(distribution, le="+Inf")
        if sample.value > 0
    }
    shown = cells(metrics, name)
    assert shown == measured
    # Within a week everybody does everything, and within any day somebody does something.
    assert {cell for cell in CELLS if cell[2] != "24h"} | {("all", "all", "24h")} <= shown


def test_the_demo_shows_every_family_of_every_kind_of_question(
    running: tuple[Process, Metrics],
) -> None:
    _, metrics = running
    shown = {sample.name.removesuffix("_bucket") for sample in metrics.samples}
    assert {family.name for family in families()} <= shown
    assert "helpscout_office_hours_open" in shown
    hours = {s.labels["office_hours"] for s in metrics.named("helpscout_waiting_conversations")}
    assert hours == {"false", "true"}


def test_the_demo_says_on_stderr_where_to_look_and_what_to_set(
    running: tuple[Process, Metrics],
) -> None:
    process, _ = running
    said = process.stderr
    for words in (
        f"{address(process)}/metrics ",
        f"{address(process)}/ ",
        "HELPSCOUT_CLIENT_ID",
        "HELPSCOUT_CLIENT_SECRET",
        "HELPSCOUT_API=v1",
        "HELPSCOUT_API_KEY",
        "helpscout-exporter check",
        "helpscout-exporter serve",
    ):
        assert words in said
    assert process.stdout == ""


def test_the_demo_ignores_an_account_that_is_set(
    running: tuple[Process, Metrics],
) -> None:
    _, metrics = running
    assert {sample.labels["account"] for sample in metrics.named("helpscout_up")} == {"demo"}
