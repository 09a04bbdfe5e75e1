"""*Exporter*: are the figures fresh, is Help Scout in reach, does the plan fit the budget?"""

from scripts.dashboards.board import Board, Query, choice, red_from, source

_REPORT = "account, mailbox, mailbox_id, type, window, office_hours, segment"
_ACCOUNT = '{account=~"$account"}'
_JOB = '{job=~"$job"}'
_UP = "helpscout_up"
_E = "helpscout_exporter_"
_AGE = f"(time() - max by ({_REPORT}) (helpscout_report_last_success_timestamp_seconds{_ACCOUNT}))"
_INTERVAL = (
    "on (account, window) group_left () "
    f"max by (account, window) ({_E}report_interval_seconds{_ACCOUNT})"
)


_OPEN_FILES = (
    f"max by (job, instance) (process_open_fds{_JOB})"
    f" / max by (job, instance) (process_max_fds{_JOB})"
)


def exporter() -> Board:
    """Return the dashboard."""
    board = Board(
        "helpscout-exporter",
        "Help Scout / Exporter",
        "The exporter itself: freshness, calls, budget, schedule, processes.",
        [
            source(),
            choice("job", "Job", f"label_values({_E}build_info, job)", "$__all", many=True),
            choice("account", "Account", f"label_values({_UP}, account)", "$__all", many=True),
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
        "Whether each account works: login, mailbox list, and any report in the last minute.",
        Query(f"max by (account) (helpscout_up{_ACCOUNT})", "{{account}}"),
        {"0": ("no data", "red"), "1": ("works", "green")},
    )
    board.states(
        "Problems",
        "What is the matter with each account, while it lasts.",
        Query(
            f"max by (account, reason) (helpscout_account_problem{_ACCOUNT})",
            "{{account}} {{reason}}",
        ),
        {"0": ("no", "transparent"), "1": ("yes", "red")},
    )


def _freshness(board: Board) -> None:
    board.row("Freshness")
    board.timeseries(
        "Oldest report by window",
        "How long ago the most overdue report of a window last came.",
        "s",
        Query(f"max by (account, window) ({_AGE})", "{{account}} {{window}}"),
    )
    board.timeseries(
        "Oldest report in intervals",
        "The same as a multiple of how often it should come, stretch included. An alert is due "
        "above 4; above `stale_after` (3) its figures are no longer shown.",
        "none",
        Query(f"max by (account, window) ({_AGE} / {_INTERVAL})", "{{account}} {{window}}"),
        thresholds=red_from(3),
    )
    board.table(
        "Every report",
        "When each report last came, as age and in intervals, and whether the last attempt "
        "succeeded. Filter by the headings.",
        "s",
        {
            "Age": Query(_AGE, instant=True, table=True),
            "Intervals": Query(f"{_AGE} / {_INTERVAL}", instant=True, table=True),
            "Last attempt": Query(
                f"max by ({_REPORT}) (helpscout_report_success{_ACCOUNT})",
                instant=True,
                table=True,
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
        "Calls a second by HTTP status, or by the reason where no answer came.",
        "reqps",
        Query(
            f"sum by (account, code) (rate({requests}[$__rate_interval]))", "{{account}} {{code}}"
        ),
    )
    board.timeseries(
        "Calls by endpoint",
        "Calls a second by what was asked.",
        "reqps",
        Query(
            f"sum by (account, endpoint) (rate({requests}[$__rate_interval]))",
            "{{account}} {{endpoint}}",
        ),
    )
    board.timeseries(
        "Duration",
        "How long calls take, failed ones included: the median, the slowest 1% and the mean.",
        "s",
        *(
            Query(
                f"histogram_quantile({quantile}, sum by (account, le)"
                f" (rate({seconds}_bucket{_ACCOUNT}[$__rate_interval])))",
                f"{{{{account}}}} {name}",
            )
            for quantile, name in ((0.5, "p50"), (0.99, "p99"))
        ),
        Query(
            f"sum by (account) (rate({seconds}_sum{_ACCOUNT}[$__rate_interval]))"
            f" / sum by (account) (rate({seconds}_count{_ACCOUNT}[$__rate_interval]))",
            "{{account}} mean",
        ),
    )
    none = f"0 * max by (account) (helpscout_up{_ACCOUNT})"
    board.timeseries(
        "Repeated and refused",
        "Calls a minute that were repeated, by what had gone wrong, and those that Help Scout "
        "refused because the account's limit was used up.",
        "cpm",
        Query(
            f"60 * sum by (account, reason)"
            f" (rate({_E}api_retries_total{_ACCOUNT}[$__rate_interval])) or {none}",
            "{{account}} repeated {{reason}}",
        ),
        Query(
            f"60 * sum by (account) (rate({_E}throttled_total{_ACCOUNT}[$__rate_interval]))"
            f" or {none}",
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
        Query(f"max by (account) ({_E}rate_limit_per_minute{_ACCOUNT})", "{{account}} limit"),
        Query(f"min by (account) ({_E}rate_limit_remaining{_ACCOUNT})", "{{account}} left"),
        Query(f"max by (account) ({_E}rate_budget_per_minute{_ACCOUNT})", "{{account}} budget"),
        Query(
            f"60 * sum by (account) (rate({_E}api_requests_total{_ACCOUNT}[$__rate_interval]))",
            "{{account}} used",
        ),
    )
    board.timeseries(
        "Stretch",
        "By how much intervals are longer than configured, so that the plan fits the budget. 1: it "
        "fits.",
        "none",
        Query(f"max by (account) ({_E}schedule_stretch_ratio{_ACCOUNT})", "{{account}}"),
        thresholds=red_from(1.2),
    )
    board.timeseries(
        "Lag",
        "How long the most overdue report has been waiting for its turn.",
        "s",
        Query(f"max by (account) ({_E}schedule_lag_seconds{_ACCOUNT})", "{{account}}"),
        thresholds=red_from(900),
    )
    board.timeseries(
        "Interval",
        "How often the reports of a window are asked, stretch included.",
        "s",
        Query(
            f"max by (account, window) ({_E}report_interval_seconds{_ACCOUNT})",
            "{{account}} {{window}}",
        ),
    )
    board.timeseries(
        "Reports",
        "How many reports are asked regularly, by one process; shards by mailbox have some each.",
        "short",
        Query(
            f"max by (account, window) ({_E}reports{_ACCOUNT})",
            "{{account}} {{window}}",
        ),
    )


def _processes(board: Board) -> None:
    board.row("Processes")
    board.table(
        "Processes",
        "Version of each process, its shard and the number of shards.",
        "none",
        {
            "Shard": Query(
                f"max by (job, instance, version, revision, python) ({_E}build_info{_JOB})"
                " * on (job, instance) group_left ()"
                f" max by (job, instance) ({_E}shard_index{_JOB})",
                instant=True,
                table=True,
            ),
            "Shards": Query(
                f"max by (job, instance, version, revision, python) ({_E}build_info{_JOB})"
                f" * on (job, instance) group_left () max by (job, instance) ({_E}shards{_JOB})",
                instant=True,
                table=True,
            ),
        },
        labels={
            "job": "Job",
            "instance": "Process",
            "version": "Version",
            "revision": "Revision",
            "python": "Python",
        },
        width=12,
    )
    board.table(
        "Configuration",
        "Whether the last reload succeeded, and how long ago the last success was.",
        "s",
        {
            "Loaded": Query(
                f"max by (job, instance) ({_E}config_last_reload_successful{_JOB})",
                instant=True,
                table=True,
            ),
            "Since": Query(
                "time() - max by (job, instance)"
                f" ({_E}config_last_reload_success_timestamp_seconds{_JOB})",
                instant=True,
                table=True,
            ),
        },
        labels={"job": "Job", "instance": "Process"},
        overrides={"Loaded": {"unit": "bool_yes_no"}},
        width=12,
    )
    for title, description, unit, expr in (
        (
            "Processor",
            "Processor time used, in cores.",
            "none",
            f"max by (job, instance) (rate(process_cpu_seconds_total{_JOB}[$__rate_interval]))",
        ),
        (
            "Memory",
            "Resident memory.",
            "bytes",
            f"max by (job, instance) (process_resident_memory_bytes{_JOB})",
        ),
        (
            "Open files",
            "Open file descriptors, as a share of the limit.",
            "percentunit",
            _OPEN_FILES,
        ),
        (
            "Running for",
            "Time since the process started.",
            "s",
            f"time() - max by (job, instance) (process_start_time_seconds{_JOB})",
        ),
    ):
        board.timeseries(title, description, unit, Query(expr, "{{instance}}"), width=6)
