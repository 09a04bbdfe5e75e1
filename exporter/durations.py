"""Durations in Prometheus's own notation (`90s`, `15m`, `1h30m`, `7d`, `2w`), both ways.

A year is 365 days and a week 7, as in Prometheus. Nothing here knows what a duration is for.
"""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = (
    ("y", timedelta(days=365)),
    ("w", timedelta(weeks=1)),
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("m", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
    ("ms", timedelta(milliseconds=1)),
)
FORM: Final = "write it like 90s, 15m, 1h30m, 7d or 2w"
_PATTERN: Final = re.compile("".join(rf"(?:(\d{{1,9}}){unit})?" for unit, _ in _UNITS), re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Return the duration that `text` writes, units from long to short, each at most once.

    Raises ValueError with one line that quotes the text.
    """
    match = _PATTERN.fullmatch(text)
    if not text or match is None:
        raise ValueError(f'"{text}" is not a duration: {FORM}')
    try:
        return sum(
            (
                int(number) * unit
                for number, (_, unit) in zip(match.groups(), _UNITS, strict=True)
                if number
            ),
            timedelta(),
        )
    except OverflowError:
        raise ValueError(f'"{text}" is longer than a duration can be') from None


def format_duration(duration: timedelta) -> str:
    """Return `duration` in the same notation, to the millisecond; weeks and years stay days.

    Raises ValueError for a negative duration, which the notation cannot write.
    """
    if duration < timedelta():
        raise ValueError("a duration is not negative")
    parts = []
    for name, unit in _UNITS[2:]:
        number, duration = divmod(duration, unit)
        if number:
            parts.append(f"{number}{name}")
    return "".join(parts) or "0s"
