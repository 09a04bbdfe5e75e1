"""*Support overview*: who waits now, are promises kept, is it getting worse?"""

from scripts.dashboards.board import RED_BELOW_ZERO, Board, Query, steps
from scripts.dashboards.now import chosen_or_every, now
from scripts.dashboards.parts import (
    IDENTITY,
    MINIMUM_CONVERSATIONS,
    OBJECTIVE,
    OF_A_WINDOW,
    STATISTICS,
    TARGET,
    matchers,
    once,
    variables,
    with_objective,
)

_LABELS = {"account": "Account", "mailbox": "Mailbox", "type": "Type"}
_LEGEND = "{{account}} {{mailbox}} {{type}}"
_MOST = 20
_LINK = {
    "links": [
        {
            "title": "This mailbox",
            "url": "/d/helpscout-mailbox?${datasource:queryparam}"
            "&${cluster:queryparam}&${namespace:queryparam}&${job:queryparam}"
            "&var-account=${__data.fields.Account}"
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
        "Who waits now, service levels, response times and volume per mailbox and type.",
        variables(many=True),
    )
    now(board)
    _service_levels(board)
    _budget(board)
    _figures(board)
    _happiness(board)
    _volume(board)
    _trend(board)
    _per_mailbox(board)
    return board


def _service_levels(board: Board) -> None:
    board.row("Service levels")
    chosen = f'{{{TARGET}, account=~"$account"}}'
    share, number = (
        f"helpscout_sla_{name}{chosen}" for name in ("compliance_ratio", "conversations")
    )
    judged = f"({share} and {number} >= {MINIMUM_CONVERSATIONS})"
    margin = once("min", with_objective("-", judged))
    board.table(
        "Service levels",
        "Per SLA, mailbox and horizon: the share of conversations within the target, what was "
        "promised, and by how much the promise is kept (below 0: missed). No margin: fewer than "
        f"{MINIMUM_CONVERSATIONS} conversations, too few to judge. Filter by the headings.",
        "percentunit",
        {
            "Within target": Query(once("max", share), instant=True, table=True),
            "Objective": Query(
                once("max", with_objective("+", f"0 * {share}")), instant=True, table=True
            ),
            "Margin": Query(margin, instant=True, table=True),
            "Conversations": Query(once("max", number), instant=True, table=True),
        },
        labels={
            "sla": "SLA",
            **_LABELS,
            "horizon": "Horizon",
            "window": "Window",
            "office_hours": "Office hours",
            "segment": "Segment",
            **IDENTITY,
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
    short = f'{{{TARGET}, account=~"$account", mailbox_id=~"$mailbox", horizon="short"}}'
    board.timeseries(
        "Within target, short horizon",
        "The share of conversations within each SLA's target, for the chosen mailboxes, over the "
        "SLA's first window. Dashed: what was promised.",
        "percentunit",
        Query(once("max", f"helpscout_sla_compliance_ratio{short}"), "{{sla}} " + _LEGEND),
        Query(OBJECTIVE, "objective of {{sla}}"),
        lines=[1],
    )
    board.bars(
        "Least margin",
        "The service levels that are farthest from, or deepest below, what was promised, with at "
        f"least {MINIMUM_CONVERSATIONS} conversations. Below 0: missed.",
        "percentunit",
        Query(f"bottomk({_MOST}, {margin})", "{{sla}} {{window}} " + _LEGEND, instant=True),
        thresholds=RED_BELOW_ZERO,
    )


def _budget(board: Board) -> None:
    """Draw what prometheus/rules record of the misses that an SLA allows."""
    chosen = f'{{{TARGET}, account=~"$account", mailbox_id=~"$mailbox"}}'
    legend = "{{sla}} {{window}} {{account}} #{{mailbox_id}} {{type}}"
    board.timeseries(
        "Within target, waits included",
        "The same share, of the conversations that were replied to and the customers who wait "
        "beyond the target now (with `waiting`): it falls where nobody replies. It is recorded by "
        "this project's rules.",
        "percentunit",
        Query(
            chosen_or_every(
                lambda of: once("min", f"helpscout:sla_honest_compliance_ratio{{{of}}}")
            ),
            legend,
        ),
    )
    board.timeseries(
        "Burn rate",
        "How fast the misses that each SLA allows are used up. At 1 there are as many as it "
        "allows, at 2 twice as many. It is recorded by this project's rules.",
        "short",
        Query(once("max", f"helpscout:sla_burn_ratio{chosen}"), legend),
    )
    board.timeseries(
        "Error budget left",
        "What is left of the misses that each SLA allows over its longer window. Below 0: more "
        "than it allows. It is recorded by this project's rules.",
        "percentunit",
        Query(once("min", f"helpscout:sla_error_budget_ratio{chosen}"), legend),
    )
    board.timeseries(
        "Misses left",
        "How many more conversations of each window may miss the target before the promise is "
        "broken. Below 0: so many too many. It is recorded by this project's rules.",
        "short",
        Query(once("min", f"helpscout:sla_error_budget_conversations{chosen}"), legend),
    )


def _figures(board: Board) -> None:
    board.row("The four figures")
    for statistic in STATISTICS:
        board.stat(
            statistic.title,
            f"Mean over the window: {statistic.meaning}.",
            statistic.unit,
            Query(once("max", f"{statistic.metric}{matchers()}"), _LEGEND),
        )
    for statistic in STATISTICS:
        previous = statistic.metric.replace("helpscout_", "helpscout_previous_")
        board.timeseries(
            statistic.title,
            f"Mean over the window: {statistic.meaning}. Before: the same for the preceding period "
            "(with `compare`). Dashed: the targets of the SLAs on it.",
            statistic.unit,
            Query(once("max", f"{statistic.metric}{matchers()}"), _LEGEND),
            Query(once("max", f"{previous}{matchers()}"), _LEGEND + " before"),
            Query(statistic.target, "target of {{sla}}"),
            lines=[2],
        )


def _happiness(board: Board) -> None:
    """Draw the ratings, with whatever window they are asked over."""
    board.row("Happiness")
    of = f'{{{TARGET}, account=~"$account", mailbox_id=~"$mailbox"}}'
    board.timeseries(
        "Happiness score",
        "Great ratings less not-good ones, in percent of all of them: from -100 to 100 (with "
        "`happiness`). Without a rating in the window there is none.",
        "short",
        Query(once("min", f"helpscout_happiness_score{of}"), _LEGEND + " {{window}}"),
    )
    board.timeseries(
        "Ratings",
        "How many ratings of each kind there are within the window.",
        "short",
        Query(
            once("max", f"helpscout_happiness_ratings{of}"), "{{rating}} " + _LEGEND + " {{window}}"
        ),
    )


def _volume(board: Board) -> None:
    board.row("Volume")
    board.timeseries(
        "Conversations and replies",
        "How many within the window. The window rolls on, so these counts rise and fall.",
        "short",
        *(
            Query(once("max", f"{name}{matchers()}"), f"{words} {_LEGEND}")
            for name, words in _VOLUME.items()
        ),
    )
    board.timeseries(
        "Conversations and replies, preceding period",
        "The same for the period before the window (with `compare`).",
        "short",
        *(
            Query(
                once("max", name.replace("helpscout_", "helpscout_previous_") + matchers()),
                f"{words} {_LEGEND}",
            )
            for name, words in _VOLUME.items()
        ),
    )
    board.timeseries(
        "Replies per hour",
        "Replies sent, divided by the window's length.",
        "short",
        Query(
            once(
                "max",
                f"helpscout_replies_sent{matchers()} / ignoring ({OF_A_WINDOW}) group_left ()"
                f" helpscout_window_seconds{{{TARGET}}} * 3600",
            ),
            _LEGEND,
        ),
    )
    ratio = "resolved_on_first_reply_ratio"
    board.timeseries(
        "Resolved on first reply",
        "The share of the resolved conversations that took exactly one reply; before: in the "
        "preceding period.",
        "percentunit",
        Query(once("max", f"helpscout_{ratio}{matchers()}"), _LEGEND),
        Query(once("max", f"helpscout_previous_{ratio}{matchers()}"), _LEGEND + " before"),
    )


def _trend(board: Board) -> None:
    board.row("Against the preceding period")
    change = once("max", f"helpscout_change_ratio{matchers()}")
    board.bars(
        "Change now",
        f"The {_MOST} figures that rose most against the period before the window (with "
        "`compare`). Above 0: more than before, which is worse for times and replies.",
        "percentunit",
        Query(f"topk({_MOST}, {change})", "{{statistic}} " + _LEGEND, instant=True),
        height=10,
    )
    watched = '=~"response_time|first_response_time|handle_time|replies_to_resolve"'
    board.timeseries(
        "Change of the four figures",
        "The four figures against the preceding period, over time.",
        "percentunit",
        Query(
            once("max", f"helpscout_change_ratio{matchers(statistic=watched)}"),
            "{{statistic}} " + _LEGEND,
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
            title: Query(once("max", metric + every), instant=True, table=True)
            for title, metric in columns.items()
        },
        labels=_LABELS | IDENTITY,
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
