"""*Mailbox*: one mailbox in depth. Distributions, replies against resolution time, segments."""

from scripts.dashboards.board import Board, Query
from scripts.dashboards.now import chosen_or_every, now
from scripts.dashboards.parts import (
    IDENTITY,
    OBJECTIVE,
    STATISTICS,
    TARGET,
    Statistic,
    matchers,
    once,
    variables,
)

_QUANTILES = (0.5, 0.9, 0.95)


def mailbox() -> Board:
    """Return the dashboard."""
    board = Board(
        "helpscout-mailbox",
        "Help Scout / Mailbox",
        "One mailbox: distributions, resolution, segments and service levels.",
        variables(many=False),
    )
    now(board)
    _waits(board)
    _figures(board)
    _distributions(board)
    _resolution(board)
    _segments(board)
    return board


def _waits(board: Board) -> None:
    """Add to the row *Now* how long everybody has waited."""
    of_all = 'type="all", segment="", office_hours="false"'
    name = "helpscout_waiting_distribution_seconds_bucket"
    board.heatmap(
        "Present waits",
        "Customers who wait now by how long they have waited (with `waiting`). A customer waits in "
        "one mailbox, so those of several add up.",
        "s",
        Query(
            once(
                "sum",
                chosen_or_every(lambda of: once("max", f"{name}{{{of}, {of_all}}}")),
                *("mailbox", "mailbox_id"),
            ),
            "{{le}}",
            heatmap=True,
        ),
    )
    board.states(
        "Are these all?",
        "Whether the mailbox has more open conversations than were read: counts of waits are then "
        "lower bounds.",
        Query(
            chosen_or_every(lambda of: once("max", f"helpscout_waiting_truncated{{{of}}}")),
            "{{account}} {{mailbox}}",
        ),
        {"0": ("all of them", "green"), "1": ("at least", "orange")},
    )


def _figures(board: Board) -> None:
    board.row("The four figures")
    for statistic in STATISTICS:
        board.stat(
            statistic.title,
            f"Mean over the window: {statistic.meaning}.",
            statistic.unit,
            Query(once("max", f"{statistic.metric}{matchers()}"), "{{account}}"),
        )
    sla = f'{{{TARGET}, account=~"$account", mailbox_id=~"$mailbox"}}'
    board.timeseries(
        "Service levels",
        "The share of this mailbox's conversations within each SLA's target. Dashed: what was "
        "promised.",
        "percentunit",
        Query(
            once("max", f"helpscout_sla_compliance_ratio{sla}"),
            "{{sla}} {{window}} {{type}} {{segment}}",
        ),
        Query(OBJECTIVE, "objective of {{sla}}"),
        lines=[1],
        width=14,
    )
    board.table(
        "Mailboxes",
        "The names and addresses of the account's mailboxes that are reported on.",
        "none",
        {
            "Shown": Query(
                once("max", f'helpscout_mailbox_info{{{TARGET}, account=~"$account"}}'),
                instant=True,
                table=True,
            )
        },
        labels={
            "account": "Account",
            "mailbox": "Mailbox",
            "mailbox_id": "Id",
            "email": "Address",
            "slug": "Slug",
            **IDENTITY,
        },
        overrides={"Shown": {"custom.hidden": True}},
        width=10,
    )


def _distributions(board: Board) -> None:
    board.row("Distributions")
    for statistic in STATISTICS:
        buckets = once("max", f"{statistic.distribution}{matchers()}")
        board.heatmap(
            statistic.title,
            f"Conversations by range of {statistic.title.lower()}: {statistic.meaning}. Each "
            "column is a whole window.",
            statistic.unit,
            Query(buckets, "{{le}}", heatmap=True),
        )
        _quantiles(board, statistic, buckets)


def _quantiles(board: Board, statistic: Statistic, buckets: str) -> None:
    if statistic.unit == "s":
        how = "Linear inside a range; beyond the last range's edge it is that edge."
        quantiles = [f"histogram_quantile({quantile}, {buckets})" for quantile in _QUANTILES]
    else:
        # Nobody sends half a reply: the whole number that the interpolation is below. The range
        # without an end gets one, or five and more replies would look like four.
        how = "In whole replies; 5 stands for five and more."
        ends = f'{buckets} or label_replace({buckets}, "le", "5.0", "le", "[+]Inf")'
        quantiles = [f"ceil(histogram_quantile({quantile}, {ends}))" for quantile in _QUANTILES]
    board.timeseries(
        f"{statistic.title}, quantiles",
        f"From the distribution: {statistic.meaning}, for the median and the slowest. {how} "
        "Dashed: the targets of the SLAs on it.",
        statistic.unit,
        *(
            Query(expr, f"p{quantile * 100:g}")
            for quantile, expr in zip(_QUANTILES, quantiles, strict=True)
        ),
        Query(statistic.target, "target of {{sla}}"),
        lines=[len(_QUANTILES)],
    )


def _resolution(board: Board) -> None:
    board.row("Resolution")
    by_replies = once("max", f"helpscout_resolution_time_by_replies_seconds{matchers()}")
    board.columns(
        "Resolution time by replies",
        "Mean time to resolution of the conversations that took so many replies.",
        "s",
        "replies",
        Query(by_replies, instant=True, table=True),
    )
    board.timeseries(
        "Resolution time by replies",
        "The same over time, and the mean of them all.",
        "s",
        Query(by_replies, "{{replies}} replies"),
        Query(once("max", f"helpscout_resolution_time_seconds{matchers()}"), "all"),
        Query(
            once("max", f"helpscout_previous_resolution_time_seconds{matchers()}"),
            "all, preceding period",
        ),
    )


def _segments(board: Board) -> None:
    board.row("Segments")
    every = matchers(segment="")
    for title, metric, unit in (
        *((statistic.title, statistic.metric, statistic.unit) for statistic in STATISTICS),
        ("Conversations", "helpscout_conversations", "short"),
        ("Resolved on first reply", "helpscout_resolved_on_first_reply_ratio", "percentunit"),
    ):
        board.timeseries(
            f"{title} by segment",
            "Every segment of the configuration beside the whole mailbox.",
            unit,
            Query(
                f"label_replace({once('max', metric + every)},"
                ' "segment", "the whole mailbox", "segment", "")',
                "{{segment}}",
            ),
            width=8,
        )
