"""Every kind of question through the general path, on a simulated help desk of either generation.

Asked, exported, kept over a restart, switched by a reload, split among shards, filled in the past.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.backfill import BackfillError, backfill, task
from exporter.checking import check_account
from exporter.core import Exporter, one_round
from exporter.exposition import TEXT
from exporter.helpscout.account import Api
from exporter.helpscout.errors import NotAllowed, NotThere
from exporter.settings import Configuration, load
from exporter.simulator import Simulator, SimulatorOptions
from exporter.simulator.faults import Faults
from tests.contract.conftest import UNHURRIED
from tests.support import Metrics, eventually

NOW = datetime(2026, 3, 11, 14, 30, tzinfo=UTC)
APIS: tuple[Api, ...] = ("v1", "v2")
LOGINS: Mapping[str, dict[str, str]] = {
    "v1": {"HELPSCOUT_API_KEY": "key-1"},
    "v2": {"HELPSCOUT_CLIENT_ID": "demo-1", "HELPSCOUT_CLIENT_SECRET": "secret-1"},
}
QUEUES, RATINGS = "helpscout_queue_conversations", "helpscout_happiness_ratings"
both = pytest.mark.parametrize("api", APIS)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Three mailboxes on a frozen Wednesday afternoon."""
    made = Simulator(SimulatorOptions(mailboxes=3, rate_limit=60_000, now=NOW))
    made.start()
    yield made
    made.stop()


def configured(simulator: Simulator, api: Api = "v2", **more: str) -> Configuration:
    environ = {
        "HELPSCOUT_API": api,
        "HELPSCOUT_BASE_URL": f"{simulator.url}/{api}",
        **UNHURRIED,
        "HELPSCOUT_WINDOWS": "[7d]",
        "HELPSCOUT_TYPES": "[all]",
        "HELPSCOUT_HAPPINESS": "{enabled: true}",
    }
    named = {f"HELPSCOUT_{name}": value for name, value in more.items()}
    return load(None, environ | LOGINS[api] | named)


def metrics(body: bytes) -> Metrics:
    return Metrics.of_text(body.decode())


def scraped(exporter: Exporter) -> Metrics:
    exporter.exposition.assemble()
    return metrics(b"".join(exporter.exposition.body(TEXT, gzipped=False).made()))


def whole_round(configuration: Configuration) -> Metrics:
    """What one round shows, in which nothing may fail."""
    body, complete = one_round(configuration, lambda: NOW)
    assert complete
    return metrics(body)


def asked(simulator: Simulator) -> dict[str, int]:
    """How many calls were answered, by endpoint."""
    calls: dict[str, Any] = simulator.stats()["accounts"]["1"]["calls"]
    return {endpoint: sum(by_status.values()) for endpoint, by_status in calls.items()}


def values(found: Metrics, name: str) -> dict[frozenset[tuple[str, str]], float]:
    return {sample.series[1]: sample.value for sample in found.named(name)}


def break_endpoint(simulator: Simulator, endpoint: str, status: int) -> None:
    simulator.set_faults(
        Faults.model_validate_json(
            f'{{"faults": [{{"endpoint": "{endpoint}", "status": {status}}}]}}'
        )
    )


@both
def test_every_kind_is_asked_once_a_round_and_both_generations_agree(
    simulator: Simulator, api: Api
) -> None:
    found = whole_round(configured(simulator, api))
    other = whole_round(configured(simulator, "v1" if api == "v2" else "v2"))
    calls = asked(simulator)
    assert (calls["report"], calls["folders"], calls["happiness"]) == (2 * 4, 2 * 3, 2 * 4 * 2)
    for name in (QUEUES, RATINGS, "helpscout_happiness_score"):
        assert values(found, name) == values(other, name) != {}
    for sample in found.named(QUEUES):
        assert sample.labels["mailbox_id"] in {"1001", "1002", "1003"}, "there is no mailbox all"
    for mailbox_id in ("1001", "1002", "1003"):
        assert found.value(QUEUES, mailbox_id=mailbox_id, queue="unassigned", state="active") >= 0
    assert {sample.labels["mailbox_id"] for sample in found.named(RATINGS)} >= {"all", "1001"}
    assert found.named(QUEUES, queue="closed") == []
    up = {s.labels["collector"]: s.value for s in found.named("helpscout_collector_up")}
    assert up == {"productivity": 1, "folders": 1, "happiness": 1}
    windows = {s.labels["window"]: s.value for s in found.named("helpscout_window_seconds")}
    assert windows == {"7d": 7 * 86_400, "30d": 30 * 86_400}


def test_a_mailbox_of_several_pages_of_folders_is_read_to_the_end(simulator: Simulator) -> None:
    many = Simulator(SimulatorOptions(mailboxes=6, rate_limit=60_000, now=NOW))
    many.start()
    try:
        found = whole_round(configured(many, PRODUCTIVITY="{enabled: false}"))
        calls = asked(many)["folders"]
    finally:
        many.stop()
    ids = {s.labels["folder_id"] for s in found.named(QUEUES, mailbox_id="1006")}
    assert len(ids) > 50
    assert calls == 5 + 2


@both
@pytest.mark.no_cover
def test_all_of_them_survive_a_restart(simulator: Simulator, api: Api, tmp_path: Path) -> None:
    configuration = configured(simulator, api, STATE_FILE=str(tmp_path / "state.db"))
    first = Exporter(configuration, now=lambda: NOW)
    first.poller.start()
    try:
        eventually(lambda: first.poller.first_round_done, "the first round")
    finally:
        first.stop()
    simulator.stop()
    second = Exporter(configuration, now=lambda: NOW)
    again = scraped(second)
    second.stop()
    for name in (QUEUES, RATINGS):
        assert values(again, name) == values(scraped(first), name) != {}


def test_a_reload_switches_a_kind_on_and_off(simulator: Simulator) -> None:
    def of(**more: str) -> Configuration:
        return configured(simulator, "v2", **more)

    exporter = Exporter(of(ACCOUNTS__0__COLLECTORS="productivity"), now=lambda: NOW)
    exporter.poller.start()

    def shows(*names: str) -> bool:
        found = scraped(exporter)
        return {name for name in (QUEUES, RATINGS) if found.named(name)} == set(names)

    try:
        eventually(lambda: exporter.poller.first_round_done, "the first round")
        assert shows()
        exporter.configure(of(ACCOUNTS__0__COLLECTORS="productivity,folders"))
        eventually(lambda: shows(QUEUES), "folders")
        exporter.configure(of())
        eventually(lambda: shows(QUEUES, RATINGS), "ratings, too")
        exporter.configure(of(FOLDERS="{enabled: false}"))
        eventually(lambda: shows(RATINGS), "no folders")
        up = scraped(exporter).named("helpscout_collector_up")
        assert {s.labels["collector"] for s in up} == {"productivity", "happiness"}
    finally:
        exporter.stop()


@pytest.mark.parametrize("by", ["account", "mailbox"])
@pytest.mark.no_cover
def test_shards_share_all_kinds_and_none_is_asked_twice(simulator: Simulator, by: str) -> None:
    parts = []
    for index in range(2):
        shard = f"{{index: {index}, total: 2, by: {by}}}"
        parts.append(metrics(one_round(configured(simulator, SHARD=shard), lambda: NOW)[0]))
    whole = whole_round(configured(simulator))
    for name in (QUEUES, RATINGS):
        one, other = (values(part, name) for part in parts)
        assert not one.keys() & other.keys()
        assert one | other == values(whole, name) != {}


@both
def test_ratings_have_a_past_and_queues_have_none(
    simulator: Simulator, api: Api, tmp_path: Path
) -> None:
    output, said = tmp_path / "past.om", list[str]()
    at = NOW.replace(minute=0)
    wanted = task(at, at, timedelta(hours=1), [], 1.0, output, dry_run=False)
    backfill(configured(simulator, api), wanted, said.append, now=lambda: NOW)
    lines = output.read_text().splitlines()
    names = {line.partition("{")[0] for line in lines if not line.startswith("#")}
    assert {"helpscout_happiness_score", RATINGS, "helpscout_replies_sent"} <= names
    assert QUEUES not in names
    assert "folders asks about now and has no past: skipped" in said


def test_a_past_of_nothing_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    only_now = configured(simulator, ACCOUNTS__0__COLLECTORS="folders")
    at = NOW.replace(minute=0)
    wanted = task(at, at, timedelta(hours=1), [], 1.0, tmp_path / "past.om", dry_run=False)
    with pytest.raises(BackfillError, match="nothing that is asked has a past"):
        backfill(only_now, wanted, print, now=lambda: NOW)


@both
def test_without_reports_queues_go_on_and_the_plan_is_the_problem(
    simulator: Simulator, api: Api
) -> None:
    break_endpoint(simulator, "report", 403)
    body, complete = one_round(
        configured(simulator, api, HAPPINESS="{enabled: false}"), lambda: NOW
    )
    found = metrics(body)
    assert not complete
    assert found.named(QUEUES)
    assert found.value("helpscout_up") == 1
    assert found.value("helpscout_account_problem", reason="plan") == 1
    assert found.value("helpscout_collector_up", collector="folders") == 1


@both
@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.no_cover
def test_refused_folders_say_nothing_of_reports_and_make_no_account_ill(
    simulator: Simulator, api: Api, status: int
) -> None:
    break_endpoint(simulator, "folders", status)
    found = metrics(one_round(configured(simulator, api), lambda: NOW)[0])
    assert found.named(QUEUES) == []
    assert found.named("helpscout_conversations")
    assert found.value("helpscout_up") == 1
    assert {s.value for s in found.named("helpscout_account_problem")} == {0}
    assert found.value("helpscout_collector_up", collector="folders") == 0
    assert found.value("helpscout_collector_up", collector="productivity") == 1


@both
def test_an_account_without_reports_is_whole_with_folders_alone(
    simulator: Simulator, api: Api
) -> None:
    break_endpoint(simulator, "report", 403)
    for more in (
        {"ACCOUNTS__0__COLLECTORS": "folders"},
        {"PRODUCTIVITY": "{enabled: false}", "HAPPINESS": "{enabled: false}"},
    ):
        configuration = configured(simulator, api, SEGMENTS="[{name: vip, tags: [vip]}]", **more)
        found = whole_round(configuration)
        assert found.named(QUEUES)
        assert found.named("helpscout_segment_resolved") == [], "nothing is asked by segment"
        checked = check_account(configuration, configuration.accounts[0])
        assert "3 mailboxes, folders good; 3 reports, 1.0 calls a minute" in checked.line
        assert checked.missing == ()
    assert "report" not in asked(simulator)


@both
def test_check_asks_one_question_of_each_kind(simulator: Simulator, api: Api) -> None:
    configuration = configured(simulator, api, ACCOUNTS__0__REQUESTS_PER_MINUTE="6000")
    line = check_account(configuration, configuration.accounts[0]).line
    assert "productivity, folders, happiness good; 15 reports" in line
    assert "a minute of 30000 in the budget" in line  # of half the limit that the service says
    calls = asked(simulator)
    assert (calls["report"], calls["folders"], calls["happiness"]) == (1, 1, 1)


@both
def test_check_names_the_mailboxes_that_there_are_where_none_is_selected(
    simulator: Simulator, api: Api
) -> None:
    configuration = configured(simulator, api, MAILBOXES__INCLUDE__0="Suport")
    with pytest.raises(NotThere) as caught:
        check_account(configuration, configuration.accounts[0])
    assert "3 mailboxes (Support, " in str(caught.value)
    assert "mailboxes.include" in str(caught.value)


@both
def test_check_says_which_collector_is_refused(simulator: Simulator, api: Api) -> None:
    break_endpoint(simulator, "folders", 403)
    configuration = configured(simulator, api)
    with pytest.raises(NotAllowed) as caught:
        check_account(configuration, configuration.accounts[0])
    assert str(caught.value).startswith("folders at 127.0.0.1:")
    assert "leave folders out of the account's collectors" in str(caught.value)


def folder_of(found: Metrics) -> int:
    return int(found.named(QUEUES, queue="custom")[0].labels["folder_id"])


@both
def test_a_folder_that_no_mailbox_has_is_said_and_one_that_is_there_is_not(
    simulator: Simulator, api: Api
) -> None:
    there = folder_of(whole_round(configured(simulator, api)))
    cuts = f"[{{name: ours, folders: [{there}]}}, {{name: nobodys, folders: [{there}, 7]}}]"
    configuration = configured(simulator, api, SEGMENTS=cuts)
    checked = check_account(configuration, configuration.accounts[0])
    line = "segments[1] (nobodys): no selected mailbox has the folder 7"
    assert [str(each) for each in checked.missing] == [line]
    exporter = Exporter(configuration, now=lambda: NOW)
    exporter.poller.start()
    try:
        eventually(lambda: exporter.store.missing().get("default"), "it is said")
    finally:
        exporter.stop()
    assert [str(each) for each in exporter.store.missing()["default"]] == [line]
    found = scraped(exporter)
    resolved = {s.labels["segment"]: s.value for s in found.named("helpscout_segment_resolved")}
    assert resolved == {"ours": 1, "nobodys": 0}
