"""The families of the productivity report, and where in a report each figure is.

One table drives the exposition, docs/metrics.md and the tests: no family exists without its row.
"""

from dataclasses import dataclass
from typing import Final

from exporter.metrics import REPORT_LABELS
from exporter.sla import EDGES, bounds
from exporter.telemetry import Family


@dataclass(frozen=True, slots=True)
class Figure:
    """A single number of `Statistics`: its field there, and its name as label `statistic`.

    `previous` is the family of the same figure for the preceding period.
    """

    statistic: str
    field: str
    family: Family
    previous: Family


@dataclass(frozen=True, slots=True)
class Shape:
    """A distribution of `ProductivityReport`, which is a field there and a statistic of an SLA."""

    field: str
    family: Family
    bounds: tuple[str, ...]
    """The values of the label `le`."""


def _mean(statistic: str, help_: str) -> Figure:
    return _figure(statistic, statistic, help_, "_seconds", "seconds")


def _figure(statistic: str, field: str, help_: str, suffix: str = "", unit: str = "") -> Figure:
    name = f"{statistic}{suffix}"
    before = f"The same for the preceding period: {help_}"
    return Figure(
        statistic,
        field,
        Family(f"helpscout_{name}", "gauge", help_, REPORT_LABELS, unit),
        Family(f"helpscout_previous_{name}", "gauge", before, REPORT_LABELS, unit),
    )


def _shape(field: str, help_: str, unit: str = "") -> Shape:
    name = f"helpscout_{field}_distribution" + (f"_{unit}" if unit else "")
    family = Family(name, "gaugehistogram", help_, (*REPORT_LABELS, "le"), unit)
    return Shape(field, family, bounds(field))


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
        "response_time", "Conversations by response time, cumulative over the window", "seconds"
    ),
    _shape(
        "first_response_time",
        "Conversations by first response time, cumulative over the window",
        "seconds",
    ),
    _shape("handle_time", "Conversations by handle time, cumulative over the window", "seconds"),
    _shape("replies_to_resolve", "Conversations by replies to resolve, cumulative over the window"),
)

_EDGES: Final = EDGES["replies_to_resolve"]
RESOLUTION_BY_REPLIES: Final = Family(
    "helpscout_resolution_time_by_replies_seconds",
    "gauge",
    "Mean resolution time of the conversations resolved with so many replies, over the window",
    (*REPORT_LABELS, "replies"),
    "seconds",
)
REPLIES: Final = (*map(str, _EDGES), f"{_EDGES[-1] + 1}+")
"""The values of the label `replies`."""

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

FAMILIES: Final = (
    *(figure.family for figure in FIGURES),
    *(shape.family for shape in SHAPES),
    RESOLUTION_BY_REPLIES,
    *(figure.previous for figure in FIGURES),
    CHANGE,
    SLA_COMPLIANCE,
    SLA_CONVERSATIONS,
)
"""In the order of the exposition."""
