"""What several dashboards share: their variables, the matchers made of them, the four figures."""

from dataclasses import dataclass
from typing import Any, Final

from scripts.dashboards.board import choice, source

_ANY: Final = "helpscout_report_success"


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
        return f'max by (sla) (helpscout_sla_target_{family}{{statistic="{self.name}"}})'


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
    return "{" + ", ".join(f"{label}{value}" for label, value in chosen.items() if value) + "}"


def variables(*, many: bool) -> list[Any]:
    """Return the variables of a report's labels; `many`: several mailboxes and types at once."""
    account = f'{_ANY}{{account=~"$account"}}'
    return [
        source(),
        choice("account", "Account", f"label_values({_ANY}, account)", "$__all", many=True),
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
            "query_result(sort(max by (window) (helpscout_window_seconds)))",
            "7d",
            regex='/window="([^"]*)"/',
        ),
        choice("office_hours", "Office hours", f"label_values({account}, office_hours)", "false"),
        choice(
            "segment",
            "Segment",
            f"label_values({account}, segment)",
            "$__all",
            # What Grafana calls All is everything: the reports without a segment.
            all_value="^$",
        ),
    ]
