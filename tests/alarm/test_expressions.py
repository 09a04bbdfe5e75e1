"""Every expression we ship runs on a real Prometheus that scraped the real exporter."""

import math
import re
import signal
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.alarm.conftest import ALERTS, RECORDS, run_prometheus
from tests.alarm.promql import names
from tests.alarm.test_dashboards import BOARDS, FURTHER, LEVELS, panels, queries
from tests.servers import Prometheus
from tests.support import VERSIONS, eventually, reserved_port, round_is_complete
from tests.system.conftest import Start, address, desk

# Windows of whole weeks, since on a Sunday the last 24 hours have too few conversations to judge.
CONFIG = """
accounts:
  - office_schedule: {timezone: UTC, hours: {mon-sun: "00:00-24:00"}}
waiting: {enabled: true}
happiness: {enabled: true}
types: [all, email]
windows: [7d, 30d]
office_hours: [false, true]
segments: [{name: vip, tags: [vip]}]
compare: true
sla:
  - {name: first, statistic: first_response_time, target: 1h, objective: 0.01}
  - {name: any, statistic: response_time, target: 2h, objective: 0.01}
  - {name: handle, statistic: handle_time, target: 10m, objective: 0.01}
  - {name: few, statistic: replies_to_resolve, target: 2, objective: 0.01}
web: {listen: "127.0.0.1:0"}
"""
REPORTS = 3 * 2 * 2 * 2 * 2
DEMO_REPORTS = 5 * 4 * 3
COMPLETE = "sum(helpscout_report_success) == sum(helpscout_exporter_reports)"
# Customers who wait, at any hour of the week. One call that is refused and one that is repeated, so
# that their counters exist.
FAULTS = """
team:
  - {{mailbox: 1001, flood: 20, start: {start}, end: {end}}}
faults:
  - {{endpoint: report, status: 429, times: 1, headers: {{X-RateLimit-Retry-After: 1}}}}
  - {{endpoint: report, status: 500, times: 1}}
"""
CHOSEN = {
    "account": ".*",
    "mailbox": "all",
    "type": "all",
    "window": "7d",
    "office_hours": "false",
    "segment": "^$",
    "job": "helpscout",
    "namespace": ".*",
    "cluster": ".*",
    "__rate_interval": "10m",
}
OTHERWISE = CHOSEN | {
    "mailbox": "1001|1002",
    "type": "all|email",
    "office_hours": "true",
    "segment": "vip",
}


@pytest.fixture(scope="module")
def both(start_once: Start, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Prometheus]:
    """Two that have recorded everything of an exporter with every kind of series."""
    folder = tmp_path_factory.mktemp("expressions")
    (folder / "config.yml").write_text(CONFIG)
    now, start, end = (
        f"{datetime.now(UTC) - timedelta(hours=ago):%Y-%m-%dT%H:%M:%SZ}" for ago in (0, 4, 3)
    )
    (folder / "faults.yml").write_text(FAULTS.format(start=start, end=end))
    simulated = desk(
        start_once,
        *("--now", now, "--mailboxes", "2", "--faults", str(folder / "faults.yml")),
        # So that Prometheus sees the counters of calls rise.
        *("--latency", "300ms"),
    )
    environ = simulated.environ("v2")
    del environ["HELPSCOUT_WEB__LISTEN"]
    environ["HELPSCOUT_STATE_FILE"] = str(folder / "state.db")
    url = address(start_once("serve", "--config", str(folder / "config.yml"), environ=environ))
    found = {
        version: run_prometheus(start_once, tmp_path_factory.mktemp(version), url, version=version)
        for version in VERSIONS
    }
    eventually(partial(round_is_complete, url, REPORTS), "a whole round")
    for server in found.values():
        (row,) = eventually(partial(server.query, COMPLETE), "a scrape of the whole round")
        # Every group of rules is evaluated each second.
        judged = f"min(timestamp(helpscout:sla_burn_ratio)) > {row['value'][0]} + 2"
        eventually(partial(server.query, judged), "figures that are judged")
    return found


@pytest.fixture(scope="module", params=VERSIONS)
def prometheus(both: dict[str, Prometheus], request: pytest.FixtureRequest) -> Prometheus:
    """Either of them."""
    return both[request.param]


@pytest.fixture(scope="module")
def both_of_the_demo(
    start_once: Start, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Prometheus]:
    """Two that have scraped the demo's whole first round, and a call after it."""
    listen = f"127.0.0.1:{reserved_port()}"
    found = {
        version: run_prometheus(
            start_once, tmp_path_factory.mktemp("demo"), f"http://{listen}", version=version
        )
        for version in VERSIONS
    }
    process = start_once("demo", "--listen", listen)
    for server in found.values():
        whole = f"{COMPLETE} >= {DEMO_REPORTS}"
        eventually(partial(server.query, whole), "a scrape of the demo's whole round")
    # The round may fall between two scrapes. A reload has the mailboxes listed again, and that
    # call is one that Prometheus sees.
    process.signal(signal.SIGHUP)
    called = "sum(rate(helpscout_exporter_api_requests_total[10m])) > 0"
    for server in found.values():
        eventually(partial(server.query, called), "a call seen by Prometheus")
    return found


@pytest.fixture(scope="module", params=VERSIONS)
def demo(both_of_the_demo: dict[str, Prometheus], request: pytest.FixtureRequest) -> Prometheus:
    """Either of them."""
    return both_of_the_demo[request.param]


def chosen(expression: str, values: dict[str, str]) -> str:
    """Return an expression with the dashboards' variables filled in."""
    return re.sub(r"\$([a-z_]\w+)", lambda found: values[found[1]], expression)


def measured(rows: list[dict[str, Any]]) -> bool:
    return any(not math.isnan(float(row["value"][1])) for row in rows)


@pytest.mark.parametrize("values", [CHOSEN, OTHERWISE], ids=["at first", "otherwise"])
@pytest.mark.parametrize(
    ("board", "title", "expression"),
    [
        (board["uid"], panel["title"], target["expr"])
        for board in BOARDS
        for panel in panels(board)
        for target in panel["targets"]
    ],
)
def test_every_query_of_every_panel_finds_something(
    prometheus: Prometheus, board: str, title: str, expression: str, values: dict[str, str]
) -> None:
    assert measured(prometheus.query(chosen(expression, values)))


NOT_IN_THE_DEMO = {
    "helpscout_exporter_state_file_ok",
    "helpscout_segment_resolved",
    "helpscout_waiting_since_timestamp_seconds",
}
"""It has neither a state file nor segments, and at some hours nobody waits."""


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: str(board["uid"]))
def test_no_panel_is_empty_on_the_demo(demo: Prometheus, board: dict[str, Any]) -> None:
    empty = [
        (panel["title"], target["expr"])
        for panel in panels(board)
        for target in panel["targets"]
        if not names(target["expr"]) & NOT_IN_THE_DEMO
        and not measured(demo.query(chosen(target["expr"], CHOSEN)))
    ]
    assert empty == []


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: str(board["uid"]))
def test_every_variable_finds_what_is_chosen_at_first(
    prometheus: Prometheus, board: dict[str, Any]
) -> None:
    asked = [v for v in board["templating"]["list"] if v["type"] == "query"]
    expressions = queries(board)[-len(asked) :]
    for variable, expression in zip(asked, expressions, strict=True):
        rows = prometheus.query(chosen(expression, CHOSEN))
        assert rows, variable["name"]
        if variable["regex"]:
            # What query_result gives to the expression: labels without any escaping.
            pattern = re.compile(variable["regex"].strip("/").replace("(?<", "(?P<"))
            found = [
                pattern.search("{" + ",".join(f'{k}="{v}"' for k, v in r["metric"].items()) + "}")
                for r in rows
            ]
            values = [match.groupdict().get("value") or match[1] for match in found if match]
            assert len(values) == len(rows)
            assert len(set(values)) == len(values)
        else:
            values = [next(iter(row["metric"].values()), "") for row in rows]
        first = variable.get("current", {}).get("value", values[0])
        assert first == "$__all" or first in values


def test_the_mailbox_variable_distinguishes_two_of_one_name(prometheus: Prometheus) -> None:
    rows = prometheus.query("max by (mailbox, mailbox_id) (helpscout_report_success)")
    assert sorted((row["metric"]["mailbox_id"], row["metric"]["mailbox"]) for row in rows) == [
        ("1001", "Support"),
        ("1002", "Support"),
        ("all", "all"),
    ]


SELDOM = {
    "helpscout:office_closed",
    "helpscout:sla_waiting:near_target",
    "helpscout:mail_bounced",
    # Of a window 24h, or after a week.
    "helpscout:replies_sent:rolling",
    "helpscout:replies_sent:rises1h",
    "helpscout:replies_sent:rises3h",
    "helpscout:nobody_replies",
    "helpscout:queue_conversations:grown",
    "helpscout:happiness_score:judged",
    "helpscout:happiness_score:dropped",
    "helpscout:sla_missed_ratio",
    "helpscout:sla_fall_ratio",
    "helpscout:sla_at_risk_ratio",
    "helpscout:change_ratio:risen",
    "helpscout:account_refused",
    "helpscout:account_silent",
    "helpscout:account_throttled",
    "helpscout:account_throttled_ratio",
    "helpscout:report_overdue",
    "helpscout:report_stale_seconds",
    "helpscout:report_never_succeeded",
    "helpscout:shards:doubled",
    "helpscout:shards:expected",
    "helpscout:shards:missing",
    "helpscout:shards:mismatched",
}
"""What is recorded of what is wrong, and of shards."""


OF_A_PROCESS = {"helpscout:exporter_up", "helpscout:report_overdue"}


@pytest.mark.parametrize("record", [rule["record"] for rule in RECORDS])
def test_every_recording_rule_records_something(prometheus: Prometheus, record: str) -> None:
    # At some time: where no call was made for a while, there is no share of refused ones.
    rows = prometheus.query(f"max_over_time({record}[10m])")
    assert measured(rows) or record in SELDOM
    for row in rows:
        assert "pod" not in row["metric"]
        assert record in OF_A_PROCESS or "instance" not in row["metric"]


OF_THE_WORLD = {
    "HelpscoutCustomersWaitBeyondTarget",
    "HelpscoutCustomersWaitNearTarget",
    "HelpscoutMailBounces",
}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_runs_and_is_silent_where_all_is_well(
    prometheus: Prometheus, alert: dict[str, Any]
) -> None:
    rows = prometheus.query(alert["expr"])
    if alert["alert"] in OF_THE_WORLD:
        # Waiting customers were sent, and mail of the simulated world may really bounce.
        assert all(row["metric"]["mailbox_id"] in ("1001", "1002") for row in rows)
        return
    # The simulated team may really be slower than the week before: then the figures say so, too.
    slower = prometheus.query(
        "max by (account, mailbox_id) (max_over_time(helpscout_change_ratio[1h])) > 0.25"
    )
    told = [row["metric"] for row in rows]
    assert "change_ratio" in alert["expr"] or told == []
    assert all(
        any(told_of.items() >= row["metric"].items() for row in slower) for told_of in told
    ), (told, slower)


def missed(expression: str) -> str:
    """Return an expression in which no objective can be kept."""
    objective = r"(group_left \(\)\s+)helpscout_sla_objective_ratio"
    return re.sub(objective, r"\1(helpscout_sla_objective_ratio + 0.99)", expression)


@pytest.mark.parametrize("rule", LEVELS, ids=lambda rule: str(rule["title"]))
def test_grafanas_rules_are_silent_where_all_is_well_and_not_where_it_is_not(
    prometheus: Prometheus, rule: dict[str, Any]
) -> None:
    expressions = {q["refId"]: q["model"]["expr"] for q in rule["data"] if "expr" in q["model"]}
    for expression in expressions.values():
        assert prometheus.query(expression) == []
    bad = {ref: missed(expression) for ref, expression in expressions.items()}
    rows = prometheus.query(bad["A"])
    assert {row["metric"]["sla"] for row in rows} == {"first", "any", "handle", "few"}
    assert len(prometheus.query(bad["B"])) == len(rows)
    assert len(prometheus.query(bad["O"])) == len(rows)
    targets = len(prometheus.query(bad["S"])) + len(prometheus.query(bad["R"]))
    assert targets == len(rows)


@pytest.mark.parametrize("rule", FURTHER, ids=lambda rule: str(rule["title"]))
def test_what_grafana_watches_now_runs_and_is_silent_where_all_is_well(
    prometheus: Prometheus, rule: dict[str, Any]
) -> None:
    for query in rule["data"][:-1]:
        rows = prometheus.query(query["model"]["expr"])
        assert rows == [] or rule["title"] in OF_THE_WORLD


def test_grafanas_rules_are_about_every_series_that_ours_are_about(prometheus: Prometheus) -> None:
    rule = next(rule for rule in LEVELS if rule["title"] == "HelpscoutSlaMissed")
    theirs = prometheus.query(missed(rule["data"][0]["model"]["expr"]))
    # Where each mailbox misses it, all of them together are not reported.
    ours = prometheus.query('0 * helpscout:sla_margin_ratio{horizon="short", mailbox_id!="all"}')
    assert ours
    assert sorted(str(sorted(row["metric"].items())) for row in theirs) == sorted(
        str(sorted(row["metric"].items())) for row in ours
    )
