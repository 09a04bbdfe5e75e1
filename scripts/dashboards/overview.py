"""*Support overview*: are promises kept, how long do customers wait, is it getting worse?"""

from scripts.dashboards.board import RED_BELOW_ZERO, Board, Query, steps
from scripts.dashboards.parts import STATISTICS, matchers, variables

_BY = "account, mailbox, mailbox_id, type"
_SLA = "account, mailbox, mailbox_id, type, window, office_hours, segment, sla, horizon"
_OBJECTIVE = "on (sla) group_left () max by (sla) (helpscout_sla_objective_ratio)"
_LABELS = {"account": "Account", "mailbox": "Mailbox", "type": "Type"}
_LINK = {
    "links": [
        {
            "title": "This mailbox",
            "url": "/d/helpscout-mailbox?${account:queryparam}"
            "&var-mailbox=${__data.fields.mailbox_id}&${window:queryparam}"
            "&${office_hours:queryparam}&${__url_time_range}",
        }
    ],
}
_VOLUME = {
    "helpscout_conversations": "conversations",
    "helpscout_conversations_resolved": "resolved",
    "helpscout_conversations_resolved_on_first_reply": "resolved on first reply",
    "helpscout_conversations_closed": "closed",
    "helpscout_replies_sent": "replies sent",
}


def overview() -> Board:
    """Return the dashboard."""
    board = Board(
        "helpscout-overview",
        "Help Scout / Support overview",
        "Service levels, response times and volume per mailbox and type.",
        variables(many=True),
    )
    _service_levels(board)
    _figures(board)
    _volume(board)
    _trend(board)
    _per_mailbox(board)
    return board


def _service_levels(board: Board) -> None:
    board.row("Service levels")
    share = f'max by ({_SLA}) (helpscout_sla_compliance_ratio{{account=~"$account"}})'
    board.table(
        "Service levels",
        "Per SLA, mailbox and horizon: the share of conversations within the target, what was "
        "promised, and by how much the promise is kept (below 0: missed). Filter by the headings.",
        "percentunit",
        {
            "Within target": Query(share, instant=True, table=True),
            "Objective": Query(f"0 * {share} + {_OBJECTIVE}", instant=True, table=True),
            "Margin": Query(f"{share} - {_OBJECTIVE}", instant=True, table=True),
            "Conversations": Query(
                f'max by ({_SLA}) (helpscout_sla_conversations{{account=~"$account"}})',
                instant=True,
                table=True,
            ),
        },
        labels={
            "sla": "SLA",
            **_LABELS,
            "horizon": "Horizon",
            "window": "Window",
            "office_hours": "Office hours",
            "segment": "Segment",
        },
        overrides={
            "Margin": {
                "custom.cellOptions": {"type": "color-background", "mode": "gradient"},
                "thresholds": steps(RED_BELOW_ZERO),
            },
            "Within target": {"min": 0, "max": 1, "custom.cellOptions": {"type": "gauge"}},
            "Conversations": {"unit": "short"},
            "mailbox_id": {"custom.hidden": True},
            "Mailbox": _LINK,
        },
        height=9,
    )
    chosen = '{account=~"$account", mailbox_id=~"$mailbox", horizon="short"}'
    board.timeseries(
        "Within target, short horizon",
        "The share of conversations within each SLA's target, for the chosen mailboxes, over the "
        "SLA's first window. Dashed: what was promised.",
        "percentunit",
        Query(
            f"max by ({_SLA}) (helpscout_sla_compliance_ratio{chosen})",
            "{{sla}} {{mailbox}} {{type}}",
        ),
        Query("max by (sla) (helpscout_sla_objective_ratio)", "objective of {{sla}}"),
        lines=[1],
    )
    board.bars(
        "Least margin",
        "Per SLA, the mailbox that is farthest from, or deepest below, what was promised, in both "
        "horizons. Below 0: missed.",
        "percentunit",
        Query(
            f"min by (sla, horizon) ({share} - {_OBJECTIVE})",
            "{{sla}} {{horizon}}",
            instant=True,
        ),
        thresholds=RED_BELOW_ZERO,
    )


def _figures(board: Board) -> None:
    board.row("The four figures")
    for statistic in STATISTICS:
        board.stat(
            statistic.title,
            f"Mean over the window: {statistic.meaning}.",
            statistic.unit,
            Query(f"max by ({_BY}) ({statistic.metric}{matchers()})", "{{mailbox}} {{type}}"),
        )
    for statistic in STATISTICS:
        previous = statistic.metric.replace("helpscout_", "helpscout_previous_")
        board.timeseries(
            statistic.title,
            f"Mean over the window: {statistic.meaning}. Before: the same for the preceding period "
            "(with `compare`). Dashed: the targets of the SLAs on it.",
            statistic.unit,
            Query(f"max by ({_BY}) ({statistic.metric}{matchers()})", "{{mailbox}} {{type}}"),
            Query(f"max by ({_BY}) ({previous}{matchers()})", "{{mailbox}} {{type}} before"),
            Query(statistic.target, "target of {{sla}}"),
            lines=[2],
        )


def _volume(board: Board) -> None:
    board.row("Volume")
    board.timeseries(
        "Conversations and replies",
        "How many within the window. The window rolls on, so these counts rise and fall.",
        "short",
        *(
            Query(f"max by ({_BY}) ({name}{matchers()})", f"{words} {{{{mailbox}}}} {{{{type}}}}")
            for name, words in _VOLUME.items()
        ),
    )
    board.timeseries(
        "Conversations and replies, preceding period",
        "The same for the period before the window (with `compare`).",
        "short",
        *(
            Query(
                f"max by ({_BY}) ({name.replace('helpscout_', 'helpscout_previous_')}{matchers()})",
                f"{words} {{{{mailbox}}}} {{{{type}}}}",
            )
            for name, words in _VOLUME.items()
        ),
    )
    board.timeseries(
        "Replies per hour",
        "Replies sent, divided by the window's length.",
        "short",
        Query(
            f"max by ({_BY}, window) (helpscout_replies_sent{matchers()})"
            " / on (window) group_left () max by (window) (helpscout_window_seconds) * 3600",
            "{{mailbox}} {{type}}",
        ),
    )
    ratio = "resolved_on_first_reply_ratio"
    board.timeseries(
        "Resolved on first reply",
        "The share of the resolved conversations that took exactly one reply; before: in the "
        "preceding period.",
        "percentunit",
        Query(f"max by ({_BY}) (helpscout_{ratio}{matchers()})", "{{mailbox}} {{type}}"),
        Query(
            f"max by ({_BY}) (helpscout_previous_{ratio}{matchers()})",
            "{{mailbox}} {{type}} before",
        ),
    )


def _trend(board: Board) -> None:
    board.row("Against the preceding period")
    change = f"max by ({_BY}, statistic) (helpscout_change_ratio{matchers()})"
    board.bars(
        "Change now",
        "Every figure against the period before the window (with `compare`). Above 0: more than "
        "before, which is worse for times and replies.",
        "percentunit",
        Query(change, "{{statistic}} {{mailbox}} {{type}}", instant=True),
        height=10,
    )
    watched = '=~"response_time|first_response_time|handle_time|replies_to_resolve"'
    board.timeseries(
        "Change of the four figures",
        "The four figures against the preceding period, over time.",
        "percentunit",
        Query(
            f"max by ({_BY}, statistic) (helpscout_change_ratio{matchers(statistic=watched)})",
            "{{statistic}} {{mailbox}} {{type}}",
        ),
        height=10,
    )


def _per_mailbox(board: Board) -> None:
    board.row("Per mailbox and type")
    every = matchers(mailbox_id="", type="")
    columns = {statistic.title: statistic.metric for statistic in STATISTICS}
    columns |= {
        "Conversations": "helpscout_conversations",
        "Resolved": "helpscout_conversations_resolved",
        "On first reply": "helpscout_resolved_on_first_reply_ratio",
    }
    board.table(
        "Every mailbox and type",
        "The figures of the chosen window for every mailbox and type; a click on a mailbox opens "
        "it. `all` is a report of its own, not the sum of the others.",
        "s",
        {
            title: Query(f"max by ({_BY}) ({metric}{every})", instant=True, table=True)
            for title, metric in columns.items()
        },
        labels=_LABELS,
        overrides={
            "Replies to resolve": {"unit": "short", "decimals": 1},
            "Conversations": {"unit": "short"},
            "Resolved": {"unit": "short"},
            "On first reply": {"unit": "percentunit"},
            "mailbox_id": {"custom.hidden": True},
            "Mailbox": _LINK,
        },
        height=12,
    )
