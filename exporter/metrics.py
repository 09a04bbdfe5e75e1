"""The catalogue: every family that the exporter exposes, and where in a report each figure is.

One table drives the exposition, docs/metrics.md and the tests: no family exists without its row.
Names, units and meaning are what users rely on.
"""

from dataclasses import dataclass
from typing import Final

from exporter.reports import HANDLE_TIME_EDGES, REPLIES_EDGES, RESPONSE_TIME_EDGES
from exporter.telemetry import FAMILIES as EXPORTER_FAMILIES
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


@dataclass(frozen=True, slots=True)
class Figure:
    """A single number of `Statistics`: its field there, and its name as label `statistic`."""

    statistic: str
    field: str
    family: Family

    @property
    def previous(self) -> Family:
        """The family of the same figure for the preceding period."""
        return Family(
            self.family.name.replace("helpscout_", "helpscout_previous_", 1),
            "gauge",
            f"The same for the preceding period: {self.family.help}",
            REPORT_LABELS,
            self.family.unit,
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """A distribution of `ProductivityReport`: its field there and the upper edges of its ranges."""

    field: str
    edges: tuple[int, ...]
    family: Family


def _mean(statistic: str, help_: str) -> Figure:
    name = f"helpscout_{statistic}_seconds"
    return Figure(statistic, statistic, Family(name, "gauge", help_, REPORT_LABELS, "seconds"))


def _figure(statistic: str, field: str, help_: str, suffix: str = "", unit: str = "") -> Figure:
    name = f"helpscout_{statistic}{suffix}"
    return Figure(statistic, field, Family(name, "gauge", help_, REPORT_LABELS, unit))


def _shape(field: str, edges: tuple[int, ...], help_: str, unit: str) -> Shape:
    name = f"helpscout_{field}_distribution" + (f"_{unit}" if unit else "")
    return Shape(field, edges, Family(name, "gaugehistogram", help_, (*REPORT_LABELS, "le"), unit))


FIGURES: Final = (
    _mean("response_time", "Mean time customers waited for a reply, over the window"),
    _mean("first_response_time", "Mean time customers waited for the first reply, over the window"),
    _mean(
        "handle_time", "Mean time from opening a conversation to sending the reply, over the window"
    ),
    _mean(
        "resolution_time",
        "Mean time from a conversation's creation to its resolution, over the window",
    ),
    _figure(
        "replies_to_resolve",
        "replies_to_resolve",
        "Mean number of replies before resolution, over the window",
    ),
    _figure("conversations", "conversations", "Conversations in these statistics, over the window"),
    _figure("conversations_resolved", "resolved", "Conversations resolved in the window"),
    _figure(
        "conversations_resolved_on_first_reply",
        "resolved_on_first_reply",
        "Conversations resolved after exactly one reply, over the window",
    ),
    _figure("conversations_closed", "closed", "Conversations closed in the window"),
    _figure("replies_sent", "replies_sent", "Replies to customers, over the window"),
    _figure(
        "resolved_on_first_reply",
        "resolved_on_first_reply_ratio",
        "Share of the resolved conversations that took exactly one reply, 0 to 1",
        "_ratio",
        "ratio",
    ),
)

SHAPES: Final = (
    _shape(
        "response_time",
        RESPONSE_TIME_EDGES,
        "Conversations by response time, cumulative over the window",
        "seconds",
    ),
    _shape(
        "first_response_time",
        RESPONSE_TIME_EDGES,
        "Conversations by first response time, cumulative over the window",
        "seconds",
    ),
    _shape(
        "handle_time",
        HANDLE_TIME_EDGES,
        "Conversations by handle time, cumulative over the window",
        "seconds",
    ),
    _shape(
        "replies_to_resolve",
        REPLIES_EDGES,
        "Conversations by replies to resolve, cumulative over the window",
        "",
    ),
)

RESOLUTION_BY_REPLIES: Final = Family(
    "helpscout_resolution_time_by_replies_seconds",
    "gauge",
    "Mean resolution time of the conversations resolved with so many replies, over the window",
    (*REPORT_LABELS, "replies"),
    "seconds",
)
REPLIES_VALUES: Final = ("1", "2", "3", "4", "5+")

CHANGE: Final = Family(
    "helpscout_change_ratio",
    "gauge",
    "Change against the preceding period: current / previous - 1",
    (*REPORT_LABELS, "statistic"),
    "ratio",
)

_SLA_LABELS: Final = (*REPORT_LABELS, "sla", "horizon")
SLA_COMPLIANCE: Final = Family(
    "helpscout_sla_compliance_ratio",
    "gauge",
    "Share of the conversations within the SLA's target, 0 to 1",
    _SLA_LABELS,
    "ratio",
)
SLA_CONVERSATIONS: Final = Family(
    "helpscout_sla_conversations",
    "gauge",
    "Conversations that the SLA's compliance is a share of",
    _SLA_LABELS,
)

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

CATALOGUE: Final = (
    *(figure.family for figure in FIGURES),
    *(shape.family for shape in SHAPES),
    RESOLUTION_BY_REPLIES,
    *(figure.previous for figure in FIGURES),
    CHANGE,
    SLA_COMPLIANCE,
    SLA_CONVERSATIONS,
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
    *EXPORTER_FAMILIES,
)
"""Every family, in the order of the exposition."""
