"""How panels draw what they query, and what variables offer: units, colours, names, shapes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from exporter.exposition.catalogue import catalogue
from tests.alarm.promql import LABELS, SAMPLES, names, selectors
from tests.alarm.test_dashboards import BOARDS, EVERY, panels


def targets(board: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield every query of every panel, with its panel."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel, target


def column(panel: dict[str, Any], target: dict[str, Any]) -> str:
    """Return the heading of a query's column in a table, nothing elsewhere."""
    if panel["type"] != "table":
        return ""
    renamed = panel["transformations"][-1]["options"]["renameByName"]
    only = len(panel["targets"]) == 1
    return str(renamed["Value" if only else f"Value #{target['refId']}"])


def setting(panel: dict[str, Any], target: dict[str, Any], path: str) -> Any:
    """Return how a query is drawn: what its column has of its own, else what the panel has."""
    own = {column(panel, target), target["refId"]}
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] in own:
            for each in override["properties"]:
                if each["id"] == path:
                    return each["value"]
    return panel["fieldConfig"]["defaults"].get(path)


COUNTS = {"short", "none"}
BY_LAST_WORD = {
    "seconds": "s",
    "bytes": "bytes",
    "ratio": "percentunit",
    "minute": "cpm",
    **dict.fromkeys(("success", "successful", "ok"), "bool_yes_no"),
}
UNITS = {
    "helpscout_exporter_api_requests_total": "cpm",  # as a rate
    "helpscout_exporter_api_retries_total": "cpm",
    "helpscout_exporter_throttled_total": "cpm",
    "helpscout_exporter_rate_limit_remaining": "cpm",  # of a minute
    "helpscout_exporter_schedule_stretch_ratio": "none",  # how many times as long
    "helpscout:sla_burn_ratio": "short",  # how many times as fast
    "process_open_fds": "percentunit",  # of the limit
    "process_max_fds": "percentunit",
}
"""The units of metrics whose names do not end with them."""


def unit_of(expression: str) -> set[str]:
    """Return the units that a query may have, by the names of its metrics."""
    found = names(expression) - {"helpscout_exporter_build_info", "helpscout_up"}
    if len(found) > 1 and "helpscout_exporter_report_interval_seconds" in found:
        return {"none"}  # how many intervals
    words = {name: re.split("[:_]", re.sub("_(bucket|sum|count)$", "", name))[-1] for name in found}
    units = {UNITS.get(name) or BY_LAST_WORD.get(word) for name, word in words.items()}
    known = {unit for unit in units if unit}
    if "helpscout_sla_compliance_ratio" in found or "helpscout_window_seconds" in found:
        known -= {"s"}  # a share that is judged; a count an hour
    return known or COUNTS


@EVERY
def test_every_figure_has_the_unit_of_its_metric(board: dict[str, Any]) -> None:
    wrong = [
        (panel["title"], column(panel, target), unit)
        for panel, target in targets(board)
        if (unit := setting(panel, target, "unit")) not in unit_of(target["expr"])
    ]
    assert wrong == []


ILL = {
    ("Oldest report in intervals", ""): (2.9, 3),
    ("Stretch", ""): (1.1, 1.2),
    ("Lag", ""): (899, 900),
    ("Beyond target", ""): (0, 1),
    ("Service levels", "Margin"): (0, -0.001),
    ("Least margin", ""): (0, -0.001),
}
"""Of each figure that has colours: a good value, and a bad one."""


def colour(value: float, thresholds: dict[str, Any]) -> str:
    reached = [s for s in thresholds["steps"] if s["value"] is None or value >= s["value"]]
    return str(reached[-1]["color"])


def test_what_is_bad_is_red_what_is_good_is_green_and_nothing_else_is_judged() -> None:
    coloured = {}
    for board in BOARDS:
        for panel, target in targets(board):
            steps = setting(panel, target, "thresholds")
            figure = (panel["title"], column(panel, target))
            if figure in ILL:
                coloured[figure] = [colour(value, steps) for value in ILL[figure]]
            else:
                assert [step["color"] for step in steps["steps"]] == ["text"], figure
    assert coloured == {figure: ["green", "red"] for figure in ILL}


STATES = {
    "Accounts": (("no answer", "red"), ("answers", "green")),
    "Collectors": (("all reports fail", "red"), ("reports arrive", "green")),
    "Segments": (("unknown", "red"), ("known", "green")),
    "Problems": (("no", "transparent"), ("yes", "red")),
    "Office": (("closed", "text"), ("open", "green")),
    "Are these all?": (("all of them", "green"), ("at least", "orange")),
}


def test_states_are_in_words() -> None:
    found = {}
    for board in BOARDS:
        for panel in panels(board):
            if panel["type"] == "state-timeline":
                (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
                words = [mapping["options"][value] for value in ("0", "1")]
                found[panel["title"]] = tuple((each["text"], each["color"]) for each in words)
    assert found == STATES


@EVERY
def test_what_is_from_the_configuration_is_dashed_and_nothing_else(
    board: dict[str, Any],
) -> None:
    promised = {"helpscout_sla_objective_ratio"}
    promised |= {f"helpscout_sla_target_{unit}" for unit in ("seconds", "replies")}
    for panel, target in targets(board):
        if panel["type"] == "timeseries":
            style = setting(panel, target, "custom.lineStyle")
            is_dashed = style is not None and style["fill"] == "dash"
            assert is_dashed == (names(target["expr"]) <= promised), panel["title"]


@EVERY
def test_every_query_has_the_shape_that_its_panel_draws(board: dict[str, Any]) -> None:
    for panel, target in targets(board):
        at_once = panel["type"] in ("table", "barchart", "bargauge")
        assert (target["instant"], target["range"]) == (at_once, not at_once), panel["title"]
        shape = {"table": "table", "barchart": "table", "heatmap": "heatmap"}.get(panel["type"])
        assert target.get("format") == shape, panel["title"]


@EVERY
def test_a_single_number_and_a_bar_are_the_latest(board: dict[str, Any]) -> None:
    for panel in panels(board):
        if panel["type"] in ("stat", "bargauge"):
            assert panel["options"]["reduceOptions"]["calcs"] == ["lastNotNull"], panel["title"]


@EVERY
def test_a_heatmap_draws_the_buckets_that_there_are(board: dict[str, Any]) -> None:
    for panel in panels(board):
        if panel["type"] == "heatmap":
            options = panel["options"]
            assert options["calculate"] is False
            assert options["yAxis"]["unit"] == panel["fieldConfig"]["defaults"]["unit"]
            assert options["cellValues"]["unit"] == "short"


@EVERY
def test_a_table_has_one_row_for_each_set_of_labels_and_no_time(board: dict[str, Any]) -> None:
    for panel in panels(board):
        if panel["type"] == "table":
            merged, organized = panel["transformations"]
            assert merged["id"] == "merge"
            assert organized["options"]["excludeByName"] == {"Time": True}
            places = organized["options"]["indexByName"]
            assert sorted(places.values()) == list(range(len(organized["options"]["renameByName"])))
            values = [place for name, place in places.items() if name.startswith("Value")]
            assert min(values) == len(places) - len(panel["targets"]), "figures after labels"


@EVERY
def test_a_number_that_is_always_1_is_hidden_and_bars_are_in_order(board: dict[str, Any]) -> None:
    for panel, target in targets(board):
        of_info = column(panel, target) and names(target["expr"]) == {"helpscout_mailbox_info"}
        assert bool(setting(panel, target, "custom.hidden")) == bool(of_info), panel["title"]
    for panel in panels(board):
        if panel["type"] == "barchart":
            sort = next(each for each in panel["transformations"] if each["id"] == "sortBy")
            assert sort["options"]["sort"] == [{"field": panel["options"]["xField"]}]


def labels_of(expression: str) -> set[str]:
    """Return the labels that a result may have, with those that only recording rules know."""
    of_each = (SAMPLES[name][1] if name in SAMPLES else LABELS for name in names(expression))
    known = set[str]().union(*of_each)
    dropped = re.findall(r"without \((.*?)\)", expression)
    return known - set(", ".join(dropped).split(", "))


@EVERY
def test_names_of_lines_and_columns_are_made_of_labels_that_the_series_have(
    board: dict[str, Any],
) -> None:
    for panel, target in targets(board):
        wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        if panel["type"] == "table":
            renamed = panel["transformations"][-1]["options"]["renameByName"]
            wanted |= {name for name in renamed if not name.startswith("Value")}
        elif panel["type"] == "barchart":
            wanted = {panel["options"]["xField"]}
        assert wanted <= labels_of(target["expr"]), (panel["title"], target["legendFormat"])
        assert wanted or target["legendFormat"] or panel["type"] == "table", panel["title"]


@EVERY
def test_what_a_panel_sets_of_a_column_is_of_one_that_it_has(board: dict[str, Any]) -> None:
    for panel in panels(board):
        there = {target["refId"] for target in panel["targets"]} | {"mailbox_id"}
        if panel["type"] == "table":
            there |= set(panel["transformations"][-1]["options"]["renameByName"].values())
        for override in panel["fieldConfig"]["overrides"]:
            assert override["matcher"]["options"] in there, panel["title"]


FIGURES = {
    "First response time": "first_response_time",
    "Response time": "response_time",
    "Handle time": "handle_time",
    "Replies to resolve": "replies_to_resolve",
    "Resolution time": "resolution_time",
    "Resolved on first reply": "resolved_on_first_reply",
    "On first reply": "resolved_on_first_reply",
    "Resolved": "conversations_resolved",
    "Conversations": "conversations",
    "Replies per hour": "replies_sent",
}


@EVERY
def test_a_panel_shows_the_figure_that_its_title_names(board: dict[str, Any]) -> None:
    for panel, target in targets(board):
        title = column(panel, target) or panel["title"]
        figure = next((f for words, f in FIGURES.items() if title.startswith(words)), None)
        is_of_many = title.startswith("Conversations and replies")
        if figure is None or is_of_many:
            continue
        if "helpscout_sla_" in target["expr"]:
            is_target = "helpscout_sla_target_" in target["expr"]
            assert is_target == (f'statistic="{figure}"' in target["expr"]), title
            continue
        bare = {re.sub("^helpscout_(previous_)?", "", name) for name in names(target["expr"])}
        assert any(name.startswith(figure) for name in bare), (title, bare)


def test_the_lines_of_counts_are_named_after_their_metrics() -> None:
    (board,) = (each for each in BOARDS if each["uid"] == "helpscout-overview")
    for panel, target in targets(board):
        if panel["title"].startswith("Conversations and replies"):
            (name,) = names(target["expr"])
            ours = re.sub("^helpscout_(previous_)?(conversations_)?", "", name).replace("_", " ")
            assert target["legendFormat"].startswith(f"{ours} {{"), name
            assert ("preceding" in panel["title"]) == ("_previous_" in name)


@EVERY
def test_a_line_of_a_quantile_is_that_quantile(board: dict[str, Any]) -> None:
    for _, target in targets(board):
        asked = re.findall(r"histogram_quantile\(([\d.]+),", target["expr"])
        said = re.findall(r"\bp(\d+)$", target["legendFormat"])
        assert [float(each) for each in asked] == [int(each) / 100 for each in said]


# --- variables ----------------------------------------------------------------------------------

ADDED = {"cluster", "namespace", "job"}
"""The labels that Prometheus adds."""
FIRST = {
    "mailbox": ("all", "all"),
    "type": ("all", "all"),
    "window": ("7d", "7d"),
    "office_hours": ("false", "false"),
    "segment": ("^$", "the whole mailbox"),
}
"""Value and text of what a variable begins with; the others with all, or with what is found."""


def variables(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = board["templating"]["list"]
    assert found[0]["query"] == "prometheus"
    return {variable["name"]: variable for variable in found[1:]}


def test_several_can_be_chosen_where_a_panel_keeps_them_apart() -> None:
    several = {
        board["uid"]: {name for name, each in variables(board).items() if each["multi"]}
        for board in BOARDS
    }
    assert several == {
        "helpscout-exporter": ADDED | {"account"},
        "helpscout-mailbox": ADDED,
        "helpscout-overview": ADDED | {"account", "mailbox", "type"},
    }


@EVERY
def test_variables_follow_the_time_and_begin_with_what_most_want(board: dict[str, Any]) -> None:
    for name, variable in variables(board).items():
        assert variable["includeAll"] == variable["multi"], name
        assert variable["refresh"] == 2, "at each change of the time range"
        assert variable["sort"] == 0, "as the query has them: windows by length"
        first = variable.get("current") or {"value": None, "text": None}
        usual = ("$__all", "All") if variable["multi"] else (None, None)
        assert (first["value"], first["text"]) == FIRST.get(name, usual), name
        if name in ADDED:
            assert variable["allValue"] == ".*", "a series may lack the label"


@EVERY
def test_a_variable_offers_what_is_there_under_those_before_it(board: dict[str, Any]) -> None:
    narrowed = {"cluster": set[str](), "namespace": {"cluster"}, "job": {"cluster", "namespace"}}
    for name, variable in variables(board).items():
        query = variable["query"]["query"]
        wanted = narrowed.get(name, ADDED if name in ("account", "window") else ADDED | {"account"})
        assert set(re.findall(r'(\w+)=~"\$\1"', query)) == wanted, name
        assert ("sort(" in query) == (name == "window"), name


OF_A_REPORT = {"account", "mailbox_id", "type", "window", "office_hours", "segment"}
WIDER = {
    "Every mailbox and type": {"mailbox_id", "type"},
    "by segment": {"segment"},
    "Happiness score": {"type", "window", "office_hours", "segment"},
    "Ratings": {"type", "window", "office_hours", "segment"},
}
"""By the end of a panel's title: of which labels it shows every value."""


@EVERY
def test_a_panel_shows_what_is_chosen(board: dict[str, Any]) -> None:
    equal, by_regex = {"window", "office_hours"}, ADDED | {"account", "mailbox", "type", "segment"}
    reports = {family.name for family in catalogue() if set(family.labels) >= OF_A_REPORT}
    for panel, target in targets(board):
        expression = target["expr"]
        for operator, variable in re.findall(r'\w+(=~?)"\$(\w+)"', expression):
            assert variable in (by_regex if operator == "=~" else equal), panel["title"]
        every = next(
            (w for title, w in WIDER.items() if panel["title"].endswith(title)), set[str]()
        )
        if board["uid"] == "helpscout-exporter" or "helpscout_sla_" in expression:
            every = OF_A_REPORT - {"account"}
        for name, labels in selectors(expression):
            if name in SAMPLES and SAMPLES[name][0] in reports:
                assert labels >= OF_A_REPORT - every, panel["title"]


@pytest.mark.parametrize(
    ("name", "labels", "value", "text"),
    [
        ("mailbox", '{mailbox="A, \\"b\\"",mailbox_id="7"}', "7", 'A, \\"b\\"'),
        ("window", '{window="24h"}', "24h", "24h"),
        ("segment", '{choice="^$",shown="the whole mailbox"}', "^$", "the whole mailbox"),
        ("segment", '{choice="vip",shown="vip"}', "vip", "vip"),
    ],
)
def test_a_variable_that_is_read_from_a_series_has_its_value_and_its_text(
    name: str, labels: str, value: str, text: str
) -> None:
    for board in BOARDS[1:]:
        pattern = variables(board)[name]["regex"].strip("/").replace("(?<", "(?P<")
        found = re.search(pattern, labels)
        assert found is not None
        named = found.groupdict() or {"value": found[1], "text": found[1]}
        assert named == {"value": value, "text": text}
