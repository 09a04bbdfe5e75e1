"""What several dashboards share: their variables, the matchers made of them, the four figures.

Every expression aggregates `without` what names a process. So two replicas count once, and two
jobs, namespaces, clusters or accounts are never mixed: whatever else a series carries stays.
"""

from dataclasses import dataclass
from typing import Any, Final

from scripts.dashboards.board import choice, source

PROCESS: Final = (
    "instance, pod, container, endpoint, node, service, pod_template_hash,"
    " controller_revision_hash, statefulset_kubernetes_io_pod_name, apps_kubernetes_io_pod_index"
)
"""The labels that name a process, those of Kubernetes's service discovery included."""

MINIMUM_CONVERSATIONS: Final = 20
"""A service level over fewer says little: the alerts do not judge it, and no panel colours it."""

TARGET: Final = 'cluster=~"$cluster", namespace=~"$namespace", job=~"$job"'
"""The matchers for what is chosen of labels that Prometheus adds; All matches a missing one."""

IDENTITY: Final = {"cluster": "Cluster", "namespace": "Namespace", "job": "Job"}
"""Headings of the same labels, for the tables."""

_ANY: Final = "helpscout_report_success"
OF_A_WINDOW: Final = "account, mailbox, mailbox_id, type, office_hours, segment"
"""A report's labels apart from its window, and so what the length of a window lacks."""


def once(aggregation: str, expr: str, *also: str) -> str:
    """Return `expr` with replicas counted once, and without the labels `also`."""
    return f"{aggregation} without ({', '.join((PROCESS, *also))}) ({expr})"


def with_objective(operator: str, share: str) -> str:
    """Return an SLA's `share` combined with its objective, process by process.

    Two teams may give one name to SLAs of different objectives, so it is the process's own.
    """
    objective = f"helpscout_sla_objective_ratio{{{TARGET}}}"
    return f"{share} {operator} ignoring (horizon, window, {OF_A_WINDOW}) group_left () {objective}"


OBJECTIVE: Final = once("max", f"helpscout_sla_objective_ratio{{{TARGET}}}")
"""What was promised, one series for each SLA."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One of the four figures that everything is about."""

    name: str
    title: str
    metric: str
    unit: str
    meaning: str

    @property
    def distribution(self) -> str:
        """The samples of its distribution."""
        unit = "_seconds" if self.unit == "s" else ""
        return f"helpscout_{self.name}_distribution{unit}_bucket"

    @property
    def target(self) -> str:
        """The targets of the SLAs on it, one series for each."""
        family = "seconds" if self.unit == "s" else "replies"
        chosen = f'{{{TARGET}, statistic="{self.name}"}}'
        return once("max", f"helpscout_sla_target_{family}{chosen}")


STATISTICS: Final = (
    Statistic(
        "response_time",
        "Response time",
        "helpscout_response_time_seconds",
        "s",
        "how long customers waited for a reply",
    ),
    Statistic(
        "first_response_time",
        "First response time",
        "helpscout_first_response_time_seconds",
        "s",
        "how long customers waited for the first reply",
    ),
    Statistic(
        "handle_time",
        "Handle time",
        "helpscout_handle_time_seconds",
        "s",
        "how long it took from opening a conversation to sending the reply",
    ),
    Statistic(
        "replies_to_resolve",
        "Replies to resolve",
        "helpscout_replies_to_resolve",
        "short",
        "how many replies it took to resolve a conversation",
    ),
)


def matchers(**other: str) -> str:
    """Return the matchers for what is chosen; `other` replaces a label's, an empty one drops it."""
    chosen = {
        "account": '=~"$account"',
        "mailbox_id": '=~"$mailbox"',
        "type": '=~"$type"',
        "window": '="$window"',
        "office_hours": '="$office_hours"',
        "segment": '=~"$segment"',
    } | other
    labels = ", ".join(f"{label}{value}" for label, value in chosen.items() if value)
    return f"{{{TARGET}, {labels}}}"


def targets(present: str) -> list[Any]:
    """Return the variables of the data source and of what Prometheus adds to the series."""
    chosen = ""
    found: list[Any] = [source()]
    for label, heading in IDENTITY.items():
        query = (
            f"label_values({present}{{{chosen}}}, {label})"
            if chosen
            else (f"label_values({present}, {label})")
        )
        found.append(choice(label, heading, query, "$__all", many=True, all_value=".*"))
        chosen += f'{", " if chosen else ""}{label}=~"${label}"'
    return found


def variables(*, many: bool) -> list[Any]:
    """Return the variables of a report's labels.

    `many`: several accounts, mailboxes and types at once. Else one of each, for panels that would
    mix them, like a heatmap.
    """
    account = f'{_ANY}{{{TARGET}, account=~"$account"}}'
    whole, named = '"segment", ""', '"segment", "(.+)"'
    segments = f"group by (segment) ({account})"
    for label, without in (("choice", "^$$"), ("shown", "the whole mailbox")):
        segments = f'label_replace({segments}, "{label}", "{without}", {whole})'
        segments = f'label_replace({segments}, "{label}", "$1", {named})'
    return [
        *targets(_ANY),
        choice(
            "account",
            "Account",
            f"label_values({_ANY}{{{TARGET}}}, account)",
            "$__all" if many else "",
            many=many,
        ),
        choice(
            "mailbox",
            "Mailbox",
            f"query_result(max by (mailbox, mailbox_id) ({account}))",
            "all",
            # Names may be the same and contain anything, so the id is the value.
            regex='/mailbox="(?<text>[\\s\\S]*)",mailbox_id="(?<value>[^"]*)"/',
            many=many,
        ),
        choice("type", "Type", f"label_values({account}, type)", "all", many=many),
        choice(
            "window",
            "Window",
            f"query_result(sort(max by (window) (helpscout_window_seconds{{{TARGET}}})))",
            "7d",
            regex='/window="([^"]*)"/',
        ),
        choice("office_hours", "Office hours", f"label_values({account}, office_hours)", "false"),
        choice(
            "segment",
            "Segment",
            f"query_result(group by (choice, shown) ({segments}))",
            "^$",
            text="the whole mailbox",
            # The whole mailbox has an empty segment, and an empty value is none to choose.
            regex='/choice="(?<value>[^"]*)",shown="(?<text>[^"]*)"/',
        ),
    ]
