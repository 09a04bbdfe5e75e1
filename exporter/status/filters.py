"""The templates' filters: figures, times and names as people read them.

Pure. Every text is plain; the templates escape it.
"""

import unicodedata
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import pairwise
from math import inf, isfinite
from typing import Final

from exporter.sla import EDGES
from exporter.status.figures import Bars

_SPACE: Final = "\N{NO-BREAK SPACE}"
_UNITS: Final = (("d", 86_400, 60), ("h", 3_600, 1), ("min", 60, 1), ("s", 1, 1))
"""Each unit, its seconds, and to what shorter durations are rounded."""
_LONGEST_NAME: Final = 120
_MOST_TEXT: Final = 300
_MOST_YEARS: Final = 100 * 365 * 86_400

BARS_WIDTH, BARS_HEIGHT = 64, 18
"""Of the bars of a distribution, in CSS pixels."""
_GAP: Final = 1


def duration(seconds: float) -> str:
    """Return seconds in at most two units next to each other: 45 s, 3 min 20 s, 1 h 12 min."""
    if not isfinite(seconds) or seconds > _MOST_YEARS:
        return f"over{_SPACE}100{_SPACE}years"
    for (large, size, below), (small, unit, _) in pairwise(_UNITS):
        # What rounds up to the larger unit is written in it: 59 min 59.6 s is 1 h and not 60 min.
        if seconds >= size - below / 2:
            whole, rest = divmod(round(seconds / unit) * unit, size)
            end = f"{_SPACE}{rest // unit}{_SPACE}{small}" if rest else ""
            return f"{whole}{_SPACE}{large}{end}"
    return f"{round(max(seconds, 0.0))}{_SPACE}s"


def roughly(seconds: float) -> str:
    """Return seconds in the largest unit alone, cut: 45 s, 12 min, 3 h, 2 d. For ages."""
    left = max(seconds, 0.0)
    for name, size, _ in _UNITS:
        if left >= size:
            return f"{int(left // size)}{_SPACE}{name}"
    return f"0{_SPACE}s"


def ago(seconds: float) -> str:
    """Return an age: just now, 45 s ago, 12 min ago."""
    return "just now" if seconds < 2 else f"{roughly(seconds)} ago"


def ahead(seconds: float) -> str:
    """Return how far off something is: now, in 45 s, in 2 min 36 s."""
    return "now" if seconds < 1 else f"in {duration(seconds)}"


def count(value: float) -> str:
    """Return a whole number with its thousands set apart: 12,345."""
    return f"{round(value):,}"


def rate(value: float) -> str:
    """Return calls a minute: whole, or with one digit where that is most of it."""
    return f"{value:.1f}" if value < 9.95 and value != int(value) else count(value)


def mean(value: float) -> str:
    """Return a mean of small numbers with one digit: 2.4."""
    return f"{value:,.1f}"


def percent(ratio: float) -> str:
    """Return a share cut to whole percent: 89.9 % of 90 % must not read as 90 %."""
    return f"{int(ratio * 100 + 1e-9)}{_SPACE}%"


def precise_percent(ratio: float) -> str:
    """Return a share as it was configured: 99.5 %."""
    return f"{ratio * 100:.6g}{_SPACE}%"


def change(ratio: float) -> str:
    """Return a change against before: ↑ 12 %, ↓ 8 %, and × 15 where percents say nothing more."""
    if ratio >= 8.995:
        return f"\N{MULTIPLICATION SIGN}{_SPACE}{min(ratio + 1, 9_999):,.0f}"
    whole = round(ratio * 100)
    sign = "\N{UPWARDS ARROW}" if whole > 0 else "\N{DOWNWARDS ARROW}" if whole < 0 else "±"
    return f"{sign}{_SPACE}{abs(whole)}{_SPACE}%"


def instant(seconds: float) -> str:
    """Return Unix seconds as a machine-readable UTC time."""
    return f"{_utc(seconds):%Y-%m-%dT%H:%M:%SZ}"


def clock(seconds: float, now: float) -> str:
    """Return Unix seconds as a UTC time of day, with the date where that is not today's."""
    moment = _utc(seconds)
    form = "%H:%M:%S UTC" if moment.date() == _utc(now).date() else "%Y-%m-%d %H:%M UTC"
    return moment.strftime(form)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


@lru_cache(maxsize=4096)
def name(text: str) -> str:
    """Return a name from outside as it can be shown: one line, nothing that steers the text.

    Control characters become blanks, marks that turn the direction of the text are dropped, half
    characters are replaced. A name that is very long is cut, and one of blanks alone said to be so.
    """
    shown = " ".join("".join(map(_visible, text[: 4 * _LONGEST_NAME])).split())
    if len(shown) > _LONGEST_NAME:
        shown = f"{shown[: _LONGEST_NAME - 1].rstrip()}…"
    return shown or "(no name)"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    if category == "Cs":
        return "\N{REPLACEMENT CHARACTER}"
    if character != "\N{ZERO WIDTH JOINER}" and category == "Cf":
        return ""
    return character


def cut(text: str) -> str:
    """Return a text in one line, as much of it as one reads."""
    shown = " ".join(text.split())
    return shown if len(shown) <= _MOST_TEXT else f"{shown[: _MOST_TEXT - 1]}…"


def sentence(text: str) -> str:
    """Return a text with a capital and a full stop."""
    ended = text if text.endswith((".", "?", "!")) else f"{text}."
    return ended[:1].upper() + ended[1:]


def outline(bars: Bars, *, beyond: bool) -> str:
    """Return the bars that are beyond the target, or those that are not, as a path of an SVG."""
    step = BARS_WIDTH / len(bars.counts)
    path = []
    edges = (*EDGES[bars.statistic], inf)
    for place, (number, edge) in enumerate(zip(bars.counts, edges, strict=True)):
        if number and (edge > bars.target) == beyond:
            # Few are not none: the lowest bar can still be seen.
            height = max(2.0, BARS_HEIGHT * number / max(bars.counts))
            path.append(
                f"M{place * step:.4g} {BARS_HEIGHT}v-{height:.3g}h{step - _GAP:.3g}v{height:.3g}z"
            )
    return "".join(path)


def ranges(bars: Bars) -> str:
    """Return a distribution in words, without the ranges that nothing fell into."""
    named = zip(_ranges(bars.statistic), bars.counts, strict=True)
    return ", ".join(f"{text}: {count(number)}" for text, number in named if number)


@cache
def _ranges(statistic: str) -> tuple[str, ...]:
    edges = EDGES[statistic]
    if statistic == "replies_to_resolve":
        return ("1 reply", *(f"{edge} replies" for edge in edges[1:]), "5 or more replies")
    names = [duration(edge) for edge in edges]
    return (
        f"up to {names[0]}",
        *(f"{low} to {high}" for low, high in pairwise(names)),
        f"over {names[-1]}",
    )


FILTERS: Final = (
    duration,
    roughly,
    ago,
    ahead,
    count,
    rate,
    mean,
    percent,
    precise_percent,
    change,
    instant,
    clock,
    name,
    cut,
    sentence,
    outline,
    ranges,
)
"""What the templates know by the name of the function."""
