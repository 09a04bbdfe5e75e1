"""The row *Now* of two dashboards: what waits at this moment, which no report has.

All mailboxes together have no queue of their own. Where they are chosen every mailbox is shown.
"""

from collections.abc import Callable
from typing import Final

from scripts.dashboards.board import Board, Query, red_from
from scripts.dashboards.parts import TARGET, once

_LEGEND: Final = "{{account}} {{mailbox}}"
_WHOLE: Final = 'type="all", segment="", office_hours="false"'
_OFFICE: Final = {"0": ("closed", "text"), "1": ("open", "green")}


def chosen_or_every(series: Callable[[str], str]) -> str:
    """Return `series` with matchers for the chosen mailboxes, for all of them where it has none."""
    account = f'{TARGET}, account=~"$account"'
    chosen = series(f'{account}, mailbox_id=~"$mailbox"')
    return f"{chosen} or {series(account)} unless on () {chosen}"


def _waiting(name: str, more: str = "") -> str:
    return chosen_or_every(
        lambda of: once("max", f"helpscout_{name}{{{of}, {_WHOLE}{more}}}", *_UNSAID)
    )


_UNSAID: Final = ("type", "segment", "office_hours")


def now(board: Board) -> None:
    """Add the row."""
    board.row("Now")
    queue = 'queue=~"unassigned|assigned", state="active"'
    board.stat(
        "In the queue",
        "Open conversations now, unassigned and assigned ones.",
        "short",
        Query(
            chosen_or_every(
                lambda of: once(
                    "sum",
                    once("max", f"helpscout_queue_conversations{{{of}, {queue}}}"),
                    *("queue", "folder", "folder_id", "state"),
                )
            ),
            _LEGEND,
        ),
    )
    since = _waiting("waiting_since_timestamp_seconds")
    board.stat(
        "Longest wait",
        "How long the customer has waited who has waited longest (with `waiting`). Empty: nobody "
        "waits.",
        "s",
        Query(f"time() - ({since})", _LEGEND),
    )
    waits = "helpscout_sla_waiting_conversations"
    board.stat(
        "Beyond target",
        "Customers who have waited longer than an SLA's target and still wait (with `waiting`).",
        "short",
        Query(
            chosen_or_every(
                lambda of: once("max", f'{waits}{{{of}, threshold="target"}}', "threshold")
            ),
            "{{sla}} " + _LEGEND + " {{type}} {{segment}}",
        ),
        thresholds=red_from(1),
    )
    board.states(
        "Office",
        "Whether the office is open, by the account's `office_schedule`.",
        Query(
            once("max", f'helpscout_office_hours_open{{{TARGET}, account=~"$account"}}'),
            "{{account}}",
        ),
        _OFFICE,
        width=6,
    )
    board.timeseries(
        "Customers who wait",
        "How many wait for a reply now (with `waiting`).",
        "short",
        Query(_waiting("waiting_conversations"), _LEGEND),
        width=8,
    )
    board.timeseries(
        "Near and beyond target",
        "How many wait longer than a part of an SLA's target, and longer than the whole target.",
        "short",
        Query(
            chosen_or_every(lambda of: once("max", f"{waits}{{{of}}}")),
            "{{sla}} {{threshold}} " + _LEGEND + " {{type}} {{segment}}",
        ),
        width=8,
    )
    board.timeseries(
        "Queues",
        "Open conversations of every queue. Queues overlap, so they do not add up.",
        "short",
        Query(
            chosen_or_every(
                lambda of: once("max", f"helpscout_queue_conversations{{{of}}}", "folder_id")
            ),
            _LEGEND + " {{queue}} {{folder}} {{state}}",
        ),
        width=8,
    )
