"""The dashboards as files: current, importable anywhere, complete, and about our data."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.exposition.catalogue import catalogue
from scripts.dashboards.files import files
from scripts.dashboards.parts import PROCESS
from tests.alarm.conftest import ALERTS, GRAFANA
from tests.alarm.promql import SAMPLES, names, problems, selectors
from tests.alarm.scenarios import FAULTS, IDENTITY, Check, Process, fired_alert, history
from tests.servers import EACH_VERSION, promtool
from tests.support import read_yaml

FILES = files()
BOARDS: list[dict[str, Any]] = [
    json.loads(FILES[name]) for name in sorted(FILES) if name.startswith("dashboards/")
]
EVERY = pytest.mark.parametrize("board", BOARDS, ids=lambda board: str(board["uid"]))
NOT_SHOWN: dict[str, str] = {}
"""Families of the catalogue that no dashboard shows, each with its reason."""

LEVELS, FURTHER = (
    group["rules"] for group in yaml.safe_load(FILES["examples/alerting/rules.yml"])["groups"]
)
RULES: list[dict[str, Any]] = LEVELS + FURTHER


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel


def queries(board: dict[str, Any]) -> list[str]:
    """Return the expressions of all panels and variables."""
    found = [target["expr"] for panel in panels(board) for target in panel["targets"]]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            query = variable["query"]["query"]
            asked = re.fullmatch(r"query_result\((.*)\)|label_values\((.*), (\w+)\)", query)
            assert asked is not None, query
            found.append(asked[1] or f"group by ({asked[3]}) ({asked[2]})")
    return found


@pytest.mark.parametrize("name", FILES)
def test_what_is_committed_is_what_the_code_makes(name: str) -> None:
    assert (GRAFANA / name).read_text() == FILES[name], "run `make dashboards`"


def test_no_file_is_left_over_and_the_uids_are_the_files_names() -> None:
    assert {f"dashboards/{path.name}" for path in (GRAFANA / "dashboards").iterdir()} == {
        name for name in FILES if name.startswith("dashboards/")
    }
    assert [board["uid"] for board in BOARDS] == [
        "helpscout-exporter",
        "helpscout-mailbox",
        "helpscout-overview",
    ]


@EVERY
def test_ids_are_unique_and_every_query_has_its_own_ref_id(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert sorted(ids) == list(range(1, len(ids) + 1))
    assert "id" not in board or board["id"] is None
    for panel in panels(board):
        refs = [target["refId"] for target in panel["targets"]]
        assert refs == [chr(ord("A") + index) for index in range(len(refs))]


@EVERY
def test_no_data_source_is_hard_wired(board: dict[str, Any]) -> None:
    found: list[Any] = []

    def note(item: dict[str, Any]) -> dict[str, Any]:
        found.extend(item[key] for key in item if key == "datasource")
        return item

    json.loads(json.dumps(board), object_hook=note)
    ours = {"type": "prometheus", "uid": "${datasource}"}
    grafanas = {"type": "grafana", "uid": "-- Grafana --"}
    assert all(source in (ours, grafanas) for source in found)
    assert all(panel["datasource"] == ours for panel in panels(board))
    assert board["templating"]["list"][0]["type"] == "datasource"


@EVERY
def test_the_schema_is_that_of_grafana_11_and_the_figures_follow(board: dict[str, Any]) -> None:
    assert (board["schemaVersion"], board["refresh"]) == (41, "1m")
    assert board["editable"] is True


@EVERY
def test_alerts_are_drawn_over_every_panel(board: dict[str, Any]) -> None:
    (alerts,) = board["annotations"]["list"]
    assert (alerts["enable"], alerts["hide"]) == (True, False)
    assert alerts["expr"] == 'ALERTS{alertname=~"Helpscout.+", alertstate="firing"}'
    assert all(alert["alert"].startswith("Helpscout") for alert in ALERTS)


@EVERY
def test_every_panel_has_title_unit_description_queries_and_a_place(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        place = panel["gridPos"]
        cells = {
            (place["x"] + dx, place["y"] + dy)
            for dx in range(place["w"])
            for dy in range(place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells


@EVERY
def test_every_panel_drops_what_names_a_process_and_nothing_else(board: dict[str, Any]) -> None:
    """So two replicas count once, and jobs, namespaces, clusters and accounts stay apart."""
    processes = board["uid"] == "helpscout-exporter"
    for panel in panels(board):
        for query in (target["expr"] for target in panel["targets"]):
            assert not re.search(r"\bby \(", query), query
            dropped = [
                set(labels.split(", ")) for labels in re.findall(r"without \((.*?)\)", query)
            ]
            assert dropped, query
            for labels in dropped:
                assert set(PROCESS.split(", ")) <= labels | ({"instance"} if processes else set())
                assert not labels & {"job", "namespace", "cluster", "account", "sla", "team"}


@EVERY
def test_every_metric_of_a_panel_is_of_the_chosen_cluster_namespace_and_job(
    board: dict[str, Any],
) -> None:
    for panel in panels(board):
        for query in (target["expr"] for target in panel["targets"]):
            for name in names(query):
                wanted = {"cluster", "namespace", "job"}
                assert all(wanted <= labels for n, labels in selectors(query) if n == name), query
                assert name in {n for n, _ in selectors(query)}, query


def test_a_link_to_a_mailbox_keeps_data_source_cluster_account_and_window() -> None:
    text = json.dumps(next(b for b in BOARDS if b["uid"] == "helpscout-overview"))
    links = set(re.findall(r'"(/d/helpscout-mailbox[^"]*)"', text))
    assert len(links) == 1
    (link,) = links
    for variable in ("datasource", "cluster", "namespace", "job", "window", "office_hours"):
        assert f"${{{variable}:queryparam}}" in link
    assert "var-account=${__data.fields.Account}" in link
    assert "var-mailbox=${__data.fields.mailbox_id}" in link


def panel_expression(uid: str, title: str, index: int = 0) -> str:
    """Return an expression of a panel with everything chosen."""
    board = next(board for board in BOARDS if board["uid"] == uid)
    panel = next(panel for panel in panels(board) if panel["title"] == title)
    expression: str = panel["targets"][index]["expr"]
    return re.sub(r'=~?"\$\w+"', '=~".*"', expression)


_RANGES = (900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800)


def steady(name: str, value: float | str, **labels: str) -> dict[str, str]:
    """Return a series as promtool takes it: a number that stays, or `0+6` a minute."""
    written = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return {"series": f"{name}{{{written}}}", "values": f"{value}x10"}


def assert_computed(folder: Path, tests: list[dict[str, Any]], version: str = "installed") -> None:
    """Let a promtool compute expressions over series by hand; no rules are loaded."""
    path = folder / "expressions.test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": tests}))
    code, said = promtool("test", "rules", path, version=version)
    assert code == 0, said


def _waits(account: str, up_to: int, pod: str, **more: str) -> list[dict[str, str]]:
    """Return a distribution: 10 conversations, all of them in the range that ends at `up_to`."""
    return [
        steady(
            "helpscout_response_time_distribution_seconds_bucket",
            10 if edge is None or edge >= up_to else 0,
            le="+Inf" if edge is None else f"{edge}.0",
            account=account,
            mailbox_id="1",
            instance=pod,
            job="helpscout",
            **more,
        )
        for edge in (*_RANGES, None)
    ]


def _replies(counts: tuple[int, ...], account: str) -> list[dict[str, str]]:
    name = "helpscout_replies_to_resolve_distribution_bucket"
    return [
        steady(name, count, le=le, account=account, instance="a", job="helpscout")
        for count, le in zip(counts, ("1.0", "2.0", "3.0", "4.0", "+Inf"), strict=True)
    ]


def _service_level(job: str, objective: float, mailbox: str, number: int) -> list[dict[str, str]]:
    at = {"job": job, "instance": f"{job}:1"}
    labels = {"sla": "first", "horizon": "short", "account": "a", "mailbox_id": mailbox} | at
    return [
        steady("helpscout_sla_objective_ratio", objective, sla="first", **at),
        steady("helpscout_sla_compliance_ratio", 0.7, **labels),
        steady("helpscout_sla_conversations", number, **labels),
    ]


EXPRESSIONS: dict[str, tuple[str, list[dict[str, str]], dict[str, float]]] = {
    "two accounts and two replicas are two lines, each with its own median": (
        panel_expression("helpscout-mailbox", "Response time, quantiles"),
        [
            *_waits("slow", 86400, "a"),
            *_waits("slow", 86400, "b"),
            *_waits("quick", 900, "a"),
            *_waits("quick", 3600, "c", cluster="east"),
        ],
        {
            '{account="slow", mailbox_id="1", job="helpscout"}': 64800,
            '{account="quick", mailbox_id="1", job="helpscout"}': 450,
            '{account="quick", mailbox_id="1", job="helpscout", cluster="east"}': 2700,
        },
    ),
    "nobody sends half a reply, and five and more are not four": (
        panel_expression("helpscout-mailbox", "Replies to resolve, quantiles"),
        [*_replies((9, 10, 10, 10, 10), "short"), *_replies((0, 0, 0, 2, 10), "long")],
        {
            '{account="short", job="helpscout"}': 1,
            '{account="long", job="helpscout"}': 5,
        },
    ),
    "two teams give one name to two objectives, and few conversations are not judged": (
        panel_expression("helpscout-overview", "Service levels", 2),
        [
            *_service_level("team-a", 0.9, "1", 20),
            *_service_level("team-b", 0.5, "1", 200),
            *_service_level("team-c", 0.9, "2", 19),
        ],
        {
            '{sla="first", horizon="short", account="a", mailbox_id="1", job="team-a"}': -0.2,
            '{sla="first", horizon="short", account="a", mailbox_id="1", job="team-b"}': 0.2,
        },
    ),
    "those who wait in two mailboxes add up, and two replicas count once": (
        panel_expression("helpscout-mailbox", "Present waits"),
        [
            steady(
                "helpscout_waiting_distribution_seconds_bucket",
                count,
                le="900.0",
                account="a",
                mailbox_id=mailbox,
                mailbox=mailbox,
                type="all",
                office_hours="false",
                instance=pod,
            )
            for mailbox, count in (("1", 4), ("2", 3))
            for pod in ("a", "b")
        ],
        {'{le="900.0", account="a", type="all", office_hours="false"}': 7},
    ),
    "what is of no segment is the whole mailbox": (
        panel_expression("helpscout-mailbox", "Conversations by segment"),
        [
            steady("helpscout_conversations", 5, instance="a", job="h"),
            steady("helpscout_conversations", 2, segment="vip", instance="a", job="h"),
        ],
        {'{job="h", segment="the whole mailbox"}': 5, '{job="h", segment="vip"}': 2},
    ),
    "of 60 changes the twenty largest are drawn": (
        f"count({panel_expression('helpscout-overview', 'Change now')})",
        [
            steady("helpscout_change_ratio", n / 10, mailbox_id=str(n), instance="a", job="h")
            for n in range(60)
        ],
        {"{}": 20},
    ),
}


@EACH_VERSION
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_panels_keep_apart_what_is_apart(name: str, version: str, tmp_path: Path) -> None:
    expression, series, wanted = EXPRESSIONS[name]
    test = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": f"round({expression}, 0.001)",
                "eval_time": "5m",
                "exp_samples": [
                    {"labels": labels, "value": value} for labels, value in wanted.items()
                ],
            }
        ],
    }
    assert_computed(tmp_path, [test], version)


@EVERY
def test_the_boards_lead_to_each_other(board: dict[str, Any]) -> None:
    (link,) = board["links"]
    assert (link["type"], link["tags"]) == ("dashboards", ["helpscout"])
    assert (link["includeVars"], link["keepTime"]) == (True, True)
    assert board["tags"] == ["helpscout"]
    uids = {other["uid"] for other in BOARDS}
    for uid in re.findall(r"/d/([\w-]+)", json.dumps(board)):
        assert uid in uids


@EVERY
def test_every_variable_that_is_used_exists_and_the_other_way_round(board: dict[str, Any]) -> None:
    variables = [variable["name"] for variable in board["templating"]["list"]]
    text = json.dumps(board)
    used = set(re.findall(r"\$\{?([a-z]\w+)", text))
    assert used == set(variables)
    wanted = {"datasource", "account"}
    if board["uid"] != "helpscout-exporter":
        wanted |= {"mailbox", "type", "window", "office_hours", "segment"}
    assert wanted <= set(variables)


def test_the_overview_begins_with_what_waits_now_and_goes_on_with_the_service_levels() -> None:
    board = next(board for board in BOARDS if board["uid"] == "helpscout-overview")
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows[:2] == ["Now", "Service levels"]
    assert "helpscout_queue_conversations" in next(panels(board))["targets"][0]["expr"]


@EVERY
def test_every_expression_names_metrics_and_labels_that_exist(board: dict[str, Any]) -> None:
    for query in queries(board):
        assert problems(query) == [], query


def test_every_family_of_the_catalogue_is_shown_or_has_a_reason_not_to_be() -> None:
    shown = {
        SAMPLES[name][0]
        for board in BOARDS
        for query in queries(board)
        for name in names(query)
        if name in SAMPLES
    }
    assert shown | set(NOT_SHOWN) == {family.name for family in catalogue()}
    assert not shown & set(NOT_SHOWN)


# --- Grafana's own alerts -----------------------------------------------------------------------


def test_the_alerts_that_matter_most_are_there_for_grafana_too() -> None:
    ours = {alert["alert"]: alert for alert in ALERTS}
    critical = {name for name, alert in ours.items() if alert["labels"]["severity"] == "critical"}
    # Shards are run by those who run Prometheus.
    wanted = critical - {"HelpscoutShardsMissing"} | {name for name in ours if "Sla" in name}
    assert wanted <= {rule["title"] for rule in RULES}
    for rule in RULES:
        alert = ours[rule["title"]]
        assert (rule["for"], rule["labels"]) == (alert["for"], alert["labels"])
        assert rule["annotations"]["runbook_url"] == alert["annotations"]["runbook_url"]
        refs = [query["refId"] for query in rule["data"]]
        assert len(set(refs)) == len(refs)
        assert rule["condition"] in refs
        text = rule["annotations"]["summary"] + rule["annotations"]["description"]
        assert "| query" not in text
        assert "$value " not in text
        assert set(re.findall(r"\$values\.(\w+)", text)) <= set(refs)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["title"]))
def test_a_rule_of_grafanas_fires_on_each_series_whatever_its_value_and_on_nothing_else(
    rule: dict[str, Any],
) -> None:
    *asked, threshold = rule["data"]
    assert (rule["noDataState"], rule["execErrState"]) == ("OK", "Error")
    assert rule["condition"] == threshold["refId"]
    assert (threshold["model"]["type"], threshold["model"]["expression"]) == ("threshold", "A")
    (condition,) = threshold["model"]["conditions"]
    evaluator = condition["evaluator"]
    assert evaluator["type"] == "gt"
    assert all(value > evaluator["params"][0] for value in (-0.99, 0, 1, 1e9)), "margins, counts"
    for query in asked:
        assert (query["model"]["instant"], query["model"]["range"]) == (True, False)
        since, until = (query["relativeTimeRange"][each] for each in ("from", "to"))
        assert since >= 300 > until == 0, "Prometheus looks back for five minutes"


def test_each_rule_of_grafanas_has_a_uid_and_is_looked_at_each_minute() -> None:
    uids = {rule["uid"] for rule in RULES}
    assert len(uids) == len(RULES)
    assert all(re.fullmatch("[a-z-]{1,40}", uid) for uid in uids)
    for group in yaml.safe_load(FILES["examples/alerting/rules.yml"])["groups"]:
        assert (group["interval"], group["folder"]) == ("1m", "Help Scout")


def test_a_missed_and_a_threatened_promise_are_told_apart_with_share_target_and_objective() -> None:
    for rule, words in zip(LEVELS, (" is missed in ", " is at risk in "), strict=True):
        assert words in rule["annotations"]["summary"]
        text = rule["annotations"]["description"]
        share = "{{ humanizePercentage $values.B.Value }} of the conversations"
        assert text.startswith(share)
        assert "the objective is {{ humanizePercentage $values.O.Value }}." in text
        assert "{{ humanizeDuration $values.S.Value }}" in text
        assert "{{ $values.R.Value }} replies" in text
        (named,) = (query["model"]["expr"] for query in rule["data"] if query["refId"] == "B")
        outermost = re.match(r"min without \(([^)]*)\)", named)
        assert outermost is not None
        assert "mailbox" not in outermost[1].split(", "), "the summary has its name"


def test_grafana_tells_of_an_exporter_that_is_down_whatever_its_job_is_called(
    tmp_path: Path,
) -> None:
    (rule,) = (rule for rule in FURTHER if rule["title"] == "HelpscoutExporterDown")
    at = 'job="desk", instance="a"'
    test = {
        "interval": "1m",
        "input_series": [
            {"series": f"up{{{at}}}", "values": "1x10 0x20"},
            {
                "series": f'helpscout_exporter_build_info{{{at}, version="1", revision="r"}}',
                "values": "1x10 stale",
            },
        ],
        "promql_expr_test": [
            {
                "expr": f"count({rule['data'][0]['model']['expr']})",
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if minute > 10 else [],
            }
            for minute in (10, 11, 25)
        ],
    }
    assert_computed(tmp_path, [test])


@pytest.mark.parametrize("rule", FURTHER, ids=lambda rule: str(rule["title"]))
def test_what_grafana_watches_now_fires_where_ours_does(
    rule: dict[str, Any], tmp_path: Path
) -> None:
    """As a rule of Prometheus: Grafana evaluates the same expression and waits as long."""
    name, us = rule["title"], {**IDENTITY, "cluster": "us"}
    expressions = {q["refId"]: q["model"]["expr"] for q in rule["data"] if "expr" in q["model"]}
    fault = FAULTS.get(name)
    ill = Process(IDENTITY, 1, [(15, {}), (60, fault.ill if fault else None)])
    processes = [ill, Process(us, 2, [(60, {})])] if fault else [ill]
    fired = (
        fired_alert(name, fault, rule, ill)
        if fault
        else {"alertname": name, "alertstate": "firing", **rule["labels"]}
    )
    minutes = 16 + int(rule["for"].removesuffix("m"))
    test = history(
        name,
        processes,
        [Check("", 14, []), Check("", minutes - 3, []), Check("", minutes, [fired])],
    ).test
    if "B" in expressions:
        test["promql_expr_test"].append(
            {
                "expr": f"count by (mailbox) ({expressions['B']})",
                "eval_time": f"{minutes}m",
                "exp_samples": [{"labels": '{mailbox="Support"}', "value": 1}],
            }
        )
    own = {"alert": name, "expr": expressions["A"], "for": rule["for"], "labels": rule["labels"]}
    groups = [{"name": "grafana", "rules": [own]}]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}, width=10**9))
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(document, width=10**9))
    code, said = promtool("test", "rules", tmp_path / "test.yml")
    assert code == 0, said


def test_grafanas_rules_name_metrics_and_labels_that_exist_and_nothing_recorded() -> None:
    for rule in RULES:
        for query in rule["data"]:
            expression = query["model"].get("expr", "vector(1)")
            assert problems(expression) == []
            assert "helpscout:" not in expression


def test_the_provisioned_parts_and_the_examples_fit_together() -> None:
    def read(name: str) -> Any:
        return read_yaml(GRAFANA / name)

    (source,) = read("provisioning/datasources/prometheus.yml")["datasources"]
    assert {query["datasourceUid"] for rule in RULES for query in rule["data"]} == {
        source["uid"],
        "__expr__",
    }
    points = read("examples/alerting/contact-points.yml")["contactPoints"]
    contacts = {point["name"] for point in points}
    (policy,) = read("examples/alerting/policies.yml")["policies"]
    assert {policy["receiver"], *(route["receiver"] for route in policy["routes"])} <= contacts
    (provider,) = read("provisioning/dashboards/helpscout.yml")["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
