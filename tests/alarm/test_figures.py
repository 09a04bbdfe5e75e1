"""What the panels compute: each query over series by hand, where one number is right."""

import re
from pathlib import Path
from typing import NamedTuple

from tests.alarm.test_dashboards import BOARDS, assert_computed, steady
from tests.alarm.test_panels import column, targets
from tests.servers import EACH_VERSION

ALL = ".*"
AT = 300
"""When the panels are looked at, in seconds from the start."""


def series(name: str, value: float | str, **labels: str) -> dict[str, str]:
    """Return a series that stays at a number, or a counter: `6 a minute`."""
    begins = f"0+{value.split()[0]}" if isinstance(value, str) else value
    return steady(name, begins, **({"job": "h", "instance": "a"} | labels))


def each(
    name: str, label: str, values: dict[str, float | str], **labels: str
) -> list[dict[str, str]]:
    """Return a series for each value of a label."""
    return [series(name, value, **{**labels, label: text}) for text, value in values.items()]


class Case(NamedTuple):
    """A panel's query, by the column or the last words of its line, with what it is of.

    `over` makes one number of the result: what it finds where it is one series, for the most part.
    """

    board: str
    panel: str
    line: str
    given: list[dict[str, str]]
    number: float
    chosen: tuple[str, ...] = ()
    over: str = "sum"


E = "helpscout_exporter_"
A = {"account": "acme"}
BOX = A | {"mailbox_id": "1"}
WHOLE = BOX | {"type": "all", "segment": "", "office_hours": "false"}
REPORT = WHOLE | {"collector": "productivity", "window": "7d"}
UP, LAST = "helpscout_up", "helpscout_report_last_success_timestamp_seconds"
QUEUE, WAITS = "helpscout_queue_conversations", "helpscout_sla_waiting_conversations"
SLA = WHOLE | {"sla": "s", "window": "7d", "horizon": "short"}


def replicas(name: str, a: float, b: float, **labels: str) -> list[dict[str, str]]:
    return each(name, "instance", {"a": a, "b": b}, **labels)


def margins(number: int) -> list[dict[str, str]]:
    """Return so many mailboxes' shares, each a percent better than the one before."""
    return [
        series("helpscout_sla_objective_ratio", 0.5, sla="s"),
        *(
            each
            for n in range(number)
            for each in (
                series("helpscout_sla_compliance_ratio", n / 100, **(SLA | {"mailbox_id": str(n)})),
                series("helpscout_sla_conversations", 20, **(SLA | {"mailbox_id": str(n)})),
            )
        ),
    ]


def calls() -> list[dict[str, str]]:
    """Return two processes' counters of two operations and two codes, 6 calls a minute each."""
    return [
        series(f"{E}api_requests_total", "6 a minute", operation=o, code=c, instance=i, **A)
        for o in ("report", "token")
        for c in ("200", "503")
        for i in ("a", "b")
    ]


BUILD = series(f"{E}build_info", 1, version="1", revision="r", python="3")
FOREIGN = {"instance": "another"}
"""Of the same job, and not an exporter of ours."""

EXPORTER = "helpscout-exporter"
CASES = {
    "an account that one process cannot reach": Case(
        EXPORTER, "Accounts", "", replicas(UP, 1, 0, **A), 0
    ),
    "a collector that one process gets nothing of": Case(
        EXPORTER,
        "Collectors",
        "",
        replicas("helpscout_collector_up", 1, 0, collector="folders", **A),
        0,
    ),
    "a segment that one process does not know": Case(
        EXPORTER,
        "Segments",
        "",
        replicas("helpscout_segment_resolved", 1, 0, segment="vip", **A),
        0,
    ),
    "a problem that one process has": Case(
        EXPORTER, "Problems", "", replicas("helpscout_account_problem", 1, 0, reason="plan", **A), 1
    ),
    "the oldest of a window's reports": Case(
        EXPORTER,
        "Oldest report by window",
        "",
        each(LAST, "mailbox_id", {"1": 60, "2": 200}, **(REPORT | {"mailbox_id": ""})),
        240,
    ),
    "the oldest of a window's reports in intervals": Case(
        EXPORTER,
        "Oldest report in intervals",
        "",
        [
            *each(LAST, "mailbox_id", {"1": 60, "2": 200}, **REPORT),
            series(f"{E}report_interval_seconds", 60, collector="productivity", window="7d", **A),
        ],
        4,
    ),
    "the age of a report is that of the replica that has it": Case(
        EXPORTER, "Every report", "Age", replicas(LAST, 100, 250, **REPORT), 50
    ),
    "the same in intervals": Case(
        EXPORTER,
        "Every report",
        "Intervals",
        [
            *replicas(LAST, 100, 250, **REPORT),
            *replicas(
                f"{E}report_interval_seconds", 50, 50, collector="productivity", window="7d", **A
            ),
        ],
        1,
    ),
    "calls a minute of a code": Case(EXPORTER, "Calls by code", "", calls(), 24, over="max"),
    "calls a minute of an operation": Case(
        EXPORTER, "Calls by operation", "", calls(), 24, over="max"
    ),
    "calls a minute of an account": Case(EXPORTER, "Budget", "used", calls(), 48),
    "the mean of the duration": Case(
        EXPORTER,
        "Duration",
        "mean",
        [
            series(f"{E}api_request_duration_seconds_sum", "12 a minute", operation="report", **A),
            series(f"{E}api_request_duration_seconds_count", "6 a minute", operation="report", **A),
        ],
        2,
    ),
    "no call was repeated so far": Case(
        EXPORTER, "Repeated and refused", "repeated {{reason}}", replicas(UP, 1, 1, **A), 0
    ),
    "calls that were repeated": Case(
        EXPORTER,
        "Repeated and refused",
        "repeated {{reason}}",
        each(
            f"{E}api_retries_total",
            "instance",
            {"a": "3 a minute", "b": "1 a minute"},
            reason="x",
            **A,
        ),
        4,
    ),
    "no call was refused so far": Case(
        EXPORTER, "Repeated and refused", "refused", replicas(UP, 1, 1, **A), 0
    ),
    "calls that were refused": Case(
        EXPORTER,
        "Repeated and refused",
        "refused",
        each(f"{E}throttled_total", "instance", {"a": "3 a minute", "b": "1 a minute"}, **A),
        4,
    ),
    "what is left is what the last to ask was told": Case(
        EXPORTER, "Budget", "left", replicas(f"{E}rate_limit_remaining", 300, 100, **A), 100
    ),
    "how long ago a configuration was loaded": Case(
        EXPORTER,
        "Configuration",
        "Since",
        [series(f"{E}config_last_reload_success_timestamp_seconds", 60)],
        240,
    ),
    "the cores that a process uses": Case(
        EXPORTER, "Processor", "", [BUILD, series("process_cpu_seconds_total", "30 a minute")], 0.5
    ),
    "the memory of our own processes": Case(
        EXPORTER,
        "Memory",
        "",
        [
            BUILD,
            series("process_resident_memory_bytes", 7),
            series("process_resident_memory_bytes", 100, **FOREIGN),
        ],
        7,
    ),
    "the share of files that are open": Case(
        EXPORTER,
        "Open files",
        "",
        [BUILD, series("process_open_fds", 10), series("process_max_fds", 40)],
        0.25,
    ),
    "how long a process has run": Case(
        EXPORTER, "Running for", "", [BUILD, series("process_start_time_seconds", 60)], 240
    ),
}
IN_QUEUES = [
    series(QUEUE, number, queue=queue, state=state, mailbox_id=box, instance=instance, **A)
    for queue, state, number in (
        ("unassigned", "active", 3),
        ("assigned", "active", 2),
        ("unassigned", "pending", 50),
        ("spam", "all", 500),
    )
    for box in ("1", "2")
    for instance in ("a", "b")
]
SINCE, NUMBER = "helpscout_waiting_since_timestamp_seconds", "helpscout_waiting_conversations"
OTHERS = [WHOLE | {"type": "email"}, WHOLE | {"segment": "vip"}, WHOLE | {"office_hours": "true"}]
"""Cuts of what waits."""
for uid in ("helpscout-mailbox", "helpscout-overview"):
    CASES |= {
        f"{uid}: the queues of a mailbox": Case(
            uid, "In the queue", "", IN_QUEUES, 5, ("mailbox=1",)
        ),
        f"{uid}: the queues of all mailboxes, which together have none": Case(
            uid, "In the queue", "", IN_QUEUES, 10, ("mailbox=all",)
        ),
        f"{uid}: the longest wait": Case(
            uid,
            "Longest wait",
            "",
            [series(SINCE, 60, **WHOLE), *(series(SINCE, 250, **other) for other in OTHERS)],
            240,
        ),
        f"{uid}: who waits": Case(
            uid,
            "Customers who wait",
            "",
            [series(NUMBER, 7, **WHOLE), *(series(NUMBER, 3, **other) for other in OTHERS)],
            7,
        ),
        f"{uid}: who waits for too long": Case(
            uid,
            "Beyond target",
            "",
            each(WAITS, "threshold", {"target": 3, "at_risk": 5}, sla="s", **WHOLE),
            3,
        ),
    }
OVERVIEW = "helpscout-overview"
CHANGES = [
    series("helpscout_change_ratio", n / 10, **(REPORT | {"mailbox_id": str(n), "statistic": "x"}))
    for n in range(60)
]
FOUR = ("response_time", "first_response_time", "handle_time", "replies_to_resolve")
CASES |= {
    "what was promised, whatever was kept": Case(
        OVERVIEW, "Service levels", "Objective", margins(30), 0.5, over="max"
    ),
    "the margin of the replica that is worse off": Case(
        OVERVIEW,
        "Service levels",
        "Margin",
        [
            *replicas("helpscout_sla_objective_ratio", 0.5, 0.5, sla="s"),
            *replicas("helpscout_sla_compliance_ratio", 0.4, 0.7, **SLA),
            *replicas("helpscout_sla_conversations", 20, 20, **SLA),
        ],
        -0.1,
    ),
    "the first window of an SLA": Case(
        OVERVIEW,
        "Within target, short horizon",
        "account}} {{mailbox}} {{type}}",
        each("helpscout_sla_compliance_ratio", "horizon", {"short": 0.4, "long": 0.5}, **SLA),
        0.4,
    ),
    "twenty margins are drawn": Case(OVERVIEW, "Least margin", "", margins(30), 20, over="count"),
    "those that are least": Case(OVERVIEW, "Least margin", "", margins(30), -0.31, over="max"),
    "the fastest burn": Case(
        OVERVIEW, "Burn rate", "", replicas("helpscout:sla_burn_ratio", 1, 2, **SLA), 2
    ),
    "the least error budget": Case(
        OVERVIEW,
        "Error budget left",
        "",
        replicas("helpscout:sla_error_budget_ratio", 0.1, 0.2, **SLA),
        0.1,
    ),
    "the fewest misses left": Case(
        OVERVIEW,
        "Misses left",
        "",
        replicas("helpscout:sla_error_budget_conversations", 1, 2, **SLA),
        1,
    ),
    "the lower score": Case(
        OVERVIEW, "Happiness score", "", replicas("helpscout_happiness_score", -5, 5, **REPORT), -5
    ),
    "replies an hour": Case(
        OVERVIEW,
        "Replies per hour",
        "",
        [
            series("helpscout_replies_sent", 84, window="7d", **WHOLE),
            series("helpscout_window_seconds", 604_800, window="7d"),
        ],
        0.5,
    ),
    "the changes that are largest": Case(OVERVIEW, "Change now", "", CHANGES, 4, over="min"),
    "the changes of the four figures": Case(
        OVERVIEW,
        "Change of the four figures",
        "",
        each("helpscout_change_ratio", "statistic", dict.fromkeys((*FOUR, "closed"), 1), **REPORT),
        4,
    ),
    "every mailbox and type, whatever is chosen": Case(
        OVERVIEW,
        "Every mailbox and type",
        "Conversations",
        [
            series("helpscout_conversations", 1, **(REPORT | {"mailbox_id": box, "type": kind}))
            for box in ("1", "2")
            for kind in ("email", "chat")
        ],
        4,
        ("mailbox=1", "type=email"),
    ),
    "every segment, whatever is chosen": Case(
        "helpscout-mailbox",
        "Conversations by segment",
        "",
        each("helpscout_conversations", "segment", {"": 1, "vip": 2}, **REPORT),
        3,
        ("segment=vip",),
    ),
}


def expression(case: Case) -> str:
    """Return the case's query, with everything chosen where the case chooses nothing."""
    (found,) = [
        target["expr"]
        for board in BOARDS
        if board["uid"] == case.board
        for panel, target in targets(board)
        if panel["title"] == case.panel
        and (column(panel, target) or target["legendFormat"]).endswith(case.line)
    ]
    chosen = dict(each.split("=") for each in case.chosen)
    text = found.replace("$__rate_interval", "4m")
    return re.sub(r'=~?"\$(\w+)"', lambda name: f'=~"{chosen.get(name[1], ALL)}"', text)


@EACH_VERSION
def test_each_panel_computes_what_it_says(version: str, tmp_path: Path) -> None:
    tests = [
        {
            "name": name,
            "interval": "1m",
            "input_series": case.given,
            "promql_expr_test": [
                {
                    "expr": f"round({case.over}({expression(case)}), 0.001)",
                    "eval_time": f"{AT}s",
                    "exp_samples": [{"labels": "{}", "value": case.number}],
                }
            ],
        }
        for name, case in CASES.items()
    ]
    assert_computed(tmp_path, tests, version)
