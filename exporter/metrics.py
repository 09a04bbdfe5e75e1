"""The families about accounts, configuration and how the asking goes; figures are the collectors'.

Names, units and meaning are what users rely on.
"""

from typing import Final

from exporter.telemetry import Family

REPORT_LABELS: Final = (
    "account",
    "mailbox",
    "mailbox_id",
    "type",
    "window",
    "office_hours",
    "segment",
)
"""The labels that a key and the name of its mailbox make."""

LAST_SUCCESS: Final = Family(
    "helpscout_report_last_success_timestamp_seconds",
    "gauge",
    "Unix time of the report's last success; kept also when its data is too old to export",
    ("collector", *REPORT_LABELS),
    "seconds",
)
SUCCESS: Final = Family(
    "helpscout_report_success",
    "gauge",
    "Whether the last attempt to get the report succeeded, retries included",
    ("collector", *REPORT_LABELS),
)

SLA_OBJECTIVE: Final = Family(
    "helpscout_sla_objective_ratio",
    "gauge",
    "Share of conversations that the SLA promises within its target, from the configuration",
    ("sla",),
    "ratio",
)
SLA_TARGET_SECONDS: Final = Family(
    "helpscout_sla_target_seconds",
    "gauge",
    "The SLA's target, from the configuration",
    ("sla", "statistic"),
    "seconds",
)
SLA_TARGET_REPLIES: Final = Family(
    "helpscout_sla_target_replies",
    "gauge",
    "The SLA's target in replies, from the configuration",
    ("sla", "statistic"),
)
WINDOW: Final = Family(
    "helpscout_window_seconds",
    "gauge",
    "Length of a window, from the configuration",
    ("window",),
    "seconds",
)
MAILBOX_INFO: Final = Family(
    "helpscout_mailbox_info",
    "gauge",
    "A mailbox that is reported on; always 1",
    ("account", "mailbox", "mailbox_id", "slug", "email"),
)
UP: Final = Family(
    "helpscout_up",
    "gauge",
    "Whether Help Scout answers for the account; the mailbox list is asked where reports fail",
    ("account",),
)
COLLECTOR_UP: Final = Family(
    "helpscout_collector_up",
    "gauge",
    "Whether any plain report of the collector arrives; 0 where all of them failed last",
    ("account", "collector"),
)
PROBLEM: Final = Family(
    "helpscout_account_problem",
    "gauge",
    "What is the matter with the account: 1 while it lasts",
    ("account", "reason"),
)

SEGMENT_RESOLVED: Final = Family(
    "helpscout_segment_resolved",
    "gauge",
    "Whether the segment's tags and folders are known; 0: it has no figures, or soon will not",
    ("account", "segment"),
)

OFFICE_OPEN: Final = Family(
    "helpscout_office_hours_open",
    "gauge",
    "Whether the team works now, by the account's office_schedule; absent without one",
    ("account",),
)

FAMILIES: Final = (
    LAST_SUCCESS,
    SUCCESS,
    SLA_OBJECTIVE,
    SLA_TARGET_SECONDS,
    SLA_TARGET_REPLIES,
    WINDOW,
    MAILBOX_INFO,
    UP,
    COLLECTOR_UP,
    PROBLEM,
    SEGMENT_RESOLVED,
    OFFICE_OPEN,
)
"""In the order of the exposition."""
