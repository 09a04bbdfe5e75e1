"""The rules as such: promtool accepts them, every alert is tested, explained and about our data."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from exporter import REPOSITORY
from scripts.dashboards.parts import PROCESS
from tests.alarm import lookback, scenarios, worlds
from tests.alarm.conftest import (
    ALERTS,
    GRAFANA,
    GROUPS,
    PROMTOOL_TESTS,
    RECORDS,
    RULES,
    UNHASTENED,
    hastened,
    seconds,
)
from tests.alarm.promql import metrics_of, names, problems, reachable
from tests.servers import EACH_VERSION, promtool
from tests.support import ROOT, need, read_yaml

# promtool computes days and weeks of every rule, beside other groups of checks.
pytestmark = pytest.mark.timeout(600)

OF_THE_TEAM = {
    "HelpscoutSlaMissed",
    "HelpscoutSlaAtRisk",
    "HelpscoutCustomersWaitBeyondTarget",
    "HelpscoutCustomersWaitNearTarget",
    "HelpscoutNobodyReplies",
    "HelpscoutQueueGrows",
    "HelpscoutMailBounces",
    "HelpscoutRatingsDrop",
    "HelpscoutResponseTimeRising",
    "HelpscoutRepliesToResolveRising",
}
MENDED_NOW = {
    "HelpscoutExporterDown",
    "HelpscoutExporterAbsent",
    "HelpscoutShardsMissing",
    "HelpscoutAccountRefused",
}
RUNBOOKS = ROOT / "docs" / "runbooks.md"
BASE = f"{REPOSITORY}/blob/main/docs/runbooks.md#"
EVERY = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
FILES: dict[Path, dict[str, Any]] = {
    path: read_yaml(path) for path in sorted(PROMTOOL_TESTS.iterdir())
}
TESTS: list[dict[str, Any]] = [test for document in FILES.values() for test in document["tests"]]


@EACH_VERSION
def test_promtool_finds_nothing_wrong_with_the_rules(version: str) -> None:
    code, said = promtool("check", "rules", *sorted(RULES.iterdir()), version=version)
    assert code == 0, said
    assert "FAILED" not in said


def test_vmalert_accepts_the_rules() -> None:
    done = subprocess.run(
        [need("vmalert", "newer"), "-dryRun", *(f"-rule={path}" for path in RULES.iterdir())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@EACH_VERSION
def test_the_rules_pass_their_own_tests(version: str, tmp_path: Path) -> None:
    parts = [
        alone(tmp_path / f"{path.stem}-{number}", path, test)
        for path, document in FILES.items()
        for number, test in enumerate(document["tests"])
    ]
    with ThreadPoolExecutor() as pool:
        for code, said in pool.map(
            lambda some: promtool("test", "rules", *some, version=version),
            (parts[::2], parts[1::2]),
        ):
            assert code == 0, said


def alone(folder: Path, path: Path, test: dict[str, Any]) -> Path:
    """Write one test of a file into a folder, with the rules that may have a result in it.

    promtool parses every rule again at each step: with all of them it takes three times as long.
    """
    groups = [g for file in FILES[path]["rule_files"] for g in _groups(path.parent / file)]
    folder.mkdir()
    fed = reachable(groups, metrics_of(test["input_series"]))
    (folder / "rules.yml").write_text(json.dumps({"groups": fed}))
    document = FILES[path] | {"rule_files": ["rules.yml"], "tests": [test]}
    (folder / "test.yml").write_text(json.dumps(document))
    return folder / "test.yml"


@cache
def _groups(path: Path) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = read_yaml(path)["groups"]
    return groups


def test_a_rule_is_left_out_only_where_nothing_that_it_names_is_there() -> None:
    rules = [
        {"record": "a:sum", "expr": 'sum(a{b="c"})'},
        {"record": "from:sum", "expr": "a:sum > 1"},
        {"alert": "Gone", "expr": 'absent(up{job="x"})'},
        {"alert": "Other", "expr": "b or c"},
        {"alert": "Quoted", "expr": 'd{e="a"}'},
    ]
    groups = [{"name": "one", "rules": rules[1:]}, {"name": "two", "rules": rules[:1]}]
    (one, two) = reachable(groups, {"a"})
    assert (one["rules"], two["rules"]) == (rules[1:3], rules[:1])
    (one,) = reachable(groups, {"c"})
    assert one["rules"] == rules[2:4]


HISTORIES = scenarios.tests()
LOOKBACKS = lookback.tests()


@EACH_VERSION
def test_every_alert_stands_its_history_through_time(version: str, tmp_path: Path) -> None:
    """Versions may differ in time: where a range begins, how long an alert waits and holds on."""
    passes([through_time.test for through_time, _ in HISTORIES.values()], version, tmp_path)


def test_every_alert_stands_its_history_among_neighbours(tmp_path: Path) -> None:
    passes([neighbours.test for _, neighbours in HISTORIES.values()], "newer", tmp_path)


@EACH_VERSION
@pytest.mark.parametrize("name", LOOKBACKS)
def test_every_alert_that_looks_back_for_days_stands_its_history(
    name: str, version: str, tmp_path: Path
) -> None:
    (group,) = (g for g in GROUPS if any(rule.get("alert") == name for rule in g["rules"]))
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [group]}))
    step = f"{lookback.LOOKBACKS[name].step}m"
    passes([LOOKBACKS[name].test], version, tmp_path, tmp_path / "rules.yml", every=step)


def test_in_worlds_with_two_of_everything_exactly_what_is_wrong_is_told(tmp_path: Path) -> None:
    passes([world.test(name) for name, world in worlds.WORLDS.items()], "newer", tmp_path)


def passes(
    tests: list[dict[str, Any]], version: str, folder: Path, *rules: Path, every: str = "1m"
) -> None:
    """Run promtool's tests, all at once, on our alerts. JSON is YAML, and is written in no time."""
    document = {
        "rule_files": [str(path) for path in rules or [RULES / "helpscout.alerts.yml"]],
        "evaluation_interval": every,
        "tests": [scenarios.together(tests)],
    }
    (folder / "test.yml").write_text(json.dumps(document))
    code, said = promtool("test", "rules", folder / "test.yml", version=version)
    assert code == 0, said


@EVERY
def test_every_alert_is_seen_in_every_case(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    found = [*HISTORIES.get(name, ()), *filter(None, [LOOKBACKS.get(name)])]
    cases = [case for history in found for case in history.cases]
    if name in scenarios.BY_HAND:
        (written,) = (test["name"] for test in TESTS if test["name"].startswith(f"{name}: "))
        cases = [*written.removeprefix(f"{name}: ").split(", "), *scenarios.BY_HAND[name]]
    assert set(cases) == set(scenarios.CASES)


@EVERY
def test_every_alert_says_how_bad_it_is_what_is_wrong_and_where_to_read_on(
    alert: dict[str, Any],
) -> None:
    severity, component = alert["labels"]["severity"], alert["labels"]["component"]
    assert alert["labels"] == {"severity": severity, "component": component}
    assert component == ("support" if alert["alert"] in OF_THE_TEAM else "exporter")
    assert severity == ("critical" if alert["alert"] in MENDED_NOW else "warning")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == BASE + alert["alert"].lower()
    assert "\n" not in alert["annotations"]["description"].strip()


@EVERY
def test_every_alert_waits_and_holds_on(alert: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+[mh]", alert["for"])
    assert re.fullmatch(r"\d+[mh]", alert["keep_firing_for"])


def test_an_alert_that_gives_way_fires_on_until_the_other_has_waited() -> None:
    page = (ROOT / "docs" / "alerting.md").read_text()
    waits = {alert["alert"]: seconds(alert["for"]) for alert in ALERTS}
    holds = {alert["alert"]: seconds(alert["keep_firing_for"]) for alert in ALERTS}
    rows = re.findall(r"^\| (Helpscout[^|\[]*) \| (Helpscout[^|]*) \|$", page, re.MULTILINE)
    assert rows
    too_short = [
        (follower, cause)
        for causes, followers in rows
        for cause in re.findall(r"Helpscout\w+", causes)
        for follower in re.findall(r"Helpscout\w+", followers)
        if holds[follower] < waits[cause]
    ]
    assert too_short == []


def test_the_runbooks_are_about_exactly_these_alerts_and_answer_three_questions() -> None:
    parts = re.split(r"^## ", RUNBOOKS.read_text(), flags=re.MULTILINE)[1:]
    chapters = {part.partition("\n")[0].strip(): part for part in parts}
    assert list(chapters) == [alert["alert"] for alert in ALERTS]
    for name, text in chapters.items():
        headings = re.findall(r"^\*\*(.+?)\*\*", text, flags=re.MULTILINE)
        assert headings == ["What it means.", "How to see it.", "What to do."], name


def test_the_page_on_alerting_has_every_alert_with_its_labels() -> None:
    page = (ROOT / "docs" / "alerting.md").read_text()
    assert re.findall(r"^\| \[(\w+)\]\((\S+)\) \| (\w+) \| (\w+) \|$", page, re.MULTILINE) == [
        (name, f"runbooks.md#{name.lower()}", labels["severity"], labels["component"])
        for name, labels in ((alert["alert"], alert["labels"]) for alert in ALERTS)
    ]


@pytest.mark.parametrize(
    "rule", [*RECORDS, *ALERTS], ids=lambda rule: rule.get("record") or rule["alert"]
)
def test_every_rule_names_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    texts = " ".join(rule.get("annotations", {}).values())
    queries = re.findall(r'printf "((?:[^"\\]|\\.)*)"[^}|]*\| query', texts)
    for expression in (rule["expr"], *(query.replace(r"\"", '"') for query in queries)):
        assert problems(expression.replace("%q", '""').replace("%s", "")) == []


@pytest.mark.parametrize(
    "rule", [*RECORDS, *ALERTS], ids=lambda rule: rule.get("record") or rule["alert"]
)
def test_no_rule_drops_what_distinguishes_exporters_or_keeps_what_names_a_process(
    rule: dict[str, Any],
) -> None:
    expression = rule["expr"]
    assert not re.search(r"\bby \(", expression)
    # A window's length follows from its name, wherever it is.
    assert set(re.findall(r"\bon \(([^)]*)\)", expression)) <= {"window", ""}
    for labels in re.findall(r"(?:without|ignoring) \(([^)]*)\)", expression):
        assert "instance" not in labels or labels.startswith(PROCESS), labels
        assert not {"job", "namespace", "cluster"} & set(labels.split(", "))


@EVERY
def test_an_alert_is_in_one_group_with_what_it_is_made_of(alert: dict[str, Any]) -> None:
    (group,) = (group for group in GROUPS if alert in group["rules"])
    before = [rule.get("record") for rule in group["rules"][: group["rules"].index(alert)]]
    assert {name for name in names(alert["expr"]) if ":" in name} <= set(before)


def test_no_range_begins_where_a_sample_may_be() -> None:
    """Prometheus 2 counts that sample, Prometheus 3 does not. Samples are whole intervals apart."""
    written = [*RULES.iterdir(), GRAFANA / "examples/alerting/rules.yml"]
    text = "".join(path.read_text() for path in written)
    durations = re.findall(r"\[((?:\d+[smhd])+)(?::\w*)?\]", text)
    assert durations
    assert [d for d in durations if seconds(d) % 5 == 0] == [], "let them be a second longer"


def test_no_regular_expression_has_a_class_that_prometheus_3_takes_a_millisecond_to_read() -> None:
    written = [*RULES.iterdir(), ROOT / "prometheus/textfile/helpscout.textfile.yml"]
    written += [GRAFANA / "examples/alerting/rules.yml", *(GRAFANA / "dashboards").iterdir()]
    matcher = re.compile(r'[=!]~\\?"[^"]*\[\^')
    assert [path.name for path in written if matcher.search(path.read_text())] == []


def test_no_figure_of_a_window_is_averaged_or_rated_over_time() -> None:
    """It is a mean or a count over its window already; a mean of days is not the week's."""
    expressions = [rule["expr"] for rule in [*ALERTS, *RECORDS]]
    for path in (GRAFANA / "dashboards").iterdir():
        expressions += re.findall(r'"expr": "(.*)"', path.read_text())
    of_a_window = r"(?:i?rate|i?delta|increase|avg_over_time|sum_over_time)\(helpscout[_:]"
    found = [e for e in expressions if re.search(of_a_window + r"(?!exporter_|account_)", e)]
    assert found == []


def test_thresholds_of_service_levels_stand_in_the_exporters_configuration_only() -> None:
    for rule in (rule for rule in [*ALERTS, *RECORDS] if "sla_margin" in rule["expr"]):
        limits = re.findall(r"(?<!seconds )[<>] *([\d.]+)", rule["expr"])
        # 0, and twice the fall.
        assert {limit for limit in limits if float(limit) < 100} <= {"0", "2"}


def test_the_hastened_rules_differ_in_nothing_but_their_times() -> None:
    for path in RULES.iterdir():
        text = path.read_text()
        plain = re.compile(r"(\[|offset |\bfor: |keep_firing_for: |interval: )\w+")
        assert plain.sub(r"\1", hastened(text)) == plain.sub(r"\1", text)
        kept = rf"(- alert: Helpscout(?:{'|'.join(UNHASTENED)})\n(?:.*\n)*?        for: )15m"
        short = re.sub(kept, r"\1", hastened(text))
        assert not re.search(r"(\[|offset |\bfor: |keep_firing_for: |interval: )\d+[mhd]", short)
