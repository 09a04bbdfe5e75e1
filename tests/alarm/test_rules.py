"""The rules as such: promtool accepts them, every alert is tested, explained and about our data."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alarm.conftest import (
    ALERTS,
    GRAFANA,
    PROMTOOL_TESTS,
    RECORDS,
    RULES,
    hastened,
    seconds,
)
from tests.alarm.promql import problems
from tests.servers import EACH_VERSION, promtool
from tests.support import ROOT

RUNBOOKS = ROOT / "docs" / "runbooks.md"
BASE = "https://github.com/helpscout-exporter/helpscout-exporter/blob/main/docs/runbooks.md#"
EVERY = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
TESTS: list[dict[str, Any]] = [
    test
    for path in sorted(PROMTOOL_TESTS.iterdir())
    for test in yaml.safe_load(path.read_text())["tests"]
]


RULE_FILES = [*sorted(RULES.iterdir()), GRAFANA / "examples/alerting/rules.yml"]


@EACH_VERSION
def test_promtool_finds_nothing_wrong_with_the_rules(version: str) -> None:
    code, said = promtool("check", "rules", *sorted(RULES.iterdir()), version=version)
    assert code == 0, said
    assert "FAILED" not in said


@EACH_VERSION
def test_the_rules_pass_their_own_tests(version: str) -> None:
    with ThreadPoolExecutor() as pool:
        for code, said in pool.map(
            lambda file: promtool("test", "rules", file, version=version),
            sorted(PROMTOOL_TESTS.iterdir()),
        ):
            assert code == 0, said


@EVERY
def test_every_alert_is_seen_to_fire_often_and_to_be_silent(alert: dict[str, Any]) -> None:
    """In its tests it fires at four moments at least (at first, in a gap, under another name, with
    two processes), once each, and does not at two (just below, resolved).
    """
    name = alert["alert"]
    looks = [
        (len(look.get("exp_alerts") or ()))
        for test in TESTS
        for look in test.get("alert_rule_test", ())
        if look["alertname"] == name
    ] + [
        len(look.get("exp_samples") or ())
        for test in TESTS
        for look in test.get("promql_expr_test", ())
        if f'alertname="{name}"' in look["expr"]
    ]
    assert sum(look == 1 for look in looks) >= 4
    assert sum(look == 0 for look in looks) >= 2
    assert max(looks) == 1


@EVERY
def test_every_alert_says_how_bad_it_is_what_is_wrong_and_where_to_read_on(
    alert: dict[str, Any],
) -> None:
    assert alert["labels"] == {"severity": alert["labels"]["severity"]}
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == BASE + alert["alert"].lower()
    assert "\n" not in alert["annotations"]["description"].strip()


@EVERY
def test_every_alert_waits_and_holds_on(alert: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+[mh]", alert["for"])
    assert re.fullmatch(r"\d+[mh]", alert["keep_firing_for"])


def test_the_runbooks_are_about_exactly_these_alerts_and_answer_three_questions() -> None:
    parts = re.split(r"^## ", RUNBOOKS.read_text(), flags=re.MULTILINE)[1:]
    chapters = {part.partition("\n")[0].strip(): part for part in parts}
    assert list(chapters) == [alert["alert"] for alert in ALERTS]
    for name, text in chapters.items():
        headings = re.findall(r"^\*\*(.+?)\*\*", text, flags=re.MULTILINE)
        assert headings == ["What it means.", "How to see it.", "What to do."], name


@pytest.mark.parametrize(
    "rule", [*RECORDS, *ALERTS], ids=lambda rule: rule.get("record") or rule["alert"]
)
def test_every_rule_names_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    queries = re.findall(
        r'printf "((?:[^"\\]|\\.)*)"', rule.get("annotations", {}).get("description", "")
    )
    for expression in (rule["expr"], *(query.replace(r"\"", '"') for query in queries)):
        assert problems(expression.replace("%q", '""')) == []


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: str(path.name))
def test_no_range_begins_where_a_sample_may_be(path: Path) -> None:
    """Prometheus 2 counts that sample, Prometheus 3 does not. Samples are whole intervals apart."""
    durations = re.findall(r"\[((?:\d+[smhd])+)(?::\w*)?\]", path.read_text())
    assert durations
    assert [d for d in durations if seconds(d) % 5 == 0] == [], "let them be a second longer"


def test_no_recorded_series_carries_what_identifies_a_process() -> None:
    for rule in RECORDS:
        if re.search(r"\bhelpscout_\w+", rule["expr"]):
            assert re.search(r"\b(max|min|sum|count) (without|by) \(", rule["expr"]), rule["record"]
            without = re.findall(r"without \(([^)]*)\)", rule["expr"])
            assert set(without) <= {"instance, pod, endpoint, container, service, node"}


def test_thresholds_of_service_levels_stand_in_the_exporters_configuration_only() -> None:
    for alert in ALERTS:
        if "sla" in alert["expr"]:
            assert set(re.findall(r"[<>] *([\d.]+)", alert["expr"])) == {"0"}, alert["alert"]


def test_the_hastened_rules_differ_in_nothing_but_their_times() -> None:
    for path in RULES.iterdir():
        text = path.read_text()
        plain = re.compile(r"(\[|offset |\bfor: |keep_firing_for: )\w+")
        assert plain.sub(r"\1", hastened(text)) == plain.sub(r"\1", text)
        assert not re.search(r"(\[|offset |\bfor: |keep_firing_for: )\d+[mhd]", hastened(text))
