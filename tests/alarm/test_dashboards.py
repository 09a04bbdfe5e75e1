"""The dashboards as files: current, importable anywhere, complete, and about our data."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from exporter.metrics import CATALOGUE
from scripts.dashboards.files import files
from tests.alarm.conftest import ALERTS, GRAFANA
from tests.alarm.promql import SAMPLES, names, problems

BOARDS: list[dict[str, Any]] = [
    json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").iterdir())
]
EVERY = pytest.mark.parametrize("board", BOARDS, ids=lambda board: str(board["uid"]))
NOT_SHOWN: dict[str, str] = {}
"""Families of the catalogue that no dashboard shows, each with its reason."""

RULES: list[dict[str, Any]] = yaml.safe_load((GRAFANA / "examples/alerting/rules.yml").read_text())[
    "groups"
][0]["rules"]


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


@pytest.mark.parametrize("name", files())
def test_what_is_committed_is_what_the_code_makes(name: str) -> None:
    assert (GRAFANA / name).read_text() == files()[name], "run `make dashboards`"


def test_no_file_is_left_over_and_the_uids_are_the_files_names() -> None:
    assert {f"dashboards/{path.name}" for path in (GRAFANA / "dashboards").iterdir()} == {
        name for name in files() if name.startswith("dashboards/")
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
def test_the_schema_is_that_of_grafana_11(board: dict[str, Any]) -> None:
    assert board["schemaVersion"] == 41
    assert board["editable"] is False


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
def test_two_replicas_do_no_harm(board: dict[str, Any]) -> None:
    for query in (target["expr"] for panel in panels(board) for target in panel["targets"]):
        bare = re.sub(r"\b(?:max|min|sum|group) by \([^()]*\) \(", "AGGREGATED(", query)
        # Every metric stands inside of an aggregation: at its first parenthesis, or in a rate.
        for found in re.finditer(r"\b(?:helpscout|process)_\w+", bare):
            assert re.search(r"AGGREGATED\((?:rate\()?(?:time\(\) - )?$", bare[: found.start()]), (
                query
            )


@EVERY
def test_the_boards_lead_to_each_other(board: dict[str, Any]) -> None:
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["includeVars"]) == ("dashboards", ["helpscout"], True)
    assert board["tags"] == ["helpscout"]
    uids = {other["uid"] for other in BOARDS}
    for uid in re.findall(r"/d/([\w-]+)", json.dumps(board)):
        assert uid in uids


@EVERY
def test_every_variable_that_is_used_exists_and_the_other_way_round(board: dict[str, Any]) -> None:
    variables = [variable["name"] for variable in board["templating"]["list"]]
    text = json.dumps(board)
    used = {name for name in re.findall(r"\$\{?(\w+)", text) if not name.startswith("__")}
    assert used == set(variables)
    wanted = {"datasource", "account"}
    if board["uid"] != "helpscout-exporter":
        wanted |= {"mailbox", "type", "window", "office_hours", "segment"}
    assert wanted <= set(variables)


def test_the_overview_begins_with_the_service_levels() -> None:
    board = next(board for board in BOARDS if board["uid"] == "helpscout-overview")
    first = next(panels(board))
    assert "helpscout_sla_compliance_ratio" in first["targets"][0]["expr"]


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
    assert shown | set(NOT_SHOWN) == {family.name for family in CATALOGUE}
    assert not shown & set(NOT_SHOWN)


# --- Grafana's own alerts -----------------------------------------------------------------------


def test_the_service_levels_alerts_are_there_for_grafana_too() -> None:
    ours = {alert["alert"]: alert for alert in ALERTS if "Sla" in alert["alert"]}
    assert {rule["title"] for rule in RULES} == set(ours)
    for rule in RULES:
        alert = ours[rule["title"]]
        assert (rule["for"], rule["labels"]) == (alert["for"], alert["labels"])
        for name in ("summary", "runbook_url"):
            assert rule["annotations"][name] == alert["annotations"][name]
        refs = [query["refId"] for query in rule["data"]]
        assert len(set(refs)) == len(refs)
        assert rule["condition"] in refs
        for name in re.findall(r"\$values\.(\w+)", rule["annotations"]["description"]):
            assert name in refs


def test_grafanas_rules_name_metrics_and_labels_that_exist_and_nothing_recorded() -> None:
    for rule in RULES:
        for query in rule["data"]:
            expression = query["model"].get("expr", "vector(1)")
            assert problems(expression) == []
            assert "helpscout:" not in expression


def test_the_provisioned_parts_and_the_examples_fit_together() -> None:
    def read(name: str) -> Any:
        return yaml.safe_load((GRAFANA / name).read_text())

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
