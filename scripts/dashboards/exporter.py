"""*Exporter*: are the figures fresh, is Help Scout in reach, does the plan fit the budget?"""

from scripts.dashboards.board import Board, Query, choice, red_from
from scripts.dashboards.parts import IDENTITY, OF_A_WINDOW, PROCESS, TARGET, once, targets

_ACCOUNT = f'{{{TARGET}, account=~"$account"}}'
_TARGET = f"{{{TARGET}}}"
_UP = "helpscout_up"
_E = "helpscout_exporter_"
_AGE = f"time() - helpscout_report_last_success_timestamp_seconds{_ACCOUNT}"
_OF_A_MAILBOX = OF_A_WINDOW.removeprefix("account, ").split(", ")
"""What a report has and the most overdue one of an account, collector and window has not."""
_INTERVALS = (
    f"({_AGE}) / ignoring ({', '.join(_OF_A_MAILBOX)}) group_left ()"
    f" {_E}report_interval_seconds{_ACCOUNT}"
)


def _each(expr: str) -> str:
    """Return `expr` for each process: without what names it apart from `instance`."""
    return f"max without ({PROCESS.removeprefix('instance, ')}) ({expr})"


def exporter() -> Board:
    """Return the dashboard."""
    board = Board(
        "helpscout-exporter",
        "Help Scout / Exporter",
        "The exporter itself: freshness, calls, budget, schedule, processes.",
        [
            *targets(f"{_E}build_info"),
            choice(
                "account",
                "Account",
                f"label_values({_UP}{_TARGET}, account)",
                "$__all",
                many=True,
            ),
        ],
        since="now-6h",
    )
    _health(board)
    _freshness(board)
    _calls(board)
    _budget(board)
    _processes(board)
    return board


def _health(board: Board) -> None:
    board.row("Health")
    board.states(
        "Accounts",
        "Whether Help Scout answers for each account. Where several processes ask for one, the "
        "worst of them.",
        Query(once("min", f"helpscout_up{_ACCOUNT}"), "{{account}}"),
        {"0": ("no answer", "red"), "1": ("answers", "green")},
    )
    board.states(
        "Collectors",
        "Whether any plain report of a collector arrives. It may be 0 while the account answers: "
        "where the plan has no reports, for one.",
        Query(once("min", f"helpscout_collector_up{_ACCOUNT}"), "{{account}} {{collector}}"),
        {"0": ("all reports fail", "red"), "1": ("reports arrive", "green")},
    )
    board.states(
        "Segments",
        "Whether the tags and folders of each segment are known to Help Scout. Where they are not, "
        "it has no figures.",
        Query(once("min", f"helpscout_segment_resolved{_ACCOUNT}"), "{{account}} {{segment}}"),
        {"0": ("unknown", "red"), "1": ("known", "green")},
    )
    board.states(
        "Problems",
        "What is the matter with each account, while it lasts.",
        Query(
            once("max", f"helpscout_account_problem{_ACCOUNT}"),
            "{{account}} {{reason}}",
        ),
        {"0": ("no", "transparent"), "1": ("yes", "red")},
    )


def _freshness(board: Board) -> None:
    board.row("Freshness")
    board.timeseries(
        "Oldest report by window",
        "How long ago the most overdue report of a window last arrived.",
        "s",
        Query(once("max", _AGE, *_OF_A_MAILBOX), "{{account}} {{collector}} {{window}}"),
    )
    board.timeseries(
        "Oldest report in intervals",
        "The same as a multiple of how often it should arrive, stretch included. An alert is due "
        "above 4; above `stale_after` (3) its figures are no longer shown.",
        "none",
        Query(once("max", _INTERVALS, *_OF_A_MAILBOX), "{{account}} {{collector}} {{window}}"),
        thresholds=red_from(3),
    )
    board.table(
        "Every report",
        "When each report last arrived, as age and in intervals, and whether the last attempt "
        "succeeded. Filter by the headings.",
        "s",
        {
            # Of two replicas the one that has the report counts, as in the figures.
            "Age": Query(once("min", _AGE), instant=True, table=True),
            "Intervals": Query(once("min", _INTERVALS), instant=True, table=True),
            "Last attempt": Query(
                once("max", f"helpscout_report_success{_ACCOUNT}"), instant=True, table=True
            ),
        },
        labels={
            "account": "Account",
            "mailbox": "Mailbox",
            "mailbox_id": "Id",
            "type": "Type",
            "window": "Window",
            "office_hours": "Office hours",
            "segment": "Segment",
            "collector": "Collector",
            **IDENTITY,
        },
        overrides={
            "Intervals": {"unit": "none", "decimals": 1},
            "Last attempt": {"unit": "bool_yes_no"},
        },
    )


def _calls(board: Board) -> None:
    board.row("Calls to Help Scout")
    requests, seconds = f"{_E}api_requests_total{_ACCOUNT}", f"{_E}api_request_duration_seconds"
    board.timeseries(
        "Calls by code",
        "Calls a minute by HTTP status, or by the reason where no answer arrived.",
        "cpm",
        Query(
            once("sum", f"60 * rate({requests}[$__rate_interval])", "operation"),
            "{{account}} {{code}}",
        ),
    )
    board.timeseries(
        "Calls by operation",
        "Calls a minute by what was asked.",
        "cpm",
        Query(
            once("sum", f"60 * rate({requests}[$__rate_interval])", "code"),
            "{{account}} {{operation}}",
        ),
    )
    board.timeseries(
        "Duration",
        "How long calls take, failed ones included: the median, the slowest 1% and the mean.",
        "s",
        *(
            Query(
                f"histogram_quantile({quantile}, "
                + once("sum", f"rate({seconds}_bucket{_ACCOUNT}[$__rate_interval])", "operation")
                + ")",
                f"{{{{account}}}} {name}",
            )
            for quantile, name in ((0.5, "p50"), (0.99, "p99"))
        ),
        Query(
            " / ".join(
                once("sum", f"rate({seconds}_{part}{_ACCOUNT}[$__rate_interval])", "operation")
                for part in ("sum", "count")
            ),
            "{{account}} mean",
        ),
    )
    none = once("max", f"0 * helpscout_up{_ACCOUNT}")
    board.timeseries(
        "Repeated and refused",
        "Calls a minute that were repeated, by what had gone wrong, and those that Help Scout "
        "refused because the account's limit was used up.",
        "cpm",
        Query(
            once("sum", f"60 * rate({_E}api_retries_total{_ACCOUNT}[$__rate_interval])")
            + f" or {none}",
            "{{account}} repeated {{reason}}",
        ),
        Query(
            once("sum", f"60 * rate({_E}throttled_total{_ACCOUNT}[$__rate_interval])")
            + f" or {none}",
            "{{account}} refused",
        ),
    )


def _budget(board: Board) -> None:
    board.row("Budget and schedule")
    board.timeseries(
        "Budget",
        "Calls a minute: the account's limit, what is left of the current minute, what the "
        "exporter allows itself, and what it uses.",
        "cpm",
        Query(once("max", f"{_E}rate_limit_per_minute{_ACCOUNT}"), "{{account}} limit"),
        Query(once("min", f"{_E}rate_limit_remaining{_ACCOUNT}"), "{{account}} left"),
        Query(once("max", f"{_E}rate_budget_per_minute{_ACCOUNT}"), "{{account}} budget"),
        Query(
            once(
                "sum",
                f"60 * rate({_E}api_requests_total{_ACCOUNT}[$__rate_interval])",
                "operation",
                "code",
            ),
            "{{account}} used",
        ),
    )
    board.timeseries(
        "Stretch",
        "By how much intervals are longer than configured, so that the plan fits the budget. 1: it "
        "fits.",
        "none",
        Query(once("max", f"{_E}schedule_stretch_ratio{_ACCOUNT}"), "{{account}}"),
        thresholds=red_from(1.2),
    )
    board.timeseries(
        "Lag",
        "How long the most overdue report has been waiting for its turn.",
        "s",
        Query(once("max", f"{_E}schedule_lag_seconds{_ACCOUNT}"), "{{account}}"),
        thresholds=red_from(900),
    )
    board.timeseries(
        "Interval",
        "How often the reports of a window are asked, stretch included.",
        "s",
        Query(
            once("max", f"{_E}report_interval_seconds{_ACCOUNT}"),
            "{{account}} {{collector}} {{window}}",
        ),
    )
    board.timeseries(
        "Reports",
        "How many reports are asked regularly, by one process; shards by mailbox have some each.",
        "short",
        Query(
            once("max", f"{_E}reports{_ACCOUNT}"),
            "{{account}} {{collector}} {{window}}",
        ),
    )


def _processes(board: Board) -> None:
    board.row("Processes")
    build = f"{_E}build_info{_TARGET} * ignoring (version, revision, python) group_left ()"
    labels = {"instance": "Process", **IDENTITY}
    board.table(
        "Processes",
        "Version of each process, its shard and the number of shards.",
        "none",
        {
            "Shard": Query(_each(f"{build} {_E}shard_index{_TARGET}"), instant=True, table=True),
            "Shards": Query(_each(f"{build} {_E}shards{_TARGET}"), instant=True, table=True),
        },
        labels={"version": "Version", "revision": "Revision", "python": "Python", **labels},
        width=12,
    )
    board.table(
        "Configuration",
        "Whether the last reload succeeded, how long ago the last success was, and whether the"
        " state file, if there is one, can be read and written.",
        "s",
        {
            "Loaded": Query(
                _each(f"{_E}config_last_reload_successful{_TARGET}"), instant=True, table=True
            ),
            "Since": Query(
                _each(f"time() - {_E}config_last_reload_success_timestamp_seconds{_TARGET}"),
                instant=True,
                table=True,
            ),
            "State file": Query(_each(f"{_E}state_file_ok{_TARGET}"), instant=True, table=True),
        },
        labels=labels,
        overrides={"Loaded": {"unit": "bool_yes_no"}, "State file": {"unit": "bool_yes_no"}},
        width=12,
    )
    for title, description, unit, expr in (
        (
            "Processor",
            "Processor time used, in cores.",
            "none",
            f"rate(process_cpu_seconds_total{_TARGET}[$__rate_interval])",
        ),
        ("Memory", "Resident memory.", "bytes", f"process_resident_memory_bytes{_TARGET}"),
        (
            "Open files",
            "Open file descriptors, as a share of the limit.",
            "percentunit",
            f"process_open_fds{_TARGET} / process_max_fds{_TARGET}",
        ),
        (
            "Running for",
            "Time since the process started.",
            "s",
            f"time() - process_start_time_seconds{_TARGET}",
        ),
    ):
        # Every process of the chosen jobs: one that exports no account is one of ours, too.
        ours = f"{expr} and on (job, instance) {_E}build_info{_TARGET}"
        board.timeseries(title, description, unit, Query(_each(ours), "{{instance}}"), width=6)
