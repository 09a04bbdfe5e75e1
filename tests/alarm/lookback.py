"""Histories of the alerts that look back for a day or a week, as promtool tests.

They show the cases of tests/alarm/scenarios.py with one group of rules alone and a sample every few
minutes, or a week would take minutes to evaluate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from tests.alarm.conftest import ALERTS
from tests.alarm.scenarios import (
    ACCOUNT,
    IDENTITY,
    MAILBOX,
    Check,
    History,
    Process,
    Samples,
    Value,
    history,
    minutes,
)

_DAY: Final = 24 * 60
_WEEK: Final = 7 * _DAY
_OF_MAILBOX: Final = {"account": "acme", "mailbox_id": "7"}
_QUEUE: Final = f'{{{MAILBOX}, queue="unassigned", state="active", folder_id="1"}}'
_SENT: Final = f'{{{MAILBOX}, type="all", window="24h", office_hours="false"}}'
_REPORT: Final = f'{MAILBOX}, type="all", window="7d"'

Figures = Callable[[Callable[[int], str]], Mapping[str, Value]]
"""From what it is at each minute, `well`, `edge` or `ill`, to the series, by minute."""


@dataclass(frozen=True, slots=True)
class Lookback:
    """An alert, and the figures that it looks back on; times are in minutes."""

    figures: Figures
    labels: dict[str, str]
    step: int
    """From one sample to the next."""
    well: int
    """How long all is well before."""
    edge: int
    """How long the worst allowed state lasts, before it is ill."""
    onset: int = 0
    relief: int = 0
    """From a change of the figures to that of the expression."""


def _by_state(values: dict[str, float]) -> Callable[[Callable[[int], str]], Value]:
    return lambda state: lambda minute: values[state(minute)]


def _replies(state: Callable[[int], str]) -> Mapping[str, Value]:
    """Replies while it is well; at the edge none, but the queue is empty every two hours.

    The last time is just before it is ill.
    """

    @cache
    def sent(step: int) -> bool:
        return step >= 0 and state(5 * step) == "well" and step * 2654435761 >> 7 & 1 == 1

    def rolling(minute: int) -> float:
        return sum(sent(step) for step in range(minute // 5 - 287, minute // 5 + 1))

    def queue(minute: int) -> float:
        return 0 if state(minute) == "edge" and (minute + 65) % 120 == 0 else 8

    return {
        f"helpscout_replies_sent{_SENT}": rolling,
        f"helpscout_queue_conversations{_QUEUE}": queue,
    }


def _queue(state: Callable[[int], str]) -> Mapping[str, Value]:
    lengths = {"well": 100.0, "edge": 119.0, "ill": 160.0}
    return {f"helpscout_queue_conversations{_QUEUE}": _by_state(lengths)(state)}


def _ratings(state: Callable[[int], str]) -> Mapping[str, Value]:
    scores = {"well": 80.0, "edge": 60.0, "ill": 50.0}
    return {
        'helpscout_window_seconds{window="7d"}': 604_800,
        f"helpscout_happiness_score{{{_REPORT}}}": _by_state(scores)(state),
        f'helpscout_happiness_ratings{{{_REPORT}, rating="great"}}': 150,
        f'helpscout_happiness_ratings{{{_REPORT}, rating="okay"}}': 40,
        f'helpscout_happiness_ratings{{{_REPORT}, rating="not_good"}}': 10,
    }


LOOKBACKS: Final = {
    "HelpscoutNobodyReplies": Lookback(
        _replies, _OF_MAILBOX, step=5, well=_DAY + 240, edge=300, onset=180
    ),
    "HelpscoutQueueGrows": Lookback(_queue, _OF_MAILBOX, 10, well=_WEEK, edge=420, relief=20),
    "HelpscoutRatingsDrop": Lookback(
        _ratings, {**_OF_MAILBOX, "type": "all", "window": "7d"}, 10, _WEEK, edge=180, relief=20
    ),
}


def tests() -> dict[str, History]:
    """Return the history of every alert that looks back."""
    return {name: _history(name, slow) for name, slow in LOOKBACKS.items()}


def _history(name: str, slow: Lookback) -> History:
    (rule,) = (alert for alert in ALERTS if alert["alert"] == name)
    waits, holds = minutes(rule["for"]), minutes(rule["keep_firing_for"])
    step = slow.step
    ill = slow.well + slow.edge
    fires = ill + slow.onset + waits
    ends = slow.relief + holds + 6 * step
    swap = fires + 6 * step
    well = swap + 20 + ends
    last = well + ends

    def fault(minute: int) -> str:
        if minute < slow.well or minute >= well:
            return "well"
        return "edge" if minute < ill else "ill"

    states: dict[str, Mapping[str, Value]] = {
        "fault": slow.figures(fault),
        "well": slow.figures(lambda _: "well"),
        "edge": slow.figures(lambda minute: "well" if minute < slow.well else "edge"),
    }

    def process(
        number: int, state: str, *there: tuple[int, int], labels: dict[str, str] = IDENTITY,
        **renamed: str,
    ) -> Process:  # fmt: skip
        """Return one that is there from when to when, in minutes."""
        spans: list[tuple[int, Samples | None]] = []
        for begin, end in there:
            spans += [(begin // step, None), (end // step, {})]
        figures: dict[str, Value] = {}
        for series, value in states[state].items():
            figures[series] = _by_step(value, step)
        names = {"account": ACCOUNT, "mailbox": 'mailbox="Support"'}
        return Process(
            labels, number, [*spans, (last // step, None)],
            {names[key]: f'{key}="{value}"' for key, value in renamed.items()}, figures,
        )  # fmt: skip

    gap = step  # a sample that is missing
    us = {**IDENTITY, "cluster": "us"}
    processes = [
        process(1, "fault", (0, ill + 3 * step), (ill + 3 * step + gap, fires + 4 * step),
                (fires + 4 * step + gap, swap)),
        process(2, "fault", (swap, last), mailbox="Help desk"),
        process(3, "fault", (swap + 5 * step, last)),
        process(4, "well", (0, last), account="gamma"),
        process(5, "edge", (0, last), labels={**IDENTITY, "namespace": "staging"}),
        process(6, "fault", (0, swap), labels=us),
    ]  # fmt: skip
    told = {"alertname": name, "alertstate": "firing", **rule["labels"], **slow.labels}
    here, there = {**told, **IDENTITY}, {**told, **us}
    checks = [
        Check("just below", ill - step, []),
        Check("among neighbours", ill - step, []),
        Check("not long enough", fires - 3 * step, []),
        Check("a gap while it waits", fires + 3 * step, [here, there]),
        Check("fires", fires + 3 * step, [here, there]),
        Check("a gap", fires + 4 * step, [here, there]),
        Check("another pod", swap + 2 * step, [here, there]),
        Check("another name", swap + 2 * step, [here, there]),
        Check("two replicas", well - step, [here]),
        Check("the target vanishes", last - step, []),
        Check("resolved", last - step, []),
    ]
    return history(name, processes, [Check(c, m // step, a) for c, m, a in checks], step)


def _by_step(value: Value, step: int) -> Value:
    return (lambda at: value(at * step)) if callable(value) else value
